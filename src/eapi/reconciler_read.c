// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "eapi/reconciler_internal.h"

#define FLOWS_KEPT 64 /* for so many the list's memory is kept */

struct reading_pass {
	struct reconciler *r;
	const struct reading *reading;
	uint64_t begin_ms, now_ms;
	bool full; /* a flow was rejected for want of room */
	uint32_t programmed, inactive;
};

/* Whether what the reading says may be newer than what was last written of this flow. */
static bool may_judge(const struct reading_pass *p, const struct rec_flow *f)
{
	return !f->busy && f->changed_ms < p->begin_ms;
}

static bool settled(const struct reading_pass *p, const struct rec_flow *f)
{
	return f->changed_ms == 0 || p->begin_ms >= f->changed_ms + SETTLE_MS;
}

/* The switch ends a flow whose counter stood still. Without counters nothing is known to have
 * ended. */
static bool may_have_expired(const struct reading_pass *p, const struct rec_flow *f)
{
	uint64_t idle = rec_idle_ms(p->r, f);

	return p->r->config->expiry == SWITCH_EXPIRY_SWITCH && f->programmed && f->has_counters &&
	       p->now_ms + p->r->config->poll_interval_ms * 2 >= f->moved_ms + idle;
}

static void read_counters(const struct reading_pass *p, struct rec_flow *f,
			  const struct flow_reading *seen)
{
	if (!seen->has_counters)
		return;
	if (!f->has_counters || f->packets != seen->packets || f->bytes != seen->bytes)
		f->moved_ms = p->now_ms;
	f->has_counters = true;
	f->packets = seen->packets;
	f->bytes = seen->bytes;
}

static void read_nexthop(const struct reading_pass *p, struct rec_flow *f,
			 const struct flow_reading *seen)
{
	struct reconciler *r = p->r;
	struct ip_addr nexthop = seen->nexthop;
	bool known = seen->has_nexthop;

	if (!known && seen->mac[0] && seen->interface[0])
		known = r->resolver.nexthop(r->resolver.arg, f->tuple.family, seen->mac,
					    seen->interface, &nexthop);
	if (known && f->there_known && !ip_addr_equal(&nexthop, &f->there_nexthop) &&
	    f->mismatches++ >= MISMATCHES_MAX)
		return;
	if (known) {
		f->dirty |= !f->there_known || !ip_addr_equal(&nexthop, &f->there_nexthop);
		f->there_known = true;
		f->there_nexthop = nexthop;
	} else if (!f->there_known && !p->reading->text) {
		r->wants_text = true;
	}
	/* The model may leave the action out; the text does not. */
	if (seen->in_text && !seen->acts && !known && !f->there_known)
		f->spoilt = true;
}

static bool is_room(const char *text)
{
	return strcasestr(text, "resource") || strcasestr(text, "insufficient") ||
	       strcasestr(text, "full") || text[0] == '\0';
}

static void read_rejected(struct reading_pass *p, struct rec_flow *f,
			  const struct flow_reading *seen)
{
	bool room = is_room(seen->text);

	if (!settled(p, f))
		return;
	if (!f->known && !p->r->attached)
		return;
	f->purge = true;
	if (f->known)
		rec_refuse(f, room ? REFUSAL_FULL : REFUSAL_FLOW,
			   seen->text[0] ? seen->text : "rejected", p->now_ms);
	p->full |= room;
}

static void read_inactive(struct reading_pass *p, struct rec_flow *f)
{
	bool lasts;

	p->inactive += f->programmed && f->known && f->present;
	if (f->inactive_ms == 0)
		f->inactive_ms = p->now_ms;
	if (may_have_expired(p, f)) {
		f->purge = f->expired = true;
		return;
	}
	lasts = f->programmed || p->now_ms - f->inactive_ms >= SETTLE_MS;
	/* It was found, not written, and nobody knows how long nothing had come for it by then (it
	 * may have expired), or what is in it (half of it, perhaps). */
	if (f->known && f->present && lasts && (f->changed_ms == 0 || !f->there_known))
		f->spoilt = true;
	/* An expired leftover of before our time. It carries nothing; one that waits for its
	 * nexthop would be active by now. */
	if (!f->known && p->r->attached && p->now_ms - f->inactive_ms >= INACTIVE_MS)
		f->purge = true;
}

static void read_status(struct reading_pass *p, struct rec_flow *f, const struct flow_reading *seen)
{
	enum flow_status status = seen->status;

	/* Listed without a word about its state: models before and after this one do that with
	 * flows in hardware. */
	if (status == FLOW_STATUS_UNKNOWN && seen->text[0] == '\0')
		status = FLOW_STATUS_PROGRAMMED;
	if (f->status != status || strcmp(f->text, seen->text) != 0)
		f->dirty = true;
	f->status = status;
	snprintf(f->text, sizeof(f->text), "%s", seen->text);
	if (status != FLOW_STATUS_INACTIVE)
		f->inactive_ms = 0;
	switch (status) {
	case FLOW_STATUS_PROGRAMMED:
		p->programmed++;
		f->programmed = true;
		f->purge = f->expired = f->vanished = false;
		f->refusal = REFUSAL_NONE;
		f->refusals = 0;
		break;
	case FLOW_STATUS_REJECTED:
		read_rejected(p, f, seen);
		break;
	case FLOW_STATUS_INACTIVE:
		read_inactive(p, f);
		break;
	case FLOW_STATUS_PENDING:
	case FLOW_STATUS_UNKNOWN:
		break;
	}
}

