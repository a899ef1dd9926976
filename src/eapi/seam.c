// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/seam_internal.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"

static void arm(struct seam *s, uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
			      .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	evtimer_add(s->timer, &tv);
}

static void drop_answers(struct seam *s)
{
	while (s->answers) {
		struct seam_answer *a = s->answers;

		s->answers = a->next;
		lookup_free(a->lookup);
		free(a);
	}
}

void seam_lost(struct seam *s, const char *why)
{
	uint32_t dropped;

	if (s->attached || log_limit_pass(&s->limit, clock_now_ms(), &dropped))
		log_warning("switch %s: %s; trying again", agent_config(s->agent)->name, why);
	if (s->attached)
		agent_detach(s->agent);
	s->attached = false;
	s->call = CALL_NONE;
	s->main = varlink_free(s->main);
	s->desired = varlink_free(s->desired);
	s->ask = varlink_free(s->ask);
	s->has_serial = s->health = s->changed = s->full = false;
	drop_answers(s);
	arm(s, backoff_fail(&s->backoff, (uint64_t)(uintptr_t)s >> 4));
}

static void on_lost(void *arg)
{
	seam_lost(arg, "flowpind closed the connection");
}

static const char *reason_of(const struct varlink_reply *r, char *buf, size_t size)
{
	const char *reason = eapi_json_text(eapi_json_get(r->params, "reason"));

	return eapi_clean_text(reason ? reason : "no reason", buf, size);
}

static void complain(struct seam *s, const struct varlink_reply *r)
{
	char text[320], name[80], reason[160];

	eapi_clean_text(r->error, name, sizeof(name));
	snprintf(text, sizeof(text), "flowpind answers %s: %s", name,
		 reason_of(r, reason, sizeof(reason)));
	seam_lost(s, text);
}

static void on_desired(const struct varlink_reply *r, void *arg)
{
	struct seam *s = arg;

	if (r->error)
		complain(s, r);
	else if (!r->continues)
		seam_lost(s, "flowpind ended the wishes");
	else
		seam_take_wishes(s, r->params);
}

static void on_ask(const struct varlink_reply *r, void *arg)
{
	struct seam *s = arg;

	if (r->error)
		complain(s, r);
	else if (!r->continues)
		seam_lost(s, "flowpind ended the questions");
	else
		seam_take_question(s, r->params);
}

static int open_stream(struct seam *s, const char *method,
		       void (*reply)(const struct varlink_reply *r, void *arg),
		       struct varlink **ret_varlink)
{
	struct varlink_callbacks cb = { .reply = reply, .lost = on_lost, .arg = s };
	_cleanup_(strbuf_free) struct strbuf params = { 0 };
	int r;

	strbuf_adds(&params, "{\"switch\":");
	strbuf_add_json(&params, agent_config(s->agent)->name);
	strbuf_adds(&params, "}");
	r = varlink_connect(s->base, s->path, &cb, ret_varlink);
	return r < 0 ? r : varlink_call(*ret_varlink, method, &params, true);
}

static void on_attached(struct seam *s, const struct varlink_reply *r)
{
	const char *instance = eapi_json_text(eapi_json_get(r->params, "instance"));
	const char *prefix = eapi_json_text(eapi_json_get(r->params, "prefix"));

	if (!instance || !prefix || strncmp(prefix, "fp-", 3) != 0 ||
	    strlen(prefix) >= CONFIG_PREFIX_MAX) {
		seam_lost(s, "flowpind's answer to Attach is not understood");
		return;
	}
	/* Whatever was known of another one's wishes ends with the snapshot that comes now. */
	if (strcmp(s->instance, instance) != 0)
		log_notice("switch %s: attached to flowpind", agent_config(s->agent)->name);
	snprintf(s->instance, sizeof(s->instance), "%.63s", instance);
	s->attached = true;
	backoff_reset(&s->backoff);
	agent_attach(s->agent, prefix);
	if (open_stream(s, SEAM_INTERFACE "Desired", on_desired, &s->desired) < 0 ||
	    open_stream(s, SEAM_INTERFACE "Ask", on_ask, &s->ask) < 0) {
		seam_lost(s, "flowpind takes no further connection");
		return;
	}
	s->health = true;
	seam_pump(s);
}

