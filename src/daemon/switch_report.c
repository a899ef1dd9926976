// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include "base/clock.h"
#include "daemon/params.h"
#include "daemon/switches.h"

/* What is told of switches: Switches, Flow and Verify of io.flowpin. */

#define DIFFERENCES_MAX 1000

static void add_int(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)value));
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	if (text[0])
		json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *reason(const char *name, uint64_t count)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "reason", json_object_new_string(name));
	add_int(o, "count", count);
	return o;
}

static struct json_object *removed_json(const struct placement_numbers *n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = PLACEMENT_MOVED; i < PLACEMENT_REASON_COUNT; i++)
		if (n->removed[i])
			json_object_array_add(
				list, reason(placement_reason_name((enum placement_reason)i),
					     n->removed[i]));
	return list;
}

static struct json_object *rejections_json(const struct placement_numbers *n)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < PLACEMENT_CLASS_COUNT; i++)
		if (n->rejections[i])
			json_object_array_add(list,
					      reason(placement_class_name((enum placement_class)i),
						     n->rejections[i]));
	return list;
}

static struct json_object *mirror_json(const struct mirror *m, uint64_t now_ms)
{
	/* As in src/mirror/decode.h, whose numbers come over the socket. */
	static const char *const dropped[MIRROR_DROP_REASONS] = {
		NULL,	   "foreign",	"key",	     "gre",	 "protocol",  "erspan",
		"not-ip",  "truncated", "malformed", "fragment", "transport", "later",
		"address", "repeated",	"overrun",   "handoff",
	};
	struct json_object *o = json_object_new_object(), *drops = json_object_new_array();

	json_object_object_add(
		o, "connected",
		json_object_new_boolean(m->counters_ms && now_ms - m->counters_ms < 5000));
	add_int(o, "zone", m->sw->config->mirror.zone);
	add_int(o, "flows", m->used);
	add_int(o, "max_flows", m->sw->config->mirror.max_flows);
	add_int(o, "records", m->records);
	add_int(o, "learned", m->learned);
	add_int(o, "ended", m->ended);
	add_int(o, "asking", m->asking + m->asked);
	add_int(o, "reused", m->reused);
	add_int(o, "received", m->counters.received);
	add_int(o, "handed_on", m->counters.handed_on);
	for (size_t i = 1; i < MIRROR_DROP_REASONS; i++)
		if (m->counters.dropped[i])
			json_object_array_add(drops, reason(dropped[i], m->counters.dropped[i]));
	for (int i = 0; i < MIRROR_REFUSED_COUNT; i++)
		if (m->refused[i])
			json_object_array_add(
				drops,
				reason(mirror_refusal_name((enum mirror_refusal)i), m->refused[i]));
	json_object_object_add(o, "dropped", drops);
	return o;
}

static struct json_object *nexthops_json(const struct switch_state *s)
{
	struct json_object *list = json_object_new_array();
	char text[IP_ADDR_TEXT];

	for (size_t i = 0; i < s->n_nexthops; i++) {
		const struct switch_nexthop *n = &s->nexthops[i];
		struct json_object *o = json_object_new_object(), *named = json_object_new_array();

		json_object_object_add(o, "address",
				       json_object_new_string(ip_addr_format(&n->addr, text)));
		add_text(o, "interface", n->ifname);
		json_object_object_add(o, "alive", json_object_new_boolean(n->alive));
		json_object_object_add(o, "dead", json_object_new_boolean(n->dead));
		for (size_t k = 0; k < n->n_named; k++)
			json_object_array_add(named, json_object_new_string(n->named[k]));
		json_object_object_add(o, "named", named);
		json_object_array_add(list, o);
	}
	return list;
}

