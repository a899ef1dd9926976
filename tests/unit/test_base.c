// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/siphash.h"
#include "base/strbuf.h"
#include "base/vec.h"

static void test_addr(void **state _unused_)
{
	static const struct {
		const char *text, *back; /* NULL: refused */
	} cases[] = {
		{ "1.2.3.4", "1.2.3.4" },
		{ "::", "::" },
		{ "FE80::0:1", "fe80::1" },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
		{ "1.2.3", NULL },
		{ "1.2.3.256", NULL },
		{ "01.2.3.4", NULL },
		{ "1.2.3.4 ", NULL },
		{ "", NULL },
		{ "fe80::1%lo", NULL },
		{ ":", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_addr a = { .family = 99 };
		char buf[IP_ADDR_TEXT];
		int r = ip_addr_parse(cases[i].text, &a);

		assert_int_equal(r, cases[i].back ? 0 : -EINVAL);
		if (r < 0)
			assert_int_equal(a.family, 99);
		else
			assert_string_equal(ip_addr_format(&a, buf), cases[i].back);
	}
	assert_string_equal(ip_addr_format(&(struct ip_addr){ 0 }, (char[IP_ADDR_TEXT]){ "x" }),
			    "");
}

static void test_prefix(void **state _unused_)
{
	static const struct {
		const char *text, *back;
		int result;
	} cases[] = {
		{ "1.2.3.4", "1.2.3.4/32", 0 },
		{ "2001:db8::1", "2001:db8::1/128", 0 },
		{ "0.0.0.0/0", "0.0.0.0/0", 0 },
		{ "::/0", "::/0", 0 },
		{ "10.128.0.0/9", "10.128.0.0/9", 0 },
		{ "10.128.0.0/8", NULL, -EADDRNOTAVAIL },
		{ "fe80::1/64", NULL, -EADDRNOTAVAIL },
		{ "1.2.3.4/33", NULL, -EINVAL },
		{ "::/129", NULL, -EINVAL },
		{ "1.2.3.4/", NULL, -EINVAL },
		{ "1.2.3.4/-1", NULL, -EINVAL },
		{ "1.2.3.4/32/32", NULL, -EINVAL },
		{ "/8", NULL, -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[IP_PREFIX_TEXT];
		struct ip_prefix p;

		assert_int_equal(ip_prefix_parse(cases[i].text, &p), cases[i].result);
		if (cases[i].back)
			assert_string_equal(ip_prefix_format(&p, buf), cases[i].back);
	}
}

static void test_prefix_relations(void **state _unused_)
{
	static const struct {
		const char *outer, *inner;
		bool contains;
		const char *last; /* of outer */
	} cases[] = {
		{ "0.0.0.0/0", "1.1.1.1/32", true, "255.255.255.255" },
		{ "0.0.0.0/0", "::/0", false, "255.255.255.255" },
		{ "10.0.0.0/9", "10.127.255.255", true, "10.127.255.255" },
		{ "10.0.0.0/9", "10.128.0.0", false, "10.127.255.255" },
		{ "10.0.0.0/9", "10.0.0.0/8", false, "10.127.255.255" },
		{ "1.1.1.1/32", "1.1.1.1/32", true, "1.1.1.1" },
		{ "2001:db8::/33", "2001:db8:7fff::/48", true,
		  "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff" },
		{ "2001:db8::/33", "2001:db8:8000::/48", false,
		  "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ip_prefix outer, inner;
		struct ip_addr last;
		char buf[IP_ADDR_TEXT];

		assert_int_equal(ip_prefix_parse(cases[i].outer, &outer), 0);
		assert_int_equal(ip_prefix_parse(cases[i].inner, &inner), 0);
		assert_int_equal(ip_prefix_contains(&outer, &inner), cases[i].contains);
		last = ip_prefix_last(&outer);
		assert_string_equal(ip_addr_format(&last, buf), cases[i].last);
		assert_true(ip_prefix_contains_addr(&outer, &last));
		inner = ip_prefix_make(&last, outer.len);
		assert_true(ip_prefix_equal(&inner, &outer));
	}
}

static void test_addr_arithmetic(void **state _unused_)
{
	struct ip_addr a, b;
	char buf[IP_ADDR_TEXT];

	assert_int_equal(ip_addr_parse("1.2.255.255", &a), 0);
	assert_true(ip_addr_increment(&a));
	assert_string_equal(ip_addr_format(&a, buf), "1.3.0.0");
	assert_int_equal(ip_addr_parse("255.255.255.255", &a), 0);
	assert_false(ip_addr_increment(&a));
	assert_int_equal(ip_addr_parse("::ffff:ffff", &a), 0);
	assert_true(ip_addr_increment(&a));
	assert_string_equal(ip_addr_format(&a, buf), "::1:0:0");
	assert_int_equal(ip_addr_parse("9.0.0.0", &b), 0);
	assert_true(ip_addr_compare(&b, &a) < 0); /* IPv4 first */
	assert_int_equal(ip_addr_parse("febf::1", &a), 0);
	assert_true(ip_addr_is_linklocal(&a));
	assert_int_equal(ip_addr_parse("fec0::1", &a), 0);
	assert_false(ip_addr_is_linklocal(&a));
}

static void test_numbers(void **state _unused_)
{
	static const struct {
		const char *text;
		uint32_t min, max;
		int result;
		uint32_t value;
	} cases[] = {
		{ "0", 0, 9, 0, 0 },
		{ "4294967295", 0, UINT32_MAX, 0, UINT32_MAX },
		{ "0xff", 0, 255, 0, 255 },
		{ "010", 0, 99, 0, 10 },
		{ "10", 0, 9, -ERANGE, 0 },
		{ "4294967296", 0, UINT32_MAX, -ERANGE, 0 },
		{ "99999999999999999999", 0, UINT32_MAX, -ERANGE, 0 },
		{ "", 0, 9, -EINVAL, 0 },
		{ "-1", 0, 9, -EINVAL, 0 },
		{ "+1", 0, 9, -EINVAL, 0 },
		{ " 1", 0, 9, -EINVAL, 0 },
		{ "1 ", 0, 9, -EINVAL, 0 },
		{ "0x", 0, 9, -EINVAL, 0 },
		{ "0x-1", 0, 9, -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t value = 0;

		assert_int_equal(parse_u32(cases[i].text, cases[i].min, cases[i].max, &value),
				 cases[i].result);
		assert_int_equal(value, cases[i].value);
	}
}

static void test_units(void **state _unused_)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ms;
	} durations[] = {
		{ "5", 0, 5000 },	    { "500ms", 0, 500 },
		{ "20s", 0, 20000 },	    { "5m", 0, 300000 },
		{ "2h", 0, 7200000 },	    { "1d", 0, 86400000 },
		{ "365d", 0, 31536000000 }, { "0", 0, 0 },
		{ "366d", -ERANGE, 0 },	    { "5 m", -EINVAL, 0 },
		{ "5M", -EINVAL, 0 },	    { "m", -EINVAL, 0 },
		{ "", -EINVAL, 0 },	    { "18446744073709551615d", -ERANGE, 0 },
	};
	static const struct {
		const char *text;
		int result;
		uint32_t size;
	} sizes[] = {
		{ "1000", 0, 1000 },	    { "20k", 0, 20000 },   { "1M", 0, 1000000 },
		{ "4294M", 0, 4294000000 }, { "0", -ERANGE, 0 },   { "4295M", -ERANGE, 0 },
		{ "1K", -EINVAL, 0 },	    { "1MB", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		uint64_t ms = 0;

		assert_int_equal(parse_duration_ms(durations[i].text, &ms), durations[i].result);
		assert_int_equal(ms, durations[i].ms);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t size = 0;

		assert_int_equal(parse_size(sizes[i].text, &size), sizes[i].result);
		assert_int_equal(size, sizes[i].size);
	}
}

static void test_duration_format(void **state _unused_)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "0ms" },	    { 500, "500ms" },	   { 20000, "20s" },
		{ 300000, "5m" },   { 90000, "1m 30s" },   { 3780000, "1h 3m" },
		{ 86400000, "1d" }, { 90000000, "1d 1h" }, { UINT64_MAX, "213503982334d 14h" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[DURATION_TEXT];

		assert_string_equal(duration_format(cases[i].ms, buf), cases[i].text);
	}
}

static void test_strbuf(void **state _unused_)
{
	struct strbuf b = { 0 };

	strbuf_adds(&b, "");
	assert_string_equal(b.data, "");
	for (int i = 0; i < 1000; i++)
		strbuf_addf(&b, "%d,", i % 10);
	assert_int_equal(b.len, 2000);
	assert_int_equal(strlen(b.data), 2000);
	strbuf_reset(&b);
	assert_string_equal(b.data, "");
	strbuf_add_json(&b, "a\"b\\c\n\x1b\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80/");
	assert_string_equal(
		b.data,
		"\"a\\\"b\\\\c\\u000a\\u001b\\u007f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80/\"");
	strbuf_reset(&b);
	/* Cut off, a lone continuation, overlong, a surrogate, beyond the last one. */
	strbuf_add_json(&b, "\xc3 \xa4 \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80");
	assert_string_equal(b.data, "\"\\u00c3 \\u00a4 \\u00c0\\u00af \\u00ed\\u00a0\\u0080 "
				    "\\u00f4\\u0090\\u0080\\u0080\"");
	strbuf_reset(&b);
	strbuf_add(&b, "a\0b", 3);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "a\0b", 4);
	assert_false(b.failed);
	strbuf_free(&b);
	assert_null(b.data);
	strbuf_free(&b);
}

