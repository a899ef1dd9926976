// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/vec.h"
#include "eapi/reconciler_internal.h"

#define CODE_UNAUTHORIZED 1005

void write_batch_clear(struct write_batch *b)
{
	commands_free(&b->commands);
	free(b->item);
	*b = (struct write_batch){ 0 };
}

static bool needs_delete(const struct rec_flow *f)
{
	if (f->busy || f->doubt || f->dry || !f->there)
		return false;
	/* A spoilt flow that is wanted is deleted by being written anew, unless that has to wait.
	 */
	return (f->known && !f->present) || f->purge ||
	       (f->spoilt && (!f->known || f->refusal != REFUSAL_NONE));
}

static bool needs_add(const struct reconciler *r, const struct rec_flow *f, uint64_t now_ms)
{
	const struct family_state *family = &r->family[f->tuple.family == AF_INET6];

	if (!f->known || !f->present || f->busy || f->doubt || f->dry || f->expired || f->purge ||
	    f->nexthop.family == 0)
		return false;
	if (f->there && !f->spoilt &&
	    (!f->there_known || ip_addr_equal(&f->there_nexthop, &f->nexthop)))
		return false;
	if (f->refusal == REFUSAL_FLOW &&
	    (now_ms < f->retry_ms || f->refusals >= r->config->attempts))
		return false;
	return family->streak < FAMILY_STREAK || now_ms >= family->until_ms;
}

static int add_item(struct write_batch *b, const struct rec_flow *f, size_t from)
{
	struct batch_item *list = vec_reserve(b->item, b->n, &b->cap, sizeof(*list));

	if (!list) {
		b->commands.failed = true; /* it is not sent */
		return -ENOMEM;
	}
	b->item = list;
	list[b->n++] = (struct batch_item){ .tuple = f->tuple,
					    .from = from,
					    .to = b->commands.n,
					    .version = f->version,
					    .nexthop = f->nexthop };
	return 0;
}

static void collect_deletes(struct reconciler *r, struct write_batch *b)
{
	char name[FLOW_NAME];

	for (size_t i = 0; i < r->n && b->n < RECONCILER_DELETES_MAX; i++) {
		struct rec_flow *f = &r->flow[i];
		size_t from = b->commands.n;

		if (!needs_delete(f))
			continue;
		flow_text_delete(flow_name_format(r->prefix, &f->tuple, name), &b->commands);
		if (add_item(b, f, from) < 0)
			return;
		f->busy = true;
	}
}

/* Sets the sentence of a flow that has to wait, and whether that is news. */
static void set_wait(struct rec_flow *f, enum refusal refusal, const char *text)
{
	if (f->refusal == refusal && strcmp(f->text, text) == 0)
		return;
	f->refusal = refusal;
	snprintf(f->text, sizeof(f->text), "%s", text);
	f->dirty = true;
}

/* Adds the commands of one flow. False: it has to wait. */
static bool add_flow(struct reconciler *r, struct rec_flow *f, struct write_batch *b)
{
	struct flow_target target = { .nexthop = f->nexthop,
				      .idle_timeout_s = (rec_idle_ms(r, f) + 999) / 1000 };
	/* What is not listed may be there all the same: a model may hide it. */
	bool deletes = f->there || !r->missing_is_error;
	size_t from = b->commands.n;
	char name[FLOW_NAME];
	int x;

	if (flow_text_action(r->config, f->tuple.family) == SWITCH_ACTION_L2 &&
	    !r->resolver.resolve(r->resolver.arg, &target)) {
		set_wait(f, REFUSAL_NONE, "the switch does not know where the nexthop is");
		return false;
	}
	x = flow_text_add(r->config, flow_name_format(r->prefix, &f->tuple, name), &f->tuple,
			  &target, deletes, &b->commands);
	if (x == -EOPNOTSUPP)
		set_wait(f, REFUSAL_FLOW, "no action is configured for its address family");
	else if (x < 0)
		set_wait(f, REFUSAL_NONE, "the switch does not know where the nexthop is");
	if (x < 0 || add_item(b, f, from) < 0)
		return false;
	b->item[b->n - 1].deletes = deletes;
	f->busy = true;
	return true;
}

static uint32_t flows_there(const struct reconciler *r)
{
	uint32_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->flow[i].there || r->flow[i].doubt;
	return n;
}

static void collect_adds(struct reconciler *r, uint32_t flows, uint64_t now_ms,
			 struct write_batch *b)
{
	int64_t used = rec_used(r), limit = rec_limit(r);
	uint32_t count = flows_there(r);
	bool tried[2] = { false };

	for (size_t i = 0;
	     i < r->n && b->n < flows && b->commands.n + 16 <= r->config->batch_commands; i++) {
		struct rec_flow *f = &r->flow[i];
		struct family_state *family = rec_family(r, &f->tuple);
		uint32_t entries = f->there ? 0 : rec_entries(r, &f->tuple);

		if (!needs_add(r, f, now_ms))
			continue;
		/* A family that was refused is tried with one flow. */
		if (family->streak >= FAMILY_STREAK && tried[f->tuple.family == AF_INET6])
			continue;
		if (!f->there &&
		    (count >= r->config->max_flows || used + (int64_t)entries > limit)) {
			set_wait(f, REFUSAL_FULL, "no resource left in the switch's table");
			continue;
		}
		tried[f->tuple.family == AF_INET6] = true;
		count += !f->there;
		if (add_flow(r, f, b))
			used += entries;
	}
}

