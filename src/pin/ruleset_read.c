// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "pin/ruleset_internal.h"

/* From the kernel's messages to an image. The generation is compared before and after, since
 * several dumps make one image. */

#define READ_TRIES 4

struct reading {
	struct ruleset *r;
	struct rs_image *image;
	struct rs_set *set;	/* whose elements come */
	struct rs_chain *chain; /* the last rule's */
	uint32_t generation;
};

static const struct nl_attr_policy table_policy[] = {
	[NFTA_TABLE_NAME] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_TABLE_FLAGS] = { NL_ATTR_U32, 0, 0 },
	[NFTA_TABLE_USERDATA] = { NL_ATTR_BINARY, 0, 0 },
	[NFTA_TABLE_OWNER] = { NL_ATTR_U32, 0, 0 },
};

static const struct nl_attr_policy set_policy[] = {
	[NFTA_SET_TABLE] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_SET_NAME] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_SET_FLAGS] = { NL_ATTR_U32, 0, 0 },
	[NFTA_SET_KEY_TYPE] = { NL_ATTR_U32, 0, 0 },
	[NFTA_SET_KEY_LEN] = { NL_ATTR_U32, 0, 0 },
	[NFTA_SET_DATA_TYPE] = { NL_ATTR_U32, 0, 0 },
	[NFTA_SET_DESC] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy desc_policy[] = {
	[NFTA_SET_DESC_SIZE] = { NL_ATTR_U32, 0, 0 },
};

static const struct nl_attr_policy chain_policy[] = {
	[NFTA_CHAIN_TABLE] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_CHAIN_NAME] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_CHAIN_HOOK] = { NL_ATTR_NESTED, 0, 0 },
	[NFTA_CHAIN_USERDATA] = { NL_ATTR_BINARY, 0, 0 },
};

static const struct nl_attr_policy hook_policy[] = {
	[NFTA_HOOK_HOOKNUM] = { NL_ATTR_U32, 0, 0 },
	[NFTA_HOOK_PRIORITY] = { NL_ATTR_U32, 0, 0 },
};

static const struct nl_attr_policy rule_policy[] = {
	[NFTA_RULE_TABLE] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_RULE_CHAIN] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
	[NFTA_RULE_USERDATA] = { NL_ATTR_BINARY, 0, 0 },
};

static const struct nl_attr_policy list_policy[] = {
	[NFTA_SET_ELEM_LIST_ELEMENTS] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy element_policy[] = {
	[NFTA_SET_ELEM_KEY] = { NL_ATTR_NESTED, 0, 0 },
	[NFTA_SET_ELEM_KEY_END] = { NL_ATTR_NESTED, 0, 0 },
	[NFTA_SET_ELEM_DATA] = { NL_ATTR_NESTED, 0, 0 },
	[NFTA_SET_ELEM_FLAGS] = { NL_ATTR_U32, 0, 0 },
};

static const struct nl_attr_policy data_policy[] = {
	[NFTA_DATA_VALUE] = { NL_ATTR_BINARY, 64, 0 },
	[NFTA_DATA_VERDICT] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy verdict_policy[] = {
	[NFTA_VERDICT_CHAIN] = { NL_ATTR_STRING, NFT_NAME_MAXLEN, 0 },
};

/* The attributes of a message behind its nfgenmsg. */
#define PARSE_MESSAGE(nlh, policy, tb)                                                             \
	nl_attr_parse(mnl_nlmsg_get_payload_offset(nlh, sizeof(struct nfgenmsg)),                  \
		      mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg)                     \
			      ? 0                                                                  \
			      : mnl_nlmsg_get_payload_len(nlh) - sizeof(struct nfgenmsg),          \
		      policy, tb, ARRAY_SIZE(policy))
#define PARSE_NESTED(attr, policy, tb)                                                             \
	nl_attr_parse(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), policy, tb,      \
		      ARRAY_SIZE(policy))

static uint32_t get_be32(const struct nlattr *attr)
{
	return attr ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

static bool is_ours(const struct nlattr *table)
{
	return table && strcmp(mnl_attr_get_str(table), RS_TABLE) == 0;
}

static uint32_t userdata_u32(const struct nlattr *attr, uint8_t type)
{
	uint32_t value = 0;
	const void *p =
		nft_userdata_find(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), type,
				  sizeof(value), NULL);

	if (p)
		memcpy(&value, p, sizeof(value));
	return value;
}

