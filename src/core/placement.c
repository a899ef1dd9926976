// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/placement_internal.h"

#define RETRY_MS 30000
#define STUCK_MS 10000
#define ENTRIES_MAX (UINT32_C(1) << 24)

static bool options_are_sound(const struct placement_options *o)
{
	return o->policy <= PLACEMENT_POLICY_DRAINING && o->max_flows > 0 &&
	       o->max_candidates >= o->max_flows && o->max_candidates <= ENTRIES_MAX &&
	       o->weight6 >= 1 && o->weight6 <= 16 && o->hysteresis <= 1000 &&
	       o->source_share <= 100;
}

static void options_take(struct placement *p, const struct placement_options *o)
{
	p->options = *o;
	if (p->options.retry_ms == 0)
		p->options.retry_ms = RETRY_MS;
	if (p->options.stuck_ms == 0)
		p->options.stuck_ms = STUCK_MS;
}

int placement_new(const struct placement_options *o, const uint64_t seed[2],
		  struct placement **ret_placement)
{
	_cleanup_(placement_freep) struct placement *p = NULL;
	int r;

	if (!options_are_sound(o))
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	options_take(p, o);
	memcpy(p->seed, seed, sizeof(p->seed));
	/* Deletions that are not confirmed need places too, beside the candidates. */
	p->capacity = o->max_candidates + 2 * o->max_flows;
	p->ceiling = UNLIMITED;
	p->timed_next_ms = UINT64_MAX;
	p->reading = 1;
	r = placement_index_new(p);
	if (r == 0)
		r = placement_share_new(p);
	if (r < 0)
		return r;
	*ret_placement = TAKE_PTR(p);
	return 0;
}

struct placement *placement_free(struct placement *p)
{
	if (!p)
		return NULL;
	placement_index_free(p);
	placement_share_free(p);
	free(p);
	return NULL;
}

int placement_options_set(struct placement *p, const struct placement_options *o, uint64_t now_ms)
{
	struct placement_options next = *o;

	next.max_candidates = p->options.max_candidates;
	if (!options_are_sound(&next))
		return -EINVAL;
	options_take(p, &next);
	p->in = p->in_normal = (struct placement_room){ 0 };
	p->in_family[0] = p->in_family[1] = p->leaving = 0;
	for (uint32_t i = 0; i < p->used; i++) {
		struct placement_entry *e = &p->slab[i];

		if (!e->tuple.family)
			continue;
		if (e->present)
			placement_room_count(p, e, 1);
		if (e->leaving)
			p->leaving += placement_weight(p, e);
		placement_sort_in(p, e, now_ms);
	}
	placement_settle(p, now_ms);
	return 0;
}

static int zone_find(const struct placement_entry *e, uint16_t zone)
{
	for (int i = 0; i < e->n_zones; i++)
		if (e->zones[i] == zone)
			return i;
	return -1;
}

static void zone_remove(struct placement_entry *e, int at)
{
	e->zones[at] = e->zones[--e->n_zones];
}

static void point_to(struct placement *p, struct placement_entry *e,
		     const struct placement_facts *f, uint64_t now_ms)
{
	e->nexthop = f->nexthop;
	e->learned_ms = f->learned_ms;
	e->rejects = 0;
	e->retry_ms = 0;
	if (!e->present)
		return;
	p->totals.removed[PLACEMENT_MOVED] += e->exposed;
	e->adopted = false;
	e->moved_ms = now_ms;
	placement_state_set(p, e, PLACEMENT_STATE_UNKNOWN, now_ms);
	placement_wish_changed(p, e, PLACEMENT_MOVED);
}

/* This zone has no other nexthop for it any more. */
static void zone_agrees(struct placement_entry *e, uint16_t zone)
{
	if (e->conflict_zone == zone)
		e->conflict = false;
}

/* What a zone tells of a flow that is known already. */
static int hear(struct placement *p, struct placement_entry *e, uint16_t zone,
		const struct placement_facts *f, uint64_t now_ms)
{
	int at = zone_find(e, zone);

	if (ip_addr_equal(&e->nexthop, &f->nexthop)) {
		zone_agrees(e, zone);
		if (at < 0 && e->n_zones == PLACEMENT_ZONES_MAX)
			return -ENOSPC;
		if (at < 0)
			e->zones[e->n_zones++] = zone;
		if (f->learned_ms < e->learned_ms)
			e->learned_ms = f->learned_ms;
		return 0;
	}
	if (at >= 0 && e->n_zones == 1) {
		/* The one that disagreed may agree now; if not it says so again. */
		e->conflict = false;
		point_to(p, e, f, now_ms);
		return 0;
	}
	if (!e->conflict)
		p->totals.conflicts++;
	e->conflict = true;
	e->conflict_zone = zone;
	if (at >= 0)
		zone_remove(e, at);
	if (f->learned_ms >= e->learned_ms)
		return -EEXIST;
	e->conflict_zone = e->zones[0];
	e->zones[0] = zone;
	e->n_zones = 1;
	point_to(p, e, f, now_ms);
	return 0;
}

