// SPDX-License-Identifier: GPL-2.0-or-later
/* Routes, neighbours and MAC addresses of the kernel, by netlink. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plane.h"
#include "sim.h"

struct request {
	struct nlmsghdr header;
	union {
		struct rtmsg route;
		struct ndmsg neighbour;
	};
	char attributes[256];
};

typedef void message_function(struct dataplane *dp, const struct nlmsghdr *h, void *context);

int kernel_open(struct dataplane *dp)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct timeval patience = { 2, 0 };
	int strict = 1;

	dp->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (dp->netlink < 0 || bind(dp->netlink, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	setsockopt(dp->netlink, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict));
	setsockopt(dp->netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return 0;
}

static void put_attribute(struct request *r, unsigned short type, const void *data, size_t size)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(a), data, size);
	r->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

/* Sends a request and hands every message of the answer to the function. */
static int talk(struct dataplane *dp, struct request *r, message_function *each, void *context)
{
	_Alignas(struct nlmsghdr) char buffer[65536];
	bool dump = (r->header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;

	r->header.nlmsg_seq = ++dp->netlink_serial;
	r->header.nlmsg_flags |= NLM_F_REQUEST;
	if (send(dp->netlink, r, r->header.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(dp->netlink, buffer, sizeof(buffer), 0);

		if (n < 0)
			return -errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, n);
		     h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_seq != dp->netlink_serial)
				continue;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (each)
				each(dp, h, context);
			if (!dump)
				return 0;
		}
	}
}

static void parse(struct rtattr *table[], unsigned short max, struct rtattr *a, int length)
{
	memset(table, 0, (max + 1u) * sizeof(*table));
	for (; RTA_OK(a, length); a = RTA_NEXT(a, length)) {
		if ((a->rta_type & NLA_TYPE_MASK) <= max)
			table[a->rta_type & NLA_TYPE_MASK] = a;
	}
}

static void interface_name(const struct dataplane *dp, unsigned index, char ret[NAME_SIZE])
{
	char dev[IF_NAMESIZE] = "";
	const struct interface *i =
		if_indextoname(index, dev) ? interface_by_dev(&dp->sim->tables, dev) : NULL;

	set_text(ret, NAME_SIZE, i ? i->name : dev);
}

static void fill_via(const struct dataplane *dp, struct via *via, int family, unsigned index,
		     struct rtattr *a[], long weight)
{
	*via = (struct via){ .weight = weight };
	interface_name(dp, index, via->interface);
	if (a[RTA_GATEWAY])
		address_text(family, RTA_DATA(a[RTA_GATEWAY]), via->nexthop);
	else if (a[RTA_VIA])
		address_text(((struct rtvia *)RTA_DATA(a[RTA_VIA]))->rtvia_family,
			     ((struct rtvia *)RTA_DATA(a[RTA_VIA]))->rtvia_addr, via->nexthop);
}

static void fill_multipath(const struct dataplane *dp, struct route *route,
			   struct rtattr *multipath)
{
	struct rtnexthop *hop = RTA_DATA(multipath);
	int left = (int)RTA_PAYLOAD(multipath);

	while (left >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) &&
	       hop->rtnh_len <= left && route->n < VIA_MAX) {
		struct rtattr *a[RTA_MAX + 1];

		parse(a, RTA_MAX, RTNH_DATA(hop), hop->rtnh_len - (int)sizeof(*hop));
		if (!(hop->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)))
			fill_via(dp, &route->vias[route->n++], route->family,
				 (unsigned)hop->rtnh_ifindex, a, hop->rtnh_hops + 1);
		left -= RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

static void take_route(struct dataplane *dp, const struct nlmsghdr *h, void *context)
{
	const struct rtmsg *m = NLMSG_DATA(h);
	struct rtattr *a[RTA_MAX + 1];
	struct route *route = context;
	char text[NAME_SIZE];

	if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_type != RTN_UNICAST)
		return;
	parse(a, RTA_MAX, RTM_RTA(m), (int)RTM_PAYLOAD(h));
	route->length = m->rtm_dst_len;
	if (a[RTA_DST])
		memcpy(route->address, RTA_DATA(a[RTA_DST]), RTA_PAYLOAD(a[RTA_DST]));
	address_text(route->family, route->address, text);
	snprintf(route->prefix, sizeof(route->prefix), "%.50s/%ld", text, route->length);
	set_text(route->type, sizeof(route->type),
		 m->rtm_protocol == RTPROT_KERNEL   ? "connected"
		 : m->rtm_protocol <= RTPROT_STATIC ? "static"
						    : "eBGP");
	if (a[RTA_MULTIPATH])
		fill_multipath(dp, route, a[RTA_MULTIPATH]);
	else if (a[RTA_OIF])
		fill_via(dp, &route->vias[route->n++], route->family,
			 *(unsigned *)RTA_DATA(a[RTA_OIF]), a, 1);
}

static struct request route_request(int family, const uint8_t address[16], unsigned flags)
{
	size_t size = family == AF_INET ? 4 : 16;
	struct request r = { .header = { .nlmsg_type = RTM_GETROUTE,
					 .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)) } };

	r.route.rtm_family = (unsigned char)family;
	r.route.rtm_dst_len = (unsigned char)(8 * size);
	r.route.rtm_flags = flags;
	put_attribute(&r, RTA_DST, address, size);
	return r;
}

int kernel_route(struct dataplane *dp, int family, const uint8_t address[16],
		 struct route *ret_route)
{
	struct request r = route_request(family, address, RTM_F_FIB_MATCH);
	struct route route = { .family = family };
	int error = talk(dp, &r, take_route, &route);

