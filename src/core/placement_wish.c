// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "core/placement_internal.h"

/* What flowpin-eapi is told: a snapshot by a walk over the slab, then what changes behind that walk
 * or after it, by list. An entry is told as it is at that moment, so nothing can be queued twice
 * and nothing can be lost: a change of one that is handed out puts it on a list again. */

static enum tell_list tell_list_of(const struct placement_entry *e, enum placement_reason reason)
{
	if (e->present && reason == PLACEMENT_MOVED)
		return TELL_DELETE; /* a pin to the wrong place ends, and it takes no further room
				     */
	if (e->present)
		return e->draining ? TELL_DRAIN : TELL_ADD;
	if (reason == PLACEMENT_DEAD || reason == PLACEMENT_RELEASED)
		return TELL_DEAD;
	return TELL_DELETE;
}

static bool snapshot_comes_by(const struct placement *p, const struct placement_entry *e)
{
	switch (p->phase) {
	case PHASE_DETACHED:
	case PHASE_BEGIN:
		return true;
	case PHASE_PARTS:
		return (uint32_t)(e - p->slab) >= p->snapshot;
	case PHASE_CHANGES:
		return false;
	}
	return false;
}

void placement_wish_changed(struct placement *p, struct placement_entry *e,
			    enum placement_reason reason)
{
	e->version = ++p->version;
	e->reason = (uint8_t)reason;
	e->told = e->expired = false;
	placement_list_move(p, SIDE_TELL,
			    snapshot_comes_by(p, e) ? TELL_NOTHING : tell_list_of(e, reason), e);
}

void placement_wish_absent(struct placement *p, struct placement_entry *e, uint64_t now_ms)
{
	if (e->present) {
		placement_state_set(p, e, PLACEMENT_STATE_ABSENT, now_ms);
		return;
	}
	e->exposed = false;
	placement_leaving_set(p, e, false);
	placement_list_move(p, SIDE_TELL, TELL_NOTHING, e);
	if (e->n_zones == 0)
		placement_drop(p, e);
}

static void forget_telling(struct placement *p, enum placement_phase phase)
{
	for (uint32_t i = 0; i < p->used; i++) {
		p->slab[i].told = false;
		placement_list_move(p, SIDE_TELL, TELL_NOTHING, &p->slab[i]);
	}
	p->phase = phase;
	p->snapshot = 0;
	p->waiting = 0;
}

void placement_attach(struct placement *p)
{
	forget_telling(p, PHASE_BEGIN);
	placement_observe_full_begin(p);
}

void placement_detach(struct placement *p)
{
	forget_telling(p, PHASE_DETACHED);
}

static void hand_out(struct placement *p, struct placement_entry *e, struct placement_wish *wish)
{
	*wish = (struct placement_wish){ .tuple = e->tuple,
					 .nexthop = e->nexthop,
					 .version = e->version,
					 .present = e->present,
					 .reason = (enum placement_reason)e->reason };
	if (e->present)
		e->exposed = true;
	placement_list_move(p, SIDE_TELL, TELL_FLIGHT, e);
}

static size_t take_part(struct placement *p, struct placement_wish *wishes, size_t max)
{
	size_t n = 0;

	while (n < max && p->snapshot < p->used) {
		struct placement_entry *e = &p->slab[p->snapshot++];

		if (e->tuple.family && (e->present || e->exposed))
			hand_out(p, e, &wishes[n++]);
	}
	return n;
}

static size_t take_changes(struct placement *p, struct placement_wish *wishes, size_t max)
{
	static const enum tell_list order[] = { TELL_DEAD, TELL_DELETE, TELL_DRAIN, TELL_ADD };
	struct placement_entry *e;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		while (n < max &&
		       (e = placement_list_first(p, SIDE_TELL, (uint8_t)order[i])) != NULL)
			hand_out(p, e, &wishes[n++]);
	return n;
}

bool placement_next(struct placement *p, uint64_t now_ms, struct placement_wish *wishes, size_t max,
		    struct placement_batch *ret_batch)
{
	struct placement_batch batch = { .kind = PLACEMENT_CHANGE };

	if (p->waiting || max == 0)
		return false;
	placement_settle(p, now_ms);
	switch (p->phase) {
	case PHASE_DETACHED:
		return false;
	case PHASE_BEGIN:
		batch.kind = PLACEMENT_BEGIN;
		p->phase = PHASE_PARTS;
		break;
	case PHASE_PARTS:
		batch.n = take_part(p, wishes, max);
		batch.kind = batch.n ? PLACEMENT_PART : PLACEMENT_END;
		if (batch.n == 0)
			p->phase = PHASE_CHANGES;
		break;
	case PHASE_CHANGES:
		batch.n = take_changes(p, wishes, max);
		if (batch.n == 0)
			return false;
		break;
	}
	batch.serial = p->waiting = ++p->serial;
	*ret_batch = batch;
	return true;
}

int placement_done(struct placement *p, uint64_t serial)
{
	struct placement_entry *e;

	if (serial == 0 || serial != p->waiting)
		return -ESTALE;
	p->waiting = 0;
	while ((e = placement_list_first(p, SIDE_TELL, TELL_FLIGHT)) != NULL) {
		e->told = true;
		e->told_reading = p->reading;
		placement_list_move(p, SIDE_TELL, TELL_NOTHING, e);
	}
	return 0;
}
