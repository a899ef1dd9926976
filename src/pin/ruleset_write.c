// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include "pin/ruleset_internal.h"

/* From changes to messages. Failures to allocate are kept in the batch, whose commit returns
 * them. */

/* Of at most 150 bytes each: far below the 64 KiB of an attribute. */
#define ELEMENTS_A_MESSAGE 200
#define PIN_GC_INTERVAL_MS 10000

static struct nlmsghdr *begin(struct ruleset *r, uint16_t type, uint16_t flags)
{
	return nft_batch_begin(r->batch, type, flags, NFPROTO_INET);
}

static void write_table(struct ruleset *r, uint16_t type, uint32_t flags, const void *userdata,
			size_t len)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh = begin(r, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);

	if (t && nlh && nftnl_table_set_str(t, NFTNL_TABLE_NAME, RS_TABLE) == 0) {
		if (flags)
			nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, flags);
		if (len &&
		    nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, userdata, (uint32_t)len) < 0)
			nft_batch_fail(r->batch);
		nftnl_table_nlmsg_build_payload(nlh, t);
		nft_batch_end(r->batch, nlh, 1);
		nft_batch_cut(r->batch);
	} else {
		nft_batch_fail(r->batch);
	}
	if (t)
		nftnl_table_free(t);
}

static uint32_t owner_flags(const struct ruleset *r)
{
	return r->can_own ? RS_TABLE_OWNER | RS_TABLE_PERSIST : 0;
}

void rs_write_table(struct ruleset *r, const struct ruleset_model *m)
{
	static const char comment[] = "written by flowpind, see flowpin(8)";
	const struct {
		uint8_t type;
		uint32_t value;
	} numbers[] = {
		{ RS_UDATA_LAYOUT, RS_LAYOUT },
		{ RS_UDATA_MARK_MASK, m->mark_mask },
		{ RS_UDATA_TABLE_BASE, m->table_base },
		{ RS_UDATA_RULE_PRIORITY, m->rule_priority },
	};
	uint8_t userdata[128];
	size_t len = 0;

	nft_userdata_put(userdata, sizeof(userdata), &len, RS_UDATA_COMMENT, comment,
			 sizeof(comment));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		nft_userdata_put(userdata, sizeof(userdata), &len, numbers[i].type,
				 &numbers[i].value, sizeof(numbers[i].value));
	write_table(r, NFT_MSG_NEWTABLE, owner_flags(r), userdata, len);
}

void rs_write_adopt(struct ruleset *r)
{
	write_table(r, NFT_MSG_NEWTABLE, owner_flags(r), NULL, 0);
}

void rs_write_table_delete(struct ruleset *r)
{
	write_table(r, NFT_MSG_DELTABLE, 0, NULL, 0);
}

static void write_counter(struct ruleset *r)
{
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct nlmsghdr *nlh = begin(r, NFT_MSG_NEWOBJ, NLM_F_CREATE);

	if (o && nlh) {
		nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, RS_TABLE);
		nftnl_obj_set_str(o, NFTNL_OBJ_NAME, RS_COUNTER);
		nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
		nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_PKTS, 0);
		nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_BYTES, 0);
		nftnl_obj_nlmsg_build_payload(nlh, o);
		nft_batch_end(r->batch, nlh, 1);
		nft_batch_cut(r->batch);
	} else {
		nft_batch_fail(r->batch);
	}
	if (o)
		nftnl_obj_free(o);
}

/* What only the listing looks at. */
static void set_userdata(struct ruleset *r, struct nftnl_set *ns, const struct rs_set *s)
{
	uint32_t host = 1;
	uint8_t userdata[16];
	size_t len = 0;

	nft_userdata_put(userdata, sizeof(userdata), &len, NFTNL_UDATA_SET_KEYBYTEORDER,
			 &s->byteorder, sizeof(s->byteorder));
	if (s->data == RS_MARK)
		nft_userdata_put(userdata, sizeof(userdata), &len, NFTNL_UDATA_SET_DATABYTEORDER,
				 &host, sizeof(host));
	if (nftnl_set_set_data(ns, NFTNL_SET_USERDATA, userdata, (uint32_t)len) < 0)
		nft_batch_fail(r->batch);
}

#define TYPE_MARK 19

