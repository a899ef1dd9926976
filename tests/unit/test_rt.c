// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/lwtunnel.h>
#include <linux/neighbour.h>
#include <string.h>
#include "netlink/rt.h"

/* The rtnetlink codec on bytes recorded from a kernel (tests/fixtures/rt; the first line of each
 * says what it is). */

#define DIRECTORY "tests/fixtures/rt"

static size_t read_hex(const char *name, uint8_t *bytes, size_t size)
{
	char path[300], line[256];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), DIRECTORY "/%s.hex", name);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *at = line, *end;

		if (line[0] == '#')
			continue;
		for (unsigned long v; v = strtoul(at, &end, 16), end != at; at = end) {
			assert_true(n < size && v < 256);
			bytes[n++] = (uint8_t)v;
		}
	}
	fclose(f);
	return n;
}

/* The message in memory of exactly its size, so that a sanitizer sees a step too far. */
static struct nlmsghdr *load(const char *name)
{
	uint8_t bytes[8192];
	size_t n = read_hex(name, bytes, sizeof(bytes));
	struct nlmsghdr *nlh = malloc(n);

	assert_non_null(nlh);
	memcpy(nlh, bytes, n);
	assert_int_equal(nlh->nlmsg_len, n);
	return nlh;
}

static void assert_addr(const struct ip_addr *a, const char *text)
{
	char buf[IP_ADDR_TEXT];

	assert_string_equal(ip_addr_format(a, buf), text);
}

static void assert_prefix(const struct ip_prefix *p, const char *text)
{
	char buf[IP_PREFIX_TEXT];

	assert_string_equal(ip_prefix_format(p, buf), text);
}

static const struct {
	const char *name, *prefix;
	uint32_t table, metric, mtu, nh_id;
	uint8_t protocol, type, tos;
	size_t n;
	struct {
		const char *gateway;
		uint32_t ifindex;
		uint16_t weight;
		bool onlink;
		uint16_t encap_type;
	} nexthops[3];
} routes[] = {
	{ "route4_gateway",
	  "198.51.100.0/24",
	  300,
	  32,
	  1400,
	  0,
	  RTPROT_BIRD,
	  RTN_UNICAST,
	  0,
	  1,
	  { { "10.1.0.2", 3, 1, false, 0 } } },
	{ "route4_multipath",
	  "203.0.113.0/24",
	  254,
	  0,
	  0,
	  0,
	  RTPROT_BIRD,
	  RTN_UNICAST,
	  0,
	  3,
	  { { "10.1.0.2", 3, 3, false, 0 },
	    { "fe80::2", 5, 1, true, 0 },
	    { "", 5, 256, false, 0 } } },
	{ "route4_via6",
	  "203.0.114.0/24",
	  254,
	  0,
	  0,
	  0,
	  RTPROT_BOOT,
	  RTN_UNICAST,
	  0,
	  1,
	  { { "fd01::2", 3, 1, false, 0 } } },
	{ "route4_encap",
	  "203.0.115.0/24",
	  254,
	  0,
	  0,
	  0,
	  RTPROT_BOOT,
	  RTN_UNICAST,
	  0,
	  1,
	  { { "10.1.0.9", 3, 1, true, LWTUNNEL_ENCAP_IP } } },
	{ "route4_default_tos",
	  "0.0.0.0/0",
	  254,
	  0,
	  0,
	  0,
	  RTPROT_BOOT,
	  RTN_UNICAST,
	  0x10,
	  1,
	  { { "10.1.0.2", 3, 1, false, 0 } } },
	{ "route4_blackhole",
	  "203.0.116.0/24",
	  17001,
	  UINT32_MAX,
	  0,
	  0,
	  RT_PROTOCOL_FLOWPIN,
	  RTN_BLACKHOLE,
	  0,
	  0,
	  { { 0 } } },
	{ "route4_object",
	  "203.0.117.0/24",
	  254,
	  0,
	  0,
	  10,
	  RTPROT_BOOT,
	  RTN_UNICAST,
	  0,
	  2,
	  { { "10.1.0.9", 3, 3, false, 0 }, { "10.2.0.8", 5, 232, true, 0 } } },
	{ "route6_multipath",
	  "2001:db8:1::/48",
	  254,
	  1024,
	  0,
	  0,
	  RTPROT_BIRD,
	  RTN_UNICAST,
	  0,
	  2,
	  { { "fe80::2", 3, 2, false, 0 }, { "fd02::2", 5, 1, false, 0 } } },
	{ "route6_onlink",
	  "2001:db8:2::/48",
	  254,
	  1024,
	  1300,
	  0,
	  RTPROT_BOOT,
	  RTN_UNICAST,
	  0,
	  1,
	  { { "fe80::2", 5, 1, true, 0 } } },
	{ "route6_blackhole",
	  "2001:db8:3::/48",
	  17001,
	  UINT32_MAX,
	  0,
	  0,
	  RT_PROTOCOL_FLOWPIN,
	  RTN_BLACKHOLE,
	  0,
	  0,
	  { { 0 } } },
};

