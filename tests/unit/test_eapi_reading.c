// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include "eapi/facts.h"
#include "eapi/reading.h"
#include "eapi_fixture.h"

#define NAME "fp-1-tcp-12_12_12_1-30002-1_1_1_1-80"

static void test_status(void **state _unused_)
{
	static const struct {
		const char *text;
		enum flow_status status;
	} rows[] = {
		{ "Flow programmed", FLOW_STATUS_PROGRAMMED },
		{ "Flow not programmed", FLOW_STATUS_INACTIVE },
		{ "Flow rejected due to insufficient resources", FLOW_STATUS_REJECTED },
		{ "Waiting for a resource to be allocated", FLOW_STATUS_REJECTED },
		{ "Flow pending", FLOW_STATUS_PENDING },
		{ "FLOW PROGRAMMED", FLOW_STATUS_PROGRAMMED },
		{ "something new", FLOW_STATUS_UNKNOWN },
		{ "", FLOW_STATUS_UNKNOWN },
	};
	_cleanup_(config_freep) struct config *config = eapi_config("");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(flow_status_classify(config->switches, rows[i].text),
				 rows[i].status);
	_cleanup_(config_freep) struct config *other =
		eapi_config("status-programmed = aktiv status-inactive = \"\"");

	assert_int_equal(flow_status_classify(other->switches, "aktiv"), FLOW_STATUS_PROGRAMMED);
	assert_int_equal(flow_status_classify(other->switches, "not programmed"),
			 FLOW_STATUS_UNKNOWN);
}

/* One flow with this action and match; nobody has published how a nexthop is spelt. */
static struct flow_reading read_one(const char *action, const char *match, const char *status)
{
	_cleanup_(config_freep) struct config *config = eapi_config("");
	_cleanup_(eapi_json_putp) struct json_object *o = NULL;
	struct reading r = { .index.key = { 1, 2 } };
	struct flow_reading f;
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"flows\":[{\"name\":\"" NAME
		 "\",\"matchPackets\":\"5\",\"matchBytes\":367,\"odd\":[{}],"
		 "\"match\":{%s},\"action\":{\"outInterfaces\":[],\"outputDrop\":false%s}},{"
		 "\"name\":\"theirs\"},{\"name\":7},5],"
		 "\"details\":{\"status\":{\"theirs\":\"Flow programmed\"%s}}}",
		 match, action, status);
	o = eapi_json(text);
	assert_true(reading_add_json(&r, config->switches, "fp-1-", o));
	assert_int_equal(r.n, 1);
	assert_in_range(r.foreign, 1, 3);
	f = r.flow[0];
	reading_clear(&r);
	return f;
}

static void test_actions(void **state _unused_)
{
	static const char *const nexthops[] = {
		",\"outputNexthop\":\"34.34.34.4\"",
		",\"nexthop\":[\"34.34.34.4\"]",
		",\"output_next_hop\":{\"ip\":\"34.34.34.4\"}",
		",\"resolvedNexthops\":[{\"nexthopAddr\":\"34.34.34.4\",\"x\":1}]",
		",\"nextHops\":{\"34.34.34.4\":{}}",
	};
	struct ip_addr wanted = eapi_addr("34.34.34.4");
	struct flow_reading f;

	for (size_t i = 0; i < ARRAY_SIZE(nexthops); i++) {
		f = read_one(nexthops[i], "", "");
		assert_true(f.has_nexthop && f.acts && ip_addr_equal(&f.nexthop, &wanted));
	}
	f = read_one("", "", "");
	assert_false(f.has_nexthop || f.acts);
	assert_true(f.has_counters && f.packets == 5 && f.bytes == 367);
	f = read_one(",\"outputNexthop\":7,\"nexthop\":\"nowhere\"", "", "");
	assert_false(f.has_nexthop);
	f = read_one(",\"setDstMac\":\"001c.7300.0001\"", "",
		     ",\"" NAME "\":\"Flow not programmed\"");
	assert_string_equal(f.mac, "00:1c:73:00:00:01");
	assert_int_equal(f.status, FLOW_STATUS_INACTIVE);
}

