/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/switch_config.h"
#include "eapi/reading.h"

/* What one switch should hold, what it holds, and which commands lead from one to the other. Pure:
 * time is passed in (milliseconds that never step), requests are made by whoever asks for batches.
 * Flows are known by their tuple with zone 0. What is in the switch with our prefix and was not
 * asked for is adopted: reported, never deleted. */

#define RECONCILER_FLOWS_MAX   200000
#define RECONCILER_DELETES_MAX 1000 /* in one request */
#define RECONCILER_TEXT	       96

struct reconciler;

/* Where a nexthop is in this switch, for actions that need more than its address, and back. */
struct reconciler_resolver {
	/* Fills interface, vlan and mac of *t for t->nexthop. False: not known now. */
	bool (*resolve)(void *arg, struct flow_target *t);
	/* The nexthop of an L2 rewrite. False: not known now. */
	bool (*nexthop)(void *arg, uint8_t family, const char *mac, const char *interface,
			struct ip_addr *ret_nexthop);
	void *arg;
};

/* `config` and `resolver->arg` are borrowed. `key` is for the hash. -ENOMEM. */
int reconciler_new(const struct switch_config *config, const struct reconciler_resolver *resolver,
		   const uint64_t key[2], struct reconciler **ret_reconciler) _must_check_;
struct reconciler *reconciler_free(struct reconciler *r);
DEFINE_FREEP(struct reconciler, reconciler_free)

/* The prefix of our names, as flowpind says. Another one than before forgets everything. */
void reconciler_set_prefix(struct reconciler *r, const char *prefix);
/* "" before it is set. Borrowed. */
const char *reconciler_prefix(const struct reconciler *r);

struct wish {
	struct tuple tuple;
	int64_t version;
	bool present;
	struct ip_addr nexthop;	  /* family 0: none was given */
	uint32_t idle_timeout_ms; /* 0: the switch section's */
};

/* Between begin and end of a snapshot, and before the first one, no batch is made. What a snapshot
 * does not name any more is then adopted like anything that flowpind does not know. */
void reconciler_snapshot_begin(struct reconciler *r);
void reconciler_snapshot_end(struct reconciler *r);
/* flowpind is gone: no batches until the next snapshot has ended. */
void reconciler_detach(struct reconciler *r);
/* -ENOSPC: too many flows; -ENOMEM. */
int reconciler_wish(struct reconciler *r, const struct wish *w, uint64_t now_ms) _must_check_;

/* A complete reading whose request was sent at begin_ms. Flows that a request is out for, or was at
 * that time, are left as they are. -ENOMEM, also at RECONCILER_FLOWS_MAX flows: the reading is then
 * taken in part. */
int reconciler_read(struct reconciler *r, const struct reading *reading, uint64_t begin_ms,
		    uint64_t now_ms) _must_check_;
/* Whether a reading with the text is needed: the model may hide a flow, or does not tell a nexthop.
 */
bool reconciler_wants_text(const struct reconciler *r);
/* A write ended without an answer: nothing is repeated before the next reading. */
bool reconciler_in_doubt(const struct reconciler *r);
/* The switch was restarted: what was in it is gone, and that was no expiry. */
void reconciler_reboot(struct reconciler *r, uint64_t now_ms);
/* What the TCAM text says: entries that can be had beyond those in use. */
void reconciler_tcam(struct reconciler *r, uint32_t more, uint64_t now_ms);

enum batch_kind { BATCH_ADD, BATCH_DELETE, BATCH_NUDGE };

struct batch_item {
	struct tuple tuple;
	size_t from, to; /* its commands: from .. to - 1 */
	bool deletes;	 /* the first one deletes what may be there */
	int64_t version;
	struct ip_addr nexthop;
};

struct write_batch {
	enum batch_kind kind;
	struct commands commands;
	struct batch_item *item;
	size_t n, cap;
	size_t begin; /* commands in front of the first item */
};
/* Frees what it holds; it is empty then. */
void write_batch_clear(struct write_batch *b);

enum batch_outcome {
	BATCH_DONE,
	BATCH_FAILED,  /* at one command: those before it were done, those behind it were not */
	BATCH_UNSENT,  /* certainly nothing was done */
	BATCH_UNKNOWN, /* no telling */
	BATCH_DRY,     /* shown, not sent */
};

/* The next request, of at most `flows` flows, in *ret_batch (written over, then the caller's to
 * clear). False: there is nothing to do now. Its flows wait for reconciler_done(). */
bool reconciler_next(struct reconciler *r, uint32_t flows, uint64_t now_ms,
		     struct write_batch *ret_batch);
struct batch_failure {
	size_t at;	  /* the command */
	int code;	  /* of eAPI */
	const char *text; /* of the switch */
};

/* How it ended; `failure` counts for BATCH_FAILED. True: the switch refused what stands in front of
 * all flows, so it is no flow's fault. */
bool reconciler_done(struct reconciler *r, const struct write_batch *b, enum batch_outcome outcome,
		     const struct batch_failure *failure, uint64_t now_ms);

enum observation_state {
	OBSERVED_ACCEPTED,
	OBSERVED_PROGRAMMED,
	OBSERVED_PENDING,
	OBSERVED_REJECTED,
	OBSERVED_ABSENT,
	OBSERVED_ADOPTED,
};
/* As in the seam: "accepted", ... */
const char *observation_state_name(enum observation_state s);

struct observation {
	struct tuple tuple;
	int64_t version;
	enum observation_state state;
	struct ip_addr nexthop; /* family 0: not known */
	const char *text;	/* borrowed until the next call, "" : none */
	bool has_counters;
	uint64_t packets, bytes;
};

/* Fills the next observation from *position on, which begins with 0: all, or only those that
 * changed since they were last reported. False: no more. */
bool reconciler_report(struct reconciler *r, bool all, size_t *position, uint64_t now_ms,
		       struct observation *ret_observation);

struct reconciler_summary {
	uint32_t desired, programmed, pending, rejected, adopted, foreign;
	int64_t capacity, free; /* in entries; -1: not known */
	uint64_t lag_ms;	/* how long the oldest wish waits to be programmed */
};
/* Linear. */
void reconciler_summarize(const struct reconciler *r, uint64_t now_ms,
			  struct reconciler_summary *ret_summary);
/* Each nexthop that a flow is to go or goes to. */
void reconciler_nexthops(const struct reconciler *r,
			 void (*fn)(const struct ip_addr *nexthop, void *arg), void *arg);
