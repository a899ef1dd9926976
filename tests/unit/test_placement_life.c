// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit/placement_fixture.h"

/* Readings of a switch, and what they say of the life of flows. */

static void test_full_reading(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t = flow_number(1);

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 2, 0);
	tell_all(p, 0);
	/* Told after the reading began: its silence says nothing yet. */
	placement_observe_full_end(p, 0);
	assert_int_equal(view_of(p, t).state, PLACEMENT_STATE_UNKNOWN);
	assert_int_equal(
		observe(p, flow_number(0), PLACEMENT_STATE_PROGRAMMED, PLACEMENT_CLASS_NONE, 0), 0);
	placement_observe_full_end(p, 0);
	assert_int_equal(view_of(p, t).state, PLACEMENT_STATE_ABSENT);
	assert_int_equal(view_of(p, flow_number(0)).state, PLACEMENT_STATE_PROGRAMMED);
	assert_int_equal(numbers_of(p).pending, 1);
	/* Absent, not ended. */
	assert_true(is_in(p, t));
	/* What an older version's report says is not about this wish. */
	assert_int_equal(placement_observe(p, &t,
					   &(struct placement_observation){
						   .state = PLACEMENT_STATE_REJECTED,
						   .version = view_of(p, t).version - 1 },
					   0),
			 0);
	assert_true(is_in(p, t));
	/* A deletion is confirmed by silence, too, once it was told before the reading. */
	placement_withdraw(p, &t, PLACEMENT_ENDED, 0);
	placement_observe_full_end(p, 0);
	assert_int_equal(numbers_of(p).deleting, 1);
	tell_all(p, 0);
	placement_observe_full_end(p, 0);
	assert_int_equal(numbers_of(p).deleting, 1);
	placement_observe_full_end(p, 0);
	assert_int_equal(numbers_of(p).deleting, 0);
}

struct life {
	uint32_t idle, alive;
	struct placement *p;
	uint64_t now_ms;
	bool keep; /* idle ones are left to the caller */
};

static void on_idle(const struct placement_view *v, void *arg)
{
	struct life *l = arg;
	struct tuple t = v->tuple;

	l->idle++;
	if (l->keep)
		return;
	t.zone = v->zones[0];
	placement_withdraw(l->p, &t, PLACEMENT_ENDED, l->now_ms);
}

static void on_alive(const struct placement_view *v, void *arg)
{
	struct life *l = arg;

	assert_true(v->n_zones > 0);
	l->alive++;
}

static struct life life_at(struct placement *p, uint64_t now_ms)
{
	struct life l = { .p = p, .now_ms = now_ms };

	placement_idle(p, now_ms, on_idle, on_alive, &l);
	return l;
}

/* Flows 0..9 of which the first `moving` carry packets; polled every 10 s. */
static struct life poll(struct placement *p, uint32_t moving, uint64_t *packets, uint64_t now_ms)
{
	for (uint32_t i = 0; i < 10; i++)
		if (is_in(p, flow_number(i))) {
			packets[i] += i < moving;
			assert_int_equal(observe_counters(p, flow_number(i), packets[i],
							  packets[i] * 100, now_ms),
					 0);
		}
	placement_observe_full_end(p, now_ms);
	return life_at(p, now_ms);
}

static void test_life(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	uint64_t packets[10] = { 0 }, now_ms = 0;
	struct life l;

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 10, 0);
	tell_all(p, 0);
	for (; now_ms < 200 * SECOND; now_ms += 10 * SECOND) {
		l = poll(p, 10, packets, now_ms);
		assert_int_equal(l.alive, 10);
		assert_int_equal(life_at(p, now_ms).alive, 0); /* said once */
	}
	/* Five fall silent, and end when the timeout has passed, not before. They moved last at 190
	 * s. */
	for (; now_ms < 490 * SECOND; now_ms += 10 * SECOND) {
		l = poll(p, 5, packets, now_ms);
		assert_int_equal(l.alive, 5);
		assert_int_equal(l.idle, 0);
	}
	l = poll(p, 5, packets, now_ms);
	assert_int_equal(l.idle, 5);
	assert_int_equal(numbers_of(p).desired, 5);
	assert_int_equal(life_at(p, now_ms).idle, 0);
	/* Nobody reads them for three timeouts: that ends nothing, and the first reading neither.
	 */
	now_ms += 10 * SECOND;
	assert_int_equal(life_at(p, now_ms + 900 * SECOND).idle, 0);
	now_ms += 900 * SECOND;
	l = poll(p, 0, packets, now_ms);
	assert_int_equal(l.idle, 0);
	assert_int_equal(numbers_of(p).desired, 5);
	/* The same where readings fail for a while, and are said to. */
	for (int i = 0; i < 25; i++, now_ms += 10 * SECOND)
		assert_int_equal(poll(p, 0, packets, now_ms).idle, 0);
	placement_counters_unreadable(p, now_ms);
	for (int i = 0; i < 30; i++, now_ms += 10 * SECOND)
		assert_int_equal(poll(p, 0, packets, now_ms).idle, 0);
	assert_int_equal(poll(p, 0, packets, now_ms).idle, 5);
}

