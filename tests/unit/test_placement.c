// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit/placement_fixture.h"

/* Which flows are offered, known and chosen. */

static void test_refuses(void **state)
{
	static const struct placement_options bad[] = {
		{ .max_flows = 0, .max_candidates = 10, .weight6 = 1 },
		{ .max_flows = 11, .max_candidates = 10, .weight6 = 1 },
		{ .max_flows = 1, .max_candidates = 10, .weight6 = 0 },
		{ .max_flows = 1, .max_candidates = 10, .weight6 = 17 },
		{ .max_flows = 1, .max_candidates = (1u << 24) + 1, .weight6 = 1 },
		{ .max_flows = 1, .max_candidates = 10, .weight6 = 1, .hysteresis = 1001 },
	};
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(0), no_hop = { 0 };
	struct tuple none = { 0 }, t = flow_number(1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(placement_new(&bad[i], SEED, &p), -EINVAL);
	assert_null(p);
	assert_null(placement_free(NULL));
	p = placement_made(&o);
	assert_int_equal(placement_options_set(p, &bad[2], 0), -EINVAL);
	assert_int_equal(placement_offer(p, &none, &f, 0), -EINVAL);
	assert_int_equal(placement_offer(p, &t, &no_hop, 0), -EINVAL);
	assert_int_equal(placement_account(p, &t, 5, 0), -ENOENT);
	placement_withdraw(p, &t, PLACEMENT_ENDED, 0);
	assert_int_equal(numbers_of(p).candidates, 0);
}

static void test_names(void **state)
{
	static const struct {
		const char *text;
		enum placement_class class;
	} texts[] = {
		{ NULL, PLACEMENT_CLASS_NONE },
		{ "", PLACEMENT_CLASS_NONE },
		{ "Flow rejected due to insufficient resources", PLACEMENT_CLASS_FULL },
		{ "Waiting for a resource to be allocated", PLACEMENT_CLASS_FULL },
		{ "HARDWARE TABLE FULL", PLACEMENT_CLASS_FULL },
		{ "Unavailable command (not supported on this hardware platform)",
		  PLACEMENT_CLASS_UNSUPPORTED },
		{ "unsupported timeouts set", PLACEMENT_CLASS_UNSUPPORTED },
		{ "nexthop unresolved", PLACEMENT_CLASS_UNRESOLVED },
		{ "Flow not programmed", PLACEMENT_CLASS_OTHER },
	};
	enum placement_policy policy = PLACEMENT_POLICY_NONE;
	enum placement_state s = PLACEMENT_STATE_UNKNOWN;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(placement_class_of(texts[i].text), texts[i].class);
	assert_int_equal(placement_policy_parse("heavy", &policy), 0);
	assert_int_equal(policy, PLACEMENT_POLICY_HEAVY);
	assert_string_equal(placement_policy_name(policy), "heavy");
	assert_int_equal(placement_policy_parse("most", &policy), -EINVAL);
	assert_int_equal(placement_state_parse("rejected", &s), 0);
	assert_int_equal(s, PLACEMENT_STATE_REJECTED);
	assert_int_equal(placement_state_parse("unknown", &s), -EINVAL);
	for (int r = 0; r < PLACEMENT_REASON_COUNT; r++)
		assert_non_null(placement_reason_name((enum placement_reason)r));
	assert_string_equal(placement_reason_name(PLACEMENT_SERVICE_REMOVED), "service-removed");
	assert_string_equal(placement_kind_name(PLACEMENT_CHANGE), "change");
}

/* What each policy does with the same six flows, at once and when time has passed. */
static void test_policies(void **state)
{
	enum { PLAIN, REPLIED, MIRRORED, NATTED, DRAINING, DYING, FLOWS };
	static const struct placement_facts facts[FLOWS] = {
		[PLAIN] = { .learned_ms = 1000 },
		[REPLIED] = { .learned_ms = 1000, .replied = true },
		[MIRRORED] = { .learned_ms = 1000, .mirrored = true },
		[NATTED] = { .learned_ms = 1000, .replied = true, .nat = true, .draining = true },
		[DRAINING] = { .learned_ms = 1000, .replied = true, .draining = true },
		[DYING] = { .learned_ms = 1000, .replied = true, .dead = true },
	};
	static const struct {
		enum placement_policy policy;
		bool soon[FLOWS], later[FLOWS];
	} cases[] = {
		{ PLACEMENT_POLICY_NONE, { 0 }, { 0 } },
		{ PLACEMENT_POLICY_ALL, { 1, 1, 1, 0, 1, 0 }, { 1, 1, 1, 0, 1, 0 } },
		{ PLACEMENT_POLICY_ESTABLISHED, { 0, 1, 0, 0, 1, 0 }, { 0, 1, 1, 0, 1, 0 } },
		{ PLACEMENT_POLICY_HEAVY, { 0, 0, 0, 0, 1, 0 }, { 0, 0, 0, 0, 1, 0 } },
		{ PLACEMENT_POLICY_DRAINING, { 0, 0, 0, 0, 1, 0 }, { 0, 0, 0, 0, 1, 0 } },
	};

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		struct placement_options o = options_of(cases[c].policy, 100);
		_cleanup_(placement_freep) struct placement *p = placement_made(&o);
		uint64_t wait;

		for (uint32_t i = 0; i < FLOWS; i++) {
			struct placement_facts f = facts[i];

			f.nexthop = hop_number(1);
			offer(p, flow_number(i), &f, 1000);
		}
		wait = placement_settle(p, 1000);
		for (uint32_t i = 0; i < FLOWS; i++)
			assert_int_equal(is_in(p, flow_number(i)), cases[c].soon[i]);
		/* min-age is waited for, and nothing else. */
		assert_int_equal(wait, cases[c].policy == PLACEMENT_POLICY_ESTABLISHED
					       ? 5 * SECOND
					       : UINT64_MAX);
		placement_settle(p, 1000 + 5 * SECOND - 1);
		for (uint32_t i = 0; i < FLOWS; i++)
			assert_int_equal(is_in(p, flow_number(i)), cases[c].soon[i]);
		placement_settle(p, 1000 + 5 * SECOND + 100);
		for (uint32_t i = 0; i < FLOWS; i++)
			assert_int_equal(is_in(p, flow_number(i)), cases[c].later[i]);
	}
}

