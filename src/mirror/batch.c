// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/batch.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include "base/siphash.h"

/* The tuple stands in front of the flags. */
#define TUPLE_SIZE offsetof(struct mirror_record, flags)

void batch_reset(struct batch *b)
{
	/* Without randomness (a kernel that has none yet) the key stays what it is: slower under
	 * attack, never wrong. */
	if (!b->key[0] && !b->key[1] && getrandom(b->key, sizeof(b->key), GRND_NONBLOCK) < 0)
		b->key[0] = 1;
	memset(b->slots, 0, sizeof(b->slots));
	b->n = 0;
}

enum batch_result batch_add(struct batch *b, const struct mirror_record *record)
{
	uint64_t at = siphash13(record, TUPLE_SIZE, b->key);

	/* A quarter of the slots at most is in use, so there is always an empty one to end at. */
	for (;; at++) {
		uint16_t *slot = &b->slots[at % BATCH_SLOTS];

		if (*slot == 0) {
			if (b->n == MIRROR_RECORDS_MAX)
				return BATCH_FULL;
			b->records[b->n++] = *record;
			*slot = (uint16_t)b->n;
			return BATCH_ADDED;
		}
		if (memcmp(&b->records[*slot - 1], record, TUPLE_SIZE) == 0) {
			b->records[*slot - 1].flags |= record->flags;
			return BATCH_REPEATED;
		}
	}
}
