// SPDX-License-Identifier: GPL-2.0-or-later
/* Ids, adoption, refused drains, the queue of changes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/registry_fixture.h"

static size_t changes_drop(struct registry *r)
{
	struct binding_change c;
	size_t n = 0;

	while (registry_change_take(r, &c))
		n++;
	return n;
}

static void gone(struct registry *r, const struct service *s, unsigned n, uint8_t id)
{
	unname(r, s, n, NOW);
	registry_retire(r, id, NOW);
	assert_null(registry_binding(r, id));
}

static void test_ids_in_order(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);

	(void)state;
	for (int i = 1; i <= 15; i++)
		assert_int_equal(name(r, &WEB, (unsigned)i), i);
	assert_int_equal(name(r, &WEB, 7), 7);
	gone(r, &WEB, 9, 9);
	gone(r, &WEB, 4, 4);
	/* All were used: the one longest free, not the lowest. */
	assert_int_equal(name(r, &WEB, 100), 9);
	assert_int_equal(name(r, &WEB, 101), 4);
}

static void test_never_used_comes_first(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct ip_addr a = addr(50);

	(void)state;
	assert_int_equal(name(r, &WEB, 1), 1);
	gone(r, &WEB, 1, 1);
	assert_int_equal(registry_adopt(r, &WEB, &a, 1, "eth1", &IPV4, 2, NOW), 0);
	registry_retire(r, 2, NOW);
	assert_int_equal(name(r, &WEB, 3), 3);
}

static void test_ids_exhausted(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	const struct unpinned *u;
	size_t n;

	(void)state;
	for (unsigned i = 1; i <= 15; i++)
		assert_int_equal(name(r, &WEB, i), i);
	assert_int_equal(name(r, &WEB, 16), -ENOSPC);
	assert_int_equal(name(r, &WEB, 16), -ENOSPC);
	assert_int_equal(name(r, &DNS, 17), -ENOSPC);
	u = registry_unpinned(r, &n);
	assert_int_equal(n, 2);
	assert_string_equal(u[0].service, "web");
	assert_string_equal(u[0].nexthop.ifname, "eth1");
	assert_int_equal(u[0].nexthop.addr.bytes[3], 16);
	assert_int_equal(u[0].ifindex, 1);

	unname(r, &DNS, 17, NOW);
	registry_unpinned(r, &n);
	assert_int_equal(n, 1);
	/* Withdrawn is not gone: its flows still carry the id. */
	unname(r, &WEB, 5, NOW);
	assert_int_equal(name(r, &WEB, 16), -ENOSPC);
	registry_retire(r, 5, NOW);
	assert_int_equal(name(r, &WEB, 16), 5);
	registry_unpinned(r, &n);
	assert_int_equal(n, 0);
	assert_int_equal(name(r, &WEB, 5), -ENOSPC);
	registry_service_remove(r, "web", NOW);
	registry_unpinned(r, &n);
	assert_int_equal(n, 0);
}

static void test_fixed_ids(void **state)
{
	static const uint8_t fixed[] = { 1, 3 }, fewer[] = { 3 };
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	size_t n;

	(void)state;
	registry_reserve(r, fixed, ARRAY_SIZE(fixed));
	assert_int_equal(name(r, &WEB, 10), 2);
	assert_int_equal(name(r, &WEB, 11), 4);
	assert_int_equal(name_fixed(r, &WEB, 12, 3), 3);
	assert_true(registry_binding(r, 3)->fixed);
	assert_false(registry_binding(r, 2)->fixed);
	assert_int_equal(name_fixed(r, &WEB, 13, 3), -EEXIST);
	assert_int_equal(name_fixed(r, &WEB, 14, 16), -ERANGE);
	registry_unpinned(r, &n);
	assert_int_equal(n, 2);
	/* One that stands keeps its id. */
	assert_int_equal(name_fixed(r, &WEB, 10, 1), 2);
	assert_false(registry_binding(r, 2)->fixed);
	registry_reserve(r, fewer, ARRAY_SIZE(fewer));
	assert_int_equal(name(r, &WEB, 15), 1);
}

