// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/ct.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

static const struct nl_attr_policy entry_policy[] = {
	[CTA_TUPLE_ORIG] = { NL_ATTR_NESTED, 0, 0 },
	[CTA_TUPLE_REPLY] = { NL_ATTR_NESTED, 0, 0 },
	[CTA_STATUS] = { NL_ATTR_U32, 0, 0 },
	[CTA_PROTOINFO] = { NL_ATTR_NESTED, 0, 0 },
	[CTA_TIMEOUT] = { NL_ATTR_U32, 0, 0 },
	[CTA_MARK] = { NL_ATTR_U32, 0, 0 },
	[CTA_COUNTERS_ORIG] = { NL_ATTR_NESTED, 0, 0 },
	[CTA_COUNTERS_REPLY] = { NL_ATTR_NESTED, 0, 0 },
	[CTA_ID] = { NL_ATTR_U32, 0, 0 },
	[CTA_ZONE] = { NL_ATTR_U16, 0, 0 },
};

static const struct nl_attr_policy tuple_policy[] = {
	[CTA_TUPLE_IP] = { NL_ATTR_NESTED, 0, 0 },
	[CTA_TUPLE_PROTO] = { NL_ATTR_NESTED, 0, 0 },
	[CTA_TUPLE_ZONE] = { NL_ATTR_U16, 0, 0 },
};

static const struct nl_attr_policy ip_policy[] = {
	[CTA_IP_V4_SRC] = { NL_ATTR_BINARY, 4, 4 },
	[CTA_IP_V4_DST] = { NL_ATTR_BINARY, 4, 4 },
	[CTA_IP_V6_SRC] = { NL_ATTR_BINARY, 16, 16 },
	[CTA_IP_V6_DST] = { NL_ATTR_BINARY, 16, 16 },
};

static const struct nl_attr_policy proto_policy[] = {
	[CTA_PROTO_NUM] = { NL_ATTR_U8, 0, 0 },
	[CTA_PROTO_SRC_PORT] = { NL_ATTR_U16, 0, 0 },
	[CTA_PROTO_DST_PORT] = { NL_ATTR_U16, 0, 0 },
};

static const struct nl_attr_policy counters_policy[] = {
	[CTA_COUNTERS_PACKETS] = { NL_ATTR_U64, 0, 0 },
	[CTA_COUNTERS_BYTES] = { NL_ATTR_U64, 0, 0 },
};

static const struct nl_attr_policy protoinfo_policy[] = {
	[CTA_PROTOINFO_TCP] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy tcp_policy[] = {
	[CTA_PROTOINFO_TCP_STATE] = { NL_ATTR_U8, 0, 0 },
};

static const bool proto_has_ports[UINT8_MAX + 1] = {
	[IPPROTO_TCP] = true,  [IPPROTO_UDP] = true,	 [IPPROTO_SCTP] = true,
	[IPPROTO_DCCP] = true, [IPPROTO_UDPLITE] = true,
};

static int parse_nested(const struct nlattr *nest, const struct nl_attr_policy *policy,
			const struct nlattr **tb, size_t n)
{
	return nl_attr_parse(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), policy, tb,
			     n);
}

static uint16_t get_be16(const struct nlattr *attr)
{
	return ntohs(mnl_attr_get_u16(attr));
}

static uint32_t get_be32(const struct nlattr *attr)
{
	return ntohl(mnl_attr_get_u32(attr));
}

/* `t` has its family, which says which pair of addresses must be there. */
static int decode_addresses(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *tb[ARRAY_SIZE(ip_policy)];
	bool v4 = t->family == AF_INET;
	const struct nlattr *src, *dst;
	size_t size = v4 ? 4 : 16;
	int r;

	r = parse_nested(nest, ip_policy, tb, ARRAY_SIZE(tb));
	if (r < 0)
		return r;
	src = tb[v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC];
	dst = tb[v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST];
	if (!src || !dst)
		return -EBADMSG;
	memcpy(t->src, mnl_attr_get_payload(src), size);
	memcpy(t->dst, mnl_attr_get_payload(dst), size);
	return 0;
}

static int decode_ports(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *tb[ARRAY_SIZE(proto_policy)];
	int r;

	r = parse_nested(nest, proto_policy, tb, ARRAY_SIZE(tb));
	if (r < 0)
		return r;
	if (!tb[CTA_PROTO_NUM])
		return -EBADMSG;
	t->proto = mnl_attr_get_u8(tb[CTA_PROTO_NUM]);
	if (!proto_has_ports[t->proto])
		return -EPROTONOSUPPORT;
	if (!tb[CTA_PROTO_SRC_PORT] || !tb[CTA_PROTO_DST_PORT])
		return -EBADMSG;
	t->sport = get_be16(tb[CTA_PROTO_SRC_PORT]);
	t->dport = get_be16(tb[CTA_PROTO_DST_PORT]);
	return 0;
}

static int decode_tuple(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *tb[ARRAY_SIZE(tuple_policy)];
	int r;

	r = parse_nested(nest, tuple_policy, tb, ARRAY_SIZE(tb));
	if (r < 0)
		return r;
	if (!tb[CTA_TUPLE_IP] || !tb[CTA_TUPLE_PROTO])
		return -EBADMSG;
	/* A zone of one direction only stands here instead of in CTA_ZONE. */
	if (tb[CTA_TUPLE_ZONE])
		t->zone = get_be16(tb[CTA_TUPLE_ZONE]);
	r = decode_ports(tb[CTA_TUPLE_PROTO], t);
	if (r < 0)
		return r;
	return decode_addresses(tb[CTA_TUPLE_IP], t);
}

