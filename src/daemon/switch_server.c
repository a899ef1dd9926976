// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/events.h"
#include "daemon/params.h"
#include "daemon/switches.h"
#include "daemon/sync.h"

/* io.flowpin.Switch: what flowpin-eapi says and is told. Nothing that it says is believed beyond
 * its own switch. */

#define SWITCH_API 1
#define WISHES_MAX 500
#define ITEMS_MAX  4096 /* of an array in one request */

/* The switch of a call by whoever is attached to it; else the error is sent. */
static struct switch_state *attached(struct control_call *call, struct json_object *params,
				     struct daemon *d)
{
	const char *name = param_string(params, "switch");
	struct switch_state *s = name ? switch_by_name(d, name) : NULL;

	if (!name)
		control_invalid_parameter(call, "switch");
	else if (!s)
		control_error(call, "Unknown", "there is no switch %s", name);
	else if (!s->connection || control_call_pid(call) != s->pid ||
		 control_call_uid(call) != s->uid)
		control_error(call, "NotAttached", "call Attach for %s first", name);
	else
		return s;
	return NULL;
}

static struct json_object *services_json(const struct daemon *d)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < d->config->services.n; i++)
		json_object_array_add(list,
				      json_object_new_string(d->config->services.list[i].name));
	return list;
}

static void attach_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	const char *name = param_string(params, "switch"),
		   *digest = param_string(params, "config_digest");
	struct switch_state *s = name ? switch_by_name(d, name) : NULL;
	char prefix[CONFIG_PREFIX_MAX];
	struct json_object *o;
	int64_t api;

	if (!name || !digest || param_int(params, "api", 0, INT32_MAX, &api) != 1) {
		control_invalid_parameter(call, !name	  ? "switch"
						: !digest ? "config_digest"
							  : "api");
		return;
	}
	if (api != SWITCH_API) {
		control_error(call, "VersionMismatch",
			      "flowpind speaks version %d of this interface", SWITCH_API);
	} else if (!s) {
		control_error(call, "Unknown", "flowpind's configuration has no switch %s", name);
	} else if (strcmp(digest, s->digest) != 0) {
		control_error(call, "ConfigMismatch",
			      "flowpind read another section of switch %s: reload both", name);
	} else if (!d->ready) {
		control_error(call, "Busy", "flowpind is reading what is there");
	} else if (s->connection && s->connection != control_call_connection(call)) {
		control_error(call, "Busy", "process %d is attached to %s", (int)s->pid, name);
	} else {
		switch_detach(s, "attached anew");
		s->connection = control_call_connection(call);
		s->pid = control_call_pid(call);
		s->uid = control_call_uid(call);
		s->attached_ms = clock_now_ms();
		placement_attach(s->placement);
		log_info("switch %s: process %d (uid %u) is attached", name, (int)s->pid, s->uid);
		o = json_object_new_object();
		json_object_object_add(o, "instance", json_object_new_string(d->instance));
		json_object_object_add(
			o, "prefix", json_object_new_string(config_flow_prefix(d->config, prefix)));
		json_object_object_add(o, "services", services_json(d));
		control_reply(call, o);
	}
}

/* --- streams */

/* The switch may be gone before its call is: it is looked for. */
static void stream_gone(struct control_call *call, void *data)
{
	struct daemon *d = data;

	for (size_t i = 0; d->switches && i < d->switches->n; i++) {
		struct switch_state *s = d->switches->list[i];

		if (s->desired == call)
			s->desired = NULL;
		if (s->ask != call)
			continue;
		s->ask = NULL;
		mirror_question_drop(s);
	}
}

static void stream(struct control_call *call, struct json_object *params, struct daemon *d,
		   bool ask)
{
	struct switch_state *s = attached(call, params, d);
	struct control_call **slot = !s ? NULL : ask ? &s->ask : &s->desired;

	if (!s)
		return;
	if (!control_call_more(call)) {
		control_error(call, "Unknown", "this method is called with \"more\"");
		return;
	}
	if (*slot) {
		control_error(call, "Busy", "it was called already, and goes on");
		return;
	}
	*slot = call;
	control_call_stream(call, NULL, stream_gone, d);
	switches_soon(d);
}

static void desired_method(struct control_call *call, struct json_object *params, void *arg)
{
	stream(call, params, arg, false);
}

