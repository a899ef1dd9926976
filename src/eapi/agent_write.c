// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include "base/clock.h"
#include "eapi/agent_internal.h"

/* What was written is read back after this, or after so many times what reading takes: it may keep
 * the switch from taking more meanwhile. */
#define SOON_MS	   1000
#define READ_SHARE 10

static const char *kind_name(enum batch_kind kind)
{
	switch (kind) {
	case BATCH_ADD:
		return "written";
	case BATCH_DELETE:
		return "deleted";
	case BATCH_NUDGE:
		return "enabled again";
	}
	return "";
}

static void read_soon(struct agent *a, uint64_t now)
{
	uint64_t wait = a->round_took_ms * READ_SHARE;

	if (wait < SOON_MS)
		wait = SOON_MS;
	if (a->round_ms > now + wait)
		a->round_ms = now + wait;
}

static void log_refused(struct agent *a, const struct channel_result *r, uint64_t now)
{
	const char *command = r->rpc.failed_at < a->batch.commands.n
				      ? commands_get(&a->batch.commands, r->rpc.failed_at)
				      : "";
	uint32_t dropped;

	if (!log_limit_pass(&a->limit_refused, now, &dropped))
		return;
	log_warning("switch %s: it refuses '%s': %s", a->s->name, command, r->rpc.message);
	if (dropped > 0)
		log_warning("switch %s: and %u more", a->s->name, dropped);
}

static void finish(struct agent *a, enum batch_outcome outcome, const struct channel_result *r,
		   uint64_t now)
{
	struct batch_failure failure = { 0 };

	if (r)
		failure = (struct batch_failure){ .at = r->rpc.failed_at,
						  .code = r->rpc.code,
						  .text = r->rpc.message };
	if (reconciler_done(a->reconciler, &a->batch, outcome, &failure, now)) {
		snprintf(a->write_sentence, sizeof(a->write_sentence), "it refuses '%s': %s",
			 commands_get(&a->batch.commands, failure.at), failure.text);
		a->write_ms = now + backoff_fail(&a->write, agent_random(a));
		agent_tell_health(a);
	} else if (outcome == BATCH_DONE || outcome == BATCH_FAILED) {
		a->write_sentence[0] = '\0';
		backoff_reset(&a->write);
		read_soon(a, now);
	}
	write_batch_clear(&a->batch);
	if (a->cb.changed)
		a->cb.changed(a->cb.arg);
	agent_kick(a);
}

static void on_answer(const struct channel_result *r, void *arg)
{
	struct agent *a = arg;
	uint64_t now = clock_now_ms();

	a->writing = false;
	switch (r->outcome) {
	case CHANNEL_ANSWERED:
		pace_answered(&a->pace, (uint32_t)a->batch.commands.n, r->took_ms, now);
		if (r->rpc.outcome == RPC_FAILED)
			log_refused(a, r, now);
		else
			log_debug("switch %s: %zu flows %s in %llu ms", a->s->name, a->batch.n,
				  kind_name(a->batch.kind), (unsigned long long)r->took_ms);
		finish(a, r->rpc.outcome == RPC_OK ? BATCH_DONE : BATCH_FAILED, r, now);
		break;
	case CHANNEL_UNSENT:
		pace_failed(&a->pace);
		finish(a, BATCH_UNSENT, NULL, now);
		agent_down(a, r->http, r->sentence);
		break;
	case CHANNEL_UNKNOWN:
		log_warning(
			"switch %s: %s; what was done of %zu flows is read before it is repeated",
			a->s->name, r->sentence, a->batch.n);
		pace_failed(&a->pace);
		a->write_ms = now + backoff_fail(&a->write, agent_random(a));
		finish(a, BATCH_UNKNOWN, NULL, now);
		read_soon(a, now);
		break;
	}
}

static void show(struct agent *a)
{
	for (size_t i = 0; i < a->batch.commands.n; i++)
		log_notice("switch %s: dry run: %s", a->s->name,
			   commands_get(&a->batch.commands, i));
}

void agent_write_step(struct agent *a, uint64_t now_ms)
{
	struct err e = { 0 };

	/* Only on what was read since: nothing is written that may be there already. */
	if (a->writing || !a->up || !a->read_once || now_ms < a->pace.next_ms ||
	    now_ms < a->write_ms)
		return;
	if (!reconciler_next(a->reconciler, a->pace.flows, now_ms, &a->batch))
		return;
	if (a->s->dry_run) {
		show(a);
		finish(a, BATCH_DRY, NULL, now_ms);
		return;
	}
	if (a->batch.commands.failed ||
	    channel_run(a->writer, &a->batch.commands, false, on_answer, a, &e) < 0) {
		finish(a, BATCH_UNSENT, NULL, now_ms);
		agent_down(a, HTTP_UNTRUSTED, e.text[0] ? e.text : "out of memory");
		return;
	}
	a->writing = true;
}