/* A place for one more flow that somebody knows; `at` is the one that it has already, as a deletion
 * that is remembered. An adopted one may take the place of such a deletion. */
static struct placement_entry *place_for(struct placement *p, const struct tuple *t,
					 struct placement_entry *at, bool adopted)
{
	uint32_t live = p->count - p->lists[SIDE_PLACE][PLACE_GONE].count;
	struct placement_entry *oldest;

	if (live >= p->options.max_candidates && !adopted && !placement_share_yield_candidate(p, t))
		return NULL;
	if (at)
		return at;
	oldest = placement_list_first(p, SIDE_PLACE, PLACE_GONE);
	if (p->count == p->capacity && oldest && oldest->told) {
		placement_drop(p, oldest);
		p->totals.forgotten++;
	}
	return placement_add(p, t);
}

/* A flow begins, perhaps on a tuple whose deletion is still remembered. */
static void begin(struct placement_entry *e, uint16_t zone, const struct placement_facts *f)
{
	struct placement_entry fresh = { .tuple = e->tuple,
					 .nexthop = f->nexthop,
					 .exposed = e->exposed,
					 .told = e->told,
					 .reason = e->reason,
					 .told_reading = e->told_reading,
					 .seen_reading = e->seen_reading,
					 .version = e->version,
					 .queued = e->queued,
					 .learned_ms = f->learned_ms,
					 .n_zones = 1 };

	fresh.zones[0] = zone;
	memcpy(fresh.links, e->links, sizeof(fresh.links));
	*e = fresh;
}

static void facts_take(struct placement *p, struct placement_entry *e,
		       const struct placement_facts *f)
{
	bool alone = e->n_zones == 1;

	e->replied = f->replied || (!alone && e->replied);
	e->mirrored = f->mirrored || (!alone && e->mirrored);
	e->nat = f->nat || (!alone && e->nat);
	e->dead = f->dead;
	if (e->draining == f->draining)
		return;
	if (e->present)
		placement_room_count(p, e, -1);
	e->draining = f->draining;
	if (e->present)
		placement_room_count(p, e, 1);
}

int placement_enter(struct placement *p, const struct tuple *t, const struct placement_facts *f,
		    bool adopted, uint64_t now_ms)
{
	struct placement_entry *e;
	int r, fresh = 0;

	if (t->family == 0 || f->nexthop.family == 0)
		return -EINVAL;
	e = placement_find(p, t);
	if (!e || e->n_zones == 0) {
		e = place_for(p, t, e, adopted);
		if (!e) {
			p->totals.refused++;
			return -ENOSPC;
		}
		begin(e, t->zone, f);
		placement_share_join(p, e);
		fresh = 1;
		if (p->interval_ms == 0)
			p->interval_ms = now_ms;
	} else {
		r = hear(p, e, t->zone, f, now_ms);
		if (r < 0)
			return r;
	}
	facts_take(p, e, f);
	if (e->present && (e->dead || e->nat))
		placement_unchoose(p, e, e->dead ? PLACEMENT_DEAD : PLACEMENT_EVICTED, now_ms);
	else
		placement_sort_in(p, e, now_ms);
	if (f->bytes > 0)
		placement_account(p, t, f->bytes, now_ms);
	return fresh;
}

int placement_offer(struct placement *p, const struct tuple *t, const struct placement_facts *f,
		    uint64_t now_ms)
{
	return placement_enter(p, t, f, false, now_ms);
}

static void end(struct placement *p, struct placement_entry *e, enum placement_reason reason,
		uint64_t now_ms)
{
	e->n_zones = 0;
	if (e->present)
		placement_unchoose(p, e, reason, now_ms);
	else
		placement_sort_in(p, e, now_ms);
	placement_share_leave(p, e);
	if (!e->exposed)
		placement_drop(p, e);
}

void placement_withdraw(struct placement *p, const struct tuple *t, enum placement_reason reason,
			uint64_t now_ms)
{
	struct placement_entry *e = placement_find(p, t);
	int at;

	if (!e || e->n_zones == 0)
		return;
	if (reason == PLACEMENT_ENDED) {
		at = zone_find(e, t->zone);
		if (at < 0) {
			zone_agrees(e, t->zone);
			return;
		}
		zone_remove(e, at);
		if (e->n_zones > 0)
			return;
	}
	end(p, e, reason, now_ms);
}

void placement_withdraw_all(struct placement *p, enum placement_reason reason, uint64_t now_ms)
{
	for (uint32_t i = 0; i < p->used; i++)
		if (p->slab[i].tuple.family && p->slab[i].n_zones > 0)
			end(p, &p->slab[i], reason, now_ms);
}
