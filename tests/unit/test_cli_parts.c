// SPDX-License-Identifier: GPL-2.0-or-later
/* The parts of the command line that need no daemon: filters, tables, numbers, the JSON walker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <time.h>
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/table.h"
#include "cli/text.h"

static void test_filter(void **state _unused_)
{
	static const struct {
		const char *words, *json, *sentence;
	} rows[] = {
		{ "", "{}", NULL },
		{ "dst 1.1.1.1 dport 443", "{\"dst\":\"1.1.1.1\",\"dport\":443}", NULL },
		{ "src 10.0.0.0/8 proto udp", "{\"src\":\"10.0.0.0/8\",\"protocol\":\"udp\"}",
		  NULL },
		{ "dst 2001:db8::/32 zone 101", "{\"dst\":\"2001:db8::/32\",\"zone\":101}", NULL },
		{ "dst 1.1.1.1/32", "{\"dst\":\"1.1.1.1\"}", NULL },
		{ "nexthop fe80::1%eth1 state dead",
		  "{\"nexthop\":\"fe80::1%eth1\",\"state\":\"dead\"}", NULL },
		{ "nexthop %ppp0 witness pin", "{\"nexthop\":\"%ppp0\",\"witness\":\"pin\"}",
		  NULL },
		{ "service web protocol sctp sport 0",
		  "{\"service\":\"web\",\"protocol\":\"sctp\",\"sport\":0}", NULL },
		{ "tcp 12.12.12.1:30001 -> 1.1.1.1:80",
		  "{\"protocol\":\"tcp\",\"src\":\"12.12.12.1\",\"sport\":30001,\"dst\":\"1.1.1."
		  "1\",\"dport\":80}",
		  NULL },
		{ "udp [2001:db8::2]:53 [2001:db8:0::1]:53 zone 5",
		  "{\"protocol\":\"udp\",\"src\":\"2001:db8::2\",\"sport\":53,\"dst\":\"2001:db8::"
		  "1\",\"dport\":53,\"zone\":5}",
		  NULL },
		{ "dst", NULL, "\"dst\" must be followed by an address or a prefix" },
		{ "dst 1.1.1.1 dst 1.1.1.2", NULL, "\"dst\" is given twice" },
		{ "proto tcp protocol tcp", NULL, "\"protocol\" is given twice" },
		{ "tcp 1.1.1.1:1 2.2.2.2:2 sport 1", NULL, "\"sport\" is given twice" },
		{ "dst 1.1.1.1/8", NULL, "\"1.1.1.1/8\" is not an address or a prefix" },
		{ "dport 65536", NULL, "\"65536\" is not a port" },
		{ "dport -1", NULL, "\"-1\" is not a port" },
		{ "proto icmp", NULL, "\"icmp\" is not tcp, udp or sctp" },
		{ "state up", NULL, "\"up\" is not active, draining, dead or unreachable" },
		{ "nexthop x", NULL,
		  "\"x\" is not a nexthop (ADDRESS, ADDRESS%INTERFACE or %INTERFACE)" },
		{ "color red", NULL, "\"color\" is no word of a filter" },
		{ "tcp 1.1.1.1:1", NULL, "a flow is written as tcp ADDRESS:PORT ADDRESS:PORT" },
		{ "tcp 1.1.1.1 2.2.2.2:1", NULL, "\"1.1.1.1\" is no ADDRESS:PORT" },
		{ "tcp 2001:db8::1:80 2.2.2.2:1", NULL, "\"2001:db8::1:80\" is no ADDRESS:PORT" },
		{ "tcp [1.1.1.1]:80 2.2.2.2:1", NULL, "\"[1.1.1.1]:80\" is no ADDRESS:PORT" },
		{ "tcp 1.1.1.1: 2.2.2.2:1", NULL, "\"1.1.1.1:\" is no ADDRESS:PORT" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct json_object *o = NULL;
		struct err e = { 0 };
		char *argv[] = { (char *)rows[i].words };
		int r = filter_parse(1, argv, &o, &e);

		assert_int_equal(r < 0, rows[i].sentence != NULL);
		if (r == 0)
			assert_string_equal(
				json_object_to_json_string_ext(
					o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
				rows[i].json);
		else if (strncmp(e.text, rows[i].sentence, strlen(rows[i].sentence)) != 0)
			fail_msg("%s: %s", rows[i].words, e.text);
		json_object_put(o);
	}
}

static void test_table(void **state _unused_)
{
	static const struct table_column columns[] = { { "NAME", false, 4 },
						       { "N", true, 0 },
						       { "LAST", false, 5 } };
	struct table t = { .columns = columns, .n = 3 };
	struct strbuf b = { 0 };

	table_format(&t, 0, 80, true, &b);
	assert_int_equal(b.len, 0);
	table_add(&t, "a long name");
	table_add(&t, "%d", 5);
	table_add_colour(&t, "31", "end");
	table_add(&t, "b");
	table_add(&t, "%d", 1234);
	table_add(&t, "the last");
	table_format(&t, 1, 0, false, &b);
	assert_string_equal(b.data, " NAME            N  LAST\n a long name     5  end\n b         "
				    "   1234  the last\n");
	strbuf_reset(&b);
	table_format(&t, 0, 20, false, &b);
	assert_string_equal(b.data,
			    "NAME       N  LAST\na lon~     5  end\nb       1234  the l~\n");
	strbuf_reset(&b);
	table_format(&t, 0, 1, false, &b); /* nobody gives more than he may */
	assert_string_equal(b.data, "NAME     N  LAST\na l~     5  end\nb     1234  the ~\n");
	strbuf_reset(&b);
	table_format(&t, 0, 0, true, &b);
	assert_non_null(strstr(b.data, "5  \033[31mend\033[0m\n"));
	strbuf_free(&b);
	table_clear(&t);
}

