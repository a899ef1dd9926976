// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "pin/ruleset_internal.h"

/* The counters: the first rule of each learn_ and pin_ chain, and the named one of lost pins. */

static const struct nl_attr_policy rule_policy[] = {
	[NFTA_RULE_CHAIN] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_RULE_EXPRESSIONS] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy expr_policy[] = {
	[NFTA_EXPR_NAME] = { NL_ATTR_STRING, 0, 0 },
	[NFTA_EXPR_DATA] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy counter_policy[] = {
	[NFTA_COUNTER_BYTES] = { NL_ATTR_U64, 0, 0 },
	[NFTA_COUNTER_PACKETS] = { NL_ATTR_U64, 0, 0 },
};

static const struct nl_attr_policy object_policy[] = {
	[NFTA_OBJ_DATA] = { NL_ATTR_NESTED, 0, 0 },
};

struct counter {
	uint64_t packets, bytes;
};

static int parse_message(const struct nlmsghdr *nlh, const struct nl_attr_policy *policy,
			 const struct nlattr **tb, size_t n)
{
	size_t len = mnl_nlmsg_get_payload_len(nlh);

	if (len < sizeof(struct nfgenmsg))
		return -EBADMSG;
	return nl_attr_parse(mnl_nlmsg_get_payload_offset(nlh, sizeof(struct nfgenmsg)),
			     len - sizeof(struct nfgenmsg), policy, tb, n);
}

static int parse_nested(const struct nlattr *attr, const struct nl_attr_policy *policy,
			const struct nlattr **tb, size_t n)
{
	return nl_attr_parse(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), policy, tb,
			     n);
}

static bool counter_read(const struct nlattr *data, struct counter *ret_counter)
{
	const struct nlattr *tb[ARRAY_SIZE(counter_policy)];

	if (!data || parse_nested(data, counter_policy, tb, ARRAY_SIZE(tb)) < 0 ||
	    !tb[NFTA_COUNTER_PACKETS] || !tb[NFTA_COUNTER_BYTES])
		return false;
	ret_counter->packets = be64toh(mnl_attr_get_u64(tb[NFTA_COUNTER_PACKETS]));
	ret_counter->bytes = be64toh(mnl_attr_get_u64(tb[NFTA_COUNTER_BYTES]));
	return true;
}

/* A rule that is a counter and nothing else. */
static bool rule_counter(const struct nlattr *expressions, struct counter *ret_counter)
{
	const struct nlattr *tb[ARRAY_SIZE(expr_policy)], *attr;

	mnl_attr_for_each_nested(attr, expressions) {
		if (parse_nested(attr, expr_policy, tb, ARRAY_SIZE(tb)) < 0 || !tb[NFTA_EXPR_NAME])
			return false;
		return strcmp(mnl_attr_get_str(tb[NFTA_EXPR_NAME]), "counter") == 0 &&
		       counter_read(tb[NFTA_EXPR_DATA], ret_counter);
	}
	return false;
}

static int read_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct ruleset_counters *counters = arg;
	const struct nlattr *tb[ARRAY_SIZE(rule_policy)];
	struct counter c;
	bool learn;
	uint8_t id;
	int r = parse_message(nlh, rule_policy, tb, ARRAY_SIZE(tb));

	if (r < 0)
		return r;
	if (!tb[NFTA_RULE_CHAIN] || !tb[NFTA_RULE_EXPRESSIONS])
		return 0;
	id = rs_chain_id(mnl_attr_get_str(tb[NFTA_RULE_CHAIN]), &learn);
	if (id == 0 || !rule_counter(tb[NFTA_RULE_EXPRESSIONS], &c))
		return 0;
	if (learn) {
		counters->binding[id].first_packets = c.packets;
	} else {
		counters->binding[id].later_packets = c.packets;
		counters->binding[id].later_bytes = c.bytes;
	}
	return 0;
}

static int read_lost(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *tb[ARRAY_SIZE(object_policy)];
	struct counter c;
	int r = parse_message(nlh, object_policy, tb, ARRAY_SIZE(tb));

	if (r == 0 && counter_read(tb[NFTA_OBJ_DATA], &c))
		*(uint64_t *)arg = c.packets;
	return r;
}

int ruleset_lost_pins_read(struct ruleset *r, uint64_t *ret_lost, struct err *e)
{
	struct err refusal = { 0 };
	uint64_t lost = 0;
	uint8_t buf[512];
	struct nlmsghdr *nlh = nft_request(buf, NFT_MSG_GETOBJ, NFPROTO_INET);
	int code;

	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, RS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, RS_COUNTER);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	code = nl_request(r->nl, nlh, read_lost, &lost, &refusal);
	/* Without the table nothing was lost. */
	if (code < 0 && code != -ENOENT)
		return err_set(e, code, "counters: %s", refusal.text);
	*ret_lost = lost;
	return 0;
}

int ruleset_counters_read(struct ruleset *r, struct ruleset_counters *ret_counters, struct err *e)
{
	struct ruleset_counters counters = { 0 };
	struct err refusal = { 0 };
	uint8_t buf[512];
	struct nlmsghdr *nlh = nft_request(buf, NFT_MSG_GETRULE, NFPROTO_INET);
	int code;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, RS_TABLE);
	/* A dump that is begun again writes the same places. */
	code = nl_dump(r->nl, nlh, read_rule, NULL, &counters, &refusal);
	/* Without the table everything is zero. */
	if (code < 0 && code != -ENOENT)
		return err_set(e, code, "counters: %s", refusal.text);
	code = ruleset_lost_pins_read(r, &counters.lost_pins, e);
	if (code < 0)
		return code;
	*ret_counters = counters;
	return 0;
}
