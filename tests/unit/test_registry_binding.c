// SPDX-License-Identifier: GPL-2.0-or-later
/* What is kept of bindings and nexthops, and what the kernel is told of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/registry_fixture.h"

static void test_flow_count_and_quiet(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	const struct binding *b;
	uint8_t cursor = 0;

	(void)state;
	name(r, &WEB, 1);
	name(r, &WEB, 2);
	name(r, &WEB, 3);
	b = registry_binding(r, 1);
	assert_int_equal(b->quiet_ms, NOW);
	assert_int_equal(registry_quiet_next(r, &cursor), 0); /* active ones are not asked for */
	registry_flow_count(r, 1, 2, NOW + 1);
	registry_flow_count(r, 1, -1, NOW + 2);
	assert_int_equal(b->quiet_ms, 0);
	registry_flow_count(r, 1, -1, NOW + 3);
	assert_int_equal(b->quiet_ms, NOW + 3);
	registry_flow_count(r, 1, -1, NOW + 4); /* one too many */
	assert_int_equal(b->flows, 0);
	assert_int_equal(b->quiet_ms, NOW + 3);
	registry_flow_count(r, 99, 1, NOW);
	assert_null(registry_binding(r, 99));

	unname(r, &WEB, 1, NOW + 100);
	assert_int_equal(b->quiet_ms, NOW + 100);
	registry_flow_count(r, 2, 1, NOW + 100);
	unname(r, &WEB, 2, NOW + 100);
	unname(r, &WEB, 3, NOW + 100);
	registry_release(r, 3, NOW + 100);
	cursor = 0;
	assert_int_equal(registry_quiet_next(r, &cursor), 1);
	assert_int_equal(registry_quiet_next(r, &cursor), 3);
	assert_int_equal(registry_quiet_next(r, &cursor), 0);
}

