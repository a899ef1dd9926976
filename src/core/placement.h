/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/source_share.h"

/* What one switch should hold, and what it says that it holds. Pure: time comes in as milliseconds
 * of clock_now_ms(), wishes come out in batches.
 *
 * A switch knows a flow by its 5-tuple alone. The zone of a tuple that is offered says who knows
 * the flow (0 the gateway, else a mirror), and flows of several zones with one 5-tuple are one flow
 * here: it ends when the last of them does.
 *
 * A flow that is offered is a candidate. The policy chooses among the candidates; the wish of a
 * chosen one is "present". Selection happens in placement_settle() and placement_interval(), not in
 * each call, so that a thousand offers cost one selection. What was chosen stays chosen until it
 * ends, is refused, or its room is needed: taking a flow out of a switch may move it to another
 * server.
 *
 * All memory is reserved when the placement is made and touched as it fills. Every call takes
 * constant time unless it says otherwise. */

enum placement_policy {
	PLACEMENT_POLICY_NONE,
	PLACEMENT_POLICY_ALL,	      /* at the first packet */
	PLACEMENT_POLICY_ESTABLISHED, /* replied, or mirrored and older than min_age_ms */
	PLACEMENT_POLICY_HEAVY,	      /* the largest by bytes */
	PLACEMENT_POLICY_DRAINING,    /* those of draining bindings */
};
/* "none", "all", ... */
const char *placement_policy_name(enum placement_policy policy);
/* -EINVAL for another word. */
int placement_policy_parse(const char *word, enum placement_policy *ret_policy) _must_check_;

struct placement_options {
	enum placement_policy policy;
	uint32_t max_flows;	 /* flows of ours in the switch; at least 1 */
	uint32_t max_candidates; /* flows that are remembered at all; at least max_flows. Fixed by
				    placement_new() */
	uint32_t capacity;	 /* entries of the table, 0 not known. Also learned:
				    placement_capacity_set(), rejections */
	uint32_t reserve; /* flows and entries that only draining bindings' flows may take; at
			     most half of the room is kept for them */
	uint8_t weight6;  /* table entries that an IPv6 flow takes: 1 .. 16 */
	uint64_t min_age_ms;
	uint64_t idle_timeout_ms; /* 0: placement_idle() ends nothing */
	uint64_t retry_ms;   /* first back-off after a rejection, doubled up to 32 times; 0: 30 s */
	uint64_t stuck_ms;   /* how long a flow may wait for the table's resources before that
				counts as a rejection; 0: 10 s */
	/* Per cent of max_flows, and of max_candidates, that one source network keeps when others
	 * wait; 0 or 100: all. Above its share its flows come last, and the last of them give way.
	 */
	uint8_t source_share;
	struct source_share_prefixes prefixes; /* Fixed by placement_new(); with a source_share */
	uint32_t hysteresis; /* per cent by which a flow must exceed one that is in; <= 1000 */
};

/* Why a wish is what it is; from PLACEMENT_ENDED on, why a flow is taken out. */
enum placement_reason {
	PLACEMENT_PLACED,
	PLACEMENT_ADOPTED, /* found in the switch */
	PLACEMENT_MOVED,   /* present with another nexthop; or withdrawn: its port is reused */
	PLACEMENT_ENDED,
	PLACEMENT_DEAD,
	PLACEMENT_RELEASED,
	PLACEMENT_EVICTED,  /* its room was needed, or it may not be placed any more */
	PLACEMENT_REJECTED, /* the switch refused it: what is left of it there is to go */
	PLACEMENT_SERVICE_REMOVED,
	PLACEMENT_TEARDOWN,
};
#define PLACEMENT_REASON_COUNT 10
/* As in the seam: "ended", "service-removed", ... */
const char *placement_reason_name(enum placement_reason reason);

