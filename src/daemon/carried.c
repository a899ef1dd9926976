// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/carried.h"

#include <sys/socket.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/flows.h"
#include "daemon/liveness.h"
#include "daemon/netstate.h"

/* Marks that came with another gateway's conntrack entries. The configuration says which nexthop
 * has the number; that no route here names it (any more) must not cost it its flows. */

/* 0 where the machine has no connected prefix, or no such interface, for it. */
static uint32_t interface_of(const struct daemon *d, const struct nexthop_spec *spec)
{
	const struct link *link;
	uint32_t ifindex = 0;
	unsigned best = 0;

	if (spec->ifname[0]) {
		link = netstate_link_by_name(d, spec->ifname);
		return link ? link->ifindex : 0;
	}
	for (size_t i = 0; i < d->addresses.n; i++) {
		const struct address *a = &d->addresses.list[i];

		if (ip_prefix_contains_addr(&a->prefix, &spec->addr) &&
		    (!ifindex || a->prefix.len > best)) {
			ifindex = a->ifindex;
			best = a->prefix.len;
		}
	}
	return ifindex;
}

/* The families of the flows that carry the mark (bit 0 IPv4, bit 1 IPv6): IPv4 may go through an
 * IPv6 nexthop. */
static uint8_t families_of(const struct daemon *d, uint8_t id, const struct ip_addr *gateway)
{
	const struct flow *f;
	uint8_t families = 0;
	uint32_t cursor = 0;

	if (gateway->family == AF_INET)
		return 1;
	while (families != 3 && (f = flow_table_next(d->flows, &cursor)))
		if (f->binding == id && !(f->flags & FLOW_GRAVE))
			families |= f->tuple.family == AF_INET6 ? 2 : 1;
	return families;
}

static void adopt(struct daemon *d, const struct service *s, const struct service_id *fixed)
{
	const struct nexthop_spec *spec = &fixed->nexthop;
	uint32_t ifindex = interface_of(d, spec);
	const struct link *link = netstate_link(d, ifindex);
	struct nexthop_attributes a = { 0 };
	char text[NEXTHOP_TEXT];

	if (!link)
		return;
	a.families = families_of(d, fixed->id, &spec->addr);
	if (!a.families || registry_adopt(d->registry, s, &spec->addr, ifindex, link->name, &a,
					  fixed->id, clock_now_ms()) < 0)
		return;
	liveness_new_nexthop(d, &spec->addr, ifindex);
	carried_count(d, fixed->id);
	log_notice("service %s: %s is taken over with id %u: no route names it, and %u conntrack "
		   "entries carry its mark",
		   s->name, nexthop_spec_format(spec, text), fixed->id, d->id_flows[fixed->id]);
}

void carried_adopt(struct daemon *d)
{
	for (size_t i = 0; i < d->config->services.n; i++) {
		const struct service *s = &d->config->services.list[i];

		for (size_t k = 0; k < s->n_ids; k++)
			if (d->id_flows[s->ids[k].id] > 0 &&
			    !registry_binding(d->registry, s->ids[k].id))
				adopt(d, s, &s->ids[k]);
	}
}

void carried_count(struct daemon *d, uint8_t id)
{
	registry_flow_count(d->registry, id, (int32_t)d->id_flows[id], clock_now_ms());
}
