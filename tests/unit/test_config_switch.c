// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "config/config.h"

#define S      "service a { prefix = 1.1.1.1 }\n"
#define URL    "eapi = \"https://10.0.0.1/command-api\"\n"
#define MIRROR "mirror { source = 5.5.5.5 destination = 10.0.0.9 interface = eth2 zone = 101 }\n"

static const struct {
	const char *text, *sentence;
} broken[] = {
	{ "switch s1 { }", "switch 's1' has no eapi" },
	{ "switch \"s 1\" { " URL " }",
	  "'s 1' is no name for a switch (1 to 15 letters, digits, '_', '.' and '-')" },
	{ "switch s1 { eapi = \"ftp://x/\" }", "eapi: 'ftp://x/' is not https://HOST[:PORT]/PATH" },
	{ "switch s1 { eapi = \"https://u:p@x/\" }",
	  "eapi: 'https://u:p@x/' is not https://HOST[:PORT]/PATH" },
	{ "switch s1 { eapi = \"http://x/\" }",
	  "switch 's1': http:// shows the password to the network; it needs allow-http = yes" },
	{ "switch s1 { " URL " username = x }",
	  "switch 's1' needs username and password-file, or neither" },
	{ "switch s1 { " URL " tls-pin = abc }", "tls-pin: 'abc' does not begin with sha256//" },
	{ "switch s1 { " URL " place = some }",
	  "place: 'some' is not one of its words (none, all, ...)" },
	{ "switch s1 { " URL " expiry = never }",
	  "expiry: 'never' is not one of its words (switch, flowpin)" },
	{ "switch s1 { " URL " dry-run = 1 }", "dry-run: '1' is neither yes nor no" },
	{ "switch s1 { " URL " max-flows = 0 }", "max-flows: '0' is out of range (1 to 100000)" },
	{ "switch s1 { " URL " max-flows = 5 reserve = 6 }",
	  "switch 's1': reserve is above max-flows" },
	{ "switch s1 { " URL " match-ingress = yes }",
	  "switch 's1': match-ingress needs ingress-interface" },
	{ "switch s1 { " URL " group = \"a b\" }",
	  "group: 'a b' is no name (1 to 15 letters, digits, '_', '.' and '-')" },
	{ "switch s1 { " URL " mirror { } }", "mirror of switch 's1' has no source" },
	{ "switch s1 { " URL " mirror { source = 5.5.5.5 } }",
	  "mirror of switch 's1' has no destination" },
	{ "switch s1 { " URL " mirror { source = 5.5.5 } }", "source: '5.5.5' is not an address" },
	{ "switch s1 { " URL " mirror { zone = 0 } }",
	  "zone: '0' is not a number from 1 to 65535" },
	{ "switch s1 { " URL " mirror { protocol = 0 } }",
	  "protocol: '0' is not a number from 1 to 0xffff" },
	{ "switch s1 { " URL " mirror { payload = udp } }",
	  "payload: 'udp' is none of auto, ethernet and ip" },
	{ "switch s1 { " URL " " MIRROR " }\nswitch s2 { " URL
	  " mirror { source = 5.5.5.5 destination = 10.0.0.9 interface = eth2 zone = 102 key = 1 } "
	  "}",
	  "the mirrors of switches 's1' and 's2' cannot be told apart" },
	{ "switch s1 { " URL
	  " mirror { source = 5.5.5.5 destination = \"::1\" interface = e zone = 1 } }",
	  "mirror of switch 's1': one address is IPv4, the other IPv6" },
	{ "switch s1 { " URL MIRROR MIRROR " }", "'source' is given twice" },
	{ "switch s1 { " URL MIRROR " }\nswitch s2 { " URL MIRROR " }",
	  "zone: 101 is that of switch 's1' already" },
	{ "switch s1 { " URL " }\nswitch s1 { " URL " }", "'s1' is there twice" },
	{ "instance = a-b", "instance: 'a-b' is no name (1 to 11 letters, digits and '_')" },
	{ "switch s1 { " URL " status-pending = {a, b, c, d, e, f, g} }",
	  "status-pending: more than 6" },
};

static int parse(const char *text, struct config **ret_config, struct err *e)
{
	char whole[2048];

	snprintf(whole, sizeof(whole), S "%s\n", text);
	return config_parse("f", whole, strlen(whole), ret_config, e);
}

