// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/liveness.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/netstate.h"
#include "daemon/sync.h"
#include "netlink/rt.h"

static void registry_soon(struct daemon *d)
{
	struct timeval tv = { 0 };
	uint64_t wait = registry_tick(d->registry, clock_now_ms());

	if (registry_version(d->registry) != d->registry_synced)
		sync_soon(d);
	if (wait == UINT64_MAX)
		return;
	if (wait < 10)
		wait = 10;
	tv.tv_sec = (time_t)(wait / 1000);
	tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	event_add(d->ev_registry, &tv);
}

static void on_registry(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	registry_soon(arg);
}

void liveness_neighbour(struct daemon *d, const struct neighbour *n, bool gone)
{
	/* What a state of the neighbour entry tells; states that tell nothing (STALE, DELAY) are
	 * not in the table. */
	static const struct {
		uint16_t states;
		enum nexthop_event event;
	} meanings[] = {
		{ NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP, NEXTHOP_CONFIRMED },
		{ NUD_PROBE | NUD_INCOMPLETE, NEXTHOP_PROBED },
		{ NUD_FAILED, NEXTHOP_NO_ANSWER },
	};

	if (gone)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (n->state & meanings[i].states)
			registry_observe(d->registry, &n->addr, n->ifindex, meanings[i].event,
					 clock_now_ms());
	registry_soon(d);
}

void liveness_link(struct daemon *d, const struct link *l)
{
	registry_observe(d->registry, NULL, l->ifindex,
			 l->up && l->carrier ? NEXTHOP_LINK_UP : NEXTHOP_LINK_DOWN, clock_now_ms());
	registry_soon(d);
}

static int on_neighbour(const struct nlmsghdr *nlh, void *arg)
{
	netstate_apply(arg, nlh);
	return 0;
}

void liveness_new_nexthop(struct daemon *d, const struct ip_addr *gateway, uint32_t ifindex)
{
	const struct link *link = netstate_link(d, ifindex);
	char buf[NL_REQUEST_MAX];

	if (link)
		liveness_link(d, link);
	/* Its neighbour entry may have stood for long: a dump brings it into the cache. */
	if (gateway->family)
		nl_dump(d->rt_request, rt_request_dump(buf, RTM_GETNEIGH, gateway->family),
			on_neighbour, NULL, d, NULL);
}

/* An entry that is being asked for already, or that cannot be asked, gets no request. */
static struct nlmsghdr *probe_request(struct daemon *d, const struct nexthop *nh, void *buf)
{
	const struct neighbour *n = netstate_neighbour(d, nh->ifindex, &nh->gateway);
	const struct link *link = netstate_link(d, nh->ifindex);

	if (!link || !link->up || link->noarp || link->pointopoint)
		return NULL;
	if (!n || n->state == NUD_NONE || (n->state & NUD_FAILED))
		return rt_request_neighbour_use(buf, nh->ifindex, &nh->gateway);
	return neighbour_probeable(n) ? rt_request_neighbour_probe(buf, n) : NULL;
}

static void on_answer(size_t index _unused_, const struct nlmsghdr *nlh _unused_, int code _unused_,
		      const struct err *e _unused_, void *arg _unused_)
{
	/* An entry may change between our look and the request: the next round asks again. */
}

static void on_probe(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct daemon *d = arg;
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *pipeline = NULL;
	struct timeval tv = { .tv_sec = d->config->liveness.probe_interval_ms / 1000,
			      .tv_usec = d->config->liveness.probe_interval_ms % 1000 * 1000 };
	char buf[NL_REQUEST_MAX];
	const struct nexthop *nh;
	size_t cursor = 0;

	event_add(d->ev_probe, &tv);
	if (nl_pipeline_new(d->rt_probe, &pipeline) < 0)
		return;
	while ((nh = registry_nexthop_next(d->registry, &cursor))) {
		struct nlmsghdr *request;

		if (!nh->gateway.family)
			continue;
		request = probe_request(d, nh, buf);
		if (request && nl_pipeline_add(pipeline, request) < 0)
			return;
	}
	if (nl_pipeline_count(pipeline) > 0)
		nl_pipeline_run(pipeline, on_answer, d, NULL);
	registry_soon(d);
}

int liveness_open(struct daemon *d, struct err *e)
{
	struct timeval now = { 0 };
	int r;

	r = nl_open(NETLINK_ROUTE, &d->rt_probe);
	if (r < 0)
		return err_set(e, r, "rtnetlink socket: %s", strerror(-r));
	d->ev_probe = event_new(d->base, -1, 0, on_probe, d);
	d->ev_registry = event_new(d->base, -1, 0, on_registry, d);
	if (!d->ev_probe || !d->ev_registry)
		return err_set(e, -ENOMEM, "out of memory");
	event_priority_set(d->ev_probe, PRIORITY_WORK);
	event_priority_set(d->ev_registry, PRIORITY_WORK);
	event_add(d->ev_probe, &now);
	return 0;
}
