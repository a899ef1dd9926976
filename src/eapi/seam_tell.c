// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/seam_internal.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"

static void add_tuple(struct strbuf *b, const struct tuple *t)
{
	struct ip_addr s = tuple_src(t), d = tuple_dst(t);
	char src[IP_ADDR_TEXT], dst[IP_ADDR_TEXT];
	const char *proto = proto_name(t->proto);

	strbuf_addf(b,
		    "{\"protocol\":\"%s\",\"src\":\"%s\",\"sport\":%u,\"dst\":\"%s\",\"dport\":%u}",
		    proto ? proto : "", ip_addr_format(&s, src), t->sport, ip_addr_format(&d, dst),
		    t->dport);
}

static void add_text(struct strbuf *b, const char *key, const char *text)
{
	if (text[0] == '\0')
		return;
	strbuf_addf(b, ",\"%s\":", key);
	strbuf_add_json(b, text);
}

static void begin(struct seam *s, struct strbuf *b)
{
	strbuf_adds(b, "{\"switch\":");
	strbuf_add_json(b, agent_config(s->agent)->name);
}

static void call(struct seam *s, enum seam_call which, const char *method, struct strbuf *b)
{
	strbuf_adds(b, "}");
	s->call = which;
	if (varlink_call(s->main, method, b, false) < 0)
		seam_lost(s, "out of memory");
}

static void tell_done(struct seam *s, struct strbuf *b)
{
	begin(s, b);
	strbuf_addf(b, ",\"serial\":%lld", (long long)s->serial);
	s->has_serial = false;
	call(s, CALL_DONE, SEAM_INTERFACE "Done", b);
}

static void tell_answer(struct seam *s, struct strbuf *b)
{
	struct seam_answer *a = s->answers;
	char nexthop[IP_ADDR_TEXT];
	bool first = true;

	begin(s, b);
	strbuf_addf(b, ",\"question\":%lld,\"answers\":[", (long long)a->lookup->question);
	for (; a->position < a->lookup->n && b->len < SEAM_MESSAGE; a->position++) {
		const struct lookup_flow *f = &a->lookup->flow[a->position];

		strbuf_adds(b, first ? "{\"tuple\":" : ",{\"tuple\":");
		add_tuple(b, &f->tuple);
		add_text(b, "nexthop", ip_addr_format(&f->nexthop, nexthop));
		if (f->nexthop.family == 0)
			add_text(b, "why", f->why);
		if (f->again)
			strbuf_adds(b, ",\"again\":true");
		strbuf_adds(b, "}");
		first = false;
	}
	strbuf_adds(b, "]");
	if (a->position >= a->lookup->n) {
		s->answers = a->next;
		lookup_free(a->lookup);
		free(a);
	}
	call(s, CALL_ANSWER, SEAM_INTERFACE "Answer", b);
}

static void add_number(struct strbuf *b, const char *key, int64_t value)
{
	strbuf_addf(b, ",\"%s\":%lld", key, (long long)value);
}

/* The services whose routes name this nexthop. */
static void add_named(struct strbuf *b, const struct watch *w, const struct ip_addr *nexthop)
{
	bool first = true;

	for (size_t i = 0; i < w->n_services; i++) {
		if (!watch_names(w, i, nexthop))
			continue;
		if (!first)
			strbuf_adds(b, ",");
		strbuf_add_json(b, w->service[i].name);
		first = false;
	}
}

/* Returns how many there was room for. */
static size_t add_nexthops(struct strbuf *b, const struct watch *w)
{
	char addr[IP_ADDR_TEXT];
	bool first = true;
	size_t i;

	strbuf_adds(b, ",\"nexthops\":[");
	for (i = 0; i < w->n_nexthops && b->len < SEAM_MESSAGE; i++) {
		const struct watched_nexthop *h = &w->nexthop[i];

		strbuf_addf(b, "%s{\"address\":\"%s\"", first ? "" : ",",
			    ip_addr_format(&h->addr, addr));
		add_text(b, "interface", h->interface);
		strbuf_addf(b, ",\"alive\":%s,\"named\":[", h->alive ? "true" : "false");
		add_named(b, w, &h->addr);
		strbuf_adds(b, "]}");
		first = false;
	}
	strbuf_adds(b, "]");
	return i;
}