	if (error == 0 && route.n == 0)
		error = -ENETUNREACH;
	if (error == 0)
		*ret_route = route;
	return error;
}

int kernel_path(struct dataplane *dp, const struct path_query *q, struct via *ret_via)
{
	struct request r = route_request(q->family, q->dst, 0);
	const struct interface *in = interface_find(&dp->sim->tables, q->ingress);
	unsigned index = in && *in->dev ? if_nametoindex(in->dev) : 0;
	uint16_t sport = htons((uint16_t)q->sport), dport = htons((uint16_t)q->dport);
	uint8_t protocol = (uint8_t)q->protocol;
	struct route route = { .family = q->family };
	size_t size = q->family == AF_INET ? 4 : 16;
	int error;

	r.route.rtm_src_len = (unsigned char)(8 * size);
	put_attribute(&r, RTA_SRC, q->src, size);
	if (index)
		put_attribute(&r, RTA_IIF, &index, sizeof(index));
	put_attribute(&r, RTA_IP_PROTO, &protocol, sizeof(protocol));
	put_attribute(&r, RTA_SPORT, &sport, sizeof(sport));
	put_attribute(&r, RTA_DPORT, &dport, sizeof(dport));
	error = talk(dp, &r, take_route, &route);
	if (error == 0 && route.n == 0)
		error = -ENETUNREACH;
	if (error == 0)
		*ret_via = route.vias[0];
	return error;
}

static void take_neighbour(struct dataplane *dp, const struct nlmsghdr *h, void *context)
{
	const struct ndmsg *m = NLMSG_DATA(h);
	struct rtattr *a[NDA_MAX + 1];
	struct tables *t = context;
	struct neighbour *n;

	parse(a, NDA_MAX, (struct rtattr *)((char *)m + NLMSG_ALIGN(sizeof(*m))),
	      (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m))));
	if (!a[NDA_DST] || !a[NDA_LLADDR] || RTA_PAYLOAD(a[NDA_LLADDR]) != 6 ||
	    !(m->ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)))
		return;
	n = need(calloc(1, sizeof(*n)));
	address_text(m->ndm_family, RTA_DATA(a[NDA_DST]), n->address);
	interface_name(dp, (unsigned)m->ndm_ifindex, n->interface);
	memcpy(n->mac, RTA_DATA(a[NDA_LLADDR]), 6);
	n->next = t->neighbours;
	t->neighbours = n;
}

static void dump_neighbours(struct dataplane *dp, int family, message_function *each, void *context)
{
	struct request r = { .header = { .nlmsg_type = RTM_GETNEIGH,
					 .nlmsg_flags = NLM_F_DUMP,
					 .nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)) } };

	r.neighbour.ndm_family = (unsigned char)family;
	talk(dp, &r, each, context);
}

void kernel_read_neighbours(struct dataplane *dp, struct tables *t)
{
	while (t->neighbours) {
		struct neighbour *n = t->neighbours;

		t->neighbours = n->next;
		free(n);
	}
	dump_neighbours(dp, AF_INET, take_neighbour, t);
	dump_neighbours(dp, AF_INET6, take_neighbour, t);
}

static void take_mac(struct dataplane *dp, const struct nlmsghdr *h, void *context)
{
	const struct ndmsg *m = NLMSG_DATA(h);
	struct rtattr *a[NDA_MAX + 1];
	struct tables *t = context;
	struct mac_entry *e;
	char name[NAME_SIZE];

	parse(a, NDA_MAX, (struct rtattr *)((char *)m + NLMSG_ALIGN(sizeof(*m))),
	      (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m))));
	if (m->ndm_state & NUD_PERMANENT || !a[NDA_LLADDR])
		return;
	e = need(calloc(1, sizeof(*e)));
	interface_name(dp, (unsigned)m->ndm_ifindex, name);
	set_text(e->interface, sizeof(e->interface), name);
	memcpy(e->mac, RTA_DATA(a[NDA_LLADDR]), 6);
	const struct interface *i = interface_find(&dp->sim->tables, name);

	e->vlan = i && i->vlan ? i->vlan : a[NDA_VLAN] ? *(uint16_t *)RTA_DATA(a[NDA_VLAN]) : 1;
	e->next = t->macs;
	t->macs = e;
}

void kernel_read_macs(struct dataplane *dp, struct tables *t)
{
	while (t->macs) {
		struct mac_entry *e = t->macs;

		t->macs = e->next;
		free(e);
	}
	dump_neighbours(dp, AF_BRIDGE, take_mac, t);
}

void kernel_use_neighbour(struct dataplane *dp, int family, const uint8_t address[16])
{
	struct route *route = need(calloc(1, sizeof(*route)));
	const struct interface *i;
	unsigned index = 0;

	if (kernel_route(dp, family, address, route) == 0 && route->n > 0) {
		i = interface_find(&dp->sim->tables, route->vias[0].interface);
		index = if_nametoindex(i ? i->dev : route->vias[0].interface);
	}
	free(route);
	if (!index)
		return;

	struct request r = { .header = { .nlmsg_type = RTM_NEWNEIGH,
					 .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK,
					 .nlmsg_len = NLMSG_LENGTH(sizeof(struct ndmsg)) } };

	r.neighbour.ndm_family = (unsigned char)family;
	r.neighbour.ndm_ifindex = (int)index;
	r.neighbour.ndm_flags = NTF_USE;
	put_attribute(&r, NDA_DST, address, family == AF_INET ? 4 : 16);
	talk(dp, &r, NULL, NULL);
}
