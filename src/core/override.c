// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/override.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include "base/vec.h"

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))
#define WEIGHT_MAX                                                                                 \
	256 /* of a nexthop in a multipath route; groups of nexthop objects know larger ones */

/* A relevant route of the service in hand, nexthops resolved. */
struct relevant {
	struct route route;
	bool off; /* names a nexthop that new flows shall keep off */
};

/* What is collected while one service is worked on, and the result. */
struct builder {
	const struct service_set *services;
	const struct rib *rib;
	const struct registry *registry;
	const struct service *service;
	struct relevant *routes;
	size_t n_routes, cap_routes;
	struct override *list;
	size_t n, cap;
};

static void override_clear(struct override *o)
{
	for (size_t i = 0; i < o->n_routes; i++)
		free(o->routes[i].nexthops);
	free(o->routes);
	free(o->selectors);
	free(o->shields);
	free(o->without);
	*o = (struct override){ 0 };
}

void override_list_free(struct override *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		override_clear(&list[i]);
	free(list);
}

static void relevant_clear(struct builder *b)
{
	for (size_t i = 0; i < b->n_routes; i++)
		free(b->routes[i].route.nexthops);
	b->n_routes = 0;
}

static void builder_clear(struct builder *b)
{
	relevant_clear(b);
	free(b->routes);
	override_list_free(b->list, b->n);
}

static const struct binding *off_binding(const struct builder *b, const struct route_nexthop *nh)
{
	const struct binding *binding =
		registry_find(b->registry, b->service->name, &nh->gateway, nh->ifindex);

	return binding && binding_off(binding) ? binding : NULL;
}

static int collect_route(const struct route *route, const struct route_nexthop *nexthops, size_t n,
			 void *arg)
{
	struct builder *b = arg;
	struct relevant *list, *entry;

	list = vec_reserve(b->routes, b->n_routes, &b->cap_routes, sizeof(*list));
	if (!list)
		return -ENOMEM;
	b->routes = list;
	entry = &list[b->n_routes];
	*entry = (struct relevant){ .route = *route };
	entry->route.nh_id = 0;
	entry->route.nexthops = NULL;
	entry->route.n_nexthops = 0;
	b->n_routes++;
	/* One that has no nexthops (unreachable) still hides shorter ones. */
	if (route->type != RTN_UNICAST || n == 0)
		return 0;
	entry->route.nexthops = calloc(n, sizeof(*nexthops));
	if (!entry->route.nexthops)
		return -ENOMEM;
	memcpy(entry->route.nexthops, nexthops, n * sizeof(*nexthops));
	entry->route.n_nexthops = n;
	for (size_t i = 0; i < n && !entry->off; i++)
		entry->off = off_binding(b, &nexthops[i]);
	return 0;
}

/* By table, then longest prefix first, then address. Of equal prefixes the rib shows only the one
 * that carries traffic. */
static int relevant_order(const void *x, const void *y)
{
	const struct route_key *a = &((const struct relevant *)x)->route.key;
	const struct route_key *b = &((const struct relevant *)y)->route.key;
	int r;

	if ((r = COMPARE(a->table, b->table)) || (r = COMPARE(b->prefix.len, a->prefix.len)) ||
	    (r = ip_addr_compare(&a->prefix.addr, &b->prefix.addr)))
		return r;
	return COMPARE(a->metric, b->metric);
}

static void scale_weights(struct route *r)
{
	uint32_t max = 0;

	for (size_t i = 0; i < r->n_nexthops; i++)
		if (r->nexthops[i].weight > max)
			max = r->nexthops[i].weight;
	for (size_t i = 0; max > WEIGHT_MAX && i < r->n_nexthops; i++) {
		uint32_t weight = r->nexthops[i].weight * (uint32_t)WEIGHT_MAX / max;

		r->nexthops[i].weight = weight > 0 ? (uint16_t)weight : 1;
	}
}

