// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include "core/placement_internal.h"

/* Rates by interval, and the choice of the largest.
 *
 * A rate is the mean of the last interval and what was before. A flow that is in counts by the
 * hysteresis more than it carries, and for its first two intervals at least as much as when it was
 * chosen: meanwhile its traffic moves from one counter to another that is read at other times. */

#define FLOOR_INTERVALS 2
/* Candidates are dropped when seven in eight places are taken, until three in four are. */
#define CROWDED(n) ((n) - (n) / 8)
#define RELAXED(n) ((n) - (n) / 4)

static void rate_entry(struct placement_entry *e, uint64_t elapsed_ms)
{
	uint64_t bytes = e->fresh_bytes < PLACEMENT_RATE_MAX ? e->fresh_bytes : PLACEMENT_RATE_MAX;
	uint64_t rate = (bytes * 1000 + elapsed_ms - 1) / elapsed_ms;

	if (rate > PLACEMENT_RATE_MAX)
		rate = PLACEMENT_RATE_MAX;
	/* One that nobody counted in this interval is not judged by it. */
	if (e->measured) {
		e->rate = e->rated ? (e->rate + rate) / 2 : rate;
		e->rated = true;
	}
	e->measured = false;
	e->fresh_bytes = 0;
	if (e->present && e->intervals <= FLOOR_INTERVALS)
		e->intervals++;
}

bool placement_takes_part(const struct placement_entry *e)
{
	switch ((enum place_list)e->links[SIDE_PLACE].list) {
	case PLACE_WAIT4:
	case PLACE_WAIT6:
	case PLACE_DRAIN4:
	case PLACE_DRAIN6:
	case PLACE_LATER4:
	case PLACE_LATER6:
	case PLACE_IN:
		return true;
	case PLACE_NOWHERE:
	case PLACE_UNFIT:
	case PLACE_TIMED:
	case PLACE_GONE:
		return false;
	}
	return false;
}

static uint64_t key_of(const struct placement *p, const struct placement_entry *e)
{
	uint64_t rate = e->rate;

	if (e->present && e->intervals <= FLOOR_INTERVALS && e->floor > rate)
		rate = e->floor;
	return rate * (100 + (e->present ? p->options.hysteresis : 0)) / placement_weight(p, e);
}

static int largest_first(const void *a, const void *b, void *arg)
{
	const struct placement_entry *slab = arg;
	const struct placement_rank *x = a, *y = b;

	if (x->first != y->first)
		return x->first ? -1 : 1;
	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	if (slab[x->entry].present != slab[y->entry].present)
		return slab[x->entry].present ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* All that take part, largest first. */
static size_t rank(struct placement *p)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->used; i++) {
		struct placement_entry *e = &p->slab[i];

		if (!e->tuple.family || !placement_takes_part(e))
			continue;
		if (p->share)
			p->sources[e->source].chosen = 0;
		p->ranks[n++] = (struct placement_rank){ .key = key_of(p, e),
							 .entry = i,
							 .first = e->draining };
	}
	qsort_r(p->ranks, n, sizeof(*p->ranks), largest_first, p->slab);
	return n;
}

/* Takes it into the room that is filled anew, if it fits. */
static bool take(struct placement_room *room, const struct placement_room *limit, uint32_t entries)
{
	if (room->flows >= limit->flows || room->entries + entries > limit->entries)
		return false;
	room->flows++;
	room->entries += entries;
	return true;
}

struct choice {
	struct placement_room all, normal; /* limits */
	struct placement_room in, in_normal;
};

static bool choose_ranked(const struct placement *p, struct choice *c,
			  const struct placement_rank *r, uint64_t now_ms)
{
	const struct placement_entry *e = &p->slab[r->entry];
	struct placement_room normal_before = c->in_normal;
	uint32_t entries = placement_weight(p, e);
	bool wanted = e->present || ((e->draining || r->key > 0) &&
				     placement_door_open(p, placement_family(e), now_ms));

	if (!wanted || (!e->draining && !take(&c->in_normal, &c->normal, entries)))
		return false;
	if (take(&c->in, &c->all, entries))
		return true;
	c->in_normal = normal_before;
	return false;
}

/* Which of the ranked ones are to be in, those of a source that has its share after all others;
 * what is not, and is, goes out. */
static void mark_chosen(struct placement *p, size_t n, uint64_t now_ms)
{
	struct choice c = { 0 };

	placement_limits(p, &c.all, &c.normal);
	for (size_t i = 0; i < n; i++) {
		p->ranks[i].chosen = placement_share_choose(p, &p->slab[p->ranks[i].entry]);
		if (p->ranks[i].chosen)
			p->ranks[i].chosen = choose_ranked(p, &c, &p->ranks[i], now_ms);
		else
			p->ranks[i].later = true;
	}
	for (size_t i = 0; i < n; i++)
		if (p->ranks[i].later)
			p->ranks[i].chosen = choose_ranked(p, &c, &p->ranks[i], now_ms);
	for (size_t i = 0; i < n; i++) {
		struct placement_entry *e = &p->slab[p->ranks[i].entry];

		if (e->present && !p->ranks[i].chosen)
			placement_unchoose(p, e, PLACEMENT_EVICTED, now_ms);
	}
}

/* Makes places for candidates that are larger: one that was dropped and grows is offered again. */
static void drop_smallest(struct placement *p, size_t n)
{
	uint32_t most = p->options.max_candidates;
	uint32_t live = p->count - p->lists[SIDE_PLACE][PLACE_GONE].count;

	if (live <= CROWDED(most))
		return;
	while (n-- > 0 && live > RELAXED(most)) {
		struct placement_entry *e = &p->slab[p->ranks[n].entry];

		if (e->present || e->exposed || e->draining)
			continue;
		placement_drop(p, e);
		p->totals.dropped++;
		live--;
	}
}

void placement_interval(struct placement *p, uint64_t now_ms)
{
	uint64_t elapsed_ms = since_ms(p->interval_ms, now_ms);
	size_t n;

	if (elapsed_ms == 0)
		return;
	for (uint32_t i = 0; i < p->used; i++)
		if (p->slab[i].tuple.family)
			rate_entry(&p->slab[i], elapsed_ms);
	p->interval_ms = now_ms;
	placement_settle(p, now_ms);
	if (p->options.policy == PLACEMENT_POLICY_HEAVY) {
		n = rank(p);
		mark_chosen(p, n, now_ms);
		for (size_t i = 0; i < n; i++) {
			struct placement_entry *e = &p->slab[p->ranks[i].entry];

			if (p->ranks[i].chosen && !e->present && placement_fits(p, e, now_ms))
				placement_choose(p, e, PLACEMENT_PLACED, now_ms);
		}
		drop_smallest(p, n);
	}
}
