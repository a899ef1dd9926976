// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "eapi/lookup.h"
#include "eapi_fixture.h"

#define A "23.23.23.3"
#define B "34.34.34.4"
#define VIAS_BOTH                                                                                  \
	"{\"interface\":\"Ethernet42\",\"nexthopAddr\":\"" A                                       \
	"\"},{\"interface\":\"Ethernet43\",\"nexthopAddr\":\"" B "\"}"
#define VIAS_A "{\"interface\":\"Ethernet42\",\"nexthopAddr\":\"" A "\"}"
#define ROUTE(vias)                                                                                \
	"{\"vrfs\":{\"default\":{\"routes\":{\"0.0.0.0/0\":{\"vias\":[]},\"1.1.1.1/"               \
	"32\":{\"vias\":[" vias "]}}}}}"
#define PATH(name) "{\"outputIntf\":\"" name "\"}"

static void test_names(void **state _unused_)
{
	static const char *const rows[][2] = {
		{ "Et43", "Ethernet43" },
		{ "ethernet3/1", "Ethernet3/1" },
		{ "Po1", "Port-Channel1" },
		{ "Vl10", "Vlan10" },
		{ "port-channel7", "Port-Channel7" },
		{ "Management1", "Management1" },
		{ "x\n1", "x?1" },
		{ "E1", "E1" },
		{ "Etx", "Etx" },
		{ "", "" },
	};
	char buf[INTERFACE_NAME];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(interface_normalize(rows[i][0], buf), rows[i][1]);
	assert_int_equal(interface_vlan("Vlan10"), 10);
	assert_int_equal(interface_vlan("Vlan5000"), 0);
	assert_int_equal(interface_vlan("Ethernet10"), 0);
}

static void read_surroundings(struct topology *t)
{
	_cleanup_(eapi_json_putp) struct json_object *arp = eapi_json(
		"{\"ipV4Neighbors\":[{\"address\":\"" A
		"\",\"hwAddress\":\"0000.0000.0003\",\"interface\":\"Vlan10\",\"age\":0},"
		"{\"address\":\"" B
		"\",\"hwAddress\":\"00:00:00:00:00:04\",\"interface\":\"Vlan10, Ethernet11\"},"
		"{\"address\":\"5.5.5.5\",\"hwAddress\":\"0000.0000.0005\",\"interface\":\"Vlan10, "
		"not learned\"},"
		"{\"address\":\"bad\",\"hwAddress\":\"0000.0000.0005\",\"interface\":\"Vlan10\"},7]"
		"}");
	_cleanup_(eapi_json_putp) struct json_object *macs =
		eapi_json("{\"unicastTable\":{\"tableEntries\":[{\"macAddress\":\"00:00:00:00:00:"
			  "03\",\"vlanId\":\"10\",\"interface\":\"Port-Channel1\"},"
			  "{\"macAddress\":\"00:00:00:00:00:03\",\"vlanId\":11,\"interface\":"
			  "\"Ethernet9\"}]}}");
	_cleanup_(eapi_json_putp) struct json_object *ports =
		eapi_json("{\"interfaceStatuses\":{\"Ethernet10\":{\"linkStatus\":\"connected\","
			  "\"vlanInformation\":{\"vlanExplanation\":\"in Po1\"}},"
			  "\"Ethernet11\":{\"linkStatus\":\"notconnect\"},\"Port-Channel1\":{"
			  "\"linkStatus\":\"connected\"}}}");

	assert_true(topology_read_neighbours(t, AF_INET, arp));
	assert_true(topology_read_macs(t, macs));
	assert_true(topology_read_ports(t, ports));
}

static void test_topology(void **state _unused_)
{
	struct topology t = { 0 };
	struct ip_addr a = eapi_addr(A), b = eapi_addr(B), c = eapi_addr("5.5.5.5"),
		       unknown = eapi_addr("9.9.9.9");
	_cleanup_(eapi_json_putp) struct json_object *empty =
		eapi_json("{\"vrfs\":{\"default\":{\"ipV4Neighbors\":[]}}}");
	_cleanup_(eapi_json_putp) struct json_object *other = eapi_json("{\"x\":1}");

	read_surroundings(&t);
	assert_string_equal(topology_place(&t, topology_neighbour(&t, &a)), "Port-Channel1");
	assert_string_equal(topology_place(&t, topology_neighbour(&t, &b)), "Ethernet11");
	assert_null(topology_place(&t, topology_neighbour(&t, &c)));
	assert_null(topology_neighbour(&t, &unknown));
	assert_string_equal(topology_port(&t, "Ethernet10")->channel, "Port-Channel1");
	assert_ptr_equal(
		topology_neighbour_by_mac(&t, AF_INET, "00:00:00:00:00:03", "Port-Channel1"),
		topology_neighbour(&t, &a));
	assert_null(topology_neighbour_by_mac(&t, AF_INET, "00:00:00:00:00:03", "Ethernet9"));
	assert_false(topology_read_neighbours(&t, AF_INET, other));
	assert_false(topology_read_macs(&t, other) || topology_read_ports(&t, other));
	assert_non_null(topology_neighbour(&t, &a));
	assert_true(topology_read_neighbours(&t, AF_INET, empty));
	assert_null(topology_neighbour(&t, &a));
	topology_clear(&t);
}

