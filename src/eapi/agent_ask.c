// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "eapi/agent_internal.h"

#define NEWS_MS 500

/* Path lookups, between the rounds of reading. */

int agent_lookup_new(struct agent *a, int64_t question, struct lookup **ret_lookup)
{
	int r = lookup_new(a->s, &a->watch, &a->topology, question, ret_lookup);

	if (r == 0)
		(*ret_lookup)->by_text = a->path_text;
	return r;
}

int agent_ask(struct agent *a, struct lookup *l)
{
	if (a->n_lookups == QUESTIONS_MAX)
		return -EBUSY;
	a->lookup[a->n_lookups++] = l;
	/* A switch that is away has no answer, however long one waits. */
	if (a->attached && !a->up && a->sentence[0])
		agent_ask_drop(a, a->sentence);
	else
		agent_kick(a);
	return 0;
}

void agent_lookup_answered(struct agent *a, struct lookup *l)
{
	if (a->cb.answered)
		a->cb.answered(l, a->cb.arg);
	else
		lookup_free(l);
}

static void answer(struct agent *a, size_t i)
{
	struct lookup *l = a->lookup[i];

	a->n_lookups--;
	memmove(a->lookup + i, a->lookup + i + 1, (a->n_lookups - i) * sizeof(*a->lookup));
	agent_lookup_answered(a, l);
}

void agent_ask_drop(struct agent *a, const char *why)
{
	/* One under way is answered when its request is over. */
	size_t kept = a->looking ? 1 : 0;

	while (a->n_lookups > kept) {
		lookup_break(a->lookup[kept], why);
		answer(a, kept);
	}
}

/* flowpind is to hear soon of nexthops that nobody had read before. */
static void news(struct agent *a, uint64_t now_ms)
{
	if (!a->watch.news)
		return;
	a->watch.news = false;
	if (a->round_ms > now_ms + NEWS_MS)
		a->round_ms = now_ms + NEWS_MS;
}

static void on_answer(const struct channel_result *r, void *arg)
{
	struct agent *a = arg;
	uint64_t now = clock_now_ms();

	a->looking = false;
	if (a->n_lookups == 0)
		return;
	if (r->outcome == CHANNEL_ANSWERED) {
		lookup_answer(a->lookup[0], &r->rpc, now);
		news(a, now);
		a->path_text = a->lookup[0]->by_text;
	} else {
		lookup_break(a->lookup[0], r->sentence);
		answer(a, 0);
		agent_down(a, r->http, r->sentence);
		return;
	}
	agent_kick(a);
}

bool agent_ask_step(struct agent *a)
{
	struct err e = { 0 };
	bool text;

	while (a->n_lookups > 0) {
		if (!lookup_next(a->lookup[0], &a->commands, &text)) {
			answer(a, 0);
			continue;
		}
		if (channel_run(a->reader, &a->commands, text, on_answer, a, &e) == 0) {
			a->looking = true;
			return true;
		}
		lookup_break(a->lookup[0], e.text);
		answer(a, 0);
	}
	return false;
}
