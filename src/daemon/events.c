// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/events.h"

#include <stdarg.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/report.h"

#define QUEUE_MAX (256 * 1024) /* bytes of events that a slow reader may owe */

struct subscriber {
	struct daemon *d;
	struct control_call *call;
	struct subscriber *next;
	bool flows;
	struct strbuf queue; /* events as JSON, with commas between */
	uint64_t lost;
};

static void pump(struct control_call *call, void *data)
{
	struct subscriber *s = data;
	struct strbuf b = { 0 };

	if (s->queue.len == 0 && s->lost == 0)
		return;
	strbuf_adds(&b, "{\"events\":[");
	strbuf_add(&b, s->queue.data ? s->queue.data : "", s->queue.len);
	if (s->lost)
		strbuf_addf(&b,
			    "%s{\"time\":%llu,\"kind\":\"overrun\",\"text\":\"%llu events were not "
			    "sent: this reader is too "
			    "slow\"}",
			    s->queue.len ? "," : "", (unsigned long long)clock_wall_s(),
			    (unsigned long long)s->lost);
	strbuf_adds(&b, "]}");
	s->lost = 0;
	strbuf_reset(&s->queue);
	if (!b.failed)
		control_continue_text(call, &b);
	strbuf_free(&b);
}

static void gone(struct control_call *call _unused_, void *data)
{
	struct subscriber *s = data, **p = &s->d->subscribers;

	while (*p && *p != s)
		p = &(*p)->next;
	if (*p)
		*p = s->next;
	s->d->flow_subscribers -= s->flows;
	strbuf_free(&s->queue);
	free(s);
}

void events_subscribe(struct daemon *d, struct control_call *call, bool flows)
{
	struct subscriber *s = calloc(1, sizeof(*s));
	struct json_object *o, *list;

	if (!s) {
		control_error(call, "Failed", "out of memory");
		return;
	}
	s->d = d;
	s->call = call;
	s->flows = flows;
	s->next = d->subscribers;
	d->subscribers = s;
	d->flow_subscribers += flows;
	o = json_object_new_object();
	list = json_object_new_array();
	json_object_object_add(o, "events", list);
	control_continue(call, o);
	control_call_stream(call, pump, gone, s);
}

static void publish(struct daemon *d, const struct strbuf *event, bool of_flow)
{
	for (struct subscriber *s = d->subscribers; s; s = s->next) {
		if (of_flow && !s->flows)
			continue;
		if (s->queue.len + event->len > QUEUE_MAX) {
			s->lost++;
			continue;
		}
		if (s->queue.len)
			strbuf_add(&s->queue, ",", 1);
		strbuf_add(&s->queue, event->data, event->len);
		control_call_wake(s->call);
	}
}

static void add_text(struct strbuf *b, const char *key, const char *value)
{
	if (!value)
		return;
	strbuf_addf(b, ",\"%s\":", key);
	strbuf_add_json(b, value);
}

void events_report(struct daemon *d, const struct event_report *report, const char *fmt, ...)
{
	struct strbuf b = { 0 };
	char text[512];
	va_list ap;

	if (!d->subscribers)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	strbuf_addf(&b,
		    "{\"time\":%llu,\"kind\":\"%s\",\"text\":", (unsigned long long)clock_wall_s(),
		    report->kind);
	strbuf_add_json(&b, text);
	add_text(&b, "service", report->service);
	add_text(&b, "nexthop", report->nexthop);
	if (report->id)
		strbuf_addf(&b, ",\"id\":%u,\"flows\":%u", report->id, report->flows);
	add_text(&b, "from", report->from);
	add_text(&b, "to", report->to);
	add_text(&b, "reason", report->reason);
	add_text(&b, "change", report->change);
	if (report->flow) {
		strbuf_adds(&b, ",\"flow\":");
		report_flow_text(d, report->flow, clock_now_ms(), &b);
	}
	strbuf_adds(&b, "}");
	if (!b.failed)
		publish(d, &b, report->flow != NULL);
	strbuf_free(&b);
}

void events_flow(struct daemon *d, const struct flow *f, const char *change)
{
	char text[TUPLE_TEXT];

	events_report(d, &(struct event_report){ .kind = "flow", .flow = f, .change = change },
		      "%s %s", change, tuple_format(&f->tuple, text));
}