static void test_matches(void **state _unused_)
{
	static const struct {
		const char *match;
		bool contradicts;
	} rows[] = {
		{ "", false },
		{ "\"ipPortSrc\":30002,\"ipPortDst\":\"80\",\"ipProto\":6,\"ipSrc\":{\"ip\":\"12."
		  "12.12.1\",\"mask\":\"255.255.255.255\"}",
		  false },
		{ "\"ipPortSrc\":30003", true },
		{ "\"ipProto\":17", true },
		{ "\"ipDst\":{\"ip\":\"1.1.1.2\"}", true },
		{ "\"ipDst\":\"1.1.1.1\"", false },
		{ "\"ipDst\":{\"ip\":7}", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(read_one("", rows[i].match, "").contradicts, rows[i].contradicts);
}

static void test_text(void **state _unused_)
{
	static const char text[] =
		"Flow " NAME ":\n  persistent: False\n  match:\n    Ethernet type: IPv4\n    "
			     "source IPv4 address: 12.12.12.1/255.255.255.255\n"
		"  actions:\n    output nexthop: 34.34.34.4\n  source: config\n  matched: 5 "
		"packets, 367 bytes\n"
		"Flow theirs: (Flow programmed)\n  actions:\n    drop\n"
		"Flow fp-1-tcp-12_12_12_1-1-1_1_1_1-80: (Waiting for a resource to be allocated)\n "
		" actions:\n    output nexthop: 192.0.2.1\r\n"
		"Flow fp-1-tcp-12_12_12_1-2-1_1_1_1-80:\n  match:\n    IPv4 protocol: TCP\n  "
		"actions:\n  source: config\n"
		"Flows: 0 programmed, 1 rejected\n";
	_cleanup_(config_freep) struct config *config = eapi_config("");
	struct reading r = { .index.key = { 1, 2 } };
	struct ip_addr wanted = eapi_addr("34.34.34.4");

	assert_true(reading_add_text(&r, config->switches, "fp-1-", text));
	assert_int_equal(r.n, 3);
	assert_int_equal(r.foreign, 1);
	assert_true(r.flow[0].has_nexthop && ip_addr_equal(&r.flow[0].nexthop, &wanted));
	assert_true(r.flow[0].has_counters && r.flow[0].bytes == 367);
	assert_int_equal(r.flow[0].status, FLOW_STATUS_PROGRAMMED);
	assert_int_equal(r.flow[1].status, FLOW_STATUS_REJECTED);
	assert_true(r.flow[1].has_nexthop && r.flow[1].acts);
	assert_true(r.flow[2].in_text && !r.flow[2].acts);
	reading_clear(&r);
	assert_true(reading_add_text(&r, config->switches, "fp-1-", ""));
	assert_int_equal(r.n, 0);
}

/* The model hides a flow that the text shows; what both tell is the model's. */
static void test_both(void **state _unused_)
{
	_cleanup_(config_freep) struct config *config = eapi_config("");
	_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(
		"{\"flows\":[{\"name\":\"" NAME "\",\"matchPackets\":9,\"matchBytes\":9}],"
		"\"details\":{\"status\":{\"" NAME
		"\":\"Flow programmed\"},\"numFlowsProgrammed\":1}}");
	struct reading r = { .index.key = { 1, 2 } };

	assert_true(reading_add_json(&r, config->switches, "fp-1-", o));
	assert_true(reading_add_text(
		&r, config->switches, "fp-1-",
		"Flow " NAME ": (Flow rejected)\n  actions:\n    output nexthop: 34.34.34.4\n"
		"  matched: 5 packets, 367 bytes\nFlow fp-1-tcp-12_12_12_1-1-1_1_1_1-80: (Waiting "
		"for a resource)\n"));
	assert_int_equal(r.n, 2);
	assert_int_equal(r.flow[0].status, FLOW_STATUS_PROGRAMMED);
	assert_int_equal(r.flow[0].packets, 9);
	assert_true(r.flow[0].has_nexthop);
	assert_int_equal(r.flow[1].status, FLOW_STATUS_REJECTED);
	reading_clear(&r);
}

static void test_models_of_something_else(void **state _unused_)
{
	static const char *const texts[] = { "[]", "{\"flows\":{}}", "{\"output\":\"x\"}",
					     "{\"flows\":\"none\"}" };
	_cleanup_(config_freep) struct config *config = eapi_config("");
	struct reading r = { .index.key = { 1, 2 } };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(texts[i]);

		assert_false(reading_add_json(&r, config->switches, "fp-1-", o));
	}
	_cleanup_(eapi_json_putp) struct json_object *empty = eapi_json("{}");

	assert_true(reading_add_json(&r, config->switches, "fp-1-", empty));
	assert_false(reading_add_json(&r, config->switches, "fp-1-", NULL));
	reading_clear(&r);
}

static void test_index(void **state _unused_)
{
	_cleanup_(config_freep) struct config *config = eapi_config("");
	struct reading r = { .index.key = { 3, 4 } };
	char text[64];

	for (uint32_t i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "Flow fp-1-tcp-12_12_12_%u-%u-1_1_1_1-80:\n", i % 250,
			 i);
		assert_true(reading_add_text(&r, config->switches, "fp-1-", text));
	}
	assert_int_equal(r.n, 3000);
	for (uint32_t i = 0; i < 3000; i++) {
		struct tuple t = r.flow[i].tuple;

		assert_ptr_equal(reading_find(&r, &t), &r.flow[i]);
		t.dport = 81;
		assert_null(reading_find(&r, &t));
	}
	reading_clear(&r);
}

