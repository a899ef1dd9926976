// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nf_conntrack_sctp.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include "netlink/ct.h"

static struct nf_conntrack *conntrack_free(struct nf_conntrack *ct)
{
	if (ct)
		nfct_destroy(ct);
	return NULL;
}
DEFINE_FREEP(struct nf_conntrack, conntrack_free)

static struct nlmsghdr *put_header(void *buf, uint8_t message, uint8_t family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | message);
	nlh->nlmsg_flags = NLM_F_REQUEST;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	return nlh;
}

static void set_addresses(struct nf_conntrack *ct, const struct tuple *t)
{
	bool v4 = t->family == AF_INET;

	nfct_set_attr(ct, v4 ? ATTR_ORIG_IPV4_SRC : ATTR_ORIG_IPV6_SRC, t->src);
	nfct_set_attr(ct, v4 ? ATTR_ORIG_IPV4_DST : ATTR_ORIG_IPV6_DST, t->dst);
}

static struct nlmsghdr *put_tuple(void *buf, uint8_t message, const struct tuple *t)
{
	_cleanup_(conntrack_freep) struct nf_conntrack *ct = nfct_new();
	struct nlmsghdr *nlh;

	if (!ct)
		return NULL;
	nfct_set_attr_u8(ct, ATTR_ORIG_L3PROTO, t->family);
	nfct_set_attr_u8(ct, ATTR_ORIG_L4PROTO, t->proto);
	set_addresses(ct, t);
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_SRC, htons(t->sport));
	nfct_set_attr_u16(ct, ATTR_ORIG_PORT_DST, htons(t->dport));
	if (t->zone != 0)
		nfct_set_attr_u16(ct, ATTR_ZONE, t->zone);
	nlh = put_header(buf, message, t->family);
	return nfct_nlmsg_build(nlh, ct) < 0 ? NULL : nlh;
}

struct nlmsghdr *ct_request_dump(void *buf, uint32_t mark, uint32_t mask)
{
	struct nlmsghdr *nlh = put_header(buf, IPCTNL_MSG_CT_GET, AF_UNSPEC);

	if (mask != 0) {
		mnl_attr_put_u32(nlh, CTA_MARK, htonl(mark & mask));
		mnl_attr_put_u32(nlh, CTA_MARK_MASK, htonl(mask));
	}
	return nlh;
}

struct nlmsghdr *ct_request_get(void *buf, const struct tuple *t)
{
	return put_tuple(buf, IPCTNL_MSG_CT_GET, t);
}

struct nlmsghdr *ct_request_delete(void *buf, const struct tuple *t)
{
	return put_tuple(buf, IPCTNL_MSG_CT_DELETE, t);
}

struct nlmsghdr *ct_request_set_mark(void *buf, const struct tuple *t, uint32_t mark, uint32_t mask)
{
	struct nlmsghdr *nlh = put_tuple(buf, IPCTNL_MSG_CT_NEW, t);

	if (!nlh)
		return NULL;
	/* The kernel computes (old & ~mask) ^ mark: bits of `mark` outside the mask would flip. */
	mnl_attr_put_u32(nlh, CTA_MARK, htonl(mark & mask));
	mnl_attr_put_u32(nlh, CTA_MARK_MASK, htonl(mask));
	return nlh;
}

struct nlmsghdr *ct_request_touch(void *buf, const struct tuple *t, uint32_t timeout_s)
{
	struct nlmsghdr *nlh = put_tuple(buf, IPCTNL_MSG_CT_NEW, t);

	if (nlh)
		mnl_attr_put_u32(nlh, CTA_TIMEOUT, htonl(timeout_s));
	return nlh;
}

/* The side that answers: addresses and ports the other way round. */
static void put_reply(struct nlmsghdr *nlh, const struct tuple *t)
{
	bool v4 = t->family == AF_INET;
	size_t size = v4 ? 4 : 16;
	struct nlattr *tuple = mnl_attr_nest_start(nlh, CTA_TUPLE_REPLY), *part;

	part = mnl_attr_nest_start(nlh, CTA_TUPLE_IP);
	mnl_attr_put(nlh, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, size, t->dst);
	mnl_attr_put(nlh, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, size, t->src);
	mnl_attr_nest_end(nlh, part);
	part = mnl_attr_nest_start(nlh, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(nlh, CTA_PROTO_NUM, t->proto);
	mnl_attr_put_u16(nlh, CTA_PROTO_SRC_PORT, htons(t->dport));
	mnl_attr_put_u16(nlh, CTA_PROTO_DST_PORT, htons(t->sport));
	mnl_attr_nest_end(nlh, part);
	mnl_attr_nest_end(nlh, tuple);
}

/* The kernel makes no entry of TCP without a state; liberal, since the numbers of its windows are
 * not known. */
static void put_tcp(struct nlmsghdr *nlh)
{
	const struct nf_ct_tcp_flags flags = { .flags = IP_CT_TCP_FLAG_BE_LIBERAL,
					       .mask = IP_CT_TCP_FLAG_BE_LIBERAL };
	struct nlattr *info = mnl_attr_nest_start(nlh, CTA_PROTOINFO);
	struct nlattr *tcp = mnl_attr_nest_start(nlh, CTA_PROTOINFO_TCP);

	mnl_attr_put_u8(nlh, CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
	mnl_attr_put(nlh, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(flags), &flags);
	mnl_attr_put(nlh, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(flags), &flags);
	mnl_attr_nest_end(nlh, tcp);
	mnl_attr_nest_end(nlh, info);
}

static void put_sctp(struct nlmsghdr *nlh)
{
	struct nlattr *info = mnl_attr_nest_start(nlh, CTA_PROTOINFO);
	struct nlattr *sctp = mnl_attr_nest_start(nlh, CTA_PROTOINFO_SCTP);

	mnl_attr_put_u8(nlh, CTA_PROTOINFO_SCTP_STATE, SCTP_CONNTRACK_ESTABLISHED);
	mnl_attr_put_u32(nlh, CTA_PROTOINFO_SCTP_VTAG_ORIGINAL, 0);
	mnl_attr_put_u32(nlh, CTA_PROTOINFO_SCTP_VTAG_REPLY, 0);
	mnl_attr_nest_end(nlh, sctp);
	mnl_attr_nest_end(nlh, info);
}

struct nlmsghdr *ct_request_create(void *buf, const struct tuple *t, uint32_t mark, uint32_t mask,
				   uint32_t timeout_s)
{
	struct nlmsghdr *nlh = put_tuple(buf, IPCTNL_MSG_CT_NEW, t);

	if (!nlh)
		return NULL;
	nlh->nlmsg_flags |= NLM_F_CREATE;
	put_reply(nlh, t);
	if (t->proto == IPPROTO_TCP)
		put_tcp(nlh);
	else if (t->proto == IPPROTO_SCTP)
		put_sctp(nlh);
	mnl_attr_put_u32(nlh, CTA_TIMEOUT, htonl(timeout_s));
	mnl_attr_put_u32(nlh, CTA_MARK, htonl(mark & mask));
	mnl_attr_put_u32(nlh, CTA_MARK_MASK, htonl(mask));
	return nlh;
}