static void ask_method(struct control_call *call, struct json_object *params, void *arg)
{
	stream(call, params, arg, true);
}

static void wish_text(const struct switch_state *s, const struct placement_wish *w,
		      struct strbuf *b)
{
	char text[IP_ADDR_TEXT];

	strbuf_adds(b, "{\"tuple\":");
	switch_tuple_text(&w->tuple, b);
	strbuf_addf(b, ",\"version\":%llu,\"present\":%s,\"reason\":\"%s\"",
		    (unsigned long long)w->version, w->present ? "true" : "false",
		    placement_reason_name(w->reason));
	if (w->present) {
		strbuf_addf(b, ",\"nexthop\":\"%s\"", ip_addr_format(&w->nexthop, text));
		if (s->config->expiry == SWITCH_EXPIRY_SWITCH)
			strbuf_addf(b, ",\"idle_timeout_ms\":%u", s->config->idle_timeout_ms);
	}
	strbuf_adds(b, "}");
}

static void tell_wishes(struct switch_state *s, uint64_t now_ms)
{
	_cleanup_(freep) struct placement_wish *wishes = calloc(WISHES_MAX, sizeof(*wishes));
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct placement_batch batch;

	if (!wishes || !placement_next(s->placement, now_ms, wishes, WISHES_MAX, &batch))
		return;
	strbuf_addf(&b, "{\"serial\":%llu,\"kind\":\"%s\",\"wishes\":[",
		    (unsigned long long)batch.serial, placement_kind_name(batch.kind));
	for (size_t i = 0; i < batch.n; i++) {
		if (i)
			strbuf_adds(&b, ",");
		wish_text(s, &wishes[i], &b);
	}
	strbuf_adds(&b, "]}");
	control_continue_text(s->desired, &b);
}

void switch_tell(struct switch_state *s, uint64_t now_ms)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };

	if (!s->d->ready)
		return;
	if (s->desired)
		tell_wishes(s, now_ms);
	else
		placement_settle(s->placement, now_ms);
	if (s->ask && s->mirror && mirror_question(s->mirror, now_ms, &b))
		control_continue_text(s->ask, &b);
}

void switch_detach(struct switch_state *s, const char *why)
{
	struct control_call *desired = s->desired, *ask = s->ask;

	s->desired = s->ask = NULL;
	mirror_question_drop(s);
	if (desired)
		control_error(desired, "NotAttached", "%s", why);
	if (ask)
		control_error(ask, "NotAttached", "%s", why);
	if (s->connection)
		placement_detach(s->placement);
	s->connection = 0;
	s->health.reachable = false;
}

void switch_connection_closed(uint64_t connection, void *arg)
{
	struct daemon *d = arg;

	for (size_t i = 0; d->switches && i < d->switches->n; i++) {
		struct switch_state *s = d->switches->list[i];

		if (s->connection != connection)
			continue;
		log_notice("switch %s: flowpin-eapi is gone", s->config->name);
		switch_detach(s, "the connection that attached is closed");
	}
}

static void done_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct switch_state *s = attached(call, params, arg);
	int64_t serial;

	if (!s)
		return;
	if (param_int(params, "serial", 1, INT64_MAX, &serial) != 1 ||
	    placement_done(s->placement, (uint64_t)serial) < 0) {
		control_error(call, "Unknown", "this serial is not waited for");
		return;
	}
	control_reply(call, NULL);
	switch_tell(s, clock_now_ms());
}

/* --- what the switch holds */

