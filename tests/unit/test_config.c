// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "config/config.h"

/* A service that is good, for what stands behind it. */
#define S "service a { prefix = 1.1.1.1 }\n"

static const struct {
	const char *text, *sentence;
} broken[] = {
	{ "", "f: there is no service: at least one is needed" },
	{ "# only a comment", "f: there is no service: at least one is needed" },
	{ "service web {\n  prefix = 1.1.1.1\n",
	  "f:1: 'service web' begins here and is not closed: '}' is missing" },
	{ "service web {\n prefix = 1.1.1.1\n nexthop 1.2.3.4 {\n id = 1\n}\n",
	  "f:1: 'service web' begins here and is not closed: '}' is missing" },
	{ "service web {\n prefix = 1.1.1.1\n port = {80,\n",
	  "f:3: 'port' begins here and is not closed: '}' is missing" },
	{ "service web\n{", "f:2: the '{' in this line is not closed: '}' is missing" },
	{ S "}\n", "f:2: '}' closes nothing: no section is open here" },
	{ S "{{{{{{{{{", "f:2: more than 8 braces inside each other" },
	{ S "limits {\n max-flows =\n}", "f:4: '}' is not expected here" },
	{ S "state-dir =", "f:2: the file ends in the middle of a setting" },
	{ S "state-dir", "f:2: the file ends in the middle of a setting" },
	{ S "service b\n\n", "f:4: the file ends in the middle of a setting" },
	{ S "limits\n", "f:3: the file ends in the middle of a setting" },
	{ S "__eof = true\n", "f:2: '__eof' is not known here (there are: state-dir, instance, "
			      "service, switch, liveness, limits, numbers, control)" },
	{ S "__reader = 1\n", "f:2: '__reader' is not known here (there are: state-dir, instance, "
			      "service, switch, liveness, limits, numbers, control)" },
	{ S "switch s1 { }\n", "f:2: switch 's1' has no eapi" },
	{ S "include(\"/etc/passwd\")\n", "f:2: '(' is not allowed outside quotes" },
	{ S "include = x\n", "f:2: 'include' is not known here (there are: state-dir, instance, "
			     "service, switch, liveness, limits, numbers, control)" },
	{ S "state-dir = ${HOME}\n",
	  "f:2: '${' is not allowed: environment variables are not expanded" },
	{ S "state-dir = \"/x${HOME}\"\n",
	  "f:2: '${' is not allowed: environment variables are not expanded" },
	{ S "state-dir = \"/var\n\"",
	  "f:2: the quote that begins in this line is not closed in it" },
	{ S "state-dir = '/var", "f:2: the quote that begins in this line is not closed in it" },
	{ S "\n/* all the\nrest", "f:3: the comment that begins in this line is not closed" },
	{ S "state-dir = \"/va\\r\"", "f:2: '\\' is not allowed" },
	{ S "limits|max-flows = 3", "f:2: '|' is not allowed" },
	{ S "\"limits|max-flows\" = 3", "f:2: '|' is not allowed" },
	{ S "limits { max-flows = 1*0 }", "f:2: '*' is not allowed outside quotes" },
	{ S "state-dir += /x", "f:2: '+' is not allowed outside quotes" },
	{ S "state-dir = /\xc3\xa4", "f:2: byte 0xc3 is not allowed outside comments" },
	{ S "\x01", "f:2: byte 0x01 is not allowed outside comments" },
	{ S "state-dir /x", "f:2: 'state-dir' must be followed by '=' and a value" },
	{ S "state-dir = {/x}", "f:2: '{' is not expected here" },
	{ S "state-dir = x", "f:2: state-dir: 'x' is not an absolute path" },
	{ S "state-dir = /x/..", "f:2: state-dir: '/x/..' must not contain '..'" },
	{ S "state-dir = /x\nstate-dir = /x", "f:3: 'state-dir' is given twice" },
	{ S "limits = 5", "f:2: section 'limits' must go on with '{'" },
	{ S "limits { max-flow = 5 }", "f:2: 'max-flow' is not known in section 'limits' (there "
				       "are: max-flows, max-pins, receive-buffer, "
				       "max-flows-per-source, source-share, source-prefix-ipv4, "
				       "source-prefix-ipv6)" },
	{ S "limits { source-share = 0 }", "f:2: source-share: '0' is out of range (1 to 100)" },
	{ S "limits { source-prefix-ipv4 = 33 }",
	  "f:2: source-prefix-ipv4: '33' is out of range (8 to 32)" },
	{ S "limits { source-prefix-ipv6 = 65 }",
	  "f:2: source-prefix-ipv6: '65' is out of range (16 to 64)" },
	{ S "limits { }\nlimits { }", "f:3: section 'limits' is there twice" },
	{ S "limits { max-flows = 1M }\nlimits { max-flows = 2M }",
	  "f:3: 'max-flows' is given twice" },
	{ S "limits { max-flows = many }",
	  "f:2: max-flows: 'many' is not a size (a number, or one with k or M)" },
	{ S "limits { max-flows = 0 }", "f:2: max-flows: '0' is out of range (1 to 134217728)" },
	{ S "limits { max-pins = 5000M }",
	  "f:2: max-pins: '5000M' is out of range (1 to 134217728)" },
	{ S "liveness {\n\nprobe-interval = 1 s }",
	  "f:4: 's' is not known in section 'liveness' (there are: probe-interval, dead-after, "
	  "outage-window, outage-hold, "
	  "carrier-hold)" },
	{ S "liveness { probe-interval = 10ms }",
	  "f:2: probe-interval: '10ms' is out of range (200ms to 1m)" },
	{ S "liveness { probe-interval = 1sec }",
	  "f:2: probe-interval: '1sec' is not a duration (a number with ms, s, m, h or d)" },
	{ S "liveness { dead-after = 0 }", "f:2: dead-after: '0' is out of range (1 to 100)" },
	{ S "liveness { dead-after = -3 }", "f:2: dead-after: '-3' is not a number" },
	{ S "numbers { mark-mask = 0xf0f0 }",
	  "f:2: mark-mask: '0xf0f0' is not a mask of 4 to 8 bits in a row" },
	{ S "numbers { mark-mask = 0x7 }",
	  "f:2: mark-mask: '0x7' is not a mask of 4 to 8 bits in a row" },
	{ S "numbers { mark-mask = 0x1ff }",
	  "f:2: mark-mask: '0x1ff' is not a mask of 4 to 8 bits in a row" },
	{ S "numbers { mark-mask = 0 }",
	  "f:2: mark-mask: '0' is not a mask of 4 to 8 bits in a row" },
	{ S "numbers { mark-mask = 0x1ff000000 }",
	  "f:2: mark-mask: '0x1ff000000' is not a number of 32 bits" },
	{ S "numbers { table-base = 255 }",
	  "f:2: table-base: '255' is out of range (256 to 4294966784)" },
	{ S "numbers { rule-priority = 20001 }",
	  "f:2: rule-priority: '20001' is out of range (1 to 20000)" },
	{ S "control { admin-group = \"a b\" }",
	  "f:2: admin-group: 'a b' is not the name of a group" },
	{ S "control { max-clients = 0 }", "f:2: max-clients: '0' is out of range (1 to 1024)" },
	{ S "service a { prefix = 2.2.2.2 }", "f:2: 'a' is there twice" },
	{ S "service { prefix = 2.2.2.2 }", "f:2: 'service' must be followed by its name" },
	{ S "service web web { prefix = 2.2.2.2 }", "f:2: section 'service' must go on with '{'" },
	{ S "service Web { prefix = 2.2.2.2 }", "f:2: 'Web' is no name for a service (1 to 15 of "
						"a-z, 0-9, '_' and '-', a letter first)" },
	{ S "service abcdefghijklmnop { }", "f:2: 'abcdefghijklmnop' is no name for a service (1 "
					    "to 15 of a-z, 0-9, '_' and '-', a letter first)" },
	{ S "service b {\n}\n", "f:3: service 'b' has no prefix" },
	{ S "service b { prefix = {} }", "f:2: prefix: the list is empty" },
	{ S "service b { prefix = 2.2.2.2 port = {} }", "f:2: port: the list is empty" },
	{ S "service b { prefix = 2.2.2.0 }\nservice c { prefix = {3.3.3.3,\n3.3.3.1/24} }",
	  "f:4: prefix: '3.3.3.1/24' has bits set behind its length" },
	{ S "service b { prefix = 2.2.2/24 }",
	  "f:2: prefix: '2.2.2/24' is not a prefix (ADDRESS or ADDRESS/LENGTH)" },
	{ S "service b { prefix = {2.2.2.2, 2.2.2.2/32} }",
	  "f:2: prefix: '2.2.2.2/32' is there twice" },
	{ S "service b { prefix = {2.2.2.2 2.2.2.3} }", "f:2: '2.2.2.3' is not expected here" },
	{ S "service b { prefix = 2.2.2.2 prefix = 2.2.2.3 }", "f:2: 'prefix' is given twice" },
	{ S "service b { protocol = icmp }",
	  "f:2: protocol: 'icmp' is not one of tcp, udp and sctp" },
	{ S "service b { protocol = {tcp, tcp} }", "f:2: protocol: 'tcp' is there twice" },
	{ S "service b { port = 0 }",
	  "f:2: port: '0' is not a port or a range of ports (1 to 65535)" },
	{ S "service b { port = 80- }",
	  "f:2: port: '80-' is not a port or a range of ports (1 to 65535)" },
	{ S "service b { port = 65536 }",
	  "f:2: port: '65536' is not a port or a range of ports (1 to 65535)" },
	{ S "service b { port = http }",
	  "f:2: port: 'http' is not a port or a range of ports (1 to 65535)" },
	{ S "service b { port = 90-80 }", "f:2: port: '90-80' ends before it begins" },
	{ S "service b { port = {80-90, 85} }", "f:2: port: '85' overlaps another of service 'b'" },
	{ S "service b { idle-timeout = 8d }",
	  "f:2: idle-timeout: '8d' is out of range (1s to 7d)" },
	{ S "service b { idle-timeout = 1500ms }",
	  "f:2: idle-timeout: '1500ms' is not a whole number of seconds" },
	{ S "service b { syn-timeout = 1h }",
	  "f:2: syn-timeout: '1h' is out of range (1s to 10m)" },
	{ S "service b { on-withdraw = keep }",
	  "f:2: on-withdraw: 'keep' is neither hold nor release" },
	{ S "service b { color = red }", "f:2: 'color' is not known in section 'service' (there "
					 "are: prefix, protocol, port, idle-timeout, syn-timeout, "
					 "on-withdraw, drain-timeout, nexthop)" },
	{ S "service b { drain-timeout = 0 }",
	  "f:2: drain-timeout: '0' is out of range (1s to 7d)" },
	{ S "service b { nexthop 1.2.3.4 { } }", "f:2: nexthop '1.2.3.4' needs an id" },
	{ S "service b { nexthop 1.2.3 { id = 1 } }",
	  "f:2: '1.2.3' is not a nexthop (ADDRESS, ADDRESS%INTERFACE or %INTERFACE)" },
	{ S "service b { nexthop 1.2.3.4 { id = 0 } }",
	  "f:2: id: '0' is not a number from 1 to 255" },
	{ S "service b { nexthop 1.2.3.4 { id = 1 }\nnexthop 1.2.3.5 { id = 1 } }",
	  "f:3: id: 1 is given in line 2 already" },
	{ S "service b { nexthop 1.2.3.4 { id = 1 } nexthop 1.2.3.4 { id = 2 } }",
	  "f:2: '1.2.3.4' is there twice" },
	{ S "service b { nexthop 1.2.3.4 { id = 1 }\nnexthop 1.2.3.4%eth0 { id = 2 } }",
	  "f:3: nexthop '1.2.3.4%eth0' may be the same as '1.2.3.4' of this service" },
	{ S "service b { prefix = 2.2.2.2\nnexthop 1.2.3.4 { id = 16 } }\nnumbers { mark-mask = "
	    "0xf0 }",
	  "f:3: id: 16 is above 15, the highest that mark-mask 0x000000f0 can hold" },
	{ S "service b {\nprefix = {9.9.9.9, 1.1.1.1/32}\n}",
	  "f:4: services 'a' and 'b' both claim 1.1.1.1/32, tcp, all ports, and neither is more "
	  "specific" },
};