static void tell_nexthops(struct seam *s, struct strbuf *b, const struct watch *w)
{
	size_t told = add_nexthops(b, w);
	bool cut = told < w->n_nexthops;

	if (cut && !s->cut)
		log_warning("switch %s: flowpind is told of %zu of its %zu nexthops: flows on the "
			    "others are held as if no route named these",
			    agent_config(s->agent)->name, told, w->n_nexthops);
	s->cut = cut;
}

static void tell_health(struct seam *s, struct strbuf *b)
{
	struct agent_health h;

	agent_health(s->agent, &h);
	begin(s, b);
	strbuf_addf(b, ",\"reachable\":%s", h.reachable ? "true" : "false");
	add_text(b, "sentence", h.sentence);
	add_text(b, "version", h.facts ? h.facts->version : "");
	add_text(b, "model", h.facts ? h.facts->model : "");
	if (h.facts && h.facts->boot >= 0)
		add_number(b, "boot", (int64_t)h.facts->boot);
	add_number(b, "programmed", h.summary.programmed);
	add_number(b, "pending", h.summary.pending);
	add_number(b, "rejected", h.summary.rejected);
	add_number(b, "foreign", h.summary.foreign);
	if (h.summary.capacity >= 0)
		add_number(b, "capacity", h.summary.capacity);
	if (h.summary.free >= 0)
		add_number(b, "free", h.summary.free);
	add_number(b, "requests", (int64_t)h.requests);
	add_number(b, "commands", (int64_t)h.commands);
	add_number(b, "lag_ms", (int64_t)h.summary.lag_ms);
	tell_nexthops(s, b, h.watch);
	s->health = false;
	call(s, CALL_HEALTH, SEAM_INTERFACE "Health", b);
}

static void add_observation(struct strbuf *b, const struct observation *o, bool first)
{
	char nexthop[IP_ADDR_TEXT];

	strbuf_adds(b, first ? "{\"tuple\":" : ",{\"tuple\":");
	add_tuple(b, &o->tuple);
	strbuf_addf(b, ",\"version\":%lld,\"state\":\"%s\"", (long long)o->version,
		    observation_state_name(o->state));
	add_text(b, "nexthop", ip_addr_format(&o->nexthop, nexthop));
	add_text(b, "text", o->text);
	if (o->has_counters)
		strbuf_addf(b, ",\"packets\":%llu,\"bytes\":%llu", (unsigned long long)o->packets,
			    (unsigned long long)o->bytes);
	strbuf_adds(b, "}");
}

/* The next part of what is to be told of flows. False: there was nothing. */
static bool tell_observed(struct seam *s, bool all, size_t *position, struct strbuf *b)
{
	struct reconciler *r = agent_reconciler(s->agent);
	uint64_t now = clock_now_ms();
	struct observation o;
	bool more = true;
	size_t n = 0;

	begin(s, b);
	strbuf_adds(b, ",\"flows\":[");
	while (b->len < SEAM_MESSAGE && (more = reconciler_report(r, all, position, now, &o)))
		add_observation(b, &o, n++ == 0);
	if (!more)
		*(all ? &s->full : &s->changed) = false;
	if (n == 0 && !all)
		return false;
	strbuf_addf(b, "],\"full\":%s", all && !more ? "true" : "false");
	call(s, CALL_OBSERVED, SEAM_INTERFACE "Observed", b);
	return true;
}

void seam_pump(struct seam *s)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };

	if (!s->attached || !s->main || s->call != CALL_NONE)
		return;
	if (s->has_serial) {
		tell_done(s, &b);
		return;
	}
	if (s->answers) {
		tell_answer(s, &b);
		return;
	}
	if (s->changed && tell_observed(s, false, &s->changed_at, &b))
		return;
	strbuf_reset(&b);
	if (s->health)
		tell_health(s, &b);
	else if (s->full)
		tell_observed(s, true, &s->full_at, &b);
}
