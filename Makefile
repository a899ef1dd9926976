# flowpin: GPL-2.0-or-later. `make help` lists the targets.

VERSION    := 0.1.0
PREFIX     ?= /usr/local
DESTDIR    ?=
SYSCONFDIR ?= /etc
UNITDIR    ?= $(or $(shell pkg-config --variable=systemdsystemunitdir systemd 2>/dev/null),/lib/systemd/system)
SBINDIR    ?= $(PREFIX)/sbin
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man

CC        ?= cc
PKGS      := libmnl libnetfilter_conntrack libnftnl json-c libevent_core libconfuse
WARNINGS  := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wredundant-decls -Wnested-externs \
             -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef
HARDENING := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
ifdef SAN
BUILD     := build/san$(if $(filter all,$(SAN)),-all)
SANFLAGS  := -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
OPT       := -O1 -g
HARDENING := -fPIE
else
BUILD     := build
OPT       := -O2 -g
endif
CFLAGS    ?= $(OPT)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DFLOWPIN_VERSION='"$(VERSION)"' -Iinclude -Isrc -I$(BUILD)/gen \
             $(WARNINGS) $(HARDENING) $(SANFLAGS) $(CFLAGS) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now,--as-needed $(SANFLAGS) $(LDFLAGS)
LIBS       = $(shell pkg-config --libs $(PKGS) 2>/dev/null)

ifndef V
Q := @
endif

# Each program is its main and the folders that it may use; the folders come in the order of the layers.
LIB_DIRS      := base netlink core
flowpind_DIRS := $(LIB_DIRS) pin config control daemon
flowpin_DIRS  := $(LIB_DIRS) config cli
flowpin-mirror_DIRS := $(LIB_DIRS) config mirror
flowpin-eapi_DIRS := $(LIB_DIRS) config eapi
PROGRAMS      := flowpind flowpin flowpin-mirror flowpin-eapi