bool reconciler_next(struct reconciler *r, uint32_t flows, uint64_t now_ms,
		     struct write_batch *ret_batch)
{
	struct write_batch b = { .kind = BATCH_DELETE };

	if (!r->attached || reconciler_in_doubt(r))
		return false;
	flow_text_begin(r->config, &b.commands);
	b.begin = b.commands.n;
	collect_deletes(r, &b);
	if (b.n == 0) {
		b.kind = BATCH_ADD;
		collect_adds(r, flows, now_ms, &b);
	}
	if (b.n == 0 && r->nudge) {
		b.kind = BATCH_NUDGE;
		r->nudge = false;
	} else if (b.n == 0) {
		write_batch_clear(&b);
		return false;
	}
	*ret_batch = b;
	return true;
}

static void written(struct reconciler *r, struct rec_flow *f, const struct batch_item *item,
		    uint64_t now_ms)
{
	struct family_state *family = rec_family(r, &f->tuple);

	f->there = f->there_known = true;
	f->there_nexthop = item->nexthop;
	f->read = f->programmed = f->spoilt = f->purge = false;
	f->status = FLOW_STATUS_UNKNOWN;
	f->text[0] = '\0';
	f->has_counters = false;
	f->packets = f->bytes = 0;
	f->moved_ms = f->changed_ms = now_ms;
	f->inactive_ms = 0;
	f->refusal = REFUSAL_NONE;
	f->dirty = true;
	if (family->streak > 0)
		*family = (struct family_state){ 0 };
}

static void deleted(struct rec_flow *f, uint64_t now_ms)
{
	f->there = f->there_known = f->read = f->programmed = f->spoilt = f->purge = false;
	f->status = FLOW_STATUS_UNKNOWN;
	f->changed_ms = now_ms;
	f->dirty = true;
}

/* The flow that the failed command belongs to. What was done of it is half a flow. */
static void culprit(struct reconciler *r, struct rec_flow *f, const struct write_batch *b,
		    const struct batch_item *item, const struct batch_failure *failure,
		    uint64_t now_ms)
{
	struct family_state *family = rec_family(r, &f->tuple);
	bool missing = failure->at == item->from && (b->kind == BATCH_DELETE || item->deletes) &&
		       failure->code != CODE_UNAUTHORIZED;
	uint64_t wait = FAMILY_MS;

	f->changed_ms = now_ms;
	r->missing_is_error |= missing;
	/* Whether it is still there is read before it is tried again. */
	if (b->kind == BATCH_DELETE)
		f->doubt = true;
	if (b->kind == BATCH_DELETE || (missing && !f->there))
		return;
	f->there = f->spoilt = true;
	f->there_known = false;
	f->status = FLOW_STATUS_UNKNOWN;
	rec_refuse(f, REFUSAL_FLOW, failure->text, now_ms);
	if (++family->streak < FAMILY_STREAK)
		return;
	for (uint32_t i = 0; i < family->blocks && wait < REFUSED_MAX_MS; i++)
		wait *= 2;
	family->blocks++;
	family->until_ms = now_ms + (wait < REFUSED_MAX_MS ? wait : REFUSED_MAX_MS);
	snprintf(family->text, sizeof(family->text), "%s", f->text);
}

static void settle_item(struct reconciler *r, struct rec_flow *f, const struct write_batch *b,
			const struct batch_item *item, enum batch_outcome outcome, uint64_t now_ms)
{
	switch (outcome) {
	case BATCH_DONE:
		if (b->kind == BATCH_ADD)
			written(r, f, item, now_ms);
		else
			deleted(f, now_ms);
		break;
	case BATCH_UNKNOWN:
		f->doubt = true;
		f->changed_ms = now_ms;
		f->linger_ms = now_ms + LINGER_MS;
		break;
	case BATCH_DRY:
		f->dry = true;
		set_wait(f, REFUSAL_NONE, "dry run");
		break;
	case BATCH_FAILED:
	case BATCH_UNSENT:
		break;
	}
}

bool reconciler_done(struct reconciler *r, const struct write_batch *b, enum batch_outcome outcome,
		     const struct batch_failure *failure, uint64_t now_ms)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct batch_item *item = &b->item[i];
		struct rec_flow *f = rec_find(r, &item->tuple);

		if (!f) /* everything was forgotten meanwhile */
			continue;
		f->busy = false;
		if (outcome != BATCH_FAILED)
			settle_item(r, f, b, item, outcome, now_ms);
		else if (failure->at >= item->to)
			settle_item(r, f, b, item, BATCH_DONE, now_ms);
		else if (failure->at >= item->from)
			culprit(r, f, b, item, failure, now_ms);
	}
	return outcome == BATCH_FAILED && failure->at < b->begin;
}
