/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/config.h"
#include "eapi/reconciler.h"

#define SETTLE_MS      3000  /* what was written may be programmed later than it was accepted */
#define LINGER_MS      60000 /* a request without an answer may still be carried out this late */
#define INACTIVE_MS    30000 /* an unknown flow that is not in hardware is kept this long */
#define PROBE_MAX_MS   600000 /* longest wait before room is tried for again */
#define NUDGE_MS       15000  /* first wait before DirectFlow is enabled again; doubles */
#define REFUSED_MS     5000 /* first wait of a refused flow; doubles */
#define REFUSED_MAX_MS 600000
#define FAMILY_STREAK  3 /* refusals in a row that tell of the address family, not of the flow */
#define FAMILY_MS      60000

/* After so many repairs the model, and not the flow, is taken for what is wrong. */
#define MISMATCHES_MAX 3

enum refusal { REFUSAL_NONE, REFUSAL_FLOW, REFUSAL_FULL };

struct rec_flow {
	struct tuple tuple;

	/* What flowpind wants. */
	bool known, present;
	uint32_t snapshot; /* the last that named it */
	int64_t version;
	struct ip_addr nexthop;
	uint32_t idle_ms;
	uint64_t wish_ms;

	/* What the switch has, as far as is known. */
	bool there;
	bool there_known; /* its nexthop is known */
	struct ip_addr there_nexthop;
	bool read;	 /* seen in a reading since it was written */
	bool programmed; /* it was so at some time since it was written */
	bool vanished;	 /* accepted, then gone without a word, and not programmed since */
	bool spoilt;	 /* half-written or not what its name says */
	bool purge;	 /* rejected or expired: its leftover is to be deleted */
	bool expired;	 /* it left by itself; not written again for this version */
	enum flow_status status;
	char text[RECONCILER_TEXT];
	uint32_t mismatches; /* readings that said something else than what was written */
	bool has_counters;
	uint64_t packets, bytes;
	uint64_t moved_ms;    /* when they last changed */
	uint64_t inactive_ms; /* since when it is not in hardware; 0: it is */

	/* Requests about it. */
	bool busy, doubt;
	bool dry;
	uint64_t changed_ms; /* when the last one ended; 0: never */
	uint64_t linger_ms;
	enum refusal refusal;
	uint32_t refusals;
	uint64_t retry_ms;

	bool dirty; /* to be reported */
};

struct family_state {
	uint32_t streak, blocks;
	uint64_t until_ms;
	char text[RECONCILER_TEXT];
};

struct room {
	int64_t learned; /* entries of ours that fitted when one did not; -1: never full */
	int64_t tcam;	 /* the same by the TCAM's word; -1: not told */
	uint32_t tcam_more;
	uint32_t step;
	uint64_t probe_ms, wait_ms;
};

struct reconciler {
	const struct switch_config *config;
	struct reconciler_resolver resolver;
	char prefix[CONFIG_PREFIX_MAX];
	struct tuple_index index;
	struct rec_flow *flow;
	size_t n, cap;
	uint32_t snapshot;
	bool attached; /* a snapshot is complete */
	bool wants_text;
	bool missing_is_error; /* the switch refuses to delete what is not there */
	bool nudge;
	uint64_t nudge_ms, nudge_wait_ms;
	uint32_t foreign;
	struct family_state family[2];
	struct room room;
};

/* reconciler.c: NULL when there is none. Flows move when one is added or removed. */
struct rec_flow *rec_find(const struct reconciler *r, const struct tuple *t);
/* Finds or adds. NULL: no memory, or too many. */
struct rec_flow *rec_flow_get(struct reconciler *r, const struct tuple *t);
/* The last one takes its place. */
void rec_remove(struct reconciler *r, size_t position);
/* Its own idle timeout, else the switch section's. */
uint32_t rec_idle_ms(const struct reconciler *r, const struct rec_flow *f);
/* The switch refused it, in these words: a wait that doubles begins. */
void rec_refuse(struct rec_flow *f, enum refusal refusal, const char *text, uint64_t now_ms);

/* reconciler_room.c: table entries that a flow takes. */
uint32_t rec_entries(const struct reconciler *r, const struct tuple *t);
/* Entries that flows of ours take now. */
int64_t rec_used(const struct reconciler *r);
/* How many may be taken; INT64_MAX: no limit is known. */
int64_t rec_limit(const struct reconciler *r);
/* The switch had no room: what fitted is the limit, until a wait that doubles has passed. */
void rec_room_full(struct reconciler *r, uint64_t now_ms);
/* After a reading without rejections. */
void rec_room_fits(struct reconciler *r, uint64_t now_ms);

static inline struct family_state *rec_family(struct reconciler *r, const struct tuple *t)
{
	return &r->family[t->family == AF_INET6];
}
