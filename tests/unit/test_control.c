// SPDX-License-Identifier: GPL-2.0-or-later
/* The control server: what it answers, what it refuses, who may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <grp.h>
#include <sys/wait.h>
#include "unit/control_world.h"

static void test_answers(void **state)
{
	static const struct {
		const char *call, *answer;
	} rows[] = {
		{ "{\"method\":\"io.flowpin.Echo\"}", "{\"parameters\":{}}" },
		{ " {\"method\":\"io.flowpin.Echo\",\"parameters\":null} ", "{\"parameters\":{}}" },
		{ "{\"method\":\"io.flowpin.Change\",\"other\":1}", "{\"parameters\":{}}" },
		{ "{\"method\":\"io.flowpin.Refuse\"}",
		  "{\"error\":\"io.flowpin.NotFound\",\"parameters\":{\"reason\":\"no nexthop "
		  "\\\"x\\u000a\\\"\"}}" },
		{ "{\"method\":\"io.flowpin.No\"}",
		  "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":"
		  "\"io.flowpin.No\"}}" },
		{ "{\"method\":\"io.other.No\"}",
		  "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{"
		  "\"interface\":\"io.other\"}}" },
		{ "{\"method\":\"\"}", "{\"error\":\"org.varlink.service.MethodNotFound\","
				       "\"parameters\":{\"method\":\"\"}}" },
		{ "{\"method\":\"io.flowpin.Echo\",\"parameters\":[]}",
		  "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
		  "\"parameter\":\"parameters\"}}" },
		{ "{\"method\":\"io.flowpin.Echo\",\"upgrade\":true}",
		  "{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":{"
		  "\"method\":\"io.flowpin.Echo\"}}" },
		{ "{\"method\":\"org.varlink.service.GetInfo\"}",
		  "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\",\"version\":\"1\",\"url\":"
		  "\"\","
		  "\"interfaces\":[\"org.varlink.service\",\"io.flowpin\"]}}" },
		{ "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{"
		  "\"interface\":\"io.flowpin\"}}",
		  "{\"parameters\":{\"description\":\"# A test.\\u000ainterface "
		  "io.flowpin\\u000amethod "
		  "Echo(text: ?string) -> (text: string)\\u000a\"}}" },
		{ "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{"
		  "\"interface\":\"io.o\"}}",
		  "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{"
		  "\"interface\":\"io.o\"}}" },
		{ "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
		  "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
		  "\"parameter\":\"interface\"}}" },
	};
	struct world *w = *state;
	int fd = dial(w); /* one connection for all: a request that was refused with an answer ends
			     nothing */

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		say(fd, rows[i].call);
		assert_string_equal(hear(w, fd), rows[i].answer);
	}
	/* Of a oneway call nothing comes back, not even an error. */
	say(fd, "{\"method\":\"io.flowpin.Refuse\",\"oneway\":true}");
	say(fd, "{\"method\":\"io.flowpin.Echo\"}");
	assert_string_equal(hear(w, fd), "{\"parameters\":{}}");
	close(fd);
	wait_clients(w, 0);
	assert_int_equal(refused(w), 0);
}

static void test_garbage(void **state)
{
	static const char *const rows[] = {
		"",
		"x",
		"[]",
		"{}",
		"1",
		"null",
		"{\"method\":1}",
		"{\"method\":null}",
		"{\"method\":\"a\"",
		"{\"method\":\"io.flowpin.Echo\"}x",
		"{\"method\":\"io.flowpin.Echo\",}",
		"{'method':'io.flowpin.Echo'}",
		"{\"method\":\"io.flowpin.Echo\"}{\"method\":\"io.flowpin.Echo\"}",
		"{\"method\":\"io.flowpin.Echo\",\"more\":1}",
		"{\"method\":\"io.flowpin.Echo\",\"oneway\":\"\"}",
		"{\"method\":\"io.flowpin.Echo\\u0000\"}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"a\\u0000b\"}}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"\\u0000\":1}}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"\033[2J\"}}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"\xff\"}}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":NaN}}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":-Infinity}}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":99999999999999999999}}",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"a\":[[[[[[[1]]]]]]]}}", /* depth
											      9 */
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"\\",
		"{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"\\u000",
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd = dial(w);

		say(fd, rows[i]);
		if (hear(w, fd))
			fail_msg("row %zu was answered: %s", i, rows[i]);
		close(fd);
	}
	assert_int_equal(refused(w), ARRAY_SIZE(rows));
	wait_clients(w, 0);
	assert_alive(w);
}

