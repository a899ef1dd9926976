// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include "kernel/ruleset_steps.h"
#include <linux/netfilter/nf_tables.h>

/* `table inet flowpin` against this machine's kernel: written, listed by nft(8), read back,
 * mended. */

static char listing[WORLD_TEXT];

/* What a notification says within the deadline; false when there was none. */
static bool foreign_within(struct ruleset *r, int timeout_ms)
{
	struct pollfd p = { .fd = ruleset_monitor_fd(r), .events = POLLIN };
	uint64_t end = clock_now_ms() + (uint64_t)timeout_ms;
	bool foreign = false;

	do {
		uint64_t now = clock_now_ms();

		if (poll(&p, 1, now < end ? (int)(end - now) : 0) <= 0)
			break;
		assert_int_equal(ruleset_monitor_read(r, &foreign), 0);
	} while (!foreign && clock_now_ms() < end);
	return foreign;
}

static void test_written_once_and_listed(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);

	assert_true(sync_ok(r, &w->model) > 20);
	assert_int_equal(sync_ok(r, &w->model), 0);
	ruleset_invalidate(r);
	assert_int_equal(sync_ok(r, &w->model), 0);
	assert_int_equal(differences(r, &w->model), 0);
	assert_int_equal(world_run(listing, "nft list ruleset 2>&1"), 0);
	must_list(listing, "1.1.1.1 . tcp . 8000-8100 : goto service_web");
	must_list(listing, "elements = { 1.1.1.0/24, 10.53.0.0/16 }");
	must_list(listing, "comment \"web 10.1.0.2%s1\"");
	must_list(listing, "update @pin6 { ip6 saddr . ip6 daddr . meta l4proto . th sport . th "
			   "dport timeout 5m : 0x03000000 } return");
	must_list(listing, "\"s1\" . 10.1.0.2 : goto learn_1");
	must_list(listing, "oif . ip6 daddr @connected6 return");
	must_list(listing, "gc-interval 10s");
	must_list(listing, "type filter hook prerouting priority mangle - 1; policy accept;");
	ruleset_free(r);
}

static void test_restart_adopts(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	struct ruleset_found *found = NULL;
	struct err e = { 0 };
	bool present = false;
	size_t n = 0;

	assert_true(sync_ok(r, &w->model) > 0);
	if (ruleset_owned(r)) {
		struct ruleset *second = open_ruleset(false);

		assert_int_equal(ruleset_read(second, &w->model, &present, &found, &n, &e), -EPERM);
		assert_non_null(strstr(e.text, "another running process"));
		ruleset_free(second);
	}
	ruleset_free(r);
	r = open_ruleset(false);
	assert_int_equal(ruleset_read(r, &w->model, &present, &found, &n, &e), 0);
	assert_true(present);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		const struct ruleset_binding *b = &w->bindings[found[i].id - 1];

		assert_string_equal(found[i].service, w->services[b->service].name);
		assert_string_equal(found[i].label, b->label);
	}
	assert_int_equal(sync_ok(r, &w->model), 0);
	world_run(listing, "nft list table inet flowpin | head -1");
	assert_true(!ruleset_owned(r) || strstr(listing, "progname"));
	free(found);
	ruleset_free(r);
}

static void test_other_numbers_are_refused(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	struct ruleset_model other = w->model;
	struct ruleset_found *found = NULL;
	struct err e = { 0 };
	bool present;
	size_t n;

	sync_ok(r, &w->model);
	other.table_base = 18000;
	assert_int_equal(ruleset_read(r, &other, &present, &found, &n, &e), -EEXIST);
	assert_non_null(strstr(e.text, "table-base = 17000"));
	assert_int_equal(ruleset_remove(r, &e), 0);
	assert_int_equal(ruleset_remove(r, &e), 0);
	world_run(NULL, "nft add table inet flowpin");
	assert_int_equal(ruleset_read(r, &w->model, &present, &found, &n, &e), -EEXIST);
	assert_non_null(strstr(e.text, "not made by flowpind"));
	ruleset_free(r);
}

static void test_owned_table_survives_flush(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);

	sync_ok(r, &w->model);
	if (!ruleset_owned(r)) {
		ruleset_free(r);
		print_message("this kernel has no PERSIST flag\n");
		skip();
	}
	world_run(NULL, "nft flush ruleset 2>/dev/null");
	assert_int_equal(differences(r, &w->model), 0);
	ruleset_free(r);
}