static void test_refused(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		_cleanup_(config_freep) struct config *c = NULL;
		struct err e = { 0 };
		const char *sentence;

		assert_int_equal(parse(broken[i].text, &c, &e), -EINVAL);
		sentence = strstr(e.text, ": ");
		assert_non_null(sentence);
		if (strcmp(sentence + 2, broken[i].sentence) != 0)
			fail_msg("%s\nsays %s\nnot  %s", broken[i].text, sentence + 2,
				 broken[i].sentence);
	}
}

static void test_everything(void **state _unused_)
{
	static const char text[] =
		"instance = gw1\n"
		"switch s7058 {\n"
		"  eapi = \"https://10.21.227.188\"\n"
		"  username = flowpin password-file = /etc/flowpin/s7058.password\n"
		"  tls-pin = \"sha256//abc=\"\n"
		"  mirror { source = 5.5.5.5 destination = 10.0.0.9 interface = eth2 zone = 101 "
		"key = 7 protocol = 0x88be "
		"payload = ip max-flows = 3k }\n"
		"  place = heavy max-flows = 1500 idle-timeout = 10m group = pair\n"
		"  action-ipv6 = nexthop status-pending = {wait, busy} tcam-command = \"\" "
		"lookup-prefix = \"\"\n"
		"}\n"
		"switch other { eapi = \"http://[::1]:8080/command-api\" allow-http = yes }\n";
	_cleanup_(config_freep) struct config *c = NULL;
	char buf[CONFIG_PREFIX_MAX];
	struct err e = { 0 };
	const struct switch_config *s, *other;

	if (parse(text, &c, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(c->n_switches, 2);
	assert_string_equal(config_flow_prefix(c, buf), "fp-gw1-");
	s = config_switch(c, "s7058");
	other = config_switch(c, "other");
	assert_non_null(s);
	assert_non_null(other);
	assert_null(config_switch(c, "none"));
	assert_string_equal(s->url, "https://10.21.227.188/command-api");
	assert_true(s->mirror.present && s->mirror.has_key && s->mirror.key == 7);
	assert_int_equal(s->mirror.zone, 101);
	assert_int_equal(s->mirror.protocol, 0x88be);
	assert_int_equal(s->mirror.payload, SWITCH_PAYLOAD_IP);
	assert_int_equal(s->mirror.max_flows, 3000);
	assert_string_equal(s->mirror.ifname, "eth2");
	assert_true(s->place_set && s->place == SWITCH_PLACE_HEAVY);
	assert_int_equal(s->idle_timeout_ms, 600000);
	assert_int_equal(s->action6, SWITCH_ACTION_NEXTHOP);
	assert_int_equal(s->status_pending.n, 2);
	assert_string_equal(s->status_pending.line[1], "busy");
	assert_string_equal(s->tcam_command, "");
	assert_int_equal(s->lookup_prefix.n, 0);
	assert_false(other->mirror.present);
	assert_false(other->place_set);
	assert_int_equal(other->place, SWITCH_PLACE_NONE);
	assert_int_equal(other->max_flows, 1000);
}

/* The whole table has to fit into one answer. */
static void test_answer_max(void **state _unused_)
{
	static const struct {
		const char *more;
		uint32_t bytes;
	} cases[] = {
		{ "", 4194304 },
		{ "max-flows = 2048", 4194304 },
		{ "max-flows = 8500", 17408000 },
		{ "max-flows = 100000", 67108864 },
		{ "answer-max = 65536  max-flows = 8500", 65536 },
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(config_freep) struct config *c = NULL;
		struct err e = { 0 };

		snprintf(text, sizeof(text), "switch s1 { " URL " %s }", cases[i].more);
		assert_int_equal(parse(text, &c, &e), 0);
		assert_int_equal(config_switch(c, "s1")->answer_max, cases[i].bytes);
	}
}

static void test_digest(void **state _unused_)
{
	_cleanup_(config_freep) struct config *a = NULL, *b = NULL, *c = NULL;
	char da[SWITCH_DIGEST], db[SWITCH_DIGEST], dc[SWITCH_DIGEST];
	struct err e = { 0 };

	assert_int_equal(parse("switch s1 { max-flows = 10 " URL MIRROR "}", &a, &e), 0);
	assert_int_equal(parse("switch s1 { " URL MIRROR " max-flows = 10 } ", &b, &e), 0);
	assert_int_equal(parse("switch s1 { " URL MIRROR " max-flows = 11 } ", &c, &e), 0);
	assert_string_equal(switch_config_digest(a->switches, da),
			    switch_config_digest(b->switches, db));
	assert_string_not_equal(da, switch_config_digest(c->switches, dc));
	assert_int_equal(strlen(da), 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_answer_max),
		cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
