// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "core/source_share.h"
#include "daemon/events.h"
#include "daemon/flows.h"
#include "daemon/switches.h"
#include "daemon/sync.h"

/* Life of a mirrored flow, from its first record to its end. */

#define FIN_KEEP_S    30
#define TOUCH_EVERY_S 2
#define ASK_ANEW_MS   1000

static uint32_t seconds(uint64_t ms)
{
	return (uint32_t)(ms / 1000);
}

const char *mirror_refusal_name(enum mirror_refusal r)
{
	switch (r) {
	case MIRROR_REFUSED_SERVICE:
		return "service";
	case MIRROR_REFUSED_LIMIT:
		return "max-flows";
	case MIRROR_REFUSED_SOURCE:
		return "max-flows-per-source";
	case MIRROR_REFUSED_TABLE:
		return "flow-table";
	case MIRROR_REFUSED_END:
		return "ended";
	case MIRROR_REFUSED_RECORD:
		return "record";
	case MIRROR_REFUSED_CONNTRACK:
		return "conntrack";
	case MIRROR_REFUSED_COUNT:
		break;
	}
	return "unknown";
}

const struct service *mirror_service(const struct daemon *d, const struct tuple *t)
{
	int i = service_set_match(&d->config->services, t);

	return i < 0 ? NULL : &d->config->services.list[i];
}

int mirror_new(struct switch_state *s, struct mirror **ret_mirror)
{
	static const struct source_share_prefixes prefixes = { .len4 = 24, .len6 = 64 };
	struct mirror *m = calloc(1, sizeof(*m));
	uint64_t seed[2];
	int r = -ENOMEM;

	if (!m)
		return r;
	m->sw = s;
	m->n_slots = s->config->mirror.max_flows;
	m->slots = calloc(m->n_slots, sizeof(*m->slots));
	if (m->slots && getrandom(seed, sizeof(seed), 0) == sizeof(seed))
		r = source_share_new(m->n_slots, prefixes, seed, &m->sources);
	if (r < 0) {
		mirror_free(m);
		return r;
	}
	for (uint32_t i = 0; i < m->n_slots; i++)
		m->slots[i].next = i + 1 < m->n_slots ? i + 2 : 0;
	m->first_free = 1;
	*ret_mirror = m;
	return 0;
}

struct mirror *mirror_free(struct mirror *m)
{
	if (!m)
		return NULL;
	source_share_free(m->sources);
	free(m->slots);
	free(m);
	return NULL;
}

void mirror_end_all(struct mirror *m, const char *why)
{
	for (uint32_t i = 0; i < m->n_slots; i++)
		if (m->slots[i].flow)
			flows_end(m->sw->d, m->slots[i].flow, why);
}

struct mirror_slot *mirror_slot_of(const struct mirror *m, const struct flow *f)
{
	struct mirror_slot *slot = f->slot && f->slot <= m->n_slots ? &m->slots[f->slot - 1] : NULL;

	return slot && slot->flow == f ? slot : NULL;
}

/* A slot and a flow for this tuple. NULL: refused, and counted. */
static struct flow *enter(struct mirror *m, const struct tuple *t, const struct service *service,
			  enum flow_source source, uint64_t now_ms)
{
	struct daemon *d = m->sw->d;
	struct mirror_slot *slot;
	uint32_t at = m->first_free;
	struct flow *f;
	int r;

	if (!at || m->used >= m->sw->config->mirror.max_flows) {
		m->refused[MIRROR_REFUSED_LIMIT]++;
		return NULL;
	}
	if (source_share_full(m->sources, t, m->sw->config->mirror.max_flows_per_source)) {
		m->refused[MIRROR_REFUSED_SOURCE]++;
		return NULL;
	}
	r = flow_table_add(d->flows, t, &f);
	if (r != 1) {
		m->refused[MIRROR_REFUSED_TABLE]++;
		return NULL;
	}
	slot = &m->slots[at - 1];
	m->first_free = slot->next;
	m->used++;
	*slot = (struct mirror_slot){ .flow = f,
				      .source = source_share_take(m->sources, t),
				      .seen_s = seconds(now_ms),
				      .touched_s = seconds(now_ms),
				      .idle_s = service->idle_timeout_s,
				      /* Of an entry that was found nobody knows since when it is
				       * there. */
				      .packet_ms = source == FLOW_SOURCE_DUMP ? 0 : now_ms,
				      .state = MIRROR_UNCERTAIN };
	f->since_ms = now_ms;
	f->source = (uint8_t)source;
	f->flags = FLOW_MIRRORED;
	f->mark = d->generation;
	f->sw = m->sw->number;
	f->slot = at;
	m->uncertain++;
	m->learned++;
	flows_counts(d, 0, 1, false);
	return f;
}