/* What the switch said of the wish of the version that stands. */
enum placement_state {
	PLACEMENT_STATE_UNKNOWN, /* nothing yet */
	PLACEMENT_STATE_ACCEPTED,
	PLACEMENT_STATE_PROGRAMMED,
	PLACEMENT_STATE_PENDING,
	PLACEMENT_STATE_REJECTED,
	PLACEMENT_STATE_ABSENT,
	PLACEMENT_STATE_ADOPTED,
};
/* "unknown", "accepted", ... */
const char *placement_state_name(enum placement_state state);
/* -EINVAL for another word ("unknown" too: nobody reports that). */
int placement_state_parse(const char *word, enum placement_state *ret_state) _must_check_;

/* Why it is pending or rejected. */
enum placement_class {
	PLACEMENT_CLASS_NONE,
	PLACEMENT_CLASS_FULL,	     /* the table has no room */
	PLACEMENT_CLASS_UNSUPPORTED, /* the platform cannot do it */
	PLACEMENT_CLASS_UNRESOLVED,  /* the nexthop is not resolved yet */
	PLACEMENT_CLASS_OTHER,
};
#define PLACEMENT_CLASS_COUNT 5
/* "none", "full", ... */
const char *placement_class_name(enum placement_class c);
/* Classifies what a switch says by substring, without regard to case. NULL and "" are NONE, words
 * that are not known OTHER. */
enum placement_class placement_class_of(const char *text);

struct placement;

/* `seed` as for the flow table. Both are copied. -EINVAL for options out of range, -ENOMEM. */
int placement_new(const struct placement_options *o, const uint64_t seed[2],
		  struct placement **ret_placement) _must_check_;
struct placement *placement_free(struct placement *p);
DEFINE_FREEP(struct placement, placement_free)
/* A reload. max_candidates stays as it was. What is chosen stays, whatever the new policy, as far
 * as it fits. Linear. -EINVAL as above; nothing is changed then. */
int placement_options_set(struct placement *p, const struct placement_options *o,
			  uint64_t now_ms) _must_check_;

/* The switch said how many table entries there are for us (those that we hold plus those that are
 * free); 0 it does not say. More than before ends the wait after rejections; less evicts. */
void placement_capacity_set(struct placement *p, uint32_t entries, uint64_t now_ms);

struct placement_facts {
	struct ip_addr nexthop; /* where it goes; must have a family */
	uint64_t learned_ms;
	uint64_t bytes; /* so far, by conntrack's accounting; 0 not known */
	bool replied;	/* an answer was seen */
	bool mirrored;	/* learned from a switch's mirror */
	bool nat;	/* never placed */
	bool draining;	/* its binding is draining, or about to be drained */
	bool dead;	/* its binding is dead: not placed, and taken out first */
};

/* The flow exists and could be placed, or something about it changed. Returns 1 when it is new
 * here, 0 when it was known.
 * Another nexthop than before: told by the only zone that knows the flow it is a move. Told by
 * another zone it is a conflict: the nexthop of the flow that was learned first stays, and the
 * conflict is counted; -EEXIST when that is not this one (it is not remembered: offer it again when
 * the other one has ended).
 * -EINVAL: a tuple or nexthop without family; -ENOSPC: no more candidates are remembered (counted),
 * or more than 8 zones know the flow. */
int placement_offer(struct placement *p, const struct tuple *t, const struct placement_facts *f,
		    uint64_t now_ms) _must_check_;

/* A flow that placement_observe() returned 1 for: it is ours and stays. It is chosen, whatever the
 * policy, and flowpin-eapi is told. Errors as placement_offer(). */
int placement_adopt(struct placement *p, const struct tuple *t, const struct placement_facts *f,
		    uint64_t now_ms) _must_check_;

/* The flow ended (reason ENDED: in this zone; it stays while another zone knows it), or is to go at
 * once (any other reason). Unknown ones are ignored. A flow that the switch may hold is remembered
 * until the switch is known to be without it. */
void placement_withdraw(struct placement *p, const struct tuple *t, enum placement_reason reason,
			uint64_t now_ms);
/* All of them. Linear. */
void placement_withdraw_all(struct placement *p, enum placement_reason reason, uint64_t now_ms);

