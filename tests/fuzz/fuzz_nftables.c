// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include "fuzz/fuzz.h"
#include "pin/ruleset_internal.h"

/* What nf_tables answers: a byte chooses what is read, the rest is the kernel's (kernel.c). */

static void on_pin(const struct tuple *t, uint8_t binding, void *arg _unused_)
{
	FUZZ_CHECK(binding != 0);
	FUZZ_CHECK(t->family == AF_INET || t->family == AF_INET6);
}

static void read_table(struct ruleset *r)
{
	struct rs_image image;
	struct err e;
	int code;

	FUZZ_POISON(image);
	code = rs_read(r, &image, &e);
	if (code < 0) {
		FUZZ_UNTOUCHED(image);
		return;
	}
	for (size_t i = 0; i < image.n_chains; i++) {
		struct ruleset_found found;

		if (rs_chain_binding(&image.chains[i], &found))
			FUZZ_CHECK(found.id != 0 && memchr(found.label, '\0', sizeof(found.label)));
	}
	rs_image_clear(&image);
}

/* What stands against what the other half of the input says should. */
static void difference(struct ruleset *r)
{
	struct rs_image a, b;
	struct rs_changes changes;
	struct err e;
	char text[300];

	if (rs_read(r, &a, &e) < 0)
		return;
	if (rs_read(r, &b, &e) == 0) {
		if (rs_diff(&a, &b, &changes) == 0) {
			for (size_t i = 0; i < changes.n; i++)
				rs_change_format(&changes.list[i], text, sizeof(text));
			rs_changes_clear(&changes);
		}
		rs_image_clear(&b);
	}
	rs_image_clear(&a);
}

static void walk_pins(struct ruleset *r)
{
	if (ruleset_pins_dump_begin(r) < 0)
		return;
	for (int i = 0; i < 100000 && ruleset_pins_dump_step(r, 64, on_pin, NULL) > 0; i++)
		;
}

static void get_pins(struct ruleset *r)
{
	static const struct tuple tuples[] = {
		{ .src = { 10, 0, 0, 1 }, .sport = 1, .family = AF_INET, .proto = IPPROTO_TCP },
		{ .src = { 10, 0, 0, 2 }, .sport = 2, .family = AF_INET, .proto = IPPROTO_UDP },
		{ .src = { 10, 0, 0, 2 }, .zone = 1, .family = AF_INET, .proto = IPPROTO_UDP },
		{ .src = { 0x20, 1 }, .sport = 3, .family = AF_INET6, .proto = IPPROTO_SCTP },
	};
	uint8_t bindings[ARRAY_SIZE(tuples)];
	struct err e;

	if (ruleset_pins_get(r, tuples, ARRAY_SIZE(tuples), bindings, &e) == 0)
		FUZZ_CHECK(bindings[2] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t what = (uint8_t)fuzz_number(&in, 1);
	struct nl *nl = fuzz_kernel(in.data, in.size);
	struct ruleset r = { .nl = nl, .monitor = nl, .dump = nl, .mark_mask = 0xff000000 };
	struct ruleset_counters counters;
	struct err e;
	bool foreign;

	switch (what % 6) {
	case 0:
		read_table(&r);
		break;
	case 1:
		difference(&r);
		break;
	case 2:
		FUZZ_POISON(counters);
		if (ruleset_counters_read(&r, &counters, &e) < 0)
			FUZZ_UNTOUCHED(counters);
		break;
	case 3:
		(void)ruleset_monitor_read(&r, &foreign);
		break;
	case 4:
		walk_pins(&r);
		break;
	case 5:
		get_pins(&r);
		break;
	}
	return 0;
}
