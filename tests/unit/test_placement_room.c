// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit/placement_fixture.h"

/* What rejections teach. */

/* The switch has room for 1,500 of 5,000: it is not asked over and over. */
static void test_table_full(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 2000);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_numbers n;
	uint64_t tries = 0, now_ms = 0;
	uint32_t room = 1500;

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 5000, 0);
	tell_all(p, 0);
	assert_int_equal(numbers_of(p).desired, 2000);
	read_switch(p, room, now_ms);
	n = numbers_of(p);
	assert_int_equal(n.desired, 1500);
	assert_int_equal(n.programmed, 1500);
	assert_int_equal(n.rejected, 500);
	assert_int_equal(n.not_placed, 3000);
	assert_int_equal(n.candidates, 5000);
	assert_int_equal(n.room, 1500);
	assert_int_equal(view_of(p, flow_number(1900)).class, PLACEMENT_CLASS_FULL);
	assert_int_equal(view_of(p, flow_number(1900)).retry_ms, 0); /* as soon as there is room */
	/* The leftovers of the refused ones are taken away, and nothing else is asked before its
	 * time. */
	assert_int_equal(tell_all(p, now_ms), 500);
	read_switch(p, room, now_ms);
	assert_int_equal(numbers_of(p).deleting, 0);
	assert_int_equal(tell_all(p, 29 * SECOND), 0);
	/* An hour of polls: a few tries, fewer with time, and never one that is in for one that is
	 * not. */
	while (now_ms < 3600 * SECOND) {
		now_ms += 5 * SECOND;
		tell_all(p, now_ms);
		read_switch(p, room, now_ms);
		assert_int_equal(numbers_of(p).programmed, 1500);
	}
	tries = numbers_of(p).rejections[PLACEMENT_CLASS_FULL] - 500;
	assert_in_range(tries, 8, 100);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_EVICTED], 0);
	/* Somebody else leaves: it is found out, and used. */
	room = 1900;
	while (now_ms < 7200 * SECOND) {
		now_ms += 5 * SECOND;
		tell_all(p, now_ms);
		read_switch(p, room, now_ms);
	}
	assert_int_equal(numbers_of(p).programmed, 1900);
	/* The table is told to be larger: at once. */
	placement_capacity_set(p, 3000, now_ms);
	tell_all(p, now_ms);
	assert_int_equal(numbers_of(p).desired, 2000);
	/* It shrinks under us: what falls out is shown as such, the rest stays. */
	read_switch(p, 700, now_ms);
	assert_int_equal(numbers_of(p).programmed, 700);
	assert_true(numbers_of(p).rejected >= 1300);
}

/* What ends leaves room, also below a ceiling that rejections set. */
static void test_full_and_ends(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t;

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 200, 0);
	tell_all(p, 0);
	read_switch(p, 60, 0);
	tell_all(p, 0);
	assert_int_equal(numbers_of(p).desired, 60);
	for (uint32_t i = 0; i < 10; i++) {
		t = flow_number(i);
		placement_withdraw(p, &t, PLACEMENT_ENDED, 1000);
	}
	assert_int_equal(tell_all(p, 1000), 20);
	assert_int_equal(numbers_of(p).desired, 60);
	read_switch(p, 60, 1000);
	assert_int_equal(numbers_of(p).programmed, 60);
	assert_int_equal(numbers_of(p).rejections[PLACEMENT_CLASS_FULL], 40);
	/* Those that were refused have no wait of their own. */
	for (uint32_t i = 10; i < 200; i++) {
		t = flow_number(i);
		if (i < 20 || i >= 110)
			placement_withdraw(p, &t, PLACEMENT_ENDED, 2000);
	}
	placement_settle(p, 2000);
	assert_int_equal(numbers_of(p).desired, 60);
	assert_int_equal(view_of(p, flow_number(60)).state, PLACEMENT_STATE_UNKNOWN);
	read_switch(p, 60, 2000);
	assert_int_equal(numbers_of(p).rejections[PLACEMENT_CLASS_FULL], 40);
}

/* Others take 30 of 110 entries: the table says so before the 30 flows that lost theirs are seen.
 * What makes room meanwhile is not gone for good. */
