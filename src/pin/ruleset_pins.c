// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "pin/ruleset_internal.h"

/* Single pins. Messages are built by hand: a million of them may pass through here. */

#define CHUNK 500      /* pins a transaction: each is one deletion and one addition */
#define GET_CHUNK 1000 /* pins that are asked for at once ... */
#define GET_GROUP 32   /* ... and by one request */
#define DELETE_TRIES 5

static const enum rs_fixed_set maps[] = { RS_PIN4, RS_PIN6 };

static const char *map_name(uint8_t family)
{
	return rs_fixed_shape(family == AF_INET ? RS_PIN4 : RS_PIN6)->name;
}

static bool may_have_pin(const struct tuple *t)
{
	return t->zone == 0 && proto_name(t->proto);
}

uint32_t rs_pin_key(const struct tuple *t, uint8_t ret_key[RS_PIN_KEY_MAX])
{
	uint32_t len = t->family == AF_INET ? 4 : 16, at = 2 * len;

	if (!may_have_pin(t))
		return 0;
	memset(ret_key, 0, RS_PIN_KEY_MAX);
	memcpy(ret_key, t->src, len);
	memcpy(ret_key + len, t->dst, len);
	ret_key[at] = t->proto;
	ret_key[at + 4] = (uint8_t)(t->sport >> 8);
	ret_key[at + 5] = (uint8_t)t->sport;
	ret_key[at + 8] = (uint8_t)(t->dport >> 8);
	ret_key[at + 9] = (uint8_t)t->dport;
	return at + 12;
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, data);
	mnl_attr_nest_end(nlh, nest);
}

/* `pin` NULL: the key alone. */
static void put_element(struct nlmsghdr *nlh, const uint8_t *key, uint32_t len,
			const struct ruleset_pin *pin, uint32_t mark)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

	put_value(nlh, NFTA_SET_ELEM_KEY, key, len);
	if (pin) {
		put_value(nlh, NFTA_SET_ELEM_DATA, &mark, sizeof(mark));
		mnl_attr_put_u64(nlh, NFTA_SET_ELEM_TIMEOUT,
				 htobe64((uint64_t)pin->timeout_s * 1000));
	}
	mnl_attr_nest_end(nlh, nest);
}

static struct nlattr *put_list(struct nlmsghdr *nlh, const char *map)
{
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, map);
	return mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
}

/* Where the tuples of a call stand: in pins, or alone. */
struct source {
	bool has_pins;
	const struct ruleset_pin *pins;
	const struct tuple *tuples;
	const uint8_t *present; /* NULL: any; else only those that are not 0 are deleted */
};

static const struct tuple *source_tuple(const struct source *s, size_t i)
{
	return s->has_pins ? &s->pins[i].tuple : &s->tuples[i];
}

static void write_message(struct ruleset *r, const struct source *s, size_t from, size_t to,
			  uint8_t family, bool add)
{
	uint16_t type = add		 ? NFT_MSG_NEWSETELEM
			: r->can_destroy ? RS_MSG_DESTROYSETELEM
					 : NFT_MSG_DELSETELEM;
	struct nlmsghdr *nlh =
		nft_batch_begin(r->batch, type, add ? NLM_F_CREATE : 0, NFPROTO_INET);
	struct nlattr *list = nlh ? put_list(nlh, map_name(family)) : NULL;
	uint8_t key[RS_PIN_KEY_MAX];
	size_t n = 0;

	for (size_t i = from; list && i < to; i++) {
		const struct tuple *t = source_tuple(s, i);
		uint32_t len = t->family == family ? rs_pin_key(t, key) : 0;

		if (len == 0 || (!add && s->present && !s->present[i - from]) ||
		    (s->has_pins && s->pins[i].binding == 0))
			continue;
		put_element(nlh, key, len, add ? &s->pins[i] : NULL,
			    add ? rs_mark(r->mark_mask, s->pins[i].binding) : 0);
		n++;
	}
	if (n == 0)
		return;
	mnl_attr_nest_end(nlh, list);
	nft_batch_end(r->batch, nlh, n);
}

static void write_chunk(struct ruleset *r, const struct source *s, size_t from, size_t to)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		write_message(r, s, from, to, families[i], false);
		if (s->has_pins)
			write_message(r, s, from, to, families[i], true);
	}
}

