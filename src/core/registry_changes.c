// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "core/registry_internal.h"

static struct binding_change *change_at(struct registry *r, size_t i)
{
	return &r->changes[(r->changes_begin + i) % CHANGES_MAX];
}

static struct binding_change *change_newest_of(struct registry *r, uint8_t id)
{
	for (size_t i = r->changes_n; i-- > 0;)
		if (change_at(r, i)->id == id)
			return change_at(r, i);
	return NULL;
}

void registry_change_push(struct registry *r, const struct binding *b, enum binding_state to,
			  enum binding_reason reason)
{
	struct binding_change c = {
		.id = b->id,
		.from = b->state,
		.to = to,
		.reason = reason,
		.flows = b->flows,
		.nexthop = { .addr = b->nexthop->gateway },
	};
	struct binding_change *newest = NULL;

	memcpy(c.service, b->service, sizeof(c.service));
	memcpy(c.nexthop.ifname, b->nexthop->ifname, sizeof(c.nexthop.ifname));
	if (r->changes_of[b->id] == CHANGES_PER_ID)
		newest = change_newest_of(r, b->id);
	if (newest) {
		c.from = newest->from;
		*newest = c;
		return;
	}
	*change_at(r, r->changes_n++) = c;
	r->changes_of[b->id]++;
}

bool registry_change_take(struct registry *r, struct binding_change *ret_change)
{
	struct binding_change *c = change_at(r, 0);

	if (r->changes_n == 0)
		return false;
	*ret_change = *c;
	r->changes_of[c->id]--;
	r->changes_begin = (r->changes_begin + 1) % CHANGES_MAX;
	r->changes_n--;
	return true;
}

uint64_t registry_version(const struct registry *r)
{
	return r->version;
}
