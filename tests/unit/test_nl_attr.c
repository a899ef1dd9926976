// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "netlink/nl.h"

/* Attribute bytes as they lie in a little-endian kernel's message. */
#define HEAD(len, type) (len) & 0xff, (len) >> 8, (type) & 0xff, (type) >> 8

enum {
	A_U8 = 1,
	A_U16,
	A_U32,
	A_U64,
	A_STRING,
	A_BINARY,
	A_NESTED,
	A_FLAG,
	A_IGNORED,
	A_ANY,
	A_COUNT,
};

static const struct nl_attr_policy policy[A_COUNT] = {
	[A_U8] = { NL_ATTR_U8, 0, 0 },		[A_U16] = { NL_ATTR_U16, 0, 0 },
	[A_U32] = { NL_ATTR_U32, 0, 0 },	[A_U64] = { NL_ATTR_U64, 0, 0 },
	[A_STRING] = { NL_ATTR_STRING, 4, 0 },	[A_BINARY] = { NL_ATTR_BINARY, 6, 4 },
	[A_NESTED] = { NL_ATTR_NESTED, 0, 0 },	[A_FLAG] = { NL_ATTR_FLAG, 0, 0 },
	[A_IGNORED] = { NL_ATTR_NONE, 0, 0 },	[A_ANY] = { NL_ATTR_BINARY, 0, 0 },
};

/* Parses a heap copy of just these bytes, so that a sanitizer sees a read behind them. */
static int parse(const uint8_t *bytes, size_t len, const struct nlattr **tb, uint8_t **ret_copy)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	r = nl_attr_parse(copy, len, policy, tb, A_COUNT);
	*ret_copy = copy;
	return r;
}

struct attr_case {
	const char *what;
	uint8_t bytes[24];
	uint8_t len;
	int code;
	uint8_t found; /* the type that must be there, 0: none */
};

