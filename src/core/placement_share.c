// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include "core/placement_internal.h"

/* What one source network may have while others wait: its share of the room in the switch, and the
 * same share of the candidates. It may have more as long as nobody else wants it. Above its share,
 * its flows wait behind all others, and those that came last give way; so a flood neither keeps
 * others out nor costs them what they have. Source 0 is none; its list ends are never used. */

/* Of a source's candidates, at most so many are looked at for one that may be forgotten. */
#define LOOK_MAX 64

int placement_share_new(struct placement *p)
{
	int r;

	p->share_max[RICH_IN] = p->share_max[RICH_ALL] = UNLIMITED;
	if (p->options.source_share == 0)
		return 0;
	r = source_share_new(p->capacity, p->options.prefixes, p->seed, &p->share);
	if (r < 0)
		return r;
	p->sources = calloc((size_t)p->capacity + 1, sizeof(*p->sources));
	return p->sources ? 0 : -ENOMEM;
}

void placement_share_free(struct placement *p)
{
	source_share_free(p->share);
	free(p->sources);
}

static uint32_t held(const struct placement_source *s, enum placement_rich which)
{
	uint32_t in = s->kin[KIN_IN].count;

	return which == RICH_IN ? in : in + s->kin[KIN_LATER].count + s->kin[KIN_REST].count;
}

static void rich_judge(struct placement *p, uint32_t source, enum placement_rich which)
{
	struct placement_source *s = &p->sources[source];
	bool rich = held(s, which) > p->share_max[which];

	if (rich == s->rich[which].on)
		return;
	s->rich[which].on = rich;
	if (rich) {
		s->rich[which].prev = 0;
		s->rich[which].next = p->rich[which];
		if (p->rich[which])
			p->sources[p->rich[which]].rich[which].prev = source;
		p->rich[which] = source;
		return;
	}
	if (s->rich[which].next)
		p->sources[s->rich[which].next].rich[which].prev = s->rich[which].prev;
	if (s->rich[which].prev)
		p->sources[s->rich[which].prev].rich[which].next = s->rich[which].next;
	else
		p->rich[which] = s->rich[which].next;
}

static void unlink_kin(struct placement *p, struct placement_entry *e)
{
	struct placement_list *list = &p->sources[e->source].kin[e->kin.list];

	if (e->kin.list == KIN_NONE)
		return;
	*(e->kin.next ? &p->slab[e->kin.next - 1].kin.prev : &list->last) = e->kin.prev;
	*(e->kin.prev ? &p->slab[e->kin.prev - 1].kin.next : &list->first) = e->kin.next;
	list->count--;
	e->kin = (struct placement_link){ 0 };
}

static void link_kin(struct placement *p, struct placement_entry *e, enum placement_kin kin)
{
	struct placement_list *list = &p->sources[e->source].kin[kin];
	uint32_t link = (uint32_t)(e - p->slab) + 1;

	e->kin = (struct placement_link){ .prev = list->last, .list = (uint8_t)kin };
	*(list->last ? &p->slab[list->last - 1].kin.next : &list->first) = link;
	list->last = link;
	list->count++;
}

static enum placement_kin kin_of(const struct placement_entry *e)
{
	switch ((enum place_list)e->links[SIDE_PLACE].list) {
	case PLACE_IN:
		return KIN_IN;
	case PLACE_LATER4:
	case PLACE_LATER6:
		return KIN_LATER;
	case PLACE_NOWHERE:
	case PLACE_UNFIT:
	case PLACE_TIMED:
	case PLACE_WAIT4:
	case PLACE_WAIT6:
	case PLACE_DRAIN4:
	case PLACE_DRAIN6:
	case PLACE_GONE:
		return KIN_REST;
	}
	return KIN_REST;
}

void placement_share_join(struct placement *p, struct placement_entry *e)
{
	if (!p->share)
		return;
	e->source = source_share_take(p->share, &e->tuple);
	link_kin(p, e, KIN_REST);
	rich_judge(p, e->source, RICH_ALL);
}

void placement_share_leave(struct placement *p, struct placement_entry *e)
{
	uint32_t source = e->source;

	if (!source)
		return;
	unlink_kin(p, e);
	rich_judge(p, source, RICH_IN);
	rich_judge(p, source, RICH_ALL);
	e->source = 0;
	source_share_put(p->share, source);
}