static int read_table(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *g = arg;
	const struct nlattr *tb[ARRAY_SIZE(table_policy)];
	int r = PARSE_MESSAGE(nlh, table_policy, tb);

	if (r < 0)
		return r;
	if (!is_ours(tb[NFTA_TABLE_NAME]))
		return 0;
	g->image->present = true;
	g->image->table_flags = get_be32(tb[NFTA_TABLE_FLAGS]);
	if ((g->image->table_flags & RS_TABLE_OWNER) &&
	    get_be32(tb[NFTA_TABLE_OWNER]) != nl_portid(g->r->nl))
		return -EPERM;
	if (tb[NFTA_TABLE_USERDATA]) {
		const struct nlattr *u = tb[NFTA_TABLE_USERDATA];

		g->image->layout = userdata_u32(u, RS_UDATA_LAYOUT);
		g->image->mark_mask = userdata_u32(u, RS_UDATA_MARK_MASK);
		g->image->table_base = userdata_u32(u, RS_UDATA_TABLE_BASE);
		g->image->rule_priority = userdata_u32(u, RS_UDATA_RULE_PRIORITY);
	}
	return 0;
}

static int read_set(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *g = arg;
	const struct nlattr *tb[ARRAY_SIZE(set_policy)], *desc[ARRAY_SIZE(desc_policy)];
	struct rs_set *s;
	int r = PARSE_MESSAGE(nlh, set_policy, tb);

	if (r < 0)
		return r;
	/* Anonymous sets go with the rule that holds them. */
	if (!is_ours(tb[NFTA_SET_TABLE]) || !tb[NFTA_SET_NAME] ||
	    (get_be32(tb[NFTA_SET_FLAGS]) & NFT_SET_ANONYMOUS))
		return 0;
	s = rs_image_add_set(g->image, mnl_attr_get_str(tb[NFTA_SET_NAME]));
	if (!s)
		return -ENOMEM;
	s->flags = get_be32(tb[NFTA_SET_FLAGS]);
	s->key_type = get_be32(tb[NFTA_SET_KEY_TYPE]);
	s->key_len = get_be32(tb[NFTA_SET_KEY_LEN]);
	s->data = s->flags & NFT_SET_MAP ? get_be32(tb[NFTA_SET_DATA_TYPE]) == NFT_DATA_VERDICT
						   ? RS_VERDICT
						   : RS_MARK
					 : RS_NO_DATA;
	s->kind = rs_name_is_pins(s->name) || (s->flags & NFT_SET_EVAL)	     ? RS_PINS
		  : s->flags & NFT_SET_CONCAT && s->flags & NFT_SET_INTERVAL ? RS_RANGES
		  : s->flags & NFT_SET_INTERVAL				     ? RS_INTERVAL
									     : RS_PLAIN;
	if (tb[NFTA_SET_DESC] && PARSE_NESTED(tb[NFTA_SET_DESC], desc_policy, desc) == 0)
		s->size = get_be32(desc[NFTA_SET_DESC_SIZE]);
	return 0;
}

static int read_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *g = arg;
	const struct nlattr *tb[ARRAY_SIZE(chain_policy)], *hook[ARRAY_SIZE(hook_policy)];
	struct rs_chain *c;
	const char *comment;
	size_t len;
	int r = PARSE_MESSAGE(nlh, chain_policy, tb);

	if (r < 0)
		return r;
	if (!is_ours(tb[NFTA_CHAIN_TABLE]) || !tb[NFTA_CHAIN_NAME])
		return 0;
	c = rs_image_add_chain(g->image, mnl_attr_get_str(tb[NFTA_CHAIN_NAME]));
	if (!c)
		return -ENOMEM;
	if (tb[NFTA_CHAIN_HOOK] && PARSE_NESTED(tb[NFTA_CHAIN_HOOK], hook_policy, hook) == 0) {
		c->base = true;
		c->hook = get_be32(hook[NFTA_HOOK_HOOKNUM]);
		c->priority = (int32_t)get_be32(hook[NFTA_HOOK_PRIORITY]);
	}
	if (!tb[NFTA_CHAIN_USERDATA])
		return 0;
	comment = nft_userdata_find(mnl_attr_get_payload(tb[NFTA_CHAIN_USERDATA]),
				    mnl_attr_get_payload_len(tb[NFTA_CHAIN_USERDATA]),
				    RS_UDATA_COMMENT, 0, &len);
	if (comment)
		snprintf(c->comment, sizeof(c->comment), "%.*s", (int)strnlen(comment, len),
			 comment);
	return 0;
}