static void test_broken(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct config *c = NULL;
		struct err e = { 0 };
		int r = config_parse("f", broken[i].text, strlen(broken[i].text), &c, &e);

		assert_string_equal(e.text, broken[i].sentence);
		assert_int_equal(r, -EINVAL);
		assert_int_equal(e.code, -EINVAL);
		assert_null(c);
	}
	print_message("%zu broken configurations\n", ARRAY_SIZE(broken));
}

static void test_nul(void **state _unused_)
{
	static const char text[] = S "\0";
	struct config *c = NULL;
	struct err e = { 0 };

	assert_int_equal(config_parse("f", text, sizeof(text) - 1, &c, &e), -EINVAL);
	assert_string_equal(e.text, "f:2: byte 0x00 is not allowed outside comments");
}

/* The example of the design, with comments wherever there is room for one. */
static const char full[] =
	"/* one\n * two */ service web { # a comment\r\n"
	"    prefix       = { # in a list\n  1.1.1.1/32, // here\n 2001:db8::1/128 /* and here */ "
	"}\n"
	"    protocol     = tcp                      # default tcp; {tcp, udp}\n"
	"    port         = {8000-8100, 443, 80, 8101-8200}\n"
	"    idle-timeout = 5m                       # ${HOME} \xc3\xa4 \"\n"
	"    syn-timeout = 30s\n"
	"    on-withdraw  = release\n"
	"    drain-timeout = 1h\n"
	"    nexthop 34.34.34.4 { id = 1 }\n"
	"    nexthop fe80::1%eth0 { id = 255 }\n"
	"    nexthop '%ppp0' { id = 3 }\n"
	"}\n"
	"service d-n_s2 { prefix = \"1.1.1.0/24\" protocol = {udp, sctp} port=53 }\n"
	"liveness { probe-interval = 500ms  dead-after = 5  outage-window = 6s  outage-hold = 31s "
	"carrier-hold = 0 }\n"
	"limits   { max-flows = 2M  max-pins = 100k receive-buffer = 64k\n"
	"  max-flows-per-source = 10k source-share = 30 source-prefix-ipv4 = 16\n"
	"  source-prefix-ipv6 = 48 }\n"
	"numbers  { mark-mask = 0x00ff0000  table-base = 1000  rule-priority = 500 }\n"
	"control { admin-group = wheel max-clients = 10 max-clients-per-uid = 2 }\n"
	"state-dir = \"/srv/flow//pin\"";

