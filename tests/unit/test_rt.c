// SPDX-License-Identifier: GPL-2.0-or-later
#include "rt_fixture.h"

static void test_nexthops(void **state _unused_)
{
	static const struct {
		const char *name, *gateway;
		uint32_t id, ifindex;
		bool onlink, blackhole;
		uint16_t encap_type;
		size_t n;
		struct nexthop_member members[2];
	} cases[] = {
		{ "nexthop_gateway", "10.1.0.9", 1, 3, false, false, 0, 0, { { 0 } } },
		{ "nexthop_onlink", "10.2.0.8", 2, 5, true, false, 0, 0, { { 0 } } },
		{ "nexthop_gateway6", "fe80::3", 3, 5, false, false, 0, 0, { { 0 } } },
		{ "nexthop_blackhole", "", 4, 0, false, true, 0, 0, { { 0 } } },
		{ "nexthop_dev", "", 5, 3, false, false, 0, 0, { { 0 } } },
		{ "nexthop_encap",
		  "10.1.0.7",
		  6,
		  3,
		  false,
		  false,
		  LWTUNNEL_ENCAP_IP,
		  0,
		  { { 0 } } },
		{ "nexthop_group", "", 10, 0, false, false, 0, 2, { { 1, 3 }, { 2, 1000 } } },
		{ "nexthop_resilient", "", 11, 0, false, false, 0, 2, { { 1, 1 }, { 2, 5 } } },
	};
	_cleanup_(freep) struct nlmsghdr *fdb = load("nexthop_fdb");
	struct nexthop_object o;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(cases[i].name);

		print_message("  %s\n", cases[i].name);
		assert_int_equal(rt_decode_nexthop(nlh, &o), 0);
		assert_int_equal(o.id, cases[i].id);
		assert_addr(&o.single.gateway, cases[i].gateway);
		if (!cases[i].blackhole)
			assert_int_equal(o.single.ifindex, cases[i].ifindex);
		assert_int_equal(o.single.onlink, cases[i].onlink);
		assert_int_equal(o.single.encap_type, cases[i].encap_type);
		assert_int_equal(o.blackhole, cases[i].blackhole);
		assert_int_equal(o.n_members, cases[i].n);
		for (size_t k = 0; k < o.n_members; k++) {
			assert_int_equal(o.members[k].id, cases[i].members[k].id);
			assert_int_equal(o.members[k].weight, cases[i].members[k].weight);
		}
		nexthop_object_clear(&o);
	}
	assert_int_equal(rt_decode_nexthop(fdb, &o), -ENOMSG);
}

static void test_links(void **state _unused_)
{
	static const struct {
		const char *name, *ifname;
		uint32_t ifindex;
		bool up, carrier, loopback;
	} cases[] = {
		{ "link_up", "v0", 3, true, true, false },
		{ "link_no_carrier", "v0", 3, true, false, false },
		{ "link_loopback", "lo", 1, true, true, true },
	};
	_cleanup_(freep) struct nlmsghdr *port = load("link_bridge_port");
	struct link l;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(cases[i].name);

		assert_int_equal(rt_decode_link(nlh, &l), 0);
		assert_string_equal(l.name, cases[i].ifname);
		assert_int_equal(l.ifindex, cases[i].ifindex);
		assert_int_equal(l.up, cases[i].up);
		assert_int_equal(l.carrier, cases[i].carrier);
		assert_int_equal(l.loopback, cases[i].loopback);
		assert_false(l.noarp || l.pointopoint);
	}
	assert_int_equal(rt_decode_link(port, &l), -ENOMSG);
}

