// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/siphash.h"
#include "core/placement_internal.h"

/* The smallest power of two of which the slab fills at most 3 in 5. */
static uint32_t slots_for(uint32_t capacity)
{
	uint32_t n = 8;

	while ((uint64_t)n * 3 < (uint64_t)capacity * 5)
		n *= 2;
	return n;
}

/* Large zeroed allocations are touched only as they are used. */
int placement_index_new(struct placement *p)
{
	p->slot_mask = slots_for(p->capacity) - 1;
	p->slab = calloc(p->capacity, sizeof(*p->slab));
	p->slots = calloc((size_t)p->slot_mask + 1, sizeof(*p->slots));
	p->ranks = calloc(p->capacity, sizeof(*p->ranks));
	return p->slab && p->slots && p->ranks ? 0 : -ENOMEM;
}

void placement_index_free(struct placement *p)
{
	free(p->slab);
	free(p->slots);
	free(p->ranks);
}

static struct tuple without_zone(const struct tuple *t)
{
	struct tuple key = *t;

	key.zone = 0;
	return key;
}

static uint32_t hash_of(const struct placement *p, const struct tuple *key)
{
	return (uint32_t)siphash13(key, sizeof(*key), p->seed);
}

/* The place of this tuple, or the empty one where it would go. */
static uint32_t slot_of(const struct placement *p, const struct tuple *key, uint32_t hash)
{
	uint32_t i = hash & p->slot_mask;

	for (; p->slots[i].entry; i = (i + 1) & p->slot_mask)
		if (p->slots[i].hash == hash &&
		    memcmp(&p->slab[p->slots[i].entry - 1].tuple, key, sizeof(*key)) == 0)
			break;
	return i;
}

struct placement_entry *placement_find(const struct placement *p, const struct tuple *t)
{
	struct tuple key = without_zone(t);
	uint32_t i = slot_of(p, &key, hash_of(p, &key));

	return p->slots[i].entry ? &p->slab[p->slots[i].entry - 1] : NULL;
}

struct placement_entry *placement_add(struct placement *p, const struct tuple *t)
{
	struct tuple key = without_zone(t);
	uint32_t hash = hash_of(p, &key), at;

	if (p->count == p->capacity)
		return NULL;
	if (p->free_head) {
		at = p->free_head - 1;
		p->free_head = p->slab[at].links[SIDE_PLACE].next;
	} else {
		at = p->used++;
	}
	p->slab[at] = (struct placement_entry){ .tuple = key };
	p->slots[slot_of(p, &key, hash)] = (struct placement_slot){ .entry = at + 1, .hash = hash };
	p->count++;
	return &p->slab[at];
}

/* Empties a place and moves what follows back over it. */
static void slot_clear(struct placement *p, uint32_t hole)
{
	uint32_t mask = p->slot_mask, i;

	for (i = (hole + 1) & mask; p->slots[i].entry; i = (i + 1) & mask) {
		uint32_t from_home = (i - p->slots[i].hash) & mask;

		if (from_home < ((i - hole) & mask))
			continue;
		p->slots[hole] = p->slots[i];
		hole = i;
	}
	p->slots[hole] = (struct placement_slot){ 0 };
}

void placement_drop(struct placement *p, struct placement_entry *e)
{
	placement_share_leave(p, e);
	placement_leaving_set(p, e, false);
	placement_list_move(p, SIDE_PLACE, PLACE_NOWHERE, e);
	placement_list_move(p, SIDE_TELL, TELL_NOTHING, e);
	slot_clear(p, slot_of(p, &e->tuple, hash_of(p, &e->tuple)));
	*e = (struct placement_entry){ .links[SIDE_PLACE].next = p->free_head };
	p->free_head = (uint32_t)(e - p->slab) + 1;
	/* An empty slab forgets its holes, so that a walk does not pass all of them. */
	if (--p->count == 0)
		p->used = p->free_head = 0;
}

static void unlink_entry(struct placement *p, enum placement_side side, struct placement_entry *e)
{
	struct placement_link *l = &e->links[side];
	struct placement_list *list = &p->lists[side][l->list];

	if (l->list == 0)
		return;
	if (l->prev)
		p->slab[l->prev - 1].links[side].next = l->next;
	else
		list->first = l->next;
	if (l->next)
		p->slab[l->next - 1].links[side].prev = l->prev;
	else
		list->last = l->prev;
	list->count--;
	*l = (struct placement_link){ 0 };
}

void placement_list_move(struct placement *p, enum placement_side side, uint8_t list,
			 struct placement_entry *e)
{
	struct placement_list *to = &p->lists[side][list];
	uint32_t link = (uint32_t)(e - p->slab) + 1;

	if (e->links[side].list == list)
		return;
	unlink_entry(p, side, e);
	if (list == 0)
		return;
	e->links[side] = (struct placement_link){ .prev = to->last, .list = list };
	if (to->last)
		p->slab[to->last - 1].links[side].next = link;
	else
		to->first = link;
	to->last = link;
	to->count++;
}

struct placement_entry *placement_list_first(const struct placement *p, enum placement_side side,
					     uint8_t list)
{
	uint32_t link = p->lists[side][list].first;

	return link ? &p->slab[link - 1] : NULL;
}

struct placement_entry *placement_list_next(const struct placement *p, enum placement_side side,
					    const struct placement_entry *e)
{
	uint32_t link = e->links[side].next;

	return link ? &p->slab[link - 1] : NULL;
}
