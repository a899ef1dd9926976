// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/rt_decode.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>

/* From Linux 6.15's linux/fib_rules.h: a rule with a single port carries its port's mask, all ones
 * unless the user said otherwise. */
#define FRA_SPORT_MASK_6_15 28
#define FRA_DPORT_MASK_6_15 29

static const struct nl_attr_policy rule_policy[FRA_DPORT_MASK_6_15 + 1] = {
	[FRA_DST] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[FRA_SRC] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[FRA_IIFNAME] = { .kind = NL_ATTR_STRING, .max = IF_NAMESIZE },
	[FRA_GOTO] = { .kind = NL_ATTR_U32 },
	[FRA_PRIORITY] = { .kind = NL_ATTR_U32 },
	[FRA_FWMARK] = { .kind = NL_ATTR_U32 },
	[FRA_SUPPRESS_PREFIXLEN] = { .kind = NL_ATTR_U32 },
	[FRA_TABLE] = { .kind = NL_ATTR_U32 },
	[FRA_FWMASK] = { .kind = NL_ATTR_U32 },
	[FRA_OIFNAME] = { .kind = NL_ATTR_STRING, .max = IF_NAMESIZE },
	[FRA_PROTOCOL] = { .kind = NL_ATTR_U8 },
	[FRA_IP_PROTO] = { .kind = NL_ATTR_U8 },
	[FRA_DPORT_RANGE] = { .kind = NL_ATTR_BINARY,
			      .min = sizeof(struct fib_rule_port_range),
			      .max = sizeof(struct fib_rule_port_range) },
	[FRA_DPORT_MASK_6_15] = { .kind = NL_ATTR_U16 },
};
static const struct rt_kind rule_kind = { RTM_NEWRULE, RTM_DELRULE, sizeof(struct fib_rule_hdr),
					  rule_policy, ARRAY_SIZE(rule_policy) };

/* True when the message has an attribute that struct rule has no field for. */
static bool has_other(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct fib_rule_hdr)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == FRA_PAD || type == FRA_SPORT_MASK_6_15)
			continue; /* the latter only beside FRA_SPORT_RANGE, which counts already */
		if (type >= ARRAY_SIZE(rule_policy) || rule_policy[type].kind == NL_ATTR_NONE)
			return true;
	}
	return false;
}

static void copy_name(const struct nlattr *attr, char name[IF_NAMESIZE])
{
	if (attr)
		snprintf(name, IF_NAMESIZE, "%.*s", (int)mnl_attr_get_payload_len(attr),
			 mnl_attr_get_str(attr));
}

static int decode_prefixes(const struct nlattr *const *tb, const struct fib_rule_hdr *frh,
			   struct rule *rule)
{
	int r = 0;

	if (frh->src_len > 0)
		r = rt_decode_prefix(tb[FRA_SRC], frh->family, frh->src_len, &rule->src);
	if (r == 0 && frh->dst_len > 0)
		r = rt_decode_prefix(tb[FRA_DST], frh->family, frh->dst_len, &rule->dst);
	return r;
}

static void decode_ports(const struct nlattr *const *tb, struct rule *rule)
{
	const struct nlattr *mask = tb[FRA_DPORT_MASK_6_15];
	struct fib_rule_port_range range;

	if (!tb[FRA_DPORT_RANGE])
		return;
	memcpy(&range, mnl_attr_get_payload(tb[FRA_DPORT_RANGE]), sizeof(range));
	rule->dport_first = range.start;
	rule->dport_last = range.end;
	if (mask && mnl_attr_get_u16(mask) != UINT16_MAX)
		rule->other = true;
}

int rt_decode_rule(const struct nlmsghdr *nlh, struct rule *ret_rule)
{
	const struct nlattr *tb[ARRAY_SIZE(rule_policy)];
	const struct fib_rule_hdr *frh;
	const void *header;
	struct rule rule;
	int r;

	memset(&rule, 0, sizeof(rule));
	r = rt_decode_begin(nlh, &rule_kind, tb, &header);
	if (r < 0)
		return r;
	frh = header;
	if (frh->family != AF_INET && frh->family != AF_INET6)
		return -EBADMSG;
	r = decode_prefixes(tb, frh, &rule);
	if (r < 0)
		return r;
	rule.family = frh->family;
	rule.priority = rt_decode_u32(tb[FRA_PRIORITY], 0);
	rule.action = frh->action;
	if (frh->action == FR_ACT_TO_TBL)
		rule.table = rt_decode_u32(tb[FRA_TABLE], frh->table);
	rule.target = rt_decode_u32(tb[FRA_GOTO], 0);
	rule.protocol = tb[FRA_PROTOCOL] ? mnl_attr_get_u8(tb[FRA_PROTOCOL]) : 0;
	rule.mark = rt_decode_u32(tb[FRA_FWMARK], 0);
	rule.mark_mask = rt_decode_u32(tb[FRA_FWMASK], rule.mark ? UINT32_MAX : 0);
	rule.has_mark = rule.mark_mask != 0;
	rule.suppress_prefixlen = (int32_t)rt_decode_u32(tb[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX);
	rule.ip_proto = tb[FRA_IP_PROTO] ? mnl_attr_get_u8(tb[FRA_IP_PROTO]) : 0;
	rule.other = frh->tos != 0 || frh->flags & FIB_RULE_INVERT || has_other(nlh);
	decode_ports(tb, &rule);
	copy_name(tb[FRA_IIFNAME], rule.iif);
	copy_name(tb[FRA_OIFNAME], rule.oif);
	*ret_rule = rule;
	return 0;
}