static void add_numbers(struct json_object *o, const struct switch_state *s)
{
	struct placement_numbers n;

	placement_numbers(s->placement, &n);
	add_int(o, "desired", n.desired);
	add_int(o, "programmed", n.programmed);
	add_int(o, "pending", n.pending);
	add_int(o, "rejected", n.rejected);
	add_int(o, "adopted", n.adopted);
	add_int(o, "foreign", s->health.known ? (uint64_t)s->health.foreign : 0);
	add_int(o, "uncertain", s->mirror ? s->mirror->uncertain : 0);
	add_int(o, "not_placed", n.not_placed);
	add_int(o, "waiting", n.waiting);
	add_int(o, "deleting", n.deleting);
	add_int(o, "candidates", n.candidates);
	add_int(o, "max_flows", s->config->max_flows);
	add_int(o, "over_share", n.over_share);
	add_int(o, "yielded", n.yielded);
	add_int(o, "conflicts", n.conflicts);
	add_int(o, "refused", n.refused);
	add_int(o, "left_alone", s->left_alone);
	add_int(o, "unknown", s->unknown);
	json_object_object_add(o, "removed", removed_json(&n));
	json_object_object_add(o, "rejections", rejections_json(&n));
}

static struct json_object *switch_json(const struct switch_state *s, uint64_t now_ms)
{
	struct json_object *o = json_object_new_object();
	const struct switch_health *h = &s->health;

	json_object_object_add(o, "name", json_object_new_string(s->config->name));
	json_object_object_add(o, "config_digest", json_object_new_string(s->digest));
	json_object_object_add(o, "place",
			       json_object_new_string(switch_place_name(s->config->place)));
	json_object_object_add(o, "attached", json_object_new_boolean(s->connection != 0));
	json_object_object_add(o, "reachable", json_object_new_boolean(h->reachable));
	json_object_object_add(o, "dry_run", json_object_new_boolean(s->config->dry_run));
	json_object_object_add(
		o, "sentence",
		json_object_new_string(!s->connection ? "flowpin-eapi is not attached"
				       : !h->known    ? "flowpin-eapi has not said anything yet"
						      : h->sentence));
	add_text(o, "version", h->version);
	add_text(o, "model", h->model);
	add_text(o, "group", s->config->group);
	add_numbers(o, s);
	if (h->capacity >= 0 && h->known)
		add_int(o, "capacity", (uint64_t)h->capacity);
	if (h->free >= 0 && h->known)
		add_int(o, "free", (uint64_t)h->free);
	if (h->boot >= 0 && h->known)
		add_int(o, "boot", (uint64_t)h->boot);
	add_int(o, "lag_ms", (uint64_t)h->lag_ms);
	add_int(o, "requests", (uint64_t)h->requests);
	add_int(o, "commands", (uint64_t)h->commands);
	if (h->known)
		add_int(o, "told_ms", now_ms - h->told_ms);
	if (h->reached_ms)
		add_int(o, "reached_ms", now_ms - h->reached_ms);
	add_text(o, "last_error", s->last_error);
	json_object_object_add(o, "nexthops", nexthops_json(s));
	if (s->mirror)
		json_object_object_add(o, "mirror", mirror_json(s->mirror, now_ms));
	return o;
}

void switches_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	struct json_object *o, *list;

	if (!params_check(call, params, NULL))
		return;
	list = json_object_new_array();
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		json_object_array_add(list, switch_json(d->switches->list[i], clock_now_ms()));
	o = json_object_new_object();
	json_object_object_add(o, "switches", list);
	control_reply(call, o);
}

static const char *explain(const struct placement_view *v)
{
	if (v->conflict)
		return "another switch, or this one, has another nexthop for it";
	/* What is said of flows that are programmed is no reason for anything. */
	if (v->state == PLACEMENT_STATE_REJECTED ||
	    (v->class != PLACEMENT_CLASS_NONE && v->state == PLACEMENT_STATE_PENDING))
		return placement_class_name(v->class);
	if (!v->present && v->waiting)
		return "no room, or not yet";
	return v->present && v->dirty ? "not told yet" : "";
}

