/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "netlink/tuple.h"

/* How many flows each source network has, so that one that opens a million of them can be told from
 * the others. A chained hash over a slab: 24 bytes for each flow that there can be. Pure. */

struct source_share_prefixes {
	uint8_t len4; /* 1 .. 32; 24 */
	uint8_t len6; /* 1 .. 64; 56 */
};

struct source_share;

/* Room for `max` flows, each from a network of its own (1 .. 1 << 27). Memory is touched as it
 * fills. -EINVAL, -ENOMEM. */
int source_share_new(uint32_t max, struct source_share_prefixes prefixes, const uint64_t seed[2],
		     struct source_share **ret_share) _must_check_;
struct source_share *source_share_free(struct source_share *s);
DEFINE_FREEP(struct source_share, source_share_free)

/* The network of this tuple's source, from 1; 0: it has no flow. Stays as it is while it has one.
 */
uint32_t source_share_find(const struct source_share *s, const struct tuple *t);
/* One flow more; returns its network. 0: there are `max` already. */
uint32_t source_share_take(struct source_share *s, const struct tuple *t);
/* One less. */
void source_share_put(struct source_share *s, uint32_t network);
/* Flows of a network; 0 for 0. */
uint32_t source_share_count(const struct source_share *s, uint32_t network);
/* The network of this tuple's source has `max` flows, or more. */
bool source_share_full(const struct source_share *s, const struct tuple *t, uint32_t max);
/* A flow of this network was kept out: remembered for as long as it has any. 0: nothing. */
void source_share_refuse(struct source_share *s, uint32_t network);
/* Whether one was kept out since the network last had no flow. False for 0. */
bool source_share_refused(const struct source_share *s, uint32_t network);
/* No network's number is higher. */
uint32_t source_share_highest(const struct source_share *s);
/* The network of this tuple's source as a prefix, whether or not it has flows. */
struct ip_prefix source_share_prefix(const struct source_share *s, const struct tuple *t);
/* Bytes that were touched so far. */
size_t source_share_memory(const struct source_share *s);
