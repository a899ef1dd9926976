// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/strbuf.h"
#include "cli/cli.h"

#define INTERFACE "io.flowpin."
#define SERVICE "org.varlink.service."
#define REPLY_MAX (64 * 1024 * 1024)
#define REPLY_DEPTH_MAX 16
#define READ_SIZE (256 * 1024)

/* A connection with the bytes that came and were not used yet: data[begin .. end). */
struct connection {
	int fd;
	char *data;
	size_t begin, end, cap;
	size_t scanned; /* from begin on, known to hold no NUL */
};

static void connection_close(struct connection *c)
{
	closep(&c->fd);
	free(c->data);
}

static int connection_open(struct connection *c, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *who;

	if (strlen(path) >= sizeof(sun.sun_path))
		return cli_fail("the socket path %s is too long", path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return cli_fail("cannot make a socket: %s", strerror(errno));
	if (connect(c->fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
		return 0;
	if (errno == ENOENT || errno == ECONNREFUSED)
		return cli_fail("flowpind is not running (cannot connect to %s: %s)", path,
				strerror(errno));
	who = errno == EACCES ? "; root and members of group " FLOWPIN_GROUP " may" : "";
	return cli_fail("cannot connect to %s: %s%s", path, strerror(errno), who);
}

static int connection_send(struct connection *c, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);

		/* Who hung up may have said why before. */
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0 && errno != EINTR)
			return cli_fail("cannot write to flowpind: %s", strerror(errno));
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Makes room for READ_SIZE more bytes: first by moving what is there to the front. */
static int connection_reserve(struct connection *c)
{
	char *data;

	if (c->cap - c->end >= READ_SIZE)
		return 0;
	if (c->begin > 0) {
		memmove(c->data, c->data + c->begin, c->end - c->begin);
		c->end -= c->begin;
		c->begin = 0;
	}
	if (c->cap - c->end >= READ_SIZE)
		return 0;
	if (c->cap >= REPLY_MAX)
		return cli_fail("flowpind sent more than %d bytes in one reply", REPLY_MAX);
	data = realloc(c->data, c->cap ? c->cap * 2 : 2 * READ_SIZE);
	if (!data)
		return cli_fail("out of memory");
	c->data = data;
	c->cap = c->cap ? c->cap * 2 : 2 * READ_SIZE;
	return 0;
}

/* The next message, valid until the next call. 0, or the exit code. */
static int connection_next(struct connection *c, struct slice *ret_message)
{
	for (;;) {
		size_t have = c->end - c->begin;
		const char *front = c->data, *nul = NULL;
		ssize_t n;
		int r;

		if (front && have > c->scanned) {
			front += c->begin;
			nul = memchr(front + c->scanned, '\0', have - c->scanned);
		}
		if (nul) {
			*ret_message = (struct slice){ front, (size_t)(nul - front) };
			c->begin += ret_message->len + 1;
			c->scanned = 0;
			return 0;
		}
		c->scanned = have;
		r = connection_reserve(c);
		if (r != 0)
			return r;
		n = recv(c->fd, c->data + c->end, READ_SIZE, 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return cli_fail("flowpind closed the connection");
		if (n < 0 && errno != EINTR)
			return cli_fail("cannot read from flowpind: %s", strerror(errno));
		c->end += n > 0 ? (size_t)n : 0;
	}
}

static int parse(struct slice text, struct json_object **ret_object)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct json_tokener *tok = json_tokener_new_ex(REPLY_DEPTH_MAX);
	struct json_object *o = NULL;

	slice_disarm(text, &b);
	if (tok && b.data && !b.failed && b.len < INT_MAX)
		o = json_tokener_parse_ex(tok, b.data, (int)b.len);
	if (tok)
		json_tokener_free(tok);
	if (!o)
		return cli_fail("flowpind's reply is not understood");
	*ret_object = o;
	return 0;
}

static const struct error_row {
	const char *name;
	int code;
	const char *key; /* the parameter that is shown */
	const char *before, *after;
} error_rows[] = {
	{ INTERFACE "NotFound", FLOWPIN_EXIT_FAILED, "reason", "", "" },
	{ INTERFACE "Ambiguous", FLOWPIN_EXIT_FAILED, "reason", "", "" },
	{ INTERFACE "Refused", FLOWPIN_EXIT_REFUSED, "reason", "", "" },
	{ INTERFACE "Failed", FLOWPIN_EXIT_FAILED, "reason", "", "" },
	{ INTERFACE "Busy", FLOWPIN_EXIT_FAILED, "reason", "flowpind is busy: ", "" },
	{ INTERFACE "PermissionDenied", FLOWPIN_EXIT_REFUSED, "reason", "permission denied: ", "" },
	{ SERVICE "InvalidParameter", FLOWPIN_EXIT_FAILED, "parameter",
	  "flowpind does not accept this ", "" },
	{ SERVICE "MethodNotFound", FLOWPIN_EXIT_FAILED, "method", "flowpind does not know ",
	  ": is it of another version?" },
	{ SERVICE "InterfaceNotFound", FLOWPIN_EXIT_FAILED, "interface", "flowpind does not know ",
	  ": is this its socket?" },
};

static int report_error(struct slice error, struct slice params)
{
	struct json_object *o = NULL;
	int code = FLOWPIN_EXIT_FAILED;
	bool found = false;

	if (params.len > 0 && parse(params, &o) != 0)
		return FLOWPIN_EXIT_FAILED;
	for (size_t i = 0; i < ARRAY_SIZE(error_rows) && !found; i++) {
		const struct error_row *row = &error_rows[i];

		if (!slice_equal(slice_text(error), row->name))
			continue;
		found = true;
		code = row->code;
		cli_fail("%s%s%s", row->before, js_text(o, row->key), row->after);
	}
	if (!found)
		cli_fail("flowpind answers with an error that is not known here");
	json_object_put(o);
	return code;
}

/* One of several replies as flowpind writes it, without looking at every byte of it. What stands
 * between head and tail is checked by whoever reads it. */
static bool reply_is_plain(struct slice message, struct cli_reply *ret_reply)
{
	static const char head[] = "{\"parameters\":{", tail[] = "},\"continues\":true}";
	const size_t front = sizeof(head) - 1, end = sizeof(tail) - 1;

	if (message.len < front + end || memcmp(message.p, head, front) != 0 ||
	    memcmp(message.p + message.len - end, tail, end) != 0)
		return false;
	*ret_reply = (struct cli_reply){ .params = { message.p + front - 1,
						     message.len - front - end + 2 } };
	return true;
}

/* Takes a message apart. 0, or the exit code. */
static int reply_read(struct slice message, bool raw, struct cli_reply *ret_reply)
{
	struct slice inside, key, value, error = { 0 }, params = { 0 };
	bool continues = false;

	if (raw && reply_is_plain(message, ret_reply))
		return 0;
	if (!slice_open(message, '{', &inside))
		return cli_fail("flowpind's reply is not understood");
	while (slice_member(&inside, &key, &value)) {
		if (slice_equal(key, "error"))
			error = value;
		else if (slice_equal(key, "parameters"))
			params = value;
		else if (slice_equal(key, "continues"))
			continues = slice_equal(value, "true");
	}
	if (inside.len > 0)
		return cli_fail("flowpind's reply is not understood");
	if (error.len > 0)
		return report_error(error, params);
	if (params.len == 0)
		params = (struct slice){ "{}", 2 };
	*ret_reply = (struct cli_reply){ .params = params, .last = !continues };
	return raw ? 0 : parse(params, &ret_reply->json);
}

static int call_send(struct connection *c, const char *method, struct json_object *params,
		     bool more)
{
	_cleanup_(js_putp) struct json_object *call = json_object_new_object();
	char name[64];
	const char *text;
	size_t len;

	snprintf(name, sizeof(name), INTERFACE "%s", method);
	json_object_object_add(call, "method", json_object_new_string(name));
	json_object_object_add(call, "parameters", params ? params : json_object_new_object());
	if (more)
		json_object_object_add(call, "more", json_object_new_boolean(1));
	text = json_object_to_json_string_length(call, JSON_C_TO_STRING_PLAIN, &len);
	return text ? connection_send(c, text, len + 1) : cli_fail("out of memory");
}

int cli_call(const struct cli *cli, const char *method, struct json_object *params, uint32_t flags,
	     void (*fn)(const struct cli *cli, const struct cli_reply *reply, void *arg), void *arg)
{
	_cleanup_(connection_close) struct connection c = { .fd = -1 };
	struct cli_reply reply = { 0 };
	struct slice message = { 0 };
	int r;

	r = connection_open(&c, cli->socket_path);
	if (r != 0) {
		json_object_put(params);
		return r;
	}
	r = call_send(&c, method, params, flags & CLI_CALL_MORE);
	while (r == 0 && !reply.last) {
		r = connection_next(&c, &message);
		if (r == 0)
			r = reply_read(message, flags & CLI_CALL_RAW, &reply);
		if (r == 0) {
			fn(cli, &reply, arg);
			json_object_put(reply.json);
		}
		if (r == 0 && ferror(stdout))
			r = cli_fail("cannot write: %s", strerror(errno));
	}
	return r;
}
