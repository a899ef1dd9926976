/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "core/placement.h"

/* What the files of the placement share. Entries live in a slab, do not move, and are found through
 * an index (placement_index.c). Each is on two lists: by its place (is it chosen, does it wait) and
 * by what is to be told of it. An entry is free when its tuple has no family. */

#define PLACEMENT_ZONES_MAX 8
#define UNLIMITED	    UINT32_MAX
#define PLACEMENT_RATE_MAX  (UINT64_C(1) << 50)

enum placement_side {
	SIDE_PLACE,
	SIDE_TELL,
};
#define SIDES 2

enum place_list {
	PLACE_NOWHERE,
	PLACE_UNFIT, /* the policy does not want it, or it may not be placed */
	PLACE_TIMED, /* until its due_ms */
	PLACE_WAIT4, /* would be chosen if there were room */
	PLACE_WAIT6,
	PLACE_DRAIN4, /* the same, of draining bindings */
	PLACE_DRAIN6,
	PLACE_LATER4, /* as PLACE_WAIT4, but their source network has its share */
	PLACE_LATER6,
	PLACE_IN,   /* chosen: its wish is present */
	PLACE_GONE, /* no zone knows it: kept until the switch is known to be without it */
};

enum tell_list {
	TELL_NOTHING, /* it was told, or the snapshot will come by */
	TELL_DEAD,
	TELL_DELETE,
	TELL_DRAIN,
	TELL_ADD,
	TELL_FLIGHT, /* handed out, not done */
};
#define LISTS 11

/* Links are slab indexes + 1; 0 is the end. */
struct placement_link {
	uint32_t next, prev;
	uint8_t list;
};

struct placement_list {
	uint32_t first, last, count;
};

/* The entries of a source network are on one of these lists, in the order in which they came there.
 */
enum placement_kin {
	KIN_NONE,
	KIN_IN,	   /* chosen */
	KIN_LATER, /* would be chosen if their source had not got its share */
	KIN_REST,
};
#define KINS 4

/* Sources above their share: of the switch, of the candidates. */
enum placement_rich {
	RICH_IN,
	RICH_ALL,
};
#define RICHES 2

/* What one source network has. Indexes of entries and sources count from 1. */
struct placement_source {
	struct placement_list kin[KINS];
	uint32_t chosen; /* while the largest are chosen */
	struct {
		uint32_t next, prev;
		bool on;
	} rich[RICHES];
};

struct placement_entry {
	struct tuple tuple;
	uint32_t source;	   /* 0: none */
	struct placement_link kin; /* enum placement_kin */
	struct ip_addr nexthop;
	bool replied, mirrored, nat, draining, dead;
	bool present;
	bool exposed; /* the switch may hold it */
	bool leaving; /* it was in, and the switch was not seen without it yet */
	bool told;    /* the wish that stands was taken by the flowpin-eapi that is attached */
	bool adopted;
	bool conflict; /* conflict_zone had another nexthop for it when that was last told */
	uint16_t conflict_zone;
	bool other_there; /* the switch has another nexthop for it, from before our wish */
	bool expired;		      /* it left by the switch's own timeout; its wish stands */
	bool alive;		      /* a counter moved since the last placement_idle() */
	bool read;		      /* the switch's counters were read: they have a base */
	bool from_zero;		      /* they had not begun when it was chosen */
	bool accounted;		      /* so were conntrack's */
	bool measured;		      /* in this interval, by either */
	bool rated;		      /* in an interval before */
	uint8_t reason, state, class; /* enums of placement.h */
	uint8_t rejects;
	uint8_t intervals; /* that ended since it was chosen, as far as that matters */
	uint8_t n_zones;
	uint16_t zones[PLACEMENT_ZONES_MAX];
	struct placement_link links[SIDES];
	uint32_t told_reading, seen_reading;
	uint64_t version;
	uint64_t learned_ms, chosen_ms, state_ms;
	uint64_t queued; /* counts up: who waits longer */
	uint64_t retry_ms, due_ms;
	uint64_t packets, bytes, read_ms, moved_ms; /* of the switch */
	uint64_t renewed_ms;			    /* 0 never */
	uint64_t ct_bytes;
	uint64_t fresh_bytes; /* in this interval */
	uint64_t rate, floor; /* bytes a second; `floor` when it was chosen */
};

