// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/ruleset.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "pin/ruleset_internal.h"

#define MONITOR_BUFFER (1u << 20)
#define REFILL_CHUNK   500

struct probe {
	bool table_refused, destroy_unknown;
};

static void probe_refused(size_t index, int code, void *arg)
{
	struct probe *p = arg;

	if (index == 0)
		p->table_refused = true;
	/* A kernel that knows the message misses the table (ENOENT) instead. */
	if (index == 1 && code != -ENOENT)
		p->destroy_unknown = true;
}

/* One transaction that is always refused, since its second message names a table that does not
 * exist: the kernel still judges every message, and nothing is written. */
static int probe(struct ruleset *r, struct err *e)
{
	struct probe p = { 0 };
	struct err refusal = { 0 };
	struct nlmsghdr *nlh =
		nft_batch_begin(r->batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET);
	int code;

	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, RS_TABLE "_probe");
		mnl_attr_put_u32(nlh, NFTA_TABLE_FLAGS, htonl(RS_TABLE_OWNER | RS_TABLE_PERSIST));
		nft_batch_end(r->batch, nlh, 1);
	}
	nlh = nft_batch_begin(r->batch, RS_MSG_DESTROYSETELEM, 0, NFPROTO_INET);
	if (nlh) {
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, RS_TABLE "_none");
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, "none");
		nft_batch_end(r->batch, nlh, 1);
	}
	code = nft_batch_commit(r->nl, r->batch, probe_refused, &p, &refusal);
	if (code == -EPERM || code == -ENOMEM || code == -ENOBUFS)
		return err_set(e, code, "nf_tables cannot be written: %s", refusal.text);
	r->can_own = !p.table_refused;
	r->can_destroy = !p.destroy_unknown;
	return 0;
}

int ruleset_new(const struct ruleset_options *options, struct ruleset **ret_ruleset, struct err *e)
{
	_cleanup_(ruleset_freep) struct ruleset *r = calloc(1, sizeof(*r));
	uint32_t bytes;
	int code;

	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	code = nft_batch_new(&r->batch);
	if (code == 0)
		code = nl_open(NETLINK_NETFILTER, &r->nl);
	if (code == 0)
		code = nl_open(NETLINK_NETFILTER, &r->monitor);
	if (code == 0)
		code = nl_open(NETLINK_NETFILTER, &r->dump);
	if (code == 0)
		code = nl_join(r->monitor, NFNLGRP_NFTABLES);
	if (code < 0)
		return err_set(e, code, "no nf_tables socket: %s", strerror(-code));
	/* Our own refills are heard, too. */
	nl_set_receive_buffer(r->monitor, MONITOR_BUFFER, &bytes);
	code = probe(r, e);
	if (code < 0)
		return code;
	if (options && options->no_owner)
		r->can_own = false;
	*ret_ruleset = TAKE_PTR(r);
	return 0;
}

struct ruleset *ruleset_free(struct ruleset *r)
{
	if (r) {
		rs_image_clear(&r->actual);
		nft_batch_free(r->batch);
		nl_close(r->nl);
		nl_close(r->monitor);
		nl_close(r->dump);
		free(r);
	}
	return NULL;
}

void ruleset_invalidate(struct ruleset *r)
{
	r->known = false;
}

bool ruleset_owned(const struct ruleset *r)
{
	return r->actual.present && (r->actual.table_flags & RS_TABLE_OWNER);
}

static int commit(struct ruleset *r, struct err *e)
{
	int code = nft_batch_commit(r->nl, r->batch, NULL, NULL, e);

	if (code < 0) {
		r->known = false;
		return err_wrap(e, "table inet " RS_TABLE);
	}
	return 0;
}

static int check_numbers(const struct rs_image *im, const struct ruleset_model *m, struct err *e)
{
	if (!im->present)
		return 0;
	if (im->layout == 0)
		return err_set(e, -EEXIST,
			       "a table inet " RS_TABLE
			       " stands that was not made by flowpind: look at it and remove it "
			       "with flowpind --teardown");
	if (im->layout > RS_LAYOUT)
		return err_set(e, -EPROTO,
			       "table inet " RS_TABLE
			       " has layout %u and this flowpind knows %u: run the newer one, or "
			       "remove the table with flowpind --teardown",
			       im->layout, RS_LAYOUT);
	if (im->mark_mask != m->mark_mask || im->table_base != m->table_base ||
	    im->rule_priority != m->rule_priority)
		return err_set(
			e, -EEXIST,
			"table inet " RS_TABLE
			" was made with mark-mask = 0x%08x, table-base = %u, "
			"rule-priority = %u: keep these numbers, or run flowpin teardown first",
			im->mark_mask, im->table_base, im->rule_priority);
	return 0;
}

