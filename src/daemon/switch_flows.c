// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/flows.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "daemon/witness.h"

/* Between the flow table and what each switch should hold. */

const struct binding *switch_binding(const struct daemon *d, const char *service,
				     const struct ip_addr *gateway)
{
	const struct binding *b;
	uint8_t cursor = 0;

	while ((b = registry_binding_next(d->registry, &cursor)))
		if (strcmp(b->service, service) == 0 &&
		    ip_addr_equal(&b->nexthop->gateway, gateway))
			return b;
	return NULL;
}

struct switch_state *switch_of(const struct daemon *d, const struct flow *f)
{
	return d->switches && f->sw && f->sw <= d->switches->n ? d->switches->list[f->sw - 1]
							       : NULL;
}

static bool same_group(const struct switch_state *a, const struct switch_state *b)
{
	return a == b || (a->config->group[0] && strcmp(a->config->group, b->config->group) == 0);
}

/* What a switch forwards by itself does not pass the gateway: whether its nexthop is dead is told
 * by the switch, as long as it tells. */
static bool dead_here(const struct switch_state *from, const struct switch_nexthop *n,
		      const struct binding *b)
{
	if (n && n->dead)
		return true;
	if (!b || b->state != BINDING_DEAD)
		return false;
	return b->released || !n || !from->health.reachable || !n->alive;
}

/* False: this switch has nothing to do with the flow. */
static bool facts_of(const struct switch_state *s, const struct flow *f,
		     struct placement_facts *ret)
{
	const struct daemon *d = s->d;
	const struct binding *b = registry_binding(d->registry, f->binding);
	const struct switch_state *from = switch_of(d, f);
	const struct switch_nexthop *n = from ? switch_nexthop_of(from, f) : NULL;
	const struct switch_nexthop *here;

	if (from ? !n || !same_group(s, from) : !b || s->config->place == SWITCH_PLACE_NONE)
		return false;
	*ret = (struct placement_facts){
		.nexthop = n ? n->addr : b->nexthop->gateway,
		.learned_ms = f->since_ms,
		.replied = f->flags & FLOW_REPLIED,
		.mirrored = from != NULL,
		.nat = f->flags & FLOW_NAT,
		.draining = b ? b->state == BINDING_DRAINING || d->switches->about_to_drain[b->id]
			      : n->n_named == 0,
		.dead = dead_here(from, n, b)
	};
	here = switch_nexthop_find(s, &ret->nexthop);
	ret->dead = ret->dead || (here && here->dead);
	return ret->nexthop.family == f->tuple.family;
}

/* A new flow of the gateway goes elsewhere than a switch's mirror once told of its tuple. That is
 * an old connection whose port is used again, if its nexthop gets no new flows. True: it was. */
static bool reused_here(struct daemon *d, const struct flow *f)
{
	bool any = false;

	for (size_t i = 0; i < d->switches->n && f->tuple.zone == 0; i++) {
		struct mirror *m = d->switches->list[i]->mirror;
		struct tuple zoned = f->tuple;
		struct flow *old;

		zoned.zone = m ? d->switches->list[i]->config->mirror.zone : 0;
		old = m ? flow_table_get(d->flows, &zoned) : NULL;
		if (!old || old->since_ms >= f->since_ms || !mirror_takes_no_new(m, old))
			continue;
		m->reused++;
		flows_end(d, old, "moved");
		any = true;
	}
	return any;
}

static void withdraw(struct daemon *d, const struct tuple *t, enum placement_reason reason,
		     uint64_t now_ms)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		placement_withdraw(d->switches->list[i]->placement, t, reason, now_ms);
	if (d->switches)
		switches_soon(d);
}

void switches_flow(struct daemon *d, struct flow *f, uint64_t now_ms)
{
	struct placement_facts facts;
	int r;

	/* Its conntrack entry stands for minutes more: too long where room is scarce. */
	if (f->closed) {
		withdraw(d, &f->tuple, PLACEMENT_ENDED, now_ms);
		return;
	}
	for (size_t i = 0; d->switches && !d->tearing_down && i < d->switches->n; i++) {
		struct switch_state *s = d->switches->list[i];

		/* What a placement does not take it counts by itself. */
		if (!facts_of(s, f, &facts))
			continue;
		r = placement_offer(s->placement, &f->tuple, &facts, now_ms);
		if (r == -EEXIST && reused_here(d, f))
			r = placement_offer(s->placement, &f->tuple, &facts, now_ms);
		if (r >= 0)
			switches_soon(d);
	}
}