static int without_add(struct override *o, const struct binding *binding)
{
	struct nexthop_spec spec = { .addr = binding->nexthop->gateway }, *list;

	snprintf(spec.ifname, sizeof(spec.ifname), "%s", binding->nexthop->ifname);
	for (size_t i = 0; i < o->n_without; i++)
		if (nexthop_spec_matches(&o->without[i], &spec))
			return 0;
	list = reallocarray(o->without, o->n_without + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	o->without = list;
	list[o->n_without++] = spec;
	return 0;
}

/* True when the route without those nexthops can stand: some are left, and each can be written as
 * it was. */
static bool has_rest(const struct builder *b, const struct route *route)
{
	size_t left = 0;

	for (size_t i = 0; i < route->n_nexthops; i++) {
		const struct route_nexthop *nh = &route->nexthops[i];

		if (off_binding(b, nh))
			continue;
		/* An encapsulation that was too long to be kept: a copy without it would send bare
		 * packets. */
		if (nh->encap_type != 0 && nh->encap_len == 0)
			return false;
		left++;
	}
	return left > 0;
}

/* Adds a copy of the route without the nexthops that are off. */
static int override_add_route(const struct builder *b, struct override *o, size_t *cap,
			      const struct route *route)
{
	struct route copy = *route, *list;
	int r;

	list = vec_reserve(o->routes, o->n_routes, cap, sizeof(*list));
	if (!list)
		return -ENOMEM;
	o->routes = list;
	copy.key.table = 0;
	copy.n_nexthops = 0;
	copy.nexthops = calloc(route->n_nexthops, sizeof(*copy.nexthops));
	if (!copy.nexthops)
		return -ENOMEM;
	list[o->n_routes] = copy;
	list += o->n_routes++;
	for (size_t i = 0; i < route->n_nexthops; i++) {
		const struct binding *off = off_binding(b, &route->nexthops[i]);

		if (!off) {
			list->nexthops[list->n_nexthops++] = route->nexthops[i];
			continue;
		}
		r = without_add(o, off);
		if (r < 0)
			return r;
	}
	scale_weights(list);
	return 0;
}

static int add_selector(struct override_selector **list, size_t *n, const struct ip_prefix *to,
			uint8_t proto, const struct port_range *ports)
{
	struct override_selector *grown = reallocarray(*list, *n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[(*n)++] = (struct override_selector){ .to = *to, .proto = proto, .ports = *ports };
	return 0;
}

static bool has_proto(const struct service *s, uint8_t proto)
{
	for (size_t i = 0; i < s->n_protos; i++)
		if (s->protos[i] == proto)
			return true;
	return false;
}

/* Whether packets to `inner` ports belong to another service that has them, instead of to the one
 * of `outer`. */
static bool ports_win(const struct port_range *inner, const struct port_range *outer,
		      bool same_prefix)
{
	if (inner->last < outer->first || inner->first > outer->last)
		return false;
	if (!same_prefix)
		return true;
	return inner->first >= outer->first && inner->last <= outer->last &&
	       (inner->first > outer->first || inner->last < outer->last);
}

/* Shields against one prefix of another service. */
static int shield_from(struct override *o, const struct service *other, const struct ip_prefix *to)
{
	bool same = ip_prefix_equal(to, &o->to);

	for (size_t p = 0; p < other->n_protos; p++) {
		for (size_t k = 0; k < other->n_ports; k++) {
			bool wins = false;
			int r;

			for (size_t i = 0; i < o->n_selectors && !wins; i++)
				wins = o->selectors[i].proto == other->protos[p] &&
				       ports_win(&other->ports[k], &o->selectors[i].ports, same);
			if (!wins)
				continue;
			r = add_selector(&o->shields, &o->n_shields, to, other->protos[p],
					 &other->ports[k]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int add_shields(const struct builder *b, struct override *o)
{
	for (size_t i = 0; i < b->services->n; i++) {
		const struct service *other = &b->services->list[i];

		if (other == b->service)
			continue;
		for (size_t k = 0; k < other->n_prefixes; k++) {
			int r = 0;

			if (ip_prefix_contains(&o->to, &other->prefixes[k]))
				r = shield_from(o, other, &other->prefixes[k]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int add_selectors(const struct builder *b, struct override *o,
			 const struct port_range *ports, size_t n_ports)
{
	for (size_t p = 0; p < b->service->n_protos; p++) {
		for (size_t k = 0; k < n_ports; k++) {
			int r = add_selector(&o->selectors, &o->n_selectors, &o->to,
					     b->service->protos[p], &ports[k]);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int override_start(struct builder *b, const struct ip_prefix *to,
			  const struct port_range *ports, size_t n_ports,
			  const struct route_key *key, struct override **ret_override)
{
	struct override *list = vec_reserve(b->list, b->n, &b->cap, sizeof(*list));
	struct override *o;
	int r;

	if (!list)
		return -ENOMEM;
	b->list = list;
	o = &list[b->n++];
	*o = (struct override){ .to = *to, .source_table = key->table, .len = key->prefix.len };
	memcpy(o->service, b->service->name, sizeof(o->service));
	r = add_selectors(b, o, ports, n_ports);
	if (r == 0)
		r = add_shields(b, o);
	if (r < 0)
		return r;
	*ret_override = o;
	return 0;
}

/* All overrides of one prefix and these ports. The routes come sorted by table and longest first:
 * each length is a group. */
static int build_prefix(struct builder *b, const struct ip_prefix *to,
			const struct port_range *ports, size_t n_ports)
{
	struct override *o = NULL;
	uint32_t table = 0;
	size_t cap = 0;
	int cover = -1;

	for (size_t i = 0; i < b->n_routes; i++) {
		const struct route *route = &b->routes[i].route;
		const struct route_key *key = &route->key;
		bool covers = ip_prefix_contains(&key->prefix, to);
		int r = 0;

		if (i == 0 || key->table != table)
			cover = -1;
		table = key->table;
		/* Behind the longest route that covers the prefix, shorter ones carry none of its
		 * traffic. */
		if (covers ? cover > key->prefix.len : !ip_prefix_contains(to, &key->prefix))
			continue;
		if (covers)
			cover = key->prefix.len;
		if (!b->routes[i].off || !has_rest(b, route))
			continue;
		if (!o || o->source_table != key->table || o->len != key->prefix.len) {
			cap = 0;
			r = override_start(b, to, ports, n_ports, key, &o);
		}
		if (r == 0)
			r = override_add_route(b, o, &cap, route);
		if (r < 0)
			return r;
	}
	return 0;
}

/* True when another service has the same prefix and a common protocol, so that their ports decide.
 */
static bool has_rival(const struct builder *b, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < b->services->n; i++) {
		const struct service *other = &b->services->list[i];
		bool common = false;

		if (other == b->service)
			continue;
		for (size_t p = 0; p < other->n_protos; p++)
			common = common || has_proto(b->service, other->protos[p]);
		for (size_t k = 0; common && k < other->n_prefixes; k++)
			if (ip_prefix_equal(&other->prefixes[k], prefix))
				return true;
	}
	return false;
}

/* Whether new flows keep off any nexthop of the service. */
static bool has_off(const struct builder *b)
{
	const struct binding *binding;
	uint8_t cursor = 0;

	while ((binding = registry_binding_next(b->registry, &cursor)))
		if (binding_off(binding) && strcmp(binding->service, b->service->name) == 0)
			return true;
	return false;
}

static int build_service(struct builder *b, size_t index)
{
	const struct service *s = b->service = &b->services->list[index];
	bool any = false;
	int r;

	relevant_clear(b);
	/* The usual case, which must not cost more where there are many routes. */
	if (!has_off(b))
		return 0;
	r = rib_service_routes(b->rib, index, collect_route, b);
	if (r < 0)
		return r;
	for (size_t i = 0; i < b->n_routes && !any; i++)
		any = b->routes[i].off;
	if (!any)
		return 0;
	qsort(b->routes, b->n_routes, sizeof(*b->routes), relevant_order);
	for (size_t i = 0; i < s->n_prefixes; i++) {
		/* Each of two services may hold a narrow range inside a wide one of the other.
		 * Range by range they can be put in order, narrower ones first, so that a shield
		 * never leads past an override that its packets need. */
		bool split = has_rival(b, &s->prefixes[i]);
		size_t step = split ? 1 : s->n_ports;

		for (size_t k = 0; k < s->n_ports; k += step) {
			r = build_prefix(b, &s->prefixes[i], &s->ports[k], step);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The first range stands for all: where several services share a prefix there is only one. */
static uint32_t ports_width(const struct override *o)
{
	return (uint32_t)o->selectors->ports.last - o->selectors->ports.first;
}

static int override_order(const void *x, const void *y)
{
	const struct override *a = x, *b = y;
	int r;

	if ((r = COMPARE(b->to.len, a->to.len)) || (r = COMPARE(ports_width(a), ports_width(b))) ||
	    (r = ip_addr_compare(&a->to.addr, &b->to.addr)) ||
	    (r = strcmp(a->service, b->service)) ||
	    (r = COMPARE(a->selectors->ports.first, b->selectors->ports.first)) ||
	    (r = COMPARE(a->source_table, b->source_table)))
		return r;
	return COMPARE(b->len, a->len);
}

int override_list_build(const struct service_set *services, const struct rib *rib,
			const struct registry *registry, struct override **ret_list, size_t *ret_n)
{
	_cleanup_(builder_clear) struct builder b = { .services = services,
						      .rib = rib,
						      .registry = registry };

	for (size_t i = 0; i < services->n; i++) {
		int r = build_service(&b, i);

		if (r < 0)
			return r;
	}
	if (b.n > 1)
		qsort(b.list, b.n, sizeof(*b.list), override_order);
	*ret_list = TAKE_PTR(b.list);
	*ret_n = b.n;
	b.n = 0;
	return 0;
}
