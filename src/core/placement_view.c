// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "core/placement_internal.h"

static bool is_dirty(const struct placement_entry *e)
{
	return !e->told && (e->present || e->exposed);
}

void placement_view_of(const struct placement_entry *e, struct placement_view *ret_view)
{
	*ret_view = (struct placement_view){
		.tuple = e->tuple,
		.nexthop = e->nexthop,
		.zones = e->zones,
		.n_zones = e->n_zones,
		.version = e->version,
		.present = e->present,
		.dirty = is_dirty(e),
		.adopted = e->adopted,
		.expired = e->expired,
		.conflict = e->conflict || e->other_there,
		.draining = e->draining,
		.waiting = !e->present && e->n_zones > 0 && placement_takes_part(e),
		.reason = (enum placement_reason)e->reason,
		.state = (enum placement_state)e->state,
		.class = (enum placement_class)e->class,
		.state_ms = e->state_ms,
		.retry_ms = e->present ? 0 : e->retry_ms,
		.counted = e->read,
		.packets = e->packets,
		.bytes = e->bytes,
		.moved_ms = e->moved_ms,
		.rate = e->rate,
	};
}

int placement_get(const struct placement *p, const struct tuple *t, struct placement_view *ret_view)
{
	const struct placement_entry *e = placement_find(p, t);

	if (!e)
		return -ENOENT;
	placement_view_of(e, ret_view);
	return 0;
}

bool placement_walk(const struct placement *p, uint32_t *cursor, struct placement_view *ret_view)
{
	while (*cursor < p->used) {
		const struct placement_entry *e = &p->slab[(*cursor)++];

		if (!e->tuple.family)
			continue;
		placement_view_of(e, ret_view);
		return true;
	}
	return false;
}

static void count(const struct placement_entry *e, struct placement_numbers *n)
{
	n->dirty += is_dirty(e);
	n->deleting += !e->present && e->exposed;
	n->candidates += e->n_zones > 0;
	if (e->present) {
		bool in_switch = e->state == PLACEMENT_STATE_PROGRAMMED ||
				 e->state == PLACEMENT_STATE_ADOPTED;

		n->desired++;
		n->programmed += in_switch;
		n->pending += !in_switch;
		n->adopted += e->adopted;
	} else if (e->n_zones > 0 && e->state == PLACEMENT_STATE_REJECTED) {
		n->rejected++;
	} else if (e->n_zones > 0) {
		n->not_placed++;
		n->waiting += placement_takes_part(e);
	}
}

void placement_numbers(const struct placement *p, struct placement_numbers *ret_numbers)
{
	struct placement_numbers n = p->totals;
	struct placement_room all, normal;

	placement_limits(p, &all, &normal);
	n.entries = p->in.entries;
	n.room = all.entries == UNLIMITED ? 0 : all.entries;
	n.over_share =
		p->lists[SIDE_PLACE][PLACE_LATER4].count + p->lists[SIDE_PLACE][PLACE_LATER6].count;
	for (uint32_t i = 0; i < p->used; i++)
		if (p->slab[i].tuple.family)
			count(&p->slab[i], &n);
	*ret_numbers = n;
}
