// SPDX-License-Identifier: GPL-2.0-or-later
#include "policy_world.h"

/* The tree of rules and the tables of the bindings. */

static void add_all(struct fixture *f)
{
	f->model.n_bindings = 0;
	for (unsigned id = 1; id <= 255; id++)
		add_binding(f, (uint8_t)id, id > 200);
}

static void test_marks_lead_to_their_nexthops(void **state)
{
	struct fixture *f = *state;
	struct policy_found *found;
	char text[IP_ADDR_TEXT];
	struct err e = { 0 };
	size_t n;

	need_world(f);
	add_all(f);
	/* Tree: 3 and 16 x 3 and 255 per family; 255 routes and blackholes for IPv4, 55 of each for
	 * IPv6. */
	assert_int_equal(sync_now(f), 2 * (3 + 48 + 255) + 2 * 255 + 2 * 55);
	assert_int_equal(sync_now(f), 0);
	assert_int_equal(differences(f), 0);
	for (unsigned id = 1; id <= 255; id++) {
		snprintf(text, sizeof(text), id > 200 ? "fd01::%x" : "10.1.0.%u", id);
		assert_via(f, "1.1.1.1", id << SHIFT | 0x1234, 0, 0, text);
		assert_via(f, "2001:db8::1", id << SHIFT | 0x1234, 0, 0,
			   id > 200 ? text : MAIN_GATEWAY6);
	}
	assert_via(f, "1.1.1.1", 0x1234, 0, 0, MAIN_GATEWAY);
	assert_via(f, "2001:db8::1", 0, 0, 0, MAIN_GATEWAY6);
	/* After a restart nothing is touched, and what stands is told. */
	restart(f);
	assert_int_equal(policy_read(f->policy, &f->model, &found, &n, &e), 0);
	assert_int_equal(n, 255);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(found[i].id, i + 1);
		assert_true(ip_addr_equal(&found[i].gateway, &f->bindings[i].gateway));
		assert_int_equal(found[i].ifindex, f->v0);
		assert_int_equal(found[i].mtu, f->bindings[i].mtu);
		assert_int_equal(found[i].families, f->bindings[i].families);
	}
	free(found);
	assert_int_equal(sync_now(f), 0);
	/* Half of them go: their leaves and tables, but no group. */
	f->model.n_bindings = 100;
	assert_int_equal(sync_now(f), 2 * 155 + 2 * 155 + 2 * 55);
	assert_via(f, "1.1.1.1", 100u << SHIFT, 0, 0, "10.1.0.100");
	assert_via(f, "1.1.1.1", 101u << SHIFT, 0, 0, MAIN_GATEWAY);
	restart(f);
	assert_int_equal(sync_now(f), 0);
	remove_all(f);
}

static void test_small_mask(void **state)
{
	struct fixture *f = *state;
	size_t changes, failed;
	struct err e = { 0 };
	char text[IP_ADDR_TEXT];

	need_world(f);
	f->model.mark_mask = 0x00000f00;
	for (uint8_t id = 1; id <= 15; id++)
		add_binding(f, id, false);
	assert_int_equal(sync_now(f), 2 * (3 + 3 + 15) + 2 * 15);
	assert_int_equal(sync_now(f), 0);
	for (unsigned id = 1; id <= 15; id++) {
		snprintf(text, sizeof(text), "10.1.0.%u", id);
		assert_via(f, "1.1.1.1", id << 8 | 0xff0000ff, 0, 0, text);
	}
	assert_via(f, "1.1.1.1", 0xfffff0ff, 0, 0, MAIN_GATEWAY);
	add_binding(f, 16, false);
	assert_int_equal(policy_sync(f->policy, &f->model, &changes, &failed, &e), -EINVAL);
	remove_all(f);
	f->model.mark_mask = 0x00f0f000;
	assert_int_equal(policy_sync(f->policy, &f->model, &changes, &failed, &e), -EINVAL);
	f->model.mark_mask = MASK;
}

static void test_repairs_what_others_touched(void **state)
{
	struct fixture *f = *state;

	need_world(f);
	for (uint8_t id = 1; id <= 20; id++)
		add_binding(f, id, true);
	sync_now(f);
	/* A leaf, an anchor, a route, an IPv6 blackhole; a wrong leaf and a strange route of
	 * "ours"; others' rule at our priority. */
	run("ip rule del priority 10022 && ip rule del priority 10020 && ip route del 1.1.1.1 "
	    "table 17005 metric 1024 &&"
	    " ip -6 route del 2001:db8::1 table 17007 metric 4294967295");
	run("ip rule del priority 10025 && ip rule add priority 10025 fwmark 0x4000000/0xff000000 "
	    "lookup 17009 protocol 157");
	run("ip route add 9.9.9.9 via 10.1.0.1 table 17009 proto 157 && ip rule add priority 10023 "
	    "fwmark 99 lookup main");
	assert_int_equal(differences(f), 7);
	assert_int_equal(sync_now(f), 0); /* not told yet */
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 7);
	assert_int_equal(differences(f), 0);
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, "fd01::1");
	assert_via(f, "1.1.1.1", 4u << SHIFT, 0, 0, "fd01::4");
	run("ip rule del priority 10023 fwmark 99 lookup main");
	/* A flush takes all rules but `local`; main and default are put back by hand as its user
	 * would. */
	run("ip rule flush && ip rule add priority 32766 lookup main && ip rule add priority 32767 "
	    "lookup default");
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, MAIN_GATEWAY);
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 3 + 2 * 3 + 20);
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, "fd01::1");
	remove_all(f);
}