static void test_facts_change(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ESTABLISHED, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts f = facts_of(0);
	struct tuple t = flow_number(1);
	struct placement_view v;

	(void)state;
	placement_attach(p);
	tell_all(p, 0);
	f.replied = false;
	assert_int_equal(placement_offer(p, &t, &f, 0), 1);
	assert_int_equal(tell_all(p, 0), 0);
	f.replied = true;
	assert_int_equal(placement_offer(p, &t, &f, 0), 0);
	assert_int_equal(tell_all(p, 0), 1);
	/* The same facts again change nothing. */
	offer(p, t, &f, 0);
	assert_int_equal(tell_all(p, 0), 0);
	/* Its binding dies: it goes, and stays known. */
	f.dead = true;
	offer(p, t, &f, 0);
	v = view_of(p, t);
	assert_false(v.present);
	assert_int_equal(v.reason, PLACEMENT_DEAD);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_DEAD], 1);
	assert_int_equal(tell_all(p, 0), 1);
	f.dead = false;
	offer(p, t, &f, 0);
	assert_int_equal(tell_all(p, 0), 1);
	assert_true(is_in(p, t));
	/* It turns out to be translated. */
	f.nat = true;
	offer(p, t, &f, 0);
	assert_int_equal(tell_all(p, 0), 1);
	assert_false(is_in(p, t));
	assert_int_equal(numbers_of(p).removed[PLACEMENT_EVICTED], 1);
	/* It moves: a new version with another nexthop. */
	f.nat = false;
	offer(p, t, &f, 0);
	tell_all(p, 0);
	v = view_of(p, t);
	f.nexthop = hop_number(2);
	offer(p, t, &f, 0);
	assert_true(view_of(p, t).version > v.version);
	assert_true(is_in(p, t));
	assert_int_equal(view_of(p, t).reason, PLACEMENT_MOVED);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_MOVED], 1);
	assert_int_equal(numbers_of(p).conflicts, 0);
}