/* A kernel without DESTROYSETELEM (before 6.3) refuses to delete what is not there: ask first, and
 * again when a pin has expired in between. */
static int commit_chunk_asking(struct ruleset *r, struct source s, size_t from, size_t to,
			       struct err *e)
{
	struct tuple tuples[CHUNK];
	uint8_t present[CHUNK];
	int code = -ENOENT;

	for (size_t i = from; i < to; i++)
		tuples[i - from] = *source_tuple(&s, i);
	for (int i = 0; i < DELETE_TRIES && code == -ENOENT; i++) {
		code = ruleset_pins_get(r, tuples, to - from, present, e);
		if (code < 0)
			return code;
		s.present = present;
		write_chunk(r, &s, from, to);
		code = nft_batch_commit(r->nl, r->batch, NULL, NULL, e);
	}
	return code;
}

static int write_source(struct ruleset *r, const struct source *s, size_t n, struct err *e)
{
	int code = 0;

	for (size_t from = 0; code == 0 && from < n; from += CHUNK) {
		size_t to = from + CHUNK < n ? from + CHUNK : n;

		if (r->can_destroy) {
			write_chunk(r, s, from, to);
			code = nft_batch_commit(r->nl, r->batch, NULL, NULL, e);
		} else {
			code = commit_chunk_asking(r, *s, from, to, e);
		}
	}
	if (code == -ENFILE)
		return err_set(e, code, "the pin map is full");
	return code < 0 ? err_wrap(e, "pins") : 0;
}

int ruleset_pins_delete(struct ruleset *r, const struct tuple *tuples, size_t n, struct err *e)
{
	struct source s = { .tuples = tuples };

	return write_source(r, &s, n, e);
}

int ruleset_pins_add(struct ruleset *r, const struct ruleset_pin *pins, size_t n, struct err *e)
{
	struct source s = { .has_pins = true, .pins = pins };

	if (n && r->mark_mask == 0)
		return err_set(e, -EINVAL,
			       "pins cannot be added before the table was read or written");
	return write_source(r, &s, n, e);
}

static const struct nl_attr_policy list_policy[] = {
	[NFTA_SET_ELEM_LIST_ELEMENTS] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy element_policy[] = {
	[NFTA_SET_ELEM_KEY] = { NL_ATTR_NESTED, 0, 0 },
	[NFTA_SET_ELEM_DATA] = { NL_ATTR_NESTED, 0, 0 },
};

static const struct nl_attr_policy data_policy[] = {
	[NFTA_DATA_VALUE] = { NL_ATTR_BINARY, 64, 0 },
};

static const struct nlattr *value_of(const struct nlattr *nested)
{
	const struct nlattr *tb[ARRAY_SIZE(data_policy)];

	if (!nested || nl_attr_parse(mnl_attr_get_payload(nested), mnl_attr_get_payload_len(nested),
				     data_policy, tb, ARRAY_SIZE(tb)) < 0)
		return NULL;
	return tb[NFTA_DATA_VALUE];
}

/* The elements of a message; *ret_list is NULL when it has none. */
static int list_of(const struct nlmsghdr *nlh, const struct nlattr **ret_list)
{
	const struct nlattr *tb[ARRAY_SIZE(list_policy)];
	size_t len = mnl_nlmsg_get_payload_len(nlh);
	int r;

	if (len < sizeof(struct nfgenmsg))
		return -EBADMSG;
	r = nl_attr_parse(mnl_nlmsg_get_payload_offset(nlh, sizeof(struct nfgenmsg)),
			  len - sizeof(struct nfgenmsg), list_policy, tb, ARRAY_SIZE(tb));
	if (r == 0)
		*ret_list = tb[NFTA_SET_ELEM_LIST_ELEMENTS];
	return r;
}

static bool tuple_from_key(const struct nlattr *value, struct tuple *ret_tuple)
{
	uint32_t size = mnl_attr_get_payload_len(value);
	const uint8_t *key = mnl_attr_get_payload(value);
	struct tuple t = { 0 };
	uint32_t len, at;

	if (size != 20 && size != RS_PIN_KEY_MAX)
		return false;
	len = size == 20 ? 4 : 16;
	at = 2 * len;
	t.family = size == 20 ? AF_INET : AF_INET6;
	memcpy(t.src, key, len);
	memcpy(t.dst, key + len, len);
	t.proto = key[at];
	t.sport = (uint16_t)(key[at + 4] << 8 | key[at + 5]);
	t.dport = (uint16_t)(key[at + 8] << 8 | key[at + 9]);
	*ret_tuple = t;
	return true;
}

/* The binding of an element, 0 for none; ret_tuple may be NULL. */
static uint8_t element_read(const struct ruleset *r, const struct nlattr *attr,
			    struct tuple *ret_tuple)
{
	const struct nlattr *tb[ARRAY_SIZE(element_policy)], *key, *data;
	uint32_t mark;

	if (nl_attr_parse(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr),
			  element_policy, tb, ARRAY_SIZE(tb)) < 0)
		return 0;
	key = value_of(tb[NFTA_SET_ELEM_KEY]);
	data = value_of(tb[NFTA_SET_ELEM_DATA]);
	if (!data || mnl_attr_get_payload_len(data) != sizeof(mark) || r->mark_mask == 0)
		return 0;
	if (ret_tuple && (!key || !tuple_from_key(key, ret_tuple)))
		return 0;
	memcpy(&mark, mnl_attr_get_payload(data), sizeof(mark));
	return (uint8_t)((mark & r->mark_mask) >> __builtin_ctz(r->mark_mask));
}

