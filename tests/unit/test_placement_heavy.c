// SPDX-License-Identifier: GPL-2.0-or-later
#include <time.h>
#include "unit/placement_fixture.h"

/* Policy heavy. */

#define INTERVAL (10 * SECOND)

/* A world of flows with rates. What is in the switch is counted there, the rest by conntrack. */
enum { FLOWS = 10000, LARGEST = 1000 };
struct world {
	uint64_t rate[FLOWS]; /* bytes a second */
	uint64_t ct_bytes[FLOWS], switch_bytes[FLOWS];
	bool was_in[FLOWS];
};

/* Rank r of the flows carries what is proportional to 1/r; the order is shuffled. */
static void world_make(struct world *w, uint64_t *rng)
{
	memset(w, 0, sizeof(*w));
	for (uint32_t i = 0; i < FLOWS; i++)
		w->rate[i] = 100000000 / (i + 1);
	for (uint32_t i = FLOWS - 1; i > 0; i--) {
		uint32_t k = (uint32_t)(random_next(rng) >> 33) % (i + 1);
		uint64_t rate = w->rate[i];

		w->rate[i] = w->rate[k];
		w->rate[k] = rate;
	}
}

static bool is_large(const struct world *w, uint32_t i)
{
	return w->rate[i] >= 100000000 / LARGEST;
}

/* One interval passes. The switch's counters show what they were up to 3 s before. In the interval
 * in which a flow is put in, 3 s of it pass the gateway, and the switch shows nothing yet. */
static void world_run(struct world *w, struct placement *p, uint64_t *rng, uint64_t now_ms)
{
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint64_t bytes = w->rate[i] * INTERVAL / SECOND, early = 3 * w->rate[i];
		uint64_t lag = w->rate[i] * ((random_next(rng) >> 32) % 4);
		struct tuple t = flow_number(i);
		bool in = is_in(p, t);

		if (!in) {
			w->ct_bytes[i] += bytes;
			w->switch_bytes[i] = 0;
		} else if (!w->was_in[i]) {
			w->ct_bytes[i] += early;
			w->switch_bytes[i] = bytes - early;
			assert_int_equal(observe_counters(p, t, 0, 0, now_ms), 0);
		} else {
			w->switch_bytes[i] += bytes;
			assert_int_equal(observe_counters(p, t, w->switch_bytes[i] / 100,
							  w->switch_bytes[i] - lag, now_ms),
					 0);
		}
		w->was_in[i] = in;
		assert_int_equal(placement_account(p, &t, w->ct_bytes[i], now_ms), 0);
	}
	placement_interval(p, now_ms);
	tell_all(p, now_ms);
}

static uint32_t large_ones_in(const struct world *w, const struct placement *p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < FLOWS; i++)
		n += is_large(w, i) && is_in(p, flow_number(i));
	return n;
}

static void test_largest_within_two_intervals(void **state)
{
	static struct world w;
	struct placement_options o = options_of(PLACEMENT_POLICY_HEAVY, LARGEST);
	_cleanup_(placement_freep) struct placement *p = NULL;
	uint64_t rng = 42, begin_ms = 3600 * SECOND;

	(void)state;
	world_make(&w, &rng);
	p = placement_made(&o);
	placement_attach(p);
	/* The flows are older than the first interval, by up to an hour: conntrack's totals say
	 * more of their age than of their size. */
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint64_t age_s = (random_next(&rng) >> 32) % 3600;
		struct placement_facts f = facts_of(begin_ms - age_s * SECOND);

		w.ct_bytes[i] = w.rate[i] * age_s;
		offer(p, flow_number(i), &f, begin_ms);
	}
	tell_all(p, begin_ms);
	assert_int_equal(numbers_of(p).desired, 0);
	world_run(&w, p, &rng, begin_ms + INTERVAL);
	world_run(&w, p, &rng, begin_ms + 2 * INTERVAL);
	assert_int_equal(large_ones_in(&w, p), LARGEST);
	assert_int_equal(numbers_of(p).desired, LARGEST);
	/* Constant rates: nothing goes in or out, neither so far nor from here on. */
	for (uint64_t i = 3; i < 40; i++)
		world_run(&w, p, &rng, begin_ms + i * INTERVAL);
	assert_int_equal(large_ones_in(&w, p), LARGEST);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_EVICTED], 0);
}

/* One interval in which a flow carries `bytes`, counted where it is. */
static void carry(struct placement *p, struct tuple t, uint64_t bytes, uint64_t *ct_bytes,
		  uint64_t *switch_bytes, uint64_t now_ms)
{
	if (is_in(p, t)) {
		*switch_bytes += bytes;
		assert_int_equal(observe_counters(p, t, *switch_bytes, *switch_bytes, now_ms), 0);
	} else {
		*switch_bytes = 0;
		*ct_bytes += bytes;
		assert_int_equal(placement_account(p, &t, *ct_bytes, now_ms), 0);
	}
}

/* Two flows and room for one: b is smaller than a, then larger by less than the hysteresis, then by
 * more; in the end a is the larger one by less. */
static void test_hysteresis(void **state)
{
	static const struct {
		uint64_t bytes;
		int intervals;
		bool in;
	} phases[] = { { 90000, 5, false },
		       { 120000, 20, false },
		       { 160000, 10, true },
		       { 90000, 20, true } };
	struct placement_options o = options_of(PLACEMENT_POLICY_HEAVY, 1);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	uint64_t ct[2] = { 0 }, in_switch[2] = { 0 }, now_ms = 0;
	struct tuple a = flow_number(0), b = flow_number(1);

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 2, 0);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		for (int k = 0; k < phases[i].intervals; k++) {
			now_ms += INTERVAL;
			carry(p, a, 100000, &ct[0], &in_switch[0], now_ms);
			carry(p, b, phases[i].bytes, &ct[1], &in_switch[1], now_ms);
			placement_interval(p, now_ms);
			tell_all(p, now_ms);
			assert_int_equal(numbers_of(p).desired, 1);
			/* Within the first intervals of a phase the means follow. */
			if (k > 4 || i < 2)
				assert_int_equal(is_in(p, b), phases[i].in);
		}
	}
	assert_int_equal(numbers_of(p).removed[PLACEMENT_EVICTED], 1);
}