static void assert_numbers(const struct config *c)
{
	assert_int_equal(c->liveness.probe_interval_ms, 500);
	assert_int_equal(c->liveness.dead_after, 5);
	assert_int_equal(c->liveness.outage_window_ms, 6000);
	assert_int_equal(c->liveness.outage_hold_ms, 31000);
	assert_int_equal(c->liveness.carrier_hold_ms, 0);
	assert_int_equal(c->limits.max_flows, 2000000);
	assert_int_equal(c->limits.max_pins, 100000);
	assert_int_equal(c->limits.receive_buffer, 64000);
	assert_int_equal(c->limits.max_flows_per_source, 10000);
	assert_int_equal(c->limits.source_share, 30);
	assert_int_equal(c->limits.source_prefix4, 16);
	assert_int_equal(c->limits.source_prefix6, 48);
	assert_int_equal(c->numbers.mark_mask, 0x00ff0000);
	assert_int_equal(c->numbers.table_base, 1000);
	assert_int_equal(c->numbers.rule_priority, 500);
	assert_string_equal(c->control.admin_group, "wheel");
	assert_int_equal(c->control.max_clients, 10);
	assert_int_equal(c->control.max_clients_per_uid, 2);
	assert_string_equal(c->state_dir, "/srv/flow//pin");
}