static const struct attr_case cases[] = {
	{ "nothing at all", { 0 }, 0, 0, 0 },
	{ "u8", { HEAD(5, A_U8), 7, 0, 0, 0 }, 8, 0, A_U8 },
	{ "u8 without padding at the end", { HEAD(5, A_U8), 7 }, 5, 0, A_U8 },
	{ "u8 with part of its padding", { HEAD(5, A_U8), 7, 0 }, 6, 0, A_U8 },
	{ "u8 of two bytes", { HEAD(6, A_U8), 7, 0, 0, 0 }, 8, -EBADMSG, 0 },
	{ "u8 without payload", { HEAD(4, A_U8) }, 4, -EBADMSG, 0 },
	{ "u16", { HEAD(6, A_U16), 7, 0, 0, 0 }, 8, 0, A_U16 },
	{ "u16 of one byte", { HEAD(5, A_U16), 7, 0, 0, 0 }, 8, -EBADMSG, 0 },
	{ "u16 of four bytes", { HEAD(8, A_U16), 7, 0, 0, 0 }, 8, -EBADMSG, 0 },
	{ "u32", { HEAD(8, A_U32), 7, 0, 0, 0 }, 8, 0, A_U32 },
	{ "u32 of three bytes", { HEAD(7, A_U32), 7, 0, 0, 0 }, 8, -EBADMSG, 0 },
	{ "u32 of eight bytes", { HEAD(12, A_U32), 7 }, 12, -EBADMSG, 0 },
	{ "u64", { HEAD(12, A_U64), 7 }, 12, 0, A_U64 },
	{ "u64 of four bytes", { HEAD(8, A_U64), 7 }, 8, -EBADMSG, 0 },
	{ "string", { HEAD(7, A_STRING), 'l', 'o', 0, 0 }, 8, 0, A_STRING },
	{ "empty string with its NUL", { HEAD(5, A_STRING), 0, 0, 0, 0 }, 8, 0, A_STRING },
	{ "longest string", { HEAD(8, A_STRING), 'e', 't', '0', 0 }, 8, 0, A_STRING },
	{ "string without NUL", { HEAD(6, A_STRING), 'l', 'o', 0, 0 }, 8, -EBADMSG, 0 },
	{ "string without payload", { HEAD(4, A_STRING) }, 4, -EBADMSG, 0 },
	{ "string too long", { HEAD(9, A_STRING), 'e', 't', 'h', '0', 0 }, 12, -EBADMSG, 0 },
	{ "binary", { HEAD(8, A_BINARY), 1, 2, 3, 4 }, 8, 0, A_BINARY },
	{ "binary of the largest size", { HEAD(10, A_BINARY), 1 }, 12, 0, A_BINARY },
	{ "binary that is too short", { HEAD(7, A_BINARY), 1, 2, 3, 0 }, 8, -EBADMSG, 0 },
	{ "binary that is too long", { HEAD(11, A_BINARY), 1 }, 12, -EBADMSG, 0 },
	{ "binary of any size", { HEAD(20, A_ANY), 1 }, 20, 0, A_ANY },
	{ "binary of any size, empty", { HEAD(4, A_ANY) }, 4, 0, A_ANY },
	{ "nested", { HEAD(12, A_NESTED | 0x8000), HEAD(5, 1), 7 }, 12, 0, A_NESTED },
	{ "nested, flag not set", { HEAD(12, A_NESTED), HEAD(5, 1), 7 }, 12, 0, A_NESTED },
	{ "nested and empty", { HEAD(4, A_NESTED) }, 4, 0, A_NESTED },
	{ "nested with half a header", { HEAD(6, A_NESTED), 5, 0, 0, 0 }, 8, -EBADMSG, 0 },
	{ "net byte order flag", { HEAD(8, A_U32 | 0x4000), 7 }, 8, 0, A_U32 },
	{ "flag", { HEAD(4, A_FLAG) }, 4, 0, A_FLAG },
	{ "flag with payload", { HEAD(5, A_FLAG), 1, 0, 0, 0 }, 8, -EBADMSG, 0 },
	{ "type that the policy ignores", { HEAD(7, A_IGNORED), 1, 2, 3, 0 }, 8, 0, 0 },
	{ "type behind the policy", { HEAD(7, A_COUNT), 1, 2, 3, 0 }, 8, 0, 0 },
	{ "highest type", { HEAD(8, 0x3fff), 1 }, 8, 0, 0 },
	{ "length below a header", { HEAD(3, A_IGNORED) }, 4, -EBADMSG, 0 },
	{ "length 0", { HEAD(0, A_IGNORED) }, 8, -EBADMSG, 0 },
	{ "length beyond the payload", { HEAD(9, A_IGNORED), 1 }, 8, -EBADMSG, 0 },
	{ "length 65535", { HEAD(0xffff, A_ANY), 1 }, 24, -EBADMSG, 0 },
	{ "bytes left over", { HEAD(4, A_FLAG), 8, 0 }, 6, -EBADMSG, 0 },
	{ "half a header", { 8, 0, 1 }, 3, -EBADMSG, 0 },
	{ "good, then too long", { HEAD(4, A_FLAG), HEAD(12, A_U64), 1 }, 12, -EBADMSG, 0 },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct attr_case *c = &cases[i];
		const struct nlattr *tb[A_COUNT];
		_cleanup_(freep) uint8_t *copy = NULL;
		int r = parse(c->bytes, c->len, tb, &copy);

		if (r != c->code)
			fail_msg("%s: %d instead of %d", c->what, r, c->code);
		for (uint8_t t = 0; r == 0 && t < A_COUNT; t++)
			if ((tb[t] != NULL) != (c->found != 0 && t == c->found))
				fail_msg("%s: type %u", c->what, t);
	}
}

static void test_repeated(void **state)
{
	static const uint8_t bytes[] = { HEAD(8, A_U32), 1, 0, 0, 0, HEAD(5, A_U8),  9, 0, 0, 0,
					 HEAD(8, A_U32), 2, 0, 0, 0, HEAD(4, A_FLAG) };
	const struct nlattr *tb[A_COUNT];
	_cleanup_(freep) uint8_t *copy = NULL;

	(void)state;
	assert_int_equal(parse(bytes, sizeof(bytes), tb, &copy), 0);
	assert_int_equal(mnl_attr_get_u32(tb[A_U32]), 2);
	assert_int_equal(mnl_attr_get_u8(tb[A_U8]), 9);
	assert_non_null(tb[A_FLAG]);
	assert_null(tb[A_U16]);
}

/* A bad one counts even when a later one of its type is good. */
static void test_repeated_bad(void **state)
{
	static const uint8_t bytes[] = { HEAD(5, A_U32), 1, 0, 0, 0, HEAD(8, A_U32), 2, 0, 0, 0 };
	const struct nlattr *tb[A_COUNT];
	_cleanup_(freep) uint8_t *copy = NULL;

	(void)state;
	assert_int_equal(parse(bytes, sizeof(bytes), tb, &copy), -EBADMSG);
}