/* What lies just inside the limits is served. */
static void test_limits(void **state)
{
	static char text[CONTROL_REQUEST_MAX + 1];
	const size_t front = strlen("{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"x\":\"");
	struct world *w = *state;
	int fd = dial(w);

	say(fd,
	    "{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"a\":[[[[[[1]]]]]]}}"); /* depth 8 */
	assert_string_equal(hear(w, fd), "{\"parameters\":{}}");
	say(fd, "{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"\\\\u0000 NI\"}}");
	assert_string_equal(hear(w, fd), "{\"parameters\":{\"text\":\"\\\\u0000 NI\"}}");

	snprintf(text, sizeof(text),
		 "{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"x\":\"%0*d\"}}",
		 (int)(CONTROL_REQUEST_MAX - front - 3 - 1), 0);
	assert_int_equal(strlen(text), CONTROL_REQUEST_MAX - 1);
	say(fd, text); /* 16 KiB with its NUL */
	assert_string_equal(hear(w, fd), "{\"parameters\":{}}");

	memset(text, ' ', sizeof(text));
	text[CONTROL_REQUEST_MAX] = '\0';
	say_bytes(fd, text, sizeof(text)); /* one more */
	assert_null(hear(w, fd));
	close(fd);
	assert_int_equal(refused(w), 1);
}

static void test_no_end(void **state)
{
	static char text[65536];
	struct world *w = *state;
	int fd = dial(w), sent = 0;

	memset(text, '[', sizeof(text));
	for (; sent < 1024 * 1024; turn(w)) {
		ssize_t n = send(fd, text, sizeof(text), MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		sent += n > 0 ? (int)n : 0;
	}
	assert_true(sent < 1024 * 1024); /* it was cut off long before */
	wait_clients(w, 0);
	close(fd);
	assert_int_equal(refused(w), 1);
	assert_alive(w);
}

static void test_silent(void **state)
{
	struct control_limits limits = { .max_clients = 10,
					 .max_clients_per_uid = 10,
					 .idle_timeout_ms = 100 };
	struct world *w = *state;
	int silent, half;
	uint64_t begin;

	control_server_limits_set(w->server, &limits);
	silent = dial(w);
	half = dial(w);
	say_bytes(half, "{\"method\"", 9);
	wait_clients(w, 2);
	begin = clock_now_ms();
	/* Byte by byte is no way to stay: the clock runs on. */
	for (; clients(w) > 0 && clock_now_ms() < begin + DEADLINE_MS; turn(w))
		(void)!send(half, " ", 1, MSG_NOSIGNAL);
	assert_null(hear(w, silent));
	assert_null(hear(w, half));
	close(silent);
	close(half);
	assert_alive(w);
}

static void test_half_then_close(void **state)
{
	struct world *w = *state;
	int fd = dial(w);

	say_bytes(fd, "{\"method\":\"io.flo", 17);
	wait_clients(w, 1);
	close(fd);
	wait_clients(w, 0);

	/* A client that shuts down its sending side is still answered, then closed. */
	fd = dial(w);
	say(fd, "{\"method\":\"io.flowpin.Echo\"}");
	say(fd, "{\"method\":\"io.flowpin.Echo\"}");
	shutdown(fd, SHUT_WR);
	assert_string_equal(hear(w, fd), "{\"parameters\":{}}");
	assert_string_equal(hear(w, fd), "{\"parameters\":{}}");
	assert_null(hear(w, fd));
	close(fd);
	assert_alive(w);
}

static void test_many_clients(void **state)
{
	struct world *w = *state;
	int fds[220], over;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial(w);
		turn(w);
		if (i < 200)
			say(fds[i], "{\"method\":\"io.flowpin.Echo\"}");
	}
	for (size_t i = 0; i < 200; i++)
		assert_string_equal(hear(w, fds[i]), "{\"parameters\":{}}");
	over = dial(w);
	assert_string_equal(hear(w, over),
			    "{\"error\":\"io.flowpin.Busy\",\"parameters\":{\"reason\":"
			    "\"too many clients of this user\"}}");
	assert_null(hear(w, over));
	close(over);
	assert_int_equal(refused(w), 1);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	wait_clients(w, 0);
	assert_alive(w);
}