static int read_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *g = arg;
	const struct nlattr *tb[ARRAY_SIZE(rule_policy)];
	struct rs_rule rule = { 0 };
	const char *name;
	const void *digest = NULL;
	int r = PARSE_MESSAGE(nlh, rule_policy, tb);

	if (r < 0)
		return r;
	if (!is_ours(tb[NFTA_RULE_TABLE]) || !tb[NFTA_RULE_CHAIN])
		return 0;
	name = mnl_attr_get_str(tb[NFTA_RULE_CHAIN]);
	/* Rules come chain by chain. */
	if (!g->chain || strcmp(g->chain->name, name) != 0)
		g->chain = rs_image_chain(g->image, name);
	if (!g->chain)
		return 0;
	if (tb[NFTA_RULE_USERDATA])
		digest = nft_userdata_find(mnl_attr_get_payload(tb[NFTA_RULE_USERDATA]),
					   mnl_attr_get_payload_len(tb[NFTA_RULE_USERDATA]),
					   RS_UDATA_DIGEST, sizeof(rule.digest), NULL);
	if (digest)
		memcpy(&rule.digest, digest, sizeof(rule.digest));
	return rs_chain_add(g->chain, &rule);
}

static int read_counter(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *g = arg;

	if ((nlh->nlmsg_type & 0xff) == NFT_MSG_NEWOBJ)
		g->image->has_counter = true;
	return 0;
}

static void copy_value(const struct nlattr *nested, uint8_t key[RS_KEY])
{
	const struct nlattr *tb[ARRAY_SIZE(data_policy)];
	size_t len;

	if (!nested || PARSE_NESTED(nested, data_policy, tb) < 0 || !tb[NFTA_DATA_VALUE])
		return;
	len = mnl_attr_get_payload_len(tb[NFTA_DATA_VALUE]);
	memcpy(key, mnl_attr_get_payload(tb[NFTA_DATA_VALUE]), len < RS_KEY ? len : RS_KEY);
}

static int read_element(struct rs_set *s, const struct nlattr *attr)
{
	const struct nlattr *tb[ARRAY_SIZE(element_policy)], *data[ARRAY_SIZE(data_policy)];
	const struct nlattr *verdict[ARRAY_SIZE(verdict_policy)];
	struct rs_element x = { 0 };
	int r = PARSE_NESTED(attr, element_policy, tb);

	if (r < 0)
		return r;
	copy_value(tb[NFTA_SET_ELEM_KEY], x.key);
	copy_value(tb[NFTA_SET_ELEM_KEY_END], x.end);
	/* Until the pairs are made `open` marks the end of an interval. */
	x.open = s->kind == RS_INTERVAL &&
		 (get_be32(tb[NFTA_SET_ELEM_FLAGS]) & NFT_SET_ELEM_INTERVAL_END);
	if (tb[NFTA_SET_ELEM_DATA] &&
	    PARSE_NESTED(tb[NFTA_SET_ELEM_DATA], data_policy, data) == 0 &&
	    data[NFTA_DATA_VERDICT] &&
	    PARSE_NESTED(data[NFTA_DATA_VERDICT], verdict_policy, verdict) == 0 &&
	    verdict[NFTA_VERDICT_CHAIN])
		snprintf(x.target, sizeof(x.target), "%s",
			 mnl_attr_get_str(verdict[NFTA_VERDICT_CHAIN]));
	return rs_set_add(s, &x);
}

static int read_elements(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *g = arg;
	const struct nlattr *tb[ARRAY_SIZE(list_policy)], *attr;
	int r = PARSE_MESSAGE(nlh, list_policy, tb);

	if (r < 0 || !tb[NFTA_SET_ELEM_LIST_ELEMENTS])
		return r;
	mnl_attr_for_each_nested(attr, tb[NFTA_SET_ELEM_LIST_ELEMENTS]) {
		r = read_element(g->set, attr);
		if (r < 0)
			return r;
	}
	return 0;
}

static void restart_elements(void *arg)
{
	((struct reading *)arg)->set->n = 0;
}

static int compare_ends(const void *a, const void *b)
{
	const struct rs_element *x = a, *y = b;
	int r = memcmp(x->key, y->key, sizeof(x->key));

	/* Where one interval ends and the next begins, the end comes first. */
	return r ? r : (int)y->open - (int)x->open;
}

/* The kernel tells an interval's begin and its end (the first key behind it) as two elements. */
static void pair_intervals(struct rs_set *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->elements, s->n, sizeof(*s->elements), compare_ends);
	for (size_t i = 0; i < s->n; i++) {
		struct rs_element x = s->elements[i];

		if (x.open)
			continue;
		if (i + 1 < s->n && s->elements[i + 1].open)
			memcpy(x.end, s->elements[++i].key, sizeof(x.end));
		else
			x.open = true;
		s->elements[n++] = x;
	}
	s->n = n;
}

static int dump_elements(struct reading *g, struct rs_set *s, struct err *e)
{
	uint8_t buf[512];
	struct nlmsghdr *nlh = nft_request(buf, NFT_MSG_GETSETELEM, NFPROTO_INET);
	int r;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, s->name);
	g->set = s;
	r = nl_dump(g->r->nl, nlh, read_elements, restart_elements, g, e);
	if (r == 0 && s->kind == RS_INTERVAL)
		pair_intervals(s);
	return r;
}

