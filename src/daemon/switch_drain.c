// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/clock.h"
#include "daemon/flows.h"
#include "daemon/switches.h"

/* Before a drain: the flows of its bindings are placed in the switches whose policy is `draining`,
 * so that they stay where they are when the routes change. */

static bool can_place(const struct switch_state *s)
{
	return s->config->place == SWITCH_PLACE_DRAINING && s->connection && s->health.reachable &&
	       !s->config->dry_run;
}

static bool is_one_of(uint8_t id, const uint8_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Neither in the switch nor refused by it, and there is room: wait for it. */
static bool is_left(const struct switch_state *s, const struct tuple *t)
{
	struct placement_view v;

	return placement_get(s->placement, t, &v) == 0 && v.present &&
	       v.state != PLACEMENT_STATE_PROGRAMMED && v.state != PLACEMENT_STATE_ADOPTED &&
	       v.state != PLACEMENT_STATE_REJECTED;
}

bool switches_place_first(struct daemon *d, const uint8_t *ids, size_t n, uint32_t *ret_left)
{
	uint64_t now = clock_now_ms();
	bool any = false, first = false;
	uint32_t cursor = 0, left = 0;
	struct flow *f;

	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		any = any || can_place(d->switches->list[i]);
	if (!any)
		return false;
	for (size_t i = 0; i < n; i++) {
		first = first || !d->switches->about_to_drain[ids[i]];
		d->switches->about_to_drain[ids[i]] = true;
	}
	while (first && (f = flow_table_next(d->flows, &cursor)))
		if (is_one_of(f->binding, ids, n) && !(f->flags & FLOW_GRAVE))
			switches_flow(d, f, now);
	for (size_t i = 0; i < d->switches->n; i++)
		if (can_place(d->switches->list[i]))
			placement_settle(d->switches->list[i]->placement, now);
	cursor = 0;
	while ((f = flow_table_next(d->flows, &cursor)))
		for (size_t i = 0; i < d->switches->n && is_one_of(f->binding, ids, n); i++)
			left += can_place(d->switches->list[i]) &&
				is_left(d->switches->list[i], &f->tuple);
	*ret_left = left;
	return true;
}

void switches_place_first_end(struct daemon *d, const uint8_t *ids, size_t n)
{
	for (size_t i = 0; d->switches && i < n; i++)
		d->switches->about_to_drain[ids[i]] = false;
}