static void test_full(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct err e = { 0 };
	char buf[IP_PREFIX_TEXT], hop[NEXTHOP_TEXT];
	const struct service *s;

	assert_int_equal(config_parse("f", full, strlen(full), &c, &e), 0);
	assert_string_equal(e.text, "");
	assert_numbers(c);
	assert_int_equal(c->services.n, 2);
	s = &c->services.list[0];
	assert_string_equal(s->name, "web");
	assert_int_equal(s->n_prefixes, 2);
	assert_string_equal(ip_prefix_format(&s->prefixes[1], buf), "2001:db8::1/128");
	assert_int_equal(s->n_ports, 3);
	assert_int_equal(s->ports[0].first, 80);
	assert_int_equal(s->ports[2].first, 8000);
	assert_int_equal(s->ports[2].last, 8200);
	assert_int_equal(s->idle_timeout_s, 300);
	assert_int_equal(s->syn_timeout_s, 30);
	assert_int_equal(s->on_withdraw, SERVICE_RELEASE);
	assert_int_equal(s->drain_timeout_s, 3600);
	assert_int_equal(s->n_ids, 3);
	assert_string_equal(nexthop_spec_format(&s->ids[1].nexthop, hop), "fe80::1%eth0");
	assert_int_equal(s->ids[1].id, 255);
	assert_string_equal(nexthop_spec_format(&s->ids[2].nexthop, hop), "%ppp0");
	s = &c->services.list[1];
	assert_string_equal(s->name, "d-n_s2");
	assert_int_equal(s->n_protos, 2);
	assert_int_equal(s->on_withdraw, SERVICE_RELEASE);
}

