// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/rib_internal.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <search.h>
#include <string.h>
#include "base/vec.h"

/* RT_PROTOCOL_FLOWPIN: what we wrote ourselves says nothing about the network. */
#define PROTOCOL_OWN 157

int rib_new(const struct service_set *services, struct rib **ret_rib)
{
	_cleanup_(rib_freep) struct rib *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return -ENOMEM;
	r->set = services;
	r->services = calloc(services->n ? services->n : 1, sizeof(*r->services));
	if (!r->services)
		return -ENOMEM;
	ret = rib_watches_new(r);
	if (ret < 0)
		return ret;
	*ret_rib = TAKE_PTR(r);
	return 0;
}

static void entry_free(struct rib_entry *e)
{
	free(e->route.nexthops);
	free(e);
}

static void slot_free(struct rib_slot *s)
{
	free(s->entries);
	free(s->resolved);
	free(s->relevances);
	free(s);
}

static void tree_node_ignore(void *slot _unused_)
{
}

struct rib *rib_free(struct rib *r)
{
	if (!r)
		return NULL;
	tdestroy(r->tree, tree_node_ignore);
	for (struct rib_slot *s = r->slots, *next; s; s = next) {
		next = s->next;
		for (size_t i = 0; i < s->n_relevances; i++)
			free(s->relevances[i].references);
		for (size_t i = 0; i < s->n_entries; i++)
			entry_free(s->entries[i]);
		slot_free(s);
	}
	rib_objects_free(r);
	for (size_t i = 0; i < r->n_tables; i++) {
		free(r->tables[i]->covers);
		free(r->tables[i]);
	}
	free(r->tables);
	for (size_t i = 0; r->services && i < r->set->n; i++) {
		free(r->services[i].members);
		free(r->services[i].links);
		free(r->services[i].slots);
	}
	free(r->services);
	free(r->watches);
	free(r);
	return NULL;
}

static int slot_compare(const void *pa, const void *pb)
{
	const struct rib_slot *a = pa, *b = pb;
	int r;

	if (a->table->id != b->table->id)
		return a->table->id < b->table->id ? -1 : 1;
	r = ip_addr_compare(&a->prefix.addr, &b->prefix.addr);
	return r != 0 ? r : a->prefix.len - b->prefix.len;
}

struct rib_slot *rib_slot_find(const struct rib *r, const struct rib_table *t,
			       const struct ip_prefix *p)
{
	struct rib_slot key = { .prefix = *p, .table = (struct rib_table *)t };
	void *found = tfind(&key, (void *const *)&r->tree, slot_compare);

	return found ? *(struct rib_slot **)found : NULL;
}

static struct rib_table *table_find(const struct rib *r, uint32_t id)
{
	for (size_t i = 0; i < r->n_tables; i++)
		if (r->tables[i]->id == id)
			return r->tables[i];
	return NULL;
}

static int table_get(struct rib *r, uint32_t id, struct rib_table **ret_table)
{
	struct rib_table *t = table_find(r, id), **tables;

	if (!t) {
		tables = vec_reserve(r->tables, r->n_tables, &r->cap_tables,
				     sizeof(struct rib_table *));
		if (!tables)
			return -ENOMEM;
		r->tables = tables;
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->id = id;
		t->covers = calloc(r->n_watches ? r->n_watches : 1, sizeof(struct rib_slot *));
		if (!t->covers) {
			free(t);
			return -ENOMEM;
		}
		tables[r->n_tables++] = t;
	}
	*ret_table = t;
	return 0;
}

static uint32_t *slot_length_count(struct rib_slot *s)
{
	return &s->table->lengths[rib_family_index(s->prefix.addr.family)][s->prefix.len];
}

static int slot_add(struct rib *r, const struct route_key *key, enum rib_standing standing,
		    struct rib_slot **ret_slot)
{
	struct rib_slot *s;
	struct rib_table *t;
	int ret;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	ret = table_get(r, key->table, &t);
	if (ret < 0) {
		free(s);
		return ret;
	}
	s->prefix = key->prefix;
	s->table = t;
	s->keep_all = standing == RIB_STANDING_FULL;
	if (!tsearch(s, &r->tree, slot_compare)) {
		free(s);
		return -ENOMEM;
	}
	++*slot_length_count(s);
	s->next = r->slots;
	if (s->next)
		s->next->prev = s;
	r->slots = s;
	ret = rib_covers_take(r, s);
	if (ret < 0)
		return rib_slot_remove(r, s) < 0 ? -ENOMEM : ret;
	*ret_slot = s;
	return 0;
}

void rib_entry_remove(struct rib *r, struct rib_entry *e)
{
	struct rib_slot *s = e->slot;
	size_t i = 0;

	while (s->entries[i] != e)
		i++;
	memmove(s->entries + i, s->entries + i + 1,
		(s->n_entries - i - 1) * sizeof(struct rib_entry *));
	s->n_entries--;
	r->n_routes--;
	rib_object_unuse(r, e);
	entry_free(e);
}

