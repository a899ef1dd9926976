// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/reconciler_internal.h"

/* How much of ours fits into the table: the configured capacity, what was learned when flows were
 * rejected, and what the TCAM's text says. Nobody tells when others free entries, so room beyond
 * what was learned is tried for now and then: one entry, and twice as many each time that it
 * worked. */

uint32_t rec_entries(const struct reconciler *r, const struct tuple *t)
{
	return t->family == AF_INET6 ? r->config->ipv6_entries : 1;
}

int64_t rec_used(const struct reconciler *r)
{
	int64_t used = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct rec_flow *f = &r->flow[i];

		if ((f->there || f->doubt) && f->status != FLOW_STATUS_REJECTED)
			used += rec_entries(r, &f->tuple);
	}
	return used;
}

static int64_t lower(int64_t a, int64_t b)
{
	return b >= 0 && b < a ? b : a;
}

int64_t rec_limit(const struct reconciler *r)
{
	int64_t limit = INT64_MAX;

	limit = lower(limit, r->config->capacity ? (int64_t)r->config->capacity : -1);
	limit = lower(limit, r->room.learned);
	return lower(limit, r->room.tcam);
}

static int64_t in_hardware(const struct reconciler *r)
{
	int64_t entries = 0;

	for (size_t i = 0; i < r->n; i++)
		if (r->flow[i].there && r->flow[i].status == FLOW_STATUS_PROGRAMMED)
			entries += rec_entries(r, &r->flow[i].tuple);
	return entries;
}

void rec_room_full(struct reconciler *r, uint64_t now_ms)
{
	struct room *room = &r->room;

	room->learned = in_hardware(r);
	room->step = 1;
	room->wait_ms = room->wait_ms ? room->wait_ms * 2 : r->config->room_retry_ms;
	if (room->wait_ms > PROBE_MAX_MS)
		room->wait_ms = PROBE_MAX_MS;
	room->probe_ms = now_ms + room->wait_ms;
}

void rec_room_fits(struct reconciler *r, uint64_t now_ms)
{
	struct room *room = &r->room;

	if (room->learned < 0 ||
	    in_hardware(r) + (int64_t)r->config->ipv6_entries - 1 < room->learned ||
	    now_ms < room->probe_ms)
		return;
	room->learned += room->step;
	if (room->step < 1024)
		room->step *= 2;
	room->wait_ms = 0;
	/* The next step when these are programmed and no rejection was seen. */
	room->probe_ms = now_ms + SETTLE_MS;
}

void reconciler_tcam(struct reconciler *r, uint32_t more, uint64_t now_ms)
{
	struct room *room = &r->room;

	/* A table that holds more than it did tells of room at once, instead of at the next try. */
	if (room->learned >= 0 && more > room->tcam_more && room->probe_ms > now_ms) {
		room->probe_ms = now_ms;
		room->step = more - room->tcam_more < 256 ? more - room->tcam_more : 256;
	}
	room->tcam_more = more;
	room->tcam = rec_used(r) + more;
}