static void test_addresses(void **state _unused_)
{
	static const struct {
		const char *name, *prefix, *addr;
	} cases[] = {
		{ "address4", "10.1.0.0/16", "10.1.0.1" },
		{ "address4_peer", "192.0.2.2/32", "192.0.2.1" },
		{ "address6", "fd01::/64", "fd01::1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(cases[i].name);
		struct address a;

		assert_int_equal(rt_decode_address(nlh, &a), 0);
		assert_int_equal(a.ifindex, 3);
		assert_prefix(&a.prefix, cases[i].prefix);
		assert_addr(&a.addr, cases[i].addr);
	}
}

static void test_neighbours(void **state _unused_)
{
	static const struct {
		const char *name, *addr;
		uint16_t state;
		uint8_t flags;
		uint32_t ext_flags;
		uint8_t protocol, last;
		bool probeable;
	} cases[] = {
		{ "neighbour_reachable", "10.1.0.2", NUD_REACHABLE, 0, 0, 0, 2, true },
		{ "neighbour_managed", "fe80::2", NUD_INCOMPLETE, NTF_EXT_LEARNED, NTF_EXT_MANAGED,
		  RTPROT_BIRD, 0, false },
		{ "neighbour_permanent", "10.1.0.4", NUD_PERMANENT, 0, 0, 0, 4, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(cases[i].name);
		struct neighbour n, asked;
		uint8_t buf[8192];

		print_message("  %s\n", cases[i].name);
		assert_int_equal(rt_decode_neighbour(nlh, &n), 0);
		assert_int_equal(n.ifindex, 3);
		assert_addr(&n.addr, cases[i].addr);
		assert_int_equal(n.state, cases[i].state);
		assert_int_equal(n.flags, cases[i].flags);
		assert_int_equal(n.ext_flags, cases[i].ext_flags);
		assert_int_equal(n.protocol, cases[i].protocol);
		assert_int_equal(n.lladdr_len, cases[i].last ? 6 : 0);
		assert_int_equal(n.lladdr[5], cases[i].last);
		assert_int_equal(neighbour_probeable(&n), cases[i].probeable);
		/* A probe changes the state and nothing else. */
		assert_int_equal(rt_decode_neighbour(rt_request_neighbour_probe(buf, &n), &asked),
				 0);
		assert_int_equal(asked.state, NUD_PROBE);
		asked.state = n.state;
		assert_memory_equal(&asked, &n, sizeof(n));
	}
}

static const struct rule rules[] = {
	{ .family = AF_INET,
	  .priority = 10021,
	  .action = FR_ACT_TO_TBL,
	  .table = 17001,
	  .has_mark = true,
	  .mark = 0x1000000,
	  .mark_mask = 0xff000000,
	  .protocol = 157,
	  .suppress_prefixlen = -1 },
	{ .family = AF_INET,
	  .priority = 10000,
	  .action = FR_ACT_GOTO,
	  .target = 10400,
	  .has_mark = true,
	  .mark_mask = 0xff000000,
	  .protocol = 157,
	  .suppress_prefixlen = -1 },
	{ .family = AF_INET,
	  .priority = 10400,
	  .action = FR_ACT_NOP,
	  .protocol = 157,
	  .suppress_prefixlen = -1 },
	{ .family = AF_INET6,
	  .priority = 10410,
	  .action = FR_ACT_TO_TBL,
	  .table = 254,
	  .protocol = 157,
	  .dst = { { AF_INET6, { 0x20, 0x01, 0x0d, 0xb8 } }, 32 },
	  .ip_proto = 6,
	  .dport_first = 80,
	  .dport_last = 90,
	  .suppress_prefixlen = 32 },
	{ .family = AF_INET,
	  .priority = 20,
	  .action = FR_ACT_TO_TBL,
	  .table = 5,
	  .iif = "v0",
	  .oif = "v1",
	  .src = { { AF_INET, { 10, 9 } }, 16 },
	  .suppress_prefixlen = -1 },
	{ .family = AF_INET,
	  .priority = 25,
	  .action = FR_ACT_TO_TBL,
	  .table = 5,
	  .ip_proto = 17,
	  .dport_first = 53,
	  .dport_last = 53,
	  .suppress_prefixlen = -1 },
};
static const char *const rule_names[] = { "rule_leaf",	    "rule_guard", "rule_nop",
					  "rule_suppress6", "rule_names", "rule_port" };
static const char *const other_rules[] = { "rule_sport", "rule_not", "rule_tos", "rule_uid" };

static void test_rules(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(rule_names[i]);
		struct rule r, again;
		uint8_t buf[8192];

		print_message("  %s\n", rule_names[i]);
		assert_int_equal(rt_decode_rule(nlh, &r), 0);
		assert_memory_equal(&r, &rules[i], sizeof(r));
		assert_int_equal(rt_decode_rule(rt_request_rule(buf, RTM_NEWRULE, 0, &r), &again),
				 0);
		assert_memory_equal(&again, &r, sizeof(r));
	}
	for (size_t i = 0; i < ARRAY_SIZE(other_rules); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(other_rules[i]);
		struct rule r;

		print_message("  %s\n", other_rules[i]);
		assert_int_equal(rt_decode_rule(nlh, &r), 0);
		assert_true(r.other);
	}
}

/* Decodes with every decoder and frees what came out. Returns how many took it. */
static unsigned decode_all(const struct nlmsghdr *nlh)
{
	struct nexthop_object object;
	struct neighbour neighbour;
	struct address address;
	struct route route;
	unsigned taken = 0;
	struct link link;
	struct rule rule;

	if (rt_decode_route(nlh, &route) == 0) {
		route_clear(&route);
		taken++;
	}
	if (rt_decode_nexthop(nlh, &object) == 0) {
		nexthop_object_clear(&object);
		taken++;
	}
	taken += rt_decode_link(nlh, &link) == 0;
	taken += rt_decode_address(nlh, &address) == 0;
	taken += rt_decode_neighbour(nlh, &neighbour) == 0;
	taken += rt_decode_rule(nlh, &rule) == 0;
	return taken;
}

/* Every recorded message cut at every length, and with every byte set to a few nasty values: no
 * decoder may read outside it (the sanitizers watch), and no message is taken by two. */
static void test_damaged(void **state _unused_)
{
	static const uint8_t nasty[] = { 0x00, 0x01, 0x03, 0x7f, 0xff };
	struct dirent *entry;
	unsigned files = 0;
	DIR *dir = opendir(DIRECTORY);

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char *dot = strstr(entry->d_name, ".hex");
		_cleanup_(freep) struct nlmsghdr *whole = NULL;

		if (!dot)
			continue;
		*dot = '\0';
		whole = load(entry->d_name);
		files++;
		for (uint32_t len = sizeof(*whole); len < whole->nlmsg_len; len++) {
			_cleanup_(freep) struct nlmsghdr *cut = malloc(len);

			memcpy(cut, whole, len);
			cut->nlmsg_len = len;
			assert_true(decode_all(cut) <= 1);
		}
		for (uint32_t at = sizeof(*whole); at < whole->nlmsg_len; at++) {
			for (size_t k = 0; k < sizeof(nasty); k++) {
				uint8_t *byte = (uint8_t *)whole + at, kept = *byte;

				*byte = nasty[k];
				assert_true(decode_all(whole) <= 1);
				*byte = kept;
			}
		}
	}
	closedir(dir);
	assert_int_equal(files, 40);
}

static void test_dump_requests(void **state _unused_)
{
	uint8_t buf[8192];
	struct nlmsghdr *nlh = rt_request_route_dump(buf, AF_INET6, 300, 157);
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	assert_int_equal(rtm->rtm_family, AF_INET6);
	assert_int_equal(rtm->rtm_protocol, 157);
	assert_int_equal(nlh->nlmsg_len, sizeof(*nlh) + sizeof(*rtm) + 8);
	/* Strict checking wants each family's own header. */
	assert_int_equal(rt_request_dump(buf, RTM_GETLINK, AF_UNSPEC)->nlmsg_len,
			 16 + sizeof(struct ifinfomsg));
	assert_int_equal(rt_request_dump(buf, RTM_GETNEXTHOP, AF_UNSPEC)->nlmsg_len, 16 + 8);
	assert_int_equal(rt_request_dump(buf, RTM_GETNEIGH, AF_UNSPEC)->nlmsg_len,
			 16 + sizeof(struct ndmsg));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nexthops),      cmocka_unit_test(test_links),
		cmocka_unit_test(test_addresses),     cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_rules),	      cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_dump_requests),
	};

	return cmocka_run_group_tests_name("rt", tests, NULL, NULL);
}