/* Counters that are never read end nothing; conntrack's own count keeps a flow alive. */
static void test_life_without_counters(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t = flow_number(1);

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 2, 0);
	tell_all(p, 0);
	for (uint64_t s = 0; s < 2000; s += 10) {
		assert_int_equal(observe(p, flow_number(0), PLACEMENT_STATE_PROGRAMMED,
					 PLACEMENT_CLASS_NONE, s * SECOND),
				 0);
		assert_int_equal(observe_counters(p, t, 0, 0, s * SECOND), 0);
		assert_int_equal(placement_account(p, &t, s, s * SECOND), 0);
		assert_int_equal(life_at(p, s * SECOND).idle, 0);
	}
	/* The switch was restarted, and its counter began anew at zero: what it counted last was
	 * never read, so silence is proved from there on. */
	assert_int_equal(observe_counters(p, t, 100, 100, 2000 * SECOND), 0);
	for (uint64_t s = 2010; s < 2500; s += 10) {
		assert_int_equal(
			observe_counters(p, t, s < 2200 ? 100 : 0, s < 2200 ? 100 : 0, s * SECOND),
			0);
		assert_int_equal(life_at(p, s * SECOND).idle, 0);
	}
	assert_int_equal(observe_counters(p, t, 0, 0, 2500 * SECOND), 0);
	assert_int_equal(life_at(p, 2500 * SECOND).idle, 1);
}

static void say_absent(struct placement *p, struct tuple t, uint64_t now_ms)
{
	assert_int_equal(observe(p, t, PLACEMENT_STATE_ABSENT, PLACEMENT_CLASS_NONE, now_ms), 0);
}

/* One that the switch let go by itself is told as idle until somebody judges it. */
static void test_expired(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t = flow_number(0);
	uint64_t version;
	struct life l = { .p = p, .keep = true };

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 1, 0);
	tell_all(p, 0);
	assert_int_equal(observe_counters(p, t, 7, 700, SECOND), 0);
	assert_int_equal(observe_counters(p, t, 7, 700, 290 * SECOND), 0);
	say_absent(p, t, 301 * SECOND);
	assert_true(is_in(p, t) && view_of(p, t).expired);
	version = view_of(p, t).version;
	placement_idle(p, 302 * SECOND, on_idle, on_alive, &l);
	assert_int_equal(l.alive, 1);
	placement_idle(p, 302 * SECOND, on_idle, on_alive, &l);
	assert_int_equal(l.idle, 1);
	/* Alive elsewhere: a new wish, and nothing of the old entry's counter. */
	placement_renew(p, &t, 302 * SECOND);
	assert_false(view_of(p, t).expired);
	assert_true(view_of(p, t).version > version && view_of(p, t).dirty);
	l.idle = 0;
	placement_idle(p, 303 * SECOND, on_idle, on_alive, &l);
	assert_int_equal(l.idle, 0);
	tell_all(p, 303 * SECOND);
	assert_int_equal(observe_counters(p, t, 0, 0, 304 * SECOND), 0);
	placement_idle(p, 304 * SECOND, on_idle, on_alive, &l);
	assert_int_equal(l.idle, 0);
	/* Judged again after a quarter of the timeout, since no counter moved. */
	assert_int_equal(observe_counters(p, t, 0, 0, 378 * SECOND), 0);
	placement_idle(p, 378 * SECOND, on_idle, on_alive, &l);
	assert_int_equal(l.idle, 1);
	/* Absent for another reason is not expired. */
	placement_observe_full_end(p, 379 * SECOND);
	placement_observe_full_end(p, 380 * SECOND);
	assert_int_equal(view_of(p, t).state, PLACEMENT_STATE_ABSENT);
	assert_false(view_of(p, t).expired);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_reading),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_life_without_counters),
		cmocka_unit_test(test_expired),
	};

	return cmocka_run_group_tests_name("placement, life", tests, NULL, NULL);
}