/* One 5-tuple that several zones know. */
static void test_zones(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts f = facts_of(100), other = facts_of(200);
	struct tuple gateway = flow_number(1), mirror = gateway, third = gateway;

	(void)state;
	mirror.zone = 101;
	third.zone = 102;
	other.nexthop = hop_number(2);
	offer(p, gateway, &f, 100);
	offer(p, mirror, &f, 100);
	assert_int_equal(numbers_of(p).candidates, 1);
	assert_int_equal(view_of(p, mirror).n_zones, 2);
	assert_int_equal(view_of(p, mirror).tuple.zone, 0);
	placement_settle(p, 100);
	/* Younger, and elsewhere: the older one stays. It is counted once however often it is told.
	 */
	for (int i = 0; i < 3; i++)
		assert_int_equal(placement_offer(p, &third, &other, 200), -EEXIST);
	assert_int_equal(numbers_of(p).conflicts, 1);
	assert_true(view_of(p, gateway).conflict);
	assert_int_equal(view_of(p, gateway).nexthop.bytes[3], 1);
	/* A zone that is not among those that know it ends nothing. */
	placement_withdraw(p, &third, PLACEMENT_ENDED, 200);
	placement_withdraw(p, &gateway, PLACEMENT_ENDED, 200);
	assert_true(is_in(p, gateway));
	placement_withdraw(p, &mirror, PLACEMENT_ENDED, 200);
	assert_int_equal(numbers_of(p).candidates, 0);
	/* Older than what stands: it takes over. */
	offer(p, mirror, &other, 300);
	placement_settle(p, 300);
	offer(p, gateway, &f, 300);
	assert_int_equal(view_of(p, gateway).nexthop.bytes[3], 1);
	assert_int_equal(view_of(p, gateway).n_zones, 1);
	assert_true(is_in(p, gateway));
	assert_int_equal(numbers_of(p).conflicts, 2);
	/* Of two that know it one says that it went elsewhere: the other one's word stands. */
	offer(p, mirror, &f, 300);
	assert_int_equal(placement_offer(p, &mirror, &other, 300), -EEXIST);
	assert_int_equal(view_of(p, gateway).n_zones, 1);
	/* Dead is dead for all. */
	offer(p, mirror, &f, 300);
	placement_withdraw(p, &gateway, PLACEMENT_DEAD, 300);
	assert_int_equal(numbers_of(p).candidates, 0);
	for (uint16_t zone = 0; zone < 8; zone++) {
		gateway.zone = zone;
		offer(p, gateway, &f, 400);
	}
	gateway.zone = 8;
	assert_int_equal(placement_offer(p, &gateway, &f, 400), -ENOSPC);
}

/* It is shown for as long as the zone that disagrees does. */
static void test_zones_agree(void **state)
{
	static const struct {
		bool ends, agrees, moves;
	} ways[] = { { .ends = true }, { .agrees = true }, { .moves = true } };
	struct tuple gateway = flow_number(1), mirror = gateway, third = gateway;

	(void)state;
	mirror.zone = 101;
	third.zone = 102;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
		_cleanup_(placement_freep) struct placement *p = placement_made(&o);
		struct placement_facts f = facts_of(100), other = facts_of(200);

		other.nexthop = hop_number(2);
		offer(p, gateway, &f, 100);
		assert_int_equal(placement_offer(p, &mirror, &other, 200), -EEXIST);
		placement_withdraw(p, &third, PLACEMENT_ENDED, 300);
		offer(p, third, &f, 300);
		assert_true(view_of(p, gateway).conflict);
		placement_withdraw(p, &third, PLACEMENT_ENDED, 300);
		assert_true(view_of(p, gateway).conflict);
		if (ways[i].ends)
			placement_withdraw(p, &mirror, PLACEMENT_ENDED, 400);
		if (ways[i].agrees)
			offer(p, mirror, &f, 400);
		if (ways[i].moves)
			offer(p, gateway, &other, 400);
		assert_false(view_of(p, gateway).conflict);
		assert_int_equal(numbers_of(p).conflicts, 1);
	}
}

static void test_room(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(0);
	struct tuple t;

	(void)state;
	o.capacity = 7;
	p = placement_made(&o);
	/* IPv6 takes two entries, and who waits longest comes first. */
	for (uint32_t i = 0; i < 3; i++)
		offer(p, flow6_number(i), &f, 0);
	offer_range(p, 10, 20, 0);
	placement_settle(p, 0);
	assert_int_equal(numbers_of(p).entries, 7);
	assert_int_equal(numbers_of(p).desired, 4);
	assert_int_equal(numbers_of(p).room, 7);
	assert_int_equal(numbers_of(p).waiting, 9);
	assert_true(is_in(p, flow_number(10)));
	assert_false(is_in(p, flow_number(11)));
	t = flow6_number(1);
	placement_withdraw(p, &t, PLACEMENT_ENDED, 0);
	placement_settle(p, 0);
	assert_true(is_in(p, flow_number(11)) && is_in(p, flow_number(12)));
	assert_false(is_in(p, flow_number(13)));
	/* The switch says less, then more; max-flows holds as well. */
	placement_capacity_set(p, 4, 0);
	assert_int_equal(numbers_of(p).entries, 4);
	placement_capacity_set(p, 6, 0);
	assert_int_equal(numbers_of(p).entries, 6);
	o.capacity = 0;
	assert_int_equal(placement_options_set(p, &o, 0), 0);
	assert_int_equal(numbers_of(p).entries, 6);
	placement_capacity_set(p, 1000, 0);
	assert_int_equal(numbers_of(p).desired, 10);
	o.max_flows = 3;
	assert_int_equal(placement_options_set(p, &o, 0), 0);
	assert_int_equal(numbers_of(p).desired, 3);
}

