// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "core/registry_internal.h"

/* The kernel calls an entry FAILED after three solicitations (mcast_solicit and ucast_solicit,
 * linux/net/ipv4/arp.c). */
#define ROUNDS_OF_FIRST_FAILURE 3

static struct nexthop *nexthop_find(struct registry *r, const struct ip_addr *gateway,
				    uint32_t ifindex)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->nexthops); i++) {
		struct nexthop *nh = &r->nexthops[i];

		if (nh->bindings && nh->ifindex == ifindex && ip_addr_equal(&nh->gateway, gateway))
			return nh;
	}
	return NULL;
}

/* What is known of an interface's link is known of each nexthop behind it: also of a new one. */
static void nexthop_link_inherit(const struct registry *r, struct nexthop *nh)
{
	nh->link_up = true;
	for (size_t i = 0; i < ARRAY_SIZE(r->nexthops); i++) {
		const struct nexthop *other = &r->nexthops[i];

		if (!other->bindings || other->ifindex != nh->ifindex || other->link_up)
			continue;
		nh->link_up = false;
		nh->link_down_ms = nh->fault_ms = other->link_down_ms;
		return;
	}
}

struct nexthop *registry_nexthop_take(struct registry *r, const struct ip_addr *gateway,
				      uint32_t ifindex, const char *ifname)
{
	struct nexthop *nh = nexthop_find(r, gateway, ifindex);

	if (!nh) {
		size_t i = 0;

		while (r->nexthops[i].bindings)
			i++;
		nh = &r->nexthops[i];
		*nh = (struct nexthop){ .gateway = *gateway, .ifindex = ifindex };
		nexthop_link_inherit(r, nh);
	}
	snprintf(nh->ifname, sizeof(nh->ifname), "%s", ifname);
	nh->bindings++;
	return nh;
}

void registry_nexthop_drop(struct nexthop *nh)
{
	nh->bindings--;
}

bool nexthop_is_back(const struct nexthop *nh)
{
	switch (nh->health) {
	case HEALTH_UNKNOWN:
		return nh->link_up && !nh->probed;
	case HEALTH_ALIVE:
		return nh->link_up;
	case HEALTH_SUSPECT:
	case HEALTH_FAILED:
		return false;
	}
	return false;
}

static void nexthop_fault_begin(struct nexthop *nh, uint64_t now_ms)
{
	if (!nh->fault_ms)
		nh->fault_ms = now_ms;
}

static void nexthop_fail(struct nexthop *nh, uint64_t now_ms)
{
	if (nh->health != HEALTH_FAILED)
		nh->failed_ms = now_ms;
	nh->health = HEALTH_FAILED;
}

static void nexthop_fault_end(struct nexthop *nh, enum nexthop_health health)
{
	nh->health = health;
	nh->fault_ms = nh->failed_ms = 0;
	nh->rounds = 0;
}

static void nexthop_probed(struct nexthop *nh, uint64_t now_ms)
{
	nh->probed = true;
	nexthop_fault_begin(nh, now_ms);
	if (nh->health != HEALTH_FAILED)
		nh->health = HEALTH_SUSPECT;
}

static void nexthop_no_answer(struct nexthop *nh, uint32_t dead_after, uint64_t now_ms)
{
	nexthop_probed(nh, now_ms);
	if (nh->rounds < UINT32_MAX)
		nh->rounds += nh->rounds ? 1 : ROUNDS_OF_FIRST_FAILURE;
	if (nh->rounds >= dead_after)
		nexthop_fail(nh, now_ms);
}

static void nexthop_confirmed(struct nexthop *nh, uint64_t now_ms)
{
	nh->confirmed_ms = now_ms;
	if (nh->link_up)
		nexthop_fault_end(nh, HEALTH_ALIVE);
	else
		nh->rounds = 0; /* a late message: the fault of its link goes on */
}

static void nexthop_link_down(struct nexthop *nh, uint64_t now_ms)
{
	nh->link_up = false;
	nh->link_down_ms = now_ms;
	nexthop_fault_begin(nh, now_ms);
}

static void nexthop_link_up(struct nexthop *nh, uint32_t dead_after)
{
	nh->link_up = true;
	nh->link_down_ms = 0;
	if (nh->rounds < dead_after)
		nexthop_fault_end(nh, HEALTH_UNKNOWN);
}

static void nexthop_observe(struct registry *r, struct nexthop *nh, enum nexthop_event event,
			    uint64_t now_ms)
{
	switch (event) {
	case NEXTHOP_CONFIRMED:
		nexthop_confirmed(nh, now_ms);
		return;
	case NEXTHOP_PROBED:
		nexthop_probed(nh, now_ms);
		return;
	case NEXTHOP_NO_ANSWER:
		nexthop_no_answer(nh, r->limits.dead_after, now_ms);
		return;
	case NEXTHOP_LINK_DOWN:
		if (!nh->link_up)
			return;
		nexthop_link_down(nh, now_ms);
		r->version++; /* its route must go */
		return;
	case NEXTHOP_LINK_UP:
		if (nh->link_up)
			return;
		nexthop_link_up(nh, r->limits.dead_after);
		r->version++;
		return;
	}
}

bool registry_nexthops_settle(struct registry *r, uint64_t now_ms)
{
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(r->nexthops); i++) {
		struct nexthop *nh = &r->nexthops[i];

		if (!nh->bindings || nh->link_up || nh->health == HEALTH_FAILED ||
		    elapsed_ms(nh->link_down_ms, now_ms) < r->limits.carrier_hold_ms)
			continue;
		nexthop_fail(nh, now_ms);
		found = true;
	}
	return found;
}

void registry_observe(struct registry *r, const struct ip_addr *gateway, uint32_t ifindex,
		      enum nexthop_event event, uint64_t now_ms)
{
	struct nexthop *one = NULL;

	if (gateway) {
		one = nexthop_find(r, gateway, ifindex);
		if (!one)
			return;
		nexthop_observe(r, one, event, now_ms);
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(r->nexthops); i++)
			if (r->nexthops[i].bindings && r->nexthops[i].ifindex == ifindex)
				nexthop_observe(r, &r->nexthops[i], event, now_ms);
	}
	if (registry_nexthops_settle(r, now_ms))
		one = NULL;
	registry_judge(r, one, now_ms);
}