int rib_slot_remove(struct rib *r, struct rib_slot *s)
{
	int ret;

	tdelete(s, &r->tree, slot_compare);
	--*slot_length_count(s);
	ret = rib_covers_leave(r, s);
	rib_relevances_free(r, s);
	while (s->n_entries > 0)
		rib_entry_remove(r, s->entries[s->n_entries - 1]);
	if (s->prev)
		s->prev->next = s->next;
	else
		r->slots = s->next;
	if (s->next)
		s->next->prev = s->prev;
	slot_free(s);
	return ret;
}

/* Of routes with one key, IPv6 joins those with gateways into one, and tells it whole. */
static bool joins(const struct route *route)
{
	if (route->key.prefix.addr.family != AF_INET6 || route->type != RTN_UNICAST || route->nh_id)
		return false;
	for (size_t i = 0; i < route->n_nexthops; i++)
		if (route->nexthops[i].gateway.family == 0)
			return false;
	return route->n_nexthops > 0;
}

static bool route_equal(const struct route *a, const struct route *b)
{
	return a->protocol == b->protocol && a->type == b->type && a->mtu == b->mtu &&
	       a->nh_id == b->nh_id &&
	       rib_nexthops_equal(a->nexthops, a->n_nexthops, b->nexthops, b->n_nexthops);
}

/* Where a route goes among those of its slot: *ret_index, in the place of the one there when
 * *ret_replace. True when it stands there already, just like that. */
static bool entry_place(struct rib *r, struct rib_slot *s, const struct route *route, bool append,
			size_t *ret_index, bool *ret_replace)
{
	size_t first = 0, end, stale;

	while (first < s->n_entries && s->entries[first]->route.key.metric < route->key.metric)
		first++;
	for (end = first;
	     end < s->n_entries && s->entries[end]->route.key.metric == route->key.metric; end++) {
		if (route_equal(&s->entries[end]->route, route) && (append || end == first)) {
			s->entries[end]->generation = r->generation;
			return true;
		}
	}
	/* A dump tells routes of one key in their order: each replaces one from before. */
	for (stale = first;
	     r->syncing && stale < end && s->entries[stale]->generation == r->generation;)
		stale++;
	if (append && joins(route)) {
		for (*ret_index = first;
		     *ret_index < end && !joins(&s->entries[*ret_index]->route);)
			++*ret_index;
	} else if (append) {
		*ret_index = r->syncing ? stale : end;
	} else {
		*ret_index = first;
	}
	*ret_replace = *ret_index < end;
	return false;
}

static int entry_new(struct rib *r, struct rib_slot *s, const struct route *route,
		     struct rib_entry **ret_entry)
{
	struct rib_entry *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return -ENOMEM;
	e->route = *route;
	e->route.nexthops =
		calloc(route->n_nexthops ? route->n_nexthops : 1, sizeof(*route->nexthops));
	if (!e->route.nexthops) {
		free(e);
		return -ENOMEM;
	}
	if (route->n_nexthops > 0)
		memcpy(e->route.nexthops, route->nexthops,
		       route->n_nexthops * sizeof(*route->nexthops));
	e->slot = s;
	e->generation = r->generation;
	ret = rib_object_use(r, e);
	if (ret < 0) {
		entry_free(e);
		return ret;
	}
	*ret_entry = e;
	return 0;
}

static int entry_put(struct rib *r, struct rib_slot *s, const struct route *route, bool append)
{
	struct rib_entry *e, **entries;
	bool replace;
	size_t at;
	int ret;

	if (entry_place(r, s, route, append, &at, &replace))
		return 0;
	entries =
		vec_reserve(s->entries, s->n_entries, &s->cap_entries, sizeof(struct rib_entry *));
	if (!entries)
		return -ENOMEM;
	s->entries = entries;
	ret = entry_new(r, s, route, &e);
	if (ret < 0)
		return ret;
	memmove(entries + at + 1, entries + at, (s->n_entries - at) * sizeof(struct rib_entry *));
	entries[at] = e;
	s->n_entries++;
	r->n_routes++;
	if (replace)
		rib_entry_remove(r, entries[at + 1]);
	return 0;
}

static bool is_ignored(const struct route *route)
{
	return route->key.tos != 0 || route->key.table == RT_TABLE_LOCAL ||
	       route->protocol == PROTOCOL_OWN;
}

int rib_route_add(struct rib *r, const struct route *route, bool append)
{
	enum rib_standing standing = rib_standing_of(r, &route->key.prefix);
	struct rib_table *t = table_find(r, route->key.table);
	struct rib_slot *s = t ? rib_slot_find(r, t, &route->key.prefix) : NULL;
	uint64_t before = r->changes;
	int ret = 0, refreshed;

	if (standing == RIB_STANDING_NONE || is_ignored(route))
		return 0;
	if (!s) {
		if (standing == RIB_STANDING_INSIDE_ALL && !rib_route_is_multipath(r, route))
			return 0;
		ret = slot_add(r, &route->key, standing, &s);
		if (ret < 0)
			return ret;
	}
	ret = entry_put(r, s, route, append);
	refreshed = rib_slot_refresh(r, s);
	if (ret == 0)
		ret = refreshed;
	return ret < 0 ? ret : r->changes != before;
}

