// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "eapi/flow_text.h"
#include "eapi_fixture.h"

static void test_names(void **state _unused_)
{
	static const struct {
		const char *src, *dst;
		uint16_t sport, dport;
		uint8_t proto;
		const char *name;
	} rows[] = {
		{ "12.12.12.1", "1.1.1.1", 30001, 80, IPPROTO_TCP,
		  "fp-gw1-tcp-12_12_12_1-30001-1_1_1_1-80" },
		{ "255.255.255.255", "255.255.255.255", 65535, 65535, IPPROTO_SCTP,
		  "fp-gw1-sctp-255_255_255_255-65535-255_255_255_255-65535" },
		{ "::", "::", 0, 0, IPPROTO_TCP,
		  "fp-gw1-TAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::1", 1, 443, IPPROTO_UDP,
		  NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tuple t = eapi_tuple(rows[i].src, rows[i].sport, rows[i].dst, rows[i].dport,
					    rows[i].proto),
			     back;
		char name[FLOW_NAME], longest[FLOW_NAME];

		flow_name_format("fp-gw1-", &t, name);
		if (rows[i].name)
			assert_string_equal(name, rows[i].name);
		assert_int_equal(
			strspn(name,
			       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:-"),
			strlen(name));
		assert_int_equal(flow_name_parse("fp-gw1-", name, &back), 0);
		assert_memory_equal(&back, &t, sizeof(t));
		assert_in_range(strlen(flow_name_format("fp-12345678901-", &t, longest)), 1, 64);
		assert_int_equal(flow_name_parse("fp-12345678901-", longest, &back), 0);
		assert_memory_equal(&back, &t, sizeof(t));
		assert_int_equal(flow_name_parse("fp-other-", name, &back), -ENOENT);
	}
}

static void test_names_of_nobody(void **state _unused_)
{
	static const char *const ours[] = {
		"fp-1-",
		"fp-1-x",
		"fp-1-tcp",
		"fp-1-tcp-1_2_3_4-5-6_7_8_9",
		"fp-1-tcp-1_2_3_4-5-6_7_8_9-",
		"fp-1-tcp-1_2_3_4-5-6_7_8_9-80-1",
		"fp-1-tcp-1.2.3.4-5-6_7_8_9-80",
		"fp-1-tcp-01_2_3_4-5-6_7_8_9-80",
		"fp-1-tcp-1_2_3_4-05-6_7_8_9-80",
		"fp-1-tcp-1_2_3_4-65536-6_7_8_9-80",
		"fp-1-icmp-1_2_3_4-5-6_7_8_9-80",
		"fp-1-TAAAA",
		"fp-1-QAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"fp-1-TAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!",
		"fp-1-tcp-1_2_3_4-0x5-6_7_8_9-80",
	};
	struct tuple t;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		assert_int_equal(flow_name_parse("fp-1-", ours[i], &t), -EINVAL);
	assert_int_equal(flow_name_parse("fp-1-", "redirect", &t), -ENOENT);
	assert_int_equal(flow_name_parse("fp-1-", "fp-10-tcp-1_2_3_4-5-6_7_8_9-80", &t), -ENOENT);
	assert_int_equal(flow_name_parse("", "x", &t), -ENOENT);
}

static void expect(const struct commands *c, const char *const *lines, size_t n)
{
	assert_false(c->failed);
	for (size_t i = 0; i < n && i < c->n; i++)
		assert_string_equal(commands_get(c, i), lines[i]);
	assert_int_equal(c->n, n);
}

static void test_nexthop(void **state _unused_)
{
	static const char *const lines[] = {
		"enable",
		"configure",
		"directflow",
		"no shutdown",
		"no flow N",
		"flow N",
		"match ethertype ip",
		"match source ip 12.12.12.1",
		"match destination ip 1.1.1.1",
		"match ip protocol tcp",
		"match source port 30001",
		"match destination port 80",
		"priority 100",
		"no persistent",
		"timeout idle 300",
		"action output nexthop 34.34.34.4",
	};
	_cleanup_(config_freep) struct config *config = eapi_config("");
	_cleanup_(commands_free) struct commands c = { 0 };
	struct flow_target target = { .nexthop = eapi_addr("34.34.34.4"), .idle_timeout_s = 300 };
	struct tuple t = eapi_tuple("12.12.12.1", 30001, "1.1.1.1", 80, IPPROTO_TCP);

	flow_text_begin(config->switches, &c);
	assert_int_equal(flow_text_add(config->switches, "N", &t, &target, true, &c), 0);
	expect(&c, lines, ARRAY_SIZE(lines));
}

static void test_l2(void **state _unused_)
{
	static const char *const routed[] = {
		"flow N",
		"match ethertype 34525",
		"match source ipv6 2001:db8:c::1",
		"match destination ipv6 2001:db8::1",
		"match ip protocol udp",
		"match source port 1",
		"match destination port 53",
		"match input interface Ethernet47",
		"priority 7",
		"no persistent",
		"action set destination mac 00:00:00:00:00:03",
		"action output interface Ethernet42",
	};
	_cleanup_(config_freep) struct config *config =
		eapi_config("expiry = flowpin priority = 7 match-ingress = yes no-shutdown = no "
			    "configure-command = \"configure terminal\"");
	_cleanup_(commands_free) struct commands c = { 0 };
	struct flow_target target = { .nexthop = eapi_addr("2001:db8:a::3"),
				      .idle_timeout_s = 300 };
	struct tuple t = eapi_tuple("2001:db8:c::1", 1, "2001:db8::1", 53, IPPROTO_UDP);

	assert_int_equal(flow_text_add(config->switches, "N", &t, &target, false, &c),
			 -EHOSTUNREACH);
	assert_int_equal(c.n, 0);
	snprintf(target.interface, sizeof(target.interface), "Ethernet42");
	snprintf(target.mac, sizeof(target.mac), "00:00:00:00:00:03");
	assert_int_equal(flow_text_add(config->switches, "N", &t, &target, false, &c), 0);
	expect(&c, routed, ARRAY_SIZE(routed));
	commands_reset(&c);
	target.vlan = 10;
	assert_int_equal(flow_text_add(config->switches, "N", &t, &target, false, &c), 0);
	assert_string_equal(commands_get(&c, 11), "action set vlan 10");
	commands_reset(&c);
	flow_text_begin(config->switches, &c);
	assert_int_equal(c.n, 3);
	assert_string_equal(commands_get(&c, 1), "configure terminal");
}

static void test_templates(void **state _unused_)
{
	_cleanup_(config_freep) struct config *config =
		eapi_config("action-ipv6 = none nexthop-commands = {\"action output nexthop "
			    "{nexthop} vrf x\", \"comment {what}\"}");
	_cleanup_(commands_free) struct commands c = { 0 };
	struct flow_target target = { .nexthop = eapi_addr("34.34.34.4") };
	struct tuple t = eapi_tuple("12.12.12.1", 30001, "1.1.1.1", 80, IPPROTO_TCP);

	assert_int_equal(flow_text_add(config->switches, "N", &t, &target, true, &c), 0);
	assert_string_equal(commands_get(&c, c.n - 2), "action output nexthop 34.34.34.4 vrf x");
	assert_string_equal(commands_get(&c, c.n - 1), "comment {what}");
	t = eapi_tuple("2001:db8:c::1", 1, "2001:db8::1", 53, IPPROTO_UDP);
	assert_int_equal(flow_text_add(config->switches, "N", &t, &target, true, &c), -EOPNOTSUPP);
	commands_add(&c, "one\ntwo");
	assert_true(c.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	  cmocka_unit_test(test_names_of_nobody),
		cmocka_unit_test(test_nexthop),	  cmocka_unit_test(test_l2),
		cmocka_unit_test(test_templates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