void mirror_flow_gone(struct mirror *m, struct flow *f)
{
	struct mirror_slot *slot = mirror_slot_of(m, f);
	struct daemon *d = m->sw->d;
	struct tuple plain = f->tuple;

	if (!slot)
		return;
	plain.zone = 0;
	entry_write(d, ENTRY_DELETE, &f->tuple, 0, 0);
	if (f->binding && !flow_table_get(d->flows, &plain))
		pin_write(d, &plain, 0, 0);
	source_share_put(m->sources, slot->source);
	m->asking -= slot->state == MIRROR_ASKING;
	m->asked -= slot->state == MIRROR_ASKED;
	m->uncertain -= slot->state == MIRROR_UNCERTAIN;
	m->used--;
	m->ended++;
	*slot = (struct mirror_slot){ .next = m->first_free };
	m->first_free = f->slot;
	f->slot = 0;
}

static int tuple_of(const struct mirror_record *r, uint16_t zone, struct tuple *ret)
{
	static const uint8_t zero[16];

	if ((r->family != AF_INET && r->family != AF_INET6) || !proto_name(r->proto) || r->pad ||
	    (r->flags & ~(MIRROR_SYN | MIRROR_FIN | MIRROR_RST)))
		return -EINVAL;
	if (r->family == AF_INET &&
	    (memcmp(r->src + 4, zero, 12) != 0 || memcmp(r->dst + 4, zero, 12) != 0))
		return -EINVAL;
	*ret = (struct tuple){ .sport = r->sport,
			       .dport = r->dport,
			       .zone = zone,
			       .family = r->family,
			       .proto = r->proto };
	memcpy(ret->src, r->src, sizeof(ret->src));
	memcpy(ret->dst, r->dst, sizeof(ret->dst));
	return 0;
}

bool mirror_takes_no_new(const struct mirror *m, const struct flow *f)
{
	const struct binding *b = registry_binding(m->sw->d->registry, f->binding);
	const struct switch_nexthop *n = switch_nexthop_of(m->sw, f);

	if (!n)
		return false;
	return n->dead || (n->n_named == 0 && m->sw->health.known) ||
	       (b && b->state != BINDING_ACTIVE);
}

static void touch(struct mirror *m, struct flow *f, struct mirror_slot *slot, uint64_t now_ms,
		  uint32_t timeout_s)
{
	struct daemon *d = m->sw->d;

	if (seconds(now_ms) - slot->touched_s < TOUCH_EVERY_S && timeout_s >= slot->idle_s)
		return;
	slot->touched_s = seconds(now_ms);
	/* Not only touched: the kernel may have dropped it meanwhile. */
	entry_write(d, ENTRY_CREATE, &f->tuple, f->binding ? mark_of(d, f->binding) : 0, timeout_s);
}

static void seen(struct mirror *m, struct flow *f, struct mirror_slot *slot, uint8_t flags,
		 uint64_t now_ms)
{
	struct tuple plain = f->tuple;
	bool refresh = seconds(now_ms) - slot->touched_s >= TOUCH_EVERY_S;

	if (flags & (MIRROR_FIN | MIRROR_RST)) {
		/* Only shortened: anybody can send a RST that looks like it. */
		if (!slot->fin_s && slot->idle_s > FIN_KEEP_S)
			touch(m, f, slot, now_ms, FIN_KEEP_S);
		slot->fin_s = slot->fin_s ? slot->fin_s : seconds(now_ms);
		return;
	}
	slot->seen_s = seconds(now_ms);
	slot->fin_s = 0;
	touch(m, f, slot, now_ms, slot->idle_s);
	/* No longer does it matter which way an earlier packet went: this one goes where the next
	 * ones go. */
	if (slot->state == MIRROR_UNCERTAIN && now_ms - slot->packet_ms >= ASK_ANEW_MS) {
		slot->packet_ms = now_ms;
		mirror_resolve(m, f);
	}
	plain.zone = 0;
	if (refresh && f->binding)
		pin_write(m->sw->d, &plain, f->binding, slot->idle_s);
}