/* A table whose owner has gone but that outlived it is free to take. One without PERSIST was made
 * without an owner and stays so. */
static int adopt(struct ruleset *r, struct err *e)
{
	const uint32_t mine = RS_TABLE_OWNER | RS_TABLE_PERSIST;
	int code;

	if (!r->can_own || !r->actual.present || (r->actual.table_flags & mine) != RS_TABLE_PERSIST)
		return 0;
	rs_write_adopt(r);
	code = commit(r, e);
	if (code == 0)
		r->actual.table_flags |= RS_TABLE_OWNER;
	return code;
}

static int read_actual(struct ruleset *r, const struct ruleset_model *m, struct err *e)
{
	struct rs_image im;
	int code = rs_read(r, &im, e);

	if (code < 0)
		return code;
	rs_image_clear(&r->actual);
	r->actual = im;
	code = check_numbers(&im, m, e);
	if (code < 0)
		return code;
	r->known = true;
	return adopt(r, e);
}

/* Each id once: a chain of the two may be missing. Returns how many there are; the list has room
 * for 256. */
static size_t found_list(const struct rs_image *im, struct ruleset_found *list)
{
	bool seen[256] = { false };
	size_t n = 0;

	for (size_t i = 0; i < im->n_chains; i++) {
		struct ruleset_found f;

		if (!rs_chain_binding(&im->chains[i], &f) || seen[f.id])
			continue;
		seen[f.id] = true;
		list[n++] = f;
	}
	return n;
}

int ruleset_read(struct ruleset *r, const struct ruleset_model *numbers, bool *ret_present,
		 struct ruleset_found **ret_found, size_t *ret_n, struct err *e)
{
	_cleanup_(freep) struct ruleset_found *list = calloc(256, sizeof(*list));
	int code;

	if (!list)
		return err_set(e, -ENOMEM, "out of memory");
	r->known = false;
	r->mark_mask = numbers->mark_mask;
	code = read_actual(r, numbers, e);
	if (code < 0)
		return code;
	*ret_n = found_list(&r->actual, list);
	*ret_present = r->actual.present;
	*ret_found = TAKE_PTR(list);
	return 0;
}

/* -ENFILE: the map is full, what is left is learned from packets again. */
static int refill_pins(struct ruleset *r, ruleset_refill_fn refill, void *arg, struct err *e)
{
	_cleanup_(freep) struct ruleset_pin *pins = calloc(REFILL_CHUNK, sizeof(*pins));
	bool more = refill != NULL;
	int code = 0;

	if (!pins)
		return err_set(e, -ENOMEM, "out of memory");
	while (more && code == 0) {
		size_t n = 0;

		while (n < REFILL_CHUNK && (more = refill(&pins[n], arg)))
			n++;
		code = ruleset_pins_add(r, pins, n, e);
	}
	return code == -ENFILE ? 0 : code;
}

static bool has_kind(const struct rs_changes *c, enum rs_change_kind kind)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].kind == kind)
			return true;
	return false;
}

static bool makes_pin_maps(const struct rs_changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].kind == RS_CHANGE_SET && c->list[i].set->kind == RS_PINS)
			return true;
	return false;
}

struct sync {
	const struct ruleset_model *m;
	struct rs_image desired;
	struct rs_changes changes;
	ruleset_refill_fn refill;
	void *arg;
};

