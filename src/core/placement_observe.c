// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "core/placement_internal.h"

/* What the switch reports, and what follows from it for the life of flows. */

void placement_state_set(struct placement *p, struct placement_entry *e, enum placement_state state,
			 uint64_t now_ms)
{
	unsigned family = placement_family(e);

	if (e->state == state)
		return;
	p->programmed_family[family] -= e->state == PLACEMENT_STATE_PROGRAMMED;
	p->programmed_family[family] += state == PLACEMENT_STATE_PROGRAMMED;
	e->state = (uint8_t)state;
	e->state_ms = now_ms;
}

static uint64_t grown(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

/* Counters only grow, so one that stands still proves silence, also over a gap. But what passed
 * between the last reading of a counter and its new beginning was never counted, and after a long
 * gap nobody's end is judged by the first reading. */
static void counters_take(struct placement *p, struct placement_entry *e,
			  const struct placement_observation *o, uint64_t now_ms)
{
	uint64_t gap_ms = p->options.idle_timeout_ms;
	bool based = e->read || e->from_zero;
	bool moved = o->packets != e->packets || o->bytes != e->bytes;
	bool anew = o->packets < e->packets || o->bytes < e->bytes;

	if (based)
		e->fresh_bytes += grown(e->bytes, o->bytes);
	e->measured |= based;
	if (based && moved && o->packets > 0) {
		e->alive = true;
		e->moved_ms = now_ms;
	} else if (e->read && (anew || since_ms(e->read_ms, now_ms) > gap_ms)) {
		e->moved_ms = now_ms;
	}
	e->packets = o->packets;
	e->bytes = o->bytes;
	e->read_ms = now_ms;
	e->read = true;
}

/* A flow with our prefix that was never wished for, or not by this flowpind. */
static void found_in_switch(struct placement *p, struct placement_entry *e, uint64_t now_ms)
{
	e->exposed = true;
	if (!e->nat && !e->dead) {
		placement_choose(p, e, PLACEMENT_ADOPTED, now_ms);
		placement_state_set(p, e, PLACEMENT_STATE_ADOPTED, now_ms);
		return;
	}
	p->totals.removed[e->dead ? PLACEMENT_DEAD : PLACEMENT_EVICTED]++;
	placement_wish_changed(p, e, e->dead ? PLACEMENT_DEAD : PLACEMENT_EVICTED);
}

int placement_adopt(struct placement *p, const struct tuple *t, const struct placement_facts *f,
		    uint64_t now_ms)
{
	struct placement_entry *e;
	int r;

	r = placement_enter(p, t, f, true, now_ms);
	if (r < 0)
		return r;
	e = placement_find(p, t);
	if (!e->present)
		found_in_switch(p, e, now_ms);
	return r;
}

/* Reported without a version: the reporter was not told of it yet, or never will be. */
static void unversioned(struct placement *p, struct placement_entry *e,
			const struct placement_observation *o, uint64_t now_ms)
{
	if (e->present || e->exposed) {
		e->from_zero &= e->exposed;
		e->exposed = true;
		return;
	}
	if (o->state == PLACEMENT_STATE_REJECTED) {
		e->exposed = true;
		p->totals.removed[PLACEMENT_REJECTED]++;
		placement_wish_changed(p, e, PLACEMENT_REJECTED);
	} else if (o->nexthop.family == 0 || ip_addr_equal(&o->nexthop, &e->nexthop)) {
		found_in_switch(p, e, now_ms);
	} else if (!e->other_there) {
		e->other_there = true;
		p->totals.conflicts++;
	}
}

/* About the wish that stands, which is present. */
static void take_state(struct placement *p, struct placement_entry *e,
		       const struct placement_observation *o, uint64_t now_ms)
{
	bool full = o->state == PLACEMENT_STATE_PENDING && o->class == PLACEMENT_CLASS_FULL;

	if (o->state == PLACEMENT_STATE_REJECTED) {
		placement_rejected(p, e, o->class, now_ms);
		return;
	}
	if (e->class != o->class)
		e->state_ms = now_ms;
	e->class = (uint8_t)o->class;
	placement_state_set(p, e, o->state, now_ms);
	if (o->state == PLACEMENT_STATE_PROGRAMMED) {
		e->rejects = 0;
		e->other_there = false;
		placement_door_prove(p, placement_family(e));
	}
	if (full && since_ms(e->state_ms, now_ms) >= p->options.stuck_ms)
		placement_rejected(p, e, PLACEMENT_CLASS_FULL, now_ms);
}

int placement_observe(struct placement *p, const struct tuple *t,
		      const struct placement_observation *o, uint64_t now_ms)
{
	struct placement_entry *e = placement_find(p, t);
	bool there = o->state != PLACEMENT_STATE_ABSENT && o->state != PLACEMENT_STATE_UNKNOWN;

	if (!e) {
		if (!there || o->version != 0 || o->state == PLACEMENT_STATE_REJECTED)
			return 0;
		p->totals.strangers++;
		return 1;
	}
	e->seen_reading = p->reading;
	if (there && o->version == 0)
		unversioned(p, e, o, now_ms);
	if (there && o->counted)
		counters_take(p, e, o, now_ms);
	if (o->version == 0 || o->version != e->version || o->state == PLACEMENT_STATE_UNKNOWN)
		return 0;
	e->expired = !there && e->present;
	if (!there)
		placement_wish_absent(p, e, now_ms);
	else if (e->present)
		take_state(p, e, o, now_ms);
	return 0;
}

void placement_observe_full_begin(struct placement *p)
{
	p->reading++;
}

void placement_observe_full_end(struct placement *p, uint64_t now_ms)
{
	for (uint32_t i = 0; i < p->used; i++) {
		struct placement_entry *e = &p->slab[i];

		if (e->seen_reading == p->reading)
			continue;
		e->other_there = false;
		if (!e->tuple.family || !e->told || !(e->present || e->exposed))
			continue;
		if (e->told_reading < p->reading)
			placement_wish_absent(p, e, now_ms);
	}
	placement_observe_full_begin(p);
}

void placement_counters_unreadable(struct placement *p, uint64_t now_ms)
{
	p->unreadable_ms = now_ms;
}

int placement_account(struct placement *p, const struct tuple *t, uint64_t total_bytes,
		      uint64_t now_ms)
{
	struct placement_entry *e = placement_find(p, t);
	uint64_t age_ms, span_ms;

	if (!e || e->n_zones == 0)
		return -ENOENT;
	if (e->accounted) {
		if (total_bytes != e->ct_bytes)
			e->moved_ms = now_ms;
		e->fresh_bytes += grown(e->ct_bytes, total_bytes);
	} else {
		/* What it carried before this interval is not of this interval. */
		age_ms = since_ms(e->learned_ms, now_ms);
		span_ms = since_ms(p->interval_ms, now_ms);
		e->fresh_bytes += age_ms <= span_ms ? total_bytes
						    : (uint64_t)((double)total_bytes *
								 (double)span_ms / (double)age_ms);
	}
	e->ct_bytes = total_bytes;
	e->accounted = e->measured = true;
	return 0;
}

static bool is_idle(const struct placement *p, const struct placement_entry *e, uint64_t now_ms)
{
	uint64_t from = e->moved_ms > p->unreadable_ms ? e->moved_ms : p->unreadable_ms;

	if (e->renewed_ms && since_ms(e->renewed_ms, now_ms) < p->options.idle_timeout_ms / 4)
		return false;
	return p->options.idle_timeout_ms && e->read &&
	       since_ms(from, e->read_ms) >= p->options.idle_timeout_ms;
}

void placement_renew(struct placement *p, const struct tuple *t, uint64_t now_ms)
{
	struct placement_entry *e = placement_find(p, t);

	if (!e)
		return;
	e->renewed_ms = now_ms;
	if (!e->expired)
		return;
	e->packets = e->bytes = 0; /* as it will begin anew */
	placement_state_set(p, e, PLACEMENT_STATE_UNKNOWN, now_ms);
	placement_wish_changed(p, e, PLACEMENT_PLACED);
}

static bool is_there(const struct placement_entry *e)
{
	return e->state == PLACEMENT_STATE_PROGRAMMED || e->state == PLACEMENT_STATE_ADOPTED;
}

void placement_idle(struct placement *p, uint64_t now_ms, placement_life_fn *idle,
		    placement_life_fn *alive, void *arg)
{
	struct placement_view view;

	for (uint32_t i = 0; i < p->used; i++) {
		struct placement_entry *e = &p->slab[i];

		if (!e->tuple.family || !e->present || (!e->expired && !is_there(e)))
			continue;
		if (e->alive) {
			e->alive = false;
			placement_view_of(e, &view);
			alive(&view, arg);
		} else if (e->expired || is_idle(p, e, now_ms)) {
			placement_view_of(e, &view);
			idle(&view, arg);
		}
	}
}
