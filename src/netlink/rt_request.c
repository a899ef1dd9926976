// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/rt.h"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <string.h>

/* NETLINK_GET_STRICT_CHK wants the whole header of the family; each begins with one byte for it. */
static const struct {
	uint16_t type;
	size_t header;
} dump_headers[] = {
	{ RTM_GETLINK, sizeof(struct ifinfomsg) },    { RTM_GETADDR, sizeof(struct ifaddrmsg) },
	{ RTM_GETROUTE, sizeof(struct rtmsg) },	      { RTM_GETNEIGH, sizeof(struct ndmsg) },
	{ RTM_GETRULE, sizeof(struct fib_rule_hdr) }, { RTM_GETNEXTHOP, sizeof(struct nhmsg) },
};

struct nlmsghdr *rt_request_dump(void *buf, uint16_t type, uint8_t family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	size_t header = sizeof(struct rtgenmsg);
	uint8_t *body;

	for (size_t i = 0; i < ARRAY_SIZE(dump_headers); i++)
		if (dump_headers[i].type == type)
			header = dump_headers[i].header;
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	body = mnl_nlmsg_put_extra_header(nlh, header);
	*body = family;
	return nlh;
}

struct nlmsghdr *rt_request_route_dump(void *buf, uint8_t family, uint32_t table, uint8_t protocol)
{
	struct nlmsghdr *nlh = rt_request_dump(buf, RTM_GETROUTE, family);
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	rtm->rtm_protocol = protocol;
	if (table != 0)
		mnl_attr_put_u32(nlh, RTA_TABLE, table);
	return nlh;
}

/* A message under construction: `fits` turns false with the first thing that found no room. */
struct request {
	struct nlmsghdr *nlh;
	size_t size;
	bool fits;
};

static void put(struct request *q, uint16_t type, const void *data, size_t len)
{
	q->fits = q->fits && mnl_attr_put_check(q->nlh, q->size, type, len, data);
}

static void put_u8(struct request *q, uint16_t type, uint8_t value)
{
	put(q, type, &value, sizeof(value));
}

static void put_u16(struct request *q, uint16_t type, uint16_t value)
{
	put(q, type, &value, sizeof(value));
}

static void put_u32(struct request *q, uint16_t type, uint32_t value)
{
	put(q, type, &value, sizeof(value));
}

static void put_gateway(struct request *q, uint8_t family, const struct ip_addr *gateway)
{
	struct {
		uint16_t family;
		uint8_t addr[16];
	} via = { .family = gateway->family };

	if (gateway->family == 0)
		return;
	if (gateway->family == family) {
		put(q, RTA_GATEWAY, gateway->bytes, ip_addr_size(gateway));
		return;
	}
	memcpy(via.addr, gateway->bytes, ip_addr_size(gateway));
	put(q, RTA_VIA, &via, sizeof(via.family) + ip_addr_size(gateway));
}

static void put_encap(struct request *q, const struct route_nexthop *nh)
{
	if (nh->encap_type == 0)
		return;
	/* An encapsulation that was too long to be kept: without it the route would be another one.
	 */
	if (nh->encap_len == 0 || nh->encap_len > sizeof(nh->encap)) {
		q->fits = false;
		return;
	}
	put_u16(q, RTA_ENCAP_TYPE, nh->encap_type);
	put(q, RTA_ENCAP | NLA_F_NESTED, nh->encap, nh->encap_len);
}

