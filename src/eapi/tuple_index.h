/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "base/macros.h"
#include "netlink/tuple.h"

/* Finds things by tuple: open addressing over positions in an array that its owner keeps.
 * Zero-initialised with a key is empty. Remote hosts choose the tuples, so the hash is keyed. */
struct tuple_index {
	uint64_t key[2];
	uint32_t *slot; /* position + 1, 0 empty */
	size_t cap, n;
};

/* How the index reads the tuple at a position of its owner's array. */
typedef const struct tuple *(*tuple_index_at)(const void *owner, uint32_t position);

/* The position, or UINT32_MAX. */
uint32_t tuple_index_find(const struct tuple_index *x, const struct tuple *t, tuple_index_at at,
			  const void *owner);
/* Enters a position whose tuple is not there yet. -ENOMEM. */
int tuple_index_add(struct tuple_index *x, uint32_t position, tuple_index_at at,
		    const void *owner) _must_check_;
/* Takes the tuple's entry out; the array still holds it at that time. */
void tuple_index_remove(struct tuple_index *x, const struct tuple *t, tuple_index_at at,
			const void *owner);
/* The thing of this tuple moved to another position. */
void tuple_index_move(struct tuple_index *x, const struct tuple *t, uint32_t position,
		      tuple_index_at at, const void *owner);
/* Frees the memory and keeps the key. */
void tuple_index_clear(struct tuple_index *x);
