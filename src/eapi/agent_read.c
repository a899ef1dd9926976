// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include "base/clock.h"
#include "eapi/agent_internal.h"

#define CODE_UNCONVERTED 1003 /* there is no model: ask for text */
#define NOT_UNDERSTOOD	 "its DirectFlow table is not understood"

static void on_answer(const struct channel_result *r, void *arg);

static void send_request(struct agent *a, enum round_stage stage, bool text)
{
	struct err e = { 0 };

	a->stage = stage;
	if (channel_run(a->reader, &a->commands, text, on_answer, a, &e) < 0)
		agent_down(a, HTTP_UNTRUSTED, e.text);
}

static void ask_flows(struct agent *a, uint64_t now_ms)
{
	commands_reset(&a->commands);
	commands_add(&a->commands, "show version");
	if (a->s->status != SWITCH_STATUS_TEXT && now_ms >= a->json_skip_ms)
		commands_add(&a->commands, "show directflow detail");
	reading_clear(&a->reading);
	a->reading_ms = now_ms;
	a->round_ms = now_ms + a->s->poll_interval_ms;
	send_request(a, ROUND_FLOWS, false);
}

static void ask_text(struct agent *a, uint64_t now_ms)
{
	commands_reset(&a->commands);
	commands_add(&a->commands, "show directflow detail");
	a->text_ms = now_ms;
	send_request(a, ROUND_TEXT, true);
}

static void ask_tcam(struct agent *a, uint64_t now_ms)
{
	commands_reset(&a->commands);
	commands_add(&a->commands, "enable");
	commands_add(&a->commands, a->s->tcam_command);
	a->tcam_ms = now_ms + a->s->tcam_interval_ms;
	send_request(a, ROUND_TCAM, true);
}

/* Questions have at least as much time as the round took: a switch that reads slowly would answer
 * one of them a round else. So have writes and other users, whom reading may keep waiting. */
static void end_round(struct agent *a)
{
	uint64_t now = clock_now_ms(), took = now - a->reading_ms;

	a->round_took_ms = took;
	a->questions_until_ms =
		now + (took > a->s->poll_interval_ms ? took : a->s->poll_interval_ms);
	if (a->round_ms > 0 && a->round_ms < now + took)
		a->round_ms = now + took;
	a->stage = ROUND_IDLE;
	agent_tell_health(a);
	agent_kick(a);
}

static void after_surroundings(struct agent *a)
{
	uint64_t now = clock_now_ms();

	if (agent_surroundings_commands(a, now)) {
		send_request(a, ROUND_SURROUNDINGS, false);
		return;
	}
	/* What it tells of is room beside ours: they must be known. */
	if (a->s->tcam_command[0] && now >= a->tcam_ms && a->read_once)
		ask_tcam(a, now);
	else
		end_round(a);
}

static void add_nexthop(const struct ip_addr *nexthop, void *arg)
{
	watch_nexthops_add(arg, nexthop);
}

/* The neighbours are known: what flows are written needs them, and what is read may mean more with
 * them. */
static void surroundings_complete(struct agent *a)
{
	watch_nexthops_begin(&a->watch);
	reconciler_nexthops(a->reconciler, add_nexthop, &a->watch);
	watch_nexthops_end(&a->watch, &a->topology);
	if (!a->surroundings_once)
		a->round_ms = 0;
	a->surroundings_once = true;
}

/* Hands the reading to the reconciler. The first round only tells where things are: names of layer
 * 2 actions need that. */
static void take_reading(struct agent *a)
{
	if (!a->surroundings_once)
		return;
	if (reconciler_read(a->reconciler, &a->reading, a->reading_ms, clock_now_ms()) < 0) {
		log_error("switch %s: out of memory, or too many flows", a->s->name);
		return;
	}
	a->read_once = true;
	if (a->cb.read_done)
		a->cb.read_done(a->cb.arg);
}

static void next_after_flows(struct agent *a)
{
	agent_surroundings_begin(a);
	after_surroundings(a);
}

static bool text_allowed(const struct agent *a, uint64_t now)
{
	return a->s->status != SWITCH_STATUS_JSON && now >= a->text_skip_ms;
}

static bool take_version(struct agent *a, const struct channel_result *r)
{
	_cleanup_(eapi_json_putp) struct json_object *hold = NULL;
	struct version_facts facts;
	double elapsed = (double)(r->begin_ms - a->facts_ms) / 1000;

	if (!version_read(rpc_result(&r->rpc, 0, &hold), &facts))
		return false;
	if (a->has_facts && version_rebooted(&a->facts, &facts, elapsed)) {
		log_notice("switch %s: it was restarted", a->s->name);
		reconciler_reboot(a->reconciler, clock_now_ms());
	}
	if (!a->has_facts || !a->up)
		log_notice("switch %s: reached: %s, EOS %s", a->s->name, facts.model,
			   facts.version);
	a->facts = facts;
	a->facts_ms = r->begin_ms;
	a->has_facts = true;
	return true;
}