static bool is_inverse(const struct tuple *a, const struct tuple *b)
{
	return a->sport == b->dport && a->dport == b->sport && a->proto == b->proto &&
	       memcmp(a->src, b->dst, sizeof(a->src)) == 0 &&
	       memcmp(a->dst, b->src, sizeof(a->dst)) == 0;
}

static int decode_tuples(const struct nlattr *const *tb, uint8_t family, struct ct_entry *e)
{
	struct tuple reply = { .family = family };
	int r;

	e->tuple.family = family;
	if (!tb[CTA_TUPLE_ORIG])
		return -EBADMSG;
	r = decode_tuple(tb[CTA_TUPLE_ORIG], &e->tuple);
	if (r < 0)
		return r;
	if (tb[CTA_ZONE])
		e->tuple.zone = get_be16(tb[CTA_ZONE]);
	if (!tb[CTA_TUPLE_REPLY])
		return 0;
	r = decode_tuple(tb[CTA_TUPLE_REPLY], &reply);
	if (r < 0)
		return r;
	e->nat = !is_inverse(&e->tuple, &reply);
	return 0;
}

static int decode_counters(const struct nlattr *nest, struct ct_entry *e)
{
	const struct nlattr *tb[ARRAY_SIZE(counters_policy)];
	int r;

	r = parse_nested(nest, counters_policy, tb, ARRAY_SIZE(tb));
	if (r < 0)
		return r;
	if (tb[CTA_COUNTERS_PACKETS])
		e->packets += be64toh(mnl_attr_get_u64(tb[CTA_COUNTERS_PACKETS]));
	if (tb[CTA_COUNTERS_BYTES])
		e->bytes += be64toh(mnl_attr_get_u64(tb[CTA_COUNTERS_BYTES]));
	return 0;
}

static int decode_protoinfo(const struct nlattr *nest, struct ct_entry *e)
{
	const struct nlattr *tb[ARRAY_SIZE(protoinfo_policy)], *tcp[ARRAY_SIZE(tcp_policy)];
	int r;

	r = parse_nested(nest, protoinfo_policy, tb, ARRAY_SIZE(tb));
	if (r < 0 || !tb[CTA_PROTOINFO_TCP])
		return r;
	r = parse_nested(tb[CTA_PROTOINFO_TCP], tcp_policy, tcp, ARRAY_SIZE(tcp));
	if (r < 0)
		return r;
	if (tcp[CTA_PROTOINFO_TCP_STATE])
		e->tcp_state = mnl_attr_get_u8(tcp[CTA_PROTOINFO_TCP_STATE]);
	return 0;
}

static int decode_rest(const struct nlattr *const *tb, struct ct_entry *e)
{
	int r = 0;

	if (tb[CTA_MARK])
		e->mark = get_be32(tb[CTA_MARK]);
	if (tb[CTA_ID])
		e->id = get_be32(tb[CTA_ID]);
	if (tb[CTA_STATUS]) {
		e->status = get_be32(tb[CTA_STATUS]);
		e->has_status = true;
	}
	if (tb[CTA_TIMEOUT]) {
		e->timeout_s = get_be32(tb[CTA_TIMEOUT]);
		e->has_timeout = true;
	}
	if (tb[CTA_PROTOINFO])
		r = decode_protoinfo(tb[CTA_PROTOINFO], e);
	if (r == 0 && tb[CTA_COUNTERS_ORIG])
		r = decode_counters(tb[CTA_COUNTERS_ORIG], e);
	if (r == 0 && tb[CTA_COUNTERS_REPLY])
		r = decode_counters(tb[CTA_COUNTERS_REPLY], e);
	return r;
}

static int decode_event(const struct nlmsghdr *nlh, enum ct_event *ret_event)
{
	if (NFNL_SUBSYS_ID(nlh->nlmsg_type) != NFNL_SUBSYS_CTNETLINK)
		return -ENOMSG;
	if (NFNL_MSG_TYPE(nlh->nlmsg_type) == IPCTNL_MSG_CT_DELETE) {
		*ret_event = CT_EVENT_DESTROY;
		return 0;
	}
	if (NFNL_MSG_TYPE(nlh->nlmsg_type) != IPCTNL_MSG_CT_NEW)
		return -ENOMSG;
	/* Events have no sequence number: with one it is the answer to a request, a dump or a get.
	 * */
	if ((nlh->nlmsg_flags & NLM_F_MULTI) || nlh->nlmsg_seq != 0)
		*ret_event = CT_EVENT_DUMP;
	else if (nlh->nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL))
		*ret_event = CT_EVENT_NEW;
	else
		*ret_event = CT_EVENT_UPDATE;
	return 0;
}

int ct_decode(const struct nlmsghdr *nlh, struct ct_entry *ret_entry)
{
	const struct nlattr *tb[ARRAY_SIZE(entry_policy)];
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	struct ct_entry e = { 0 };
	int r;

	r = decode_event(nlh, &e.event);
	if (r < 0)
		return r;
	if (nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*g)))
		return -EBADMSG;
	if (g->nfgen_family != AF_INET && g->nfgen_family != AF_INET6)
		return -EPROTONOSUPPORT;
	r = nl_attr_parse(mnl_nlmsg_get_payload_offset(nlh, sizeof(*g)),
			  nlh->nlmsg_len - mnl_nlmsg_size(sizeof(*g)), entry_policy, tb,
			  ARRAY_SIZE(tb));
	if (r < 0)
		return r;
	r = decode_tuples(tb, g->nfgen_family, &e);
	if (r < 0)
		return r;
	r = decode_rest(tb, &e);
	if (r < 0)
		return r;
	/* The kernel's own events have no port; those about a request have the requester's. */
	e.by_program = e.event == CT_EVENT_NEW && nlh->nlmsg_pid != 0;
	*ret_entry = e;
	return 0;
}
