// SPDX-License-Identifier: GPL-2.0-or-later
/* The life of a binding as tables of transitions. Ids, adoption and counters are in
 * test_registry_ids.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "unit/registry_scenarios.h"

#define BEGIN_MS 1000000 /* what a step calls 0 */

static const struct registry_limits LIMITS = {
	.max_id = 255,
	.dead_after = 3,
	.outage_window_ms = 5000,
	.outage_hold_ms = 30000,
	.carrier_hold_ms = 1000,
	.probe_interval_ms = 1000,
};

struct stage {
	struct registry *registry;
	const struct scenario *scenario;
	struct service service;
	uint8_t ids[8];
};

static struct ip_addr gateway_of(const struct stage *s, size_t i)
{
	struct ip_addr a = { .family = AF_INET, .bytes = { 10, 1, 0, (uint8_t)(i + 1) } };

	if (s->scenario->on_link)
		return (struct ip_addr){ 0 };
	return a;
}

static void step_play(struct stage *s, const struct step *step, size_t i)
{
	static const enum nexthop_event events[] = {
		[PROBED] = NEXTHOP_PROBED,
		[SILENT] = NEXTHOP_NO_ANSWER,
		[DOWN] = NEXTHOP_LINK_DOWN,
		[UP] = NEXTHOP_LINK_UP,
	};
	static const struct nexthop_attributes attributes = { .families = 1 };
	static const struct drain_intent intent = { .since_s = 1 };
	struct ip_addr gateway = gateway_of(s, i);
	uint32_t ifindex = (uint32_t)(s->scenario->interfaces[i] - '0');
	uint64_t now_ms = BEGIN_MS + step->ms;
	char ifname[16];

	snprintf(ifname, sizeof(ifname), "eth%u", ifindex);
	switch (step->op) {
	case NAME:
		assert_int_equal(registry_name(s->registry, &s->service, &gateway, ifindex, ifname,
					       &attributes, 0, now_ms, &s->ids[i]),
				 0);
		return;
	case UNNAME:
		registry_unname(s->registry, s->service.name, &gateway, ifindex, now_ms);
		return;
	case ANSWER:
		registry_observe(s->registry, &gateway, ifindex, NEXTHOP_PROBED, now_ms);
		registry_observe(s->registry, &gateway, ifindex, NEXTHOP_CONFIRMED, now_ms);
		return;
	case DOWN:
	case UP:
		registry_observe(s->registry, NULL, ifindex, events[step->op], now_ms);
		return;
	case PROBED:
	case SILENT:
		registry_observe(s->registry, &gateway, ifindex, events[step->op], now_ms);
		return;
	case TICK:
		registry_tick(s->registry, now_ms);
		return;
	case DRAIN:
		assert_int_equal(registry_drain(s->registry, s->ids[i], &intent, now_ms, NULL), 0);
		return;
	case UNDRAIN:
		registry_undrain(s->registry, s->ids[i], now_ms);
		return;
	case RELEASE:
		registry_release(s->registry, s->ids[i], now_ms);
		return;
	}
}

static void step_check(const struct stage *s, const struct step *step)
{
	static const char letters[] = { [BINDING_FREE] = '-',
					[BINDING_ACTIVE] = 'a',
					[BINDING_DRAINING] = 'd',
					[BINDING_DEAD] = 'x',
					[BINDING_UNREACHABLE] = 'u' };
	const struct binding *first = registry_binding(s->registry, s->ids[step->who[0] - 'A']);
	char states[9] = "";

	for (size_t i = 0; s->scenario->interfaces[i]; i++) {
		const struct binding *b = registry_binding(s->registry, s->ids[i]);

		states[i] = b ? letters[b->state] : '-';
	}
	if (strcmp(states, step->states) != 0 || first->reason != step->reason) {
		print_error("%s: after %s at %u ms: %s, %s\n", s->scenario->title, step->who,
			    step->ms, states, binding_reason_text(first->reason));
		assert_string_equal(states, step->states);
		assert_int_equal(first->reason, step->reason);
	}
}

static void scenario_play(const struct scenario *scenario)
{
	_cleanup_(registry_freep) struct registry *r = NULL;
	struct registry_limits limits = LIMITS;
	struct stage s = { .scenario = scenario,
			   .service = { .name = "web", .on_withdraw = scenario->on_withdraw } };

	if (scenario->dead_after)
		limits.dead_after = scenario->dead_after;
	assert_int_equal(registry_new(&limits, &r), 0);
	s.registry = r;
	for (const struct step *step = scenario->steps; step->who; step++) {
		for (const char *who = step->who; *who; who++)
			step_play(&s, step, (size_t)(*who - 'A'));
		step_check(&s, step);
	}
}

static void play_all(const struct scenario *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		scenario_play(&list[i]);
}

static void test_routes_and_wishes(void **state)
{
	(void)state;
	play_all(routes_and_wishes, ARRAY_SIZE(routes_and_wishes));
}

static void test_deaths(void **state)
{
	(void)state;
	play_all(deaths, ARRAY_SIZE(deaths));
}

static void test_outages(void **state)
{
	(void)state;
	play_all(outages, ARRAY_SIZE(outages));
}

