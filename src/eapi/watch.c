// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/watch.h"

#include <errno.h>
#include <string.h>
#include "base/vec.h"

static void routes_free(struct watched_route *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		vias_clear(&list[i].vias);
	free(list);
}

static void watched_clear(struct watched *w)
{
	vias_clear(&w->route);
	routes_free(w->routes, w->n_routes);
	w->routes = NULL;
	w->n_routes = 0;
}

int watch_init(struct watch *w, const struct service_set *services)
{
	struct watch new = { .service = services->list, .n_services = services->n };
	size_t n = 0;

	for (size_t i = 0; i < services->n; i++)
		n += services->list[i].n_prefixes;
	new.cap = n + WATCH_DESTINATIONS;
	new.list = calloc(new.cap, sizeof(*new.list));
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
	new.n_fixed = new.n;
	*w = new;
	return 0;
}

void watch_clear(struct watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		watched_clear(&w->list[i]);
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
	struct watched_route *routes;
	size_t n, cap;
	bool failed;
};

static void add_route(struct collect *c, const struct ip_prefix *p, struct vias *r)
{
	struct watched_route *list = vec_reserve(c->routes, c->n, &c->cap, sizeof(*list));

	if (!list) {
		vias_clear(r);
		c->failed = true;
		return;
	}
	c->routes = list;
	list[c->n++] = (struct watched_route){ .prefix = *p, .vias = *r };
}

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

		while (k < c->all.n && via_compare(&c->all.via[k], &r.via[i]) != 0)
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
	add_route(c, p, &r);
}

/* The readings in a row that show this route go on, or begin. Takes `new` over. */
static void take_host(struct watched *w, struct vias *new, uint64_t now_ms)
{
	bool differs = w->read && !vias_equal(&w->route, new);

	if (!w->read || differs || w->since_ms == 0)
		w->since_ms = now_ms;
	w->changed |= differs;
	vias_clear(&w->route);
	w->route = *new;
	*new = (struct vias){ 0 };
	w->read = true;
	w->read_ms = now_ms;
}

/* Lists of routes are in this order. */
static int compare_routes(const void *a, const void *b)
{
	const struct ip_prefix *x = &((const struct watched_route *)a)->prefix;
	const struct ip_prefix *y = &((const struct watched_route *)b)->prefix;
	int r = ip_addr_compare(&x->addr, &y->addr);

	return r ? r : (x->len > y->len) - (x->len < y->len);
}

static struct watched_route *find_exact(struct watched_route *list, size_t n,
					const struct ip_prefix *p)
{
	const struct watched_route key = { .prefix = *p };

	return n ? bsearch(&key, list, n, sizeof(*list), compare_routes) : NULL;
}

/* A route that is gone may have been that of any address of a route around it. */
static void take_gone(struct collect *c, const struct watched_route *gone, uint64_t unlike_ms,
		      uint64_t now_ms)
{
	for (unsigned len = 0; len < gone->prefix.len; len++) {
		struct ip_prefix around = ip_prefix_make(&gone->prefix.addr, (uint8_t)len);
		struct watched_route *r = find_exact(c->routes, c->n, &around);

		if (!r)
			continue;
		r->since_ms = now_ms;
		r->unlike_ms = unlike_ms;
		r->changed = true;
	}
}

static void take_network(struct watched *w, struct collect *c, uint64_t now_ms)
{
	if (c->n)
		qsort(c->routes, c->n, sizeof(*c->routes), compare_routes);
	for (size_t i = 0; i < c->n; i++) {
		struct watched_route *new = &c->routes[i];
		const struct watched_route *old = find_exact(w->routes, w->n_routes, &new->prefix);
		bool same = old && vias_equal(&old->vias, &new->vias);

		new->since_ms = same && old->since_ms ? old->since_ms : now_ms;
		new->unlike_ms = same ? old->unlike_ms : w->read_ms;
		new->changed = w->read && (!same || old->changed);
	}
	for (size_t i = 0; i < w->n_routes; i++)
		if (!find_exact(c->routes, c->n, &w->routes[i].prefix))
			take_gone(c, &w->routes[i], w->read_ms, now_ms);
	watched_clear(w);
	w->routes = c->routes;
	w->n_routes = c->n;
	w->route = c->all;
	w->read = true;
	w->read_ms = now_ms;
}

bool watch_read(struct watched *w, const char *vrf, struct json_object *model, uint64_t now_ms)
{
	struct collect c = { .w = w };
	struct vias new = { 0 };

	if (is_host(&w->prefix)) {
		int r = route_read(model, vrf, &w->prefix.addr, NULL, &new);

		if (r == 0 || r == -ENOENT)
			take_host(w, &new, now_ms);
		return r == 0 || r == -ENOENT;
	}
	if (!routes_each(model, vrf, collect, &c) || c.failed) {
		vias_clear(&c.all);
		routes_free(c.routes, c.n);
		return false;
	}
	if (c.all.n > 1)
		qsort(c.all.via, c.all.n, sizeof(*c.all.via), via_compare);
	if (w->form == WATCH_ONE) {
		/* Of one address only: it says nothing about the others. */
		routes_free(c.routes, c.n);
		c.routes = NULL;
		c.n = 0;
	}
	take_network(w, &c, now_ms);
	return true;
}

/* --- destinations */