static int write_all(struct ruleset *r, struct sync *s, struct err *e)
{
	bool refill = makes_pin_maps(&s->changes);
	int code = 0;

	if (has_kind(&s->changes, RS_CHANGE_TABLE))
		rs_write_table(r, s->m);
	rs_write_changes(r, &s->changes, &s->desired, false);
	if (refill)
		code = commit(r, e);
	if (code == 0 && refill)
		code = refill_pins(r, s->refill, s->arg, e);
	if (code == 0) {
		rs_write_changes(r, &s->changes, &s->desired, true);
		code = commit(r, e);
	}
	if (code == 0 && has_kind(&s->changes, RS_CHANGE_SIZE)) {
		/* Kernels before 6.5 keep the old size, or refuse: the map works on either way. */
		rs_write_sizes(r, &s->changes);
		(void)nft_batch_commit(r->nl, r->batch, NULL, NULL, NULL);
	}
	return code;
}

static int sync_diff(struct ruleset *r, struct sync *s, struct err *e)
{
	int code = rs_diff(&r->actual, &s->desired, &s->changes);

	if (code == 0 && s->changes.rebuild) {
		rs_image_clear(&r->actual);
		rs_changes_clear(&s->changes);
		code = rs_diff(&r->actual, &s->desired, &s->changes);
		/* Not before it is sure that the new table follows in the same transaction. */
		if (code == 0)
			rs_write_table_delete(r);
	}
	return code < 0 ? err_set(e, code, "%s", strerror(-code)) : 0;
}

static int sync_run(struct ruleset *r, struct sync *s, struct err *e)
{
	uint32_t flags;
	int code = rs_desired(s->m, &s->desired, e);

	if (code == 0 && !r->known)
		code = read_actual(r, s->m, e);
	if (code == 0)
		code = sync_diff(r, s, e);
	if (code == 0)
		code = write_all(r, s, e);
	if (code < 0) {
		r->known = false;
		return code;
	}
	flags = r->actual.present ? r->actual.table_flags
		: r->can_own	  ? RS_TABLE_OWNER | RS_TABLE_PERSIST
				  : 0;
	rs_image_clear(&r->actual);
	r->actual = s->desired;
	r->actual.table_flags = flags;
	s->desired = (struct rs_image){ 0 };
	return 0;
}

int ruleset_sync(struct ruleset *r, const struct ruleset_model *m, ruleset_refill_fn refill,
		 void *arg, size_t *ret_changes, struct err *e)
{
	struct sync s = { .m = m, .refill = refill, .arg = arg };
	size_t n;
	int code;

	r->mark_mask = m->mark_mask;
	code = sync_run(r, &s, e);
	n = s.changes.n;
	rs_changes_clear(&s.changes);
	rs_image_clear(&s.desired);
	if (code == 0)
		*ret_changes = n;
	return code;
}

static void verify_report(const struct rs_changes *c, bool present, ruleset_difference_fn fn,
			  void *arg)
{
	char text[512];

	for (size_t i = 0; i < c->n; i++) {
		/* Without the table everything else is missing too. */
		if (!present && c->list[i].kind != RS_CHANGE_TABLE)
			continue;
		fn(rs_change_format(&c->list[i], text, sizeof(text)), arg);
	}
}

int ruleset_verify(struct ruleset *r, const struct ruleset_model *m, ruleset_difference_fn fn,
		   void *arg, struct err *e)
{
	struct rs_image actual = { 0 }, desired = { 0 };
	struct rs_changes changes = { 0 };
	struct err numbers = { 0 };
	int code = rs_read(r, &actual, e);

	if (code == 0)
		code = rs_desired(m, &desired, e);
	if (code == 0 && check_numbers(&actual, m, &numbers) < 0) {
		fn(numbers.text, arg);
	} else if (code == 0) {
		code = rs_diff(&actual, &desired, &changes);
		if (code < 0)
			err_set(e, code, "%s", strerror(-code));
		else
			verify_report(&changes, actual.present, fn, arg);
	}
	rs_changes_clear(&changes);
	rs_image_clear(&actual);
	rs_image_clear(&desired);
	return code;
}

int ruleset_remove(struct ruleset *r, struct err *e)
{
	struct err refusal = { 0 };
	int code;

	r->known = false;
	rs_write_table_delete(r);
	code = nft_batch_commit(r->nl, r->batch, NULL, NULL, &refusal);
	if (code < 0 && code != -ENOENT)
		return err_set(e, code, "table inet " RS_TABLE " cannot be deleted: %s",
			       refusal.text);
	rs_image_clear(&r->actual);
	return 0;
}
