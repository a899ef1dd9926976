// SPDX-License-Identifier: GPL-2.0-or-later
/* `flowpin verify --peer`: what is a difference between two gateways, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include "base/strbuf.h"
#include "cli/peer.h"

#define SERVICES(ids)                                                                              \
	"[{\"name\":\"web\",\"prefixes\":[\"1.1.1.1/32\",\"2001:db8::1/128\"],\"protocols\":["     \
	"\"tcp\"],\"ports\":[\"80\"],\"ids\":[" ids                                                \
	"],\"on_withdraw\":\"hold\",\"idle_timeout_ms\":300000}]"
#define STATE(mask, services, nexthops)                                                            \
	"{\"mark_mask\":\"" mask "\",\"services\":" services "}\n{\"nexthops\":[" nexthops "]}\n"
#define ID(nexthop, id)	 "{\"nexthop\":\"" nexthop "\",\"id\":" #id "}"
#define HOP(nexthop, id) "{\"service\":\"web\",\"nexthop\":\"" nexthop "\",\"id\":" #id "}"
#define MASK		 "0xff000000"
#define FIXED		 ID("10.1.0.11", 1) "," ID("10.1.0.12", 2)
#define BOTH		 HOP("10.1.0.11%eth1", 1) "," HOP("10.1.0.12%eth1", 2)
#define PLAIN		 STATE(MASK, SERVICES(FIXED), BOTH)

static void collect(const char *subject, const char *text, void *arg)
{
	strbuf_addf(arg, "%s: %s\n", subject, text);
}

static void compare(const char *here, const char *there, const char *expected)
{
	struct peer_state a = { 0 }, b = { 0 };
	struct strbuf said = { 0 };
	struct err e = { 0 };
	size_t n, lines = 0;

	assert_int_equal(peer_parse(here, strlen(here), &a, &e), 0);
	assert_int_equal(peer_parse(there, strlen(there), &b, &e), 0);
	n = peer_compare(&a, &b, collect, &said);
	assert_string_equal(said.data ? said.data : "", expected);
	for (const char *p = expected; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(n, lines);
	strbuf_free(&said);
	peer_state_clear(&a);
	peer_state_clear(&b);
}

static void test_alike(void **state _unused_)
{
	compare(PLAIN, PLAIN, "");
	/* Other names of interfaces, another order, prefixes written in another order. */
	compare(PLAIN,
		STATE(MASK,
		      "[{\"name\":\"web\",\"prefixes\":[\"2001:db8::1/128\",\"1.1.1.1/32\"],"
		      "\"protocols\":[\"tcp\"],\"ports\":[\"80\"],\"ids\":[" ID(
			      "10.1.0.12", 2) "," ID("10.1.0.11", 1) "],\"on_withdraw\":\"hold\","
								     "\"idle_timeout_ms\":300000}]",
		      HOP("10.1.0.12%lan", 2) "," HOP("10.1.0.11%lan", 1)),
		"");
	/* A nexthop that no route names on one of them (yet), with a number that both give it. */
	compare(PLAIN, STATE(MASK, SERVICES(FIXED), HOP("10.1.0.12%eth1", 2)), "");
	/* The replies in the other order. */
	compare(PLAIN,
		"{\"nexthops\":[" BOTH "]}{\"mark_mask\":\"" MASK
		"\",\"services\":" SERVICES(FIXED) "}",
		"");
}

