// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/placement_internal.h"

/* What rejections teach. A full table says nothing about its size, and others use it too: so the
 * entries that are wished for when a flow is refused, and those of ours that are still to leave,
 * are taken as what there is, and after a back-off a few more are tried, more with each time that
 * it went well. A platform that cannot do a family refuses each of its flows: so after the first
 * one flow at a time is tried. */

#define BACKOFF_DOUBLINGS 5
#define PROBE_FIRST	  8
#define PROBE_MAX	  1024

static uint64_t doubled(const struct placement *p, uint64_t backoff_ms)
{
	uint64_t most = p->options.retry_ms << BACKOFF_DOUBLINGS;

	if (backoff_ms == 0)
		return p->options.retry_ms;
	return backoff_ms * 2 < most ? backoff_ms * 2 : most;
}

static void ceiling_lower(struct placement *p, uint64_t now_ms)
{
	/* The flows that are refused together teach the same thing, one after another. */
	if (p->ceiling == UNLIMITED || p->probe > 0)
		p->ceiling_backoff_ms = doubled(p, p->ceiling_backoff_ms);
	p->ceiling = p->in.entries + p->leaving;
	p->probe = 0;
	p->ceiling_until_ms = now_ms + p->ceiling_backoff_ms;
}

static bool somebody_waits(const struct placement *p)
{
	const struct placement_list *l = p->lists[SIDE_PLACE];

	return l[PLACE_WAIT4].count || l[PLACE_WAIT6].count || l[PLACE_DRAIN4].count ||
	       l[PLACE_DRAIN6].count || l[PLACE_LATER4].count || l[PLACE_LATER6].count;
}

uint64_t placement_ceiling_probe(struct placement *p, uint64_t now_ms)
{
	bool used_up = p->in.entries + p->options.weight6 > p->ceiling;

	if (p->ceiling == UNLIMITED || !somebody_waits(p))
		return UINT64_MAX;
	if (now_ms < p->ceiling_until_ms)
		return p->ceiling_until_ms - now_ms;
	if (!used_up)
		return UINT64_MAX;
	if (p->probe == 0) {
		p->probe = PROBE_FIRST;
	} else {
		p->ceiling_backoff_ms = p->options.retry_ms;
		p->probe = p->probe < PROBE_MAX ? p->probe * 2 : PROBE_MAX;
	}
	p->ceiling += p->probe;
	p->ceiling_until_ms = now_ms + p->ceiling_backoff_ms;
	return p->ceiling_backoff_ms;
}

bool placement_door_open(const struct placement *p, unsigned family, uint64_t now_ms)
{
	const struct placement_door *d = &p->doors[family];

	if (d->until_ms == 0)
		return true;
	return now_ms >= d->until_ms && p->in_family[family] == 0;
}

static void door_shut(struct placement *p, unsigned family, uint64_t now_ms)
{
	struct placement_door *d = &p->doors[family];

	if (p->programmed_family[family] > 0)
		return; /* it is this flow, not its family */
	if (now_ms < d->until_ms)
		return;
	d->backoff_ms = doubled(p, d->backoff_ms);
	d->until_ms = now_ms + d->backoff_ms;
}

void placement_door_prove(struct placement *p, unsigned family)
{
	p->doors[family] = (struct placement_door){ 0 };
}

void placement_rejected(struct placement *p, struct placement_entry *e, enum placement_class c,
			uint64_t now_ms)
{
	unsigned doublings = e->rejects < BACKOFF_DOUBLINGS ? e->rejects : BACKOFF_DOUBLINGS;

	p->totals.rejections[c]++;
	if (e->rejects < UINT8_MAX)
		e->rejects++;
	e->class = (uint8_t)c;
	/* Where the table is full it is not the flow: the next room is anybody's. */
	e->retry_ms = c == PLACEMENT_CLASS_FULL ? 0 : now_ms + (p->options.retry_ms << doublings);
	placement_state_set(p, e, PLACEMENT_STATE_REJECTED, now_ms);
	placement_unchoose(p, e, PLACEMENT_REJECTED, now_ms);
	switch (c) {
	case PLACEMENT_CLASS_FULL:
		ceiling_lower(p, now_ms);
		break;
	case PLACEMENT_CLASS_UNSUPPORTED:
		door_shut(p, placement_family(e), now_ms);
		break;
	case PLACEMENT_CLASS_NONE:
	case PLACEMENT_CLASS_UNRESOLVED:
	case PLACEMENT_CLASS_OTHER:
		break;
	}
}

void placement_capacity_set(struct placement *p, uint32_t entries, uint64_t now_ms)
{
	bool more = entries > p->reported;

	if (entries == p->reported)
		return;
	p->reported = entries;
	if (more && p->ceiling != UNLIMITED) {
		p->ceiling = UNLIMITED;
		p->probe = 0;
		p->ceiling_backoff_ms = 0;
	}
	placement_settle(p, now_ms);
}
