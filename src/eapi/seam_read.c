// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/seam_internal.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"

static bool read_addr(struct json_object *o, const char *key, struct ip_addr *ret_addr)
{
	const char *text = eapi_json_text(eapi_json_get(o, key));

	return text && ip_addr_parse(text, ret_addr) == 0;
}

static bool read_tuple(struct json_object *o, struct tuple *ret_tuple)
{
	const char *proto = eapi_json_text(eapi_json_get(o, "protocol"));
	struct tuple t = { 0 };
	struct ip_addr src, dst;
	int64_t sport, dport;

	if (!proto || !read_addr(o, "src", &src) || !read_addr(o, "dst", &dst) ||
	    src.family != dst.family ||
	    !eapi_json_int(eapi_json_get(o, "sport"), 0, UINT16_MAX, &sport) ||
	    !eapi_json_int(eapi_json_get(o, "dport"), 0, UINT16_MAX, &dport))
		return false;
	t.family = src.family;
	t.proto = proto_parse(proto);
	memcpy(t.src, src.bytes, sizeof(t.src));
	memcpy(t.dst, dst.bytes, sizeof(t.dst));
	t.sport = (uint16_t)sport;
	t.dport = (uint16_t)dport;
	*ret_tuple = t;
	return t.proto != 0;
}

static bool read_wish(struct json_object *o, struct wish *ret_wish)
{
	struct json_object *present = eapi_json_get(o, "present");
	struct wish w = { 0 };
	int64_t idle = 0;

	if (!read_tuple(eapi_json_get(o, "tuple"), &w.tuple) ||
	    !json_object_is_type(present, json_type_boolean) ||
	    !eapi_json_int(eapi_json_get(o, "version"), 0, INT64_MAX, &w.version))
		return false;
	w.present = json_object_get_boolean(present);
	read_addr(o, "nexthop", &w.nexthop);
	if (eapi_json_int(eapi_json_get(o, "idle_timeout_ms"), 0, UINT32_MAX, &idle))
		w.idle_timeout_ms = (uint32_t)idle;
	*ret_wish = w;
	return !w.present || w.nexthop.family != 0;
}

void seam_take_wishes(struct seam *s, struct json_object *params)
{
	const char *kind = eapi_json_text(eapi_json_get(params, "kind"));
	struct json_object *wishes = eapi_json_get(params, "wishes");
	size_t n =
		json_object_is_type(wishes, json_type_array) ? json_object_array_length(wishes) : 0;
	struct reconciler *r = agent_reconciler(s->agent);
	uint64_t now = clock_now_ms();
	uint32_t dropped;

	if (!kind ||
	    !eapi_json_int(eapi_json_get(params, "serial"), INT64_MIN, INT64_MAX, &s->serial)) {
		seam_lost(s, "flowpind's wishes are not understood");
		return;
	}
	if (strcmp(kind, "begin") == 0)
		reconciler_snapshot_begin(r);
	for (size_t i = 0; i < n; i++) {
		struct wish w;

		if ((!read_wish(json_object_array_get_idx(wishes, i), &w) ||
		     reconciler_wish(r, &w, now) < 0) &&
		    log_limit_pass(&s->limit, now, &dropped))
			log_warning("switch %s: a wish of flowpind could not be taken",
				    agent_config(s->agent)->name);
	}
	if (strcmp(kind, "end") == 0)
		reconciler_snapshot_end(r);
	s->has_serial = true;
	agent_kick(s->agent);
	seam_pump(s);
}

/* A question that cannot be taken is answered at once: flowpind waits for the answer. */
void seam_take_question(struct seam *s, struct json_object *params)
{
	struct json_object *tuples = eapi_json_get(params, "tuples"),
			   *ages = eapi_json_get(params, "ages_ms");
	size_t n =
		json_object_is_type(tuples, json_type_array) ? json_object_array_length(tuples) : 0;
	_cleanup_(lookup_freep) struct lookup *l = NULL;
	uint64_t now = clock_now_ms();
	int64_t question;

	if (!eapi_json_int(eapi_json_get(params, "question"), INT64_MIN, INT64_MAX, &question)) {
		seam_lost(s, "flowpind's question is not understood");
		return;
	}
	if (agent_lookup_new(s->agent, question, &l) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		struct tuple t;
		int64_t age = 0;

		if (!read_tuple(json_object_array_get_idx(tuples, i), &t))
			continue;
		if (json_object_is_type(ages, json_type_array))
			eapi_json_int(json_object_array_get_idx(ages, i), 0, INT64_MAX, &age);
		if (!lookup_add(l, &t, (uint64_t)age < now ? now - (uint64_t)age : 0))
			break;
	}
	if (agent_ask(s->agent, l) == 0) {
		TAKE_PTR(l);
		return;
	}
	lookup_fail(l, "too many questions are waiting");
	agent_lookup_answered(s->agent, TAKE_PTR(l));
}