static int observe(struct switch_state *s, struct json_object *o, uint64_t now_ms)
{
	struct placement_observation ob = { .version = 0 };
	const char *state = param_string(o, "state"), *nexthop = param_string(o, "nexthop"),
		   *text = param_string(o, "text");
	int64_t version = 0, packets = -1, bytes = -1;
	struct json_object *tuple;
	struct placement_view v;
	struct tuple t;

	if (!json_object_object_get_ex(o, "tuple", &tuple) || switch_tuple_parse(tuple, &t) < 0 ||
	    !state || placement_state_parse(state, &ob.state) < 0 ||
	    param_int(o, "version", 0, INT64_MAX, &version) != 1 ||
	    (nexthop && ip_addr_parse(nexthop, &ob.nexthop) < 0))
		return -EINVAL;
	packets = switch_param_int(o, "packets", -1);
	bytes = switch_param_int(o, "bytes", -1);
	ob.version = (uint64_t)version;
	ob.class = placement_class_of(text);
	ob.counted = packets >= 0 && bytes >= 0;
	ob.packets = ob.counted ? (uint64_t)packets : 0;
	ob.bytes = ob.counted ? (uint64_t)bytes : 0;
	if (ob.state == PLACEMENT_STATE_REJECTED && text)
		snprintf(s->last_error, sizeof(s->last_error), "%s", text);
	if (placement_get(s->placement, &t, &v) < 0 && !mirror_service(s->d, &t)) {
		s->left_alone++;
		return ob.version ? -ENOENT : 0;
	}
	if (placement_observe(s->placement, &t, &ob, now_ms) == 1)
		switch_adopt(s, &t, &ob, now_ms);
	return 0;
}

static void observed_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct switch_state *s = attached(call, params, arg);
	struct json_object *flows = switch_param(params, "flows", json_type_array);
	uint64_t now = clock_now_ms();
	size_t bad = 0;

	if (!s)
		return;
	if (!flows || json_object_array_length(flows) > ITEMS_MAX) {
		control_invalid_parameter(call, "flows");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(flows); i++)
		bad += observe(s, json_object_array_get_idx(flows, i), now) < 0;
	if (param_bool(params, "full")) {
		placement_observe_full_end(s->placement, now);
		s->observed_ms = now;
	}
	s->unknown += bad;
	if (bad)
		control_error(call, "Unknown",
			      "%zu of these are no flows of the services, or say nothing; the "
			      "others count",
			      bad);
	else
		control_reply(call, NULL);
	switches_soon(s->d);
}

/* --- health */

static int nexthop_read(struct switch_state *s, struct json_object *o)
{
	const char *address = param_string(o, "address"), *interface = param_string(o, "interface");
	struct json_object *named = switch_param(o, "named", json_type_array);
	struct switch_nexthop *n;
	struct ip_addr addr;
	size_t count;

	if (!address || !named || ip_addr_parse(address, &addr) < 0)
		return -EINVAL;
	count = json_object_array_length(named);
	for (size_t i = 0; i < count; i++) {
		struct json_object *name = json_object_array_get_idx(named, i);

		if (!json_object_is_type(name, json_type_string) ||
		    !daemon_service(s->d, json_object_get_string(name)))
			return -ENOENT;
	}
	n = switch_nexthop_add(s, &addr);
	if (!n || n->named)
		return -ENOSPC;
	n->alive = param_bool(o, "alive");
	snprintf(n->ifname, sizeof(n->ifname), "%s", interface ? interface : "");
	n->named = count ? calloc(count, sizeof(*n->named)) : NULL;
	for (size_t i = 0; n->named && i < count; i++)
		snprintf(n->named[n->n_named++], SERVICE_NAME_MAX, "%s",
			 json_object_get_string(json_object_array_get_idx(named, i)));
	return 0;
}

static void copy(char *buf, size_t size, const char *text)
{
	snprintf(buf, size, "%s", text ? text : "");
}

static void health_read(struct switch_state *s, struct json_object *params, uint64_t now_ms)
{
	const struct switch_health before = s->health;
	struct switch_health *h = &s->health;

	*h = (struct switch_health){ .known = true,
				     .reachable = param_bool(params, "reachable"),
				     .told_ms = now_ms,
				     .reached_ms = before.reached_ms,
				     .programmed = switch_param_int(params, "programmed", 0),
				     .pending = switch_param_int(params, "pending", 0),
				     .rejected = switch_param_int(params, "rejected", 0),
				     .foreign = switch_param_int(params, "foreign", 0),
				     .capacity = switch_param_int(params, "capacity", -1),
				     .free = switch_param_int(params, "free", -1),
				     .requests = switch_param_int(params, "requests", 0),
				     .commands = switch_param_int(params, "commands", 0),
				     .lag_ms = switch_param_int(params, "lag_ms", 0),
				     .boot = switch_param_int(params, "boot", -1) };
	copy(h->sentence, sizeof(h->sentence), param_string(params, "sentence"));
	copy(h->version, sizeof(h->version), param_string(params, "version"));
	copy(h->model, sizeof(h->model), param_string(params, "model"));
	if (h->reachable)
		h->reached_ms = now_ms;
	else
		placement_counters_unreadable(s->placement, now_ms);
	if (h->sentence[0])
		copy(s->last_error, sizeof(s->last_error), h->sentence);
	if (!before.known || before.reachable != h->reachable) {
		log_notice("switch %s: %s%s%s", s->config->name,
			   h->reachable ? "reachable" : "not reachable", h->sentence[0] ? ": " : "",
			   h->sentence);
		events_report(s->d,
			      &(struct event_report){ .kind = "switch",
						      .change = h->reachable ? "reachable"
									     : "unreachable" },
			      "switch %s: %s%s%s", s->config->name,
			      h->reachable ? "reachable" : "not reachable",
			      h->sentence[0] ? ": " : "", h->sentence);
	}
	if (h->capacity >= 0 && h->capacity <= UINT32_MAX)
		placement_capacity_set(s->placement, (uint32_t)h->capacity, now_ms);
}