/* Memory is bounded: candidates, and deletions that nobody confirms. */
static void test_bounded(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(0);
	struct tuple t = flow_number(20);

	(void)state;
	o.max_candidates = 20;
	p = placement_made(&o);
	offer_range(p, 0, 20, 0);
	assert_int_equal(placement_offer(p, &t, &f, 0), -ENOSPC);
	assert_int_equal(numbers_of(p).refused, 1);
	placement_attach(p);
	for (uint32_t i = 0; i < 1000; i++) {
		t = flow_number(i);
		tell_all(p, i);
		placement_withdraw(p, &t, PLACEMENT_ENDED, i);
		tell_all(p, i);
		t = flow_number(i + 20);
		assert_int_equal(placement_offer(p, &t, &f, i), 1);
	}
	assert_int_equal(numbers_of(p).desired, 10);
	assert_int_equal(numbers_of(p).deleting, 20);
	assert_int_equal(numbers_of(p).forgotten, 980);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_ENDED], 1000);
	placement_withdraw_all(p, PLACEMENT_TEARDOWN, 0);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_TEARDOWN], 10);
	assert_int_equal(numbers_of(p).candidates, 0);
}

/* Draining bindings' flows have a reserve, and more than that when they need it. */
static void test_reserve(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(0), drain = facts_of(0);
	struct placement_wish wishes[500];
	struct placement_batch b;
	struct tuple t;

	(void)state;
	drain.draining = true;
	drain.nexthop = hop_number(2);
	o.reserve = 20;
	p = placement_made(&o);
	for (uint32_t i = 0; i < 150; i++) {
		offer(p, flow_number(i), &f, i);
		placement_settle(p, i);
	}
	assert_int_equal(numbers_of(p).desired, 80);
	/* Flow 0 is the oldest, and the only large one. */
	t = flow_number(0);
	assert_int_equal(placement_account(p, &t, 1000000, 1000), 0);
	placement_interval(p, 1000);
	placement_attach(p);
	tell_all(p, 1000);
	/* Twenty fit into the reserve. */
	for (uint32_t i = 200; i < 220; i++)
		offer(p, flow_number(i), &drain, 1000);
	assert_int_equal(tell_all(p, 1000), 20);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_EVICTED], 0);
	assert_int_equal(numbers_of(p).desired, 100);
	/* Ten more take the places of the smallest, the oldest of them; deletions are told first.
	 */
	for (uint32_t i = 220; i < 230; i++)
		offer(p, flow_number(i), &drain, 1000);
	assert_true(placement_next(p, 1000, wishes, 500, &b));
	assert_int_equal(b.n, 20);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(wishes[i].present, i >= 10);
		assert_int_equal(wishes[i].reason, i < 10 ? PLACEMENT_EVICTED : PLACEMENT_PLACED);
	}
	assert_int_equal(placement_done(p, b.serial), 0);
	assert_true(is_in(p, flow_number(0)));
	for (uint32_t i = 1; i < 80; i++)
		assert_int_equal(is_in(p, flow_number(i)), i > 10);
	assert_int_equal(numbers_of(p).desired, 100);
	/* All of it, but no more. */
	for (uint32_t i = 230; i < 400; i++)
		offer(p, flow_number(i), &drain, 1000);
	tell_all(p, 1000);
	assert_int_equal(numbers_of(p).desired, 100);
	assert_false(is_in(p, flow_number(0)));
	/* The reserve comes back when the drain ends. */
	for (uint32_t i = 200; i < 400; i++) {
		t = flow_number(i);
		placement_withdraw(p, &t, PLACEMENT_ENDED, 2000);
	}
	tell_all(p, 2000);
	assert_int_equal(numbers_of(p).desired, 80);
}

/* Flows that are in become a draining binding's: the reserve is free for them. */
static void test_reserve_of_chosen(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(0);

	(void)state;
	o.reserve = 20;
	p = placement_made(&o);
	offer_range(p, 0, 150, 0);
	placement_settle(p, 0);
	f.draining = true;
	for (uint32_t i = 0; i < 150; i++)
		offer(p, flow_number(i), &f, 0);
	placement_settle(p, 0);
	assert_int_equal(numbers_of(p).desired, 100);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_EVICTED], 0);
	f.draining = false;
	for (uint32_t i = 0; i < 150; i++)
		offer(p, flow_number(i), &f, 0);
	placement_settle(p, 0);
	assert_int_equal(numbers_of(p).desired, 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_facts_change),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_zones_agree),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_reserve_of_chosen),
	};

	return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