void switches_withdraw_all(struct daemon *d)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		placement_withdraw_all(d->switches->list[i]->placement, PLACEMENT_TEARDOWN,
				       clock_now_ms());
	if (d->switches)
		switches_soon(d);
}

uint32_t switches_left(const struct daemon *d)
{
	struct placement_numbers n;
	uint32_t left = 0;

	for (size_t i = 0; d->switches && i < d->switches->n; i++) {
		if (!d->switches->list[i]->connection)
			continue;
		placement_numbers(d->switches->list[i]->placement, &n);
		left += n.desired + n.deleting + n.dirty;
	}
	return left;
}

void switches_offer_again(struct daemon *d)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		switch_offer_all(d->switches->list[i], clock_now_ms());
	if (d->switches)
		switches_soon(d);
}

static enum placement_reason reason_of(const char *why)
{
	static const struct {
		const char *why;
		enum placement_reason reason;
	} rows[] = { { "unpinned", PLACEMENT_SERVICE_REMOVED },
		     { "moved", PLACEMENT_MOVED },
		     { "dead", PLACEMENT_DEAD },
		     { "released", PLACEMENT_RELEASED },
		     { "teardown", PLACEMENT_TEARDOWN } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].why, why) == 0)
			return rows[i].reason;
	return PLACEMENT_ENDED;
}

void switches_flow_end(struct daemon *d, struct flow *f, const char *why)
{
	struct switch_state *from = switch_of(d, f);

	withdraw(d, &f->tuple, reason_of(why), clock_now_ms());
	if (from && from->mirror && f->slot)
		mirror_flow_gone(from->mirror, f);
}

/* In hardware as far as is known: programmed, or so when the switch was last heard. */
static bool is_held(const struct placement_view *v)
{
	return v->state == PLACEMENT_STATE_PROGRAMMED || v->state == PLACEMENT_STATE_ADOPTED;
}

static bool may_be_carried(const struct placement_view *v)
{
	return !v->counted || v->packets > 0;
}

/* Whether one of the switches should have it, and is such. */
static bool any_switch(const struct daemon *d, const struct tuple *t,
		       bool (*is)(const struct placement_view *v))
{
	struct placement_view v;

	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		if (placement_get(d->switches->list[i]->placement, t, &v) == 0 && v.present &&
		    is(&v))
			return true;
	return false;
}

bool switches_hold(const struct daemon *d, const struct tuple *t)
{
	return any_switch(d, t, is_held);
}

bool switches_carry(const struct daemon *d, const struct tuple *t)
{
	return any_switch(d, t, may_be_carried);
}

bool switches_keep(struct daemon *d, struct flow *f)
{
	return d->switches && f->tuple.zone == 0 && switches_hold(d, &f->tuple);
}

bool switches_want_updates(const struct daemon *d)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		if (d->switches->list[i]->config->place == SWITCH_PLACE_ESTABLISHED)
			return true;
	return false;
}

/* One more look at every flow that this switch could have. */
void switch_offer_all(struct switch_state *s, uint64_t now_ms)
{
	struct daemon *d = s->d;
	uint32_t cursor = 0;
	struct flow *f;

	while ((f = flow_table_next(d->flows, &cursor))) {
		struct switch_nexthop *n = switch_of(d, f) == s ? switch_nexthop_of(s, f) : NULL;

		if (f->flags & FLOW_GRAVE)
			continue;
		if (n && n->dead)
			flows_end(d, f, "dead");
		else
			switches_flow(d, f, now_ms);
	}
}

void switches_binding_changed(struct daemon *d, const struct binding_change *c)
{
	const struct binding *b = registry_binding(d->registry, c->id);
	uint64_t now = clock_now_ms();
	uint32_t cursor = 0;
	struct flow *f;

	if (!d->switches)
		return;
	while ((f = flow_table_next(d->flows, &cursor))) {
		struct switch_state *from = switch_of(d, f);

		if (f->binding != c->id || (f->flags & FLOW_GRAVE))
			continue;
		if (from && dead_here(from, switch_nexthop_of(from, f), b)) {
			flows_end(d, f, b && b->released ? "released" : "dead");
		} else if (b && b->state == BINDING_DEAD && b->released) {
			withdraw(d, &f->tuple, PLACEMENT_RELEASED, now);
		} else {
			switches_flow(d, f, now);
		}
	}
	switches_soon(d);
}