static bool rebooted(double boot0, double up0, double boot1, double up1, double elapsed)
{
	struct version_facts a = { .boot = boot0, .uptime = up0 },
			     b = { .boot = boot1, .uptime = up1 };

	return version_rebooted(&a, &b, elapsed);
}

static void test_reboot(void **state _unused_)
{
	/* Nothing happened; NTP moved the clock, by a little and by a lot. */
	assert_false(rebooted(1000, 500, 1000, 505, 5));
	assert_false(rebooted(1000, 500, 1000.4, 505, 5));
	assert_false(rebooted(1000, 500, 9000, 505, 5));
	assert_false(rebooted(9000, 500, 1000, 505, 5));
	/* It was restarted, a moment ago or a day. */
	assert_true(rebooted(1000, 500, 1600, 10, 100));
	assert_true(rebooted(1000, 500, 2000, 86000, 87000));
	/* One of both is not told. */
	assert_true(rebooted(-1, 500, -1, 10, 100));
	assert_true(rebooted(1000, -1, 1600, -1, 100));
	assert_false(rebooted(1000, -1, 1001, -1, 100));
	assert_false(rebooted(-1, -1, -1, -1, 100));
}

static void test_version(void **state _unused_)
{
	_cleanup_(eapi_json_putp) struct json_object *o =
		eapi_json("{\"version\":\"4.27.2F\",\"modelName\":\"DCS\\u0007\",\"uptime\":\"77."
			  "5\",\"bootupTimestamp\":1553846321}");
	_cleanup_(eapi_json_putp) struct json_object *other = eapi_json("{\"hello\":1}");
	struct version_facts f;

	assert_true(version_read(o, &f));
	assert_string_equal(f.model, "DCS?");
	assert_true(f.uptime == 77.5 && f.boot == 1553846321);
	assert_false(version_read(other, &f));
}

static void test_tcam(void **state _unused_)
{
	uint32_t used = 0, more = 0;

	assert_true(tcam_read("Switch0\nTCAM group 9 uses 20 entries and can use up to 1 more.\n  "
			      "ACL uses 20 entries.\n"
			      "TCAM group 14 uses 8 entries and can use up to 1528 more.\n  L3 "
			      "uses 2 entries.\n  DirectFlow uses 6 entries.\n",
			      &used, &more));
	assert_int_equal(used, 8);
	assert_int_equal(more, 1528);
	assert_true(tcam_read("TCAM group 11 uses 6 entries and can use up to 506 more.\n  "
			      "OpenFlow uses 6 entries.\n",
			      &used, &more));
	assert_int_equal(more, 506);
	assert_false(tcam_read(
		"TCAM group 9 uses 20 entries and can use up to 1 more.\n  ACL uses 20 entries.\n",
		&used, &more));
	assert_false(tcam_read("DirectFlow uses 6 entries.\n", &used, &more));
	assert_false(tcam_read("", &used, &more));
}

static void test_path(void **state _unused_)
{
	static const struct {
		const char *json;
		int r;
		const char *name;
	} rows[] = {
		{ "{\"outputIntf\":\"Ethernet43\"}", 0, "Ethernet43" },
		{ "{\"outputIntf\":\"Et43/1\"}", 0, "Ethernet43/1" },
		{ "{\"outputIntf\":[\"Po1\"]}", 0, "Port-Channel1" },
		{ "{\"output\":\"Output Interface: Vlan10\\n\"}", 0, "Vlan10" },
		{ "{\"outputIntf\":\"\"}", -ENODATA, NULL },
		{ "{\"output\":\"Unable to determine\\n\"}", -ENODATA, NULL },
		{ "{\"outputIntf\":\"UNABLE\"}", -ENODATA, NULL },
		{ "{}", -EBADMSG, NULL },
		{ "{\"outputIntf\":5}", -EBADMSG, NULL },
	};
	_cleanup_(config_freep) struct config *config = eapi_config("");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(rows[i].json);
		char name[64];

		assert_int_equal(path_read(config->switches, o, name), rows[i].r);
		if (rows[i].name)
			assert_string_equal(name, rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),	cmocka_unit_test(test_actions),
		cmocka_unit_test(test_matches), cmocka_unit_test(test_text),
		cmocka_unit_test(test_both),	cmocka_unit_test(test_models_of_something_else),
		cmocka_unit_test(test_index),	cmocka_unit_test(test_reboot),
		cmocka_unit_test(test_version), cmocka_unit_test(test_tcam),
		cmocka_unit_test(test_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
