// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include "core/placement_internal.h"

/* Which flows are chosen, and what that does to them. */

/* The list of those that wait for time is passed over at most this often. */
#define TIMED_PACE_MS 100

void placement_room_count(struct placement *p, const struct placement_entry *e, int sign)
{
	uint32_t one = (uint32_t)sign, entries = one * placement_weight(p, e);

	p->in.flows += one;
	p->in.entries += entries;
	p->in_family[placement_family(e)] += one;
	if (!e->draining) {
		p->in_normal.flows += one;
		p->in_normal.entries += entries;
	}
}

void placement_leaving_set(struct placement *p, struct placement_entry *e, bool leaving)
{
	uint32_t entries = placement_weight(p, e);

	if (e->leaving != leaving)
		p->leaving += leaving ? entries : -entries;
	e->leaving = leaving;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t without_reserve(const struct placement *p, uint32_t room)
{
	return room == UNLIMITED ? room : room - least(p->options.reserve, room / 2);
}

/* The reserve is one of what is known to be there. Where rejections say that the table ends moves
 * up and down, so it only keeps further flows out and never costs one that is in. */
void placement_limits(const struct placement *p, struct placement_room *ret_all,
		      struct placement_room *ret_normal)
{
	uint32_t known = p->options.capacity ? p->options.capacity : UNLIMITED;

	if (p->reported)
		known = least(known, p->reported);
	*ret_all = (struct placement_room){ .flows = p->options.max_flows,
					    .entries = least(known, p->ceiling) };
	*ret_normal =
		(struct placement_room){ .flows = without_reserve(p, p->options.max_flows),
					 .entries = least(without_reserve(p, known), p->ceiling) };
}

static bool room_for(const struct placement_room *in, const struct placement_room *limit,
		     uint32_t entries)
{
	return in->flows < limit->flows && in->entries <= limit->entries &&
	       entries <= limit->entries - in->entries;
}

bool placement_fits(const struct placement *p, const struct placement_entry *e, uint64_t now_ms)
{
	struct placement_room all, normal;
	uint32_t entries = placement_weight(p, e);

	placement_limits(p, &all, &normal);
	return placement_door_open(p, placement_family(e), now_ms) &&
	       room_for(&p->in, &all, entries) &&
	       (e->draining || room_for(&p->in_normal, &normal, entries));
}

/* When the policy wants it: 0 always, UINT64_MAX never. */
static uint64_t wanted_from(const struct placement *p, const struct placement_entry *e)
{
	if (e->nat || e->dead)
		return UINT64_MAX;
	switch (p->options.policy) {
	case PLACEMENT_POLICY_NONE:
		return UINT64_MAX;
	case PLACEMENT_POLICY_ALL:
	case PLACEMENT_POLICY_HEAVY:
		return 0;
	case PLACEMENT_POLICY_ESTABLISHED:
		if (e->replied)
			return 0;
		return e->mirrored ? e->learned_ms + p->options.min_age_ms : UINT64_MAX;
	case PLACEMENT_POLICY_DRAINING:
		return e->draining ? 0 : UINT64_MAX;
	}
	return UINT64_MAX;
}

static enum place_list place_of(const struct placement *p, struct placement_entry *e,
				uint64_t now_ms)
{
	uint64_t from;

	if (e->n_zones == 0)
		return PLACE_GONE;
	if (e->present)
		return PLACE_IN;
	from = wanted_from(p, e);
	if (from == UINT64_MAX)
		return PLACE_UNFIT;
	e->due_ms = from > e->retry_ms ? from : e->retry_ms;
	if (e->due_ms > now_ms)
		return PLACE_TIMED;
	if (e->draining)
		return placement_family(e) ? PLACE_DRAIN6 : PLACE_DRAIN4;
	if (placement_share_used_up(p, e))
		return placement_family(e) ? PLACE_LATER6 : PLACE_LATER4;
	return placement_family(e) ? PLACE_WAIT6 : PLACE_WAIT4;
}

void placement_sort_in(struct placement *p, struct placement_entry *e, uint64_t now_ms)
{
	enum place_list list = place_of(p, e, now_ms);

	if (list == PLACE_TIMED && e->due_ms < p->timed_next_ms)
		p->timed_next_ms = e->due_ms;
	if (e->links[SIDE_PLACE].list == list)
		return;
	e->queued = ++p->queued;
	placement_list_move(p, SIDE_PLACE, (uint8_t)list, e);
	placement_share_moved(p, e, now_ms);
}

void placement_choose(struct placement *p, struct placement_entry *e, enum placement_reason reason,
		      uint64_t now_ms)
{
	placement_leaving_set(p, e, false);
	e->present = true;
	e->adopted = reason == PLACEMENT_ADOPTED;
	e->chosen_ms = e->moved_ms = now_ms;
	e->alive = false;
	e->from_zero = !e->exposed;
	if (e->from_zero) {
		e->read = false;
		e->packets = e->bytes = 0;
	}
	e->class = PLACEMENT_CLASS_NONE;
	e->retry_ms = 0;
	e->intervals = 0;
	/* Nothing is known of the size of one that is adopted: it is not judged before it is. */
	e->floor = e->adopted ? PLACEMENT_RATE_MAX : e->rate;
	placement_state_set(p, e, PLACEMENT_STATE_UNKNOWN, now_ms);
	placement_room_count(p, e, 1);
	placement_wish_changed(p, e, reason);
	placement_sort_in(p, e, now_ms);
}

void placement_unchoose(struct placement *p, struct placement_entry *e,
			enum placement_reason reason, uint64_t now_ms)
{
	placement_room_count(p, e, -1);
	e->present = e->adopted = false;
	if (reason != PLACEMENT_REJECTED)
		placement_state_set(p, e, PLACEMENT_STATE_UNKNOWN, now_ms);
	if (e->exposed) {
		placement_leaving_set(p, e, reason != PLACEMENT_REJECTED);
		p->totals.removed[reason]++;
		placement_wish_changed(p, e, reason);
	} else {
		placement_list_move(p, SIDE_TELL, TELL_NOTHING, e);
	}
	placement_sort_in(p, e, now_ms);
}

static int smallest_first(const void *a, const void *b, void *arg)
{
	const struct placement_entry *slab = arg;
	const struct placement_rank *x = a, *y = b;
	uint64_t x_ms = slab[x->entry].chosen_ms, y_ms = slab[y->entry].chosen_ms;

	if (x->first != y->first)
		return x->first ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x_ms != y_ms)
		return x_ms < y_ms ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static bool over(const struct placement_room *in, const struct placement_room *limit)
{
	return in->flows > limit->flows || in->entries > limit->entries;
}

/* Evicts the smallest until neither is over its limit; draining bindings' flows last. */
static void evict(struct placement *p, const struct placement_room *all,
		  const struct placement_room *normal, uint64_t now_ms)
{
	size_t n = 0;

	while (over(&p->in, all) || over(&p->in_normal, normal))
		if (!placement_share_yield(p, NULL, now_ms))
			break;
	for (struct placement_entry *e = placement_list_first(p, SIDE_PLACE, PLACE_IN); e;
	     e = placement_list_next(p, SIDE_PLACE, e))
		p->ranks[n++] = (struct placement_rank){ .key = e->rate,
							 .entry = (uint32_t)(e - p->slab),
							 .first = !e->draining };
	qsort_r(p->ranks, n, sizeof(*p->ranks), smallest_first, p->slab);
	for (size_t i = 0; i < n; i++) {
		bool needed =
			over(&p->in, all) || (p->ranks[i].first && over(&p->in_normal, normal));

		if (!needed)
			break;
		placement_unchoose(p, &p->slab[p->ranks[i].entry], PLACEMENT_EVICTED, now_ms);
	}
}

/* Draining bindings' flows that could be chosen now but for the room, of one family. */
static uint32_t drains_waiting(const struct placement *p, unsigned family, uint64_t now_ms)
{
	static const enum place_list lists[2] = { PLACE_DRAIN4, PLACE_DRAIN6 };
	uint32_t n = p->lists[SIDE_PLACE][lists[family]].count;

	if (!placement_door_open(p, family, now_ms))
		return 0;
	return p->doors[family].until_ms ? least(n, 1) : n;
}

static uint32_t minus(uint32_t a, uint64_t b)
{
	if (a == UNLIMITED)
		return a;
	return a > b ? (uint32_t)(a - b) : 0;
}

static void make_room(struct placement *p, uint64_t now_ms)
{
	uint64_t drains4 = drains_waiting(p, 0, now_ms), drains6 = drains_waiting(p, 1, now_ms);
	struct placement_room all, normal;
	uint64_t flows = p->in.flows - p->in_normal.flows + drains4 + drains6;
	uint64_t entries =
		p->in.entries - p->in_normal.entries + drains4 + drains6 * p->options.weight6;

	placement_limits(p, &all, &normal);
	normal.flows = least(normal.flows, minus(all.flows, flows));
	normal.entries = least(normal.entries, minus(all.entries, entries));
	if (over(&p->in, &all) || over(&p->in_normal, &normal))
		evict(p, &all, &normal, now_ms);
}

/* The one of both lists that waits longer, as far as its family may be tried. */
static struct placement_entry *longest_waiting(const struct placement *p, enum place_list list4,
					       enum place_list list6, uint64_t now_ms)
{
	struct placement_entry *a = placement_list_first(p, SIDE_PLACE, (uint8_t)list4);
	struct placement_entry *b = placement_list_first(p, SIDE_PLACE, (uint8_t)list6);

	if (a && !placement_door_open(p, 0, now_ms))
		a = NULL;
	if (b && !placement_door_open(p, 1, now_ms))
		b = NULL;
	if (!a || !b)
		return a ? a : b;
	return a->queued < b->queued ? a : b;
}

static void fill(struct placement *p, enum place_list list4, enum place_list list6, uint64_t now_ms)
{
	struct placement_entry *e;

	while ((e = longest_waiting(p, list4, list6, now_ms)) && placement_fits(p, e, now_ms))
		placement_choose(p, e, PLACEMENT_PLACED, now_ms);
}

/* Those of sources below their share, for which others give way, and then the rest. */
static void fill_fairly(struct placement *p, uint64_t now_ms)
{
	struct placement_entry *e;

	while ((e = longest_waiting(p, PLACE_WAIT4, PLACE_WAIT6, now_ms))) {
		if (placement_share_used_up(p, e)) {
			placement_sort_in(p, e, now_ms); /* since it began to wait */
			continue;
		}
		while (!placement_fits(p, e, now_ms) && placement_share_yield(p, e, now_ms))
			;
		if (!placement_fits(p, e, now_ms))
			return;
		placement_choose(p, e, PLACEMENT_PLACED, now_ms);
	}
	fill(p, PLACE_LATER4, PLACE_LATER6, now_ms);
}

static void timed_pass(struct placement *p, uint64_t now_ms)
{
	struct placement_entry *e, *next;

	if (now_ms < p->timed_next_ms)
		return;
	p->timed_next_ms = UINT64_MAX;
	for (e = placement_list_first(p, SIDE_PLACE, PLACE_TIMED); e; e = next) {
		next = placement_list_next(p, SIDE_PLACE, e);
		placement_sort_in(p, e, now_ms);
	}
	if (p->timed_next_ms < now_ms + TIMED_PACE_MS)
		p->timed_next_ms = now_ms + TIMED_PACE_MS;
}

static uint64_t door_wait(const struct placement *p, uint64_t now_ms)
{
	uint64_t wait = UINT64_MAX;

	for (unsigned family = 0; family < 2; family++)
		if (p->doors[family].until_ms > now_ms && p->doors[family].until_ms - now_ms < wait)
			wait = p->doors[family].until_ms - now_ms;
	return wait;
}

uint64_t placement_settle(struct placement *p, uint64_t now_ms)
{
	uint64_t wait, doors;

	timed_pass(p, now_ms);
	wait = placement_ceiling_probe(p, now_ms);
	placement_share_measure(p, now_ms);
	make_room(p, now_ms);
	fill(p, PLACE_DRAIN4, PLACE_DRAIN6, now_ms);
	if (p->options.policy != PLACEMENT_POLICY_HEAVY)
		fill_fairly(p, now_ms);
	doors = door_wait(p, now_ms);
	if (doors < wait)
		wait = doors;
	if (p->timed_next_ms != UINT64_MAX && p->timed_next_ms - now_ms < wait)
		wait = p->timed_next_ms - now_ms;
	return wait;
}
