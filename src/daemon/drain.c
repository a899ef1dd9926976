// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/drain.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/events.h"
#include "daemon/intent.h"
#include "daemon/params.h"
#include "daemon/report.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "netlink/ct.h"

#define PROGRESS_EVERY_MS 250
#define EVICT_EVERY_MS	  1000
#define PLACE_WITHIN_MS	  60000 /* then the drain begins, whatever the switches hold */

/* Somebody who called Drain with wait = true: told of the flows left, and when there are none. */
struct waiter {
	struct daemon *d;
	struct control_call *call;
	struct waiter *next;
	uint8_t ids[BINDING_ID_MAX];
	char services[BINDING_ID_MAX][SERVICE_NAME_MAX];
	size_t n;
	uint64_t deadline_ms; /* clock_now_ms(), 0 none */
	uint64_t told_ms;
	uint32_t told_flows;
	bool placing; /* switches take the flows up first: nothing is drained yet */
	uint64_t place_until_ms;
	struct drain_intent intent; /* while placing */
};

/* The bindings that a command names. */
struct selection {
	uint8_t ids[BINDING_ID_MAX];
	size_t n;
	struct nexthop_spec spec;
	const char *service; /* NULL: all */
};

static int select_bindings(struct daemon *d, struct control_call *call, struct json_object *params,
			   struct selection *s)
{
	const char *nexthop = param_string(params, "nexthop");
	struct nexthop_spec first = { 0 };
	const struct binding *b;
	char text[NEXTHOP_TEXT];
	uint8_t cursor = 0;

	s->n = 0;
	s->service = param_string(params, "service");
	if (!nexthop || nexthop_spec_parse(nexthop, &s->spec) < 0) {
		control_invalid_parameter(call, "nexthop");
		return -EINVAL;
	}
	if (s->service && !daemon_service(d, s->service)) {
		control_error(call, "NotFound", "there is no service %s", s->service);
		return -ENOENT;
	}
	while ((b = registry_binding_next(d->registry, &cursor))) {
		struct nexthop_spec spec = binding_spec(b);

		if ((s->service && strcmp(b->service, s->service) != 0) ||
		    !nexthop_spec_matches(&s->spec, &spec))
			continue;
		if (s->n && strcmp(first.ifname, spec.ifname) != 0) {
			control_error(call, "Ambiguous",
				      "%s stands on %s and on %s: say which with %s%%INTERFACE",
				      nexthop, first.ifname, spec.ifname, nexthop);
			return -EEXIST;
		}
		first = spec;
		s->ids[s->n++] = b->id;
	}
	if (s->n == 0) {
		control_error(call, "NotFound", "%s is not a nexthop of %s%s",
			      nexthop_spec_format(&s->spec, text),
			      s->service ? "service " : "any service",
			      s->service ? s->service : "");
		return -ENOENT;
	}
	return 0;
}

static uint32_t flows_of(const struct daemon *d, const uint8_t *ids, size_t n)
{
	uint32_t flows = 0;

	for (size_t i = 0; i < n; i++)
		flows += d->id_flows[ids[i]];
	return flows;
}

static struct json_object *bindings_json(struct daemon *d, const uint8_t *ids, size_t n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		const struct binding *b = registry_binding(d->registry, ids[i]);

		if (b)
			json_object_array_add(list, report_binding(d, b, NULL));
	}
	return list;
}

static struct json_object *drain_reply(struct daemon *d, const uint8_t *ids, size_t n, bool done,
				       const char *outcome)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "done", json_object_new_boolean(done));
	json_object_object_add(o, "outcome", json_object_new_string(outcome));
	json_object_object_add(o, "flows", json_object_new_int64(flows_of(d, ids, n)));
	json_object_object_add(o, "bindings", bindings_json(d, ids, n));
	return o;
}

static void waiter_gone(struct control_call *call _unused_, void *data)
{
	struct waiter *w = data, **p = &w->d->waiters;

	while (*p && *p != w)
		p = &(*p)->next;
	if (*p)
		*p = w->next;
	if (w->placing)
		switches_place_first_end(w->d, w->ids, w->n);
	free(w);
}

static bool still_drained(const struct waiter *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct binding *b = registry_binding(w->d->registry, w->ids[i]);

		if (b && strcmp(b->service, w->services[i]) == 0 && !b->drained)
			return false;
	}
	return true;
}

/* An id may have been given to another one while somebody waited. */
static bool ids_stand(const struct daemon *d, const struct waiter *w)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct binding *b = registry_binding(d->registry, w->ids[i]);

		if (!b || strcmp(b->service, w->services[i]) != 0)
			return false;
	}
	return true;
}

static const char *waiter_outcome(const struct waiter *w, uint32_t flows, uint64_t now_ms)
{
	if (flows == 0)
		return "empty";
	if (!still_drained(w))
		return "undrained";
	return w->deadline_ms && now_ms >= w->deadline_ms ? "deadline" : NULL;
}

