// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include "eapi/pace.h"
#include "eapi/rpc.h"
#include "eapi_fixture.h"

static void test_limits(void **state _unused_)
{
	static const struct {
		const char *text;
		int r;
	} rows[] = {
		{ "{}", 0 },
		{ " [1, 2] \n", 0 },
		{ "{\"a\":NaN}", -EBADMSG },
		{ "[Infinity]", -EBADMSG },
		{ "{\"NaN\":\"Inf\"}", 0 },
		{ "5", -EBADMSG },
		{ "{} {}", -EBADMSG },
		{ "{\"a\":", -EBADMSG },
		{ "", -EBADMSG },
		{ "<html>", -EBADMSG },
		{ "{'a':1}", -EBADMSG },
		{ "\"unended", -EBADMSG },
		{ "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", 0 },
		{ "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", -E2BIG },
	};
	struct json_object *o = NULL;
	char *many = malloc(3 * EAPI_JSON_CONTAINERS + 16);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(eapi_json_parse(rows[i].text, strlen(rows[i].text), &o),
				 rows[i].r);
		json_object_put(o);
		o = NULL;
	}
	memset(many, '[', 100);
	assert_int_equal(eapi_json_parse(many, 100, &o), -E2BIG);
	many[0] = '[';
	for (size_t i = 0; i <= EAPI_JSON_CONTAINERS; i++)
		memcpy(many + 1 + 3 * i, "{},", 3);
	assert_int_equal(eapi_json_parse(many, 3 * EAPI_JSON_CONTAINERS + 4, &o), -E2BIG);
	free(many);
}

static void test_numbers(void **state _unused_)
{
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} rows[] = {
		{ "[5]", true, 5 },
		{ "[\"5\"]", true, 5 },
		{ "[5.0]", true, 5 },
		{ "[5.5]", false, 0 },
		{ "[\"5x\"]", false, 0 },
		{ "[true]", false, 0 },
		{ "[null]", false, 0 },
		{ "[-1]", false, 0 },
		{ "[960767986]", true, 960767986 },
		{ "[99999999999999999999]", false, 0 },
		{ "[\"0x10\"]", false, 0 },
		{ "[\"\"]", false, 0 },
		{ "[\" 5\"]", false, 0 },
		{ "[1e300]", false, 0 },
	};
	double d;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(rows[i].text);
		int64_t v = 0;

		assert_int_equal(eapi_json_int(json_object_array_get_idx(o, 0), 0, INT64_MAX, &v),
				 rows[i].good);
		assert_int_equal(v, rows[i].value);
	}
	_cleanup_(eapi_json_putp) struct json_object *o =
		eapi_json("[\"inf\",\"1553846321.12\",\"a\\u0000b\"]");

	assert_false(eapi_json_double(json_object_array_get_idx(o, 0), &d));
	assert_true(eapi_json_double(json_object_array_get_idx(o, 1), &d));
	assert_null(eapi_json_text(json_object_array_get_idx(o, 2)));
}

static void test_request(void **state _unused_)
{
	_cleanup_(config_freep) struct config *config =
		eapi_config("api-version = latest api-timestamps = yes");
	_cleanup_(commands_free) struct commands c = { 0 };
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct rpc_options o = { .config = config->switches, .enable_password = "p\"w" };

	commands_add(&c, "enable");
	commands_add(&c, "show version");
	assert_true(rpc_request(&o, 7, &c, &b));
	assert_string_equal(b.data, "{\"jsonrpc\":\"2.0\",\"method\":\"runCmds\",\"id\":\"fp-7\","
				    "\"params\":{\"version\":\"latest\","
				    "\"format\":\"json\",\"timestamps\":true,\"cmds\":[{\"cmd\":"
				    "\"enable\",\"input\":\"p\\\"w\"},"
				    "\"show version\"]}}");
	strbuf_reset(&b);
	o = (struct rpc_options){ .config = config->switches, .plain = true, .text = true };
	assert_true(rpc_request(&o, 8, &c, &b));
	assert_null(strstr(b.data, "timestamps"));
	assert_non_null(
		strstr(b.data, "\"format\":\"text\",\"cmds\":[\"enable\",\"show version\"]"));
}

#define ANSWER(rest) "{\"jsonrpc\":\"2.0\",\"id\":\"fp-1\"," rest "}"
#define ERROR(code, message, data)                                                                 \
	ANSWER("\"error\":{\"code\":" code ",\"message\":\"" message "\"" data "}")