static void set_describe(struct ruleset *r, struct nftnl_set *ns, const struct rs_set *s)
{
	nftnl_set_set_u32(ns, NFTNL_SET_FLAGS, s->flags);
	nftnl_set_set_u32(ns, NFTNL_SET_KEY_TYPE, s->key_type);
	nftnl_set_set_u32(ns, NFTNL_SET_KEY_LEN, s->key_len);
	/* Refers to the set inside one transaction; names do, but the attribute must be there. */
	nftnl_set_set_u32(ns, NFTNL_SET_ID, 1);
	if (s->data == RS_VERDICT) {
		nftnl_set_set_u32(ns, NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
		nftnl_set_set_u32(ns, NFTNL_SET_DATA_LEN, 0);
	} else if (s->data == RS_MARK) {
		nftnl_set_set_u32(ns, NFTNL_SET_DATA_TYPE, TYPE_MARK);
		nftnl_set_set_u32(ns, NFTNL_SET_DATA_LEN, sizeof(uint32_t));
	}
	if (s->kind == RS_PINS) {
		nftnl_set_set_u32(ns, NFTNL_SET_DESC_SIZE, s->size);
		nftnl_set_set_u32(ns, NFTNL_SET_GC_INTERVAL, PIN_GC_INTERVAL_MS);
	}
	if (s->kind == RS_RANGES &&
	    nftnl_set_set_data(ns, NFTNL_SET_DESC_CONCAT, s->fields, s->n_fields) < 0)
		nft_batch_fail(r->batch);
	set_userdata(r, ns, s);
}

static struct nftnl_set *set_alloc(struct ruleset *r, const struct rs_set *s)
{
	struct nftnl_set *ns = nftnl_set_alloc();

	if (!ns || nftnl_set_set_str(ns, NFTNL_SET_TABLE, RS_TABLE) < 0 ||
	    nftnl_set_set_str(ns, NFTNL_SET_NAME, s->name) < 0)
		nft_batch_fail(r->batch);
	return ns;
}

static void write_set(struct ruleset *r, const struct rs_set *s, uint16_t type)
{
	struct nftnl_set *ns = set_alloc(r, s);
	struct nlmsghdr *nlh = begin(r, type, type == NFT_MSG_NEWSET ? NLM_F_CREATE : 0);

	if (ns && nlh) {
		if (type == NFT_MSG_NEWSET)
			set_describe(r, ns, s);
		nftnl_set_nlmsg_build_payload(nlh, ns);
		nft_batch_end(r->batch, nlh, 1);
		nft_batch_cut(r->batch);
	}
	if (ns)
		nftnl_set_free(ns);
}

/* Every element of the set. */
static void write_set_flush(struct ruleset *r, const struct rs_set *s)
{
	struct nlmsghdr *nlh = begin(r, NFT_MSG_DELSETELEM, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, s->name);
	nft_batch_end(r->batch, nlh, 1);
}

static void write_chain(struct ruleset *r, const struct rs_chain *c, uint16_t type)
{
	struct nftnl_chain *nc = nftnl_chain_alloc();
	struct nlmsghdr *nlh = begin(r, type, type == NFT_MSG_NEWCHAIN ? NLM_F_CREATE : 0);
	uint8_t userdata[2 + RS_COMMENT];
	size_t len = 0;

	if (!nc || !nlh || nftnl_chain_set_str(nc, NFTNL_CHAIN_TABLE, RS_TABLE) < 0 ||
	    nftnl_chain_set_str(nc, NFTNL_CHAIN_NAME, c->name) < 0) {
		nft_batch_fail(r->batch);
	} else {
		if (type == NFT_MSG_NEWCHAIN && c->base) {
			nftnl_chain_set_str(nc, NFTNL_CHAIN_TYPE, "filter");
			nftnl_chain_set_u32(nc, NFTNL_CHAIN_HOOKNUM, c->hook);
			nftnl_chain_set_s32(nc, NFTNL_CHAIN_PRIO, c->priority);
			nftnl_chain_set_u32(nc, NFTNL_CHAIN_POLICY, NF_ACCEPT);
		}
		if (type == NFT_MSG_NEWCHAIN && c->comment[0]) {
			nft_userdata_put(userdata, sizeof(userdata), &len, RS_UDATA_COMMENT,
					 c->comment, strlen(c->comment) + 1);
			if (nftnl_chain_set_data(nc, NFTNL_CHAIN_USERDATA, userdata,
						 (uint32_t)len) < 0)
				nft_batch_fail(r->batch);
		}
		nftnl_chain_nlmsg_build_payload(nlh, nc);
		nft_batch_end(r->batch, nlh, 1);
	}
	if (nc)
		nftnl_chain_free(nc);
}

static void write_flush(struct ruleset *r, const struct rs_chain *c)
{
	struct nlmsghdr *nlh = begin(r, NFT_MSG_DELRULE, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, RS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, c->name);
	nft_batch_end(r->batch, nlh, 1);
}

/* A chain's rules are replaced within one transaction. */
static void write_rules(struct ruleset *r, const struct rs_image *desired, const struct rs_chain *c,
			bool flush)
{
	if (flush)
		write_flush(r, c);
	for (size_t i = 0; i < c->n; i++) {
		struct nlmsghdr *nlh = begin(r, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);

		if (!nlh)
			return;
		mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, RS_TABLE);
		mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, c->name);
		memcpy(mnl_nlmsg_get_payload_tail(nlh), desired->bytes.data + c->rules[i].offset,
		       c->rules[i].len);
		nlh->nlmsg_len += (uint32_t)c->rules[i].len;
		nft_batch_end(r->batch, nlh, 1);
	}
	nft_batch_cut(r->batch);
}