# One archive a folder: a program takes from it what it calls, and nothing else.
folder_objects = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/$(1)/*.c))
archives = $(foreach d,$(1),$(BUILD)/obj/$(d).a)
link_archives = -Wl,--start-group $(filter %.a,$(1)) -Wl,--end-group

all: $(PROGRAMS:%=$(BUILD)/%) ## build the programs under build/

.SECONDEXPANSION:
$(PROGRAMS:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/obj/%.o $$(call archives,$$($$*_DIRS))
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(call link_archives,$^) $(LIBS)

# The one program that speaks to the network.
$(BUILD)/flowpin-eapi: LIBS += $(shell pkg-config --libs libcurl) -lm

$(BUILD)/obj/%.a: $$(call folder_objects,$$*)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/obj/%.o: src/%.c | $(BUILD)/gen/varlink.h $(BUILD)/gen/switch_varlink.h
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The interface description as a C string.
$(BUILD)/gen/varlink.h: src/control/io.flowpin.varlink
	@mkdir -p $(@D)
	@echo "  GEN   $@"
	$(Q)sed -e 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/' $< >$@

$(BUILD)/gen/switch_varlink.h: src/control/io.flowpin.Switch.varlink
	@mkdir -p $(@D)
	@echo "  GEN   $@"
	$(Q)sed -e 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/' $< >$@

# tests/{unit,kernel}/test_X.c is one cmocka program each, linked with the whole library it may need; tests/kernel needs root.
CMOCKA_TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c tests/kernel/test_*.c))
CMOCKA_DIRS  := $(LIB_DIRS) pin config control cli mirror eapi daemon
$(CMOCKA_TESTS): LIBS += $(shell pkg-config --libs libcurl) -lm
$(CMOCKA_TESTS): $(BUILD)/tests/%: tests/%.c $$(call archives,$$(CMOCKA_DIRS))
	@mkdir -p $(@D)
	@echo "  TEST  $@"
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(call link_archives,$^) $(LIBS) -lcmocka

# Fuzz targets: tests/fuzz/fuzz_X.c, linked with replay.c into a program that runs its corpus (a test of `make check`), and by
# `make fuzz` with libFuzzer. The targets play the kernel's side of a netlink socket where they must.
FUZZ_NAMES  := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SHARED := $(addprefix $(BUILD)/tests/fuzz/,connect.o daemon_world.o directory.o guard.o kernel.o)
FUZZ_WRAP   := -Wl,--wrap=connect,--wrap=recvmmsg,--wrap=sendmsg,--wrap=nl_send,--wrap=nl_wait
FUZZ_LINK    = $(Q)$(CC) $(ALL_LDFLAGS) $(FUZZ_WRAP) -o $@ $(filter %.o,$^) $(call link_archives,$^) $(LIBS) \
		$(shell pkg-config --libs libcurl) -lm
REPLAYS     := $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/fuzz_%)
$(REPLAYS): $(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(FUZZ_SHARED) \
		$$(call archives,$$(CMOCKA_DIRS))
	@echo "  FUZZ  $@"
	$(FUZZ_LINK)

# The same with libFuzzer, in the build that `make fuzz` makes with clang.
FUZZERS     := $(FUZZ_NAMES:%=$(BUILD)/fuzzers/%)
$(FUZZERS): $(BUILD)/fuzzers/%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_SHARED) $$(call archives,$$(CMOCKA_DIRS))
	@mkdir -p $(@D)
	@echo "  FUZZ  $@"
	$(FUZZ_LINK) -fsanitize=fuzzer

$(BUILD)/tests/fuzz/%.o: tests/fuzz/%.c | $(BUILD)/gen/varlink.h $(BUILD)/gen/switch_varlink.h
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<

# Programs that print what parts cost.
BENCHES := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c))
$(BENCHES): $(BUILD)/tests/%: tests/%.c $$(call archives,$$(CMOCKA_DIRS))
	@mkdir -p $(@D)
	@echo "  BENCH $@"
	$(Q)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP $(ALL_LDFLAGS) -o $@ $< $(call link_archives,$^) $(LIBS)

# Helpers of the tests that a script cannot be fast enough for.
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(wildcard tests/tools/*.c))
$(TOOLS): $(BUILD)/tests/tools/%: tests/tools/%.c
	@mkdir -p $(@D)
	@echo "  TOOL  $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(TOOL_LIBS)

# Its seccomp filters are built by the library that systemd uses.
$(BUILD)/tests/tools/confine: TOOL_LIBS = -lseccomp

# A library to preload. A sanitizer has an allocator of its own, which this one would hide.
$(BUILD)/tests/tools/heap: SANFLAGS :=
$(BUILD)/tests/tools/heap: ALL_LDFLAGS = -shared
$(BUILD)/tests/tools/heap: TOOL_LIBS = -fPIC -fno-builtin

# The simulated switch: shares no code with src/. With SAN=1 it stays as fast as it is: what is tested is beside it.
EOS_SIM  := $(BUILD)/tests/eos-sim/eos-sim
SIM_PKGS := libmicrohttpd json-c
$(EOS_SIM) $(BUILD)/tests/eos-sim/%.o: SANFLAGS := $(if $(filter all,$(SAN)),$(SANFLAGS))
$(EOS_SIM): $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/eos-sim/*.c))
	@echo "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell pkg-config --libs $(SIM_PKGS) 2>/dev/null) -lpthread

$(BUILD)/tests/eos-sim/%.o: tests/eos-sim/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) $(HARDENING) $(SANFLAGS) $(CFLAGS) \
		$(shell pkg-config --cflags $(SIM_PKGS) 2>/dev/null) -MMD -MP -c -o $@ $<

tests: all $(EOS_SIM) $(CMOCKA_TESTS) $(REPLAYS) $(TOOLS) ## build the tests

benches: $(BENCHES)

deps: ## install the Debian packages that are missing (list: packages.txt)
	$(Q)tests/install-packages packages.txt

check: deps ## install what is missing, build, run the tests (LONG=1: the long ones of the switch side, too)
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)BUILD=$(BUILD) LONG=$(LONG) tests/run $(TESTS)

demo: deps ## a client, a gateway and BGP servers in namespaces: without and with flowpin
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(BUILD) tests/demo/demo

demo-arista: deps ## the same idea on a simulated Arista switch: the walk-through that flowpin began with
	$(Q)$(MAKE) --no-print-directory all $(EOS_SIM)
	$(Q)BUILD=$(BUILD) tests/demo/demo-arista

soak: deps ## faults under load, ten minutes (SOAK_TIME=2h SOAK_SEED=n SOAK_FLOWS=2000; see tests/soak)
	$(Q)$(MAKE) --no-print-directory all $(EOS_SIM) $(TOOLS)
	$(Q)BUILD=$(BUILD) tests/soak/soak.py

bench: deps ## what it costs next to what people would use instead, into build/bench (ROW="2 5", SIZE=100000, ROUNDS=20)
	$(Q)tests/install-packages tests/bench/packages.txt
	$(Q)$(MAKE) --no-print-directory tests benches
	$(Q)BUILD=$(BUILD) SIZE=$(SIZE) ROUNDS=$(ROUNDS) tests/bench/bench $(ROW)

# Needs clang, which no other target does.
FUZZ_TIME  ?= 60
FUZZ_BUILD := BUILD=build/fuzz CC=clang OPT='-O1 -g' HARDENING=-fPIE \
	SANFLAGS='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
fuzz: ## libFuzzer, TARGET=name (default all, one after the other) for FUZZ_TIME=seconds each (60)
	$(Q)tests/install-packages tests/fuzz/packages.txt
	$(Q)$(MAKE) --no-print-directory $(FUZZ_BUILD) $(addprefix build/fuzz/fuzzers/,$(or $(TARGET),$(FUZZ_NAMES)))
	$(Q)FUZZ_TIME=$(FUZZ_TIME) MERGE=$(MERGE) tests/fuzz/fuzz $(or $(TARGET),$(FUZZ_NAMES))

# A stamp for each file that a tool has nothing to say about: what did not change is not looked at again.
SOURCES      := $(wildcard src/*.c src/*/*.c)
ANALYZED     := $(foreach tool,gcc clang-tidy,$(SOURCES:src/%.c=$(BUILD)/analyze/$(tool)/%.ok))
ANALYZE_GEN  := $(BUILD)/gen/varlink.h $(BUILD)/gen/switch_varlink.h
HEADERS      := $(wildcard src/*/*.h include/flowpin/*.h)
$(BUILD)/analyze/gcc/%.ok: src/%.c $(HEADERS) $(ANALYZE_GEN)
	@mkdir -p $(@D)
	@echo "  GCC   $<"
	$(Q)gcc $(ALL_CFLAGS) -fanalyzer -Werror -c -o $(@:.ok=.o) $< && touch $@

$(BUILD)/analyze/clang-tidy/%.ok: src/%.c $(HEADERS) .clang-tidy $(ANALYZE_GEN)
	@mkdir -p $(@D)
	@echo "  TIDY  $<"
	$(Q)clang-tidy --quiet $< -- $(ALL_CFLAGS) 2>/dev/null && touch $@

cppcheck: $(ANALYZE_GEN)
	@mkdir -p $(BUILD)/analyze/cppcheck
	@echo "  CPPCHECK"
	$(Q)cppcheck --quiet --std=c11 -D_GNU_SOURCE -D__linux__ --include=/usr/include/libmnl/libmnl.h -Iinclude -Isrc -I$(BUILD)/gen --library=posix,gnu \
		--enable=warning,performance,portability --error-exitcode=1 \
		--suppress-xml=tests/analyze/cppcheck.xml --cppcheck-build-dir=$(BUILD)/analyze/cppcheck src

analyze: deps ## gcc -fanalyzer, clang-tidy (.clang-tidy), cppcheck and shellcheck over the tree
	$(Q)tests/install-packages tests/analyze/packages.txt
	$(Q)$(MAKE) --no-print-directory $(ANALYZED) cppcheck
	$(Q)tests/lint/scripts

valgrind: deps ## the unit tests under valgrind: no error, no definite leak
	$(Q)tests/install-packages tests/analyze/packages.txt
	$(Q)$(MAKE) --no-print-directory $(filter $(BUILD)/tests/unit/%,$(CMOCKA_TESTS))
	$(Q)BUILD=$(BUILD) tests/analyze/valgrind $(TESTS)

install: all ## install below $(DESTDIR)$(PREFIX)
	$(Q)PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' SYSCONFDIR='$(SYSCONFDIR)' UNITDIR='$(UNITDIR)' \
	SBINDIR='$(SBINDIR)' BINDIR='$(BINDIR)' MANDIR='$(MANDIR)' BUILD='$(BUILD)' systemd/install

uninstall: ## remove what install put there, and everything of ours in the kernel
	$(Q)PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' SYSCONFDIR='$(SYSCONFDIR)' UNITDIR='$(UNITDIR)' \
	SBINDIR='$(SBINDIR)' BINDIR='$(BINDIR)' MANDIR='$(MANDIR)' BUILD='$(BUILD)' systemd/uninstall

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14
	@echo "Variables: PREFIX DESTDIR SYSCONFDIR UNITDIR CC CFLAGS V=1 (show commands) TESTS='name ...' SAN=1 (ASan and UBSan;"
	@echo "  SAN=all: in the simulated switch, too)"

-include $(shell find $(BUILD)/obj $(BUILD)/tests -name '*.d' 2>/dev/null)
# Objects are kept: an archive of a folder is made of all of them.
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all tests benches deps check soak fuzz analyze cppcheck valgrind demo demo-arista bench install uninstall clean help