static void test_link_down_holds(void **state)
{
	struct fixture *f = *state;
	size_t changes = 0, failed = 0;
	struct err e = { 0 };

	need_world(f);
	for (uint8_t id = 1; id <= 3; id++)
		add_binding(f, id, true);
	sync_now(f);
	run("ip link set v0 down");
	assert_int_equal(lookup(f, "1.1.1.1", 1u << SHIFT, 0, 0).error, -EINVAL);
	assert_int_equal(lookup(f, "2001:db8::1", 1u << SHIFT, 0, 0).error, -EINVAL);
	/* Not told: the routes are refused, counted, and tried again. */
	policy_invalidate(f->policy);
	assert_int_equal(policy_sync(f->policy, &f->model, &changes, &failed, &e), 0);
	assert_int_equal(changes, 0);
	assert_int_equal(failed, 6);
	print_message("  refused with: %s\n", e.text);
	for (size_t i = 0; i < 3; i++)
		f->bindings[i].link_up = false;
	assert_int_equal(sync_now(f), 0);
	run("ip link set v0 up && ip -6 addr add fd01::ffff/64 dev v0 nodad");
	for (size_t i = 0; i < 3; i++)
		f->bindings[i].link_up = true;
	assert_int_equal(sync_now(f), 6);
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, "fd01::1");
	assert_via(f, "2001:db8::1", 3u << SHIFT, 0, 0, "fd01::3");
	remove_all(f);
}

static void test_kinds_of_nexthops(void **state)
{
	struct fixture *f = *state;
	struct policy_binding *b = f->bindings;

	need_world(f);
	add_binding(f, 1, true);
	add_binding(f, 2, true);
	add_binding(f, 3, true);
	/* One link-local address behind two interfaces, and an on-link nexthop. */
	b[0].gateway = b[1].gateway = addr("fe80::77");
	b[1].ifindex = f->v1;
	b[2].gateway = (struct ip_addr){ 0 };
	sync_now(f);
	assert_int_equal(differences(f), 0);
	assert_via(f, "2001:db8::1", 1u << SHIFT, 0, 0, "fe80::77");
	assert_via(f, "1.1.1.1", 2u << SHIFT, 0, 0, "fe80::77");
	assert_int_equal(lookup(f, "2001:db8::1", 1u << SHIFT, 0, 0).oif, f->v0);
	assert_int_equal(lookup(f, "1.1.1.1", 1u << SHIFT, 0, 0).oif, f->v0);
	assert_int_equal(lookup(f, "2001:db8::1", 2u << SHIFT, 0, 0).oif, f->v1);
	assert_int_equal(lookup(f, "1.1.1.1", 3u << SHIFT, 0, 0).oif, f->v0);
	assert_via(f, "2001:db8::1", 3u << SHIFT, 0, 0, "");
	/* The id is reused by a nexthop of another kind: replaced, not doubled. */
	b[2].gateway = addr("fd01::5");
	b[0].gateway = (struct ip_addr){ 0 };
	assert_int_equal(sync_now(f), 4);
	assert_int_equal(differences(f), 0);
	assert_via(f, "2001:db8::1", 3u << SHIFT, 0, 0, "fd01::5");
	assert_via(f, "2001:db8::1", 1u << SHIFT, 0, 0, "");
	remove_all(f);
}

struct monitor {
	struct fixture *f;
	unsigned messages, foreign;
};

static int on_notification(const struct nlmsghdr *nlh, void *arg)
{
	struct monitor *m = arg;

	m->messages++;
	m->foreign += policy_is_foreign_change(m->f->policy, nlh);
	return 0;
}

static void test_tells_foreign_changes(void **state)
{
	static const unsigned groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
					   RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE };
	static const struct {
		const char *command;
		unsigned foreign;
	} cases[] = {
		{ "ip rule del priority 10022", 1 },
		{ "ip -6 rule del priority 10022", 1 },
		{ "ip route del 1.1.1.1 table 17001 metric 1024", 1 },
		{ "ip -6 route del 2001:db8::1 table 17001 metric 1024", 1 },
		{ "ip route add 9.9.9.9 via 10.1.0.1 && ip rule add priority 10022 lookup main && "
		  "ip route del 9.9.9.9 &&"
		  " ip rule del priority 10022",
		  0 },
	};
	struct fixture *f = *state;
	struct monitor m = { .f = f };
	struct nl *nl;

	need_world(f);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		assert_int_equal(nl_join(nl, groups[i]), 0);
	add_binding(f, 1, true);
	sync_now(f);
	while (nl_receive(nl, 64, on_notification, &m) > 0)
		;
	/* 6 rules and a leaf, a route and a blackhole, per family. */
	assert_int_equal(m.messages, 2 * 9);
	assert_int_equal(m.foreign, 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		m.messages = m.foreign = 0;
		run(cases[i].command);
		while (nl_receive(nl, 64, on_notification, &m) > 0)
			;
		assert_true(m.messages > 0);
		assert_int_equal(m.foreign, cases[i].foreign);
	}
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 4);
	while (nl_receive(nl, 64, on_notification, &m) > 0)
		;
	assert_int_equal(m.foreign, 0);
	nl_close(nl);
	remove_all(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks_lead_to_their_nexthops),
		cmocka_unit_test(test_small_mask),
		cmocka_unit_test(test_repairs_what_others_touched),
		cmocka_unit_test(test_kinds_of_nexthops),
		cmocka_unit_test(test_tells_foreign_changes),
		cmocka_unit_test(test_link_down_holds),
	};

	return cmocka_run_group_tests_name("policy", tests, setup, teardown);
}
