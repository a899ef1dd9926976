// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/tuple_index.h"

#include <errno.h>
#include <string.h>
#include "base/siphash.h"

static size_t home_of(const struct tuple_index *x, const struct tuple *t)
{
	return (size_t)siphash13(t, sizeof(*t), x->key) & (x->cap - 1);
}

/* The slot that holds `t`, or the empty one where it would be. */
static size_t slot_of(const struct tuple_index *x, const struct tuple *t, tuple_index_at at,
		      const void *owner)
{
	size_t i = home_of(x, t);

	while (x->slot[i] && memcmp(at(owner, x->slot[i] - 1), t, sizeof(*t)) != 0)
		i = (i + 1) & (x->cap - 1);
	return i;
}

uint32_t tuple_index_find(const struct tuple_index *x, const struct tuple *t, tuple_index_at at,
			  const void *owner)
{
	return x->cap ? x->slot[slot_of(x, t, at, owner)] - 1 : UINT32_MAX;
}

static int grow(struct tuple_index *x, tuple_index_at at, const void *owner)
{
	struct tuple_index bigger = { .key = { x->key[0], x->key[1] },
				      .cap = x->cap ? x->cap * 2 : 64,
				      .n = x->n };

	bigger.slot = calloc(bigger.cap, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < x->cap; i++)
		if (x->slot[i])
			bigger.slot[slot_of(&bigger, at(owner, x->slot[i] - 1), at, owner)] =
				x->slot[i];
	free(x->slot);
	*x = bigger;
	return 0;
}

int tuple_index_add(struct tuple_index *x, uint32_t position, tuple_index_at at, const void *owner)
{
	int r;

	if (x->n * 2 >= x->cap) {
		r = grow(x, at, owner);
		if (r < 0)
			return r;
	}
	x->slot[slot_of(x, at(owner, position), at, owner)] = position + 1;
	x->n++;
	return 0;
}

void tuple_index_remove(struct tuple_index *x, const struct tuple *t, tuple_index_at at,
			const void *owner)
{
	size_t hole;

	if (!x->cap)
		return;
	hole = slot_of(x, t, at, owner);
	if (!x->slot[hole])
		return;
	x->slot[hole] = 0;
	x->n--;
	/* Those behind it move back, so that no search stops at the hole too early. */
	for (size_t i = (hole + 1) & (x->cap - 1); x->slot[i]; i = (i + 1) & (x->cap - 1)) {
		size_t home = home_of(x, at(owner, x->slot[i] - 1));

		if (((i - home) & (x->cap - 1)) < ((i - hole) & (x->cap - 1)))
			continue;
		x->slot[hole] = x->slot[i];
		x->slot[i] = 0;
		hole = i;
	}
}

void tuple_index_move(struct tuple_index *x, const struct tuple *t, uint32_t position,
		      tuple_index_at at, const void *owner)
{
	size_t i;

	if (!x->cap)
		return;
	i = slot_of(x, t, at, owner);
	if (x->slot[i])
		x->slot[i] = position + 1;
}

void tuple_index_clear(struct tuple_index *x)
{
	free(x->slot);
	x->slot = NULL;
	x->cap = x->n = 0;
}