static void test_what_the_kernel_is_told(void **state)
{
	static const struct {
		bool named, drained, released, blind;
		enum binding_state state;
		bool carries, fresh, off;
	} table[] = {
		{ true, false, false, false, BINDING_ACTIVE, true, true, false },
		{ true, false, false, true, BINDING_ACTIVE, false, false, false },
		{ true, false, true, false, BINDING_ACTIVE, true, false, false },
		{ true, true, false, false, BINDING_DRAINING, true, false, true },
		{ false, false, false, false, BINDING_DRAINING, true, false, false },
		{ false, true, false, false, BINDING_DRAINING, true, false, false },
		{ true, false, false, false, BINDING_DEAD, false, false, true },
		{ true, true, false, false, BINDING_DEAD, false, false, true },
		{ true, false, true, false, BINDING_DEAD, false, false, true },
		{ false, false, false, false, BINDING_DEAD, false, false, false },
		{ true, false, false, false, BINDING_UNREACHABLE, true, true, false },
		{ true, true, false, false, BINDING_UNREACHABLE, true, false, false },
		{ true, false, false, true, BINDING_UNREACHABLE, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct binding b = { .named = table[i].named,
				     .drained = table[i].drained,
				     .released = table[i].released,
				     .blind = table[i].blind,
				     .state = table[i].state };

		assert_int_equal(binding_carries(&b), table[i].carries);
		assert_int_equal(binding_fresh(&b), table[i].fresh);
		assert_int_equal(binding_off(&b), table[i].off);
	}
}

static uint8_t name_as(struct registry *r, const char *gateway, uint32_t ifindex, uint8_t families)
{
	struct nexthop_attributes a = { .families = families };
	struct ip_addr g = { 0 };
	uint8_t id = 0;

	if (*gateway)
		assert_int_equal(ip_addr_parse(gateway, &g), 0);
	assert_int_equal(registry_name(r, &WEB, &g, ifindex, "eth", &a, 0, NOW, &id), 0);
	return id;
}

static void test_by_link_and_blind(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct ip_addr second;
	uint8_t v4 = name_as(r, "10.1.0.1", 1, 1), v6 = name_as(r, "fe80::1", 1, 2);
	uint8_t via = name_as(r, "fe80::2", 1, 1), other, on_link = name_as(r, "", 2, 1);

	(void)state;
	assert_false(registry_binding(r, v4)->by_link);
	assert_false(registry_binding(r, v6)->by_link);
	assert_true(registry_binding(r, via)->by_link);
	assert_true(registry_binding(r, on_link)->by_link);
	assert_true(binding_learns_by_link(registry_binding(r, via)));
	assert_false(binding_learns_by_link(registry_binding(r, v6)));

	other = name_as(r, "fe80::3", 1, 3);
	assert_true(registry_binding(r, via)->blind);
	assert_true(registry_binding(r, other)->blind);
	assert_false(registry_binding(r, v6)->blind);
	assert_false(registry_binding(r, on_link)->blind);
	assert_false(binding_learns_by_link(registry_binding(r, via)));

	/* No new flow goes to one without a route: the interface is the other's alone, and its own
	 * flows stay pinned. */
	assert_int_equal(ip_addr_parse("fe80::3", &second), 0);
	registry_unname(r, "web", &second, 1, NOW);
	assert_true(binding_learns_by_link(registry_binding(r, via)));
	assert_true(binding_carries(registry_binding(r, other)));
	assert_false(binding_learns_by_link(registry_binding(r, other)));
	/* Its routes of IPv4 went away: what is left can be named. */
	assert_int_equal(name_as(r, "fe80::3", 1, 2), other);
	assert_false(registry_binding(r, via)->blind);
}

static void test_services_share_a_nexthop(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	const struct nexthop *nh;
	size_t cursor = 0, n = 0;

	(void)state;
	assert_int_equal(name(r, &WEB, 1), 1);
	assert_int_equal(name(r, &DNS, 1), 2);
	assert_int_equal(name(r, &WEB, 2), 3);
	assert_int_equal(name(r, &DNS, 2), 4);
	while ((nh = registry_nexthop_next(r, &cursor)))
		n++;
	assert_int_equal(n, 2);
	/* Withdrawn from one it stays active in the other; dead, it is so in both. */
	unname(r, &DNS, 1, NOW);
	assert_int_equal(registry_binding(r, 2)->state, BINDING_DEAD);
	assert_int_equal(registry_binding(r, 1)->state, BINDING_ACTIVE);
	assert_int_equal(name(r, &DNS, 1), 2);
	observe(r, 1, NEXTHOP_PROBED, NOW + 1000);
	observe(r, 2, NEXTHOP_CONFIRMED, NOW + 3900);
	observe(r, 1, NEXTHOP_NO_ANSWER, NOW + 4000);
	assert_int_equal(registry_binding(r, 1)->state, BINDING_DEAD);
	assert_int_equal(registry_binding(r, 2)->state, BINDING_DEAD);
	assert_int_equal(registry_binding(r, 1)->nexthop->health, HEALTH_FAILED);
	/* Taken out of one service, the nexthop and what is known of it stay. */
	registry_service_remove(r, "web", NOW);
	assert_null(registry_binding(r, 1));
	assert_int_equal(registry_binding(r, 2)->state, BINDING_DEAD);
	assert_int_equal(registry_binding(r, 2)->nexthop->bindings, 1);
	assert_null(registry_find(r, "web", &registry_binding(r, 2)->nexthop->gateway, 1));
	registry_service_remove(r, "dns", NOW);
	cursor = 0;
	assert_null(registry_nexthop_next(r, &cursor));
}

static void test_new_nexthop_behind_a_dead_link(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);

	(void)state;
	name(r, &WEB, 1);
	registry_observe(r, NULL, 1, NEXTHOP_LINK_DOWN, NOW);
	assert_int_equal(name(r, &WEB, 2), 2);
	assert_false(registry_binding(r, 2)->nexthop->link_up);
	assert_int_equal(registry_tick(r, NOW), 1000);
	registry_tick(r, NOW + 1000);
	assert_int_equal(registry_binding(r, 2)->state, BINDING_UNREACHABLE);
	/* Of nexthops that nobody refers to nothing is heard. */
	observe(r, 77, NEXTHOP_NO_ANSWER, NOW);
	registry_observe(r, NULL, 9, NEXTHOP_LINK_DOWN, NOW);
}

/* A link that has been down for long enough is noticed whatever comes next, also for a service that
 * it says nothing about. */
static void test_link_found_by_foreign_event(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct ip_addr b = addr(2), c = addr(3);
	uint8_t id = 0;

	(void)state;
	assert_int_equal(name(r, &WEB, 1), 1);
	assert_int_equal(registry_name(r, &WEB, &b, 2, "eth2", &IPV4, 0, NOW, &id), 0);
	assert_int_equal(registry_name(r, &DNS, &c, 3, "eth3", &IPV4, 0, NOW, &id), 0);
	registry_observe(r, NULL, 1, NEXTHOP_LINK_DOWN, NOW);
	registry_observe(r, &c, 3, NEXTHOP_PROBED, NOW + 1500);
	assert_int_equal(registry_binding(r, 1)->state, BINDING_DEAD);
	assert_int_equal(registry_binding(r, 1)->reason, REASON_LINK);
}

