// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "eapi/ingress.h"
#include "eapi/topology.h"
#include "eapi/watch.h"
#include "eapi_fixture.h"

#define A "23.23.23.3"
#define B "34.34.34.4"
#define ROUTE_BOTH                                                                                 \
	"{\"vrfs\":{\"default\":{\"routes\":{\"1.1.1.1/"                                           \
	"32\":{\"vias\":[{\"interface\":\"Ethernet42\",\"nexthopAddr\":\"" A                       \
	"\"},{\"interface\":\"Ethernet43\",\"nexthopAddr\":\"" B "\"}]}}}}}"

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
	assert_int_equal(topology_route_nexthop(&t, &r, "Vlan10", &found), -ENOTUNIQ);
	assert_int_equal(topology_route_nexthop(&t, &r, "Ethernet11", &found), 0);
	assert_true(ip_addr_equal(&found, &b));
	assert_int_equal(topology_route_nexthop(&t, &r, "Ethernet10", &found),
			 0); /* a member of the port-channel */
	assert_true(ip_addr_equal(&found, &a));
	assert_int_equal(topology_route_nexthop(&t, &r, "Port-Channel1", &found), 0);
	assert_int_equal(topology_route_nexthop(&t, &r, "Ethernet12", &found), -ENOENT);
	topology_clear(&t);
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
	struct config *config = eapi_config("");
	struct topology t = { 0 };
	struct watch w = { 0 };
	_cleanup_(eapi_json_putp) struct json_object *route = eapi_json(ROUTE_BOTH);

	assert_int_equal(watch_init(&w, &config->services), 0);
	assert_true(watch_read(&w.list[0], "default", route, 1000));
	watch_nexthops_begin(&w);
	watch_nexthops_end(&w, &t);
	assert_true(alive(&w, A) && alive(&w, B)); /* nothing was read: nothing is known */
	read_surroundings(&t);
	watch_nexthops_begin(&w);
	watch_nexthops_add(&w, &other);
	watch_nexthops_end(&w, &t);
	assert_true(alive(&w, A));
	assert_false(alive(&w, B));	   /* its port is down */
	assert_true(alive(&w, "5.5.5.5")); /* nobody knows its port */
	assert_true(watch_names(&w, 0, &a));
	assert_false(watch_names(&w, 0, &other));
	{
		_cleanup_(eapi_json_putp) struct json_object *none =
			eapi_json("{\"ipV4Neighbors\":[]}");

		assert_true(topology_read_neighbours(&t, AF_INET, none));
	}
	watch_nexthops_begin(&w);
	watch_nexthops_end(&w, &t);
	assert_int_equal(w.n_nexthops, 2);
	assert_false(alive(&w, A));
	topology_clear(&t);
	watch_clear(&w);
	config_free(config);
}

static void test_ingress_networks(void **state _unused_)
{
	struct ip_prefix wide = { eapi_addr("12.0.0.0"), 8 },
			 narrow = { eapi_addr("12.12.12.0"), 24 };
	struct ip_addr inside = eapi_addr("12.12.12.9"), other = eapi_addr("13.0.0.1"),
		       six = eapi_addr("fd00::1");
	struct ingress g = { 0 };

	assert_null(ingress_guess(&g, &inside));
	ingress_note(&g, &wide, "Ethernet8");
	ingress_note(&g, &narrow, "Ethernet7");
	assert_string_equal(ingress_guess(&g, &inside), "Ethernet7");
	assert_null(ingress_guess(&g, &other));
	assert_null(ingress_guess(&g, &six));
	ingress_note(&g, &narrow, "Ethernet9");
	assert_string_equal(ingress_guess(&g, &inside), "Ethernet9");
	/* The oldest gives way, were it in use. */
	for (unsigned i = 0; i < INGRESS_NETWORKS - 1; i++) {
		struct ip_prefix p = { eapi_addr("13.0.0.0"), (uint8_t)(9 + i % 24) };

		p.addr.bytes[1] = (uint8_t)i;
		ingress_note(&g, &p, "Ethernet1");
	}
	assert_int_equal(g.n, INGRESS_NETWORKS);
	assert_string_equal(ingress_guess(&g, &inside), "Ethernet9");
	inside = eapi_addr("12.1.1.1");
	assert_null(ingress_guess(&g, &inside));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_alive),
		cmocka_unit_test(test_ingress_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