/* An interrupted dump begins again: what it has brought so far is dropped. */
static void restart_sets(void *arg)
{
	struct rs_image *im = ((struct reading *)arg)->image;

	while (im->n_sets)
		free(im->sets[--im->n_sets].elements);
}

static void restart_chains(void *arg)
{
	struct rs_image *im = ((struct reading *)arg)->image;

	while (im->n_chains)
		free(im->chains[--im->n_chains].rules);
}

static void restart_rules(void *arg)
{
	struct rs_image *im = ((struct reading *)arg)->image;

	for (size_t i = 0; i < im->n_chains; i++)
		im->chains[i].n = 0;
}

static int read_generation(const struct nlmsghdr *nlh, void *arg)
{
	static const struct nl_attr_policy policy[] = { [NFTA_GEN_ID] = { NL_ATTR_U32, 0, 0 } };
	struct reading *g = arg;
	const struct nlattr *tb[ARRAY_SIZE(policy)];
	int r = PARSE_MESSAGE(nlh, policy, tb);

	if (r == 0)
		g->generation = get_be32(tb[NFTA_GEN_ID]);
	return r;
}

static int generation(struct reading *g, uint32_t *ret_generation, struct err *e)
{
	uint8_t buf[512];
	int r = nl_request(g->r->nl, nft_request(buf, NFT_MSG_GETGEN, AF_UNSPEC), read_generation,
			   g, e);

	if (r == 0)
		*ret_generation = g->generation;
	return r;
}

/* What is dumped one after the other; the attribute names the table to the kernel where it
 * filters. */
static const struct {
	uint16_t type, table_attr;
	nl_message_fn fn;
	void (*restart)(void *arg);
} dumps[] = {
	{ NFT_MSG_GETSET, NFTA_SET_TABLE, read_set, restart_sets },
	{ NFT_MSG_GETCHAIN, NFTA_CHAIN_TABLE, read_chain, restart_chains },
	{ NFT_MSG_GETRULE, NFTA_RULE_TABLE, read_rule, restart_rules },
};

static int read_counter_object(struct reading *g, struct err *e)
{
	uint8_t buf[512];
	struct nlmsghdr *nlh = nft_request(buf, NFT_MSG_GETOBJ, NFPROTO_INET);
	struct err refusal = { 0 };
	int r;

	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, RS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, RS_COUNTER);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	r = nl_request(g->r->nl, nlh, read_counter, g, &refusal);
	if (r < 0 && r != -ENOENT)
		return err_set(e, r, "%s", refusal.text);
	return 0;
}

static int read_all(struct reading *g, struct err *e)
{
	uint8_t buf[512];
	struct nlmsghdr *nlh = nft_request(buf, NFT_MSG_GETTABLE, NFPROTO_INET);
	struct err refusal = { 0 };
	int r;

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, RS_TABLE);
	r = nl_request(g->r->nl, nlh, read_table, g, &refusal);
	if (r == -ENOENT)
		return 0;
	if (r == -EPERM && g->image->present)
		return err_set(e, r,
			       "table inet " RS_TABLE
			       " belongs to another running process: stop it first");
	if (r < 0)
		return err_set(e, r, "table inet " RS_TABLE ": %s", refusal.text);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dumps); i++) {
		nlh = nft_request(buf, dumps[i].type, NFPROTO_INET);
		mnl_attr_put_strz(nlh, dumps[i].table_attr, RS_TABLE);
		r = nl_dump(g->r->nl, nlh, dumps[i].fn, dumps[i].restart, g, e);
	}
	if (r == 0)
		r = read_counter_object(g, e);
	for (size_t i = 0; r == 0 && i < g->image->n_sets; i++)
		if (g->image->sets[i].kind != RS_PINS)
			r = dump_elements(g, &g->image->sets[i], e);
	return r;
}

int rs_read(struct ruleset *r, struct rs_image *ret_image, struct err *e)
{
	int code = -EINTR;

	for (int i = 0; i < READ_TRIES && code == -EINTR; i++) {
		struct rs_image im = { 0 };
		struct reading g = { .r = r, .image = &im };
		uint32_t before = 0, after = 0;

		code = generation(&g, &before, e);
		if (code == 0)
			code = read_all(&g, e);
		if (code == 0)
			code = generation(&g, &after, e);
		/* The last try counts even so: on a host whose other tables change all the time
		 * nothing better can be had, and a notification follows if it was ours. */
		if (code == 0 && before != after && i + 1 < READ_TRIES)
			code = -EINTR;
		if (code == 0) {
			rs_image_sort(&im);
			*ret_image = im;
			return 0;
		}
		rs_image_clear(&im);
	}
	return code;
}