struct placement_slot {
	uint32_t entry; /* slab index + 1; 0 empty */
	uint32_t hash;
};

/* How much of the switch's table something takes. */
struct placement_room {
	uint32_t flows, entries;
};

/* A family that the platform refused: shut until `until_ms`, then one flow may try. */
struct placement_door {
	uint64_t until_ms, backoff_ms; /* 0: open */
};

struct placement_rank {
	uint64_t key;
	uint32_t entry; /* slab index */
	bool first;	/* before all that are not */
	bool later;	/* its source has its share */
	bool chosen;
};

enum placement_phase {
	PHASE_DETACHED,
	PHASE_BEGIN,
	PHASE_PARTS,
	PHASE_CHANGES,
};

struct placement {
	struct placement_options options;
	uint64_t seed[2];
	struct placement_entry *slab;
	struct placement_slot *slots;
	struct placement_rank *ranks; /* room to sort all entries */
	uint32_t capacity;	      /* of the slab */
	uint32_t slot_mask, count, used, free_head;
	struct placement_list lists[SIDES][LISTS];
	uint64_t queued;

	struct placement_room in,
		in_normal; /* all that is chosen; without draining bindings' flows */
	uint32_t leaving;  /* entries of what was taken back and is not gone yet */
	uint32_t in_family[2], programmed_family[2];
	uint32_t reported; /* entries of the table by the switch, 0 not known */
	/* Where rejections say that the table ends, and how that is put to the test. */
	uint32_t ceiling, probe;
	uint64_t ceiling_until_ms, ceiling_backoff_ms;
	struct placement_door doors[2];
	uint64_t interval_ms; /* when it began */
	uint64_t timed_next_ms;

	enum placement_phase phase;
	uint32_t snapshot;		   /* slab index that it comes to next */
	uint64_t version, serial, waiting; /* `waiting`: serial not done, 0 none */
	uint32_t reading;
	uint64_t unreadable_ms;

	struct source_share *share; /* NULL: one source may have all */
	struct placement_source *sources;
	uint32_t share_max[RICHES]; /* how many flows a share is */
	uint32_t rich[RICHES];	    /* the first source above it */

	struct placement_numbers totals; /* only what counts up */
};

static inline unsigned placement_family(const struct placement_entry *e)
{
	return e->tuple.family == AF_INET6;
}

static inline uint32_t placement_weight(const struct placement *p, const struct placement_entry *e)
{
	return placement_family(e) ? p->options.weight6 : 1;
}