/* Bytes of a flow so far, by conntrack's accounting (the switch's counters come with
 * placement_observe()). A total below the last one is a counter that began anew. -ENOENT: not
 * known, also because it was dropped as one of the smallest (policy heavy): offer it again. */
int placement_account(struct placement *p, const struct tuple *t, uint64_t total_bytes,
		      uint64_t now_ms);

/* Ends an interval of accounting (the first begins with the first flow): rates are computed, and
 * under `heavy` the largest are chosen anew. A flow that is in gives way only to one that is larger
 * by the hysteresis. n log n. */
void placement_interval(struct placement *p, uint64_t now_ms);

/* Chooses: fills room that there is, draining bindings' flows first, and makes room for those by
 * evicting the smallest, among equals the oldest. A source network above its share gives way to
 * flows of others first, those of its own first that were chosen last. placement_next() calls it
 * too. Returns the milliseconds until time alone may change something, UINT64_MAX for never. Linear
 * in what changes; n log n when something is evicted. */
uint64_t placement_settle(struct placement *p, uint64_t now_ms);

struct placement_wish {
	struct tuple tuple; /* zone 0 */
	struct ip_addr nexthop;
	uint64_t version; /* higher with each change of this flow, also after it was forgotten */
	bool present;
	enum placement_reason reason;
};

/* A snapshot is BEGIN (no wishes), PARTs, END (no wishes). */
enum placement_kind {
	PLACEMENT_BEGIN,
	PLACEMENT_PART,
	PLACEMENT_END,
	PLACEMENT_CHANGE,
};
/* As in the seam: "begin", "part", "end", "change". */
const char *placement_kind_name(enum placement_kind kind);

struct placement_batch {
	enum placement_kind kind;
	uint64_t serial;
	size_t n; /* wishes */
};

/* A flowpin-eapi attached: everything is to be told, in a snapshot. Nothing that was told before
 * counts, and a reading that was under way is void. Not before flowpind's own dumps are complete.
 * Linear. */
void placement_attach(struct placement *p);
/* It is gone: nothing is told until the next one. */
void placement_detach(struct placement *p);

/* The next wishes to tell, at most `max` (1 or more), into `wishes`. False: nobody is attached, the
 * batch before is not done, or nothing is to be told. There is no queue: each flow is told as it is
 * now, and one that changes after it was told is told again. A snapshot comes in no order and is
 * acted on when it is complete; changes come so: deletions of dead and released flows, other
 * deletions, draining bindings' flows, others. Calls placement_settle(). */
bool placement_next(struct placement *p, uint64_t now_ms, struct placement_wish *wishes, size_t max,
		    struct placement_batch *ret_batch);
/* The batch was taken. -ESTALE: not the serial that is waited for. Linear in the batch. */
int placement_done(struct placement *p, uint64_t serial) _must_check_;

struct placement_observation {
	uint64_t version; /* of the wish that it is about, 0 none */
	enum placement_state state;
	enum placement_class class; /* where it is pending or rejected */
	struct ip_addr nexthop;	    /* family 0: not said */
	bool counted;		    /* packets and bytes could be read */
	uint64_t packets, bytes;
};

/* Returns 0, or 1 for a flow that is not known here and that the switch has: to be adopted when it
 * belongs to a service and a known nexthop, else left alone. A candidate that is found in the
 * switch with its own nexthop is adopted by itself; with another one that is a conflict: counted,
 * and left alone until the policy chooses the flow; over once ours is programmed, or a full reading
 * has nothing of it. What is said about an older version than the wish's changes no state. A
 * rejected flow loses its wish, is shown as rejected, and is tried again when there is room: at
 * once where only that was missing, else after a back-off. */
int placement_observe(struct placement *p, const struct tuple *t,
		      const struct placement_observation *o, uint64_t now_ms) _must_check_;

/* A complete reading: flows not named between begin and end are absent, if they were told before
 * the begin. placement_attach() and the end of a reading begin the next one, so calling begin is
 * only needed to throw a half reading away. End is linear. */
