/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/source_share.h"

/* The flow table: every flow that flowpind knows, by zone and 5-tuple. Pure: no clock, no log, no
 * descriptor.
 *
 * All memory is reserved when the table is made, so no insert ever rehashes or allocates; the index
 * (16 bytes a flow at a capacity of a million) is touched at once, the slab as it fills. Flows live
 * in a slab and never move while they exist: a pointer, and a slab index as cursor, stay good until
 * the flow is removed. The index over it is open addressing (linear probing, backshift delete)
 * under a seeded hash. */

enum flow_flags {
	FLOW_CT = 1 << 0,      /* a conntrack entry stands for it */
	FLOW_REPLIED = 1 << 1, /* conntrack has seen an answer */
	FLOW_PIN = 1 << 2,     /* its witness is the pin map: the conntrack entry died first, or was
				  never seen */
	FLOW_NAT = 1 << 3,     /* the reply tuple is not the inverse of the original one */
	FLOW_ASSURED = 1 << 4,
	FLOW_MIRRORED = 1 << 5, /* learned from a switch's mirror: its end is decided by flowpind */
	FLOW_CARRIED = 1 << 6,	/* its entry was written by a program (conntrackd), no packet of it
				   may have passed here: that it has no pin says nothing */
};

/* How flowpind came to know of it. */
enum flow_source {
	FLOW_SOURCE_NEW,
	FLOW_SOURCE_UPDATE,
	FLOW_SOURCE_DUMP,
	FLOW_SOURCE_PIN_MAP,
	FLOW_SOURCE_MIRROR,
	FLOW_SOURCE_SWITCH, /* found in a switch's table */
};
#define FLOW_SOURCE_COUNT 6

struct flow {
	struct tuple tuple;
	uint64_t since_ms;   /* when it was learned, clock_now_ms() */
	uint32_t checked_s;  /* when its witness was last asked for, seconds of the same clock */
	uint32_t next, prev; /* links of the list it is on; owned by the table */
	uint8_t binding;     /* id, 1..255 */
	uint8_t flags;	     /* enum flow_flags */
	uint8_t source : 4;  /* enum flow_source */
	uint8_t closed : 1;  /* or reset, as its conntrack entry tells: nothing is to come */
	uint8_t mark;	     /* the caller's, for a mark and sweep around a dump */
	uint8_t list;	     /* 0: on none */
	/* The caller's, of a mirrored flow. */
	uint8_t sw;	  /* the switch, from 1 */
	uint16_t nexthop; /* of that switch, from 1; 0 not known */
	uint32_t slot;	  /* where the rest of it is, from 1 */
};
_Static_assert(sizeof(struct flow) <= 80, "a flow and its index slots stay under 128 bytes");

struct flow_table;

/* Makes a table for at most `capacity` flows (1 .. 1 << 27), hashed under `seed`. Reserves address
 * space for all of it. -EINVAL, -ENOMEM. */
int flow_table_new(uint32_t capacity, const uint64_t seed[2],
		   struct flow_table **ret_table) _must_check_;
struct flow_table *flow_table_free(struct flow_table *t);
DEFINE_FREEP(struct flow_table, flow_table_free)

/* How many flows there are, and how many there may be. */
uint32_t flow_table_count(const struct flow_table *t);
uint32_t flow_table_capacity(const struct flow_table *t);
/* Bytes of memory that the table has touched so far (slab and index), for `status`. */
size_t flow_table_memory(const struct flow_table *t);

/* The flow with this tuple, or NULL. */
struct flow *flow_table_get(const struct flow_table *t, const struct tuple *tuple);

/* How many flows one source network may have here; 0: as many as there is room for. Those that are
 * there stay. Linear when it was 0 or the prefixes change. -EINVAL, -ENOMEM: nothing is changed. */
int flow_table_source_limit(struct flow_table *t, uint32_t max,
			    struct source_share_prefixes prefixes) _must_check_;
/* No further flow of this tuple's source is taken. */
bool flow_table_source_full(const struct flow_table *t, const struct tuple *tuple);
/* Flows of this tuple's source were kept out since it last had none here: some may live on
 * unlisted, although there is room again. */
bool flow_table_source_over(const struct flow_table *t, const struct tuple *tuple);
/* The network of this tuple's source. Only under a limit. */
struct ip_prefix flow_table_source(const struct flow_table *t, const struct tuple *tuple);

/* Where many tuples are looked up in a row a miss of the cache for each is most of the cost. The
 * first call has the index's place for this tuple loaded and returns a handle, the second, after
 * some other work, the flow that stands there. They change nothing. */
uint32_t flow_table_prefetch(const struct flow_table *t, const struct tuple *tuple);
void flow_table_prefetch_flow(const struct flow_table *t, uint32_t handle);

/* Finds or adds: *ret_flow is the flow with this tuple. Returns 1 when it was added (all fields but
 * the tuple are zero), 0 when it stood there, -ENOSPC when the table is full, -EDQUOT when its
 * source network has as many as it may, -EINVAL for a tuple without family. Constant time. */
int flow_table_add(struct flow_table *t, const struct tuple *tuple,
		   struct flow **ret_flow) _must_check_;

/* Removes a flow of this table, from its list too. The pointer is then dead. */
void flow_table_remove(struct flow_table *t, struct flow *f);

/* Walks all flows in slab order: start with *cursor = 0; NULL at the end. Adding and removing
 * between two calls is fine: a flow that stays is seen exactly once. */
struct flow *flow_table_next(const struct flow_table *t, uint32_t *cursor);

/* 256 doubly linked lists (1..255 used), for the flows that must be asked for by element, in the
 * order in which they were put at the end. `flow_list_append` moves a flow that is on another list.
 * Constant time. */
void flow_list_append(struct flow_table *t, uint8_t list, struct flow *f);
/* At the front instead. */
void flow_list_prepend(struct flow_table *t, uint8_t list, struct flow *f);
/* Off its list; nothing when it is on none. */
void flow_list_remove(struct flow_table *t, struct flow *f);
/* NULL: the list is empty. */
struct flow *flow_list_first(const struct flow_table *t, uint8_t list);
uint32_t flow_list_count(const struct flow_table *t, uint8_t list);
