// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/flow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "base/siphash.h"

#define FLOW_CAPACITY_MAX (UINT32_C(1) << 27)
#define FLOW_LISTS	  256

/* One place of the index. The hash is kept so that a probe reads the slab only for a likely match,
 * and so that a removal can tell how far its neighbours stand from home without hashing them again.
 */
struct slot {
	uint32_t flow; /* slab index + 1; 0 empty */
	uint32_t hash;
};

/* Links are slab indexes + 1; 0 is the end. */
struct flow_list {
	uint32_t first, last, count;
};

struct flow_table {
	struct flow *slab;
	struct slot *slots;
	uint32_t capacity;
	uint32_t slot_mask; /* number of slots (a power of two) - 1 */
	uint32_t count;
	uint32_t used;	    /* slab entries below this are or were in use */
	uint32_t peak;	    /* the highest `used` so far: what was touched */
	uint32_t free_head; /* freed entries below `used`, linked through `next` */
	uint64_t seed[2];
	struct flow_list lists[FLOW_LISTS];
	struct source_share *sources; /* NULL: without a limit */
	struct source_share_prefixes prefixes;
	uint32_t source_max;
};

static size_t slab_bytes(const struct flow_table *t)
{
	return (size_t)t->capacity * sizeof(struct flow);
}

static size_t index_bytes(const struct flow_table *t)
{
	return ((size_t)t->slot_mask + 1) * sizeof(struct slot);
}

/* Zeroed address space, in huge pages: a place in a small one is mostly two misses, and each first
 * touch of one is a fault that costs more than all the rest of an insert. The slab fills from its
 * beginning, and once in 29,000 flows an insert zeroes 2 MiB. The index is hit everywhere from the
 * first flows on, so all of it is touched now (by one call, on kernels since 5.14; elsewhere as it
 * fills). */
static void *space_reserve(size_t bytes, bool touch)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes, MADV_HUGEPAGE);
	if (touch)
		madvise(p, bytes, MADV_POPULATE_WRITE);
	return p;
}

/* The smallest power of two of which `capacity` fills at most 3 in 5. */
static uint32_t slots_for(uint32_t capacity)
{
	uint32_t n = 8;

	while ((uint64_t)n * 3 < (uint64_t)capacity * 5)
		n *= 2;
	return n;
}

int flow_table_new(uint32_t capacity, const uint64_t seed[2], struct flow_table **ret_table)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;

	if (capacity == 0 || capacity > FLOW_CAPACITY_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->capacity = capacity;
	t->slot_mask = slots_for(capacity) - 1;
	t->seed[0] = seed[0];
	t->seed[1] = seed[1];
	t->slab = space_reserve(slab_bytes(t), false);
	t->slots = space_reserve(index_bytes(t), true);
	if (!t->slab || !t->slots)
		return -ENOMEM;
	*ret_table = TAKE_PTR(t);
	return 0;
}

struct flow_table *flow_table_free(struct flow_table *t)
{
	if (!t)
		return NULL;
	if (t->slab)
		munmap(t->slab, slab_bytes(t));
	if (t->slots)
		munmap(t->slots, index_bytes(t));
	source_share_free(t->sources);
	free(t);
	return NULL;
}

uint32_t flow_table_count(const struct flow_table *t)
{
	return t->count;
}

uint32_t flow_table_capacity(const struct flow_table *t)
{
	return t->capacity;
}

size_t flow_table_memory(const struct flow_table *t)
{
	return sizeof(*t) + (size_t)t->peak * sizeof(struct flow) + index_bytes(t) +
	       (t->sources ? source_share_memory(t->sources) : 0);
}

int flow_table_source_limit(struct flow_table *t, uint32_t max,
			    struct source_share_prefixes prefixes)
{
	_cleanup_(source_share_freep) struct source_share *sources = NULL;
	const struct flow *f;
	uint32_t cursor = 0;
	int r;

	if (max > 0 && t->sources && memcmp(&t->prefixes, &prefixes, sizeof(prefixes)) == 0) {
		t->source_max = max;
		return 0;
	}
	if (max > 0) {
		r = source_share_new(t->capacity, prefixes, t->seed, &sources);
		if (r < 0)
			return r;
		while ((f = flow_table_next(t, &cursor)))
			source_share_take(sources, &f->tuple);
	}
	source_share_free(t->sources);
	t->sources = TAKE_PTR(sources);
	t->prefixes = prefixes;
	t->source_max = max;
	return 0;
}

bool flow_table_source_full(const struct flow_table *t, const struct tuple *tuple)
{
	return t->sources && source_share_full(t->sources, tuple, t->source_max);
}

bool flow_table_source_over(const struct flow_table *t, const struct tuple *tuple)
{
	return t->sources && source_share_refused(t->sources, source_share_find(t->sources, tuple));
}

struct ip_prefix flow_table_source(const struct flow_table *t, const struct tuple *tuple)
{
	return source_share_prefix(t->sources, tuple);
}

static uint32_t tuple_hash(const struct flow_table *t, const struct tuple *tuple)
{
	return (uint32_t)siphash13(tuple, sizeof(*tuple), t->seed);
}

/* The place of this tuple, or the empty one where it would go. Ends, since two in five places are
 * always empty. */