/* A request for several pins is answered pin by pin up to the first that is missing, which ends it.
 * What stands behind that one is asked for again, in requests about as long as pins came in a row:
 * one by one where most are gone. */
struct get {
	const struct ruleset *r;
	struct nl_pipeline *p;
	const struct tuple *tuples;
	uint8_t *bindings;
	uint16_t places[GET_CHUNK]; /* of the tuples that are still to be asked for */
	size_t n_places;
	struct get_group {
		uint16_t first, n, answered; /* first: in places */
	} groups[GET_CHUNK]; /* of each request of a round */
	size_t most;	     /* pins a request of the round */
	size_t present, missing, n_left; /* what it found; still to be asked for behind it */
	int code;
	struct err *e;
};

/* nf_tables_getsetelem() sends each element in a message of its own. */
static void get_part(size_t index, const struct nlmsghdr *nlh, void *arg)
{
	struct get *g = arg;
	struct get_group *group = &g->groups[index];
	const struct nlattr *list, *attr;

	if (list_of(nlh, &list) < 0 || !list)
		return;
	mnl_attr_for_each_nested(attr, list) {
		if (group->answered == group->n)
			return;
		g->bindings[g->places[group->first + group->answered++]] =
			element_read(g->r, attr, NULL);
	}
}

static void get_answer(size_t index, const struct nlmsghdr *nlh _unused_, int code,
		       const struct err *e, void *arg)
{
	struct get *g = arg;
	const struct get_group *group = &g->groups[index];

	g->present += group->answered;
	if (group->answered == group->n && code == 0)
		return;
	if (group->answered == group->n || code != -ENOENT) {
		if (g->code == 0)
			g->code = err_set(g->e, code < 0 ? code : -EBADMSG,
					  "a pin cannot be read: %s",
					  code < 0 && e ? e->text : "an answer is malformed");
		return;
	}
	g->missing++;
	for (size_t i = group->answered + 1U; i < group->n; i++)
		g->places[g->n_left++] = g->places[group->first + i];
}

static int get_add(struct get *g, struct get_group *group)
{
	uint8_t buf[NL_REQUEST_MAX], family = g->tuples[g->places[group->first]].family;
	struct nlmsghdr *nlh = nft_request(buf, NFT_MSG_GETSETELEM, NFPROTO_INET);
	struct nlattr *list = put_list(nlh, map_name(family));

	while (group->n < g->most && group->first + group->n < g->n_places) {
		const struct tuple *t = &g->tuples[g->places[group->first + group->n]];
		uint8_t key[RS_PIN_KEY_MAX];

		if (t->family != family)
			break;
		put_element(nlh, key, rs_pin_key(t, key), NULL, 0);
		group->n++;
	}
	mnl_attr_nest_end(nlh, list);
	return nl_pipeline_add(g->p, nlh);
}