static void test_defaults(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct err e = { 0 };
	const struct service *s;

	assert_int_equal(config_parse("f", S, strlen(S), &c, &e), 0);
	s = &c->services.list[0];
	assert_int_equal(s->n_protos, 1);
	assert_int_equal(s->protos[0], IPPROTO_TCP);
	assert_int_equal(s->n_ports, 1);
	assert_int_equal(s->ports[0].first, 0);
	assert_int_equal(s->ports[0].last, 65535);
	assert_int_equal(s->idle_timeout_s, 300);
	assert_int_equal(s->syn_timeout_s, 20);
	assert_int_equal(s->on_withdraw, SERVICE_HOLD);
	assert_int_equal(s->drain_timeout_s, 0);
	assert_int_equal(c->liveness.probe_interval_ms, 1000);
	assert_int_equal(c->limits.receive_buffer, 64 << 20);
	assert_int_equal(c->limits.max_flows_per_source, 0);
	assert_int_equal(c->limits.source_share, 25);
	assert_int_equal(c->limits.source_prefix4, 24);
	assert_int_equal(c->limits.source_prefix6, 56);
	assert_int_equal(c->numbers.mark_mask, 0xff000000);
	assert_int_equal(c->numbers.table_base, 17000);
	assert_string_equal(c->control.admin_group, "");
	assert_string_equal(c->state_dir, "/var/lib/flowpin");
}

/* Depth of braces at the end of the text, comments and quotes left out of it. */
static int depth_of(const char *text, size_t len)
{
	int depth = 0;
	char in = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i], next = i + 1 < len ? text[i + 1] : 0;

		if (in == '*'	 ? c == '*' && next == '/'
		    : in == '\n' ? c == '\n'
				 : in != 0 && c == in)
			in = 0;
		else if (in)
			continue;
		else if (c == '"' || c == '\'')
			in = c;
		else if (c == '#' || (c == '/' && next == '/'))
			in = '\n';
		else if (c == '/' && next == '*')
			in = '*';
		else
			depth += (c == '{') - (c == '}');
	}
	return depth;
}

static void test_truncated(void **state _unused_)
{
	unsigned accepted = 0;

	for (size_t len = 0; len < strlen(full); len++) {
		_cleanup_(config_freep) struct config *c = NULL;
		/* On the heap and without a NUL, so that a sanitizer sees a read behind the end. */
		_cleanup_(freep) char *text = malloc(len ? len : 1);
		struct err e = { 0 };

		memcpy(text, full, len);
		if (config_parse("f", text, len, &c, &e) == 0) {
			assert_int_equal(depth_of(full, len), 0);
			accepted++;
		} else {
			assert_int_equal(strncmp(e.text, "f:", 2), 0);
		}
	}
	assert_true(accepted > 10);
}