static void test_map(void **state _unused_)
{
	struct via vias[] = { { eapi_addr(A), "Vlan10", 0 }, { eapi_addr(B), "Vlan10", 0 } };
	struct vias r = { vias, 2 };
	struct topology t = { 0 };
	struct ip_addr a = eapi_addr(A), b = eapi_addr(B), found;

	read_surroundings(&t);
	assert_int_equal(lookup_map(&r, &t, "Vlan10", &found), -ENOTUNIQ);
	assert_int_equal(lookup_map(&r, &t, "Ethernet11", &found), 0);
	assert_true(ip_addr_equal(&found, &b));
	assert_int_equal(lookup_map(&r, &t, "Ethernet10", &found),
			 0); /* a member of the port-channel */
	assert_true(ip_addr_equal(&found, &a));
	assert_int_equal(lookup_map(&r, &t, "Port-Channel1", &found), 0);
	assert_int_equal(lookup_map(&r, &t, "Ethernet12", &found), -ENOENT);
	topology_clear(&t);
}

struct world {
	struct config *config;
	struct watch watch;
	struct topology topology;
	struct lookup *l;
	struct commands c;
	uint64_t now; /* of answers: after the flows were seen, at 5000 */
};

static void setup(struct world *w, const char *more, const char *known, uint64_t now)
{
	*w = (struct world){ .config = eapi_config(more), .now = 5500 };
	assert_int_equal(watch_init(&w->watch, &w->config->services), 0);
	if (known) {
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(known);

		assert_true(watch_read(&w->watch.list[0], "default", o, now));
	}
	assert_int_equal(lookup_new(w->config->switches, &w->watch, &w->topology, 7, &w->l), 0);
	for (uint16_t i = 0; i < 3; i++) {
		struct tuple t =
			eapi_tuple("12.12.12.1", (uint16_t)(30000 + i), "1.1.1.1", 80, IPPROTO_TCP);

		assert_true(lookup_add(w->l, &t, 5000));
	}
}

static void teardown(struct world *w)
{
	lookup_free(w->l);
	watch_clear(&w->watch);
	commands_free(&w->c);
	config_free(w->config);
}

static void ask(struct world *w, bool text, const char *const *commands, size_t n)
{
	bool is_text = !text;

	assert_true(lookup_next(w->l, &w->c, &is_text));
	assert_int_equal(is_text, text);
	for (size_t i = 0; i < n && i < w->c.n; i++)
		if (!strstr(commands_get(&w->c, i), commands[i]))
			fail_msg("command %zu is %s, not %s", i, commands_get(&w->c, i),
				 commands[i]);
	assert_int_equal(w->c.n, n);
}

static void answer(struct world *w, enum rpc_outcome outcome, size_t at, int code,
		   const char *results)
{
	_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(results);
	struct rpc_answer a = { .outcome = outcome,
				.failed_at = at,
				.code = code,
				.results = o,
				.message = "refused" };

	lookup_answer(w->l, &a, w->now);
}

static void expect(struct world *w, size_t i, const char *nexthop, const char *why)
{
	char text[IP_ADDR_TEXT];

	assert_true(w->l->flow[i].done);
	assert_string_equal(ip_addr_format(&w->l->flow[i].nexthop, text), nexthop);
	if (!strstr(w->l->flow[i].why, why))
		fail_msg("why: %s", w->l->flow[i].why);
}

static const char *const in_one[] = {
	"enable", "show ip route 1.1.1.1", "src-l4-port 30000 dst-l4-port 80", "30001",
	"30002",  "show ip route 1.1.1.1"
};

static void test_paths(void **state _unused_)
{
	struct world w;
	bool text;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	assert_string_equal(
		commands_get(&w.c, 2),
		"show load-balance destination ip ingress-interface Ethernet47 src-ipv4-address "
		"12.12.12.1 dst-ipv4-address 1.1.1.1 ip-protocol 6 src-l4-port 30000 dst-l4-port "
		"80");
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("Et42") "," PATH(
		       "Ethernet9") "," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 1, A, "");
	expect(&w, 2, "", "chose Ethernet9");
	assert_false(lookup_next(w.l, &w.c, &text));
	teardown(&w);
}

