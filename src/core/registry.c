// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/vec.h"
#include "core/registry_internal.h"

int registry_new(const struct registry_limits *limits, struct registry **ret_registry)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->limits = *limits;
	*ret_registry = r;
	return 0;
}

struct registry *registry_free(struct registry *r)
{
	if (!r)
		return NULL;
	free(r->unpinned);
	free(r);
	return NULL;
}

void registry_limits_set(struct registry *r, const struct registry_limits *limits)
{
	r->limits = *limits;
}

static size_t unpinned_find(const struct registry *r, const char *service,
			    const struct ip_addr *gateway, uint32_t ifindex)
{
	size_t i = 0;

	for (; i < r->n_unpinned; i++) {
		const struct unpinned *u = &r->unpinned[i];

		if (u->ifindex == ifindex && ip_addr_equal(&u->nexthop.addr, gateway) &&
		    strcmp(u->service, service) == 0)
			break;
	}
	return i;
}

static void unpinned_remove(struct registry *r, size_t i)
{
	if (i < r->n_unpinned)
		r->unpinned[i] = r->unpinned[--r->n_unpinned];
}

static int unpinned_add(struct registry *r, const char *service, const struct ip_addr *gateway,
			uint32_t ifindex, const char *ifname)
{
	struct unpinned *u;

	if (unpinned_find(r, service, gateway, ifindex) < r->n_unpinned)
		return 0;
	u = vec_reserve(r->unpinned, r->n_unpinned, &r->unpinned_cap, sizeof(*u));
	if (!u)
		return -ENOMEM;
	r->unpinned = u;
	u += r->n_unpinned++;
	*u = (struct unpinned){ .nexthop = { .addr = *gateway }, .ifindex = ifindex };
	snprintf(u->service, sizeof(u->service), "%s", service);
	snprintf(u->nexthop.ifname, sizeof(u->nexthop.ifname), "%s", ifname);
	return 0;
}

static bool attributes_set(struct binding *b, const struct nexthop_attributes *a)
{
	uint16_t encap_len = a->encap_len < sizeof(b->encap) ? a->encap_len : sizeof(b->encap);
	bool same = b->mtu == a->mtu && b->onlink == a->onlink && b->families == a->families &&
		    b->encap_type == a->encap_type && b->encap_len == encap_len &&
		    memcmp(b->encap, a->encap, encap_len) == 0;

	b->mtu = a->mtu;
	b->onlink = a->onlink;
	b->families = a->families;
	b->encap_type = a->encap_type;
	b->encap_len = encap_len;
	memcpy(b->encap, a->encap, encap_len);
	/* `rt ip nexthop` yields the packet's destination where there is no gateway of the packet's
	 * family. */
	b->by_link = b->nexthop->gateway.family == 0 ||
		     (b->nexthop->gateway.family == AF_INET6 && (a->families & 1));
	return !same;
}

static struct binding *binding_make(struct registry *r, uint8_t id, const struct service *s,
				    const struct ip_addr *gateway, uint32_t ifindex,
				    const char *ifname, uint64_t now_ms)
{
	struct binding *b = &r->bindings[id];

	*b = (struct binding){ .id = id, .on_withdraw = s->on_withdraw, .quiet_ms = now_ms };
	memcpy(b->service, s->name, sizeof(b->service));
	b->nexthop = registry_nexthop_take(r, gateway, ifindex, ifname);
	r->version++;
	return b;
}

static void binding_free(struct registry *r, struct binding *b, enum binding_reason reason)
{
	registry_change_push(r, b, BINDING_GONE, reason);
	registry_nexthop_drop(b->nexthop);
	registry_id_free(r, b->id);
	r->version++;
}

int registry_name(struct registry *r, const struct service *s, const struct ip_addr *gateway,
		  uint32_t ifindex, const char *ifname, const struct nexthop_attributes *a,
		  uint8_t fixed_id, uint64_t now_ms, uint8_t *ret_id)
{
	const struct binding *found = registry_find(r, s->name, gateway, ifindex);
	struct binding *b;
	bool failed;
	uint8_t id = found ? found->id : 0;

	if (!found) {
		int code = registry_id_pick(r, fixed_id, &id);

		if (code < 0) {
			int listed = unpinned_add(r, s->name, gateway, ifindex, ifname);

			return listed < 0 ? listed : code;
		}
		binding_make(r, id, s, gateway, ifindex, ifname, now_ms);
		unpinned_remove(r, unpinned_find(r, s->name, gateway, ifindex));
	}
	b = &r->bindings[id];
	snprintf(b->nexthop->ifname, sizeof(b->nexthop->ifname), "%s", ifname);
	b->on_withdraw = s->on_withdraw;
	b->fixed = fixed_id == id;
	if (!b->named) {
		b->named = true;
		b->released = false;
		b->adopted_ms = 0;
		r->version++;
	}
	r->version += attributes_set(b, a);
	*ret_id = id;
	failed = registry_nexthops_settle(r, now_ms);
	registry_judge(r, failed ? NULL : b->nexthop, now_ms);
	return 0;
}

void registry_unname(struct registry *r, const char *service, const struct ip_addr *gateway,
		     uint32_t ifindex, uint64_t now_ms)
{
	const struct binding *found = registry_find(r, service, gateway, ifindex);
	struct binding *b;

	unpinned_remove(r, unpinned_find(r, service, gateway, ifindex));
	if (!found)
		return;
	b = &r->bindings[found->id];
	b->adopted_ms = 0;
	if (b->named) {
		b->named = false;
		r->version++;
		/* A packet that was under way counts: its event may come after the route's. */
		if (b->flows == 0)
			b->quiet_ms = now_ms;
	}
	registry_judge(r, b->nexthop, now_ms);
}

int registry_adopt(struct registry *r, const struct service *s, const struct ip_addr *gateway,
		   uint32_t ifindex, const char *ifname, const struct nexthop_attributes *a,
		   uint8_t id, uint64_t now_ms)
{
	struct binding *b;

	if (id == 0 || id > r->limits.max_id)
		return -ERANGE;
	if (r->bindings[id].id || registry_find(r, s->name, gateway, ifindex))
		return -EEXIST;
	b = binding_make(r, id, s, gateway, ifindex, ifname, now_ms);
	b->adopted_ms = now_ms;
	attributes_set(b, a);
	registry_judge(r, b->nexthop, now_ms);
	return 0;
}

void registry_service_remove(struct registry *r, const char *service, uint64_t now_ms)
{
	for (size_t i = r->n_unpinned; i-- > 0;)
		if (strcmp(r->unpinned[i].service, service) == 0)
			unpinned_remove(r, i);
	for (unsigned id = 1; id < ID_SLOTS; id++)
		if (r->bindings[id].id && strcmp(r->bindings[id].service, service) == 0)
			binding_free(r, &r->bindings[id], REASON_SERVICE);
	registry_judge(r, NULL, now_ms);
}

void registry_retire(struct registry *r, uint8_t id, uint64_t now_ms)
{
	struct binding *b = &r->bindings[id];

	if (!b->id || b->named || b->flows)
		return;
	binding_free(r, b, REASON_EMPTY);
	registry_judge(r, NULL, now_ms);
}

void registry_flow_count(struct registry *r, uint8_t id, int32_t delta, uint64_t now_ms)
{
	struct binding *b = &r->bindings[id];
	int64_t flows = (int64_t)b->flows + delta;

	if (!b->id)
		return;
	if (flows < 0)
		flows = 0;
	if (flows)
		b->quiet_ms = 0;
	else if (b->flows)
		b->quiet_ms = now_ms;
	b->flows = (uint32_t)flows;
}