static inline uint64_t since_ms(uint64_t then_ms, uint64_t now_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* placement_index.c: the slab and its index, by p->capacity. -ENOMEM: what was made is left to
 * placement_index_free(). */
int placement_index_new(struct placement *p) _must_check_;
void placement_index_free(struct placement *p);
/* NULL: there is none. The zone of the tuple means nothing to them. */
struct placement_entry *placement_find(const struct placement *p, const struct tuple *t);
/* There must be none with this tuple. NULL: the slab is full. All fields but the tuple are zero. */
struct placement_entry *placement_add(struct placement *p, const struct tuple *t);
/* Takes it off its lists, too. */
void placement_drop(struct placement *p, struct placement_entry *e);
/* Puts it at the end of a list of that side (0 none), unless it is on it. */
void placement_list_move(struct placement *p, enum placement_side side, uint8_t list,
			 struct placement_entry *e);
/* The first of a list, and the one behind e on its list. NULL: the end. */
struct placement_entry *placement_list_first(const struct placement *p, enum placement_side side,
					     uint8_t list);
struct placement_entry *placement_list_next(const struct placement *p, enum placement_side side,
					    const struct placement_entry *e);

/* placement_select.c */
/* Puts it where it belongs after anything about it changed. */
void placement_sort_in(struct placement *p, struct placement_entry *e, uint64_t now_ms);
/* Makes its wish present; takes it back. */
void placement_choose(struct placement *p, struct placement_entry *e, enum placement_reason reason,
		      uint64_t now_ms);
void placement_unchoose(struct placement *p, struct placement_entry *e,
			enum placement_reason reason, uint64_t now_ms);
/* Room in use: `e` is chosen or ceases to be. Before `draining` or its weight changes and after. */
void placement_room_count(struct placement *p, const struct placement_entry *e, int sign);
/* It was taken back, and takes its room until the switch is seen without it; that is so, or it is
 * wished for again. */
void placement_leaving_set(struct placement *p, struct placement_entry *e, bool leaving);
/* It may be chosen: what it needs is there. */
bool placement_fits(const struct placement *p, const struct placement_entry *e, uint64_t now_ms);
/* Flows and entries that there is room for: all of it, and without the reserve. */
void placement_limits(const struct placement *p, struct placement_room *ret_all,
		      struct placement_room *ret_normal);

/* placement_share.c: what one source network may have while others wait. Nothing is made without a
 * source_share. -EINVAL: prefixes out of range; -ENOMEM. What was made is left to
 * placement_share_free(). */
int placement_share_new(struct placement *p) _must_check_;
void placement_share_free(struct placement *p);
/* Somebody knows e now; nobody does any more; it is on another list of its place. */
void placement_share_join(struct placement *p, struct placement_entry *e);
void placement_share_leave(struct placement *p, struct placement_entry *e);
void placement_share_moved(struct placement *p, struct placement_entry *e, uint64_t now_ms);
/* Its source has its share of the switch. */
bool placement_share_used_up(const struct placement *p, const struct placement_entry *e);
/* The same while the largest are chosen: counts e in, unless its source has its share by now. */
bool placement_share_choose(struct placement *p, const struct placement_entry *e);
/* Takes the flow out that a source above its share got last, in favour of `of` (NULL: of nobody,
 * and only where others hold flows too). False: there is none. */
bool placement_share_yield(struct placement *p, const struct placement_entry *of, uint64_t now_ms);
/* Forgets a candidate of a source above its share, in favour of this tuple. False: none. */
bool placement_share_yield_candidate(struct placement *p, const struct tuple *t);
/* The room or the options may have changed. Linear when they did. */
void placement_share_measure(struct placement *p, uint64_t now_ms);

/* placement_heavy.c: it is in, or waits for room. */
bool placement_takes_part(const struct placement_entry *e);

/* placement_room.c: what rejections teach. The wish of e is taken back; its back-off begins, and
 * the room or its family is judged. */
void placement_rejected(struct placement *p, struct placement_entry *e, enum placement_class c,
			uint64_t now_ms);
/* Whether another flow of this family (0 IPv4, 1 IPv6) may be chosen, as far as refusals of the
 * family go. */
bool placement_door_open(const struct placement *p, unsigned family, uint64_t now_ms);
/* Lets more in after a back-off; returns the milliseconds until that may happen again. */
uint64_t placement_ceiling_probe(struct placement *p, uint64_t now_ms);
/* The switch programmed one of this family. */
void placement_door_prove(struct placement *p, unsigned family);

/* placement_wish.c */
/* The wish of e changed to what it holds now: new version, to be told. */
void placement_wish_changed(struct placement *p, struct placement_entry *e,
			    enum placement_reason reason);
/* The switch is known to be without it. May free e. */
void placement_wish_absent(struct placement *p, struct placement_entry *e, uint64_t now_ms);

/* placement_observe.c: sets its state and counts those that are programmed. */
void placement_state_set(struct placement *p, struct placement_entry *e, enum placement_state state,
			 uint64_t now_ms);
/* placement.c: placement_offer(); an adopted flow is taken in also when there are enough
 * candidates. */
int placement_enter(struct placement *p, const struct tuple *t, const struct placement_facts *f,
		    bool adopted, uint64_t now_ms) _must_check_;

/* placement_view.c: e as others see it; the zones are borrowed from it. */
void placement_view_of(const struct placement_entry *e, struct placement_view *ret_view);
