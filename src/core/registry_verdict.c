// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "core/registry_internal.h"

/* How long after the outage window a death waits for neighbours on its interface of which nothing
 * is heard. */
#define UNDECIDED_SLACK_MS 2000
/* A proof of life is at most this old, or two probe intervals: less than the 3 s in which the
 * kernel finds a neighbour FAILED, so that what died at the same time cannot vouch. */
#define PROOF_MS 2500
/* How long an adopted binding waits for the first route that names it. */
#define ADOPTION_MS 10000
/* One verdict can depend on another one's (withdrawn: is somebody active?). That is one step deep,
 * and no verdict turns back within one judgement, so this bound is never met. */
#define PASSES_MAX 4

struct verdict {
	enum binding_state state;
	enum binding_reason reason;
};

/* The bindings of one service. */
struct group {
	const struct registry_limits *limits;
	uint64_t now_ms;
	size_t n;
	struct binding *list[BINDING_ID_MAX];
};

static bool is_failed(const struct binding *b)
{
	return b->nexthop->health == HEALTH_FAILED;
}

static bool died_of_fault(const struct binding *b)
{
	if (b->state != BINDING_DEAD)
		return false;
	return b->reason == REASON_NEIGHBOUR || b->reason == REASON_LINK ||
	       b->reason == REASON_OUTAGE;
}

static enum binding_reason fault_reason(const struct binding *b)
{
	return b->nexthop->link_up ? REASON_NEIGHBOUR : REASON_LINK;
}

static bool another_is_active(const struct group *g, const struct binding *b)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->list[i] != b && g->list[i]->state == BINDING_ACTIVE &&
		    !is_failed(g->list[i]) && binding_shares_family(g->list[i], b))
			return true;
	return false;
}

static bool proves_life(const struct group *g, const struct binding *other,
			const struct nexthop *dead)
{
	const struct nexthop *nh = other->nexthop;
	uint64_t fresh_ms = 2 * g->limits->probe_interval_ms;

	if (fresh_ms < PROOF_MS)
		fresh_ms = PROOF_MS;
	if (nh == dead || !other->named || is_failed(other) || !nh->link_up)
		return false;
	if (!nh->probed && nh->ifindex != dead->ifindex)
		return true; /* it cannot be asked; its carrier is all that there is to see */
	return nh->confirmed_ms > dead->fault_ms &&
	       elapsed_ms(nh->confirmed_ms, g->now_ms) <= fresh_ms;
}

static bool another_proves_life(const struct group *g, const struct binding *b)
{
	for (size_t i = 0; i < g->n; i++)
		if (binding_shares_family(g->list[i], b) && proves_life(g, g->list[i], b->nexthop))
			return true;
	return false;
}

/* False while it is open whether the whole segment failed: somebody on the same interface has
 * neither answered nor failed since. */
static bool siblings_are_decided(const struct group *g, const struct binding *b)
{
	const struct nexthop *dead = b->nexthop;

	if (elapsed_ms(dead->fault_ms, g->now_ms) >
	    g->limits->outage_window_ms + UNDECIDED_SLACK_MS)
		return true;
	for (size_t i = 0; i < g->n; i++) {
		const struct nexthop *nh = g->list[i]->nexthop;

		if (nh == dead || nh->ifindex != dead->ifindex || !g->list[i]->named ||
		    is_failed(g->list[i]))
			continue;
		if (nh->probed && nh->confirmed_ms <= dead->fault_ms)
			return false;
	}
	return true;
}

static bool may_die(const struct group *g, const struct binding *b)
{
	return another_proves_life(g, b) && siblings_are_decided(g, b);
}

static bool in_window(const struct group *g, const struct nexthop *nh, uint64_t begin_ms)
{
	return nh->fault_ms >= begin_ms && nh->fault_ms - begin_ms <= g->limits->outage_window_ms;
}

