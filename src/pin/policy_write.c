// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy_internal.h"

#include <errno.h>
#include <string.h>
#include "base/vec.h"

/* One thing to write, in the order of its phase. */
enum op_kind {
	OP_ROUTE_SET, /* add or replace */
	OP_RULE_ADD,
	OP_RULE_DEL,
	OP_ROUTE_DEL,
};

struct op {
	enum op_kind kind;
	uint8_t step; /* within the kind: rules go class by class */
	size_t old_i; /* index in `actual`, or NONE */
	size_t new_i; /* index in `want`, or NONE */
	int code;
	size_t seq; /* in the order of adding */
};
#define NONE SIZE_MAX

struct writer {
	struct policy_state *actual, *want;
	struct op *ops;
	size_t n, cap;
	struct nl *nl;
	struct nl_pipeline *pipeline;
	size_t *sent; /* index of the op of each request */
	struct policy_written written;
	struct err *e;
};

static int op_add(struct writer *w, struct op op)
{
	struct op *ops = vec_reserve(w->ops, w->n, &w->cap, sizeof(*ops));

	if (!ops)
		return -ENOMEM;
	w->ops = ops;
	op.seq = w->n;
	ops[w->n++] = op;
	return 0;
}

static int diff_routes(struct writer *w)
{
	const struct route_vec *old = &w->actual->routes, *new = &w->want->routes;
	size_t i = 0, j = 0;
	int r = 0;

	while (r == 0 && (i < old->n || j < new->n)) {
		int c = i == old->n   ? 1
			: j == new->n ? -1
				      : policy_route_compare_key(&old->list[i], &new->list[j]);

		if (c < 0) {
			r = op_add(w, (struct op){ OP_ROUTE_DEL, 0, i++, NONE, 0, 0 });
		} else if (c > 0) {
			r = op_add(w, (struct op){ OP_ROUTE_SET, 0, NONE, j++, 0, 0 });
		} else {
			if (!policy_route_equal(&old->list[i], &new->list[j]))
				r = op_add(w, (struct op){ OP_ROUTE_SET, 0, i, j, 0, 0 });
			i++;
			j++;
		}
	}
	return r;
}

static int diff_rules(struct writer *w)
{
	const struct rule_vec *old = &w->actual->rules, *new = &w->want->rules;
	size_t i = 0, j = 0;
	int r = 0;

	while (r == 0 && (i < old->n || j < new->n)) {
		int c = i == old->n   ? 1
			: j == new->n ? -1
				      : policy_rule_compare(&old->list[i], &new->list[j]);

		if (c == 0) {
			i++;
			j++;
		} else if (c < 0) {
			uint8_t step = (uint8_t)(RULE_ENTRY - policy_rule_classify(&old->list[i]));

			r = op_add(w, (struct op){ OP_RULE_DEL, step, i++, NONE, 0, 0 });
		} else {
			uint8_t step = (uint8_t)policy_rule_classify(&new->list[j]);

			r = op_add(w, (struct op){ OP_RULE_ADD, step, NONE, j++, 0, 0 });
		}
	}
	return r;
}

/* New before old: tables, then the rules that lead to them from the inside out; then away with old
 * rules from the outside in, at last with old routes. */
static int op_order(const void *x, const void *y)
{
	const struct op *a = x, *b = y;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->step != b->step)
		return a->step < b->step ? -1 : 1;
	return a->seq < b->seq ? -1 : 1;
}

static struct nlmsghdr *route_delete(const struct writer *w, void *buf, size_t size, size_t i)
{
	struct route key = w->actual->routes.list[i];

	/* Without nexthops all of a multipath route goes. */
	key.nexthops = NULL;
	key.n_nexthops = 0;
	key.nh_id = 0;
	return rt_request_route(buf, size, RTM_DELROUTE, 0, &key);
}

static struct nlmsghdr *op_request(const struct writer *w, const struct op *op, void *buf,
				   size_t size)
{
	switch (op->kind) {
	case OP_ROUTE_SET:
		return rt_request_route(buf, size, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE,
					&w->want->routes.list[op->new_i]);
	case OP_RULE_ADD:
		return rt_request_rule(buf, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL,
				       &w->want->rules.list[op->new_i]);
	case OP_RULE_DEL:
		return rt_request_rule(buf, RTM_DELRULE, 0, &w->actual->rules.list[op->old_i]);
	case OP_ROUTE_DEL:
		return route_delete(w, buf, size, op->old_i);
	}
	return NULL;
}

static const char *op_format(const struct writer *w, const struct op *op, char *text)
{
	bool new = op->new_i != NONE;
	size_t i = new ? op->new_i : op->old_i;
	const struct policy_state *s = new ? w->want : w->actual;

	if (op->kind == OP_RULE_ADD || op->kind == OP_RULE_DEL)
		return policy_rule_format(&s->rules.list[i], text);
	return policy_route_format(&s->routes.list[i], text);
}

