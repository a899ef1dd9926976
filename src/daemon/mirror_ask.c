// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/flows.h"
#include "daemon/switches.h"

/* Which nexthop the switch chose for a mirrored flow. It is asked even where the service has one
 * only: the last word on its nexthops may be older than the flow, or than the route. One question
 * is open at a time; it has at most as many flows as its answer finds room for in a request. */

#define QUESTION_FLOWS	 50
#define ANSWER_WITHIN_MS 120000
#define TRIES_MAX	 5 /* of a flow, where the switch could not be asked */

struct question {
	uint64_t number, asked_ms;
	size_t n, left;
	struct {
		struct tuple tuple;
		bool answered;
	} flows[QUESTION_FLOWS];
};

/* How long ago the packet of each was seen: a route that changed since was not that packet's. */
static void ages_text(const struct mirror *m, const struct question *q, uint64_t now_ms,
		      struct strbuf *b)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct flow *f = flow_table_get(m->sw->d->flows, &q->flows[i].tuple);
		const struct mirror_slot *slot = f ? mirror_slot_of(m, f) : NULL;
		uint64_t age = slot && slot->packet_ms < now_ms ? now_ms - slot->packet_ms : 0;

		strbuf_addf(b, "%s%llu", i ? "," : "", (unsigned long long)age);
	}
}

static void state_set(struct mirror *m, struct mirror_slot *slot, enum mirror_state state)
{
	m->asking -= slot->state == MIRROR_ASKING;
	m->asked -= slot->state == MIRROR_ASKED;
	m->uncertain -= slot->state == MIRROR_UNCERTAIN;
	slot->state = (uint8_t)state;
	slot->again = false;
	m->asking += state == MIRROR_ASKING;
	m->asked += state == MIRROR_ASKED;
	m->uncertain += state == MIRROR_UNCERTAIN;
}

static void uncertain(struct mirror *m, struct mirror_slot *slot, const char *why)
{
	state_set(m, slot, MIRROR_UNCERTAIN);
	snprintf(slot->why, sizeof(slot->why), "%s", why);
	m->uncertain_total += slot->tries == 0;
}

void mirror_known(struct mirror *m, struct flow *f, uint16_t nexthop, uint64_t now_ms)
{
	struct daemon *d = m->sw->d;
	struct mirror_slot *slot = mirror_slot_of(m, f);
	const struct service *service = mirror_service(d, &f->tuple);
	const struct switch_nexthop *n = &m->sw->nexthops[nexthop - 1];
	const struct binding *b = service ? switch_binding(d, service->name, &n->addr) : NULL;
	struct tuple plain = f->tuple;

	if (!slot)
		return;
	state_set(m, slot, MIRROR_KNOWN);
	f->nexthop = nexthop;
	entry_write(d, ENTRY_CREATE, &f->tuple, b ? mark_of(d, b->id) : 0, slot->idle_s);
	if (b) {
		plain.zone = 0;
		pin_write(d, &plain, b->id, slot->idle_s);
		flows_move(d, f, b->id, now_ms); /* offers it, too */
	} else {
		switches_flow(d, f, now_ms);
	}
}

void mirror_resolve(struct mirror *m, struct flow *f)
{
	struct mirror_slot *slot = mirror_slot_of(m, f);

	if (!slot)
		return;
	state_set(m, slot, MIRROR_ASKING);
	switches_soon(m->sw->d);
}

/* With the age of each as it is: whether its route is still the one that it began with is judged as
 * strictly as the first time. */
void mirror_ask_again(struct mirror *m)
{
	if (!m->again)
		return;
	m->again = false;
	for (uint32_t i = 0; i < m->n_slots; i++)
		if (m->slots[i].flow && m->slots[i].again)
			mirror_resolve(m, m->slots[i].flow);
}

static void unanswered(struct mirror *m, struct mirror_slot *slot, const char *why, bool again)
{
	uncertain(m, slot, why ? why : "the switch did not say");
	slot->again = again && slot->tries < TRIES_MAX;
	slot->tries += slot->again;
	m->again |= slot->again;
}

