// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "daemon/switches.h"
#include "pin/ruleset.h"

/* Entries of conntrack and pins for flows that no packet of this gateway makes, written many at a
 * time. */

#define REQUESTS_AT_ONCE 1000

struct write {
	enum entry_write kind;
	struct tuple tuple;
	uint32_t mark, timeout_s;
};

struct entry_writes {
	struct daemon *d;
	struct write *list;
	size_t n, cap;
	size_t base; /* the first one of the pipeline that runs */
	struct ruleset_pin *pins;
	size_t n_pins, cap_pins;
	struct log_limit limit;
};

struct entry_writes *entry_writes_new(struct daemon *d)
{
	struct entry_writes *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->d = d;
	w->limit = (struct log_limit){ .interval_ms = 60000, .burst = 1 };
	return w;
}

struct entry_writes *entry_writes_free(struct entry_writes *w)
{
	if (!w)
		return NULL;
	free(w->list);
	free(w->pins);
	free(w);
	return NULL;
}

void entry_write(struct daemon *d, enum entry_write kind, const struct tuple *t, uint32_t mark,
		 uint32_t timeout_s)
{
	struct entry_writes *w = d->switches->writes;
	void *list;

	if (w->n >= REQUESTS_AT_ONCE)
		entry_writes_flush(d);
	list = vec_reserve(w->list, w->n, &w->cap, sizeof(*w->list));
	if (!list)
		return;
	w->list = list;
	w->list[w->n++] =
		(struct write){ .kind = kind, .tuple = *t, .mark = mark, .timeout_s = timeout_s };
	switches_soon(d);
}

void pin_write(struct daemon *d, const struct tuple *t, uint8_t binding, uint32_t timeout_s)
{
	struct entry_writes *w = d->switches->writes;
	void *list;

	if (w->n_pins >= REQUESTS_AT_ONCE)
		entry_writes_flush(d);
	list = vec_reserve(w->pins, w->n_pins, &w->cap_pins, sizeof(*w->pins));
	if (!list)
		return;
	w->pins = list;
	w->pins[w->n_pins++] =
		(struct ruleset_pin){ .tuple = *t, .binding = binding, .timeout_s = timeout_s };
	switches_soon(d);
}

static void on_answer(size_t index, const struct nlmsghdr *nlh _unused_, int code,
		      const struct err *e, void *arg)
{
	struct entry_writes *w = arg;
	const struct write *x = &w->list[w->base + index];
	struct switch_state *s = switch_by_zone(w->d, x->tuple.zone);
	char text[TUPLE_TEXT];
	uint32_t dropped;

	/* One that is gone was deleted by its timeout. */
	if (code == 0 || code == -ENOENT)
		return;
	if (s && s->mirror)
		s->mirror->refused[MIRROR_REFUSED_CONNTRACK]++;
	if (log_limit_pass(&w->limit, clock_now_ms(), &dropped))
		log_warning("the conntrack entry of %s cannot be written: %s (%u more since)",
			    tuple_format(&x->tuple, text), e->text, dropped);
}

static struct nlmsghdr *request_of(const struct entry_writes *w, const struct write *x, void *buf)
{
	switch (x->kind) {
	case ENTRY_CREATE:
		return ct_request_create(buf, &x->tuple, x->mark, w->d->config->numbers.mark_mask,
					 x->timeout_s);
	case ENTRY_TOUCH:
		return ct_request_touch(buf, &x->tuple, x->timeout_s);
	case ENTRY_DELETE:
		return ct_request_delete(buf, &x->tuple);
	}
	return NULL;
}

static void entries_flush(struct entry_writes *w)
{
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *pipeline = NULL;
	char buf[NL_REQUEST_MAX];
	struct err e = { 0 };
	int r;

	r = nl_pipeline_new(w->d->ct_request, &pipeline);
	for (size_t i = 0; i < w->n && r == 0; i++)
		r = nl_pipeline_add(pipeline, request_of(w, &w->list[i], buf));
	if (r == 0)
		r = nl_pipeline_run(pipeline, on_answer, w, &e);
	if (r < 0)
		log_error("conntrack entries cannot be written: %s",
			  e.text[0] ? e.text : strerror(-r));
	w->n = 0;
}

/* In the order in which they were asked for, as far as that matters: the last word on a tuple
 * counts. */
static void pins_flush(struct entry_writes *w)
{
	_cleanup_(freep) struct tuple *gone = calloc(w->n_pins, sizeof(*gone));
	struct err e = { 0 };
	size_t n_gone = 0, n = 0;
	uint32_t dropped;
	int r;

	if (!gone)
		return;
	for (size_t i = 0; i < w->n_pins; i++) {
		bool last = true;

		for (size_t k = i + 1; k < w->n_pins && last && w->pins[i].binding == 0; k++)
			last = memcmp(&w->pins[i].tuple, &w->pins[k].tuple, sizeof(struct tuple)) !=
			       0;
		if (!last)
			continue;
		if (w->pins[i].binding == 0)
			gone[n_gone++] = w->pins[i].tuple;
		else
			w->pins[n++] = w->pins[i];
	}
	w->n_pins = 0;
	r = n ? ruleset_pins_add(w->d->ruleset, w->pins, n, &e) : 0;
	if (n_gone && ruleset_pins_delete(w->d->ruleset, gone, n_gone, &e) < 0)
		r = r < 0 ? r : e.code;
	if (r < 0 && log_limit_pass(&w->limit, clock_now_ms(), &dropped))
		log_warning("pins of flows that a switch has cannot be written: %s",
			    e.text[0] ? e.text : strerror(-r));
}

void entry_writes_flush(struct daemon *d)
{
	struct entry_writes *w = d->switches->writes;

	if (w->n)
		entries_flush(w);
	if (w->n_pins)
		pins_flush(w);
}