static void on_reply(const struct varlink_reply *r, void *arg)
{
	struct seam *s = arg;
	enum seam_call call = s->call;
	char text[160];

	s->call = CALL_NONE;
	if (r->error && call != CALL_ATTACH && strcmp(r->error, SEAM_INTERFACE "Unknown") == 0) {
		/* flowpind left out what it does not know, and took the rest. */
		log_debug("switch %s: flowpind: %s", agent_config(s->agent)->name,
			  reason_of(r, text, sizeof(text)));
		seam_pump(s);
	} else if (r->error)
		complain(s, r);
	else if (call == CALL_ATTACH)
		on_attached(s, r);
	else
		seam_pump(s);
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct seam *s = arg;
	struct varlink_callbacks cb = { .reply = on_reply, .lost = on_lost, .arg = s };
	_cleanup_(strbuf_free) struct strbuf params = { 0 };
	char digest[SWITCH_DIGEST], text[200];
	int r;

	if (s->main)
		return;
	r = varlink_connect(s->base, s->path, &cb, &s->main);
	if (r < 0) {
		snprintf(text, sizeof(text), "flowpind cannot be reached at %.90s: %.40s", s->path,
			 strerror(-r));
		seam_lost(s, text);
		return;
	}
	strbuf_adds(&params, "{\"switch\":");
	strbuf_add_json(&params, agent_config(s->agent)->name);
	strbuf_addf(&params, ",\"api\":%d,\"config_digest\":\"%s\"}", SEAM_API,
		    switch_config_digest(agent_config(s->agent), digest));
	s->call = CALL_ATTACH;
	if (varlink_call(s->main, SEAM_INTERFACE "Attach", &params, false) < 0)
		seam_lost(s, "out of memory");
}

static void on_read_done(void *arg)
{
	struct seam *s = arg;

	/* A report under way begins again: flows may have changed their places. What it named is
	 * named. What changed goes first, and before the room that the health tells of: a smaller
	 * table would cost flows that are in it their places, for those that fell out of it. */
	s->full = s->changed = true;
	s->full_at = s->changed_at = 0;
	seam_pump(s);
}

static void on_changed(void *arg)
{
	struct seam *s = arg;

	s->changed = true;
	s->changed_at = 0;
	seam_pump(s);
}

static void on_health(void *arg)
{
	struct seam *s = arg;

	s->health = true;
	seam_pump(s);
}

static void on_answered(struct lookup *l, void *arg)
{
	struct seam *s = arg;
	struct seam_answer *a = s->attached ? calloc(1, sizeof(*a)) : NULL, **end = &s->answers;

	if (!a) {
		lookup_free(l);
		return;
	}
	while (*end)
		end = &(*end)->next;
	*end = a;
	a->lookup = l;
	seam_pump(s);
}

int seam_new(struct event_base *base, const char *path, struct agent *agent, struct seam **ret_seam)
{
	_cleanup_(seam_freep) struct seam *s = calloc(1, sizeof(*s));
	struct agent_callbacks cb = { .read_done = on_read_done,
				      .changed = on_changed,
				      .health = on_health,
				      .answered = on_answered,
				      .arg = s };

	if (!s)
		return -ENOMEM;
	s->base = base;
	s->path = path;
	s->agent = agent;
	s->backoff = (struct backoff){ .base_ms = 500, .max_ms = 10000 };
	s->limit = (struct log_limit){ .interval_ms = 60000, .burst = 2 };
	s->timer = evtimer_new(base, on_timer, s);
	if (!s->timer)
		return -ENOMEM;
	agent_set_callbacks(agent, &cb);
	arm(s, 0);
	*ret_seam = TAKE_PTR(s);
	return 0;
}

struct seam *seam_free(struct seam *s)
{
	struct agent_callbacks none = { 0 };

	if (!s)
		return NULL;
	if (s->agent)
		agent_set_callbacks(s->agent, &none);
	varlink_free(s->main);
	varlink_free(s->desired);
	varlink_free(s->ask);
	drop_answers(s);
	if (s->timer)
		event_free(s->timer);
	free(s);
	return NULL;
}
