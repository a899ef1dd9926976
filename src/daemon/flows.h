/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"
#include "netlink/ct.h"

/* Conntrack into the flow table: by its events (flows.c), and read whole at start, after events
 * were lost, and while entries may have got a mark that no event told of (flows_dump.c). */

/* Flags of struct flow that only the daemon uses, above those of core/flow.h. */
enum {
	/* Ended while a dump runs, and counted no more: an older message of the dump must not bring
	 * it back. */
	FLOW_GRAVE = 1 << 7,
};

/* Opens d->ct_events and d->ct_request: events of entries with our marks are queued from here on,
 * and applied by the loop. Errors as of nl_open(), ct_filter_events() and nl_join(), with a
 * sentence; -ENOMEM. Struct daemon owns what was opened, also after a failure. Does not wait. */
int flows_open(struct daemon *d, struct err *e) _must_check_;

#define FLOWS_QUEUE 16
/* Entries on their way into the flow table, whose places in it are loaded meanwhile. The caller
 * decodes each into entry[n] and pushes it; they are applied in that order. It owns no memory. */
struct flows_queue {
	struct daemon *d;
	uint64_t now_ms;
	unsigned n;
	uint32_t handle[FLOWS_QUEUE];
	struct ct_entry entry[FLOWS_QUEUE];
};
/* Makes it empty. Flows that it brings were learned at now_ms, clock_now_ms(). */
static inline void flows_queue_begin(struct flows_queue *q, struct daemon *d, uint64_t now_ms)
{
	q->d = d;
	q->now_ms = now_ms;
	q->n = 0;
}
/* Takes entry[n] in; a queue that is full then is flushed. */
void flows_queue_push(struct flows_queue *q);
/* Applies what waits and leaves it empty; what is never flushed is lost. An entry without a mark of
 * ours is passed over, one of a switch's zone is the mirror's, one that finds no room in the flow
 * table is counted, and logged once a minute. Waits for the kernel at most. */
void flows_queue_flush(struct flows_queue *q);

/* Ends a flow: switches and monitors hear of it, it is counted out and removed; the pointer is dead
 * then. `why` is "end", "moved", "unpinned", "dead" or "released". Its pin and conntrack entry are
 * left to the caller; those of a mirrored flow are deleted soon. Waits for the kernel at most. */
void flows_end(struct daemon *d, struct flow *f, const char *why);

/* Ends one that conntrack or the pin map told the end of: as flows_end() with "end", but a dump
 * that runs, and may have passed its entry before, does not bring it back. */
void flows_end_told(struct daemon *d, struct flow *f);

/* The flow goes through another binding since now_ms: counts, lists, switches and monitors follow.
 * Its pin and conntrack entry are left to the caller. Waits for the kernel at most. */
void flows_move(struct daemon *d, struct flow *f, uint8_t id, uint64_t now_ms);

/* Counts `delta` flows in or out by the id of their mark, with one_way also as flows that live by
 * their pin. Id 0: mirrored ones whose nexthop is not known. The first of an id without binding
 * asks for a sync, which may adopt it (carried.h). */
void flows_counts(struct daemon *d, uint8_t id, int delta, bool one_way);

/* Joins or leaves conntrack's UPDATE events, which outnumber the others, as they are needed now. A
 * failure is left to the next call. Does not wait. */
void flows_updates_judge(struct daemon *d);

/* Applies the events that wait now; new ones may go on coming, and some may be left after 128,000.
 * Waits for the kernel at most. */
void flows_catch_up(struct daemon *d);

/* Makes d->generation a mark that no flow has. Does not wait. */
void flows_generation_next(struct daemon *d);

/* Begins to read conntrack whole, by the loop; none may run. A flow whose entry it does not show
 * ends, one of zone 0 only if its pin is gone, too; the first dump calls daemon_conntrack_known()
 * at its end. One that breaks off ends nothing and is made again. Errors as of
 * conntrack_dump_begin(). Does not wait. */
int flows_dump_begin(struct daemon *d) _must_check_;
/* Ends a dump that runs, and nothing else: for flowpind's end, as graves stay where they are. */
void flows_dump_cancel(struct daemon *d);

/* A dump that runs is begun anew: what it has read was true before now. */
void flows_dump_renew(struct daemon *d);

/* Events were lost at now_ms: conntrack is read again when resync.h says, but not while a dump runs
 * or a verify reads. A verify that waits for it has it sooner. Without memory for the timer nothing
 * happens. Does not wait. */
void flows_resync_soon(struct daemon *d, uint64_t now_ms);
/* Whether events were lost and conntrack has not been read whole since. Does not wait. */
bool flows_resync_pending(const struct daemon *d);

/* For every tick: while entries without a mark may exist that get one unheard, reads conntrack
 * again, after 1 s and then at intervals that double, up to an hour. Not while a dump runs
 * or a verify reads; one that cannot begin is left to the next interval. Does not wait. */
void flows_unmarked_check(struct daemon *d, uint64_t now_ms);
