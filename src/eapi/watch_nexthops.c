// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include "base/vec.h"
#include "eapi/watch.h"

/* Whether the nexthops that routes name are alive, by neighbours and ports. */

void watch_nexthops_begin(struct watch *w)
{
	for (size_t i = 0; i < w->n_nexthops; i++)
		w->nexthop[i].mark = false;
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->list[i].route.n; k++)
			if (w->list[i].route.via[k].addr.family)
				watch_nexthops_add(w, &w->list[i].route.via[k].addr);
}

void watch_nexthops_add(struct watch *w, const struct ip_addr *a)
{
	struct watched_nexthop *list;

	for (size_t i = 0; i < w->n_nexthops; i++) {
		if (ip_addr_equal(&w->nexthop[i].addr, a)) {
			w->nexthop[i].mark = true;
			return;
		}
	}
	list = vec_reserve(w->nexthop, w->n_nexthops, &w->cap_nexthops, sizeof(*list));
	if (!list)
		return;
	w->nexthop = list;
	list[w->n_nexthops++] = (struct watched_nexthop){ .addr = *a, .alive = true, .mark = true };
}

/* The interface that routes name for it, where the neighbour table has none. */
static void set_interface(const struct watch *w, struct watched_nexthop *h)
{
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->list[i].route.n; k++)
			if (ip_addr_equal(&w->list[i].route.via[k].addr, &h->addr))
				memcpy(h->interface, w->list[i].route.via[k].interface,
				       sizeof(h->interface));
}

static void judge(const struct watch *w, struct watched_nexthop *h, const struct topology *t)
{
	const struct neighbour *n = topology_neighbour(t, &h->addr);
	const char *place = n ? topology_place(t, n) : NULL;
	const struct port *port;

	/* What cannot be read says nothing. */
	if (!t->has_neighbours[h->addr.family == AF_INET6])
		return;
	if (!n) {
		h->alive = false;
		set_interface(w, h);
		return;
	}
	memcpy(h->interface, n->interface, sizeof(h->interface));
	/* A MAC address that aged out of the table is still where it was; a port that is down takes
	 * its entries with it. */
	if (place)
		snprintf(h->place, sizeof(h->place), "%s", place);
	port = h->place[0] && t->has_ports ? topology_port(t, h->place) : NULL;
	h->alive = !port || port->up;
}

void watch_nexthops_end(struct watch *w, const struct topology *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->n_nexthops; i++) {
		if (!w->nexthop[i].mark)
			continue;
		w->nexthop[kept] = w->nexthop[i];
		judge(w, &w->nexthop[kept++], t);
	}
	w->n_nexthops = kept;
}
