// SPDX-License-Identifier: GPL-2.0-or-later
#include "rt_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_routes_round_trip),
		cmocka_unit_test(test_routes_that_are_none),
		cmocka_unit_test(test_long_encapsulation),
	};

	return cmocka_run_group_tests_name("rt_route", tests, NULL, NULL);
}