static const char *state_word(const struct placement_view *v)
{
	if (!v->present && v->state != PLACEMENT_STATE_REJECTED)
		return v->n_zones ? "not placed" : "deleting";
	return v->state == PLACEMENT_STATE_UNKNOWN ? "desired" : placement_state_name(v->state);
}

void switches_flow_text(const struct daemon *d, const struct flow *f, struct strbuf *b)
{
	size_t n = 0;

	for (size_t i = 0; d->switches && i < d->switches->n; i++) {
		const struct switch_state *s = d->switches->list[i];
		const struct mirror_slot *slot =
			switch_of(d, f) == s && s->mirror ? mirror_slot_of(s->mirror, f) : NULL;
		struct placement_view v;
		bool known = placement_get(s->placement, &f->tuple, &v) == 0;

		if (!known && !slot)
			continue;
		strbuf_addf(b, "%s{\"name\":\"%s\",\"state\":\"%s\",\"text\":",
			    n++ ? "," : ",\"switches\":[", s->config->name,
			    known			      ? state_word(&v)
			    : slot->state == MIRROR_UNCERTAIN ? "uncertain"
							      : "asking");
		strbuf_add_json(b, known ? explain(&v) : slot->why);
		if (known && v.present && v.counted)
			strbuf_addf(b, ",\"packets\":%llu,\"bytes\":%llu",
				    (unsigned long long)v.packets, (unsigned long long)v.bytes);
		strbuf_adds(b, "}");
	}
	if (n)
		strbuf_adds(b, "]");
}

bool switches_flow_words(const struct daemon *d, const struct flow *f, const char **ret_service,
			 const char **ret_state, char *nexthop)
{
	const struct switch_state *s = switch_of(d, f);
	const struct mirror_slot *slot = s && s->mirror ? mirror_slot_of(s->mirror, f) : NULL;
	const struct service *service = slot ? mirror_service(d, &f->tuple) : NULL;
	const struct switch_nexthop *n = slot ? switch_nexthop_of(s, f) : NULL;

	if (f->binding || !slot)
		return false;
	*ret_service = service ? service->name : "";
	*ret_state = n				       ? n->dead	  ? "dead"
							     : n->n_named ? "active"
									  : "draining"
		     : slot->state == MIRROR_UNCERTAIN ? "uncertain"
						       : "asking";
	if (n)
		ip_addr_format(&n->addr, nexthop);
	else
		nexthop[0] = '\0';
	return true;
}

static void verify_one(const struct switch_state *s, const char *plane,
		       switches_difference_fn *difference, void *arg)
{
	struct placement_view v;
	uint32_t cursor = 0, n = 0;
	char text[256], subject[TUPLE_TEXT];

	while (n < DIFFERENCES_MAX && placement_walk(s->placement, &cursor, &v)) {
		bool there =
			v.state == PLACEMENT_STATE_PROGRAMMED || v.state == PLACEMENT_STATE_ADOPTED;

		if (v.conflict)
			snprintf(text, sizeof(text), "%s", explain(&v));
		else if (v.present && !there)
			snprintf(text, sizeof(text), "it should be there, and is %s%s%s",
				 state_word(&v), explain(&v)[0] ? ": " : "", explain(&v));
		else if (!v.present && v.n_zones == 0)
			snprintf(text, sizeof(text),
				 "it should be gone (%s), and that is not confirmed",
				 placement_reason_name(v.reason));
		else
			continue;
		n++;
		difference(arg, plane, tuple_format(&v.tuple, subject), text);
	}
}

void switches_verify(const struct daemon *d, switches_difference_fn *difference,
		     void (*unread)(void *arg, const char *plane), void *arg)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++) {
		const struct switch_state *s = d->switches->list[i];
		char plane[SWITCH_NAME_MAX + 8];

		snprintf(plane, sizeof(plane), "switch %s", s->config->name);
		if (!s->connection || !s->health.reachable || s->observed_ms < s->attached_ms ||
		    s->config->dry_run)
			unread(arg, plane);
		else
			verify_one(s, plane, difference, arg);
	}
}