static void put_multipath(struct request *q, const struct route *r)
{
	struct nlattr *nest =
		q->fits ? mnl_attr_nest_start_check(q->nlh, q->size, RTA_MULTIPATH) : NULL;

	q->fits = nest;
	for (size_t i = 0; q->fits && i < r->n_nexthops; i++) {
		const struct route_nexthop *nh = &r->nexthops[i];
		struct rtnexthop *hop = mnl_nlmsg_get_payload_tail(q->nlh);

		/* rtnh_hops is one byte; whoever copies a nexthop group with larger weights scales
		 * them first. */
		if (q->nlh->nlmsg_len + sizeof(*hop) > q->size || nh->weight > 256) {
			q->fits = false;
			return;
		}
		*hop = (struct rtnexthop){
			.rtnh_ifindex = (int)nh->ifindex,
			.rtnh_hops = (uint8_t)(nh->weight > 0 ? nh->weight - 1 : 0),
			.rtnh_flags = nh->onlink ? RTNH_F_ONLINK : 0,
		};
		q->nlh->nlmsg_len += sizeof(*hop);
		put_gateway(q, r->key.prefix.addr.family, &nh->gateway);
		put_encap(q, nh);
		hop->rtnh_len =
			(uint16_t)((char *)mnl_nlmsg_get_payload_tail(q->nlh) - (char *)hop);
	}
	if (q->fits)
		mnl_attr_nest_end(q->nlh, nest);
}

static uint8_t route_scope(const struct route *r, uint16_t type)
{
	/* A deletion finds the route whatever its scope. */
	if (type == RTM_DELROUTE)
		return RT_SCOPE_NOWHERE;
	if (r->type == RTN_LOCAL)
		return RT_SCOPE_HOST;
	if (r->type != RTN_UNICAST)
		return RT_SCOPE_UNIVERSE;
	for (size_t i = 0; i < r->n_nexthops; i++)
		if (r->nexthops[i].gateway.family != 0)
			return RT_SCOPE_UNIVERSE;
	return RT_SCOPE_LINK;
}

static void put_nexthops(struct request *q, struct rtmsg *rtm, const struct route *r)
{
	const struct route_nexthop *nh = r->nexthops;

	if (r->nh_id != 0) {
		put_u32(q, RTA_NH_ID, r->nh_id);
	} else if (r->n_nexthops > 1) {
		put_multipath(q, r);
	} else if (r->n_nexthops == 1) {
		if (nh->onlink)
			rtm->rtm_flags |= RTNH_F_ONLINK;
		put_gateway(q, r->key.prefix.addr.family, &nh->gateway);
		if (nh->ifindex != 0)
			put_u32(q, RTA_OIF, nh->ifindex);
		put_encap(q, nh);
	}
}

struct nlmsghdr *rt_request_route(void *buf, size_t size, uint16_t type, uint16_t flags,
				  const struct route *r)
{
	struct request q = { .nlh = mnl_nlmsg_put_header(buf), .size = size, .fits = true };
	struct rtmsg *rtm;

	q.nlh->nlmsg_type = type;
	q.nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	rtm = mnl_nlmsg_put_extra_header(q.nlh, sizeof(*rtm));
	rtm->rtm_family = r->key.prefix.addr.family;
	rtm->rtm_dst_len = r->key.prefix.len;
	rtm->rtm_tos = r->key.tos;
	rtm->rtm_protocol = r->protocol;
	rtm->rtm_type = r->type;
	rtm->rtm_scope = route_scope(r, type);
	put(&q, RTA_DST, r->key.prefix.addr.bytes, ip_addr_size(&r->key.prefix.addr));
	put_u32(&q, RTA_TABLE, r->key.table);
	put_u32(&q, RTA_PRIORITY, r->key.metric);
	if (r->mtu != 0 && type == RTM_NEWROUTE) {
		struct nlattr *nest = mnl_attr_nest_start_check(q.nlh, q.size, RTA_METRICS);

		q.fits = q.fits && nest;
		put_u32(&q, RTAX_MTU, r->mtu);
		if (q.fits)
			mnl_attr_nest_end(q.nlh, nest);
	}
	put_nexthops(&q, rtm, r);
	return q.fits ? q.nlh : NULL;
}

static void put_prefix(struct request *q, uint16_t type, const struct ip_prefix *p,
		       uint8_t *ret_len)
{
	if (p->addr.family == 0)
		return;
	*ret_len = p->len;
	put(q, type, p->addr.bytes, ip_addr_size(&p->addr));
}

