// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy_internal.h"

#include <errno.h>
#include <string.h>

/* The routes that should stand: one table per binding, one per override. */

static int add_blackhole(struct policy_state *s, const struct ip_prefix *prefix, uint32_t table)
{
	struct route route = {
		.key = { .prefix = *prefix, .table = table, .metric = BLACKHOLE_METRIC },
		.protocol = RT_PROTOCOL_FLOWPIN,
		.type = RTN_BLACKHOLE,
	};

	return policy_state_add_route(s, &route);
}

static int add_binding_route(struct policy_state *s, const struct policy_binding *b,
			     const struct ip_prefix *prefix, uint32_t table)
{
	struct route route = {
		.key = { .prefix = *prefix, .table = table, .metric = BINDING_METRIC },
		.protocol = RT_PROTOCOL_FLOWPIN,
		.type = RTN_UNICAST,
		.mtu = b->mtu,
	};
	struct route_nexthop *nh = calloc(1, sizeof(*nh));

	if (!nh)
		return -ENOMEM;
	nh->gateway = b->gateway;
	nh->ifindex = b->ifindex;
	nh->weight = 1;
	/* Always, whether or not the route that named the nexthop had it: the prefix that connects
	 * us to the gateway may be away for a moment (an address that is being replaced), and in
	 * this table the kernel would look for it behind the blackhole. The interface is known, so
	 * nothing is lost. */
	nh->onlink = b->gateway.family != 0;
	nh->encap_type = b->encap_type;
	nh->encap_len = b->encap_len;
	memcpy(nh->encap, b->encap, sizeof(nh->encap));
	route.nexthops = nh;
	route.n_nexthops = 1;
	return policy_state_add_route(s, &route);
}

static int add_binding(struct policy_state *s, const struct policy_model *m,
		       const struct policy_binding *b)
{
	uint32_t table = m->table_base + b->id;

	for (size_t i = 0; i < b->service->n_prefixes; i++) {
		const struct ip_prefix *prefix = &b->service->prefixes[i];
		bool v6 = prefix->addr.family == AF_INET6;
		int r;

		if (!(b->families & (v6 ? 2 : 1)))
			continue;
		/* There is no IPv6 route through an IPv4 gateway. */
		if (v6 && b->gateway.family == AF_INET)
			continue;
		r = add_blackhole(s, prefix, table);
		if (r == 0 && b->link_up)
			r = add_binding_route(s, b, prefix, table);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_override(struct policy_state *s, const struct override *o, uint32_t table)
{
	for (size_t i = 0; i < o->n_routes; i++) {
		struct route route;
		int r;

		r = policy_route_copy(&o->routes[i], &route);
		if (r < 0)
			return r;
		route.key.table = table;
		route.protocol = RT_PROTOCOL_FLOWPIN;
		route.nh_id = 0;
		r = policy_state_add_route(s, &route);
		if (r < 0)
			return r;
	}
	return 0;
}

int policy_want_routes(const struct policy_model *m, const struct policy_places *places,
		       struct policy_state *s)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_bindings; i++)
		r = add_binding(s, m, &m->bindings[i]);
	for (size_t i = 0; r == 0 && i < m->n_overrides; i++)
		if (places->list[i].table != 0)
			r = add_override(s, &m->overrides[i], places->list[i].table);
	return r;
}