static void op_failed(struct writer *w, struct op *op, int code, const char *why)
{
	char text[POLICY_TEXT];

	op->code = code;
	if (w->written.failed++ == 0)
		err_set(w->e, code, "%s: %s", op_format(w, op, text), why);
	/* What the kernel said it has, or has not, is not what we thought. A route that it refuses
	 * for its nexthop is no surprise. */
	if (op->kind != OP_ROUTE_SET)
		w->written.stale = true;
}

static void on_answer(size_t index, const struct nlmsghdr *nlh _unused_, int code,
		      const struct err *e, void *arg)
{
	struct writer *w = arg;
	struct op *op = &w->ops[w->sent[index]];
	bool takes_away = op->new_i == NONE;

	/* Gone already: somebody else was faster, or the kernel took it with its interface. */
	if (takes_away && (code == -ENOENT || code == -ESRCH))
		code = 0;
	if (code < 0)
		op_failed(w, op, code, e->text);
	else
		w->written.changes++;
	/* The kernel deletes the first rule that has what we named; with a selector that we cannot
	 * name it may be another. */
	if (op->kind == OP_RULE_DEL && w->actual->rules.list[op->old_i].other)
		w->written.stale = true;
	if (code == -ENOBUFS || code == -ETIMEDOUT)
		w->written.stale = true;
}

static int send_ops(struct writer *w)
{
	size_t size = (size_t)MNL_SOCKET_BUFFER_SIZE, n = 0;
	_cleanup_(freep) void *buf = malloc(size);
	int r;

	w->sent = calloc(w->n, sizeof(*w->sent));
	if (!buf || !w->sent)
		return err_set(w->e, -ENOMEM, "out of memory");
	r = nl_pipeline_new(w->nl, &w->pipeline);
	if (r < 0)
		return err_set(w->e, r, "%s", strerror(-r));
	for (size_t i = 0; i < w->n; i++) {
		struct nlmsghdr *nlh = op_request(w, &w->ops[i], buf, size);

		if (!nlh) {
			op_failed(w, &w->ops[i], -E2BIG,
				  "cannot be written (too many nexthops, or an encapsulation "
				  "that is too long)");
			continue;
		}
		r = nl_pipeline_add(w->pipeline, nlh);
		if (r < 0)
			return err_set(w->e, r, "%s", strerror(-r));
		w->sent[n++] = i;
	}
	return nl_pipeline_run(w->pipeline, on_answer, w, w->e);
}

static void swap_state(struct policy_state *a, struct policy_state *b)
{
	struct policy_state t = *a;

	*a = *b;
	*b = t;
}

/* What stands now: the old without what was taken away or replaced, and the new that was accepted.
 */
static int settle(struct writer *w)
{
	_cleanup_(policy_state_clear) struct policy_state now = { 0 };
	_cleanup_(freep) bool *gone =
		calloc(w->actual->routes.n + w->actual->rules.n + 1, sizeof(*gone));
	bool *rule_gone;
	int r = 0;

	if (!gone)
		return -ENOMEM;
	rule_gone = gone + w->actual->routes.n;
	for (size_t i = 0; r == 0 && i < w->n; i++) {
		const struct op *op = &w->ops[i];
		bool rule = op->kind == OP_RULE_ADD || op->kind == OP_RULE_DEL;

		if (op->code < 0)
			continue;
		if (op->old_i != NONE)
			(rule ? rule_gone : gone)[op->old_i] = true;
		if (op->new_i == NONE)
			continue;
		r = rule ? policy_state_add_rule(&now, &w->want->rules.list[op->new_i])
			 : policy_state_add_route(&now, &w->want->routes.list[op->new_i]);
	}
	for (size_t i = 0; r == 0 && i < w->actual->rules.n; i++)
		if (!rule_gone[i])
			r = policy_state_add_rule(&now, &w->actual->rules.list[i]);
	for (size_t i = 0; r == 0 && i < w->actual->routes.n; i++)
		if (!gone[i])
			r = policy_state_add_route(&now, &w->actual->routes.list[i]);
	if (r < 0)
		return r;
	policy_state_sort(&now);
	swap_state(w->actual, &now);
	return 0;
}

static void writer_clear(struct writer *w)
{
	free(w->ops);
	free(w->sent);
	nl_pipeline_free(w->pipeline);
}

int policy_write(struct nl *nl, struct policy_state *actual, struct policy_state *want,
		 struct policy_written *ret_written, struct err *e)
{
	_cleanup_(writer_clear) struct writer w = {
		.nl = nl, .actual = actual, .want = want, .e = e
	};
	int r;

	r = diff_routes(&w);
	if (r == 0)
		r = diff_rules(&w);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (w.n > 0) {
		qsort(w.ops, w.n, sizeof(*w.ops), op_order);
		r = send_ops(&w);
		if (r < 0)
			return r;
		r = settle(&w);
		if (r < 0)
			return err_set(e, r, "out of memory");
	}
	*ret_written = w.written;
	return 0;
}