static void test_single(void **state _unused_)
{
	static const char *const commands[] = { "enable", "show ip route 1.1.1.1" };
	struct world w;

	setup(&w, "", ROUTE(VIAS_A), 1000);
	ask(&w, false, commands, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_A) "]");
	expect(&w, 0, A, "");
	expect(&w, 2, A, "");
	teardown(&w);
	/* It was known to be single and is not: the paths are asked for, but the flows began under
	 * another route. */
	setup(&w, "", ROUTE(VIAS_A), 1000);
	ask(&w, false, commands, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, "", "when the flow began");
	teardown(&w);
}

static void test_route_changes(void **state _unused_)
{
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("Et42") "," PATH(
		       "Et42") "," ROUTE(VIAS_A) "]");
	for (size_t i = 0; i < 3; i++)
		expect(&w, i, "", "changed while");
	teardown(&w);
	/* Both in the request are alike, and another one than when the flow was seen. */
	setup(&w, "", ROUTE(VIAS_A), 1000);
	{
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(ROUTE(VIAS_BOTH));

		assert_true(watch_read(&w.watch.list[0], "default", o, 6000));
	}
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	w.l->flow[2].seen_ms = 7000;
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("Et42") "," PATH(
		       "Et42") "," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, "", "when the flow began");
	expect(&w, 2, A, "");
	teardown(&w);
}

static void test_refused(void **state _unused_)
{
	static const char *const rest[] = { "enable", "show ip route", "30000", "30002",
					    "show ip route" };
	struct world w;
	bool text;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	answer(&w, RPC_FAILED, 3, 1000, "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") ",{}]");
	expect(&w, 1, "", "refused");
	ask(&w, false, rest, ARRAY_SIZE(rest)); /* without the culprit, from the beginning */
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("") "," ROUTE(
		       VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 2, "", "cannot tell");
	teardown(&w);
	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_next(w.l, &w.c, &text));
	answer(&w, RPC_FAILED, 0, 1002, "[{}]"); /* enable */
	expect(&w, 0, "", "refused");
	teardown(&w);
	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_next(w.l, &w.c, &text));
	answer(&w, RPC_FAILED, 1, 1002, "[{},{}]"); /* the route */
	expect(&w, 2, "", "refuses to show the route");
	assert_false(lookup_next(w.l, &w.c, &text));
	teardown(&w);
}

static void test_text(void **state _unused_)
{
	static const char *const before[] = { "enable", "show ip route 1.1.1.1" };
	static const char *const paths[] = { "enable", "30000", "30001", "30002" };
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	answer(&w, RPC_FAILED, 2, 1003, "[{}," ROUTE(VIAS_BOTH) ",{}]");
	assert_true(w.l->by_text);
	ask(&w, false, before, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	ask(&w, true, paths, 4);
	answer(&w, RPC_OK, 0, 0,
	       "[{},{\"output\":\"Output Interface: "
	       "Ethernet43\\n\"},{\"output\":\"Unable\"},{\"output\":\"Output Interface: Et42\"}]");
	ask(&w, false, before, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 1, "", "cannot tell");
	expect(&w, 2, A, "");
	teardown(&w);
}

static void test_ingress(void **state _unused_)
{
	static const char *const first[] = { "enable", "show ip route 1.1.1.1",
					     "show ip route 12.12.12.1", "show ip route 13.0.0.2",
					     "show ip route 13.0.0.3" };
	struct tuple more[] = {
		eapi_tuple("13.0.0.2", 30003, "1.1.1.1", 80, IPPROTO_TCP),
		eapi_tuple("13.0.0.2", 30004, "1.1.1.1", 80, IPPROTO_TCP),
		eapi_tuple("13.0.0.3", 30005, "1.1.1.1", 80, IPPROTO_TCP),
	};
	struct world w;
	char text[SWITCH_LINE] = "";
	bool is_text;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		assert_true(lookup_add(w.l, &more[i], 5000));
	for (size_t i = 0; i < w.l->n; i++)
		w.l->flow[i].ingress[0] = '\0'; /* as without ingress-interface */
	/* Each source once, however many flows it has. */
	ask(&w, false, first, ARRAY_SIZE(first));
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) ",{\"routes\":{\"12.12.12.0/"
				       "24\":{\"vias\":[{\"interface\":\"Et7\"}]}}},"
				       "{\"routes\":{}},{\"routes\":{\"0.0.0.0/"
				       "0\":{\"vias\":[{\"interface\":\"Et7\"},{\"interface\":"
				       "\"Et8\"}]}}}]");
	expect(&w, 3, "", "no route to its source");
	expect(&w, 4, "", "no route to its source");
	expect(&w, 5, "", "several interfaces lead");
	assert_true(lookup_next(w.l, &w.c, &is_text));
	for (size_t i = 2; i < 5; i++) {
		snprintf(text, sizeof(text), "%s", commands_get(&w.c, i));
		assert_non_null(strstr(text, "ingress-interface Ethernet7 "));
	}
	assert_int_equal(w.c.n, 6);
	teardown(&w);
}