/* However deep it nests, one level is read a call. */
static void test_deep(void **state)
{
	const size_t levels = 10000;
	_cleanup_(freep) uint8_t *bytes = calloc(levels, 4);
	const struct nlattr *tb[A_COUNT];
	const void *at = bytes;
	size_t len = levels * 4, depth = 0;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < levels; i++) {
		struct nlattr a = { .nla_len = (uint16_t)((levels - i) * 4),
				    .nla_type = A_NESTED | NLA_F_NESTED };

		memcpy(bytes + 4 * i, &a, sizeof(a));
	}
	while (len > 0) {
		assert_int_equal(nl_attr_parse(at, len, policy, tb, A_COUNT), 0);
		assert_non_null(tb[A_NESTED]);
		at = mnl_attr_get_payload(tb[A_NESTED]);
		len = mnl_attr_get_payload_len(tb[A_NESTED]);
		depth++;
	}
	assert_int_equal(depth, levels);
}

/* An extended ACK under construction. */
struct ack {
	uint8_t buf[512];
	struct nlmsghdr *nlh;
};

static void ack_begin(struct ack *a, int error, uint16_t flags)
{
	struct nlmsgerr body = { .error = error };

	memset(a, 0, sizeof(*a));
	a->nlh = mnl_nlmsg_put_header(a->buf);
	a->nlh->nlmsg_type = NLMSG_ERROR;
	a->nlh->nlmsg_flags = flags;
	body.msg.nlmsg_len = NLMSG_HDRLEN + 12; /* a request with 12 bytes of payload */
	memcpy(mnl_nlmsg_put_extra_header(a->nlh, sizeof(body)), &body, sizeof(body));
	if (!(flags & NLM_F_CAPPED))
		memset(mnl_nlmsg_put_extra_header(a->nlh, 12), 0xff, 12);
}

static void ack_expect(const struct ack *a, int code, const char *text)
{
	struct err e = { 0 };

	assert_int_equal(nl_ack_error(a->nlh, &e), code);
	assert_int_equal(e.code, code);
	assert_string_equal(e.text, text);
	assert_int_equal(nl_ack_error(a->nlh, NULL), code);
}

static void test_ack_text(void **state)
{
	static const uint16_t flags[] = { NLM_F_ACK_TLVS | NLM_F_CAPPED, NLM_F_ACK_TLVS };
	struct ack a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		ack_begin(&a, -EINVAL, flags[i]);
		ack_expect(&a, -EINVAL, "Invalid argument");
		mnl_attr_put_u32(a.nlh, NLMSGERR_ATTR_OFFS, 36);
		ack_expect(&a, -EINVAL, "Invalid argument (at attribute offset 36)");
		mnl_attr_put_u32(a.nlh, NLMSGERR_ATTR_MISS_TYPE, 5);
		ack_expect(&a, -EINVAL, "Invalid argument (attribute 5 is missing)");
		mnl_attr_put_strz(a.nlh, NLMSGERR_ATTR_MSG, "Nexthop has invalid gateway. \n");
		ack_expect(&a, -EINVAL, "Nexthop has invalid gateway");
	}
	ack_begin(&a, 0, NLM_F_CAPPED);
	ack_expect(&a, 0, "");
	ack_begin(&a, -ENOENT, 0);
	ack_expect(&a, -ENOENT, "No such file or directory");
}

static void test_ack_malformed(void **state)
{
	struct ack a;

	(void)state;
	ack_begin(&a, -ENOENT, NLM_F_ACK_TLVS | NLM_F_CAPPED);
	mnl_attr_put(a.nlh, NLMSGERR_ATTR_MSG, 3, "abc"); /* no NUL */
	ack_expect(&a, -ENOENT, "No such file or directory");

	ack_begin(&a, -ENOENT, NLM_F_ACK_TLVS);
	a.nlh->nlmsg_len -= 12; /* the request that it says to hold is cut */
	ack_expect(&a, -ENOENT, "No such file or directory");

	ack_begin(&a, 5, NLM_F_CAPPED);
	ack_expect(&a, -EBADMSG, "the kernel answered with the impossible code 5");
	ack_begin(&a, INT32_MIN, NLM_F_CAPPED);
	assert_int_equal(nl_ack_error(a.nlh, NULL), -EBADMSG);

	ack_begin(&a, -ENOENT, NLM_F_CAPPED);
	a.nlh->nlmsg_len -= 1;
	ack_expect(&a, -EBADMSG, "the kernel's answer is malformed");
	ack_begin(&a, -ENOENT, NLM_F_CAPPED);
	a.nlh->nlmsg_type = NLMSG_DONE;
	ack_expect(&a, -EBADMSG, "the kernel's answer is malformed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),	 cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_repeated_bad), cmocka_unit_test(test_deep),
		cmocka_unit_test(test_ack_text), cmocka_unit_test(test_ack_malformed),
	};

	return cmocka_run_group_tests_name("nl_attr", tests, NULL, NULL);
}