static const struct {
	const char *text;
	enum rpc_outcome outcome;
	size_t failed_at;
	const char *message;
} answers[] = {
	{ ANSWER("\"result\":[{},{},{}]"), RPC_OK, 0, "" },
	{ ANSWER("\"result\":[{},{}]"), RPC_UNKNOWN, 0,
	  "it answered fewer or more commands than it was given" },
	{ ANSWER("\"result\":{}"), RPC_UNKNOWN, 0, "its answer is not one of eAPI" },
	{ "{\"id\":\"fp-2\",\"result\":[{},{},{}]}", RPC_UNKNOWN, 0,
	  "its answer is not one of eAPI" },
	{ "<html>", RPC_UNKNOWN, 0, "its answer is not JSON" },
	{ ERROR("1002", "CLI command 2 of 3 'x' failed: invalid command",
		",\"data\":[{},{\"errors\":[\"Invalid input\"]}]"),
	  RPC_FAILED, 1, "Invalid input" },
	{ ERROR("1002", "odd", ",\"data\":[{},{\"errors\":[]}]"), RPC_FAILED, 1, "odd" },
	{ ERROR("1002", "CLI command 3 of 3 'x' failed: invalid command", ",\"data\":[{},{}]"),
	  RPC_UNKNOWN, 0, "CLI command 3 of 3 'x' failed: invalid command" },
	{ ERROR("1002", "CLI command 1 of 3 'x' failed: invalid command", ",\"data\":[]"),
	  RPC_FAILED, 0, "CLI command 1 of 3 'x' failed: invalid command" },
	{ ERROR("1002", "CLI command 2 of 3 'x' failed: invalid command", ""), RPC_UNKNOWN, 0,
	  "CLI command 2 of 3 'x' failed: invalid command" },
	{ ERROR("1002", "CLI command 9 of 9 'x' failed", ",\"data\":[{},{},{},{},{},{},{},{},{}]"),
	  RPC_UNKNOWN, 0, "CLI command 9 of 9 'x' failed" },
	{ ERROR("-32602", "Unexpected parameter 'timestamps'", ""), RPC_REFUSED, 0,
	  "Unexpected parameter 'timestamps'" },
	{ ERROR("1005", "x", ",\"data\":[{\"errors\":[\"denied (input=secret)\"]}]"), RPC_FAILED, 0,
	  "denied (input=..." },
	{ ERROR("\"x\"", "a\\nb", ",\"data\":[{}]"), RPC_FAILED, 0, "a?b" },
};

static void test_answers(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct rpc_answer a;

		rpc_parse(answers[i].text, strlen(answers[i].text), 1, 3, &a);
		if (a.outcome != answers[i].outcome || strcmp(a.message, answers[i].message) != 0)
			fail_msg("%s\ngives %d \"%s\"", answers[i].text, (int)a.outcome, a.message);
		assert_int_equal(a.failed_at, answers[i].failed_at);
		rpc_answer_free(&a);
	}
}

static void test_results(void **state _unused_)
{
	static const char text[] =
		ANSWER("\"result\":[\"{\\\"version\\\":\\\"4\\\"}\",{\"output\":\"o\"},\"plain\"]");
	_cleanup_(eapi_json_putp) struct json_object *a_hold = NULL, *b_hold = NULL, *c_hold = NULL;
	struct rpc_answer a;

	rpc_parse(text, strlen(text), 1, 3, &a);
	assert_string_equal(eapi_json_text(eapi_json_get(rpc_result(&a, 0, &a_hold), "version")),
			    "4");
	assert_string_equal(rpc_text(&a, 1, &b_hold), "o");
	assert_string_equal(rpc_text(&a, 2, &c_hold), "plain");
	assert_null(rpc_result(&a, 3, &c_hold));
	rpc_answer_free(&a);
}

static void test_backoff(void **state _unused_)
{
	struct backoff b = { .base_ms = 1000, .max_ms = 5000 };

	assert_int_equal(backoff_fail(&b, 0), 1000);
	assert_int_equal(backoff_fail(&b, 0), 2000);
	assert_in_range(backoff_fail(&b, 1023), 2000, 2100);
	assert_int_equal(backoff_fail(&b, 0), 5000);
	assert_int_equal(backoff_fail(&b, 0), 5000);
	backoff_reset(&b);
	assert_in_range(backoff_fail(&b, 512), 700, 800);
}

static void test_pace(void **state _unused_)
{
	struct pace p;

	pace_init(&p, 20, 0);
	pace_answered(&p, 260, 100, 1000);
	assert_int_equal(p.flows, 20);
	assert_int_equal(p.next_ms, 1006);
	pace_answered(&p, 260, 400, 1000);
	assert_int_equal(p.flows, 20);
	assert_int_equal(p.next_ms, 1200);
	pace_answered(&p, 260, 9000, 2000);
	assert_int_equal(p.flows, 15);
	assert_int_equal(p.next_ms, 4000);
	pace_failed(&p);
	assert_int_equal(p.flows, 8);
	for (int i = 0; i < 100; i++)
		pace_answered(&p, 100, 10, 5000);
	assert_int_equal(p.flows, 20);
	/* One slow answer of a switch that is fast is no reason to slow down; several are. */
	pace_init(&p, 20, 0);
	for (int i = 0; i < 3; i++)
		pace_answered(&p, 260, 26, 500);
	pace_answered(&p, 260, 150, 1000);
	assert_int_equal(p.next_ms, 1002);
	pace_answered(&p, 260, 150, 1000);
	pace_answered(&p, 260, 150, 1000);
	pace_answered(&p, 260, 150, 1000);
	assert_int_equal(p.next_ms, 1075);
	/* However slow the one is: it waited for another request. */
	pace_init(&p, 20, 0);
	for (int i = 0; i < 3; i++)
		pace_answered(&p, 260, 4, 500);
	pace_answered(&p, 260, 1500, 1000);
	assert_int_equal(p.next_ms, 1000);
	for (int i = 0; i < 8; i++)
		pace_answered(&p, 260, 1500, 1000);
	assert_int_equal(p.next_ms, 1750);
	pace_init(&p, 20, 100);
	pace_answered(&p, 200, 500, 0);
	assert_int_equal(p.next_ms, 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),	cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_request), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_results), cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