static void test_full_while_others_leave(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 200);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 110, 0);
	tell_all(p, 0);
	read_switch(p, 110, 0);
	assert_int_equal(numbers_of(p).programmed, 110);
	placement_capacity_set(p, 80, 1000);
	assert_int_equal(numbers_of(p).desired, 80);
	for (uint32_t i = 80; i < 110; i++)
		observe(p, flow_number(i), PLACEMENT_STATE_REJECTED, PLACEMENT_CLASS_FULL, 1000);
	assert_int_equal(numbers_of(p).desired, 50);
	tell_all(p, 2000);
	assert_int_equal(numbers_of(p).desired, 80);
	read_switch(p, 80, 2000);
	assert_int_equal(numbers_of(p).programmed, 80);
	assert_int_equal(numbers_of(p).deleting, 0);
	/* All of it is counted once: with nothing on its way a refusal says what there is. */
	read_switch(p, 70, 3000);
	tell_all(p, 3000);
	assert_int_equal(numbers_of(p).desired, 70);
}

/* "Waiting for a resource": may be on its way, or for ever. */
static void test_stuck(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t = flow_number(0);

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 1, 0);
	tell_all(p, 0);
	assert_int_equal(observe(p, t, PLACEMENT_STATE_PENDING, PLACEMENT_CLASS_NONE, 0), 0);
	for (uint64_t s = 5; s < 15; s++)
		assert_int_equal(
			observe(p, t, PLACEMENT_STATE_PENDING, PLACEMENT_CLASS_FULL, s * SECOND),
			0);
	assert_int_equal(numbers_of(p).pending, 1);
	assert_int_equal(observe(p, t, PLACEMENT_STATE_PENDING, PLACEMENT_CLASS_FULL, 15 * SECOND),
			 0);
	assert_int_equal(numbers_of(p).rejected, 1);
	/* One whose nexthop is not resolved may wait as long as it likes. */
	t = flow_number(1);
	placement_capacity_set(p, 10, 0);
	offer_range(p, 1, 2, 0);
	tell_all(p, 15 * SECOND);
	for (uint64_t s = 20; s < 1000; s += 20)
		assert_int_equal(observe(p, t, PLACEMENT_STATE_PENDING, PLACEMENT_CLASS_UNRESOLVED,
					 s * SECOND),
				 0);
	assert_true(is_in(p, t));
}

/* A platform that cannot do IPv6: that is said, tried now and then with one flow, and IPv4 goes on.
 */
static void test_family_refused(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 300);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts f = facts_of(0);
	uint64_t now_ms, before, tried;
	bool can = false;

	(void)state;
	placement_attach(p);
	for (uint32_t i = 0; i < 100; i++)
		offer(p, flow6_number(i), &f, 0);
	offer_range(p, 1000, 1100, 0);
	tell_all(p, 0);
	for (now_ms = 1000; now_ms < 8 * 3600 * SECOND; now_ms += 10 * SECOND) {
		struct placement_view v;
		uint32_t cursor = 0;

		can = now_ms > 4 * 3600 * SECOND;
		before = numbers_of(p).rejections[PLACEMENT_CLASS_UNSUPPORTED];
		while (placement_walk(p, &cursor, &v)) {
			bool ok = can || v.tuple.family == AF_INET;

			if (v.present)
				assert_int_equal(observe(p, v.tuple,
							 ok ? PLACEMENT_STATE_PROGRAMMED
							    : PLACEMENT_STATE_REJECTED,
							 ok ? PLACEMENT_CLASS_NONE
							    : PLACEMENT_CLASS_UNSUPPORTED,
							 now_ms),
						 0);
		}
		tried = numbers_of(p).rejections[PLACEMENT_CLASS_UNSUPPORTED] - before;
		assert_true(tried <= (now_ms == 1000 ? 100 : 1));
		if (!can)
			assert_int_equal(numbers_of(p).programmed, 100);
		tell_all(p, now_ms);
	}
	assert_true(numbers_of(p).rejections[PLACEMENT_CLASS_UNSUPPORTED] < 100 + 20);
	assert_int_equal(numbers_of(p).programmed, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_full),
		cmocka_unit_test(test_full_and_ends),
		cmocka_unit_test(test_full_while_others_leave),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_family_refused),
	};

	return cmocka_run_group_tests_name("placement, rejections", tests, NULL, NULL);
}
