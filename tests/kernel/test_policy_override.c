// SPDX-License-Identifier: GPL-2.0-or-later
#include "policy_world.h"

/* Overrides: what they catch, what they leave alone, and in which order everything is written. */

static struct route_nexthop hop(const char *gateway, uint32_t ifindex, uint16_t weight)
{
	return (struct route_nexthop){ .gateway = addr(gateway),
				       .ifindex = ifindex,
				       .weight = weight };
}

/* A gateway with two uplinks, of which the first is off for new flows to a few TCP ports. */
struct uplinks {
	struct route_nexthop rest, rest_inside;
	struct route route, route_inside;
	struct override_selector selectors[3], inside, shield;
	struct override list[2];
};
#define UPLINK_RULES                                                                               \
	(1 + 2 * 2 + 1) /* shield, two pairs (the third selector cannot be said), END */

static void uplinks_override(const struct fixture *f, struct uplinks *u)
{
	const struct ip_prefix all = prefix("0.0.0.0/0");

	u->rest = hop("10.2.0.2", f->v1, 1);
	u->route = (struct route){ .key = { .prefix = all }, .type = RTN_UNICAST, .mtu = 1300 };
	u->route.nexthops = &u->rest;
	u->route.n_nexthops = 1;
	u->selectors[0] = (struct override_selector){ all, IPPROTO_TCP, { 80, 80 } };
	u->selectors[1] = (struct override_selector){ all, IPPROTO_TCP, { 60000, 65535 } };
	u->selectors[2] = (struct override_selector){ all, IPPROTO_TCP, { 65535, 65535 } };
	u->shield = (struct override_selector){ prefix("8.8.4.0/24"), IPPROTO_TCP, { 80, 80 } };
	u->list[0] = (struct override){ .service = "inet",
					.to = all,
					.selectors = u->selectors,
					.n_selectors = 3,
					.shields = &u->shield,
					.n_shields = 1,
					.source_table = RT_TABLE_MAIN,
					.routes = &u->route,
					.n_routes = 1 };
}

static void uplinks_add(struct fixture *f, struct uplinks *u)
{
	run("ip route add default proto bird"
	    " nexthop via 10.1.0.2 dev v0 nexthop via 10.2.0.2 dev v1 &&"
	    " ip route add 5.0.0.0/8 via 10.1.0.5");
	add_binding(f, 1, false);
	sync_now(f);
	uplinks_override(f, u);
	f->model.overrides = u->list;
	f->model.n_overrides = 1;
	assert_int_equal(sync_now(f), UPLINK_RULES + 1);
	assert_int_equal(sync_now(f), 0);
	assert_int_equal(differences(f), 0);
}

static void uplinks_remove(struct fixture *f)
{
	run("ip route del default && ip route del 5.0.0.0/8");
	remove_all(f);
}

/* Both uplinks are seen over a few destinations. */
static void assert_multipath(struct fixture *f, const char *net, uint8_t proto, uint16_t dport)
{
	unsigned seen = 0;

	for (unsigned i = 1; i < 60; i++) {
		char to[IP_ADDR_TEXT];

		snprintf(to, sizeof(to), "%s.%u", net, i);
		seen |= lookup(f, to, 0, proto, dport).oif == f->v0 ? 1 : 2;
	}
	assert_int_equal(seen, 3);
}

static void test_override_leaves_the_rest_alone(void **state)
{
	struct fixture *f = *state;
	struct uplinks u;

	need_world(f);
	uplinks_add(f, &u);
	for (unsigned i = 1; i < 60; i++) {
		char to[IP_ADDR_TEXT];

		snprintf(to, sizeof(to), "8.8.8.%u", i);
		assert_via(f, to, 0, IPPROTO_TCP, 80, "10.2.0.2");
		assert_via(f, to, 0, IPPROTO_TCP, 65534, "10.2.0.2");
	}
	/* The LAN, a more specific route, a pinned flow. */
	assert_via(f, "10.1.0.77", 0, IPPROTO_TCP, 80, "");
	assert_via(f, "5.1.1.1", 0, IPPROTO_TCP, 80, "10.1.0.5");
	assert_via(f, "1.1.1.1", 1u << SHIFT, IPPROTO_TCP, 80, "10.1.0.1");
	/* Another port, another protocol, the shielded service. */
	assert_multipath(f, "8.8.8", IPPROTO_TCP, 81);
	assert_multipath(f, "8.8.8", IPPROTO_UDP, 80);
	assert_multipath(f, "8.8.4", IPPROTO_TCP, 80);
	uplinks_remove(f);
}