/* --- adoption */

static struct flow *adopt_here(struct switch_state *s, const struct tuple *t,
			       const struct binding *b, const char *service, uint64_t now_ms)
{
	struct daemon *d = s->d;
	struct flow *f;

	if (flow_table_add(d->flows, t, &f) != 1)
		return NULL;
	f->binding = b->id;
	f->since_ms = now_ms;
	f->source = FLOW_SOURCE_SWITCH;
	flows_counts(d, b->id, 1, false);
	witness_watch(d, f, false);
	pin_write(d, t, b->id, daemon_service(d, service)->idle_timeout_s);
	return f;
}

/* What the switch never carried was placed for the gateway's connections, or did not matter yet. As
 * a flow of the mirror's zone it would keep its nexthop when the client uses its port again. */
static struct flow *adopt_as(struct switch_state *s, const struct tuple *t,
			     const struct service *service, const struct placement_observation *o,
			     uint64_t now_ms)
{
	const struct ip_addr *nexthop = &o->nexthop;
	const struct binding *b = switch_binding(s->d, service->name, nexthop);
	struct switch_nexthop *n = switch_nexthop_find(s, nexthop);
	struct tuple zoned = *t;

	if (!b && !(n && switch_nexthop_serves(n, service->name)))
		return NULL;
	if (!s->mirror || (b && o->counted && o->packets == 0))
		return b ? adopt_here(s, t, b, service->name, now_ms) : NULL;
	zoned.zone = s->config->mirror.zone;
	n = switch_nexthop_add(s, nexthop);
	return n ? mirror_adopt(s->mirror, &zoned, service->name, (uint16_t)(n - s->nexthops + 1),
				now_ms)
		 : NULL;
}

/* The flow as it is known already, whether here or by a mirror. */
static struct flow *known_flow(struct switch_state *s, const struct tuple *t)
{
	struct tuple zoned = *t;
	struct flow *f = flow_table_get(s->d->flows, t);

	if (!f && s->mirror) {
		zoned.zone = s->config->mirror.zone;
		f = flow_table_get(s->d->flows, &zoned);
	}
	return f && !(f->flags & FLOW_GRAVE) ? f : NULL;
}

void switch_adopt(struct switch_state *s, const struct tuple *t,
		  const struct placement_observation *o, uint64_t now_ms)
{
	const struct service *service = mirror_service(s->d, t);
	struct flow *f = known_flow(s, t);
	struct placement_facts facts = { .nexthop = o->nexthop, .learned_ms = now_ms };
	const struct binding *b;

	if (s->d->tearing_down)
		return; /* it is on its way out */
	if (!service || o->nexthop.family == 0) {
		s->left_alone++;
		return;
	}
	/* The pin map may not have been read as far as this yet. */
	if (!f) {
		witness_adopt(s->d, t, 1);
		f = known_flow(s, t);
	}
	if (f && f->slot && !f->nexthop) {
		/* Mirrored, and its nexthop was not known yet: the switch has it in its table. */
		struct switch_nexthop *n = switch_nexthop_find(s, &o->nexthop);

		if (n)
			mirror_known(s->mirror, f, (uint16_t)(n - s->nexthops + 1), now_ms);
	}
	if (!f)
		f = adopt_as(s, t, service, o, now_ms);
	if (!f || (f->slot && !f->nexthop)) {
		s->left_alone++;
		return;
	}
	b = registry_binding(s->d->registry, f->binding);
	if (!f->slot && (!b || !ip_addr_equal(&b->nexthop->gateway, &o->nexthop))) {
		s->left_alone++; /* it goes elsewhere by what is known here */
		return;
	}
	facts.mirrored = f->slot != 0;
	facts.learned_ms = f->since_ms;
	if (placement_adopt(s->placement, &f->tuple, &facts, now_ms) < 0)
		s->left_alone++;
	switches_flow(s->d, f, now_ms);
	switches_soon(s->d);
}