void placement_share_moved(struct placement *p, struct placement_entry *e, uint64_t now_ms)
{
	enum placement_kin kin = kin_of(e);
	bool left = e->kin.list == KIN_IN && kin != KIN_IN;
	struct placement_source *s;

	if (!e->source || e->kin.list == kin)
		return;
	s = &p->sources[e->source];
	unlink_kin(p, e);
	link_kin(p, e, kin);
	rich_judge(p, e->source, RICH_IN);
	/* One of its own may be chosen again like anybody's. */
	if (left && s->kin[KIN_LATER].first && s->kin[KIN_IN].count < p->share_max[RICH_IN])
		placement_sort_in(p, &p->slab[s->kin[KIN_LATER].first - 1], now_ms);
}

bool placement_share_used_up(const struct placement *p, const struct placement_entry *e)
{
	return e->source && p->sources[e->source].kin[KIN_IN].count >= p->share_max[RICH_IN];
}

bool placement_share_choose(struct placement *p, const struct placement_entry *e)
{
	struct placement_source *s;

	if (!e->source || e->draining)
		return true;
	s = &p->sources[e->source];
	if (s->chosen >= p->share_max[RICH_IN])
		return false;
	s->chosen++;
	return true;
}

/* The last one of a list that may go. */
static struct placement_entry *last_of(const struct placement *p, const struct placement_list *list,
				       bool exposed_too)
{
	uint32_t link = list->last;

	for (unsigned i = 0; link && i < LOOK_MAX; i++) {
		struct placement_entry *e = &p->slab[link - 1];

		if (!e->draining && (exposed_too || !e->exposed))
			return e;
		link = e->kin.prev;
	}
	return NULL;
}

bool placement_share_yield(struct placement *p, const struct placement_entry *of, uint64_t now_ms)
{
	for (uint32_t i = p->rich[RICH_IN]; i; i = p->sources[i].rich[RICH_IN].next) {
		const struct placement_list *in = &p->sources[i].kin[KIN_IN];
		struct placement_entry *e = last_of(p, in, true);

		if (!e || (of ? of->source == i : in->count == p->in.flows))
			continue;
		p->totals.yielded += e->exposed;
		placement_unchoose(p, e, PLACEMENT_EVICTED, now_ms);
		return true;
	}
	return false;
}

bool placement_share_yield_candidate(struct placement *p, const struct tuple *t)
{
	uint32_t own;

	if (!p->share)
		return false;
	own = source_share_find(p->share, t);
	if (own && held(&p->sources[own], RICH_ALL) >= p->share_max[RICH_ALL])
		return false;
	for (uint32_t i = p->rich[RICH_ALL]; i; i = p->sources[i].rich[RICH_ALL].next) {
		struct placement_entry *e = last_of(p, &p->sources[i].kin[KIN_LATER], false);

		if (!e)
			e = last_of(p, &p->sources[i].kin[KIN_REST], false);
		if (!e)
			continue;
		placement_drop(p, e);
		p->totals.yielded++;
		return true;
	}
	return false;
}

static uint32_t part_of(const struct placement *p, uint32_t all)
{
	uint64_t part = (uint64_t)all * p->options.source_share / 100;

	if (p->options.source_share == 0 || p->options.source_share == 100)
		return UNLIMITED;
	return part ? (uint32_t)part : 1;
}

/* Those that waited for a share that has grown. */
static void later_again(struct placement *p, enum place_list list, uint64_t now_ms)
{
	struct placement_entry *e, *next;

	for (e = placement_list_first(p, SIDE_PLACE, (uint8_t)list); e; e = next) {
		next = placement_list_next(p, SIDE_PLACE, e);
		placement_sort_in(p, e, now_ms);
	}
}

void placement_share_measure(struct placement *p, uint64_t now_ms)
{
	struct placement_room all, normal;
	uint32_t max[RICHES], before = p->share_max[RICH_IN];

	if (!p->share)
		return;
	placement_limits(p, &all, &normal);
	max[RICH_IN] = part_of(p, all.entries < all.flows ? all.entries : all.flows);
	max[RICH_ALL] = part_of(p, p->options.max_candidates);
	if (max[RICH_IN] == before && max[RICH_ALL] == p->share_max[RICH_ALL])
		return;
	for (unsigned which = 0; which < RICHES; which++) {
		p->share_max[which] = max[which];
		for (uint32_t i = 1; i <= source_share_highest(p->share); i++)
			rich_judge(p, i, (enum placement_rich)which);
	}
	if (max[RICH_IN] > before) {
		later_again(p, PLACE_LATER4, now_ms);
		later_again(p, PLACE_LATER6, now_ms);
	}
}
