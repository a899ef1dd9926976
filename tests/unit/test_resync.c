// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "daemon/resync.h"

/* Milliseconds from the beginning, which is some time after the machine's. */
#define AT(ms) (1000000u + (ms))

static void read_from_to(struct resync *r, uint64_t begin_ms, uint64_t end_ms)
{
	resync_begin(r, AT(begin_ms));
	resync_read_begin(r, AT(begin_ms));
	resync_read_end(r, AT(end_ms));
}

/* When it is due, looked at every 10 ms from then on. */
static uint64_t due_from(const struct resync *r, bool awaited, uint64_t ms)
{
	uint64_t end = ms + 100000;

	while (ms < end && !resync_is_due(r, awaited, AT(ms)))
		ms += 10;
	return ms;
}

/* The same, from 0, while something is lost all the time. */
static uint64_t due_amid_losses(struct resync *r)
{
	uint64_t ms = 0;

	do {
		resync_lose(r, false, AT(ms));
		ms += 100;
	} while (ms < 20000 && !resync_is_due(r, false, AT(ms)));
	return ms;
}

static void test_after_half_a_second_of_quiet(void **state)
{
	struct resync r = { 0 };

	(void)state;
	resync_lose(&r, false, AT(0));
	assert_int_equal(due_from(&r, false, 0), 500);
	assert_int_equal(due_from(&r, true, 0), 500);
}

/* While losses go on: for half a second where reading is cheap or nothing is known of it, for ten
 * times what it takes, for five seconds at most. */
static void test_amid_losses(void **state)
{
	static const struct {
		uint64_t took, patience;
	} cases[] = { { 0, 500 }, { 20, 500 }, { 200, 2000 }, { 5000, 5000 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct resync r = { .took_ms = cases[i].took };

		assert_int_equal(due_amid_losses(&r), cases[i].patience);
	}
}

/* What is lost right behind a reading waits for a second since that began, whoever awaits it; what
 * is lost later for the quiet alone. */
static void test_held_back(void **state)
{
	static const uint64_t due[][2] = { { 10310, 11000 }, { 10700, 11200 }, { 20000, 20500 } };

	(void)state;
	for (size_t i = 0; i < sizeof(due) / sizeof(*due); i++) {
		struct resync r = { 0 };

		resync_lose(&r, false, AT(9500));
		read_from_to(&r, 10000, 10300);
		resync_lose(&r, false, AT(due[i][0]));
		assert_int_equal(due_from(&r, false, due[i][0]), due[i][1]);
		assert_int_equal(due_from(&r, true, due[i][0]), due[i][1]);
	}
}

/* Each reading that has events lost doubles the time until the next, to ten times what it takes;
 * who awaits it has it after the first of them. */
static void test_lost_by_reading(void **state)
{
	static const uint64_t backoff[] = { 1000, 2000, 4000, 8000, 16000, 20000, 20000 };
	struct resync r = { 0 };
	uint64_t at = 500;

	(void)state;
	resync_lose(&r, false, AT(0));
	for (size_t i = 0; i < sizeof(backoff) / sizeof(*backoff); i++) {
		resync_begin(&r, AT(at));
		resync_read_begin(&r, AT(at));
		resync_lose(&r, true, AT(at + 1));
		resync_read_end(&r, AT(at + 2000));
		assert_int_equal(due_from(&r, true, at), at + 1000);
		assert_int_equal(due_from(&r, false, at), at + backoff[i]);
		at += backoff[i];
	}
	/* One behind which nothing is lost begins anew. */
	read_from_to(&r, at, at + 2000);
	resync_lose(&r, false, AT(at + 60000));
	read_from_to(&r, at + 60500, at + 62500);
	resync_lose(&r, false, AT(at + 60500));
	assert_int_equal(due_from(&r, false, at + 60500), at + 61500);
}

/* A flood that went on all the same is not reading's doing. */
static void test_lost_by_a_flood(void **state)
{
	struct resync r = { .took_ms = 100 };
	uint64_t ms = due_amid_losses(&r);

	(void)state;
	resync_begin(&r, AT(ms));
	resync_read_begin(&r, AT(ms));
	resync_lose(&r, true, AT(ms + 1));
	resync_read_end(&r, AT(ms + 2000));
	read_from_to(&r, ms + 1000, ms + 3000);
	resync_lose(&r, false, AT(ms + 1000));
	assert_int_equal(due_from(&r, false, ms + 1000), ms + 2000);
}

/* Who awaits it does not have a table read over and over that events are lost from: while they are,
 * it is held back as ever. Losses of later have their own half a second. */
static void test_awaited_amid_losses(void **state)
{
	struct resync r = { .backoff_ms = 16000, .began_ms = AT(0), .took_ms = 2000 };

	(void)state;
	for (uint64_t ms = 10; ms < 16000; ms += 10) {
		resync_lose(&r, false, AT(ms));
		assert_false(resync_is_due(&r, true, AT(ms)));
	}
	assert_true(resync_is_due(&r, true, AT(16000)));
	read_from_to(&r, 16000, 16030);
	for (uint64_t ms = 20000; ms < 20500; ms += 10) {
		resync_lose(&r, false, AT(ms));
		assert_false(resync_is_due(&r, true, AT(ms)));
	}
	assert_true(resync_is_due(&r, true, AT(20500)));
}

/* The table is smaller by now: what the last reading took says how long. */
static void test_smaller_table(void **state)
{
	struct resync r = { .backoff_ms = 30000, .began_ms = AT(0), .took_ms = 20 };

	(void)state;
	resync_lose(&r, false, AT(100));
	assert_int_equal(due_from(&r, false, 100), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_after_half_a_second_of_quiet),
		cmocka_unit_test(test_amid_losses),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_lost_by_reading),
		cmocka_unit_test(test_lost_by_a_flood),
		cmocka_unit_test(test_awaited_amid_losses),
		cmocka_unit_test(test_smaller_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
