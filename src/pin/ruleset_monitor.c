// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "pin/ruleset_internal.h"

/* Who wrote to our table. Packets that add and refresh pins, and pins that time out, raise no
 * notification. */

#define DATAGRAMS_A_TURN 64
#define TURNS 16

struct listen {
	uint32_t own_port;
	bool foreign;
};

/* Attribute 1 is the table's name in every message about tables and what is in them (NFTA_*_TABLE,
 * NFTA_TABLE_NAME). */
static const struct nl_attr_policy name_policy[] = {
	[NFTA_TABLE_NAME] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
};
_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
		       NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 &&
		       NFTA_OBJ_TABLE == 1 && NFTA_FLOWTABLE_TABLE == 1,
	       "one policy reads the table's name everywhere");

static int listen_message(const struct nlmsghdr *nlh, void *arg)
{
	struct listen *l = arg;
	const struct nlattr *tb[ARRAY_SIZE(name_policy)];
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	size_t len = mnl_nlmsg_get_payload_len(nlh);
	unsigned message = nlh->nlmsg_type & 0xff;

	/* nf_tables puts the port of the socket that committed into the header. */
	if (nlh->nlmsg_pid == l->own_port || nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	    len < sizeof(*nfg) || nfg->nfgen_family != NFPROTO_INET || message == NFT_MSG_NEWGEN ||
	    message == NFT_MSG_TRACE)
		return 0;
	if (nl_attr_parse(nfg + 1, len - sizeof(*nfg), name_policy, tb, ARRAY_SIZE(tb)) < 0 ||
	    !tb[NFTA_TABLE_NAME])
		return 0;
	if (strcmp(mnl_attr_get_str(tb[NFTA_TABLE_NAME]), RS_TABLE) == 0)
		l->foreign = true;
	return 0;
}

int ruleset_monitor_fd(const struct ruleset *r)
{
	return nl_fd(r->monitor);
}

int ruleset_monitor_read(struct ruleset *r, bool *ret_foreign)
{
	struct listen l = { .own_port = nl_portid(r->nl) };
	int code = 1;

	/* Bounded: on a host whose other tables change without end the event loop must go on. */
	for (int i = 0; i < TURNS && code > 0; i++) {
		code = nl_receive(r->monitor, DATAGRAMS_A_TURN, listen_message, &l);
		if (code == -ENOBUFS) {
			l.foreign = true;
			code = 1;
		}
	}
	/* What was seen before the error counts; the error is there again at the next turn. */
	if (code < 0 && !l.foreign)
		return code;
	*ret_foreign = l.foreign;
	return 0;
}