/* When the registry wants to be asked again. */
static void test_wake_up(void **state)
{
	static const struct scenario scenario = { .title = "wake-up", .interfaces = "111" };
	static const struct {
		struct step step;
		uint64_t tick_at, wait; /* what registry_tick() at this time must return */
	} table[] = {
		{ { 0, NAME, "ABC", "aaa", REASON_ROUTE }, 0, UINT64_MAX },
		{ { 100, ANSWER, "ABC", "aaa", REASON_ROUTE }, 100, UINT64_MAX },
		{ { 1000, DOWN, "A", "aaa", REASON_ROUTE }, 1300, 700 },
		{ { 1500, UP, "A", "aaa", REASON_ROUTE }, 1500, UINT64_MAX },
		{ { 2000, PROBED, "ABC", "aaa", REASON_ROUTE }, 2000, UINT64_MAX },
		{ { 5000, SILENT, "A", "aaa", REASON_ROUTE },
		  5000,
		  4001 }, /* fault + window + slack */
		{ { 5010, SILENT, "B", "uua", REASON_OUTAGE }, 6000, 3001 },
		{ { 10000, SILENT, "C", "uuu", REASON_OUTAGE }, 10000, 22000 }, /* fault + hold */
		{ { 32000, TICK, "A", "uuu", REASON_OUTAGE },
		  32000,
		  UINT64_MAX }, /* somebody must answer first */
		{ { 33000, ANSWER, "A", "axx", REASON_ROUTE }, 33000, UINT64_MAX },
	};
	_cleanup_(registry_freep) struct registry *r = NULL;
	struct stage s = { .scenario = &scenario, .service = { .name = "web" } };

	(void)state;
	assert_int_equal(registry_new(&LIMITS, &r), 0);
	s.registry = r;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		for (const char *who = table[i].step.who; *who; who++)
			step_play(&s, &table[i].step, (size_t)(*who - 'A'));
		step_check(&s, &table[i].step);
		assert_int_equal(registry_tick(r, BEGIN_MS + table[i].tick_at), table[i].wait);
	}
}

/* What must hold after any input, whatever came before. */
static void invariants_check(struct registry *r, enum binding_state *last)
{
	struct binding_change c;
	const struct binding *b;
	uint8_t cursor = 0;

	while (registry_change_take(r, &c)) {
		assert_int_equal(c.from, last[c.id]);
		assert_int_not_equal(c.from, c.to);
		last[c.id] = c.to == BINDING_GONE ? BINDING_FREE : c.to;
	}
	while ((b = registry_binding_next(r, &cursor))) {
		const struct nexthop *nh = b->nexthop;
		bool well = nh->health == HEALTH_ALIVE && nh->link_up;

		assert_int_equal(last[b->id], b->state);
		if (b->released)
			assert_int_equal(b->state, BINDING_DEAD);
		else if (b->named && well)
			assert_int_equal(b->state, b->drained ? BINDING_DRAINING : BINDING_ACTIVE);
		if (b->state == BINDING_ACTIVE)
			assert_true(b->named && !b->drained);
		if (b->state == BINDING_UNREACHABLE)
			assert_true(b->outage_ms != 0);
		assert_false(binding_fresh(b) && binding_off(b));
	}
}

/* One random thing happens to one of eight nexthops behind three interfaces. */
static void random_step(struct registry *r, uint64_t x, uint64_t now_ms)
{
	static const struct drain_intent intent = { .since_s = 1 };
	static const struct nexthop_attributes attributes = { .families = 1 };
	static const struct service services[] = {
		{ .name = "web" },
		{ .name = "dns", .on_withdraw = SERVICE_RELEASE },
	};
	const struct service *s = &services[(x >> 8) % 2];
	uint8_t n = (uint8_t)((x >> 16) % 8), id = (uint8_t)(1 + (x >> 24) % 16);
	struct ip_addr g = { .family = AF_INET, .bytes = { 10, 1, 0, n } };
	uint32_t ifindex = 1 + n % 3;

	switch (x % 16) {
	case 0:
	case 1:
		assert_int_equal(
			registry_name(r, s, &g, ifindex, "eth", &attributes, 0, now_ms, &id), 0);
		return;
	case 2:
		registry_unname(r, s->name, &g, ifindex, now_ms);
		return;
	case 3:
		if (registry_drain(r, id, &intent, now_ms, NULL) < 0)
			registry_undrain(r, id, now_ms);
		return;
	case 4:
		registry_undrain(r, id, now_ms);
		return;
	case 5:
		registry_release(r, id, now_ms);
		return;
	case 6:
		registry_observe(r, NULL, ifindex,
				 x & 1 << 30 ? NEXTHOP_LINK_DOWN : NEXTHOP_LINK_UP, now_ms);
		return;
	case 7:
		registry_retire(r, id, now_ms);
		return;
	default: /* half of it all is liveness */
		registry_observe(r, &g, ifindex, (enum nexthop_event)((x >> 32) % 5), now_ms);
		return;
	}
}

static void test_random_lives(void **state)
{
	_cleanup_(registry_freep) struct registry *r = NULL;
	enum binding_state last[256] = { BINDING_FREE };
	uint64_t now_ms = BEGIN_MS, x = 88172645463325252ULL;

	(void)state;
	assert_int_equal(registry_new(&LIMITS, &r), 0);
	for (int i = 0; i < 200000; i++) {
		uint64_t wait, spins = 0;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		random_step(r, x >> 3, now_ms);
		invariants_check(r, last);
		now_ms += x % 700;
		/* Asked at the times that it names itself, it comes to rest. */
		if (i % 50 == 0)
			while ((wait = registry_tick(r, now_ms)) != UINT64_MAX) {
				assert_true(++spins < 100);
				now_ms += wait;
			}
		invariants_check(r, last);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes_and_wishes), cmocka_unit_test(test_deaths),
		cmocka_unit_test(test_outages),           cmocka_unit_test(test_wake_up),
		cmocka_unit_test(test_random_lives),
	};

	return cmocka_run_group_tests_name("registry: life cycle", tests, NULL, NULL);
}