static struct watched *find_host(const struct watch *w, const struct ip_addr *a)
{
	for (size_t i = 0; i < w->n; i++)
		if (is_host(&w->list[i].prefix) && ip_addr_equal(&w->list[i].prefix.addr, a))
			return &w->list[i];
	return NULL;
}

/* The most specific of the networks that hold it. */
static struct watched *find_network(const struct watch *w, const struct ip_addr *a)
{
	struct watched *best = NULL;

	for (size_t i = 0; i < w->n_fixed; i++)
		if (ip_prefix_contains_addr(&w->list[i].prefix, a) &&
		    (!best || w->list[i].prefix.len > best->prefix.len))
			best = &w->list[i];
	return best;
}

/* The most specific route of this network that holds it. */
static struct watched_route *find_route(const struct watched *w, const struct ip_addr *a)
{
	struct watched_route *r = NULL;

	for (int len = ip_family_bits(a->family); w && w->n_routes && !r && len >= 0; len--) {
		struct ip_prefix p = ip_prefix_make(a, (uint8_t)len);

		r = find_exact(w->routes, w->n_routes, &p);
	}
	return r;
}

void watch_begin_round(struct watch *w, uint64_t now_ms)
{
	size_t due = 0;

	for (size_t i = w->n_fixed; i < w->n;) {
		w->list[i].due = false;
		if (now_ms - w->list[i].used_ms < WATCH_UNUSED_MS) {
			i++;
			continue;
		}
		watched_clear(&w->list[i]);
		w->list[i] = w->list[--w->n];
	}
	/* Those that were read longest ago. */
	for (; due < WATCH_ROUND; due++) {
		struct watched *oldest = NULL;

		for (size_t i = w->n_fixed; i < w->n; i++)
			if (!w->list[i].due && (!oldest || w->list[i].read_ms < oldest->read_ms))
				oldest = &w->list[i];
		if (!oldest)
			break;
		oldest->due = true;
	}
}

static struct watched *add_destination(struct watch *w, const struct ip_addr *a)
{
	struct watched *d;

	if (w->n < w->cap) {
		d = &w->list[w->n++];
	} else {
		/* Instead of the one that was used longest ago; there is room for some. */
		d = &w->list[w->n_fixed];
		for (size_t i = w->n_fixed + 1; i < w->n; i++)
			if (w->list[i].used_ms < d->used_ms)
				d = &w->list[i];
		watched_clear(d);
	}
	*d = (struct watched){ .prefix = { .addr = *a, .len = ip_family_bits(a->family) } };
	return d;
}

void watch_note(struct watch *w, const struct ip_addr *a, const struct vias *route, uint64_t now_ms)
{
	struct watched *h = find_host(w, a), *network = find_network(w, a);
	struct watched_route *r = find_route(network, a);
	bool differs = r && !vias_equal(&r->vias, route);
	struct vias copy = { 0 };

	if (!network || !vias_copy(route, &copy))
		return;
	/* From now on it is the destination's own readings that count. */
	if (differs)
		r->since_ms = 0;
	if (!h && (!r || differs)) {
		h = add_destination(w, a);
		h->changed = differs;
		w->news = true;
	}
	if (h) {
		h->used_ms = now_ms;
		w->news |= h->read && !vias_equal(&h->route, route);
		take_host(h, &copy, now_ms);
	}
	vias_clear(&copy);
}

static bool is_proven(uint64_t since_ms, uint64_t seen_ms)
{
	return since_ms && since_ms + WATCH_LATE_MS <= seen_ms;
}

enum watch_proof watch_prove(const struct watch *w, const struct ip_addr *a,
			     const struct vias *route, uint64_t seen_ms)
{
	const struct watched *h = find_host(w, a);
	const struct watched_route *r = find_route(find_network(w, a), a);
	bool changed = (h && h->changed) || (r && r->changed), host, network;

	/* One that a destination's own reading contradicted has nothing to say until it is read
	 * again. */
	if (h && r && r->since_ms == 0)
		r = NULL;
	if ((!h || !h->read) && !r)
		return WATCH_UNREAD;
	if ((h && !vias_equal(&h->route, route)) || (r && !vias_equal(&r->vias, route)))
		return WATCH_CHANGED;
	host = h && is_proven(h->since_ms, seen_ms);
	network = !r || is_proven(r->since_ms, seen_ms) || (host && r->unlike_ms < h->since_ms);
	if ((!h || host) && network)
		return WATCH_PROVEN;
	return changed ? WATCH_CHANGED : WATCH_UNREAD;
}

const struct vias *watch_route(const struct watch *w, const struct ip_addr *a)
{
	const struct watched *h = find_host(w, a), *network = find_network(w, a);
	const struct watched_route *r = find_route(network, a);

	if (h && h->read)
		return &h->route;
	return r ? &r->vias : network && network->read ? &network->route : NULL;
}

/* --- nexthops */

static bool is_of(const struct watch *w, const struct watched *x, const struct service *s)
{
	bool destination = x >= w->list + w->n_fixed;

	for (size_t i = 0; i < s->n_prefixes; i++)
		if (destination ? ip_prefix_contains(&s->prefixes[i], &x->prefix)
				: ip_prefix_equal(&s->prefixes[i], &x->prefix))
			return true;
	return false;
}

bool watch_names(const struct watch *w, size_t service, const struct ip_addr *nexthop)
{
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->list[i].route.n; k++)
			if (ip_addr_equal(&w->list[i].route.via[k].addr, nexthop) &&
			    is_of(w, &w->list[i], &w->service[service]))
				return true;
	return false;
}
