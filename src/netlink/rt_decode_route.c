// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/rt_decode.h"

#include <errno.h>
#include <string.h>
#include "base/vec.h"

/* What the kernel assumes for an IPv6 route without RTA_PRIORITY (IP6_RT_PRIO_USER). */
#define IPV6_DEFAULT_METRIC 1024

#define VIA_MIN (sizeof(struct rtvia) + 4)
#define VIA_MAX (sizeof(struct rtvia) + 16)

static const struct nl_attr_policy route_policy[RTA_NH_ID + 1] = {
	[RTA_DST] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[RTA_OIF] = { .kind = NL_ATTR_U32 },
	[RTA_GATEWAY] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[RTA_PRIORITY] = { .kind = NL_ATTR_U32 },
	[RTA_METRICS] = { .kind = NL_ATTR_NESTED },
	[RTA_MULTIPATH] = { .kind = NL_ATTR_BINARY, .min = sizeof(struct rtnexthop) },
	[RTA_TABLE] = { .kind = NL_ATTR_U32 },
	[RTA_VIA] = { .kind = NL_ATTR_BINARY, .min = VIA_MIN, .max = VIA_MAX },
	[RTA_ENCAP_TYPE] = { .kind = NL_ATTR_U16 },
	[RTA_ENCAP] = { .kind = NL_ATTR_BINARY },
	[RTA_NH_ID] = { .kind = NL_ATTR_U32 },
};
static const struct rt_kind route_kind = { RTM_NEWROUTE, RTM_DELROUTE, sizeof(struct rtmsg),
					   route_policy, ARRAY_SIZE(route_policy) };

/* Attributes inside one entry of RTA_MULTIPATH. */
static const struct nl_attr_policy hop_policy[RTA_ENCAP + 1] = {
	[RTA_GATEWAY] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[RTA_VIA] = { .kind = NL_ATTR_BINARY, .min = VIA_MIN, .max = VIA_MAX },
	[RTA_ENCAP_TYPE] = { .kind = NL_ATTR_U16 },
	[RTA_ENCAP] = { .kind = NL_ATTR_BINARY },
};

static const struct nl_attr_policy metrics_policy[RTAX_MTU + 1] = {
	[RTAX_MTU] = { .kind = NL_ATTR_U32 },
};

static int decode_hop(const struct nlattr *const *tb, uint8_t family, struct route_nexthop *nh)
{
	int r = 0;

	if (tb[RTA_GATEWAY])
		r = rt_decode_addr(tb[RTA_GATEWAY], family, &nh->gateway);
	else if (tb[RTA_VIA])
		r = rt_decode_via(tb[RTA_VIA], &nh->gateway);
	if (r < 0)
		return r;
	rt_decode_encap(tb[RTA_ENCAP_TYPE], tb[RTA_ENCAP], nh);
	return 0;
}

static int route_add_nexthop(struct route *route, size_t *cap, const struct route_nexthop *nh)
{
	struct route_nexthop *list =
		vec_reserve(route->nexthops, route->n_nexthops, cap, sizeof(*list));

	if (!list)
		return -ENOMEM;
	route->nexthops = list;
	list[route->n_nexthops++] = *nh;
	return 0;
}

static int decode_multipath(const struct nlattr *attr, uint8_t family, struct route *route)
{
	const char *at = mnl_attr_get_payload(attr);
	size_t left = mnl_attr_get_payload_len(attr), cap = 0;

	while (left > 0) {
		const struct nlattr *tb[ARRAY_SIZE(hop_policy)];
		const struct rtnexthop *hop = (const void *)at;
		struct route_nexthop nh = { 0 };
		size_t step;
		int r;

		if (left < sizeof(*hop) || hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
			return -EBADMSG;
		r = nl_attr_parse(at + sizeof(*hop), hop->rtnh_len - sizeof(*hop), hop_policy, tb,
				  ARRAY_SIZE(tb));
		if (r < 0)
			return r;
		nh.ifindex = (uint32_t)hop->rtnh_ifindex;
		nh.weight = (uint16_t)(hop->rtnh_hops + 1);
		nh.onlink = hop->rtnh_flags & RTNH_F_ONLINK;
		r = decode_hop(tb, family, &nh);
		if (r < 0)
			return r;
		r = route_add_nexthop(route, &cap, &nh);
		if (r < 0)
			return r;
		step = RTNH_ALIGN(hop->rtnh_len);
		if (step > left)
			step = left;
		at += step;
		left -= step;
	}
	return 0;
}

static int decode_nexthops(const struct nlattr *const *tb, const struct rtmsg *rtm,
			   struct route *route)
{
	struct route_nexthop nh = { .weight = 1, .onlink = rtm->rtm_flags & RTNH_F_ONLINK };
	size_t cap = 0;
	int r;

	if (tb[RTA_MULTIPATH])
		return decode_multipath(tb[RTA_MULTIPATH], rtm->rtm_family, route);
	if (!tb[RTA_OIF] && !tb[RTA_GATEWAY] && !tb[RTA_VIA])
		return 0;
	nh.ifindex = rt_decode_u32(tb[RTA_OIF], 0);
	r = decode_hop(tb, rtm->rtm_family, &nh);
	if (r < 0)
		return r;
	return route_add_nexthop(route, &cap, &nh);
}

static int decode_metrics(const struct nlattr *attr, uint32_t *ret_mtu)
{
	const struct nlattr *tb[ARRAY_SIZE(metrics_policy)];
	int r;

	r = nl_attr_parse(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr),
			  metrics_policy, tb, ARRAY_SIZE(tb));
	if (r < 0)
		return r;
	*ret_mtu = rt_decode_u32(tb[RTAX_MTU], 0);
	return 0;
}

static void route_clearp(struct route *r)
{
	route_clear(r);
}

int rt_decode_route(const struct nlmsghdr *nlh, struct route *ret_route)
{
	_cleanup_(route_clearp) struct route route = { 0 };
	const struct nlattr *tb[ARRAY_SIZE(route_policy)];
	const struct rtmsg *rtm;
	const void *header;
	int r;

	r = rt_decode_begin(nlh, &route_kind, tb, &header);
	if (r < 0)
		return r;
	rtm = header;
	/* Cached results of look-ups are no routes; a route that also looks at the source (IPv6
	 * subtrees) says nothing about all traffic to its prefix, which is what a struct route
	 * stands for. */
	if (rtm->rtm_flags & RTM_F_CLONED || rtm->rtm_src_len != 0)
		return -ENOMSG;
	r = rt_decode_prefix(tb[RTA_DST], rtm->rtm_family, rtm->rtm_dst_len, &route.key.prefix);
	if (r < 0)
		return r;
	route.key.table = rt_decode_u32(tb[RTA_TABLE], rtm->rtm_table);
	route.key.metric = rt_decode_u32(tb[RTA_PRIORITY],
					 rtm->rtm_family == AF_INET6 ? IPV6_DEFAULT_METRIC : 0);
	route.key.tos = rtm->rtm_tos;
	route.protocol = rtm->rtm_protocol;
	route.type = rtm->rtm_type;
	route.nh_id = rt_decode_u32(tb[RTA_NH_ID], 0);
	if (tb[RTA_METRICS]) {
		r = decode_metrics(tb[RTA_METRICS], &route.mtu);
		if (r < 0)
			return r;
	}
	if (route.type == RTN_UNICAST) {
		r = decode_nexthops(tb, rtm, &route);
		if (r < 0)
			return r;
	}
	*ret_route = route;
	route = (struct route){ 0 };
	return 0;
}

void route_clear(struct route *r)
{
	free(r->nexthops);
	*r = (struct route){ 0 };
}
