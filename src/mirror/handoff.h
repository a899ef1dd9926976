/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include "base/err.h"
#include "flowpin/mirror.h"

/* The way to flowpind: a SOCK_SEQPACKET client of mirror.sock. It never blocks. While flowpind is
 * away or busy the last HANDOFF_PACKETS packets wait, HANDOFF_KEEP_MS at most: what a restart of
 * flowpind takes is bridged, and records that are too old to be true are not told. */

#define HANDOFF_PACKETS 128 /* each of up to MIRROR_RECORDS_MAX records: 1.3 MB in all */
#define HANDOFF_KEEP_MS 10000
#define HANDOFF_MERGE_MS 4000	 /* a packet that waits is filled up for so long */
#define HANDOFF_RETRY_MIN_MS 100 /* doubling up to the maximum */
#define HANDOFF_RETRY_MAX_MS 5000

struct handoff;

struct handoff_options {
	const char *path; /* copied */
	int priority;	  /* of its events */
	/* Called when a connection is made or lost, or could not be made for the first time since;
	 * e says why. May be NULL. */
	void (*changed)(bool connected, const struct err *e, void *arg);
	void *arg;
};

/* Tries to connect at once and goes on trying from the loop. Does not wait. -ENAMETOOLONG (an empty
 * path, too), -ENOMEM; with a sentence. */
int handoff_new(struct event_base *base, const struct handoff_options *options,
		struct handoff **ret_handoff, struct err *e) _must_check_;
/* What waits is dropped, and counted nowhere. */
struct handoff *handoff_free(struct handoff *h);
DEFINE_FREEP(struct handoff, handoff_free)

/* Sends or keeps up to MIRROR_RECORDS_MAX records (of more none) with different tuples; in each
 * packet a tuple is there once. *account is borrowed until handoff_free: handed_on counts those
 * that were sent, and dropped[MIRROR_DROP_HANDOFF] those that will never be, whenever that turns
 * out. */
void handoff_flows(struct handoff *h, const char *switch_name, const struct mirror_record *records,
		   uint32_t n, struct mirror_counters *account);
/* Sends a copy of the counters; while there is no connection, nothing. */
void handoff_counters(struct handoff *h, const char *switch_name,
		      const struct mirror_counters *counters);