static void test_adoption(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct ip_addr a = addr(1), b = addr(2);

	(void)state;
	assert_int_equal(registry_adopt(r, &DNS, &a, 1, "eth1", &IPV4, 7, NOW), 0);
	assert_int_equal(registry_adopt(r, &DNS, &b, 1, "eth1", &IPV4, 7, NOW), -EEXIST);
	assert_int_equal(registry_adopt(r, &DNS, &a, 1, "eth1", &IPV4, 8, NOW), -EEXIST);
	assert_int_equal(registry_adopt(r, &DNS, &b, 1, "eth1", &IPV4, 16, NOW), -ERANGE);
	assert_int_equal(registry_adopt(r, &DNS, &b, 1, "eth1", &IPV4, 0, NOW), -ERANGE);
	assert_int_equal(registry_adopt(r, &DNS, &b, 1, "eth1", &IPV4, 8, NOW), 0);
	assert_int_equal(registry_binding(r, 7)->state, BINDING_DRAINING);
	assert_int_equal(registry_binding(r, 7)->reason, REASON_ADOPTED);
	/* While the routes are being read one after the other, on-withdraw = release does not
	 * strike the next one. */
	assert_int_equal(name(r, &DNS, 2), 8);
	assert_int_equal(registry_binding(r, 8)->state, BINDING_ACTIVE);
	assert_int_equal(registry_binding(r, 8)->adopted_ms, 0);
	assert_int_equal(registry_binding(r, 7)->state, BINDING_DRAINING);
	assert_int_equal(registry_tick(r, NOW), 10000);
	assert_int_equal(registry_tick(r, NOW + 9999), 1);
	assert_int_equal(registry_binding(r, 7)->state, BINDING_DRAINING);
	assert_int_equal(registry_tick(r, NOW + 10000), UINT64_MAX);
	assert_int_equal(registry_binding(r, 7)->state, BINDING_DEAD);
	assert_int_equal(registry_binding(r, 7)->reason, REASON_WITHDRAWN);
	assert_int_equal(name(r, &DNS, 1), 7);
	assert_int_equal(registry_binding(r, 7)->state, BINDING_ACTIVE);
}

static void test_adopted_and_known_to_be_withdrawn(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct ip_addr a = addr(1);

	(void)state;
	assert_int_equal(registry_adopt(r, &DNS, &a, 1, "eth1", &IPV4, 7, NOW), 0);
	assert_int_equal(name(r, &DNS, 2), 1);
	unname(r, &DNS, 1, NOW);
	assert_int_equal(registry_binding(r, 7)->state, BINDING_DEAD);
}

/* A drain kept from before a restart is put on the adopted binding, before any route names it. */
static void test_adopted_and_drained(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct ip_addr a = addr(1);

	(void)state;
	assert_int_equal(registry_adopt(r, &WEB, &a, 1, "eth1", &IPV4, 7, NOW), 0);
	assert_int_equal(registry_drain(r, 7, &INTENT, NOW, NULL), 0);
	assert_int_equal(name(r, &WEB, 1), 7);
	assert_int_equal(registry_binding(r, 7)->state, BINDING_DRAINING);
	assert_int_equal(registry_binding(r, 7)->reason, REASON_DRAIN);
}

static void test_drain_is_refused(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(name(r, &WEB, 2), 1);
	assert_int_equal(name(r, &DNS, 3), 2);
	assert_int_equal(registry_drain(r, 1, &INTENT, NOW, &e), -EBUSY);
	assert_string_equal(e.text, "10.1.0.2%eth1 is the last active nexthop of service web: "
				    "draining it would leave none "
				    "for new connections");
	assert_false(registry_binding(r, 1)->drained);
	assert_int_equal(registry_drain(r, 9, &INTENT, NOW, &e), -ENOENT);
	assert_string_equal(e.text, "no nexthop has the id 9");

	assert_int_equal(name(r, &WEB, 4), 3);
	assert_int_equal(registry_drain(r, 1, &INTENT, NOW, &e), 0);
	assert_int_equal(registry_binding(r, 1)->drain_since_s, 10);
	assert_int_equal(registry_binding(r, 1)->drain_deadline_s, 20);
	assert_int_equal(registry_binding(r, 1)->drain_release_s, 30);
	assert_int_equal(registry_binding(r, 1)->drain_uid, 1000);
	assert_int_equal(registry_drain(r, 3, &INTENT, NOW, &e), -EBUSY);
	/* One without a route takes nothing away; a new deadline for one that is drained is no new
	 * drain. */
	unname(r, &WEB, 4, NOW);
	assert_int_equal(registry_drain(r, 3, &INTENT, NOW, &e), 0);
	assert_int_equal(registry_drain(r, 1, &INTENT, NOW, &e), 0);
	registry_undrain(r, 1, NOW);
	assert_int_equal(registry_binding(r, 1)->drain_since_s, 0);
	assert_int_equal(registry_binding(r, 1)->state, BINDING_ACTIVE);
	registry_release(r, 1, NOW);
	registry_undrain(r, 3, NOW);
	assert_int_equal(registry_drain(r, 1, &INTENT, NOW, &e), -EBUSY);
	assert_string_equal(e.text, "service web has no active nexthop: draining 10.1.0.2%eth1, "
				    "which is dead, would leave "
				    "none for new connections");
}

