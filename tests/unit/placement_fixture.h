/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/placement.h"

static const uint64_t SEED[2] = { 0x0123456789abcdefULL, 0xfedcba9876543210ULL };

#define SECOND UINT64_C(1000)

/* xorshift64*: the same operations in every run. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static inline struct placement_options options_of(enum placement_policy policy, uint32_t max_flows)
{
	return (struct placement_options){ .policy = policy,
					   .max_flows = max_flows,
					   .max_candidates = 20000,
					   .weight6 = 2,
					   .min_age_ms = 5 * SECOND,
					   .idle_timeout_ms = 300 * SECOND,
					   .retry_ms = 30 * SECOND,
					   .hysteresis = 25 };
}

static inline struct placement *placement_made(const struct placement_options *o)
{
	struct placement *p = NULL;

	assert_int_equal(placement_new(o, SEED, &p), 0);
	return p;
}

static inline struct tuple flow_number(uint32_t n)
{
	struct tuple t = { .family = AF_INET, .proto = 6, .sport = (uint16_t)n, .dport = 80 };

	memcpy(t.src, &n, sizeof(n));
	t.dst[0] = 1;
	return t;
}

static inline struct tuple flow6_number(uint32_t n)
{
	struct tuple t = flow_number(n);

	t.family = AF_INET6;
	return t;
}

static inline struct ip_addr hop_number(uint8_t n)
{
	return (struct ip_addr){ .family = AF_INET, .bytes = { 10, 0, 0, n } };
}

static inline struct placement_facts facts_of(uint64_t learned_ms)
{
	return (struct placement_facts){ .nexthop = hop_number(1),
					 .learned_ms = learned_ms,
					 .replied = true };
}

static inline void offer(struct placement *p, struct tuple t, const struct placement_facts *f,
			 uint64_t now_ms)
{
	assert_true(placement_offer(p, &t, f, now_ms) >= 0);
}

/* Offers flows from..to-1, plain ones. */
static inline void offer_range(struct placement *p, uint32_t from, uint32_t to, uint64_t now_ms)
{
	struct placement_facts f = facts_of(now_ms);

	for (uint32_t n = from; n < to; n++)
		offer(p, flow_number(n), &f, now_ms);
}

static inline struct placement_view view_of(const struct placement *p, struct tuple t)
{
	struct placement_view v = { 0 };

	assert_int_equal(placement_get(p, &t, &v), 0);
	return v;
}

static inline bool is_in(const struct placement *p, struct tuple t)
{
	struct placement_view v;

	return placement_get(p, &t, &v) == 0 && v.present;
}

static inline struct placement_numbers numbers_of(const struct placement *p)
{
	struct placement_numbers n;

	placement_numbers(p, &n);
	return n;
}

/* Takes all batches that there are, and forgets them. Returns the number of wishes. */
static inline size_t tell_all(struct placement *p, uint64_t now_ms)
{
	struct placement_wish wishes[500];
	struct placement_batch b;
	size_t n = 0;

	while (placement_next(p, now_ms, wishes, 500, &b)) {
		n += b.n;
		assert_int_equal(placement_done(p, b.serial), 0);
	}
	return n;
}

static inline int observe(struct placement *p, struct tuple t, enum placement_state state,
			  enum placement_class class, uint64_t now_ms)
{
	struct placement_view v;
	struct placement_observation o = { .state = state, .class = class };

	if (placement_get(p, &t, &v) == 0)
		o.version = v.version;
	return placement_observe(p, &t, &o, now_ms);
}

static inline int observe_counters(struct placement *p, struct tuple t, uint64_t packets,
				   uint64_t bytes, uint64_t now_ms)
{
	struct placement_view v = view_of(p, t);
	struct placement_observation o = { .state = PLACEMENT_STATE_PROGRAMMED,
					   .version = v.version,
					   .counted = true,
					   .packets = packets,
					   .bytes = bytes };

	return placement_observe(p, &t, &o, now_ms);
}

/* Reads the whole switch; of what is desired and told, `room` entries are programmed (the first by
 * slab order), the rest is refused for want of room. Deletions are confirmed. */
static inline void read_switch(struct placement *p, uint32_t room, uint64_t now_ms)
{
	struct placement_view v;
	uint32_t cursor = 0;

	while (placement_walk(p, &cursor, &v)) {
		uint32_t weight = v.tuple.family == AF_INET6 ? 2 : 1;
		bool fits = room >= weight;

		if (v.dirty)
			continue;
		if (!v.present) {
			assert_int_equal(observe(p, v.tuple, PLACEMENT_STATE_ABSENT,
						 PLACEMENT_CLASS_NONE, now_ms),
					 0);
			continue;
		}
		room -= fits ? weight : 0;
		assert_int_equal(
			observe(p, v.tuple,
				fits ? PLACEMENT_STATE_PROGRAMMED : PLACEMENT_STATE_REJECTED,
				fits ? PLACEMENT_CLASS_NONE : PLACEMENT_CLASS_FULL, now_ms),
			0);
	}
	placement_observe_full_end(p, now_ms);
}