void placement_observe_full_begin(struct placement *p);
void placement_observe_full_end(struct placement *p, uint64_t now_ms);

/* The switch could not be read: silence until now is nobody's end. */
void placement_counters_unreadable(struct placement *p, uint64_t now_ms);

/* What is known of a flow; of the caller until the next change. */
struct placement_view {
	struct tuple tuple; /* zone 0 */
	struct ip_addr nexthop;
	const uint16_t *zones; /* that know it */
	size_t n_zones;	       /* 0: only its deletion is remembered */
	uint64_t version;
	bool present;  /* desired */
	bool dirty;    /* its wish is not told yet */
	bool adopted;  /* it was found in the switch */
	bool expired;  /* it left by the switch's timeout, at state_ms: placement_renew() */
	bool conflict; /* another zone, or the switch, has another nexthop for it */
	bool draining;
	bool waiting; /* not desired only because there is no room, or not yet */
	enum placement_reason reason;
	enum placement_state state;
	enum placement_class class;
	uint64_t state_ms;	 /* since when */
	uint64_t retry_ms;	 /* not tried again before; 0 */
	bool counted;		 /* its counters were read since it was written, or found */
	uint64_t packets, bytes; /* in the switch */
	uint64_t moved_ms;	 /* when a counter moved last; 0 never */
	uint64_t rate;		 /* bytes a second, by the intervals */
};
/* -ENOENT. */
int placement_get(const struct placement *p, const struct tuple *t,
		  struct placement_view *ret_view) _must_check_;
/* All of them: start with *cursor = 0; false at the end. Changes between two calls are fine. */
bool placement_walk(const struct placement *p, uint32_t *cursor, struct placement_view *ret_view);

/* Calls `idle` for each flow in the switch of which no counter has moved for the idle timeout, as
 * far as they were read all the time, and for each that left the switch by its own timeout
 * (expired); `alive` for each of which a counter moved since the last call: its conntrack entry and
 * pin are to be refreshed. A counter that began anew proves nothing: the timeout is counted from
 * there. The callbacks may withdraw and renew flows. Linear. */
typedef void placement_life_fn(const struct placement_view *v, void *arg);
void placement_idle(struct placement *p, uint64_t now_ms, placement_life_fn *idle,
		    placement_life_fn *alive, void *arg);

/* Somebody else than the switch sees a flow alive that was called idle: an expired one is wished
 * for again, another is not called idle again before a quarter of the idle timeout has passed. */
void placement_renew(struct placement *p, const struct tuple *t, uint64_t now_ms);

struct placement_numbers {
	uint32_t candidates; /* flows that somebody knows: desired + rejected + not_placed */
	uint32_t desired, rejected, not_placed;
	uint32_t programmed, pending; /* of desired: in the switch by its own word; not yet */
	uint32_t adopted;	      /* of desired: found in the switch */
	uint32_t waiting;	      /* of not_placed: would be chosen if there were room */
	uint32_t deleting;	      /* deletions that the switch has not confirmed */
	uint32_t dirty;		      /* wishes not told yet */
	uint32_t entries;	      /* table entries that desired takes */
	uint32_t room; /* table entries that it may take as far as is known; 0 not known */
	uint64_t removed[PLACEMENT_REASON_COUNT]; /* MOVED: pointed elsewhere, too */
	uint64_t rejections[PLACEMENT_CLASS_COUNT];
	uint64_t conflicts;
	uint64_t refused;   /* offers: no more candidates are remembered */
	uint64_t dropped;   /* candidates: among the smallest */
	uint64_t forgotten; /* deletions, told and never confirmed */
	uint64_t yielded;   /* of those removed or dropped: to other source networks */
	uint32_t over_share; /* of waiting: their source network has its share */
	uint64_t strangers; /* observations of flows that are not known */
};
/* Linear. */
void placement_numbers(const struct placement *p, struct placement_numbers *ret_numbers);