static bool names_hop(const struct route *route, const struct route_nexthop *h)
{
	for (size_t i = 0; i < route->n_nexthops; i++)
		if (rib_nexthop_same_hop(&route->nexthops[i], h))
			return true;
	return false;
}

/* Takes from a stored route the nexthops that the deleted one names. Returns how many went. */
static size_t nexthops_take(struct route *stored, const struct route *deleted)
{
	size_t kept = 0, n = stored->n_nexthops;

	for (size_t i = 0; i < n; i++)
		if (!names_hop(deleted, &stored->nexthops[i]))
			stored->nexthops[kept++] = stored->nexthops[i];
	stored->n_nexthops = kept;
	return n - kept;
}

static bool same_hops(const struct route *a, const struct route *b)
{
	if (a->type != b->type || a->nh_id != b->nh_id)
		return false;
	if (a->nh_id != 0)
		return true;
	if (a->n_nexthops != b->n_nexthops)
		return false;
	for (size_t i = 0; i < a->n_nexthops; i++)
		if (!names_hop(b, &a->nexthops[i]))
			return false;
	return true;
}

/* Of the routes with this key, the one that was deleted: with these very nexthops, or the only one
 * when the message names none. The kernel can hold further ones that we did not store, so the key
 * alone is not enough. */
static struct rib_entry *entry_deleted(const struct rib_slot *s, const struct route *route)
{
	struct rib_entry *only = NULL;
	size_t n = 0;

	for (size_t i = 0; i < s->n_entries; i++) {
		if (s->entries[i]->route.key.metric != route->key.metric)
			continue;
		if (same_hops(&s->entries[i]->route, route))
			return s->entries[i];
		only = s->entries[i];
		n++;
	}
	return n == 1 && route->n_nexthops == 0 && route->nh_id == 0 ? only : NULL;
}

static void slot_delete_route(struct rib *r, struct rib_slot *s, const struct route *route)
{
	struct rib_entry *e = entry_deleted(s, route);

	if (e) {
		rib_entry_remove(r, e);
		return;
	}
	/* IPv6: some nexthops of a multipath route. */
	for (size_t i = 0; i < s->n_entries; i++) {
		e = s->entries[i];
		if (e->route.key.metric != route->key.metric || !joins(&e->route) || !joins(route))
			continue;
		if (nexthops_take(&e->route, route) > 0) {
			if (e->route.n_nexthops == 0)
				rib_entry_remove(r, e);
			return;
		}
	}
}

int rib_route_del(struct rib *r, const struct route *route)
{
	struct rib_table *t = table_find(r, route->key.table);
	struct rib_slot *s = t ? rib_slot_find(r, t, &route->key.prefix) : NULL;
	uint64_t before = r->changes;
	int ret;

	if (!s || is_ignored(route))
		return 0;
	slot_delete_route(r, s, route);
	ret = rib_slot_refresh(r, s);
	return ret < 0 ? ret : r->changes != before;
}

void rib_sync_begin(struct rib *r)
{
	r->generation++;
	r->syncing = true;
	r->sync_changes = r->changes;
}

int rib_sync_end(struct rib *r)
{
	int ret = 0;

	r->syncing = false;
	for (struct rib_slot *s = r->slots, *next; s; s = next) {
		size_t n = s->n_entries;

		next = s->next;
		for (size_t i = s->n_entries; i-- > 0;)
			if (s->entries[i]->generation != r->generation)
				rib_entry_remove(r, s->entries[i]);
		if (s->n_entries != n) {
			int step = rib_slot_refresh(r, s);

			ret = ret == 0 ? step : ret;
		}
	}
	if (ret == 0)
		ret = rib_objects_sweep(r);
	return ret < 0 ? ret : r->changes != r->sync_changes;
}

const struct rib_member *rib_service_members(const struct rib *r, size_t service, size_t *ret_n)
{
	*ret_n = r->services[service].n_members;
	return r->services[service].members;
}

uint64_t rib_service_version(const struct rib *r, size_t service)
{
	return r->services[service].version;
}

int rib_service_routes(const struct rib *r, size_t service,
		       int (*fn)(const struct route *route, const struct route_nexthop *nexthops,
				 size_t n, void *arg),
		       void *arg)
{
	for (size_t i = 0; i < r->services[service].n_slots; i++) {
		const struct rib_slot *s = r->services[service].slots[i];
		int ret = fn(&s->entries[0]->route, s->resolved, s->n_resolved, arg);

		if (ret != 0)
			return ret;
	}
	return 0;
}

size_t rib_route_count(const struct rib *r)
{
	return r->n_routes;
}