static void health_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct switch_state *s = attached(call, params, arg);
	struct json_object *nexthops = switch_param(params, "nexthops", json_type_array);
	uint64_t now = clock_now_ms();
	size_t bad = 0;

	if (!s)
		return;
	if (!nexthops || json_object_array_length(nexthops) > SWITCH_NEXTHOPS_MAX ||
	    !switch_param(params, "reachable", json_type_boolean)) {
		control_invalid_parameter(call, nexthops ? "reachable" : "nexthops");
		return;
	}
	health_read(s, params, now);
	/* A switch that cannot be reached says nothing about its nexthops. */
	if (s->health.reachable) {
		switch_nexthops_begin(s);
		for (size_t i = 0; i < json_object_array_length(nexthops); i++)
			bad += nexthop_read(s, json_object_array_get_idx(nexthops, i)) < 0;
		switch_nexthops_end(s, now);
		if (s->mirror)
			mirror_ask_again(s->mirror);
	}
	s->unknown += bad;
	if (bad)
		control_error(call, "Unknown",
			      "%zu nexthops name no service, or are none; the others count", bad);
	else
		control_reply(call, NULL);
	switches_soon(s->d);
}

static void answer_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct switch_state *s = attached(call, params, arg);
	struct json_object *answers = switch_param(params, "answers", json_type_array);
	uint64_t now = clock_now_ms();
	size_t bad = 0;
	int64_t question;

	if (!s)
		return;
	if (!answers || param_int(params, "question", 1, INT64_MAX, &question) != 1) {
		control_invalid_parameter(call, answers ? "question" : "answers");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(answers); i++) {
		struct json_object *o = json_object_array_get_idx(answers, i), *tuple;
		const char *text = param_string(o, "nexthop");
		struct ip_addr nexthop = { 0 };
		struct tuple t;

		if (!s->mirror || !json_object_object_get_ex(o, "tuple", &tuple) ||
		    switch_tuple_parse(tuple, &t) < 0 ||
		    (text && ip_addr_parse(text, &nexthop) < 0) ||
		    mirror_answer(s->mirror, (uint64_t)question, &t, &nexthop,
				  param_string(o, "why"), param_bool(o, "again"), now) < 0)
			bad++;
	}
	s->unknown += bad;
	if (bad)
		control_error(call, "Unknown",
			      "%zu of these were not asked for, or name no nexthop of the service",
			      bad);
	else
		control_reply(call, NULL);
	switches_soon(s->d);
}

const struct control_method *switch_methods(void)
{
	static const struct control_method methods[] = {
		{ "io.flowpin.Switch.Attach", CONTROL_ADMIN, false, attach_method },
		{ "io.flowpin.Switch.Desired", CONTROL_ADMIN, true, desired_method },
		{ "io.flowpin.Switch.Done", CONTROL_ADMIN, false, done_method },
		{ "io.flowpin.Switch.Observed", CONTROL_ADMIN, false, observed_method },
		{ "io.flowpin.Switch.Health", CONTROL_ADMIN, false, health_method },
		{ "io.flowpin.Switch.Ask", CONTROL_ADMIN, true, ask_method },
		{ "io.flowpin.Switch.Answer", CONTROL_ADMIN, false, answer_method },
		{ 0 },
	};

	return methods;
}