/* An override of a more specific prefix, to stand in front of the other. */
static void uplinks_prepend(const struct fixture *f, struct uplinks *u)
{
	u->list[1] = u->list[0];
	u->list[0].to = prefix("7.0.0.0/8");
	u->list[0].len = 8;
	u->list[0].n_shields = 0;
	u->inside = (struct override_selector){ u->list[0].to, IPPROTO_TCP, { 0, 65535 } };
	u->list[0].selectors = &u->inside;
	u->list[0].n_selectors = 1;
	u->rest_inside = hop("10.1.0.8", f->v0, 1);
	u->route_inside = u->route;
	u->route_inside.key.prefix = u->list[0].to;
	u->route_inside.nexthops = &u->rest_inside;
	u->list[0].routes = &u->route_inside;
}

static void test_override_keeps_its_place(void **state)
{
	struct fixture *f = *state;
	struct override_place place, again;
	struct err e = { 0 };
	struct uplinks u;
	size_t removed;

	need_world(f);
	uplinks_add(f, &u);
	assert_int_equal(policy_override_place(f->policy, 0, &place), 0);
	assert_in_range(place.table, BASE + 256, BASE + 511);
	assert_int_equal(policy_override_place(f->policy, 1, &again), -ENOENT);
	/* The route changes: the table and the rules stay. */
	u.rest = hop("10.2.0.3", f->v1, 1);
	assert_int_equal(sync_now(f), 1);
	assert_via(f, "8.8.9.8", 0, IPPROTO_TCP, 80, "10.2.0.3");
	/* A restarted daemon finds it. */
	restart(f);
	assert_int_equal(sync_now(f), 0);
	assert_int_equal(policy_override_place(f->policy, 0, &again), 0);
	assert_int_equal(again.table, place.table);
	/* Another one before it moves nothing; and away again. */
	uplinks_prepend(f, &u);
	f->model.n_overrides = 2;
	assert_int_equal(sync_now(f), 3);
	assert_via(f, "7.1.1.1", 0, IPPROTO_TCP, 80, "10.1.0.8");
	assert_via(f, "8.8.9.8", 0, IPPROTO_TCP, 80, "10.2.0.3");
	assert_int_equal(policy_override_place(f->policy, 1, &again), 0);
	assert_int_equal(again.table, place.table);
	u.list[0] = u.list[1];
	f->model.n_overrides = 1;
	assert_int_equal(sync_now(f), 3);
	/* --relax takes the other, and the blackhole, and leaves the tree. */
	assert_int_equal(policy_remove(f->policy, &f->model, true, &removed, &e), 0);
	assert_int_equal(removed, UPLINK_RULES + 1 + 1);
	f->model.n_overrides = 0;
	assert_via(f, "1.1.1.1", 1u << SHIFT, IPPROTO_TCP, 80, "10.1.0.1");
	assert_int_equal(sync_now(f), 1);
	uplinks_remove(f);
}

