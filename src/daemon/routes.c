// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/routes.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "core/rib.h"
#include "daemon/carried.h"
#include "daemon/hostcheck.h"
#include "daemon/intent.h"
#include "daemon/liveness.h"
#include "daemon/netstate.h"
#include "daemon/retire.h"
#include "daemon/sync.h"
#include "netlink/rt.h"
#include "pin/policy.h"

#define REDUMP_DELAY_MS	   50
#define REDUMP_RETRY_S	   1
#define DATAGRAMS_PER_CALL 32

static int route_apply(struct daemon *d, const struct nlmsghdr *nlh)
{
	struct route route;
	int r;

	r = rt_decode_route(nlh, &route);
	if (r < 0)
		return r;
	if (route.protocol == RT_PROTOCOL_FLOWPIN || !netstate_table_forwards(d, route.key.table))
		r = 0;
	else if (nlh->nlmsg_type == RTM_DELROUTE)
		r = rib_route_del(d->rib, &route);
	else
		/* A dump lists the routes of one key in the kernel's order: the first counts. */
		r = rib_route_add(d->rib, &route, nlh->nlmsg_flags & (NLM_F_APPEND | NLM_F_MULTI));
	route_clear(&route);
	return r;
}

static int object_apply(struct daemon *d, const struct nlmsghdr *nlh)
{
	struct nexthop_object object;
	int r;

	r = rt_decode_nexthop(nlh, &object);
	if (r < 0)
		return r;
	if (nlh->nlmsg_type == RTM_DELNEXTHOP) {
		r = rib_object_del(d->rib, object.id);
		/* The kernel takes the routes that named it without a notification for IPv4. */
		routes_redump_soon(d);
	} else {
		r = rib_object_set(d->rib, &object);
	}
	nexthop_object_clear(&object);
	return r;
}

static int apply(const struct nlmsghdr *nlh, void *arg)
{
	struct daemon *d = arg;
	int r;

	if (policy_is_foreign_change(d->policy, nlh)) {
		d->policy_foreign = true;
		sync_soon(d);
	}
	switch (nlh->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		r = route_apply(d, nlh);
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		r = object_apply(d, nlh);
		break;
	default:
		r = netstate_apply(d, nlh);
		break;
	}
	return r == -ENOMEM ? r : 0;
}

static bool concerns_routes(uint16_t type)
{
	static const uint16_t silent[] = { RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR,
					   RTM_DELADDR, RTM_NEWRULE, RTM_DELRULE };

	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		if (silent[i] == type)
			return true;
	return false;
}

static int on_monitor_message(const struct nlmsghdr *nlh, void *arg)
{
	struct daemon *d = arg;
	int r = 0;

	if (!concerns_routes(nlh->nlmsg_type))
		return apply(nlh, arg);
	r = netstate_apply(d, nlh);
	if (r == -ENOMEM)
		return r;
	if (policy_is_foreign_change(d->policy, nlh)) {
		d->policy_foreign = true;
		sync_soon(d);
	}
	/* IPv4 routes come and go with links and addresses without a notification: theirs and our
	 * own. */
	if (r > 0) {
		policy_invalidate(d->policy);
		routes_redump_soon(d);
		sync_soon(d);
	}
	return 0;
}

static void on_monitor(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct daemon *d = arg;
	uint32_t dropped;
	int r;

	r = nl_receive(d->rt_monitor, DATAGRAMS_PER_CALL, on_monitor_message, d);
	if (r == -ENOBUFS || r == -ENOMEM) {
		if (log_limit_pass(&d->limit_routes, clock_now_ms(), &dropped))
			log_warning("rtnetlink events were lost (%s): reading links, rules and "
				    "routes again",
				    strerror(-r));
		d->policy_foreign = true;
		routes_redump_soon(d);
		sync_soon(d);
	} else if (r < 0) {
		log_error("rtnetlink events cannot be read: %s", strerror(-r));
	}
	members_apply(d, false);
}

static int dump(struct daemon *d, uint16_t type, uint8_t family, struct err *e)
{
	char buf[NL_REQUEST_MAX];

	return nl_dump(d->rt_request, rt_request_dump(buf, type, family), apply, NULL, d, e);
}

/* A kernel without IPv6, or where it is switched off. */
static bool is_lacking(int r)
{
	return r == -EOPNOTSUPP || r == -EAFNOSUPPORT;
}

