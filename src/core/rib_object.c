// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/rib_internal.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include "base/vec.h"

/* Index of the object with this id, or of where it would stand. */
static size_t object_index(const struct rib *r, uint32_t id)
{
	size_t low = 0, high = r->n_objects;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->objects[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct rib_object *object_find(const struct rib *r, uint32_t id)
{
	size_t i = object_index(r, id);

	return i < r->n_objects && r->objects[i]->id == id ? r->objects[i] : NULL;
}

static int object_get(struct rib *r, uint32_t id, struct rib_object **ret_object)
{
	size_t i = object_index(r, id);
	struct rib_object **objects, *o;

	if (i == r->n_objects || r->objects[i]->id != id) {
		objects = vec_reserve(r->objects, r->n_objects, &r->cap_objects,
				      sizeof(struct rib_object *));
		if (!objects)
			return -ENOMEM;
		r->objects = objects;
		o = calloc(1, sizeof(*o));
		if (!o)
			return -ENOMEM;
		o->id = id;
		memmove(objects + i + 1, objects + i,
			(r->n_objects - i) * sizeof(struct rib_object *));
		objects[i] = o;
		r->n_objects++;
	}
	*ret_object = r->objects[i];
	return 0;
}

static void object_forget(struct rib_object *o)
{
	free(o->object.members);
	o->object = (struct nexthop_object){ .id = o->id };
	o->known = false;
}

/* Frees what nobody names and nobody told us of. */
static void object_collect(struct rib *r, struct rib_object *o)
{
	size_t i = object_index(r, o->id);

	if (o->known || o->users)
		return;
	memmove(r->objects + i, r->objects + i + 1,
		(r->n_objects - i - 1) * sizeof(struct rib_object *));
	r->n_objects--;
	free(o);
}

int rib_object_use(struct rib *r, struct rib_entry *e)
{
	struct rib_object *o;
	int ret;

	if (e->route.nh_id == 0)
		return 0;
	ret = object_get(r, e->route.nh_id, &o);
	if (ret < 0)
		return ret;
	e->object = o;
	e->user_prev = NULL;
	e->user_next = o->users;
	if (e->user_next)
		e->user_next->user_prev = e;
	o->users = e;
	return 0;
}

void rib_object_unuse(struct rib *r, struct rib_entry *e)
{
	struct rib_object *o = e->object;

	if (!o)
		return;
	if (e->user_prev)
		e->user_prev->user_next = e->user_next;
	else
		o->users = e->user_next;
	if (e->user_next)
		e->user_next->user_prev = e->user_prev;
	e->object = NULL;
	object_collect(r, o);
}

bool rib_route_is_multipath(const struct rib *r, const struct route *route)
{
	const struct rib_object *o = route->nh_id ? object_find(r, route->nh_id) : NULL;

	if (route->type != RTN_UNICAST)
		return false;
	if (o && o->known)
		return o->object.n_members > 0;
	return route->n_nexthops > 1 || route->nh_id != 0;
}

static size_t object_expand(const struct rib *r, const struct rib_object *o,
			    struct route_nexthop *ret_nexthops)
{
	size_t n = 0;

	if (o->object.n_members == 0) {
		if (!o->object.blackhole)
			ret_nexthops[n++] = o->object.single;
		return n;
	}
	for (size_t i = 0; i < o->object.n_members; i++) {
		const struct rib_object *m = object_find(r, o->object.members[i].id);

		/* The kernel takes no groups into groups. */
		if (!m || !m->known || m->object.n_members > 0 || m->object.blackhole)
			continue;
		ret_nexthops[n] = m->object.single;
		ret_nexthops[n++].weight = o->object.members[i].weight;
	}
	return n;
}

static int resolve(const struct rib *r, const struct rib_entry *e,
		   struct route_nexthop **ret_nexthops, size_t *ret_n)
{
	const struct rib_object *o = e->object && e->object->known ? e->object : NULL;
	size_t room = o ? o->object.n_members + 1 : e->route.n_nexthops + 1;
	struct route_nexthop *h;
	size_t n;

	if (e->route.type != RTN_UNICAST) {
		*ret_nexthops = NULL;
		*ret_n = 0;
		return 0;
	}
	h = calloc(room, sizeof(*h));
	if (!h)
		return -ENOMEM;
	n = o ? object_expand(r, o, h) : e->route.n_nexthops;
	if (!o && n > 0)
		memcpy(h, e->route.nexthops, n * sizeof(*h));
	*ret_nexthops = h;
	*ret_n = n;
	return 0;
}

static bool slot_is_kept(const struct rib *r, const struct rib_slot *s)
{
	if (s->keep_all)
		return s->n_entries > 0;
	for (size_t i = 0; i < s->n_entries; i++)
		if (rib_route_is_multipath(r, &s->entries[i]->route))
			return true;
	return false;
}

int rib_slot_refresh(struct rib *r, struct rib_slot *s)
{
	struct route_nexthop *resolved;
	size_t n;
	int ret;

	if (!slot_is_kept(r, s))
		return rib_slot_remove(r, s);
	ret = resolve(r, s->entries[0], &resolved, &n);
	if (ret < 0)
		return ret;
	return rib_slot_resolve(r, s, resolved, n, s->entries[0]->route.mtu,
				s->entries[0]->route.key.metric);
}

static int users_refresh(struct rib *r, struct rib_object *o)
{
	struct rib_entry *e = o->users, *next;
	int ret = 0;

	while (e && ret == 0) {
		/* The refresh may free the slot, and with it all its entries. */
		for (next = e->user_next; next && next->slot == e->slot;)
			next = next->user_next;
		ret = rib_slot_refresh(r, e->slot);
		e = next;
	}
	return ret;
}

static bool has_member(const struct rib_object *o, uint32_t id)
{
	for (size_t i = 0; i < o->object.n_members; i++)
		if (o->object.members[i].id == id)
			return true;
	return false;
}

/* Resolves anew what uses the object, directly and through groups. Objects that only routes name
 * may come and go meanwhile, so the way through the list is by id. */
static int object_spread(struct rib *r, uint32_t id)
{
	struct rib_object *o = object_find(r, id);
	int ret = o ? users_refresh(r, o) : 0;
	uint32_t last = 0;

	for (size_t i = 0; ret == 0 && i < r->n_objects; i = object_index(r, last + 1)) {
		o = r->objects[i];
		last = o->id;
		if (has_member(o, id))
			ret = users_refresh(r, o);
		if (last == UINT32_MAX)
			break;
	}
	return ret;
}

int rib_object_set(struct rib *r, const struct nexthop_object *object)
{
	_cleanup_(freep) struct nexthop_member *members = NULL;
	uint64_t before = r->changes;
	struct rib_object *o;
	int ret;

	if (object->n_members > 0) {
		members = calloc(object->n_members, sizeof(*members));
		if (!members)
			return -ENOMEM;
		memcpy(members, object->members, object->n_members * sizeof(*members));
	}
	ret = object_get(r, object->id, &o);
	if (ret < 0)
		return ret;
	object_forget(o);
	o->object = *object;
	o->object.members = TAKE_PTR(members);
	o->known = true;
	o->generation = r->generation;
	ret = object_spread(r, object->id);
	return ret < 0 ? ret : r->changes != before;
}

/* Takes out every route that names the object. */
static int object_drop_routes(struct rib *r, uint32_t id)
{
	struct rib_object *o;
	int ret = 0;

	while (ret == 0 && (o = object_find(r, id)) && o->users) {
		struct rib_slot *s = o->users->slot;

		rib_entry_remove(r, o->users);
		ret = rib_slot_refresh(r, s);
	}
	return ret;
}

static void member_remove(struct nexthop_object *group, uint32_t id)
{
	size_t n = 0;

	for (size_t i = 0; i < group->n_members; i++)
		if (group->members[i].id != id)
			group->members[n++] = group->members[i];
	group->n_members = n;
}

static int object_remove(struct rib *r, uint32_t id)
{
	struct rib_object *o = object_find(r, id);
	int ret;

	if (!o)
		return 0;
	object_forget(o);
	ret = object_drop_routes(r, id);
	o = object_find(r, id);
	if (o)
		object_collect(r, o);
	return ret;
}

int rib_object_del(struct rib *r, uint32_t id)
{
	uint64_t before = r->changes;
	int ret = object_remove(r, id);
	uint32_t last = 0;

	/* Groups lose it too, and one that has lost all is gone, as in the kernel. */
	for (size_t i = 0; ret == 0 && i < r->n_objects; i = object_index(r, last + 1)) {
		struct rib_object *group = r->objects[i];

		last = group->id;
		if (has_member(group, id)) {
			member_remove(&group->object, id);
			ret = group->object.n_members > 0 ? users_refresh(r, group)
							  : object_remove(r, last);
		}
		if (last == UINT32_MAX)
			break;
	}
	return ret < 0 ? ret : r->changes != before;
}

int rib_objects_sweep(struct rib *r)
{
	uint32_t last = 0;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < r->n_objects; i = object_index(r, last + 1)) {
		struct rib_object *o = r->objects[i];

		last = o->id;
		if (o->known && o->generation != r->generation) {
			/* Routes that still name it have been seen since: they speak for
			 * themselves. */
			object_forget(o);
			ret = object_spread(r, last);
			o = object_find(r, last);
			if (o)
				object_collect(r, o);
		}
		if (last == UINT32_MAX)
			break;
	}
	return ret;
}

void rib_objects_free(struct rib *r)
{
	for (size_t i = 0; i < r->n_objects; i++) {
		free(r->objects[i]->object.members);
		free(r->objects[i]);
	}
	free(r->objects);
}
