// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/vec.h"
#include "eapi/reconciler_internal.h"

static const struct tuple *tuple_at(const void *owner, uint32_t position)
{
	return &((const struct reconciler *)owner)->flow[position].tuple;
}

struct rec_flow *rec_find(const struct reconciler *r, const struct tuple *t)
{
	uint32_t at = tuple_index_find(&r->index, t, tuple_at, r);

	return at == UINT32_MAX ? NULL : &r->flow[at];
}

struct rec_flow *rec_flow_get(struct reconciler *r, const struct tuple *t)
{
	struct rec_flow *f = rec_find(r, t), *list;

	if (f)
		return f;
	if (r->n == RECONCILER_FLOWS_MAX)
		return NULL;
	list = vec_reserve(r->flow, r->n, &r->cap, sizeof(*list));
	if (!list)
		return NULL;
	r->flow = list;
	list[r->n] = (struct rec_flow){ .tuple = *t };
	if (tuple_index_add(&r->index, (uint32_t)r->n, tuple_at, r) < 0)
		return NULL;
	return &list[r->n++];
}

void rec_remove(struct reconciler *r, size_t position)
{
	tuple_index_remove(&r->index, &r->flow[position].tuple, tuple_at, r);
	if (position != r->n - 1) {
		tuple_index_move(&r->index, &r->flow[r->n - 1].tuple, (uint32_t)position, tuple_at,
				 r);
		r->flow[position] = r->flow[r->n - 1];
	}
	r->n--;
}

static void forget_all(struct reconciler *r)
{
	free(r->flow);
	tuple_index_clear(&r->index);
	r->flow = NULL;
	r->n = r->cap = 0;
}

int reconciler_new(const struct switch_config *config, const struct reconciler_resolver *resolver,
		   const uint64_t key[2], struct reconciler **ret_reconciler)
{
	struct reconciler *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->config = config;
	r->resolver = *resolver;
	r->index.key[0] = key[0];
	r->index.key[1] = key[1];
	r->room = (struct room){ .learned = -1, .tcam = -1, .step = 1 };
	*ret_reconciler = r;
	return 0;
}

struct reconciler *reconciler_free(struct reconciler *r)
{
	if (r) {
		forget_all(r);
		free(r);
	}
	return NULL;
}

void reconciler_set_prefix(struct reconciler *r, const char *prefix)
{
	if (strcmp(r->prefix, prefix) == 0)
		return;
	forget_all(r);
	snprintf(r->prefix, sizeof(r->prefix), "%s", prefix);
}

const char *reconciler_prefix(const struct reconciler *r)
{
	return r->prefix;
}

uint32_t rec_idle_ms(const struct reconciler *r, const struct rec_flow *f)
{
	return f->idle_ms ? f->idle_ms : r->config->idle_timeout_ms;
}

void rec_refuse(struct rec_flow *f, enum refusal refusal, const char *text, uint64_t now_ms)
{
	uint64_t wait = REFUSED_MS;

	for (uint32_t i = 0; i < f->refusals && wait < REFUSED_MAX_MS; i++)
		wait *= 2;
	f->refusals++;
	f->refusal = refusal;
	f->retry_ms = now_ms + (wait < REFUSED_MAX_MS ? wait : REFUSED_MAX_MS);
	eapi_clean_text(text, f->text, sizeof(f->text));
	f->dirty = true;
}

void reconciler_snapshot_begin(struct reconciler *r)
{
	r->snapshot++;
	r->attached = false;
}

void reconciler_snapshot_end(struct reconciler *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct rec_flow *f = &r->flow[i];

		if (f->known && f->snapshot != r->snapshot) {
			f->known = f->present = false;
			f->version = 0;
			f->dirty = true;
		}
	}
	r->attached = true;
}

void reconciler_detach(struct reconciler *r)
{
	r->attached = false;
}

int reconciler_wish(struct reconciler *r, const struct wish *w, uint64_t now_ms)
{
	struct tuple t = w->tuple;
	struct rec_flow *f;

	t.zone = 0;
	f = rec_flow_get(r, &t);
	if (!f)
		return r->n == RECONCILER_FLOWS_MAX ? -ENOSPC : -ENOMEM;
	f->snapshot = r->snapshot;
	/* The same wish again, as in a snapshot, changes nothing about what was learned of it. */
	if (f->known && f->version == w->version && f->present == w->present &&
	    ip_addr_equal(&f->nexthop, &w->nexthop))
		return 0;
	f->known = true;
	f->present = w->present;
	f->version = w->version;
	f->nexthop = w->nexthop;
	f->idle_ms = w->idle_timeout_ms;
	f->wish_ms = now_ms;
	f->refusal = REFUSAL_NONE;
	f->refusals = f->mismatches = 0;
	f->retry_ms = 0;
	f->expired = f->dry = false;
	f->dirty = true;
	return 0;
}

void reconciler_reboot(struct reconciler *r, uint64_t now_ms)
{
	for (size_t i = 0; i < r->n; i++) {
		struct rec_flow *f = &r->flow[i];

		/* Whether it survived is for the next reading to say; until then its counters mean
		 * nothing. */
		f->moved_ms = now_ms;
		f->vanished = false;
		f->refusal = REFUSAL_NONE;
		f->refusals = 0;
		f->retry_ms = 0;
	}
	r->room = (struct room){ .learned = -1, .tcam = -1, .step = 1 };
	memset(r->family, 0, sizeof(r->family));
}

bool reconciler_wants_text(const struct reconciler *r)
{
	return r->wants_text;
}

bool reconciler_in_doubt(const struct reconciler *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->flow[i].doubt)
			return true;
	return false;
}

void reconciler_nexthops(const struct reconciler *r,
			 void (*fn)(const struct ip_addr *nexthop, void *arg), void *arg)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct rec_flow *f = &r->flow[i];

		if (f->known && f->present && f->nexthop.family)
			fn(&f->nexthop, arg);
		if (f->there && f->there_known)
			fn(&f->there_nexthop, arg);
	}
}