static void test_foreign_changes_are_mended(void **state)
{
	static const struct {
		const char *command;
		size_t most; /* objects that the repair may write */
	} cases[] = {
		{ "nft flush chain inet flowpin steer", 1 },
		{ "nft delete element inet flowpin marks '{ 0x01000000 }'", 1 },
		{ "nft add element inet flowpin fresh '{ 0x7f000000 : goto pin_1 }'", 1 },
		{ "nft add rule inet flowpin pin_1 counter", 1 },
		{ "nft add chain inet flowpin own '{ type filter hook input priority 0; }'", 1 },
		{ "nft add set inet flowpin stray '{ type ipv4_addr; }'", 1 },
		{ "nft add element inet flowpin prefix4 '{ 10.99.0.0/16 }'", 1 },
		{ "nft flush set inet flowpin prefix6", 1 },
		{ "nft delete element inet flowpin service4 '{ 1.1.1.1 . tcp . 80 }'", 1 },
		{ "nft flush chain inet flowpin prerouting && nft delete chain inet flowpin "
		  "prerouting",
		  1 },
		{ "nft flush ruleset", 1000 },
		{ "nft delete table inet flowpin", 1000 },
	};
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(true);

	sync_ok(r, &w->model);
	assert_false(foreign_within(r, 0));
	world_run(NULL, "nft add table ip others && nft add chain ip others x && nft delete table "
			"ip others");
	assert_false(foreign_within(r, 50));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n;

		print_message("%s\n", cases[i].command);
		assert_int_equal(world_run(NULL, "%s", cases[i].command), 0);
		assert_true(foreign_within(r, WORLD_DEADLINE_MS));
		assert_true(differences(r, &w->model) > 0);
		ruleset_invalidate(r);
		n = sync_ok(r, &w->model);
		assert_in_range(n, 1, cases[i].most);
		assert_int_equal(differences(r, &w->model), 0);
		assert_false(foreign_within(r, 50));
	}
	ruleset_free(r);
}

static int count_generation(const struct nlmsghdr *nlh, void *arg)
{
	if (nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN))
		(*(size_t *)arg)++;
	return 0;
}

/* Transactions that were committed since the last call. */
static size_t transactions(struct nl *listener)
{
	size_t n = 0;

	while (nl_receive(listener, 32, count_generation, &n) > 0)
		;
	return n;
}

static void test_death_is_one_change(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	struct nl *listener = NULL;

	sync_ok(r, &w->model);
	assert_int_equal(nl_open(NETLINK_NETFILTER, &listener), 0);
	assert_int_equal(nl_join(listener, NFNLGRP_NFTABLES), 0);
	w->bindings[0].carry = w->bindings[0].fresh = false;
	assert_int_equal(sync_ok(r, &w->model), 2);
	assert_int_equal(transactions(listener), 1);
	world_run(listing, "nft list map inet flowpin marks");
	assert_null(strstr(listing, "pin_1"));
	must_list(listing, "goto pin_2");
	/* The id goes back and is given to another nexthop at once: its chains are made anew. */
	world_binding(w, WEB_1, 1, "10.2.0.9", "s2");
	assert_true(sync_ok(r, &w->model) > 4);
	assert_int_equal(transactions(listener), 1);
	assert_int_equal(differences(r, &w->model), 0);
	world_run(listing, "nft list chain inet flowpin learn_1");
	must_list(listing, "dns 10.2.0.9%s2");
	/* And now without it. */
	w->model.bindings = w->bindings + 1;
	w->model.n_bindings = 3;
	sync_ok(r, &w->model);
	assert_int_equal(transactions(listener), 1);
	assert_int_equal(differences(r, &w->model), 0);
	assert_int_not_equal(world_run(NULL, "nft list chain inet flowpin learn_1 2>/dev/null"), 0);
	nl_close(listener);
	ruleset_free(r);
}