void mirror_record(struct mirror *m, const struct mirror_record *r, uint64_t now_ms)
{
	struct daemon *d = m->sw->d;
	const struct service *service;
	struct mirror_slot *slot;
	struct tuple t;
	struct flow *f;

	m->records++;
	if (tuple_of(r, m->sw->config->mirror.zone, &t) < 0) {
		m->refused[MIRROR_REFUSED_RECORD]++;
		return;
	}
	f = flow_table_get(d->flows, &t);
	/* A SYN for a tuple on a nexthop that takes no new flows: its port is used again. */
	if (f && (r->flags & MIRROR_SYN) && mirror_takes_no_new(m, f)) {
		m->reused++;
		flows_end(d, f, "moved");
		f = NULL;
	}
	slot = f ? mirror_slot_of(m, f) : NULL;
	if (slot) {
		seen(m, f, slot, r->flags, now_ms);
		return;
	}
	service = mirror_service(d, &t);
	if (!service) {
		m->refused[MIRROR_REFUSED_SERVICE]++;
		return;
	}
	if (r->flags & (MIRROR_FIN | MIRROR_RST)) {
		m->refused[MIRROR_REFUSED_END]++;
		return;
	}
	f = enter(m, &t, service, FLOW_SOURCE_MIRROR, now_ms);
	if (!f)
		return;
	entry_write(d, ENTRY_CREATE, &t, 0, service->idle_timeout_s);
	if (d->flow_subscribers)
		events_flow(d, f, "new");
	mirror_resolve(m, f);
}

/* An entry of conntrack in the switch's zone was seen. */
static void entry_seen(struct mirror *m, const struct ct_entry *entry, uint64_t now_ms)
{
	struct daemon *d = m->sw->d;
	const struct service *service = mirror_service(d, &entry->tuple);
	const struct binding *b = registry_binding(d->registry, id_of(d, entry->mark));
	struct switch_nexthop *n;
	struct flow *f;

	if (!service || flow_table_get(d->flows, &entry->tuple))
		return;
	f = enter(m, &entry->tuple, service, FLOW_SOURCE_DUMP, now_ms);
	if (!f)
		return;
	n = b && strcmp(b->service, service->name) == 0
		    ? switch_nexthop_add(m->sw, &b->nexthop->gateway)
		    : NULL;
	if (n)
		mirror_known(m, f, (uint16_t)(n - m->sw->nexthops + 1), now_ms);
	else
		mirror_resolve(m, f);
}

bool switches_conntrack(struct daemon *d, const struct ct_entry *entry, uint64_t now_ms)
{
	struct switch_state *s = entry->tuple.zone ? switch_by_zone(d, entry->tuple.zone) : NULL;

	if (!s)
		return false;
	/* Our own writes come back as events; only what an earlier flowpind wrote is news. */
	if (s->mirror && entry->event == CT_EVENT_DUMP)
		entry_seen(s->mirror, entry, now_ms);
	return true;
}

struct flow *mirror_adopt(struct mirror *m, const struct tuple *t, const char *service,
			  uint16_t nexthop, uint64_t now_ms)
{
	struct flow *f = enter(m, t, daemon_service(m->sw->d, service), FLOW_SOURCE_SWITCH, now_ms);

	if (f)
		mirror_known(m, f, nexthop, now_ms);
	return f;
}

void mirror_alive(struct mirror *m, struct flow *f, uint64_t now_ms)
{
	struct mirror_slot *slot = mirror_slot_of(m, f);

	if (!slot)
		return;
	slot->seen_s = seconds(now_ms);
	slot->fin_s = 0;
	touch(m, f, slot, now_ms, slot->idle_s);
}

/* In hardware its counter is the witness; after a FIN that is one reading without a packet since.
 */
static bool is_over(const struct mirror *m, const struct mirror_slot *slot, uint32_t now_s)
{
	bool fin = slot->fin_s && now_s - slot->fin_s >= FIN_KEEP_S;

	if (!fin && now_s - slot->seen_s < slot->idle_s)
		return false;
	if (!switches_hold(m->sw->d, &slot->flow->tuple))
		return true;
	return fin && slot->seen_s <= slot->fin_s &&
	       seconds(m->sw->observed_ms) >= slot->fin_s + FIN_KEEP_S && m->sw->health.reachable;
}

void mirror_services_changed(struct mirror *m)
{
	for (uint32_t i = 0; i < m->n_slots; i++) {
		const struct service *s =
			m->slots[i].flow ? mirror_service(m->sw->d, &m->slots[i].flow->tuple)
					 : NULL;

		if (s)
			m->slots[i].idle_s = s->idle_timeout_s;
	}
}

void mirror_tick(struct mirror *m, uint64_t now_ms)
{
	for (uint32_t i = 0; m->used && i < m->n_slots; i++)
		if (m->slots[i].flow && is_over(m, &m->slots[i], seconds(now_ms)))
			flows_end(m->sw->d, m->slots[i].flow, "end");
}
