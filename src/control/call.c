// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include "control/internal.h"

uid_t control_call_uid(const struct control_call *c)
{
	return c->client->uid;
}

pid_t control_call_pid(const struct control_call *c)
{
	return c->client->pid;
}

uint64_t control_call_connection(const struct control_call *c)
{
	return c->client->connection;
}

bool control_call_more(const struct control_call *c)
{
	return c->more;
}

size_t control_call_pending(const struct control_call *c)
{
	/* A pump that fills up to a limit must come to its end when nobody is left to read. */
	if (c->client->dead || c->done)
		return CONTROL_WRITE_CAP;
	return evbuffer_get_length(c->client->out);
}

/* Puts one reply into the client's buffer: head, body, tail and the NUL. */
static void call_send(struct control_call *c, const char *body, size_t len, const char *tail)
{
	static const char head[] = "{\"parameters\":";
	struct control_client *cl = c->client;

	if (!c->active || c->done)
		return;
	c->sent++;
	if (c->oneway || cl->dead)
		return;
	if (evbuffer_add(cl->out, head, strlen(head)) < 0 || evbuffer_add(cl->out, body, len) < 0 ||
	    evbuffer_add(cl->out, tail, strlen(tail) + 1) < 0) {
		client_fail(cl);
		return;
	}
	if (evbuffer_get_length(cl->out) > CONTROL_WRITE_CAP) {
		cl->server->stats.refused++;
		client_fail(cl);
	} else {
		client_schedule(cl);
	}
}

/* The final reply is out: the loop does what follows. */
static void call_finish(struct control_call *c)
{
	if (!c->active)
		return;
	c->done = true;
	client_schedule(c->client);
}

static void call_send_object(struct control_call *c, struct json_object *params, const char *tail)
{
	const char *body = "{}";
	size_t len = 2;

	if (params)
		body = json_object_to_json_string_length(
			params, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (body)
		call_send(c, body, len, tail);
	else
		client_fail(c->client);
	json_object_put(params);
}

static void call_send_text(struct control_call *c, const struct strbuf *params, const char *tail)
{
	if (params->failed || !params->data)
		client_fail(c->client);
	else
		call_send(c, params->data, params->len, tail);
}

void control_reply(struct control_call *c, struct json_object *params)
{
	call_send_object(c, params, "}");
	call_finish(c);
}

void control_reply_text(struct control_call *c, const struct strbuf *params)
{
	call_send_text(c, params, "}");
	call_finish(c);
}

void control_continue(struct control_call *c, struct json_object *params)
{
	call_send_object(c, params, ",\"continues\":true}");
}

void control_continue_text(struct control_call *c, const struct strbuf *params)
{
	call_send_text(c, params, ",\"continues\":true}");
}

void message_error(struct strbuf *b, const char *error, const char *key, const char *value)
{
	strbuf_adds(b, "{\"error\":");
	strbuf_add_json(b, error);
	strbuf_adds(b, ",\"parameters\":{");
	strbuf_add_json(b, key);
	strbuf_adds(b, ":");
	strbuf_add_json(b, value);
	strbuf_add(b, "}}", 3);
}

void call_error(struct control_call *c, const char *error, const char *key, const char *value)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct control_client *cl = c->client;

	if (!c->active || c->done)
		return;
	message_error(&b, error, key, value);
	if (!c->oneway && !cl->dead && (b.failed || evbuffer_add(cl->out, b.data, b.len) < 0))
		client_fail(cl);
	call_finish(c);
}

void control_error(struct control_call *c, const char *name, const char *fmt, ...)
{
	_cleanup_(strbuf_free) struct strbuf error = { 0 };
	char reason[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	strbuf_addf(&error, "%s.%s", c->client->server->interface_name, name);
	if (error.failed)
		client_fail(c->client);
	else
		call_error(c, error.data, "reason", reason);
}

void control_invalid_parameter(struct control_call *c, const char *parameter)
{
	call_error(c, VARLINK_SERVICE ".InvalidParameter", "parameter", parameter);
}

void control_call_stream(struct control_call *c, void (*pump)(struct control_call *c, void *data),
			 void (*gone)(struct control_call *c, void *data), void *data)
{
	c->pump = pump;
	c->gone = gone;
	c->data = data;
	control_call_wake(c);
}

void control_call_wake(struct control_call *c)
{
	if (!c->active || c->done)
		return;
	c->wanted = true;
	client_schedule(c->client);
}