static void test_numbers(void **state _unused_)
{
	static const struct {
		const char *here, *there, *expected;
	} rows[] = {
		{ PLAIN, STATE("0x00ff0000", SERVICES(FIXED), BOTH),
		  "numbers: mark-mask = 0xff000000 here and 0x00ff0000 there: no mark means the "
		  "same\n" },
		/* Exchanged in the configuration: told once for each. */
		{ PLAIN,
		  STATE(MASK, SERVICES(ID("10.1.0.11", 2) "," ID("10.1.0.12", 1)),
			HOP("10.1.0.11%eth1", 2) "," HOP("10.1.0.12%eth1", 1)),
		  "web: the configuration gives 10.1.0.11 number 1 here and 2 there\n"
		  "web: the configuration gives 10.1.0.12 number 2 here and 1 there\n" },
		/* The configurations agree, and one gateway has not followed its own yet. */
		{ PLAIN,
		  STATE(MASK, SERVICES(FIXED),
			HOP("10.1.0.11%eth1", 7) "," HOP("10.1.0.12%eth1", 2)),
		  "web: 10.1.0.11%eth1 has number 1 here and 7 there\n" },
		/* No configuration gives numbers: by chance alike, or not. */
		{ STATE(MASK, SERVICES(""), BOTH),
		  STATE(MASK, SERVICES(""), HOP("10.1.0.11%eth1", 1) "," HOP("10.1.0.12%eth1", 3)),
		  "web: 10.1.0.11%eth1 has number 1 on both by chance: no configuration fixes it\n"
		  "web: 10.1.0.12%eth1 has number 2 here and 3 there\n" },
		{ STATE(MASK, SERVICES(""), BOTH),
		  STATE(MASK, SERVICES(""), HOP("10.1.0.11%eth1", 1)),
		  "web: 10.1.0.11%eth1 has number 1 on both by chance: no configuration fixes it\n"
		  "web: 10.1.0.12%eth1 has number 2 here by chance, and is not known there: no "
		  "configuration fixes it\n" },
		/* One of the two gives a number that the other does not. */
		{ PLAIN, STATE(MASK, SERVICES(ID("10.1.0.11", 1)), HOP("10.1.0.11%eth1", 1)),
		  "web: the configuration gives 10.1.0.12 number 2 here and none there\n" },
		{ STATE(MASK, SERVICES(ID("10.1.0.11", 1)), HOP("10.1.0.11%eth1", 1)), PLAIN,
		  "web: the configuration gives 10.1.0.12 number 2 there and none here\n" },
		/* One number, two nexthops; told once. */
		{ STATE(MASK, SERVICES(""), HOP("10.1.0.11%eth1", 1)),
		  STATE(MASK, SERVICES(""), HOP("10.1.0.12%eth1", 1)),
		  "web: 10.1.0.11%eth1 has number 1 here, which is 10.1.0.12%eth1 of web there\n" },
		{ STATE(MASK, SERVICES(""), HOP("10.1.0.11%eth1", 1)),
		  STATE(MASK, SERVICES(""), HOP("10.1.0.12%eth1", 1) "," HOP("10.1.0.11%eth1", 2)),
		  "web: 10.1.0.11%eth1 has number 1 here and 2 there\n"
		  "web: 10.1.0.12%eth1 has number 1 there, which is 10.1.0.11%eth1 of web here\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		compare(rows[i].here, rows[i].there, rows[i].expected);
}

/* One link-local address on two interfaces: the interface is what tells them apart. */
static void test_interfaces(void **state _unused_)
{
	static const char here[] =
		STATE(MASK, SERVICES(ID("fe80::1%eth1", 1) "," ID("fe80::1%eth2", 2)),
		      HOP("fe80::1%eth1", 1) "," HOP("fe80::1%eth2", 2));

	compare(here, here, "");
	compare(here,
		STATE(MASK, SERVICES(ID("fe80::1%eth1", 2) "," ID("fe80::1%eth2", 1)),
		      HOP("fe80::1%eth1", 2) "," HOP("fe80::1%eth2", 1)),
		"web: the configuration gives fe80::1%eth1 number 1 here and 2 there\n"
		"web: the configuration gives fe80::1%eth2 number 2 here and 1 there\n");
	compare(here, STATE(MASK, SERVICES(ID("fe80::1%eth1", 1)), HOP("fe80::1%eth1", 1)),
		"web: the configuration gives fe80::1%eth2 number 2 here and none there\n");
	compare(STATE(MASK, SERVICES(ID("%ppp0", 1)), HOP("%ppp0", 1)),
		STATE(MASK, SERVICES(ID("%ppp1", 1)), HOP("%ppp1", 1)),
		"web: the configuration gives %ppp0 number 1 here and none there\n"
		"web: the configuration gives %ppp1 number 1 there and none here\n"
		"web: %ppp0 has number 1 here, which is %ppp1 of web there\n");
}

static void test_services(void **state _unused_)
{
	compare(PLAIN,
		STATE(MASK,
		      "[{\"name\":\"web\",\"prefixes\":[\"1.1.1.1/32\"],\"protocols\":[\"tcp\","
		      "\"udp\"],\"ports\":[\"80\",\"443\"],\"ids\":[" FIXED
		      "],\"on_withdraw\":\"release\",\"idle_timeout_ms\":60000}]",
		      BOTH),
		"web: prefix = {1.1.1.1/32, 2001:db8::1/128} here and {1.1.1.1/32} there\n"
		"web: protocol = {tcp} here and {tcp, udp} there\n"
		"web: port = {80} here and {80, 443} there\n"
		"web: on-withdraw = hold here and release there\n"
		"web: idle-timeout = 300000ms here and 60000ms there\n");
	compare(PLAIN, STATE(MASK, "[]", ""), "web: it is configured here, and not there\n");
	compare(STATE(MASK, "[]", ""), PLAIN, "web: it is configured there, and not here\n");
}

static void test_refused(void **state _unused_)
{
	static const char *const rows[] = {
		"",
		"x",
		"[]",
		"{}",
		"{\"nexthops\":[]}",
		"{\"services\":[]}",
		"{\"services\":{}}{\"nexthops\":[]}",
		"{\"services\":[]}{\"services\":[]}{\"nexthops\":[]}",
		"{\"services\":[]}{\"nexthops\":[]}{\"nexthops\":[]}",
		"{\"services\":[]}{\"nexthops\":[]}{}",
		"{\"services\":[]}{\"nexthops\":[]} x",
		"{\"services\":[]}{\"nexthops\":[",
	};
	struct peer_state s = { 0 };
	char *large = calloc(1, (4 << 20) + 1);
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		e = (struct err){ 0 };
		assert_int_equal(peer_parse(rows[i], strlen(rows[i]), &s, &e), -EINVAL);
		assert_string_equal(
			e.text, "not what `flowpin status --json` and `flowpin nexthops --json` "
				"of another gateway print, one after the other");
		assert_null(s.status);
		assert_null(s.nexthops);
	}
	assert_non_null(large);
	memset(large, ' ', 4 << 20);
	assert_int_equal(peer_parse(large, (4 << 20) + 1, &s, &e), -EFBIG);
	free(large);
	assert_int_equal(peer_read("/nonexistent", &s, &e), -ENOENT);
	assert_string_equal(e.text, "/nonexistent: No such file or directory");
}

/* Members of other types, and text that is not fit for a terminal. */
static void test_strange(void **state _unused_)
{
	static const char there[] =
		"{\"mark_mask\":7,\"services\":[1,{\"name\":\"web\",\"prefixes\":[1],\"ids\":[2,{"
		"\"nexthop\":\"x\"}]}]}{\"nexthops\":[null,{\"service\":\"web\",\"nexthop\":3},{"
		"\"service\":\"\\u001b[2J\",\"nexthop\":\"10.1.0.9%eth0\",\"id\":1}]}";
	struct peer_state a = { 0 }, b = { 0 };
	struct strbuf said = { 0 };
	struct err e;

	assert_int_equal(peer_parse(PLAIN, strlen(PLAIN), &a, &e), 0);
	assert_int_equal(peer_parse(there, strlen(there), &b, &e), 0);
	assert_true(peer_compare(&a, &b, collect, &said) > 0);
	assert_true(peer_compare(&b, &a, collect, &said) > 0);
	for (size_t i = 0; i < said.len; i++)
		assert_true(said.data[i] == '\n' || (said.data[i] >= ' ' && said.data[i] < 0x7f));
	strbuf_free(&said);
	peer_state_clear(&a);
	peer_state_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alike),	   cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_interfaces), cmocka_unit_test(test_services),
		cmocka_unit_test(test_refused),	   cmocka_unit_test(test_strange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
