// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/watch.h"

#include <errno.h>
#include <string.h>
#include "base/vec.h"

int watch_init(struct watch *w, const struct service_set *services)
{
	struct watch new = { .service = services->list, .n_services = services->n };
	size_t n = 0;

	for (size_t i = 0; i < services->n; i++)
		n += services->list[i].n_prefixes;
	new.list = calloc(n + 1, sizeof(*new.list));
	if (!new.list)
		return -ENOMEM;
	for (size_t i = 0; i < services->n; i++) {
		for (size_t k = 0; k < services->list[i].n_prefixes; k++) {
			const struct ip_prefix *p = &services->list[i].prefixes[k];
			bool twice = false;

			for (size_t j = 0; j < new.n; j++)
				twice |= ip_prefix_equal(&new.list[j].prefix, p);
			if (!twice)
				new.list[new.n++].prefix = *p;
		}
	}
	*w = new;
	return 0;
}

void watch_clear(struct watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		vias_clear(&w->list[i].route);
	free(w->list);
	free(w->nexthop);
	*w = (struct watch){ 0 };
}

static bool is_host(const struct ip_prefix *p)
{
	return p->len == ip_family_bits(p->addr.family);
}

bool watch_shares(const struct watched *w)
{
	return !is_host(&w->prefix) && w->form == WATCH_ALL;
}

bool watch_next_form(struct watched *w)
{
	if (is_host(&w->prefix) || w->form == WATCH_ONE)
		return false;
	w->form = w->form == WATCH_LONGER ? WATCH_ALL : WATCH_ONE;
	return true;
}

static const char *command(uint8_t family, const char *vrf, const char *what, char *buf,
			   size_t size)
{
	bool plain = strcmp(vrf, "default") == 0;

	snprintf(buf, size, "show %s route%s%s%s%s", family == AF_INET6 ? "ipv6" : "ip",
		 plain ? "" : " vrf ", plain ? "" : vrf, what[0] ? " " : "", what);
	return buf;
}

const char *watch_route_command(const struct ip_addr *a, const char *vrf, char *buf, size_t size)
{
	char addr[IP_ADDR_TEXT];

	return command(a->family, vrf, ip_addr_format(a, addr), buf, size);
}

const char *watch_command(const struct watched *w, const char *vrf, char *buf, size_t size)
{
	char what[IP_PREFIX_TEXT + 20], prefix[IP_PREFIX_TEXT];

	if (is_host(&w->prefix))
		return watch_route_command(&w->prefix.addr, vrf, buf, size);
	switch (w->form) {
	case WATCH_LONGER:
		snprintf(what, sizeof(what), "%s longer-prefixes",
			 ip_prefix_format(&w->prefix, prefix));
		return command(w->prefix.addr.family, vrf, what, buf, size);
	case WATCH_ALL:
		return command(w->prefix.addr.family, vrf, "", buf, size);
	case WATCH_ONE:
		break;
	}
	return watch_route_command(&w->prefix.addr, vrf, buf, size);
}

struct collect {
	const struct watched *w;
	struct vias all;
	bool failed;
};

static void collect(const struct ip_prefix *p, struct json_object *route, void *arg)
{
	struct collect *c = arg;
	struct vias r;

	/* A covering route counts as well: nothing more specific may be there. */
	if (c->failed ||
	    (!ip_prefix_contains(&c->w->prefix, p) && !ip_prefix_contains(p, &c->w->prefix)))
		return;
	if (route_read_vias(route, &r) < 0) {
		c->failed = true;
		return;
	}
	for (size_t i = 0; i < r.n; i++) {
		struct via *grown;
		size_t k = 0;

		while (k < c->all.n && memcmp(&c->all.via[k], &r.via[i], sizeof(r.via[i])) != 0)
			k++;
		if (k < c->all.n)
			continue;
		grown = realloc(c->all.via, (c->all.n + 1) * sizeof(*grown));
		if (!grown) {
			c->failed = true;
			break;
		}
		c->all.via = grown;
		grown[c->all.n++] = r.via[i];
	}
	vias_clear(&r);
}

/* In whatever order the model had them. */
static int compare_vias(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct via));
}

bool watch_read(struct watched *w, const char *vrf, struct json_object *model, uint64_t now_ms)
{
	struct vias new = { 0 };

	if (is_host(&w->prefix)) {
		int r = route_read(model, vrf, &w->prefix.addr, &new);

		if (r < 0 && r != -ENOENT)
			return false;
	} else {
		struct collect c = { .w = w };

		if (!routes_each(model, vrf, collect, &c) || c.failed) {
			vias_clear(&c.all);
			return false;
		}
		new = c.all;
		if (new.n > 1)
			qsort(new.via, new.n, sizeof(*new.via), compare_vias);
	}
	if (w->read && !vias_equal(&w->route, &new))
		w->changed_ms = now_ms;
	vias_clear(&w->route);
	w->route = new;
	w->read = true;
	return true;
}

const struct watched *watch_find(const struct watch *w, const struct ip_addr *a)
{
	const struct watched *best = NULL;

	for (size_t i = 0; i < w->n; i++)
		if (ip_prefix_contains_addr(&w->list[i].prefix, a) &&
		    (!best || w->list[i].prefix.len > best->prefix.len))
			best = &w->list[i];
	return best;
}

static bool is_of(const struct watched *w, const struct service *s)
{
	for (size_t i = 0; i < s->n_prefixes; i++)
		if (ip_prefix_equal(&s->prefixes[i], &w->prefix))
			return true;
	return false;
}

bool watch_names(const struct watch *w, size_t service, const struct ip_addr *nexthop)
{
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->list[i].route.n; k++)
			if (ip_addr_equal(&w->list[i].route.via[k].addr, nexthop) &&
			    is_of(&w->list[i], &w->service[service]))
				return true;
	return false;
}

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