int routes_dump(struct daemon *d, struct err *e)
{
	static const struct {
		uint16_t type;
		uint8_t family;
		bool may_lack;
	} before[] = {
		{ RTM_GETLINK, AF_UNSPEC, false }, { RTM_GETADDR, AF_INET, false },
		{ RTM_GETADDR, AF_INET6, true },   { RTM_GETRULE, AF_INET, false },
		{ RTM_GETRULE, AF_INET6, true },   { RTM_GETNEIGH, AF_INET, false },
		{ RTM_GETNEIGH, AF_INET6, true },
	};
	int r;

	d->rules.n = 0;
	d->addresses.n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		r = dump(d, before[i].type, before[i].family, e);
		if (r < 0 && !(before[i].may_lack && is_lacking(r)))
			return r;
	}
	netstate_rules_derive(d);
	rib_sync_begin(d->rib);
	r = dump(d, RTM_GETNEXTHOP, AF_UNSPEC, e);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	r = dump(d, RTM_GETROUTE, AF_INET, e);
	if (r < 0)
		return r;
	r = dump(d, RTM_GETROUTE, AF_INET6, e);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	r = rib_sync_end(d->rib);
	return r < 0 ? err_set(e, r, "out of memory") : 0;
}

static void on_redump(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	const struct timeval retry = { .tv_sec = REDUMP_RETRY_S };
	struct daemon *d = arg;
	struct err e = { 0 };
	uint32_t dropped;

	if (routes_dump(d, &e) < 0) {
		if (log_limit_pass(&d->limit_routes, clock_now_ms(), &dropped))
			log_error("routes cannot be read: %s; trying again", e.text);
		event_add(d->ev_redump, &retry);
		return;
	}
	members_apply(d, false);
	hostcheck_run(d);
}

void routes_redump_soon(struct daemon *d)
{
	struct timeval tv = { .tv_usec = REDUMP_DELAY_MS * 1000 };

	if (!event_pending(d->ev_redump, EV_TIMEOUT, NULL))
		event_add(d->ev_redump, &tv);
}

static void attributes_of(const struct rib_member *m, struct nexthop_attributes *ret)
{
	*ret = (struct nexthop_attributes){ .mtu = m->mtu,
					    .onlink = m->onlink,
					    .encap_type = m->encap_type,
					    .encap_len = m->encap_len,
					    .families = m->families };
	memcpy(ret->encap, m->encap, sizeof(ret->encap));
}

static uint8_t fixed_id(const struct service *s, const struct rib_member *m, const char *ifname)
{
	struct nexthop_spec full = { .addr = m->gateway };

	snprintf(full.ifname, sizeof(full.ifname), "%s", ifname);
	for (size_t i = 0; i < s->n_ids; i++)
		if (nexthop_spec_matches(&s->ids[i].nexthop, &full))
			return s->ids[i].id;
	return 0;
}

/* Ids whose mark stands somewhere without a binding: nobody may get them while it does. */
static void reserve_busy_ids(struct daemon *d)
{
	uint8_t busy[BINDING_ID_MAX];
	size_t n = 0;

	for (unsigned id = 1; id <= BINDING_ID_MAX; id++) {
		bool bound = registry_binding(d->registry, (uint8_t)id) != NULL;

		if (!bound && d->id_unlisted[id])
			d->id_unlisted[id] = retire_mark_stands(d, (uint8_t)id);
		d->id_withheld[id] = !bound && (d->id_flows[id] || d->id_unlisted[id]);
		if (d->id_withheld[id])
			busy[n++] = (uint8_t)id;
	}
	for (size_t i = 0; i < d->config->services.n; i++) {
		const struct service *s = &d->config->services.list[i];

		for (size_t k = 0; k < s->n_ids && n < sizeof(busy); k++)
			busy[n++] = s->ids[k].id;
	}
	registry_reserve(d->registry, busy, n);
}

static void say_unpinned(const struct service *s, const struct rib_member *m, const char *ifname,
			 int code)
{
	struct nexthop_spec spec = { .addr = m->gateway };
	char text[NEXTHOP_TEXT];

	snprintf(spec.ifname, sizeof(spec.ifname), "%s", ifname);
	log_warning("service %s: %s is not pinned: %s", s->name, nexthop_spec_format(&spec, text),
		    code == -ENOSPC   ? "every id is in use"
		    : code == -EEXIST ? "its id belongs to another nexthop"
		    : code == -ERANGE ? "its id does not fit mark-mask"
				      : strerror(-code));
}

static void name_member(struct daemon *d, const struct service *s, const struct rib_member *m,
			uint64_t now_ms)
{
	const struct link *link = netstate_link(d, m->ifindex);
	const char *ifname = link ? link->name : "";
	bool known = registry_find(d->registry, s->name, &m->gateway, m->ifindex) != NULL;
	struct nexthop_attributes a;
	size_t before, after;
	uint8_t id;
	int r;

	registry_unpinned(d->registry, &before);
	attributes_of(m, &a);
	r = registry_name(d->registry, s, &m->gateway, m->ifindex, ifname, &a,
			  fixed_id(s, m, ifname), now_ms, &id);
	if (r == 0 && !known) {
		liveness_new_nexthop(d, &m->gateway, m->ifindex);
		carried_count(d, id);
	}
	registry_unpinned(d->registry, &after);
	if (r < 0 && after > before)
		say_unpinned(s, m, ifname, r);
}