static void test_cap_of_all(void **state)
{
	struct control_limits limits = { .max_clients = 2, .max_clients_per_uid = 10 };
	struct world *w = *state;
	int a = dial(w), b = dial(w), c;

	control_server_limits_set(w->server, &limits);
	c = dial(w);
	assert_string_equal(
		hear(w, c),
		"{\"error\":\"io.flowpin.Busy\",\"parameters\":{\"reason\":\"too many clients\"}}");
	assert_null(hear(w, c));
	close(a);
	wait_clients(w, 1);
	assert_alive(w);
	close(b);
	close(c);
}

static void test_listening(void **state)
{
	struct world *w = *state;
	struct control_options o = options_of(w);
	struct control_server *second = NULL;
	struct err e = { 0 };
	char path[100];
	struct stat st;
	int fd;

	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(control_server_new(w->base, &o, &second, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, w->path));
	assert_null(second);
	assert_alive(w);

	snprintf(path, sizeof(path), "%s/other", w->dir);
	o.path = path;
	o.mode = 0640;
	o.group = getgid();
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(control_server_new(w->base, &o, &second, &e),
			 -EEXIST); /* a file is not ours to remove */
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd); /* a stale socket */
	assert_int_equal(control_server_new(w->base, &o, &second, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* What took our place is not ours to remove either. */
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	control_server_free(second);
	assert_int_equal(unlink(path), 0);
}

/* What a client of that user and those groups is answered to an admin method; the child exits with
 * 0 allowed, 1 refused. */
static int ask_as(struct world *w, uid_t uid, gid_t gid, const gid_t *groups, size_t n)
{
	static const char call[] = "{\"method\":\"io.flowpin.Change\"}";
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		char buf[256] = "";
		int fd;

		if (setgroups(n, groups) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(9);
		fd = dial(w);
		fcntl(fd, F_SETFL, 0);
		if (send(fd, call, sizeof(call), 0) < 0 || recv(fd, buf, sizeof(buf) - 1, 0) <= 0)
			_exit(8);
		_exit(strstr(buf, "io.flowpin.PermissionDenied") ? 1 : 0);
	}
	for (uint64_t end = clock_now_ms() + DEADLINE_MS;
	     clock_now_ms() < end && waitpid(pid, &status, WNOHANG) == 0;)
		turn(w);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_permission(void **state)
{
	struct world *w = *state;
	gid_t many[200];

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (gid_t)(60000 + i);
	many[150] = ADMIN_GID;
	assert_int_equal(ask_as(w, 0, 0, NULL, 0), 0);
	assert_int_equal(ask_as(w, 65534, 65534, NULL, 0), 1);
	assert_int_equal(ask_as(w, 65534, ADMIN_GID, NULL, 0), 0);
	assert_int_equal(ask_as(w, 65534, 65534, (gid_t[]){ 7, ADMIN_GID }, 2), 0);
	assert_int_equal(ask_as(w, 65534, 65534, many, ARRAY_SIZE(many)),
			 0); /* more than fit at first */
	assert_int_equal(ask_as(w, 65534, 65534, many, 100), 1);
	assert_int_equal(refused(w), 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_answers),      T(test_garbage),	  T(test_limits),
		T(test_no_end),	      T(test_silent),	  T(test_half_then_close),
		T(test_many_clients), T(test_cap_of_all), T(test_listening),
		T(test_permission),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