/* True while the switches are still at it. */
static bool waiter_places(struct daemon *d, struct waiter *w, uint64_t now_ms)
{
	bool late = now_ms >= w->place_until_ms || (w->deadline_ms && now_ms >= w->deadline_ms);
	struct err e = { 0 };
	uint32_t left;

	if (!late && switches_place_first(d, w->ids, w->n, &left) && left > 0)
		return true;
	w->placing = false;
	if (!ids_stand(d, w)) {
		control_error(w->call, "NotFound", "the nexthop is gone");
	} else if (intent_drain(d, w->ids, w->n, &w->intent, &e) < 0) {
		control_error(w->call, e.code == -EBUSY ? "Refused" : "Failed", "%s", e.text);
	} else {
		events_report(d, &(struct event_report){ .kind = "drain", .change = "drain" },
			      "drain by uid %u", w->intent.uid);
		sync_now(d);
	}
	switches_place_first_end(d, w->ids, w->n);
	return false;
}

static void waiter_tell(struct daemon *d, struct waiter *w, uint64_t now_ms)
{
	bool placing = w->placing && waiter_places(d, w, now_ms);
	uint32_t flows = flows_of(d, w->ids, w->n);
	const char *outcome = placing ? NULL : waiter_outcome(w, flows, now_ms);

	if (outcome) {
		control_reply(w->call, drain_reply(d, w->ids, w->n, true, outcome));
		return;
	}
	if (flows == w->told_flows || now_ms - w->told_ms < PROGRESS_EVERY_MS ||
	    !control_call_more(w->call))
		return;
	w->told_flows = flows;
	w->told_ms = now_ms;
	control_continue(w->call,
			 drain_reply(d, w->ids, w->n, false, placing ? "placing" : "draining"));
}

static int on_nothing(const struct nlmsghdr *nlh _unused_, void *arg _unused_)
{
	return 0;
}

/* The kernel takes expired entries out when it happens to pass them, minutes later perhaps; a dump
 * passes them all. This one asks for a mark that nobody has, so nothing is sent. It takes at most a
 * twentieth of the time. */
static void evict_expired(struct daemon *d)
{
	char buf[NL_REQUEST_MAX];
	uint64_t begin = clock_now_ms(), took;

	if (!d->waiters || begin < d->evict_ms)
		return;
	nl_dump(d->ct_request, ct_request_dump(buf, UINT32_MAX, UINT32_MAX), on_nothing, NULL, NULL,
		NULL);
	took = clock_now_ms() - begin;
	d->evict_ms = begin + (took > EVICT_EVERY_MS / 20 ? took * 20 : EVICT_EVERY_MS);
}

/* A release of what drains outlives a restart, like its drain. */
static void release_one(struct daemon *d, uint8_t id, uint64_t now_ms)
{
	const struct binding *b = registry_binding(d->registry, id);
	struct nexthop_spec spec = binding_spec(b);
	struct drain_wish *wish = intent_find(d, b->service, &spec);
	struct err e = { 0 };

	registry_release(d->registry, id, now_ms);
	if (!wish || wish->released)
		return;
	wish->released = true;
	if (intent_save(d, &e) < 0)
		log_error("drains cannot be saved: %s", e.text);
}

static bool another_is_active(const struct daemon *d, const struct binding *b)
{
	const struct binding *o;
	uint8_t cursor = 0;

	while ((o = registry_binding_next(d->registry, &cursor)))
		if (o != b && o->state == BINDING_ACTIVE && strcmp(o->service, b->service) == 0 &&
		    (o->families & b->families))
			return true;
	return false;
}

/* Drains that have lasted longer than their service's drain-timeout, where there is somebody to go
 * to. */
static void release_overdue(struct daemon *d, uint64_t now_ms)
{
	const struct binding *b;
	uint8_t cursor = 0;

	while ((b = registry_binding_next(d->registry, &cursor))) {
		const struct service *s = daemon_service(d, b->service);
		struct nexthop_spec spec = binding_spec(b);
		char text[NEXTHOP_TEXT];

		if (!s || !s->drain_timeout_s || b->state != BINDING_DRAINING || b->adopted_ms ||
		    now_ms - b->state_ms < (uint64_t)s->drain_timeout_s * 1000 ||
		    !another_is_active(d, b))
			continue;
		log_notice("service %s: %s has been draining for the drain-timeout of %u s: its %u "
			   "flows are released",
			   b->service, nexthop_spec_format(&spec, text), s->drain_timeout_s,
			   d->id_flows[b->id]);
		release_one(d, b->id, now_ms);
		sync_soon(d);
	}
}

void drain_tick(struct daemon *d, uint64_t now_ms)
{
	struct waiter *w = d->waiters;

	release_overdue(d, now_ms);
	evict_expired(d);
	while (w) {
		struct waiter *next = w->next;

		waiter_tell(d, w, now_ms);
		w = next;
	}
}