static int read_flow(struct reading_pass *p, const struct flow_reading *seen)
{
	struct rec_flow *f = rec_flow_get(p->r, &seen->tuple);
	bool doubt;

	if (!f)
		return -ENOMEM;
	if (!may_judge(p, f))
		return 0;
	doubt = f->doubt;
	if (!f->there) {
		f->moved_ms = p->now_ms;
		f->dirty = true;
	}
	f->there = f->read = true;
	f->doubt = false;
	f->spoilt = seen->contradicts && f->mismatches++ < MISMATCHES_MAX;
	read_nexthop(p, f, seen);
	read_counters(p, f, seen);
	read_status(p, f, seen);
	/* The request may have ended in the middle of it: only what is in hardware is certainly
	 * whole. */
	if (doubt && f->known && f->present && f->status != FLOW_STATUS_PROGRAMMED)
		f->spoilt = true;
	return 0;
}

/* It was there, and is not any more. Once may be because the whole table was emptied, by a restart
 * of DirectFlow's agent for one; what vanishes again is refused. */
static void lose(struct reading_pass *p, struct rec_flow *f)
{
	bool expired = may_have_expired(p, f);

	if (f->known && f->present && !expired && !f->programmed && !f->spoilt) {
		if (f->vanished)
			rec_refuse(f, REFUSAL_FLOW, "it was accepted and vanished", p->now_ms);
		f->vanished = true;
	}
	f->there = f->there_known = f->read = f->programmed = f->spoilt = f->purge = false;
	f->expired |= expired;
	f->status = FLOW_STATUS_UNKNOWN;
	f->dirty = true;
}

static void read_missing(struct reading_pass *p, struct rec_flow *f)
{
	const struct switch_config *s = p->r->config;
	bool complete = p->reading->text || s->status == SWITCH_STATUS_JSON;

	if (!may_judge(p, f) || (!f->there && !f->doubt))
		return;
	/* The model hides flows that wait for a resource: absent there is not absent. */
	if (!complete) {
		p->r->wants_text = true;
		return;
	}
	f->doubt = false;
	/* What was accepted a moment ago may not be listed yet. */
	if (f->there && (settled(p, f) || f->spoilt))
		lose(p, f);
}

/* An entry that nobody asks for and that is in no switch. It stays as long as a request may still
 * bring it back, so that it is then known for what it is, and until its absence was reported. */
static bool may_forget(const struct reading_pass *p, const struct rec_flow *f)
{
	return !f->present && !f->there && !f->busy && !f->doubt && !f->dirty &&
	       f->changed_ms < p->begin_ms && p->now_ms >= f->linger_ms;
}

static void sweep(struct reading_pass *p)
{
	struct reconciler *r = p->r;

	for (size_t i = r->n; i-- > 0;) {
		struct rec_flow *f = &r->flow[i];

		if (!reading_find(p->reading, &f->tuple))
			read_missing(p, f);
		if (may_forget(p, f))
			rec_remove(r, i);
	}
}

/* After a burst the list is made smaller again. */
static void give_back(struct reconciler *r)
{
	size_t cap = r->n < FLOWS_KEPT / 2 ? FLOWS_KEPT : r->n * 2;
	struct rec_flow *list;

	if (r->cap < cap * 2)
		return;
	list = reallocarray(r->flow, cap, sizeof(*list));
	if (!list)
		return;
	r->flow = list;
	r->cap = cap;
}

/* Everything of ours left the hardware at once: somebody shut DirectFlow down. That is put right,
 * ever more slowly. */
static void nudge_if_shut(struct reading_pass *p)
{
	struct reconciler *r = p->r;

	if (p->programmed > 0) {
		r->nudge = false;
		r->nudge_wait_ms = 0;
		return;
	}
	if (p->inactive < 2 || !r->config->no_shutdown || r->nudge || p->now_ms < r->nudge_ms)
		return;
	r->nudge = true;
	r->nudge_wait_ms = r->nudge_wait_ms ? r->nudge_wait_ms * 2 : NUDGE_MS;
	r->nudge_ms = p->now_ms + r->nudge_wait_ms;
}

int reconciler_read(struct reconciler *r, const struct reading *reading, uint64_t begin_ms,
		    uint64_t now_ms)
{
	struct reading_pass p = {
		.r = r, .reading = reading, .begin_ms = begin_ms, .now_ms = now_ms
	};
	int x;

	r->wants_text = false;
	r->foreign = reading->foreign;
	for (size_t i = 0; i < reading->n; i++) {
		x = read_flow(&p, &reading->flow[i]);
		if (x < 0)
			return x;
	}
	sweep(&p);
	give_back(r);
	nudge_if_shut(&p);
	if (p.full)
		rec_room_full(r, now_ms);
	else
		rec_room_fits(r, now_ms);
	return 0;
}