static struct nftnl_set_elem *element_add(struct ruleset *r, struct nftnl_set *ns)
{
	struct nftnl_set_elem *x = nftnl_set_elem_alloc();

	if (x)
		nftnl_set_elem_add(ns, x);
	else
		nft_batch_fail(r->batch);
	return x;
}

static void element_set(struct ruleset *r, struct nftnl_set_elem *x, uint16_t attr,
			const void *data, uint32_t len)
{
	if (nftnl_set_elem_set(x, attr, data, len) < 0)
		nft_batch_fail(r->batch);
}

/* An interval is two elements, its first key and the first key behind it; one that is open is
 * marked for the listing. */
static void element_end(struct ruleset *r, struct nftnl_set *ns, const struct rs_set *s,
			const struct rs_element *e, struct nftnl_set_elem *x)
{
	static const uint8_t open[] = {
		NFTNL_UDATA_SET_ELEM_FLAGS, 4, NFTNL_SET_ELEM_F_INTERVAL_OPEN, 0, 0, 0
	};

	if (s->kind == RS_RANGES) {
		element_set(r, x, NFTNL_SET_ELEM_KEY_END, e->end, s->key_len);
	} else if (s->kind == RS_INTERVAL && e->open) {
		element_set(r, x, NFTNL_SET_ELEM_USERDATA, open, sizeof(open));
	} else if (s->kind == RS_INTERVAL) {
		struct nftnl_set_elem *end = element_add(r, ns);

		if (!end)
			return;
		element_set(r, end, NFTNL_SET_ELEM_KEY, e->end, s->key_len);
		nftnl_set_elem_set_u32(end, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	}
}

static void element_put(struct ruleset *r, struct nftnl_set *ns, const struct rs_change *c,
			bool with_target)
{
	const struct rs_element *e = c->element;
	struct nftnl_set_elem *x = element_add(r, ns);

	if (!x)
		return;
	element_set(r, x, NFTNL_SET_ELEM_KEY, e->key, c->set->key_len);
	if (with_target && e->target[0]) {
		nftnl_set_elem_set_u32(x, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
		if (nftnl_set_elem_set_str(x, NFTNL_SET_ELEM_CHAIN, e->target) < 0)
			nft_batch_fail(r->batch);
	}
	element_end(r, ns, c->set, e, x);
}

/* The elements of one kind and set from list[*i] on, as many as fit into a message; *i moves behind
 * them. */
static void write_elements_message(struct ruleset *r, const struct rs_changes *c, size_t *i,
				   enum rs_change_kind kind, bool refers)
{
	bool add = kind == RS_CHANGE_ELEMENT;
	const struct rs_set *s = c->list[*i].set;
	struct nftnl_set *ns = set_alloc(r, s);
	struct nlmsghdr *nlh =
		begin(r, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0);
	size_t n = 0;

	if (ns && nlh) {
		for (; *i < c->n && c->list[*i].set == s && n < ELEMENTS_A_MESSAGE; (*i)++) {
			if (c->list[*i].kind != kind || (!add && c->list[*i].refers != refers))
				continue;
			element_put(r, ns, &c->list[*i], add);
			n++;
		}
		nftnl_set_elems_nlmsg_build_payload(nlh, ns);
		if (n)
			nft_batch_end(r->batch, nlh, n);
	}
	if (ns)
		nftnl_set_free(ns);
	if (!ns || !nlh)
		*i = c->n;
}

/* The changes of one set stand together in the list. */
static size_t set_end(const struct rs_changes *c, size_t i)
{
	const struct rs_set *s = c->list[i].set;

	while (i < c->n && c->list[i].set == s)
		i++;
	return i;
}

static void write_elements_of(struct ruleset *r, const struct rs_changes *c, size_t from, size_t to,
			      enum rs_change_kind kind, bool refers, bool cut)
{
	struct rs_changes part = { .list = c->list, .n = to };

	for (size_t i = from; i < to;) {
		write_elements_message(r, &part, &i, kind, refers);
		if (cut)
			nft_batch_cut(r->batch);
	}
}

/* Old ones before new ones, since ranges must not overlap meanwhile. Cut only where a set's changes
 * are too many for one transaction: a few packets then miss what is not back yet, and their flows
 * are learned by a later packet. */
static void write_elements(struct ruleset *r, const struct rs_changes *c)
{
	for (size_t i = 0; i < c->n;) {
		size_t end = c->list[i].set ? set_end(c, i) : i + 1;

		bool whole = end - i <= NFT_TRANSACTION_OPERATIONS;

		if (c->list[i].set) {
			write_elements_of(r, c, i, end, RS_CHANGE_ELEMENT_OLD, false, !whole);
			write_elements_of(r, c, i, end, RS_CHANGE_ELEMENT, false, !whole);
			nft_batch_cut(r->batch);
		}
		i = end;
	}
}

/* All changes of a kind, by a function for one. */
static void for_each(struct ruleset *r, const struct rs_changes *c, enum rs_change_kind kind,
		     void (*fn)(struct ruleset *r, const struct rs_change *change))
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].kind == kind)
			fn(r, &c->list[i]);
}