static uint32_t slot_find(const struct flow_table *t, const struct tuple *tuple, uint32_t hash)
{
	uint32_t i = hash & t->slot_mask;

	for (; t->slots[i].flow; i = (i + 1) & t->slot_mask)
		if (t->slots[i].hash == hash &&
		    memcmp(&t->slab[t->slots[i].flow - 1].tuple, tuple, sizeof(*tuple)) == 0)
			break;
	return i;
}

uint32_t flow_table_prefetch(const struct flow_table *t, const struct tuple *tuple)
{
	uint32_t i = tuple_hash(t, tuple) & t->slot_mask;

	__builtin_prefetch(&t->slots[i], 1);
	return i;
}

void flow_table_prefetch_flow(const struct flow_table *t, uint32_t handle)
{
	uint32_t link = t->slots[handle].flow;

	if (link)
		__builtin_prefetch(&t->slab[link - 1], 1);
}

struct flow *flow_table_get(const struct flow_table *t, const struct tuple *tuple)
{
	uint32_t i = slot_find(t, tuple, tuple_hash(t, tuple));

	return t->slots[i].flow ? &t->slab[t->slots[i].flow - 1] : NULL;
}

static uint32_t slab_take(struct flow_table *t)
{
	uint32_t link = t->free_head;

	if (link) {
		t->free_head = t->slab[link - 1].next;
		return link - 1;
	}
	if (t->used == t->peak)
		t->peak++;
	return t->used++;
}

int flow_table_add(struct flow_table *t, const struct tuple *tuple, struct flow **ret_flow)
{
	uint32_t hash, slot, at;

	if (tuple->family == 0)
		return -EINVAL;
	hash = tuple_hash(t, tuple);
	slot = slot_find(t, tuple, hash);
	if (t->slots[slot].flow) {
		*ret_flow = &t->slab[t->slots[slot].flow - 1];
		return 0;
	}
	if (t->count == t->capacity)
		return -ENOSPC;
	if (flow_table_source_full(t, tuple)) {
		source_share_refuse(t->sources, source_share_find(t->sources, tuple));
		return -EDQUOT;
	}
	if (t->sources)
		source_share_take(t->sources, tuple);
	at = slab_take(t);
	t->slab[at] = (struct flow){ .tuple = *tuple };
	t->slots[slot] = (struct slot){ .flow = at + 1, .hash = hash };
	t->count++;
	*ret_flow = &t->slab[at];
	return 1;
}

/* Empties a place and moves what follows back over it, so that no probe ever meets a gap or a
 * tombstone. */
static void slot_clear(struct flow_table *t, uint32_t hole)
{
	uint32_t mask = t->slot_mask, i;

	for (i = (hole + 1) & mask; t->slots[i].flow; i = (i + 1) & mask) {
		uint32_t from_home = (i - t->slots[i].hash) & mask;

		if (from_home < ((i - hole) & mask))
			continue; /* its home lies behind the hole */
		t->slots[hole] = t->slots[i];
		hole = i;
	}
	t->slots[hole] = (struct slot){ 0 };
}

void flow_table_remove(struct flow_table *t, struct flow *f)
{
	uint32_t link = (uint32_t)(f - t->slab) + 1;

	flow_list_remove(t, f);
	if (t->sources)
		source_share_put(t->sources, source_share_find(t->sources, &f->tuple));
	slot_clear(t, slot_find(t, &f->tuple, tuple_hash(t, &f->tuple)));
	*f = (struct flow){
		.next = t->free_head
	}; /* family 0 is what the walk knows a free entry by */
	t->free_head = link;
	/* An empty table forgets its holes, so that a walk does not pass a million of them after a
	 * busy day. */
	if (--t->count == 0)
		t->used = t->free_head = 0;
}

struct flow *flow_table_next(const struct flow_table *t, uint32_t *cursor)
{
	while (*cursor < t->used) {
		struct flow *f = &t->slab[(*cursor)++];

		if (f->tuple.family)
			return f;
	}
	return NULL;
}

static void list_insert(struct flow_table *t, uint8_t list, struct flow *f, bool front)
{
	uint32_t link = (uint32_t)(f - t->slab) + 1;
	struct flow_list *l = &t->lists[list];

	flow_list_remove(t, f);
	if (list == 0)
		return;
	f->list = list;
	f->next = front ? l->first : 0;
	f->prev = front ? 0 : l->last;
	*(f->next ? &t->slab[f->next - 1].prev : &l->last) = link;
	*(f->prev ? &t->slab[f->prev - 1].next : &l->first) = link;
	l->count++;
}

void flow_list_append(struct flow_table *t, uint8_t list, struct flow *f)
{
	list_insert(t, list, f, false);
}

void flow_list_prepend(struct flow_table *t, uint8_t list, struct flow *f)
{
	list_insert(t, list, f, true);
}

void flow_list_remove(struct flow_table *t, struct flow *f)
{
	struct flow_list *l = &t->lists[f->list];

	if (f->list == 0)
		return;
	if (f->prev)
		t->slab[f->prev - 1].next = f->next;
	else
		l->first = f->next;
	if (f->next)
		t->slab[f->next - 1].prev = f->prev;
	else
		l->last = f->prev;
	l->count--;
	f->next = f->prev = 0;
	f->list = 0;
}

struct flow *flow_list_first(const struct flow_table *t, uint8_t list)
{
	uint32_t link = t->lists[list].first;

	return link ? &t->slab[link - 1] : NULL;
}

uint32_t flow_list_count(const struct flow_table *t, uint8_t list)
{
	return t->lists[list].count;
}
