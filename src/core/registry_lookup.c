// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "core/registry_internal.h"

static const char *const state_names[] = {
	[BINDING_FREE] = "free",
	[BINDING_ACTIVE] = "active",
	[BINDING_DRAINING] = "draining",
	[BINDING_DEAD] = "dead",
	[BINDING_UNREACHABLE] = "unreachable",
	[BINDING_GONE] = "gone",
};

static const char *const reason_texts[] = {
	[REASON_ROUTE] = "a route names it",
	[REASON_WITHDRAWN] = "no route names it any more",
	[REASON_DRAIN] = "drained by the operator",
	[REASON_RELEASE] = "released by the operator",
	[REASON_NEIGHBOUR] = "its address does not answer",
	[REASON_LINK] = "its link is down",
	[REASON_OUTAGE] = "it failed together with most or all others",
	[REASON_ADOPTED] = "found in the kernel at start",
	[REASON_EMPTY] = "no flow is left",
	[REASON_SERVICE] = "its service was removed",
};

const char *binding_state_name(enum binding_state s)
{
	return state_names[s];
}

const char *binding_reason_text(enum binding_reason r)
{
	return reason_texts[r];
}

const struct binding *registry_binding(const struct registry *r, uint8_t id)
{
	return r->bindings[id].id ? &r->bindings[id] : NULL;
}

const struct binding *registry_binding_next(const struct registry *r, uint8_t *cursor)
{
	while (*cursor < BINDING_ID_MAX) {
		const struct binding *b = &r->bindings[++*cursor];

		if (b->id)
			return b;
	}
	return NULL;
}

const struct binding *registry_find(const struct registry *r, const char *service,
				    const struct ip_addr *gateway, uint32_t ifindex)
{
	uint8_t cursor = 0;
	const struct binding *b;

	while ((b = registry_binding_next(r, &cursor)))
		if (b->nexthop->ifindex == ifindex &&
		    ip_addr_equal(&b->nexthop->gateway, gateway) &&
		    strcmp(b->service, service) == 0)
			return b;
	return NULL;
}

const struct nexthop *registry_nexthop_next(const struct registry *r, size_t *cursor)
{
	while (*cursor < ARRAY_SIZE(r->nexthops)) {
		const struct nexthop *nh = &r->nexthops[(*cursor)++];

		if (nh->bindings)
			return nh;
	}
	return NULL;
}

uint8_t registry_quiet_next(const struct registry *r, uint8_t *cursor)
{
	const struct binding *b;

	while ((b = registry_binding_next(r, cursor)))
		if (!b->named && b->flows == 0)
			return b->id;
	return 0;
}

const struct unpinned *registry_unpinned(const struct registry *r, size_t *ret_n)
{
	*ret_n = r->n_unpinned;
	return r->unpinned;
}

bool binding_carries(const struct binding *b)
{
	switch (b->state) {
	case BINDING_ACTIVE:
	case BINDING_DRAINING:
	case BINDING_UNREACHABLE:
		return !b->blind;
	case BINDING_FREE:
	case BINDING_DEAD:
	case BINDING_GONE:
		return false;
	}
	return false;
}

bool binding_fresh(const struct binding *b)
{
	return b->named && !b->drained && !b->released && !b->blind &&
	       (b->state == BINDING_ACTIVE || b->state == BINDING_UNREACHABLE);
}

bool binding_off(const struct binding *b)
{
	return b->named &&
	       (b->state == BINDING_DEAD || (b->drained && b->state == BINDING_DRAINING));
}

bool binding_learns_by_link(const struct binding *b)
{
	return b->named && b->by_link && !b->blind;
}