static void test_err(void **state _unused_)
{
	struct err e = { 0 };
	char big[2000];

	assert_int_equal(err_set(NULL, -EIO, "nobody reads %d", 1), -EIO);
	assert_int_equal(err_set(&e, -EIO, "disk %d", 7), -EIO);
	assert_int_equal(err_wrap(&e, "open '%s'", "x"), -EIO);
	assert_string_equal(e.text, "open 'x': disk 7");
	assert_int_equal(e.code, -EIO);
	e = (struct err){ .code = -ENOENT };
	err_wrap(&e, "open");
	assert_string_equal(e.text, "open: No such file or directory");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, -EIO, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

/* Key 00..0f, input 00..(n-1), as in the vectors of the paper. Those are for 2-4 rounds; these for
 * 1-3 were worked out with a second implementation, in Python, that gives the paper's for 2-4. */
static void test_siphash(void **state _unused_)
{
	static const struct {
		size_t len;
		uint64_t hash;
	} vectors[] = {
		{ 0, 0xabac0158050fc4dc },  { 1, 0xc9f49bf37d57ca93 },	{ 7, 0xd3927d989bb11140 },
		{ 8, 0x369095118d299a8e },  { 9, 0x25a48eb36c063de4 },	{ 15, 0xd320d86d2a519956 },
		{ 16, 0xcc4fdd1a7d908b66 }, { 40, 0xc1d2363299e41531 }, { 63, 0x9d199062b7bbb3a8 },
	};
	uint64_t key[2];
	uint8_t bytes[64];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	memcpy(key, bytes, sizeof(key));
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		assert_true(siphash13(bytes, vectors[i].len, key) == vectors[i].hash);
	key[0] ^= 1;
	assert_true(siphash13(bytes, 0, key) != vectors[0].hash);
}

static void test_log_limit(void **state _unused_)
{
	struct log_limit l = { .interval_ms = 1000, .burst = 2 };
	uint32_t dropped = 9;

	assert_true(log_limit_pass(&l, 50000, &dropped));
	assert_int_equal(dropped, 0);
	assert_true(log_limit_pass(&l, 50001, &dropped));
	for (int i = 0; i < 5; i++)
		assert_false(log_limit_pass(&l, 50999, &dropped));
	assert_true(log_limit_pass(&l, 51000, &dropped));
	assert_int_equal(dropped, 5);
	assert_true(log_limit_pass(&l, 51001, &dropped));
	assert_int_equal(dropped, 0);
	assert_false(log_limit_pass(&l, 51002, &dropped));
}

static void test_log_level(void **state _unused_)
{
	enum log_level level = LOG_LEVEL_ERROR;

	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("Debug", &level), -EINVAL);
	assert_int_equal(log_level_parse("", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

static void test_vec(void **state _unused_)
{
	int *list = NULL;
	size_t cap = 0;

	for (int i = 0; i < 100; i++) {
		list = vec_reserve(list, (size_t)i, &cap, sizeof(*list));
		assert_non_null(list);
		list[i] = i;
	}
	assert_true(cap >= 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(list[i], i);
	free(list);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_prefix_relations),
		cmocka_unit_test(test_addr_arithmetic),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_duration_format),
		cmocka_unit_test(test_strbuf),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_log_limit),
		cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_vec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