/* The same without numbers: what a program does that has no configuration. */
static void test_remove_without_numbers(void **state)
{
	struct fixture *f = *state;
	struct route_nexthop rest = hop("10.2.0.2", f->v1, 1);
	struct route route = { .key = { .prefix = f->prefixes[0] },
			       .type = RTN_UNICAST,
			       .nexthops = &rest,
			       .n_nexthops = 1 };
	struct override_selector selector = { .to = f->prefixes[0],
					      .proto = IPPROTO_TCP,
					      .ports = { 0, 65535 } };
	struct override_selector shield = { .to = f->prefixes[0],
					    .proto = IPPROTO_TCP,
					    .ports = { 443, 443 } };
	struct override o = { .to = f->prefixes[0],
			      .selectors = &selector,
			      .n_selectors = 1,
			      .shields = &shield,
			      .n_shields = 1,
			      .source_table = RT_TABLE_MAIN,
			      .len = 32,
			      .routes = &route,
			      .n_routes = 1 };
	const struct policy_model nothing = { 0 };
	struct err e = { 0 };
	size_t removed = 0;

	need_world(f);
	for (uint8_t id = 1; id <= 20; id++)
		add_binding(f, id, false);
	f->model.overrides = &o;
	f->model.n_overrides = 1;
	sync_now(f);
	assert_via(f, "1.1.1.1", 0, IPPROTO_TCP, 80, "10.2.0.2");
	assert_via(f, "1.1.1.1", 0, IPPROTO_TCP, 443, MAIN_GATEWAY);
	assert_int_equal(policy_remove(f->policy, &nothing, true, &removed, &e), 0);
	assert_int_equal(removed, 5 + 20);
	assert_via(f, "1.1.1.1", 0, IPPROTO_TCP, 80, MAIN_GATEWAY);
	assert_via(f, "1.1.1.1", 20u << SHIFT, IPPROTO_TCP, 80, "10.1.0.20");
	assert_int_equal(policy_remove(f->policy, &nothing, false, &removed, &e), 0);
	f->model.n_bindings = f->model.n_overrides = 0;
	assert_clean(f);
	assert_int_equal(policy_remove(f->policy, &nothing, false, &removed, &e), 0);
	assert_int_equal(removed, 0);
}

static void test_many_override_routes(void **state)
{
	enum { N = 10000 };
	struct fixture *f = *state;
	struct route *routes = calloc(N, sizeof(*routes));
	struct route_nexthop rest[2] = { hop("10.2.0.2", f->v1, 3), hop("10.1.0.2", f->v0, 1) };
	struct override_selector selector = { .to = prefix("20.0.0.0/8"),
					      .proto = IPPROTO_TCP,
					      .ports = { 0, 65535 } };
	struct override o = { .to = prefix("20.0.0.0/8"),
			      .selectors = &selector,
			      .n_selectors = 1,
			      .source_table = RT_TABLE_MAIN,
			      .len = 24,
			      .routes = routes,
			      .n_routes = N };

	need_world(f);
	for (size_t i = 0; i < N; i++) {
		routes[i] = (struct route){ .key.prefix = prefix("20.0.0.0/24"),
					    .type = RTN_UNICAST,
					    .nexthops = rest,
					    .n_nexthops = 2 };
		routes[i].key.prefix.addr.bytes[1] = (uint8_t)(i >> 8);
		routes[i].key.prefix.addr.bytes[2] = (uint8_t)i;
	}
	f->model.overrides = &o;
	f->model.n_overrides = 1;
	assert_int_equal(sync_now(f), 6 + 2 + N);
	assert_int_equal(sync_now(f), 0);
	restart(f);
	assert_int_equal(sync_now(f), 0);
	rest[1].weight = 2;
	assert_int_equal(sync_now(f), N);
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 0);
	free(routes);
	remove_all(f);
}

/* Follows the kernel's notifications and checks that no state between is a wrong one: a goto always
 * has its target, an override's lookup never stands without its suppress rule, and no rule leads to
 * a table that is still (or already) empty. */
struct order {
	bool standing[2][20000]; /* a rule, by family and priority - PRIORITY */
	uint32_t target[2][20000];
	unsigned routes[512];
	unsigned messages;
};