static void put_name(struct request *q, uint16_t type, const char *name)
{
	if (name[0] != '\0')
		put(q, type, name, strlen(name) + 1);
}

struct nlmsghdr *rt_request_rule(void *buf, uint16_t type, uint16_t flags, const struct rule *r)
{
	struct request q = { .nlh = mnl_nlmsg_put_header(buf),
			     .size = (size_t)MNL_SOCKET_BUFFER_SIZE,
			     .fits = true };
	struct fib_rule_hdr *frh;

	q.nlh->nlmsg_type = type;
	q.nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	frh = mnl_nlmsg_put_extra_header(q.nlh, sizeof(*frh));
	frh->family = r->family;
	frh->action = r->action;
	put_prefix(&q, FRA_DST, &r->dst, &frh->dst_len);
	put_prefix(&q, FRA_SRC, &r->src, &frh->src_len);
	put_u32(&q, FRA_PRIORITY, r->priority);
	put_u8(&q, FRA_PROTOCOL, r->protocol);
	put_name(&q, FRA_IIFNAME, r->iif);
	put_name(&q, FRA_OIFNAME, r->oif);
	if (r->action == FR_ACT_TO_TBL)
		put_u32(&q, FRA_TABLE, r->table);
	if (r->action == FR_ACT_GOTO)
		put_u32(&q, FRA_GOTO, r->target);
	if (r->has_mark) {
		put_u32(&q, FRA_FWMARK, r->mark);
		put_u32(&q, FRA_FWMASK, r->mark_mask);
	}
	if (r->suppress_prefixlen >= 0)
		put_u32(&q, FRA_SUPPRESS_PREFIXLEN, (uint32_t)r->suppress_prefixlen);
	if (r->ip_proto != 0)
		put_u8(&q, FRA_IP_PROTO, r->ip_proto);
	if (r->dport_last != 0) {
		struct fib_rule_port_range range = { r->dport_first, r->dport_last };

		put(&q, FRA_DPORT_RANGE, &range, sizeof(range));
	}
	return q.fits ? q.nlh : NULL;
}

static struct nlmsghdr *neighbour_request(void *buf, uint32_t ifindex, const struct ip_addr *addr,
					  uint16_t state, uint8_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm;

	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = addr->family;
	ndm->ndm_ifindex = (int)ifindex;
	ndm->ndm_state = state;
	ndm->ndm_flags = flags;
	mnl_attr_put(nlh, NDA_DST, ip_addr_size(addr), addr->bytes);
	return nlh;
}

struct nlmsghdr *rt_request_neighbour_probe(void *buf, const struct neighbour *n)
{
	/* Without NLM_F_CREATE: an entry that went away meanwhile is not made anew in a state that
	 * it never had. */
	struct nlmsghdr *nlh = neighbour_request(buf, n->ifindex, &n->addr, NUD_PROBE, n->flags);

	nlh->nlmsg_flags |= NLM_F_REPLACE;
	if (n->lladdr_len > 0)
		mnl_attr_put(nlh, NDA_LLADDR, n->lladdr_len, n->lladdr);
	if (n->ext_flags != 0)
		mnl_attr_put_u32(nlh, NDA_FLAGS_EXT, n->ext_flags);
	if (n->protocol != 0)
		mnl_attr_put_u8(nlh, NDA_PROTOCOL, n->protocol);
	return nlh;
}

struct nlmsghdr *rt_request_neighbour_use(void *buf, uint32_t ifindex, const struct ip_addr *addr)
{
	struct nlmsghdr *nlh = neighbour_request(buf, ifindex, addr, NUD_NONE, NTF_USE);

	nlh->nlmsg_flags |= NLM_F_CREATE;
	return nlh;
}

bool neighbour_probeable(const struct neighbour *n)
{
	return n->state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY) &&
	       !(n->state & (NUD_NOARP | NUD_PERMANENT)) &&
	       !(n->flags & (NTF_EXT_LEARNED | NTF_PROXY));
}