static void unname_others(struct daemon *d, const struct service *s,
			  const struct rib_member *members, size_t n, uint64_t now_ms)
{
	const struct binding *b;
	uint8_t cursor = 0;

	while ((b = registry_binding_next(d->registry, &cursor))) {
		bool found = false;

		if (!b->named || strcmp(b->service, s->name) != 0)
			continue;
		for (size_t i = 0; i < n && !found; i++)
			found = members[i].ifindex == b->nexthop->ifindex &&
				ip_addr_equal(&members[i].gateway, &b->nexthop->gateway);
		if (!found) {
			struct ip_addr gateway = b->nexthop->gateway;

			registry_unname(d->registry, s->name, &gateway, b->nexthop->ifindex,
					now_ms);
		}
	}
}

/* Unpinned nexthops that no route names any more leave the list. */
static void unname_unpinned(struct daemon *d, const struct service *s,
			    const struct rib_member *members, size_t n, uint64_t now_ms)
{
	size_t count, i = 0;
	const struct unpinned *list = registry_unpinned(d->registry, &count);

	while (i < count) {
		struct ip_addr gateway = list[i].nexthop.addr;
		uint32_t ifindex = list[i].ifindex;
		size_t before = count;
		bool stays = strcmp(list[i].service, s->name) != 0;

		for (size_t k = 0; k < n && !stays; k++)
			stays = members[k].ifindex == ifindex &&
				ip_addr_equal(&members[k].gateway, &gateway);
		if (!stays)
			registry_unname(d->registry, s->name, &gateway, ifindex, now_ms);
		list = registry_unpinned(d->registry, &count);
		if (stays || count == before)
			i++;
	}
}

void members_apply(struct daemon *d, bool all)
{
	uint64_t now = clock_now_ms();
	bool changed = false;

	if (!d->ready)
		return;
	for (size_t i = 0; i < d->config->services.n; i++) {
		const struct service *s = &d->config->services.list[i];
		uint64_t version = rib_service_version(d->rib, i);
		const struct rib_member *members;
		size_t n;

		if (!all && version == d->rib_versions[i])
			continue;
		d->rib_versions[i] = version;
		changed = true;
		members = rib_service_members(d->rib, i, &n);
		/* Who comes is named before who goes is unnamed: a replacement is seen as one
		 * change. */
		reserve_busy_ids(d);
		for (size_t k = 0; k < n; k++)
			name_member(d, s, &members[k], now);
		unname_others(d, s, members, n, now);
		unname_unpinned(d, s, members, n, now);
	}
	if (changed) {
		intent_apply(d, now);
		sync_soon(d);
	}
}

int routes_open(struct daemon *d, struct err *e)
{
	static const unsigned groups[] = { RTNLGRP_LINK,	RTNLGRP_NEIGH,
					   RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
					   RTNLGRP_IPV4_ROUTE,	RTNLGRP_IPV6_ROUTE,
					   RTNLGRP_IPV4_RULE,	RTNLGRP_IPV6_RULE,
					   RTNLGRP_NEXTHOP };
	uint32_t bytes;
	int r;

	r = nl_open(NETLINK_ROUTE, &d->rt_monitor);
	if (r == 0)
		r = nl_open(NETLINK_ROUTE, &d->rt_request);
	if (r < 0)
		return err_set(e, r, "rtnetlink socket: %s", strerror(-r));
	nl_set_receive_buffer(d->rt_monitor, 8 * 1024 * 1024, &bytes);
	nl_set_receive_buffer(d->rt_request, 1024 * 1024, &bytes);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		r = nl_join(d->rt_monitor, groups[i]);
		if (r < 0)
			return err_set(e, r, "rtnetlink group %u: %s", groups[i], strerror(-r));
	}
	d->ev_rt = event_new(d->base, nl_fd(d->rt_monitor), EV_READ | EV_PERSIST, on_monitor, d);
	d->ev_redump = event_new(d->base, -1, 0, on_redump, d);
	if (!d->ev_rt || !d->ev_redump)
		return err_set(e, -ENOMEM, "out of memory");
	event_priority_set(d->ev_rt, PRIORITY_WORK);
	event_priority_set(d->ev_redump, PRIORITY_WORK);
	event_add(d->ev_rt, NULL);
	return 0;
}