static void assert_route(const struct route *r, size_t i)
{
	assert_prefix(&r->key.prefix, routes[i].prefix);
	assert_int_equal(r->key.table, routes[i].table);
	assert_int_equal(r->key.metric, routes[i].metric);
	assert_int_equal(r->key.tos, routes[i].tos);
	assert_int_equal(r->protocol, routes[i].protocol);
	assert_int_equal(r->type, routes[i].type);
	assert_int_equal(r->mtu, routes[i].mtu);
	assert_int_equal(r->nh_id, routes[i].nh_id);
	assert_int_equal(r->n_nexthops, routes[i].n);
	for (size_t k = 0; k < r->n_nexthops; k++) {
		const struct route_nexthop *nh = &r->nexthops[k];

		assert_addr(&nh->gateway, routes[i].nexthops[k].gateway);
		assert_int_equal(nh->ifindex, routes[i].nexthops[k].ifindex);
		assert_int_equal(nh->weight, routes[i].nexthops[k].weight);
		assert_int_equal(nh->onlink, routes[i].nexthops[k].onlink);
		assert_int_equal(nh->encap_type, routes[i].nexthops[k].encap_type);
		assert_int_equal(nh->encap_len > 0, nh->encap_type != 0);
	}
}

static void test_routes(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(routes[i].name);
		struct route r;

		print_message("  %s\n", routes[i].name);
		assert_int_equal(rt_decode_route(nlh, &r), 0);
		assert_route(&r, i);
		route_clear(&r);
		assert_null(r.nexthops);
	}
}

/* What is written is what is read. */
static void test_routes_round_trip(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(routes[i].name);
		uint8_t buf[8192];
		struct route r, again;

		assert_int_equal(rt_decode_route(nlh, &r), 0);
		if (r.nh_id == 0) {
			struct nlmsghdr *made =
				rt_request_route(buf, sizeof(buf), RTM_NEWROUTE, NLM_F_CREATE, &r);

			assert_non_null(made);
			assert_int_equal(rt_decode_route(made, &again), 0);
			assert_route(&again, i);
			if (r.n_nexthops > 0)
				assert_memory_equal(r.nexthops->encap, again.nexthops->encap,
						    ROUTE_ENCAP_MAX);
			route_clear(&again);
		}
		for (size_t size = sizeof(struct nlmsghdr) + sizeof(struct rtmsg);
		     size < nlh->nlmsg_len / 2; size += 4) {
			uint8_t *small = malloc(size);

			assert_null(rt_request_route(small, size, RTM_NEWROUTE, NLM_F_CREATE, &r));
			free(small);
		}
		route_clear(&r);
	}
}

static void test_routes_that_are_none(void **state _unused_)
{
	_cleanup_(freep) struct nlmsghdr *subtree = load("route6_subtree"),
					 *cached = load("route4_gateway");
	struct rtmsg *rtm = mnl_nlmsg_get_payload(cached);
	struct route r = { .mtu = 77 };

	assert_int_equal(rt_decode_route(subtree, &r), -ENOMSG);
	rtm->rtm_flags |= RTM_F_CLONED;
	assert_int_equal(rt_decode_route(cached, &r), -ENOMSG);
	rtm->rtm_flags = 0;
	rtm->rtm_dst_len = 33;
	assert_int_equal(rt_decode_route(cached, &r), -EBADMSG);
	rtm->rtm_dst_len = 24;
	rtm->rtm_family = AF_INET6;
	assert_int_equal(rt_decode_route(cached, &r), -EBADMSG);
	rtm->rtm_family = 28; /* AF_MPLS */
	assert_int_equal(rt_decode_route(cached, &r), -EBADMSG);
	assert_int_equal(r.mtu, 77);
}

static void test_long_encapsulation(void **state _unused_)
{
	char payload[ROUTE_ENCAP_MAX + 4] = { 0 };
	uint8_t buf[1024], out[1024];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtmsg *rtm;
	struct route r;

	nlh->nlmsg_type = RTM_NEWROUTE;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = AF_INET;
	rtm->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(nlh, RTA_OIF, 3);
	mnl_attr_put_u16(nlh, RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_SEG6);
	mnl_attr_put(nlh, RTA_ENCAP, sizeof(payload), payload);
	assert_int_equal(rt_decode_route(nlh, &r), 0);
	assert_int_equal(r.nexthops->encap_type, LWTUNNEL_ENCAP_SEG6);
	assert_int_equal(r.nexthops->encap_len, 0);
	/* Without it the route would be another one. */
	assert_null(rt_request_route(out, sizeof(out), RTM_NEWROUTE, 0, &r));
	route_clear(&r);
}

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

static void test_rules(void **state _unused_)
{
	static const struct rule cases[] = {
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
	static const char *const names[] = { "rule_leaf",      "rule_guard", "rule_nop",
					     "rule_suppress6", "rule_names", "rule_port" };
	static const char *const others[] = { "rule_sport", "rule_not", "rule_tos", "rule_uid" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(names[i]);
		struct rule r, again;
		uint8_t buf[8192];

		print_message("  %s\n", names[i]);
		assert_int_equal(rt_decode_rule(nlh, &r), 0);
		assert_memory_equal(&r, &cases[i], sizeof(r));
		assert_int_equal(rt_decode_rule(rt_request_rule(buf, RTM_NEWRULE, 0, &r), &again),
				 0);
		assert_memory_equal(&again, &r, sizeof(r));
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_(freep) struct nlmsghdr *nlh = load(others[i]);
		struct rule r;

		print_message("  %s\n", others[i]);
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
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_routes_round_trip),
		cmocka_unit_test(test_routes_that_are_none),
		cmocka_unit_test(test_long_encapsulation),
		cmocka_unit_test(test_nexthops),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_dump_requests),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("rt", tests, NULL, NULL);
}