/* Whether b failed together with more than half of the named nexthops that its traffic could take,
 * behind its interface and within one window, or all of them are down. One that no route names does
 * not count, but is held like the others. */
static bool is_in_outage(const struct group *g, const struct binding *b)
{
	size_t n_named = 0, n_failed = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct binding *o = g->list[i];

		n_named += o->named && binding_shares_family(o, b);
		n_failed += o->named && binding_shares_family(o, b) && is_failed(o);
	}
	if (n_named && n_failed == n_named)
		return true;
	for (size_t i = 0; i < g->n; i++) {
		uint64_t begin_ms = g->list[i]->nexthop->fault_ms;
		size_t together = 0;

		if (!is_failed(g->list[i]) || !in_window(g, b->nexthop, begin_ms))
			continue;
		for (size_t k = 0; k < g->n; k++) {
			const struct binding *o = g->list[k];

			together += o->named && is_failed(o) && binding_shares_family(o, b) &&
				    o->nexthop->ifindex == b->nexthop->ifindex &&
				    in_window(g, o->nexthop, begin_ms);
		}
		if (together * 2 > n_named)
			return true;
	}
	return false;
}

/* What it would be in good health. */
static struct verdict wanted_verdict(const struct group *g, const struct binding *b)
{
	struct verdict draining = { BINDING_DRAINING,
				    b->adopted_ms ? REASON_ADOPTED : REASON_WITHDRAWN };

	if (b->released)
		return (struct verdict){ BINDING_DEAD, REASON_RELEASE };
	if (!b->named && b->on_withdraw == SERVICE_RELEASE && !b->adopted_ms &&
	    (another_is_active(g, b) ||
	     (b->state == BINDING_DEAD && b->reason == REASON_WITHDRAWN)))
		return (struct verdict){ BINDING_DEAD, REASON_WITHDRAWN };
	if (b->drained)
		draining.reason = REASON_DRAIN;
	if (b->drained || !b->named)
		return draining;
	return (struct verdict){ BINDING_ACTIVE, REASON_ROUTE };
}

static struct verdict held_verdict(const struct group *g, const struct binding *b)
{
	bool held = elapsed_ms(b->outage_ms, g->now_ms) < g->limits->outage_hold_ms;

	if (is_failed(b) && !held && may_die(g, b))
		return (struct verdict){ BINDING_DEAD, REASON_OUTAGE };
	return (struct verdict){ BINDING_UNREACHABLE, REASON_OUTAGE };
}

static struct verdict binding_judge(const struct group *g, const struct binding *b)
{
	struct verdict wanted = wanted_verdict(g, b);

	if (wanted.state == BINDING_DEAD)
		return wanted;
	if (b->state == BINDING_UNREACHABLE && !nexthop_is_back(b->nexthop))
		return held_verdict(g, b);
	if (died_of_fault(b) && !nexthop_is_back(b->nexthop))
		return (struct verdict){ BINDING_DEAD, b->reason };
	if (!is_failed(b))
		return wanted;
	if (b->state == BINDING_DEAD)
		return (struct verdict){ BINDING_DEAD, fault_reason(b) };
	if (is_in_outage(g, b))
		return (struct verdict){ BINDING_UNREACHABLE, REASON_OUTAGE };
	if (may_die(g, b))
		return (struct verdict){ BINDING_DEAD, fault_reason(b) };
	return wanted; /* nobody can tell yet: as it was */
}

static bool binding_move(struct registry *r, struct binding *b, struct verdict v, uint64_t now_ms)
{
	b->reason = v.reason;
	if (b->state == v.state)
		return false;
	registry_change_push(r, b, v.state, v.reason);
	b->outage_ms = v.state == BINDING_UNREACHABLE ? b->nexthop->fault_ms : 0;
	b->state = v.state;
	b->state_ms = now_ms;
	r->version++;
	return true;
}