/* Asks for all that is left, once. */
static int get_round(struct get *g)
{
	struct get_group *group = g->groups;
	int code = 0;

	g->present = g->missing = g->n_left = 0;
	for (size_t i = 0; code == 0 && i < g->n_places; i += group++->n) {
		*group = (struct get_group){ .first = (uint16_t)i };
		code = get_add(g, group);
	}
	if (code < 0)
		return err_set(g->e, code, "%s", strerror(-code));
	nl_pipeline_set_parts(g->p, g->most, get_part);
	code = nl_pipeline_run(g->p, get_answer, g, g->e);
	g->n_places = g->n_left;
	return code < 0 ? code : g->code;
}

static size_t group_size(const struct get *g)
{
	size_t room = nl_pipeline_room(g->p), most = room < GET_GROUP ? room : GET_GROUP;
	size_t in_a_row = g->missing ? g->present / g->missing : most;

	return in_a_row == 0 ? 1 : in_a_row < most ? in_a_row : most;
}

static int get_chunk(struct get *g, size_t n)
{
	int code = 0;

	memset(g->bindings, 0, n);
	for (size_t i = 0; i < n; i++)
		if (may_have_pin(&g->tuples[i]))
			g->places[g->n_places++] = (uint16_t)i;
	while (code == 0 && g->n_places > 0) {
		g->most = group_size(g);
		code = get_round(g);
	}
	return code;
}

int ruleset_pins_get(struct ruleset *r, const struct tuple *tuples, size_t n, uint8_t *ret_bindings,
		     struct err *e)
{
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *p = NULL;
	int code = nl_pipeline_new(r->nl, &p);
	struct get g = { .r = r, .p = p, .e = e };

	if (code < 0)
		return err_set(e, code, "%s", strerror(-code));
	for (size_t from = 0; code == 0 && from < n; from += GET_CHUNK) {
		g.tuples = tuples + from;
		g.bindings = ret_bindings + from;
		code = get_chunk(&g, n - from < GET_CHUNK ? n - from : GET_CHUNK);
	}
	return code;
}

static int dump_map(struct ruleset *r, enum rs_fixed_set which)
{
	uint8_t buf[512];
	struct nlmsghdr *nlh = nft_request(buf, NFT_MSG_GETSETELEM, NFPROTO_INET);

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, rs_fixed_shape(which)->name);
	return nl_dump_begin(r->dump, nlh);
}

int ruleset_pins_dump_begin(struct ruleset *r)
{
	int code = dump_map(r, maps[0]);

	if (code == 0)
		r->dump_stage = RS_DUMP_PIN4;
	return code;
}

int ruleset_pins_dump_fd(const struct ruleset *r)
{
	return nl_fd(r->dump);
}

struct walk {
	const struct ruleset *r;
	ruleset_pin_fn fn;
	void *arg;
};

static int walk_message(const struct nlmsghdr *nlh, void *arg)
{
	const struct walk *w = arg;
	const struct nlattr *list, *attr;
	int code = list_of(nlh, &list);

	if (code < 0 || !list)
		return code;
	mnl_attr_for_each_nested(attr, list) {
		struct tuple t;
		uint8_t binding = element_read(w->r, attr, &t);

		if (binding)
			w->fn(&t, binding, w->arg);
	}
	return 0;
}

int ruleset_pins_dump_step(struct ruleset *r, unsigned max_datagrams, ruleset_pin_fn fn, void *arg)
{
	struct walk w = { .r = r, .fn = fn, .arg = arg };
	int code;

	if (r->dump_stage == RS_DUMP_IDLE)
		return 0;
	code = nl_dump_step(r->dump, max_datagrams, walk_message, &w);
	if (code > 0)
		return 1;
	/* Interrupted means that some transaction was committed meanwhile, not that a pin was
	 * missed: the walk over a map that packets write to is never exact. A map that is gone has
	 * no pins. */
	if (code < 0 && code != -EINTR && code != -ENOENT) {
		r->dump_stage = RS_DUMP_IDLE;
		return code;
	}
	if (r->dump_stage == RS_DUMP_PIN6) {
		r->dump_stage = RS_DUMP_IDLE;
		return 0;
	}
	code = dump_map(r, maps[1]);
	r->dump_stage = code < 0 ? RS_DUMP_IDLE : RS_DUMP_PIN6;
	return code < 0 ? code : 1;
}
