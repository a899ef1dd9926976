// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "core/registry_internal.h"

static bool another_is_active(const struct registry *r, const struct binding *b, bool any_family)
{
	uint8_t cursor = 0;
	const struct binding *o;

	while ((o = registry_binding_next(r, &cursor)))
		if (o != b && o->state == BINDING_ACTIVE && strcmp(o->service, b->service) == 0 &&
		    (any_family || binding_shares_family(o, b)))
			return true;
	return false;
}

static int drain_refuse(const struct registry *r, const struct binding *b, struct err *e)
{
	struct nexthop_spec spec = { .addr = b->nexthop->gateway };
	const char *kind = "";
	char text[NEXTHOP_TEXT];

	memcpy(spec.ifname, b->nexthop->ifname, sizeof(spec.ifname));
	nexthop_spec_format(&spec, text);
	if (another_is_active(r, b, true))
		kind = b->families == 1 ? "IPv4 " : "IPv6 ";
	if (b->state == BINDING_ACTIVE)
		return err_set(e, -EBUSY,
			       "%s is the last active %snexthop of service %s: "
			       "draining it would leave none for new connections",
			       text, kind, b->service);
	return err_set(e, -EBUSY,
		       "service %s has no active %snexthop: draining %s, which is %s, "
		       "would leave none for new connections",
		       b->service, kind, text, binding_state_name(b->state));
}

int registry_drain(struct registry *r, uint8_t id, const struct drain_intent *intent,
		   uint64_t now_ms, struct err *e)
{
	struct binding *b = &r->bindings[id];

	if (!b->id)
		return err_set(e, -ENOENT, "no nexthop has the id %u", id);
	if (b->named && !b->drained && !another_is_active(r, b, false))
		return drain_refuse(r, b, e);
	b->drain_since_s = intent->since_s;
	b->drain_deadline_s = intent->deadline_s;
	b->drain_release_s = intent->release_s;
	b->drain_uid = intent->uid;
	if (!b->drained)
		r->version++;
	b->drained = true;
	registry_judge(r, b->nexthop, now_ms);
	return 0;
}

void registry_undrain(struct registry *r, uint8_t id, uint64_t now_ms)
{
	struct binding *b = &r->bindings[id];

	if (!b->id || (!b->drained && !b->released))
		return;
	b->drained = b->released = false;
	b->drain_since_s = b->drain_deadline_s = b->drain_release_s = 0;
	b->drain_uid = 0;
	r->version++;
	registry_judge(r, b->nexthop, now_ms);
}

void registry_release(struct registry *r, uint8_t id, uint64_t now_ms)
{
	struct binding *b = &r->bindings[id];

	if (!b->id || b->released)
		return;
	b->released = true;
	r->version++;
	registry_judge(r, b->nexthop, now_ms);
}