static void became_up(struct agent *a)
{
	a->up = true;
	a->sentence[0] = '\0';
	backoff_reset(&a->down);
	backoff_reset(&a->login);
	backoff_reset(&a->refused);
}

static void on_flows(struct agent *a, const struct channel_result *r)
{
	_cleanup_(eapi_json_putp) struct json_object *hold = NULL;
	const char *prefix = reconciler_prefix(a->reconciler);
	bool asked = a->commands.n > 1, text = false;
	uint64_t now = clock_now_ms();
	char sentence[SENTENCE];

	if ((r->rpc.outcome == RPC_FAILED && r->rpc.failed_at == 0) || !take_version(a, r)) {
		agent_down(a, HTTP_WRONG, "what answers there is no EOS switch");
		return;
	}
	if (r->rpc.outcome == RPC_FAILED &&
	    (r->rpc.code != CODE_UNCONVERTED || !text_allowed(a, now))) {
		snprintf(sentence, sizeof(sentence), "it does not show its DirectFlow table: %s",
			 r->rpc.message);
		agent_down(a, HTTP_WRONG, sentence);
		return;
	}
	if (r->rpc.outcome == RPC_FAILED) {
		a->json_skip_ms = now + SKIP_MS;
		asked = false;
	} else if (asked &&
		   !reading_add_json(&a->reading, a->s, prefix, rpc_result(&r->rpc, 1, &hold))) {
		agent_down(a, HTTP_WRONG, NOT_UNDERSTOOD);
		return;
	}
	became_up(a);
	if (asked && !text_allowed(a, now))
		a->reading.text = true; /* nothing more can be had */
	text = !asked || now - a->text_ms >= a->s->text_interval_ms ||
	       reconciler_wants_text(a->reconciler);
	if (!text || !text_allowed(a, now)) {
		take_reading(a);
		text = reconciler_wants_text(a->reconciler) && now - a->text_ms >= 1000;
	}
	if (text && text_allowed(a, now))
		ask_text(a, now);
	else
		next_after_flows(a);
}

static void on_text(struct agent *a, const struct channel_result *r)
{
	_cleanup_(eapi_json_putp) struct json_object *hold = NULL;
	const char *text = rpc_text(&r->rpc, 0, &hold);
	char sentence[SENTENCE];

	if (r->rpc.outcome == RPC_FAILED) {
		if (!a->reading.json) {
			snprintf(sentence, sizeof(sentence),
				 "it does not show its DirectFlow table: %s", r->rpc.message);
			agent_down(a, HTTP_WRONG, sentence);
			return;
		}
		a->text_skip_ms = clock_now_ms() + SKIP_MS;
		a->reading.text = true;
	} else if (!text) { /* an empty table has an empty text */
		agent_down(a, HTTP_WRONG, NOT_UNDERSTOOD);
		return;
	} else if (!reading_add_text(&a->reading, a->s, reconciler_prefix(a->reconciler), text)) {
		log_error("switch %s: out of memory", a->s->name);
		next_after_flows(a);
		return;
	}
	take_reading(a);
	next_after_flows(a);
}

static void on_tcam(struct agent *a, const struct channel_result *r)
{
	_cleanup_(eapi_json_putp) struct json_object *hold = NULL;
	const char *text = rpc_text(&r->rpc, 1, &hold);
	uint32_t used, more;

	if (r->rpc.outcome == RPC_FAILED)
		a->tcam_ms = clock_now_ms() + SKIP_MS;
	else if (text && tcam_read(text, &used, &more))
		reconciler_tcam(a->reconciler, more, clock_now_ms());
	end_round(a);
}

static void on_answer(const struct channel_result *r, void *arg)
{
	struct agent *a = arg;

	if (!a->attached) {
		a->stage = ROUND_IDLE;
		return;
	}
	if (a->stage == ROUND_SURROUNDINGS && r->http == HTTP_TOO_LARGE &&
	    agent_surroundings_shrink(a)) {
		after_surroundings(a);
		return;
	}
	if (r->outcome != CHANNEL_ANSWERED) {
		agent_down(a, r->http, r->sentence);
		return;
	}
	switch (a->stage) {
	case ROUND_IDLE:
		break;
	case ROUND_FLOWS:
		on_flows(a, r);
		break;
	case ROUND_TEXT:
		on_text(a, r);
		break;
	case ROUND_SURROUNDINGS:
		agent_surroundings_take(a, &r->rpc, clock_now_ms());
		/* Complete, unless something was refused; then the rest is asked for. */
		if (!agent_surroundings_commands(a, clock_now_ms()))
			surroundings_complete(a);
		after_surroundings(a);
		break;
	case ROUND_TCAM:
		on_tcam(a, r);
		break;
	}
}

void agent_read_step(struct agent *a, uint64_t now_ms)
{
	if (channel_busy(a->reader) || a->stage != ROUND_IDLE)
		return;
	/* Questions first, but a round may not wait for ever. */
	if (a->surroundings_once && a->up && now_ms < a->questions_until_ms && agent_ask_step(a))
		return;
	if (now_ms >= a->round_ms)
		ask_flows(a, now_ms);
}