/* A refused way back concerns those that wait for it, not what else comes from that source. */
static void test_ingress_refused(void **state _unused_)
{
	static const char *const first[] = { "enable", "show ip route 1.1.1.1",
					     "show ip route 9.9.9.9", "show ip route 12.12.12.1" };
	struct tuple other = eapi_tuple("12.12.12.1", 30003, "9.9.9.9", 80, IPPROTO_TCP);
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_add(w.l, &other, 5000));
	for (size_t i = 0; i < w.l->n; i++)
		w.l->flow[i].ingress[0] = '\0';
	ask(&w, false, first, ARRAY_SIZE(first));
	answer(&w, RPC_FAILED, 3, 1002,
	       "[{}," ROUTE(VIAS_BOTH) ",{\"routes\":{\"0.0.0.0/0\":{\"vias\":[" VIAS_A "]}}}]");
	for (size_t i = 0; i < 3; i++)
		expect(&w, i, "", "refuses to show the route to its source");
	expect(&w, 3, "", "had not been read before");
	teardown(&w);
}

static void test_bounded(void **state _unused_)
{
	struct world w;
	bool text;
	int n = 0;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	while (lookup_next(w.l, &w.c, &text) && n++ < 1000)
		answer(&w, RPC_OK, 0, 0, "[{},{},{},{},{},{}]");
	assert_in_range(n, 1, 50);
	teardown(&w);
	setup(&w, "lookup = no", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_next(w.l, &w.c, &text));
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, "", "lookup = no");
	teardown(&w);
}

static bool alive(const struct watch *w, const char *address)
{
	struct ip_addr a = eapi_addr(address);

	for (size_t i = 0; i < w->n_nexthops; i++)
		if (ip_addr_equal(&w->nexthop[i].addr, &a))
			return w->nexthop[i].alive;
	fail_msg("%s is not told", address);
	return false;
}

static void test_alive(void **state _unused_)
{
	struct ip_addr a = eapi_addr(A), other = eapi_addr("5.5.5.5");
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	watch_nexthops_begin(&w.watch);
	watch_nexthops_end(&w.watch, &w.topology);
	assert_true(alive(&w.watch, A) &&
		    alive(&w.watch, B)); /* nothing was read: nothing is known */
	read_surroundings(&w.topology);
	watch_nexthops_begin(&w.watch);
	watch_nexthops_add(&w.watch, &other);
	watch_nexthops_end(&w.watch, &w.topology);
	assert_true(alive(&w.watch, A));
	assert_false(alive(&w.watch, B));	 /* its port is down */
	assert_true(alive(&w.watch, "5.5.5.5")); /* nobody knows its port */
	assert_true(watch_names(&w.watch, 0, &a));
	assert_false(watch_names(&w.watch, 0, &other));
	{
		_cleanup_(eapi_json_putp) struct json_object *none =
			eapi_json("{\"ipV4Neighbors\":[]}");

		assert_true(topology_read_neighbours(&w.topology, AF_INET, none));
	}
	watch_nexthops_begin(&w.watch);
	watch_nexthops_end(&w.watch, &w.topology);
	assert_int_equal(w.watch.n_nexthops, 2);
	assert_false(alive(&w.watch, A));
	topology_clear(&w.topology);
	teardown(&w);
}

static void test_broken(void **state _unused_)
{
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	answer(&w, RPC_FAILED, 3, 1000, "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") ",{}]");
	expect(&w, 1, "", "refused");
	lookup_break(w.l, "it timed out");
	expect(&w, 0, "", "timed out");
	assert_true(w.l->flow[0].again && w.l->flow[2].again);
	assert_false(w.l->flow[1].again); /* that one had its answer */
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	cmocka_unit_test(test_topology),
		cmocka_unit_test(test_map),	cmocka_unit_test(test_paths),
		cmocka_unit_test(test_single),	cmocka_unit_test(test_route_changes),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_text),
		cmocka_unit_test(test_ingress), cmocka_unit_test(test_ingress_refused),
		cmocka_unit_test(test_bounded), cmocka_unit_test(test_alive),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