/* A flow that is chosen again before the switch has let it go: its counter goes on, and what it
 * counted before is not of this interval. */
static void test_counter_goes_on(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 1);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts f = facts_of(0);
	struct tuple t = flow_number(0);

	(void)state;
	placement_attach(p);
	offer(p, t, &f, 0);
	tell_all(p, 0);
	assert_int_equal(observe_counters(p, t, 1000000, 10000000, 5000), 0);
	placement_interval(p, 10000);
	assert_int_equal(view_of(p, t).rate, 1000000);
	f.dead = true;
	offer(p, t, &f, 11000);
	tell_all(p, 11000);
	f.dead = false;
	offer(p, t, &f, 11000);
	tell_all(p, 11000);
	assert_int_equal(observe_counters(p, t, 1000001, 10001000, 15000), 0);
	placement_interval(p, 20000);
	assert_int_equal(view_of(p, t).rate, (1000000 + 100) / 2);
}

/* A flow with no traffic is not placed for want of others; one that is in stays while there is
 * room. */
static void test_silence(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_HEAVY, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t = flow_number(1), silent = flow_number(2);

	(void)state;
	offer_range(p, 1, 3, 0);
	assert_int_equal(placement_account(p, &t, 1000, 5000), 0);
	assert_int_equal(placement_account(p, &silent, 0, 5000), 0);
	placement_interval(p, 10000);
	assert_true(is_in(p, t));
	assert_false(is_in(p, silent));
	for (uint64_t i = 2; i < 20; i++) {
		assert_int_equal(placement_account(p, &t, 1000, i * 10000), 0);
		placement_interval(p, i * 10000);
	}
	assert_true(is_in(p, t));
	assert_int_equal(view_of(p, t).rate, 0);
}

/* When the candidates' places are nearly taken the smallest lose theirs, and larger ones come in.
 */
static void test_small_candidates_dropped(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_HEAVY, 10);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(0);
	struct tuple t;

	(void)state;
	o.max_candidates = 80;
	p = placement_made(&o);
	for (uint32_t i = 0; i < 80; i++) {
		t = flow_number(i);
		offer(p, t, &f, 0);
		assert_int_equal(placement_account(p, &t, (uint64_t)(i + 1) * 1000, 1000), 0);
	}
	t = flow_number(100);
	assert_int_equal(placement_offer(p, &t, &f, 1000), -ENOSPC);
	placement_interval(p, 10000);
	assert_int_equal(numbers_of(p).candidates, 60);
	assert_int_equal(numbers_of(p).dropped, 20);
	for (uint32_t i = 0; i < 80; i++) {
		t = flow_number(i);
		assert_int_equal(is_in(p, t), i >= 70);
		assert_int_equal(placement_account(p, &t, 1000000, 10000), i < 20 ? -ENOENT : 0);
	}
}

static void test_draining_before_heavy(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_HEAVY, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts f = facts_of(0);
	struct tuple t;

	(void)state;
	for (uint32_t i = 0; i < 30; i++) {
		t = flow_number(i);
		offer(p, t, &f, 0);
		assert_int_equal(placement_account(p, &t, 1000000 - 1000 * i, 5000), 0);
	}
	placement_interval(p, 10000);
	f.draining = true;
	for (uint32_t i = 25; i < 30; i++)
		offer(p, flow_number(i), &f, 10000);
	placement_settle(p, 10000);
	for (uint64_t interval = 2; interval < 5; interval++) {
		for (uint32_t i = 0; i < 30; i++)
			assert_int_equal(is_in(p, flow_number(i)), i < 5 || i >= 25);
		placement_interval(p, interval * 10000);
	}
}

/* Nothing may take more than n log n: a hundred thousand flows, in the time that a poll has. */
static void test_speed(void **state)
{
	enum { N = 100000 };
	struct placement_options o = options_of(PLACEMENT_POLICY_HEAVY, 2000);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(0);
	struct placement_view v;
	clock_t begin = clock();
	struct tuple t;

	(void)state;
	o.max_candidates = 2 * N;
	p = placement_made(&o);
	placement_attach(p);
	for (uint32_t i = 0; i < N; i++)
		offer(p, flow_number(i), &f, 0);
	for (uint64_t k = 1; k < 4; k++) {
		for (uint32_t i = 0; i < N; i++) {
			t = flow_number(i);
			if (i % 8)
				assert_int_equal(
					placement_account(p, &t, k * (i * 7919u % N + 1), k * 9000),
					0);
		}
		placement_interval(p, k * 10000);
		tell_all(p, k * 10000);
	}
	f.draining = true;
	for (uint32_t i = 0; i < 2000; i++) {
		t = flow_number(i);
		if (placement_get(p, &t, &v) == 0)
			offer(p, t, &f, 30000);
	}
	tell_all(p, 30000);
	assert_true(numbers_of(p).desired == 2000);
	assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_within_two_intervals),
		cmocka_unit_test(test_hysteresis),
		cmocka_unit_test(test_counter_goes_on),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_small_candidates_dropped),
		cmocka_unit_test(test_draining_before_heavy),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests_name("placement, heavy", tests, NULL, NULL);
}