/* A nexthop of the other family is no help: IPv4 connections cannot go there. */
static void test_families_stand_alone(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(15);
	struct nexthop_attributes ipv6 = { .families = 2 };
	struct ip_addr gateway = { .family = AF_INET6, .bytes = { 0xfd, [15] = 2 } },
		       ipv4 = addr(2);
	struct err e = { 0 };
	uint8_t id;

	(void)state;
	assert_int_equal(name(r, &WEB, 2), 1);
	assert_int_equal(registry_name(r, &WEB, &gateway, 1, "eth1", &ipv6, 0, NOW, &id), 0);
	assert_int_equal(registry_drain(r, 1, &INTENT, NOW, &e), -EBUSY);
	assert_string_equal(e.text, "10.1.0.2%eth1 is the last active IPv4 nexthop of service web: "
				    "draining it would leave "
				    "none for new connections");
	/* The IPv6 one is proved alive, and still no reason to let go of all IPv4 flows. */
	registry_observe(r, &ipv4, 1, NEXTHOP_PROBED, NOW + 1);
	registry_observe(r, &ipv4, 1, NEXTHOP_NO_ANSWER, NOW + 3100);
	registry_observe(r, &gateway, 1, NEXTHOP_CONFIRMED, NOW + 3101);
	registry_tick(r, NOW + 3200);
	assert_int_equal(registry_binding(r, 1)->state, BINDING_UNREACHABLE);
	assert_int_equal(registry_binding(r, id)->state, BINDING_ACTIVE);
}

static void test_changes(void **state)
{
	static const struct {
		enum binding_state from, to;
		enum binding_reason reason;
		uint32_t flows;
	} expected[] = {
		{ BINDING_FREE, BINDING_ACTIVE, REASON_ROUTE, 0 },
		{ BINDING_ACTIVE, BINDING_DRAINING, REASON_WITHDRAWN, 5 },
		{ BINDING_DRAINING, BINDING_DEAD, REASON_RELEASE, 5 },
		{ BINDING_DEAD, BINDING_GONE, REASON_EMPTY, 0 },
		{ BINDING_FREE, BINDING_ACTIVE, REASON_ROUTE, 0 },
		{ BINDING_ACTIVE, BINDING_GONE, REASON_SERVICE, 2 },
	};
	_cleanup_(registry_freep) struct registry *r = new_registry(1);
	struct binding_change c = { 0 };

	(void)state;
	name(r, &WEB, 2);
	registry_flow_count(r, 1, 5, NOW);
	unname(r, &WEB, 2, NOW);
	registry_release(r, 1, NOW);
	registry_retire(r, 1, NOW); /* not with flows */
	registry_flow_count(r, 1, -5, NOW);
	registry_retire(r, 1, NOW);
	name(r, &WEB, 2);
	registry_retire(r, 1, NOW); /* not while a route names it */
	registry_flow_count(r, 1, 2, NOW);
	registry_service_remove(r, "web", NOW);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(registry_change_take(r, &c));
		assert_int_equal(c.id, 1);
		assert_int_equal(c.from, expected[i].from);
		assert_int_equal(c.to, expected[i].to);
		assert_int_equal(c.reason, expected[i].reason);
		assert_int_equal(c.flows, expected[i].flows);
		assert_string_equal(c.service, "web");
		assert_string_equal(c.nexthop.ifname, "eth1");
		assert_int_equal(c.nexthop.addr.bytes[3], 2);
	}
	assert_false(registry_change_take(r, &c));
}

/* Nobody takes the changes: the first ones and the present state of each binding are still there.
 */
static void test_changes_fold(void **state)
{
	_cleanup_(registry_freep) struct registry *r = new_registry(255);
	enum binding_state last[256] = { BINDING_FREE };
	struct binding_change c;
	size_t n = 0;

	(void)state;
	for (unsigned i = 1; i <= 255; i++)
		name(r, &WEB, i);
	for (int round = 0; round < 22; round++)
		for (unsigned i = 1; i <= 255; i++)
			if (round % 2)
				name(r, &WEB, i);
			else
				unname(r, &WEB, i, NOW);
	while (registry_change_take(r, &c)) {
		assert_int_equal(c.from, last[c.id]);
		last[c.id] = c.to;
		n++;
	}
	assert_int_equal(n, 8 * 255);
	for (unsigned i = 1; i <= 255; i++)
		assert_int_equal(last[i], BINDING_ACTIVE);
	unname(r, &WEB, 1, NOW);
	assert_int_equal(changes_drop(r), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_in_order),
		cmocka_unit_test(test_never_used_comes_first),
		cmocka_unit_test(test_ids_exhausted),
		cmocka_unit_test(test_fixed_ids),
		cmocka_unit_test(test_adoption),
		cmocka_unit_test(test_adopted_and_known_to_be_withdrawn),
		cmocka_unit_test(test_adopted_and_drained),
		cmocka_unit_test(test_drain_is_refused),
		cmocka_unit_test(test_families_stand_alone),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_changes_fold),
	};

	return cmocka_run_group_tests_name("registry: ids and wishes", tests, NULL, NULL);
}
