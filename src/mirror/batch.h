/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include "flowpin/mirror.h"

/* The records of one switch that go to flowpind together: one for each tuple, however many packets
 * of it came. */

#define BATCH_SLOTS (4 * MIRROR_RECORDS_MAX)

struct batch {
	struct mirror_record records[MIRROR_RECORDS_MAX];
	uint32_t n;
	uint64_t key[2];	     /* of the hash: hosts behind the switch choose the tuples */
	uint16_t slots[BATCH_SLOTS]; /* index into records + 1, 0 empty */
};

enum batch_result { BATCH_ADDED, BATCH_REPEATED, BATCH_FULL };

/* Empties it. With a key of zeroes it takes one from getrandom(2). */
void batch_reset(struct batch *b);
/* A tuple that is there already gets the flags of both: which packet came first is not told.
 * BATCH_FULL: not taken. */
enum batch_result batch_add(struct batch *b, const struct mirror_record *record);