static void order_rule(struct order *o, const struct rule *r, bool new)
{
	unsigned six = r->family == AF_INET6;
	uint32_t at = r->priority - PRIORITY;

	if (r->protocol != RT_PROTOCOL_FLOWPIN)
		return;
	assert_in_range(r->priority, PRIORITY, PRIORITY + 9000);
	if (new && r->action == FR_ACT_GOTO)
		assert_true(o->standing[six][r->target - PRIORITY]);
	if (new && r->action == FR_ACT_TO_TBL && r->table >= BASE)
		assert_true(o->routes[r->table - BASE] > 0 || six);
	if (new && r->action == FR_ACT_TO_TBL && !r->has_mark && r->suppress_prefixlen < 0)
		assert_true(o->standing[six][at - 1]);
	o->standing[six][at] = new;
	o->target[six][at] = r->action == FR_ACT_GOTO ? r->target - PRIORITY : 0;
	if (new)
		return;
	for (uint32_t i = 0; r->action == FR_ACT_NOP && i < ARRAY_SIZE(o->target[0]); i++)
		assert_false(o->standing[six][i] && o->target[six][i] == at);
	if (r->suppress_prefixlen >= 0)
		assert_false(o->standing[six][at + 1]);
}

static int on_order(const struct nlmsghdr *nlh, void *arg)
{
	struct order *o = arg;
	struct route route;
	struct rule rule;

	o->messages++;
	if (rt_decode_rule(nlh, &rule) == 0) {
		order_rule(o, &rule, nlh->nlmsg_type == RTM_NEWRULE);
	} else if (rt_decode_route(nlh, &route) == 0) {
		if (route.key.table >= BASE && route.key.table < BASE + 512)
			o->routes[route.key.table - BASE] +=
				nlh->nlmsg_type == RTM_NEWROUTE ? 1 : -1u;
		route_clear(&route);
	}
	return 0;
}

static void test_order_of_writing(void **state)
{
	static const unsigned groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
					   RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE };
	struct fixture *f = *state;
	struct route_nexthop rest = hop("10.2.0.2", f->v1, 1);
	struct route route = { .key = { .prefix = f->prefixes[0] },
			       .type = RTN_UNICAST,
			       .nexthops = &rest,
			       .n_nexthops = 1 };
	struct override_selector selectors[] = {
		{ .to = f->prefixes[0], .proto = IPPROTO_TCP, .ports = { 80, 80 } },
		{ .to = f->prefixes[0], .proto = IPPROTO_UDP, .ports = { 80, 80 } }
	};
	struct override_selector shield = { .to = f->prefixes[0],
					    .proto = IPPROTO_TCP,
					    .ports = { 443, 443 } };
	struct override o = { .to = f->prefixes[0],
			      .selectors = selectors,
			      .n_selectors = 2,
			      .shields = &shield,
			      .n_shields = 1,
			      .source_table = RT_TABLE_MAIN,
			      .len = 32,
			      .routes = &route,
			      .n_routes = 1 };
	_cleanup_(freep) struct order *order = calloc(1, sizeof(*order));
	_cleanup_(nl_closep) struct nl *nl = NULL;

	need_world(f);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		assert_int_equal(nl_join(nl, groups[i]), 0);
	for (uint8_t id = 1; id <= 40; id++)
		add_binding(f, id, false);
	f->model.overrides = &o;
	f->model.n_overrides = 1;
	for (int turn = 0; turn < 3; turn++) {
		sync_now(f);
		while (nl_receive(nl, 64, on_order, order) > 0)
			;
		if (turn == 0)
			f->model.n_overrides = f->model.n_bindings = 0;
		if (turn == 1)
			remove_all(f);
	}
	assert_true(order->messages > 300);
	remove_all(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_override_leaves_the_rest_alone),
		cmocka_unit_test(test_override_keeps_its_place),
		cmocka_unit_test(test_remove_without_numbers),
		cmocka_unit_test(test_many_override_routes),
		cmocka_unit_test(test_order_of_writing),
	};

	return cmocka_run_group_tests_name("policy_override", tests, setup, teardown);
}