static void one_counter(struct ruleset *r, const struct rs_change *c _unused_)
{
	write_counter(r);
}

static void one_set(struct ruleset *r, const struct rs_change *c)
{
	write_set(r, c->set, NFT_MSG_NEWSET);
}

static void one_chain(struct ruleset *r, const struct rs_change *c)
{
	write_chain(r, c->chain, NFT_MSG_NEWCHAIN);
	nft_batch_cut(r->batch);
}

static void one_flush(struct ruleset *r, const struct rs_change *c)
{
	write_flush(r, c->chain);
}

static void one_set_flush(struct ruleset *r, const struct rs_change *c)
{
	write_set_flush(r, c->set);
}

static void one_chain_delete(struct ruleset *r, const struct rs_change *c)
{
	write_chain(r, c->chain, NFT_MSG_DELCHAIN);
}

static void one_set_delete(struct ruleset *r, const struct rs_change *c)
{
	write_set(r, c->set, NFT_MSG_DELSET);
}

void rs_write_changes(struct ruleset *r, const struct rs_changes *c, const struct rs_image *desired,
		      bool base)
{
	if (base) {
		for (size_t i = 0; i < c->n; i++) {
			if (c->list[i].kind != RS_CHANGE_BASE)
				continue;
			write_chain(r, c->list[i].chain, NFT_MSG_NEWCHAIN);
			write_rules(r, desired, c->list[i].chain, false);
		}
		return;
	}
	/* Elements that lead to a chain hold it, also those of maps that go. */
	for_each(r, c, RS_CHANGE_SET_OLD, one_set_flush);
	for_each(r, c, RS_CHANGE_RECREATED, one_flush);
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].kind == RS_CHANGE_ELEMENT_OLD && c->list[i].refers)
			write_elements_of(r, c, i, i + 1, RS_CHANGE_ELEMENT_OLD, true, false);
	for_each(r, c, RS_CHANGE_RECREATED, one_chain_delete);
	for_each(r, c, RS_CHANGE_COUNTER, one_counter);
	for_each(r, c, RS_CHANGE_SET, one_set);
	for_each(r, c, RS_CHANGE_CHAIN, one_chain);
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].kind == RS_CHANGE_RULES)
			write_rules(r, desired, c->list[i].chain, !c->list[i].empty);
	write_elements(r, c);
	for_each(r, c, RS_CHANGE_CHAIN_OLD, one_flush);
	for_each(r, c, RS_CHANGE_CHAIN_OLD, one_chain_delete);
	for_each(r, c, RS_CHANGE_SET_OLD, one_set_delete);
}

void rs_write_sizes(struct ruleset *r, const struct rs_changes *c)
{
	for_each(r, c, RS_CHANGE_SIZE, one_set);
}
