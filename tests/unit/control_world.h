/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The control server over real unix sockets: its loop and its clients run in one process, turn by
 * turn. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/clock.h"
#include "control/server.h"

#define ADMIN_GID 54321
#define DEADLINE_MS 20000

static const char interface_text[] =
	"# A test.\ninterface io.flowpin\nmethod Echo(text: ?string) -> (text: string)\n";

/* What the test's methods do and have seen. */
struct world {
	char dir[64], path[80];
	struct event_base *base;
	struct control_server *server;
	struct control_call *kept;
	uint32_t pumps, gones, limit;
};

static void echo(struct control_call *c, struct json_object *params, void *arg _unused_)
{
	struct json_object *o = json_object_new_object(), *text;

	if (json_object_object_get_ex(params, "text", &text))
		json_object_object_add(o, "text", json_object_get(text));
	control_reply(c, o);
}

static void change(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	control_reply(c, NULL);
}

static void refuse(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	control_error(c, "NotFound", "no nexthop \"%s\"", "x\n");
	control_reply(c, NULL); /* after the final reply: dropped */
}

static void stream_gone(struct control_call *c _unused_, void *data)
{
	struct world *w = data;

	w->gones++;
	w->kept = NULL;
}

static void stream_pump(struct control_call *c, void *data)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct world *w = data;

	strbuf_addf(&b, "{\"n\":%u,\"fill\":\"%01000d\"}", ++w->pumps, 0);
	if (w->pumps == w->limit)
		control_reply_text(c, &b);
	else
		control_continue_text(c, &b);
}

static void stream(struct control_call *c, struct json_object *params _unused_, void *arg)
{
	control_call_stream(c, stream_pump, stream_gone, arg);
}

/* Fills the client's buffer without asking whether there is room. */
static void flood_pump(struct control_call *c, void *data)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct world *w = data;

	strbuf_addf(&b, "{\"fill\":\"%0100000d\"}", 0);
	while (control_call_pending(c) < CONTROL_WRITE_CAP)
		control_continue_text(c, &b);
	w->pumps++;
}

static void flood(struct control_call *c, struct json_object *params _unused_, void *arg)
{
	control_call_stream(c, flood_pump, stream_gone, arg);
}

static void keep(struct control_call *c, struct json_object *params _unused_, void *arg)
{
	struct world *w = arg;

	w->kept = c;
	control_call_stream(c, NULL, stream_gone, w);
}

static const struct control_method methods[] = {
	{ "io.flowpin.Echo", CONTROL_READ, false, echo },
	{ "io.flowpin.Change", CONTROL_ADMIN, false, change },
	{ "io.flowpin.Refuse", CONTROL_READ, false, refuse },
	{ "io.flowpin.Stream", CONTROL_READ, true, stream },
	{ "io.flowpin.Flood", CONTROL_READ, true, flood },
	{ "io.flowpin.Keep", CONTROL_READ, true, keep },
	{ NULL, CONTROL_READ, false, NULL },
};

static struct control_options options_of(struct world *w)
{
	return (struct control_options){
		.path = w->path,
		.mode = 0666,
		.group = (gid_t)-1,
		.has_admin_group = true,
		.admin_group = ADMIN_GID,
		.methods = methods,
		.interface = interface_text,
		.vendor = "v",
		.product = "p",
		.version = "1",
		.limits = { .max_clients = 250,
			    .max_clients_per_uid = 220,
			    .idle_timeout_ms = 60000 },
		.arg = w,
	};
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct control_options o;

	strcpy(w->dir, "/tmp/flowpin-control-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0755), 0);
	snprintf(w->path, sizeof(w->path), "%s/sock", w->dir);
	w->base = event_base_new();
	assert_int_equal(event_base_priority_init(w->base, 3), 0);
	o = options_of(w);
	assert_int_equal(control_server_new(w->base, &o, &w->server, NULL), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	control_server_free(w->server);
	assert_int_equal(access(w->path, F_OK), -1);
	event_base_free(w->base);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static void turn(struct world *w)
{
	assert_true(event_base_loop(w->base, EVLOOP_NONBLOCK | EVLOOP_ONCE) >= 0);
}

static int dial(struct world *w)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sun.sun_path, w->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void say_bytes(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text) + 1);
}

/* Reads one message within the deadline, turning the loop. NULL at the end of the stream. Valid
 * until the next call. */
static const char *hear(struct world *w, int fd)
{
	static char buf[1 << 20];
	uint64_t deadline = clock_now_ms() + DEADLINE_MS;
	size_t len = 0;

	while (clock_now_ms() < deadline) {
		ssize_t n = recv(fd, buf + len, 1, 0);

		if (n == 1 && buf[len++] == '\0')
			return buf;
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return NULL;
		assert_true(len < sizeof(buf));
		if (n < 0)
			turn(w);
	}
	fail_msg("no answer");
	return NULL;
}

static uint32_t clients(struct world *w)
{
	struct control_server_stats s;

	control_server_stats(w->server, &s);
	return s.clients;
}

static uint64_t refused(struct world *w)
{
	struct control_server_stats s;

	control_server_stats(w->server, &s);
	return s.refused;
}

static void wait_clients(struct world *w, uint32_t n)
{
	uint64_t deadline = clock_now_ms() + DEADLINE_MS;

	while (clients(w) != n && clock_now_ms() < deadline)
		turn(w);
	assert_int_equal(clients(w), n);
}

#define STREAM "{\"method\":\"io.flowpin.Stream\",\"more\":true}"

/* The server still does what it is there for. */
static void assert_alive(struct world *w)
{
	int fd = dial(w);

	say(fd, "{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"hi\"}}");
	assert_string_equal(hear(w, fd), "{\"parameters\":{\"text\":\"hi\"}}");
	close(fd);
}
