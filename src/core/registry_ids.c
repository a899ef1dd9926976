// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "core/registry_internal.h"

void registry_reserve(struct registry *r, const uint8_t *ids, size_t n)
{
	memset(r->reserved, 0, sizeof(r->reserved));
	for (size_t i = 0; i < n; i++)
		r->reserved[ids[i]] = true;
}

int registry_id_pick(const struct registry *r, uint8_t fixed_id, uint8_t *ret_id)
{
	unsigned best = 0;

	if (fixed_id) {
		if (fixed_id > r->limits.max_id)
			return -ERANGE;
		if (r->bindings[fixed_id].id)
			return -EEXIST;
		*ret_id = fixed_id;
		return 0;
	}
	/* Never used sorts before all that was, and of equals the lowest wins. */
	for (unsigned id = 1; id <= r->limits.max_id; id++)
		if (!r->bindings[id].id && !r->reserved[id] &&
		    (!best || r->freed[id] < r->freed[best]))
			best = id;
	if (!best)
		return -ENOSPC;
	*ret_id = (uint8_t)best;
	return 0;
}

void registry_id_free(struct registry *r, uint8_t id)
{
	memset(&r->bindings[id], 0, sizeof(r->bindings[id]));
	r->freed[id] = ++r->freed_count;
}
