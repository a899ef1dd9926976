// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/channel.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"

struct channel {
	const struct switch_config *config;
	struct http_conn *conn;
	struct commands commands;
	bool text, busy;
	bool plain; /* the switch refused more than the least parameters */
	uint64_t id, requests, sent;
	uint64_t begin_ms;
	void (*done)(const struct channel_result *r, void *arg);
	void *arg;
};

int channel_new(struct http *h, const struct switch_config *config, struct channel **ret_channel,
		struct err *e)
{
	_cleanup_(channel_freep) struct channel *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->config = config;
	r = http_conn_new(h, config, &c->conn, e);
	if (r < 0)
		return r;
	*ret_channel = TAKE_PTR(c);
	return 0;
}

struct channel *channel_free(struct channel *c)
{
	if (c) {
		http_conn_free(c->conn);
		commands_free(&c->commands);
		free(c);
	}
	return NULL;
}

bool channel_busy(const struct channel *c)
{
	return c->busy;
}

void channel_counts(const struct channel *c, uint64_t *ret_requests, uint64_t *ret_commands)
{
	*ret_requests = c->requests;
	*ret_commands = c->sent;
}

static void on_answer(const struct http_answer *a, void *arg);

static int post(struct channel *c, struct err *e)
{
	struct rpc_options o = { .config = c->config, .text = c->text, .plain = c->plain };
	_cleanup_(strbuf_free) struct strbuf body = { 0 };
	char password[SECRET_MAX] = "";
	bool built;
	int r;

	if (c->config->enable_password_file[0]) {
		if (secret_read(c->config->enable_password_file, password, e) < 0)
			return -EACCES;
		o.enable_password = password;
	}
	built = rpc_request(&o, ++c->id, &c->commands, &body);
	secret_wipe(password);
	r = built ? http_conn_post(c->conn, body.data, body.len, on_answer, c, e)
		  : err_set(e, -ENOMEM, "out of memory");
	if (o.enable_password && body.data)
		explicit_bzero(body.data, body.cap);
	if (r < 0)
		return r;
	c->begin_ms = clock_now_ms();
	c->requests++;
	c->sent += c->commands.n;
	return 0;
}

static void read_answer(struct channel *c, const struct http_answer *a, struct channel_result *r)
{
	if (a->outcome != HTTP_ANSWERED) {
		r->outcome = a->unsent ? CHANNEL_UNSENT : CHANNEL_UNKNOWN;
		r->sentence = a->sentence;
		return;
	}
	rpc_parse(a->body, a->len, c->id, c->commands.n, &r->rpc);
	switch (r->rpc.outcome) {
	case RPC_OK:
	case RPC_FAILED:
		r->outcome = CHANNEL_ANSWERED;
		return;
	case RPC_REFUSED:
		r->outcome = CHANNEL_UNSENT;
		break;
	case RPC_UNKNOWN:
		r->outcome = CHANNEL_UNKNOWN;
		break;
	}
	r->sentence = r->rpc.message;
}

static void on_answer(const struct http_answer *a, void *arg)
{
	struct channel *c = arg;
	struct channel_result r = {
		.http = a->outcome, .sentence = "", .begin_ms = c->begin_ms, .took_ms = a->took_ms
	};
	struct err e = { 0 };

	c->busy = false;
	read_answer(c, a, &r);
	/* An old EOS knows only the least parameters. */
	if (r.rpc.outcome == RPC_REFUSED && r.rpc.code == -32602 && !c->plain &&
	    c->config->api_timestamps) {
		c->plain = true;
		rpc_answer_free(&r.rpc);
		if (post(c, &e) == 0) {
			c->busy = true;
			return;
		}
		r.sentence = e.text;
	}
	c->done(&r, c->arg);
	rpc_answer_free(&r.rpc);
}

int channel_run(struct channel *c, const struct commands *commands, bool text,
		void (*done)(const struct channel_result *r, void *arg), void *arg, struct err *e)
{
	int r;

	if (c->busy)
		return err_set(e, -EBUSY, "a request is under way");
	commands_reset(&c->commands);
	for (size_t i = 0; i < commands->n; i++)
		commands_add(&c->commands, commands_get(commands, i));
	c->commands.failed |= commands->failed;
	c->text = text;
	c->done = done;
	c->arg = arg;
	r = post(c, e);
	if (r < 0)
		return r;
	c->busy = true;
	return 0;
}
