/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "core/registry.h"

/* What the files of the registry share. An id is in use when its binding's `id` is not 0; a nexthop
 * is when its `bindings` is not 0. All of it has fixed room, so that only the list of unpinned
 * nexthops ever needs memory. */

#define ID_SLOTS (BINDING_ID_MAX + 1)
#define CHANGES_PER_ID 8
#define CHANGES_MAX (CHANGES_PER_ID * BINDING_ID_MAX)

struct registry {
	struct registry_limits limits;
	struct binding bindings[ID_SLOTS]; /* by id; 0 is not used */
	struct nexthop nexthops[BINDING_ID_MAX];
	uint64_t
		freed[ID_SLOTS]; /* number of the retirement that freed the id last; 0 never used */
	uint64_t freed_count;
	bool reserved[ID_SLOTS];
	uint64_t version;

	struct binding_change changes[CHANGES_MAX]; /* a ring */
	size_t changes_begin, changes_n;
	uint8_t changes_of[ID_SLOTS];

	struct unpinned *unpinned;
	size_t n_unpinned, unpinned_cap;
};

static inline uint64_t elapsed_ms(uint64_t since_ms, uint64_t now_ms)
{
	return now_ms > since_ms ? now_ms - since_ms : 0;
}

/* registry_ids.c: an id that may be given away. -ENOSPC, -EEXIST, -ERANGE as registry_name(). */
int registry_id_pick(const struct registry *r, uint8_t fixed_id, uint8_t *ret_id) _must_check_;
/* Forgets the binding with this id, which is given away last. */
void registry_id_free(struct registry *r, uint8_t id);

/* registry_changes.c: enters a change of b to another state. */
void registry_change_push(struct registry *r, const struct binding *b, enum binding_state to,
			  enum binding_reason reason);

/* registry_health.c: the nexthop with this address, made when there is none (there is room for one
 * per binding). */
struct nexthop *registry_nexthop_take(struct registry *r, const struct ip_addr *gateway,
				      uint32_t ifindex, const char *ifname);
/* One binding less refers to it; without any its place is free. */
void registry_nexthop_drop(struct nexthop *nh);
/* Finds those FAILED whose link has been down for long enough; true when there was one. */
bool registry_nexthops_settle(struct registry *r, uint64_t now_ms);
/* Fit to carry again after a failure: one whose link is up again must answer first, unless it is of
 * a kind that cannot be asked. */
bool nexthop_is_back(const struct nexthop *nh);

/* True when traffic of one could go through the other: IPv4 has no use for a nexthop that only IPv6
 * routes name. Families not known yet count as both. */
static inline bool binding_shares_family(const struct binding *a, const struct binding *b)
{
	return !a->families || !b->families || (a->families & b->families);
}

/* registry_verdict.c: judges all bindings of the services that `nh` serves (NULL: of all services)
 * and enters what changes. */
void registry_judge(struct registry *r, const struct nexthop *nh, uint64_t now_ms);
