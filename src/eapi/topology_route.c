// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "eapi/reading_internal.h"
#include "eapi/topology.h"

#define WEIGHT_MAX 4000000

bool routes_each(struct json_object *model, const char *vrf,
		 void (*fn)(const struct ip_prefix *p, struct json_object *route, void *arg),
		 void *arg)
{
	struct json_object *vrfs = eapi_json_get(model, "vrfs");
	struct json_object *routes = vrfs ? eapi_json_get(eapi_json_get(vrfs, vrf), "routes")
					  : eapi_json_get(model, "routes");

	/* A VRF without this table is one without routes. */
	if (json_object_is_type(vrfs, json_type_object) && !routes)
		return true;
	if (!json_object_is_type(routes, json_type_object))
		return false;
	json_object_object_foreach(routes, key, route)
	{
		struct ip_prefix p;

		if (ip_prefix_parse(key, &p) == 0)
			fn(&p, route, arg);
	}
	return true;
}

int via_compare(const void *a, const void *b)
{
	const struct via *x = a, *y = b;
	int r = ip_addr_compare(&x->addr, &y->addr);

	if (r == 0)
		r = strcmp(x->interface, y->interface);
	return r ? r : (x->weight > y->weight) - (x->weight < y->weight);
}

int route_read_vias(struct json_object *route, struct vias *ret_route)
{
	struct json_object *vias = eapi_json_get(route, "vias");
	size_t n = json_object_is_type(vias, json_type_array) ? json_object_array_length(vias) : 0;
	struct vias r = { .via = calloc(n + 1, sizeof(*r.via)) };

	if (!r.via)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(vias, i);
		const char *addr = eapi_json_text(eapi_json_get(o, "nexthopAddr"));
		const char *interface = eapi_json_text(eapi_json_get(o, "interface"));
		struct via *v = &r.via[r.n++];
		double weight;

		/* The same nexthops with other weights send flows elsewhere. */
		if (eapi_json_double(eapi_json_get(o, "weight"), &weight) && weight > 0 &&
		    weight < WEIGHT_MAX)
			v->weight = (uint32_t)(weight * 1000);
		if (interface)
			interface_normalize(interface, v->interface);
		if (addr && addr[0] && reading_parse_addr(addr, &v->addr) < 0)
			v->addr = (struct ip_addr){ 0 };
	}
	if (r.n > 1)
		qsort(r.via, r.n, sizeof(*r.via), via_compare);
	*ret_route = r;
	return 0;
}

struct best {
	const struct ip_addr *dst;
	struct json_object *route;
	struct ip_prefix prefix;
};

static void pick(const struct ip_prefix *p, struct json_object *route, void *arg)
{
	struct best *b = arg;

	if (ip_prefix_contains_addr(p, b->dst) && (!b->route || p->len > b->prefix.len)) {
		b->prefix = *p;
		b->route = route;
	}
}

int route_read(struct json_object *model, const char *vrf, const struct ip_addr *dst,
	       struct ip_prefix *ret_prefix, struct vias *ret_route)
{
	struct best b = { .dst = dst };
	int r;

	if (!routes_each(model, vrf, pick, &b))
		return -EBADMSG;
	r = b.route ? route_read_vias(b.route, ret_route) : -ENOENT;
	if (r == 0 && ret_prefix)
		*ret_prefix = b.prefix;
	return r;
}

bool vias_equal(const struct vias *a, const struct vias *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (via_compare(&a->via[i], &b->via[i]) != 0)
			return false;
	return true;
}

bool vias_copy(const struct vias *r, struct vias *ret_copy)
{
	struct via *via = calloc(r->n + 1, sizeof(*via));

	if (!via)
		return false;
	if (r->n)
		memcpy(via, r->via, r->n * sizeof(*via));
	vias_clear(ret_copy);
	*ret_copy = (struct vias){ .via = via, .n = r->n };
	return true;
}

void vias_clear(struct vias *r)
{
	free(r->via);
	*r = (struct vias){ 0 };
}

int topology_route_nexthop(const struct topology *t, const struct vias *r, const char *interface,
			   struct ip_addr *ret_nexthop)
{
	const struct port *port = topology_port(t, interface);
	const struct ip_addr *found = NULL;

	for (size_t i = 0; i < r->n; i++) {
		const struct via *v = &r->via[i];
		const struct neighbour *n = v->addr.family ? topology_neighbour(t, &v->addr) : NULL;
		const char *place = n ? topology_place(t, n) : NULL;
		bool match = strcmp(v->interface, interface) == 0 ||
			     (place && strcmp(place, interface) == 0);

		if (port && port->channel[0])
			match |= strcmp(v->interface, port->channel) == 0 ||
				 (place && strcmp(place, port->channel) == 0);
		if (!match || v->addr.family == 0)
			continue;
		if (found && !ip_addr_equal(found, &v->addr))
			return -ENOTUNIQ;
		found = &v->addr;
	}
	if (!found)
		return -ENOENT;
	*ret_nexthop = *found;
	return 0;
}