static void test_health(void **state)
{
	static const struct {
		enum nexthop_event event;
		enum nexthop_health health;
		uint64_t fault_ms, failed_ms;
		uint32_t rounds;
	} table[] = {
		/* each one second after the one before, beginning at NOW + 1000 */
		{ NEXTHOP_CONFIRMED, HEALTH_ALIVE, 0, 0, 0 },
		{ NEXTHOP_PROBED, HEALTH_SUSPECT, NOW + 2000, 0, 0 },
		{ NEXTHOP_PROBED, HEALTH_SUSPECT, NOW + 2000, 0, 0 },
		{ NEXTHOP_CONFIRMED, HEALTH_ALIVE, 0, 0, 0 },
		{ NEXTHOP_PROBED, HEALTH_SUSPECT, NOW + 5000, 0, 0 },
		{ NEXTHOP_NO_ANSWER, HEALTH_FAILED, NOW + 5000, NOW + 6000, 3 },
		{ NEXTHOP_PROBED, HEALTH_FAILED, NOW + 5000, NOW + 6000, 3 },
		{ NEXTHOP_NO_ANSWER, HEALTH_FAILED, NOW + 5000, NOW + 6000, 4 },
		{ NEXTHOP_LINK_DOWN, HEALTH_FAILED, NOW + 5000, NOW + 6000, 4 },
		{ NEXTHOP_LINK_UP, HEALTH_FAILED, NOW + 5000, NOW + 6000,
		  4 }, /* its neighbour had failed on its own */
		{ NEXTHOP_CONFIRMED, HEALTH_ALIVE, 0, 0, 0 },
		{ NEXTHOP_LINK_DOWN, HEALTH_ALIVE, NOW + 12000, 0, 0 }, /* carrier-hold */
		{ NEXTHOP_LINK_DOWN, HEALTH_FAILED, NOW + 12000, NOW + 13000, 0 },
		{ NEXTHOP_CONFIRMED, HEALTH_FAILED, NOW + 12000, NOW + 13000, 0 }, /* late */
		{ NEXTHOP_LINK_UP, HEALTH_UNKNOWN, 0, 0, 0 },
		{ NEXTHOP_NO_ANSWER, HEALTH_FAILED, NOW + 16000, NOW + 16000, 3 },
	};
	_cleanup_(registry_freep) struct registry *r = new_registry(15);

	(void)state;
	assert_int_equal(name(r, &WEB, 1), 1);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct nexthop *nh = registry_binding(r, 1)->nexthop;

		observe(r, 1, table[i].event, NOW + 1000 * (i + 1));
		assert_int_equal(nh->health, table[i].health);
		assert_int_equal(nh->fault_ms, table[i].fault_ms);
		assert_int_equal(nh->failed_ms, table[i].failed_ms);
		assert_int_equal(nh->rounds, table[i].rounds);
	}
}

static void test_version(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct nexthop_attributes a = IPV4;
	struct ip_addr g = addr(1);
	uint64_t before;
	uint8_t id;

	(void)state;
	name(r, &WEB, 1);
	name(r, &WEB, 2);
	before = registry_version(r);
	name(r, &WEB, 1);
	observe(r, 1, NEXTHOP_PROBED, NOW);
	observe(r, 1, NEXTHOP_CONFIRMED, NOW);
	registry_tick(r, NOW);
	registry_flow_count(r, 1, 1, NOW);
	assert_int_equal(registry_version(r), before);
	a.mtu = 1400;
	assert_int_equal(registry_name(r, &WEB, &g, 1, "eth1", &a, 0, NOW, &id), 0);
	assert_true(registry_version(r) > before);
	before = registry_version(r);
	registry_observe(r, NULL, 1, NEXTHOP_LINK_DOWN, NOW);
	assert_true(registry_version(r) > before);
	before = registry_version(r);
	registry_observe(r, NULL, 1, NEXTHOP_LINK_DOWN, NOW);
	assert_int_equal(registry_version(r), before);
	assert_int_equal(registry_drain(r, 1, &INTENT, NOW, NULL), 0);
	assert_true(registry_version(r) > before);
}

static void test_names(void **state)
{
	(void)state;
	for (int s = BINDING_FREE; s <= BINDING_GONE; s++)
		assert_non_null(binding_state_name((enum binding_state)s));
	for (int i = REASON_ROUTE; i <= REASON_SERVICE; i++)
		assert_non_null(binding_reason_text((enum binding_reason)i));
	assert_string_equal(binding_state_name(BINDING_UNREACHABLE), "unreachable");
	assert_null(registry_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_count_and_quiet),
		cmocka_unit_test(test_what_the_kernel_is_told),
		cmocka_unit_test(test_by_link_and_blind),
		cmocka_unit_test(test_services_share_a_nexthop),
		cmocka_unit_test(test_new_nexthop_behind_a_dead_link),
		cmocka_unit_test(test_link_found_by_foreign_event),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("registry: bindings and nexthops", tests, NULL, NULL);
}