bool drain_waits_for(const struct daemon *d, uint8_t id)
{
	for (const struct waiter *w = d->waiters; w; w = w->next)
		for (size_t i = 0; i < w->n; i++)
			if (w->ids[i] == id)
				return true;
	return false;
}

static void wait_for(struct daemon *d, struct control_call *call, const struct selection *s,
		     uint64_t deadline_ms, const struct drain_intent *placing)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w) {
		control_error(call, "Failed", "out of memory: nobody waits for the drain%s",
			      placing ? ", and it did not begin" : ", which stands");
		return;
	}
	w->d = d;
	w->call = call;
	w->n = s->n;
	memcpy(w->ids, s->ids, sizeof(w->ids));
	for (size_t i = 0; i < s->n; i++)
		memcpy(w->services[i], registry_binding(d->registry, s->ids[i])->service,
		       SERVICE_NAME_MAX);
	w->deadline_ms = deadline_ms;
	if (placing) {
		w->placing = true;
		w->place_until_ms = clock_now_ms() + PLACE_WITHIN_MS;
		w->intent = *placing;
	}
	w->told_flows = UINT32_MAX;
	w->next = d->waiters;
	d->waiters = w;
	control_call_stream(call, NULL, waiter_gone, w);
	drain_tick(d, clock_now_ms());
}

void drain_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	struct drain_intent intent = { .since_s = clock_wall_s(), .uid = control_call_uid(call) };
	int64_t deadline_ms = 0, release_at = 0;
	struct selection s;
	struct err e = { 0 };
	uint32_t left;

	if (!params_check(call, params, "nexthop", "service", "deadline_ms", "release_at", "wait",
			  NULL))
		return;
	if (param_int(params, "deadline_ms", 1, 365LL * 86400000, &deadline_ms) < 0) {
		control_invalid_parameter(call, "deadline_ms");
		return;
	}
	if (param_int(params, "release_at", 1, INT64_MAX / 2, &release_at) < 0) {
		control_invalid_parameter(call, "release_at");
		return;
	}
	if (select_bindings(d, call, params, &s) < 0)
		return;
	intent.deadline_s = deadline_ms ? intent.since_s + (uint64_t)(deadline_ms + 999) / 1000 : 0;
	intent.release_s = (uint64_t)release_at;
	if (param_bool(params, "wait") && switches_place_first(d, s.ids, s.n, &left)) {
		wait_for(d, call, &s, deadline_ms ? clock_now_ms() + (uint64_t)deadline_ms : 0,
			 &intent);
		return;
	}
	if (intent_drain(d, s.ids, s.n, &intent, &e) < 0) {
		control_error(call, e.code == -EBUSY ? "Refused" : "Failed", "%s", e.text);
		return;
	}
	events_report(
		d,
		&(struct event_report){ .kind = "drain", .service = s.service, .change = "drain" },
		"drain by uid %u", intent.uid);
	sync_now(d);
	if (param_bool(params, "wait"))
		wait_for(d, call, &s, deadline_ms ? clock_now_ms() + (uint64_t)deadline_ms : 0,
			 NULL);
	else
		control_reply(call, drain_reply(d, s.ids, s.n, true,
						flows_of(d, s.ids, s.n) ? "draining" : "empty"));
}

void undrain_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	struct json_object *o;
	struct selection s;
	struct err e = { 0 };

	if (!params_check(call, params, "nexthop", "service", NULL))
		return;
	if (select_bindings(d, call, params, &s) < 0)
		return;
	if (intent_undrain(d, s.ids, s.n, &e) < 0) {
		control_error(call, "Failed", "undrained, but this could not be saved: %s", e.text);
		return;
	}
	events_report(d,
		      &(struct event_report){
			      .kind = "drain", .service = s.service, .change = "undrain" },
		      "undrain by uid %u", control_call_uid(call));
	sync_now(d);
	drain_tick(d, clock_now_ms());
	o = json_object_new_object();
	json_object_object_add(o, "bindings", bindings_json(d, s.ids, s.n));
	control_reply(call, o);
}

void release_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	struct json_object *o;
	struct selection s;
	uint32_t flows;

	if (!params_check(call, params, "nexthop", "service", NULL))
		return;
	if (select_bindings(d, call, params, &s) < 0)
		return;
	flows = flows_of(d, s.ids, s.n);
	for (size_t i = 0; i < s.n; i++)
		release_one(d, s.ids[i], clock_now_ms());
	events_report(d,
		      &(struct event_report){
			      .kind = "drain", .service = s.service, .change = "release" },
		      "release by uid %u", control_call_uid(call));
	sync_now(d);
	o = json_object_new_object();
	json_object_object_add(o, "flows", json_object_new_int64(flows));
	json_object_object_add(o, "bindings", bindings_json(d, s.ids, s.n));
	control_reply(call, o);
}
