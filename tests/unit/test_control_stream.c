// SPDX-License-Identifier: GPL-2.0-or-later
/* The control server: calls that take their time, streams, and clients that leave or do not read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/control_world.h"

static void test_pipelined(void **state)
{
	struct world *w = *state;
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	char call[128], answer[128];
	int fd = dial(w);
	size_t sent = 0;

	for (int i = 0; i < 2000; i++) {
		snprintf(call, sizeof(call),
			 "{\"method\":\"io.flowpin.Echo\",\"parameters\":{\"text\":\"%d\"}}", i);
		strbuf_add(&b, call, strlen(call) + 1);
	}
	for (int i = 0; i < 2000; i++) {
		while (sent < b.len) {
			ssize_t n = send(fd, b.data + sent, b.len - sent, MSG_NOSIGNAL);

			if (n < 0)
				break;
			sent += (size_t)n;
		}
		snprintf(answer, sizeof(answer), "{\"parameters\":{\"text\":\"%d\"}}", i);
		assert_string_equal(hear(w, fd), answer);
	}
	close(fd);
	wait_clients(w, 0);
}

/* A call that waits holds back what the client sent behind it, and nobody else. */
static void test_one_at_a_time(void **state)
{
	struct world *w = *state;
	int fd = dial(w);

	say(fd, "{\"method\":\"io.flowpin.Keep\"}");
	say(fd, "{\"method\":\"io.flowpin.Echo\"}");
	while (!w->kept)
		turn(w);
	assert_alive(w);
	assert_int_equal(recv(fd, &(char){ 0 }, 1, 0), -1);
	control_error(w->kept, "Failed", "%d", 7);
	assert_int_equal(w->gones, 0); /* not from inside */
	assert_string_equal(hear(w, fd),
			    "{\"error\":\"io.flowpin.Failed\",\"parameters\":{\"reason\":\"7\"}}");
	assert_string_equal(hear(w, fd), "{\"parameters\":{}}");
	assert_int_equal(w->gones, 1);
	close(fd);
	wait_clients(w, 0);
	assert_int_equal(w->gones, 1);
}

static void test_stream(void **state)
{
	struct world *w = *state;
	int fd = dial(w);
	const char *text;

	w->limit = 3000;
	say(fd, STREAM);
	for (uint32_t i = 1; i <= w->limit; i++) {
		text = hear(w, fd);
		assert_non_null(text);
		assert_true(!strstr(text, ",\"continues\":true}") == (i == w->limit));
	}
	while (w->gones == 0)
		turn(w);
	say(fd, "{\"method\":\"io.flowpin.Echo\"}");
	assert_string_equal(hear(w, fd), "{\"parameters\":{}}");
	assert_int_equal(w->gones, 1);
	close(fd);
	wait_clients(w, 0);
}

/* Somebody who does not read stops his own stream and nobody else: another client is answered
 * within one turn. */
static void test_slow_reader(void **state)
{
	struct world *w = *state;
	int slow = dial(w), other = dial(w);
	uint32_t pumps;
	char buf[256];

	say(slow, STREAM);
	for (int i = 0; i < 20; i++)
		turn(w);
	assert_in_range(w->pumps, 1, 20); /* one pump a turn */
	say(other, "{\"method\":\"io.flowpin.Echo\"}");
	turn(w);
	assert_true(recv(other, buf, sizeof(buf), 0) > 0);
	for (int i = 0; i < 3000; i++)
		turn(w);
	pumps = w->pumps;
	assert_true(pumps < 2000); /* the socket's buffer and CONTROL_WRITE_HIGH */
	for (int i = 0; i < 100; i++)
		turn(w);
	assert_int_equal(w->pumps, pumps);
	for (int i = 0; i < 2000; i++)
		assert_non_null(hear(w, slow));
	assert_true(w->pumps > pumps);
	close(slow);
	close(other);
	wait_clients(w, 0);
	assert_int_equal(w->gones, 1);
}

static void test_write_cap(void **state)
{
	struct world *w = *state;
	int fd = dial(w);

	say(fd, "{\"method\":\"io.flowpin.Flood\",\"more\":true}");
	wait_clients(w, 1);
	wait_clients(w, 0);
	assert_int_equal(w->pumps, 1);
	assert_int_equal(w->gones, 1);
	assert_int_equal(refused(w), 1);
	close(fd);
	assert_alive(w);
}

static void test_disconnect_in_stream(void **state)
{
	struct world *w = *state;
	int fd = dial(w);

	say(fd, STREAM);
	for (int i = 0; i < 100; i++)
		assert_non_null(hear(w, fd));
	close(fd);
	wait_clients(w, 0);
	assert_int_equal(w->gones, 1);

	/* A call that waits, with pipelined bytes unread on our side and a reply unread on the
	 * other: noticed, and no busy loop. */
	fd = dial(w);
	say(fd, "{\"method\":\"io.flowpin.Keep\",\"more\":true}");
	while (!w->kept)
		turn(w);
	say(fd, "{\"method\":\"io.flowpin.Echo\"}");
	control_continue(w->kept, NULL);
	turn(w);
	turn(w);
	assert_int_equal(w->gones, 1);
	close(fd);
	wait_clients(w, 0);
	assert_int_equal(w->gones, 2);

	/* The server goes first. */
	fd = dial(w);
	say(fd, "{\"method\":\"io.flowpin.Keep\",\"more\":true}");
	while (!w->kept)
		turn(w);
	w->server = control_server_free(w->server);
	assert_int_equal(w->gones, 3);
	assert_null(hear(w, fd));
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_pipelined),   T(test_one_at_a_time), T(test_stream),
		T(test_slow_reader), T(test_write_cap),	    T(test_disconnect_in_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