/* Each byte replaced by something else: no crash, a sentence with each refusal, no state left. */
static void test_mutated(void **state _unused_)
{
	static const char bytes[] = "\"'{}=,#/*\n\0 $(|9a";
	_cleanup_(freep) char *text = malloc(sizeof(full));

	for (size_t i = 0; i + 1 < sizeof(full); i++) {
		for (size_t k = 0; k < sizeof(bytes); k += 1 + i % 3) {
			_cleanup_(config_freep) struct config *c = NULL;
			struct err e = { 0 };

			memcpy(text, full, sizeof(full));
			text[i] = bytes[k];
			if (config_parse("f", text, sizeof(full) - 1, &c, &e) < 0)
				assert_int_equal(strncmp(e.text, "f:", 2), 0);
		}
	}
	test_full(NULL);
}

static void test_many(void **state _unused_)
{
	static const struct {
		const char *before, *each, *after;
		int n;
		const char *sentence;
	} cases[] = {
		{ "service a { prefix = {", "10.0.%d.0/24,", "} }", 256, "" },
		{ "service a { prefix = {", "10.1.%d.0/25,", "11.0.0.0/8} }", 256,
		  "f:1: prefix: more than 256 in service 'a'" },
		{ "service a { prefix = 1.1.1.1 port = {", "1%02d,", "} }", 64, "" },
		{ "service a { prefix = 1.1.1.1 port = {", "1%02d,", "99} }", 64,
		  "f:1: port: more than 64 in service 'a'" },
		{ "", "service s%d { prefix = 1.1.1.1 port = 1 }\n", "", 1, "" },
		{ "", "service s%1$d { prefix = 10.0.0.%1$d }\n", "", 64, "" },
		{ "", "service s%1$d { prefix = 10.0.0.%1$d }\n", "", 65,
		  "f:65: more than 64 services" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(config_freep) struct config *c = NULL;
		char text[8192];
		size_t n = (size_t)snprintf(text, sizeof(text), "%s", cases[i].before);
		struct err e = { 0 };

		for (int k = 0; k < cases[i].n; k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			n += (size_t)snprintf(text + n, sizeof(text) - n, cases[i].each, k);
#pragma GCC diagnostic pop
		}
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", cases[i].after);
		assert_true(n < sizeof(text));
		config_parse("f", text, n, &c, &e) == 0 ? assert_non_null(c) : assert_null(c);
		assert_string_equal(e.text, cases[i].sentence);
	}
}

static void test_load(void **state _unused_)
{
	char path[] = "/tmp/test_config.XXXXXX", want[128];
	int fd = mkstemp(path);
	struct config *c = NULL;
	struct err e = { 0 };

	assert_true(fd >= 0);
	assert_int_equal(write(fd, S, strlen(S)), strlen(S));
	assert_int_equal(config_load(path, &c, &e), 0);
	c = config_free(c);
	assert_int_equal(write(fd, "oops", 4), 4);
	assert_int_equal(config_load(path, &c, &e), -EINVAL);
	snprintf(want, sizeof(want), "%s:2: ", path);
	assert_int_equal(strncmp(e.text, want, strlen(want)), 0);
	assert_int_equal(ftruncate(fd, CONFIG_FILE_MAX), 0);
	assert_int_equal(config_load(path, &c, &e), -EINVAL);
	assert_int_equal(ftruncate(fd, CONFIG_FILE_MAX + 1), 0);
	assert_int_equal(config_load(path, &c, &e), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(config_load(path, &c, &e), -ENOENT);
	snprintf(want, sizeof(want), "%s: No such file or directory", path);
	assert_string_equal(e.text, want);
	assert_int_equal(config_load("/tmp", &c, &e), -EISDIR);
	assert_null(c);
}

/* What is installed can be loaded as it is. */
static void test_example(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct err e = { 0 };

	if (access("systemd/flowpin.conf", R_OK) < 0) {
		print_message("systemd/flowpin.conf is not below the working directory\n");
		skip();
	}
	assert_int_equal(config_load("systemd/flowpin.conf", &c, &e), 0);
	assert_string_equal(e.text, "");
	assert_int_equal(c->services.n, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),	 cmocka_unit_test(test_broken),
		cmocka_unit_test(test_nul),	 cmocka_unit_test(test_full),
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_mutated),	 cmocka_unit_test(test_many),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