static void blind_recompute(struct registry *r, const struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct binding *b = g->list[i];
		bool blind = false;

		for (size_t k = 0; k < g->n && b->by_link && b->named; k++) {
			const struct binding *o = g->list[k];

			blind |= o != b && o->by_link && o->named &&
				 o->nexthop->ifindex == b->nexthop->ifindex;
		}
		r->version += b->blind != blind;
		b->blind = blind;
	}
}

static void group_gather(struct registry *r, const char *service, struct group *g)
{
	for (unsigned id = 1; id < ID_SLOTS; id++) {
		struct binding *b = &r->bindings[id];

		if (!b->id || strcmp(b->service, service) != 0)
			continue;
		if (b->adopted_ms && elapsed_ms(b->adopted_ms, g->now_ms) >= ADOPTION_MS)
			b->adopted_ms = 0;
		g->list[g->n++] = b;
	}
}

static void service_judge(struct registry *r, const char *service, bool *judged, uint64_t now_ms)
{
	struct group g = { .limits = &r->limits, .now_ms = now_ms };
	bool moved = true;

	group_gather(r, service, &g);
	blind_recompute(r, &g);
	for (unsigned pass = 0; moved && pass < PASSES_MAX; pass++) {
		moved = false;
		for (size_t i = 0; i < g.n; i++)
			moved |= binding_move(r, g.list[i], binding_judge(&g, g.list[i]), now_ms);
	}
	for (size_t i = 0; i < g.n; i++)
		judged[g.list[i]->id] = true;
}

void registry_judge(struct registry *r, const struct nexthop *nh, uint64_t now_ms)
{
	bool judged[ID_SLOTS] = { false };

	for (unsigned id = 1; id < ID_SLOTS; id++) {
		const struct binding *b = &r->bindings[id];

		if (b->id && !judged[id] && (!nh || b->nexthop == nh))
			service_judge(r, b->service, judged, now_ms);
	}
}

/* The point in time at which a binding's verdict may change though nothing is seen; UINT64_MAX
 * never. */
static uint64_t binding_due_ms(const struct registry_limits *l, const struct binding *b,
			       uint64_t now_ms)
{
	const struct nexthop *nh = b->nexthop;
	uint64_t hold_ms = b->outage_ms + l->outage_hold_ms;
	uint64_t undecided_ms = nh->fault_ms + l->outage_window_ms + UNDECIDED_SLACK_MS + 1;
	uint64_t carrier_ms = nh->link_down_ms + l->carrier_hold_ms;
	uint64_t due_ms = UINT64_MAX;

	if (b->adopted_ms)
		due_ms = b->adopted_ms + ADOPTION_MS;
	if (!nh->link_up && nh->health != HEALTH_FAILED && carrier_ms < due_ms)
		due_ms = carrier_ms;
	if (!is_failed(b) || b->state == BINDING_DEAD)
		return due_ms;
	if (b->state == BINDING_UNREACHABLE && hold_ms > now_ms && hold_ms < due_ms)
		due_ms = hold_ms;
	if (undecided_ms > now_ms && undecided_ms < due_ms)
		due_ms = undecided_ms;
	return due_ms;
}

/* Milliseconds until a verdict may change by time alone, UINT64_MAX for never. */
static uint64_t verdict_wait(const struct registry *r, uint64_t now_ms)
{
	uint64_t due_ms = UINT64_MAX;

	for (unsigned id = 1; id < ID_SLOTS; id++) {
		const struct binding *b = &r->bindings[id];
		uint64_t one_ms = b->id ? binding_due_ms(&r->limits, b, now_ms) : UINT64_MAX;

		if (one_ms < due_ms)
			due_ms = one_ms;
	}
	if (due_ms == UINT64_MAX)
		return UINT64_MAX;
	return due_ms > now_ms ? due_ms - now_ms : 1;
}

uint64_t registry_tick(struct registry *r, uint64_t now_ms)
{
	registry_nexthops_settle(r, now_ms);
	registry_judge(r, NULL, now_ms);
	return verdict_wait(r, now_ms);
}