static void test_text(void **state _unused_)
{
	static const struct {
		int64_t n;
		const char *number, *shorter;
	} rows[] = {
		{ 0, "0", "0" },
		{ 7, "7", "7" },
		{ 999, "999", "999" },
		{ 1000, "1,000", "1.0k" },
		{ -1234567, "-1,234,567", "-1234567" },
		{ 12345, "12,345", "12k" },
		{ 9999999, "9,999,999", "9.9M" },
		{ INT64_MAX, "9,223,372,036,854,775,807", "9.2E" },
	};
	char n[TEXT_NUMBER];
	int64_t at;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_string_equal(text_number(rows[i].n, n), rows[i].number);
		assert_string_equal(text_short(rows[i].n, n), rows[i].shorter);
	}
	setenv("TZ", "UTC", 1);
	tzset();
	assert_int_equal(text_time_parse("90s", 1000, &at), 0);
	assert_int_equal(at, 1090);
	assert_int_equal(text_time_parse("@77", 1000, &at), 0);
	assert_int_equal(at, 77);
	assert_int_equal(text_time_parse("00:20", 1000, &at), 0);
	assert_int_equal(at, 1200);
	assert_int_equal(text_time_parse("00:10", 1000, &at), 0);
	assert_int_equal(at, 86400 + 600);
	at = 5;
	assert_int_equal(text_time_parse("24:00", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("1:2:3", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("-1:20", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("@x", 1000, &at), -EINVAL);
	assert_int_equal(text_time_parse("", 1000, &at), -EINVAL);
	assert_int_equal(at, 5);
}

/* Malformed text is left over, whatever its kind; and what stands before it is still found. */
static void test_slice(void **state _unused_)
{
	static const char *const bad[] = { "{\"a\":1,}",    "{\"a\"}",		 "{\"a\":}",
					   "{a:1}",	    "{\"a\":1 \"b\":2}", "{\"a\":\"}",
					   "{\"a\":[}",	    "{\"a\":{\"b\":1}",	 "{,}",
					   "{\"a\":\"\\\"}" };
	static const char good[] =
		" { \"a\" : [1, {\"]\":\"\\\"}\"}, \"x\"] , \"b\":null,\"c\":\"\\u001b[\" } ";
	struct slice inside, key, value, s = { good, strlen(good) - 1 };
	struct strbuf b = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(slice_open((struct slice){ bad[i], strlen(bad[i]) }, '{', &inside));
		while (slice_member(&inside, &key, &value))
			assert_true(key.len <= 1);
		assert_true(inside.len > 0);
	}
	assert_false(slice_open((struct slice){ "[", 1 }, '[', &inside));
	assert_true(slice_find(s, "c", &value));
	assert_true(slice_equal(value, "\"\\u001b[\""));
	assert_false(slice_find(s, "d", &value));
	assert_true(slice_find(s, "a", &value));
	assert_true(slice_open(value, '[', &inside));
	assert_true(slice_item(&inside, &value));
	assert_true(slice_equal(value, "1"));
	assert_true(slice_item(&inside, &value));
	assert_true(slice_equal(value, "{\"]\":\"\\\"}\"}"));
	assert_true(slice_item(&inside, &value));
	assert_true(slice_equal(slice_text(value), "x"));
	assert_false(slice_item(&inside, &value));
	assert_int_equal(inside.len, 0);
	s = (struct slice){ "\"\\\"\\u001b\\n\\\\\x1b\xc2\x9b\"", 17 };
	slice_disarm(s, &b);
	assert_string_equal(b.data, "\"\\\"\\\\u001b\\\\n\\\\ ??\"");
	strbuf_free(&b);
	/* A backslash does not carry what is behind it past the others. */
	s = (struct slice){ "\"\\\x1b[2J\\\xc2\\\x7f\\/\"", 13 };
	slice_disarm(s, &b);
	assert_string_equal(b.data, "\"\\\\ [2J\\\\?\\\\?\\/\"");
	strbuf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_slice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
