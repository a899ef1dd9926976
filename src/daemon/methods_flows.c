// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/methods.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/conntrack.h"
#include "daemon/daemon.h"
#include "daemon/filter.h"
#include "daemon/flows.h"
#include "daemon/params.h"
#include "daemon/report.h"
#include "daemon/sync.h"
#include "pin/ruleset.h"

/* A turn of the loop takes about as long as a status does: whoever asks meanwhile waits for one or
 * two of them. */
#define FLOWS_PER_REPLY	   32
#define LOOKED_AT_PER_PUMP 512 /* while a filter finds little */

struct flows_stream {
	struct daemon *d;
	struct json_object *params; /* the filter borrows from it */
	struct flow_filter filter;
	uint32_t cursor;
	struct strbuf text;
};

static void stream_pump(struct control_call *call, void *data)
{
	struct flows_stream *s = data;
	uint64_t now = clock_now_ms();
	struct flow *f = NULL;
	size_t n = 0;

	strbuf_reset(&s->text);
	strbuf_adds(&s->text, "{\"flows\":[");
	for (size_t looked = 0; looked < LOOKED_AT_PER_PUMP && n < FLOWS_PER_REPLY; looked++) {
		f = flow_table_next(s->d->flows, &s->cursor);
		if (!f)
			break;
		if ((f->flags & FLOW_GRAVE) || !flow_filter_match(s->d, &s->filter, f))
			continue;
		if (n++)
			strbuf_add(&s->text, ",", 1);
		report_flow_text(s->d, f, now, &s->text);
	}
	strbuf_adds(&s->text, "]}");
	if (s->text.failed)
		control_error(call, "Failed", "out of memory");
	else if (!f)
		control_reply_text(call, &s->text);
	else if (n)
		control_continue_text(call, &s->text);
	else
		control_call_wake(call);
}

static void stream_gone(struct control_call *call _unused_, void *data)
{
	struct flows_stream *s = data;

	json_object_put(s->params);
	strbuf_free(&s->text);
	free(s);
}

static struct json_object *filter_of(struct json_object *params)
{
	struct json_object *filter;

	return json_object_object_get_ex(params, "filter", &filter) ? filter : NULL;
}

static bool filter_check(struct control_call *call, struct json_object *params)
{
	struct json_object *filter;

	if (!params_check(call, params, "filter", NULL))
		return false;
	filter = filter_of(params);
	return !filter || params_check(call, filter, "protocol", "src", "dst", "sport", "dport",
				       "zone", "service", "nexthop", "state", "witness", NULL);
}

void flows_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct flows_stream *s;
	const char *key;

	if (!filter_check(call, params))
		return;
	if (!control_call_more(call)) {
		control_error(call, "Refused", "Flows is called with \"more\"");
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		control_error(call, "Failed", "out of memory");
		return;
	}
	s->d = arg;
	if (flow_filter_parse(filter_of(params), &s->filter, &key) < 0) {
		free(s);
		control_invalid_parameter(call, key);
		return;
	}
	s->params = json_object_get(params);
	control_call_stream(call, stream_pump, stream_gone, s);
}

static struct json_object *conntrack_json(struct daemon *d, const struct tuple *t)
{
	struct json_object *o = json_object_new_object();
	struct ct_entry entry;
	bool present = conntrack_get(d->ct_request, t, &entry) == 0;
	char mark[16];

	json_object_object_add(o, "present", json_object_new_boolean(present));
	if (!present)
		return o;
	snprintf(mark, sizeof(mark), "0x%08x", entry.mark);
	json_object_object_add(o, "mark", json_object_new_string(mark));
	json_object_object_add(o, "timeout", json_object_new_int64(entry.timeout_s));
	json_object_object_add(o, "replied",
			       json_object_new_boolean(entry.status & IPS_SEEN_REPLY));
	json_object_object_add(o, "assured", json_object_new_boolean(entry.status & IPS_ASSURED));
	json_object_object_add(o, "id", json_object_new_int64(entry.id));
	return o;
}

static struct json_object *pin_json(struct daemon *d, const struct tuple *t)
{
	struct json_object *o = json_object_new_object();
	const struct binding *b;
	uint8_t id = 0;

	if (t->zone == 0 && ruleset_pins_get(d->ruleset, t, 1, &id, NULL) < 0)
		id = 0;
	json_object_object_add(o, "present", json_object_new_boolean(id != 0));
	if (id == 0)
		return o;
	json_object_object_add(o, "id", json_object_new_int(id));
	b = registry_binding(d->registry, id);
	if (b) {
		struct nexthop_spec spec = binding_spec(b);
		char text[NEXTHOP_TEXT];

		json_object_object_add(o, "nexthop",
				       json_object_new_string(nexthop_spec_format(&spec, text)));
	}
	return o;
}

static struct flow *find(struct daemon *d, const struct flow_filter *filter, bool *ret_many)
{
	struct flow *f, *found = NULL;
	uint32_t cursor = 0;
	struct tuple t;

	*ret_many = false;
	if (flow_filter_tuple(filter, &t)) {
		f = flow_table_get(d->flows, &t);
		if (f && !(f->flags & FLOW_GRAVE))
			return f;
		/* Who names no zone may mean a flow that a switch's mirror told of. */
		if (filter->has_zone)
			return NULL;
	}
	while ((f = flow_table_next(d->flows, &cursor))) {
		if ((f->flags & FLOW_GRAVE) || !flow_filter_match(d, filter, f))
			continue;
		*ret_many = found != NULL;
		if (found)
			return NULL;
		found = f;
	}
	return found;
}

void show_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	struct flow_filter filter;
	struct strbuf text = { 0 };
	const struct binding *b;
	struct json_object *o;
	const char *key;
	struct flow *f;
	bool many;

	if (!filter_check(call, params))
		return;
	if (!filter_of(params)) {
		control_invalid_parameter(call, "filter");
		return;
	}
	if (flow_filter_parse(filter_of(params), &filter, &key) < 0) {
		control_invalid_parameter(call, key);
		return;
	}
	f = find(d, &filter, &many);
	b = f ? registry_binding(d->registry, f->binding) : NULL;
	if (!f || (!b && !(f->flags & FLOW_MIRRORED))) {
		control_error(call, many ? "Ambiguous" : "NotFound", "%s",
			      many ? "more than one flow fits: `flowpin flows` lists them"
			      : f  ? "that flow's mark is no nexthop of flowpin"
				   : "no such flow is known");
		return;
	}
	report_flow_text(d, f, clock_now_ms(), &text);
	o = json_object_new_object();
	json_object_object_add(o, "flow", text.failed ? NULL : json_tokener_parse(text.data));
	json_object_object_add(o, "conntrack", conntrack_json(d, &f->tuple));
	json_object_object_add(o, "pin", pin_json(d, &f->tuple));
	if (b)
		json_object_object_add(o, "binding", report_binding(d, b, NULL));
	strbuf_free(&text);
	control_reply(call, o);
}