static void test_services_come_and_go(void **state)
{
	enum { MANY = 1500 };
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	struct ip_prefix *many = calloc(MANY, sizeof(*many));

	assert_non_null(many);
	for (uint32_t i = 0; i < MANY; i++) {
		many[i] = world_prefix("20.0.0.0/32");
		many[i].addr.bytes[2] = (uint8_t)(i >> 7);
		many[i].addr.bytes[3] = (uint8_t)(i << 1);
	}
	sync_ok(r, &w->model);
	w->services[1].prefixes = many;
	w->services[1].n_prefixes = MANY;
	assert_true(sync_ok(r, &w->model) > MANY);
	assert_int_equal(differences(r, &w->model), 0);
	/* Whole prefixes instead: everything overlaps what was there. */
	w->services[1].prefixes = w->dns_prefixes;
	w->services[1].n_prefixes = 1;
	w->dns_prefixes[0] = world_prefix("0.0.0.0/0");
	sync_ok(r, &w->model);
	assert_int_equal(differences(r, &w->model), 0);
	world_run(listing, "nft list set inet flowpin prefix4");
	must_list(listing, "elements = { 0.0.0.0/0 }");
	/* A timeout and a name. */
	w->services[0].idle_timeout_s = 20;
	assert_int_equal(sync_ok(r, &w->model), 6);
	snprintf(w->services[1].name, sizeof(w->services[1].name), "resolver");
	sync_ok(r, &w->model);
	assert_int_equal(differences(r, &w->model), 0);
	world_run(listing, "nft list ruleset");
	must_list(listing, "chain service_resolver");
	assert_null(strstr(listing, "dns"));
	free(many);
	ruleset_free(r);
}

static void test_all_ids(void **state)
{
	static struct ruleset_binding all[255];
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	uint64_t begin, first, again;

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		all[i] = w->bindings[0];
		all[i].id = (uint8_t)(i + 1);
		all[i].gateway.bytes[3] = (uint8_t)(i + 1);
		snprintf(all[i].label, sizeof(all[i].label), "10.1.0.%u%%s1", i + 1);
	}
	w->model.bindings = all;
	w->model.n_bindings = ARRAY_SIZE(all);
	begin = clock_now_ms();
	sync_ok(r, &w->model);
	first = clock_now_ms() - begin;
	ruleset_invalidate(r);
	begin = clock_now_ms();
	assert_int_equal(sync_ok(r, &w->model), 0);
	again = clock_now_ms() - begin;
	print_message("255 bindings: written in %lu ms, read and compared in %lu ms\n",
		      (unsigned long)first, (unsigned long)again);
	assert_int_equal(world_run(listing, "nft list ruleset 2>&1"), 0);
	must_list(listing, "10.1.0.255%s1");
	/* Each of the 255 chains is flushed and filled within one transaction. */
	w->services[0].idle_timeout_s = 100;
	assert_int_equal(sync_ok(r, &w->model), 255);
	assert_int_equal(differences(r, &w->model), 0);
	ruleset_free(r);
}

/* The demo's configuration: nft/flowpin.nft is its listing. */
static void test_example_listing(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	int code;

	for (unsigned i = 1; i <= 3; i++) {
		char name[16], gateway[16];

		snprintf(name, sizeof(name), "server%u", i);
		snprintf(gateway, sizeof(gateway), "10.1.%u.2", i);
		assert_int_equal(
			world_run(NULL, "ip link add %s type veth peer name x%s", name, name), 0);
		world_binding(w, (uint8_t)i, 0, gateway, name);
	}
	w->services[0].n_prefixes = w->services[0].n_ports = 1;
	w->set.n = 1;
	w->model.n_bindings = 3;
	w->model.n_connected = 0;
	w->model.max_pins = 1000000;
	sync_ok(r, &w->model);
	/* Who owns it, and whether it has an owner, is the kernel's matter. The difference is one
	 * for patch(1). */
	code = world_run(
		listing,
		"nft list table inet flowpin | sed 's/ # progname.*//; /^\tflags owner$/d' | "
		"{ grep '^#' nft/flowpin.nft; cat; } | diff -u nft/flowpin.nft - 2>&1");
	if (code != 0)
		fputs(listing, stdout);
	assert_int_equal(code, 0);
	world_run(NULL, "for i in 1 2 3; do ip link del server$i; done");
	ruleset_free(r);
}

#define TEST(f) cmocka_unit_test_teardown(f, remove_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_written_once_and_listed),
		TEST(test_restart_adopts),
		TEST(test_other_numbers_are_refused),
		TEST(test_owned_table_survives_flush),
		TEST(test_foreign_changes_are_mended),
		TEST(test_death_is_one_change),
		TEST(test_services_come_and_go),
		TEST(test_all_ids),
		TEST(test_example_listing),
	};

	return cmocka_run_group_tests(tests, build_world, destroy_world);
}