void mirror_question_drop(struct switch_state *s)
{
	for (size_t i = 0; s->question && s->mirror && i < s->question->n; i++) {
		struct flow *f = flow_table_get(s->d->flows, &s->question->flows[i].tuple);
		struct mirror_slot *slot = f ? mirror_slot_of(s->mirror, f) : NULL;

		if (slot && slot->state == MIRROR_ASKED)
			state_set(s->mirror, slot, MIRROR_ASKING);
	}
	free(s->question);
	s->question = NULL;
}

bool mirror_question(struct mirror *m, uint64_t now_ms, struct strbuf *b)
{
	struct switch_state *s = m->sw;
	struct question *q;

	if (s->question && now_ms - s->question->asked_ms >= ANSWER_WITHIN_MS)
		mirror_question_drop(s);
	if (s->question || m->asking == 0)
		return false;
	q = calloc(1, sizeof(*q));
	if (!q)
		return false;
	s->question = q;
	q->number = ++s->questions;
	q->asked_ms = now_ms;
	strbuf_addf(b, "{\"question\":%llu,\"tuples\":[", (unsigned long long)q->number);
	for (uint32_t i = 0; i < m->n_slots && q->n < QUESTION_FLOWS; i++) {
		struct mirror_slot *slot = &m->slots[m->cursor++ % m->n_slots];

		if (!slot->flow || slot->state != MIRROR_ASKING)
			continue;
		if (q->n)
			strbuf_adds(b, ",");
		switch_tuple_text(&slot->flow->tuple, b);
		q->flows[q->n++].tuple = slot->flow->tuple;
		state_set(m, slot, MIRROR_ASKED);
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): max-flows is at least 1 */
	m->cursor %= m->n_slots;
	strbuf_adds(b, "],\"ages_ms\":[");
	ages_text(m, q, now_ms, b);
	strbuf_adds(b, "]}");
	q->left = q->n;
	return true;
}

int mirror_answer(struct mirror *m, uint64_t number, const struct tuple *t,
		  const struct ip_addr *nexthop, const char *why, bool again, uint64_t now_ms)
{
	struct question *q = m->sw->question;
	const struct service *service;
	struct mirror_slot *slot;
	struct switch_nexthop *n;
	struct tuple zoned = *t;
	struct flow *f;
	size_t i = 0;

	if (number > m->sw->questions)
		return -ENOENT;
	if (!q || q->number != number)
		return 0; /* too late: its flows are asked for again, or gone */
	zoned.zone = m->sw->config->mirror.zone;
	while (i < q->n &&
	       (q->flows[i].answered || memcmp(&q->flows[i].tuple, &zoned, sizeof(zoned)) != 0))
		i++;
	if (i == q->n)
		return -EINVAL;
	q->flows[i].answered = true;
	if (--q->left == 0) {
		free(m->sw->question);
		m->sw->question = NULL;
	}
	f = flow_table_get(m->sw->d->flows, &zoned);
	slot = f ? mirror_slot_of(m, f) : NULL;
	if (!slot || slot->state != MIRROR_ASKED)
		return 0; /* it ended meanwhile */
	if (!nexthop || nexthop->family == 0) {
		unanswered(m, slot, why, again);
		return 0;
	}
	service = mirror_service(m->sw->d, &zoned);
	n = switch_nexthop_find(m->sw, nexthop);
	if (!service || nexthop->family != zoned.family ||
	    !((n && switch_nexthop_serves(n, service->name)) ||
	      switch_binding(m->sw->d, service->name, nexthop))) {
		/* The routes may have changed since: no error, but nothing is pinned to it. */
		uncertain(m, slot, "a nexthop that is not known");
		m->sw->unknown++;
		return 0;
	}
	n = switch_nexthop_add(m->sw, nexthop);
	if (n)
		mirror_known(m, f, (uint16_t)(n - m->sw->nexthops + 1), now_ms);
	else
		uncertain(m, slot, "too many nexthops");
	return 0;
}
