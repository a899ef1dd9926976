// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "reconciler_world.h"

static void test_add_and_delete(void **state _unused_)
{
	struct world w;

	setup(&w, "");
	for (uint16_t i = 1; i <= 25; i++)
		wish(&w, i, i, NEXTHOP);
	assert_string_equal(state_of(&w, 1, NULL), "pending");
	batch(&w, BATCH_ADD, 20, BATCH_DONE, 0, 0);
	batch(&w, BATCH_ADD, 5, BATCH_DONE, 0, 0);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 1, NULL), "accepted");
	read_flows(&w, 1, 26, "Flow programmed", NEXTHOP, 5, false);
	assert_string_equal(state_of(&w, 25, NULL), "programmed");
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	wish(&w, 1, 30, OTHER);
	assert_string_equal(state_of(&w, 1, NULL), "pending");
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	for (uint16_t i = 2; i <= 25; i++)
		wish(&w, i, 30 + i, NULL);
	batch(&w, BATCH_DELETE, 24, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 2, NULL), "absent");
	read_flows(&w, 1, 2, "Flow programmed", OTHER, 5, false);
	assert_string_equal(state_of(&w, 2, NULL), "none");
	teardown(&w);
}

/* The batch's first command of flow i is 4 + 12 i: "no flow", "flow", six matches, priority,
 * persistence, timeout, action. */
static void test_failed_in_the_middle(void **state _unused_)
{
	const char *text;
	struct world w;

	setup(&w, "");
	for (uint16_t i = 1; i <= 5; i++)
		wish(&w, i, i, NEXTHOP);
	batch(&w, BATCH_ADD, 5, BATCH_FAILED, 4 + 12 * 2 + 3, 1002);
	assert_string_equal(state_of(&w, 1, NULL), "accepted");
	assert_string_equal(state_of(&w, 2, NULL), "accepted");
	assert_string_equal(state_of(&w, 3, &text), "rejected");
	assert_string_equal(text, "Invalid input");
	assert_string_equal(state_of(&w, 4, NULL), "pending");
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0); /* the half one */
	batch(&w, BATCH_ADD, 2, BATCH_DONE, 0, 0);    /* those behind it */
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	w.now += 6000;
	batch(&w, BATCH_ADD, 1, BATCH_FAILED, 4 + 3, 1002);
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	w.now += 6000;
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0); /* it waits longer */
	w.now += 6000;
	batch(&w, BATCH_ADD, 1, BATCH_FAILED, 4 + 3, 1002);
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	w.now += 100000000;
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0); /* three attempts */
	wish(&w, 3, 9, OTHER);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	teardown(&w);
}

static void test_failed_in_front(void **state _unused_)
{
	struct batch_failure failure = { .at = 1, .code = 1000, .text = "locked" };
	struct write_batch b = { 0 };
	struct world w;

	setup(&w, "");
	wish(&w, 1, 1, NEXTHOP);
	assert_true(reconciler_next(w.r, 20, w.now, &b));
	assert_true(reconciler_done(w.r, &b, BATCH_FAILED, &failure, w.now));
	write_batch_clear(&b);
	assert_string_equal(state_of(&w, 1, NULL), "pending");
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	teardown(&w);
}

static void test_family_refused(void **state _unused_)
{
	struct world w;

	setup(&w, "batch-flows = 1");
	for (uint16_t i = 1; i <= 30; i++)
		wish(&w, i, i, NEXTHOP);
	for (int i = 0; i < 3; i++) {
		batch(&w, BATCH_ADD, 20, BATCH_FAILED, 4 + 11, 1002);
		batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	}
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 30, NULL), "rejected");
	w.now += 61000;
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0); /* one tries */
	batch(&w, BATCH_ADD, 20, BATCH_DONE, 0, 0);
	teardown(&w);
}

static void test_missing_is_error(void **state _unused_)
{
	struct write_batch b = { 0 };
	struct world w;

	setup(&w, "");
	wish(&w, 1, 1, NEXTHOP);
	batch(&w, BATCH_ADD, 1, BATCH_FAILED, 4, 1000);
	assert_string_equal(state_of(&w, 1, NULL), "pending");
	assert_true(reconciler_next(w.r, 20, w.now, &b));
	assert_string_equal(commands_get(&b.commands, 4), "flow fp-1-tcp-12_12_12_1-1-1_1_1_1-80");
	reconciler_done(w.r, &b, BATCH_DONE, NULL, w.now);
	write_batch_clear(&b);
	/* A deletion that fails is looked at before it is repeated. */
	wish(&w, 1, 2, NULL);
	batch(&w, BATCH_DELETE, 1, BATCH_FAILED, 4, 1000);
	assert_true(reconciler_in_doubt(w.r));
	read_flows(&w, 1, 1, "", NULL, 0, true);
	batch(&w, BATCH_DELETE, 0, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 1, NULL), "absent");
	teardown(&w);
}

static void test_no_answer(void **state _unused_)
{
	struct world w;

	setup(&w, "");
	for (uint16_t i = 1; i <= 3; i++)
		wish(&w, i, i, NEXTHOP);
	batch(&w, BATCH_ADD, 3, BATCH_UNKNOWN, 0, 0);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0); /* nothing before a reading */
	read_flows(&w, 1, 2, "Flow programmed", NEXTHOP, 0, false);
	assert_true(reconciler_wants_text(w.r)); /* the model may hide the others */
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	read_flows(&w, 1, 2, "Flow programmed", NEXTHOP, 0, true);
	assert_string_equal(state_of(&w, 1, NULL), "programmed");
	batch(&w, BATCH_ADD, 2, BATCH_DONE, 0, 0);
	/* Half of one may be there: what is not in hardware is written anew. */
	wish(&w, 1, 9, OTHER);
	batch(&w, BATCH_ADD, 1, BATCH_UNKNOWN, 0, 0);
	read_flows(&w, 1, 4, "Flow not programmed", NULL, 0, true);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	wish(&w, 2, 10, OTHER);
	batch(&w, BATCH_ADD, 1, BATCH_UNKNOWN, 0, 0);
	read_flows(&w, 1, 4, "Flow pending", OTHER, 0, true);
	batch(&w, BATCH_ADD, 2, BATCH_DONE, 0, 0); /* and the third, whose nexthop is another now */
	wish(&w, 3, 11, OTHER);
	read_flows(&w, 1, 4, "Flow programmed", OTHER, 0, true);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	/* A request that is carried out late cannot bring back what is not wanted any more. */
	wish(&w, 7, 20, NEXTHOP);
	batch(&w, BATCH_ADD, 1, BATCH_UNKNOWN, 0, 0);
	wish(&w, 7, 21, NULL);
	read_flows(&w, 1, 4, "Flow programmed", NULL, 0, true);
	read_flows(&w, 1, 8, "Flow programmed", NEXTHOP, 0, true);
	assert_string_equal(state_of(&w, 7, NULL), "programmed");
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	teardown(&w);
}

static void test_adoption(void **state _unused_)
{
	struct world w;

	setup(&w, "");
	reconciler_snapshot_begin(w.r);
	read_flows(&w, 1, 4, "Flow programmed", NEXTHOP, 5, false);
	assert_string_equal(state_of(&w, 1, NULL), "adopted");
	batch(&w, BATCH_DELETE, 0, BATCH_DONE, 0, 0);
	reconciler_snapshot_end(w.r);
	batch(&w, BATCH_DELETE, 0, BATCH_DONE, 0, 0);
	wish(&w, 1, 1, NEXTHOP);
	assert_string_equal(state_of(&w, 1, NULL), "programmed");
	wish(&w, 2, 2, NULL);
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	/* Another flowpind knows of none of them. */
	reconciler_detach(w.r);
	reconciler_snapshot_begin(w.r);
	reconciler_snapshot_end(w.r);
	read_flows(&w, 1, 4, "Flow programmed", NEXTHOP, 5, false);
	assert_string_equal(state_of(&w, 1, NULL), "adopted");
	batch(&w, BATCH_DELETE, 0, BATCH_DONE, 0, 0);
	/* An old leftover is purged, but not at once. */
	read_flows(&w, 1, 4, "Flow not programmed", NEXTHOP, 5, true);
	batch(&w, BATCH_DELETE, 0, BATCH_DONE, 0, 0);
	for (int i = 0; i < 6; i++)
		read_flows(&w, 1, 4, "Flow not programmed", NEXTHOP, 5, true);
	batch(&w, BATCH_DELETE, 3, BATCH_DONE, 0, 0);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_delete),
		cmocka_unit_test(test_failed_in_the_middle),
		cmocka_unit_test(test_failed_in_front),
		cmocka_unit_test(test_family_refused),
		cmocka_unit_test(test_missing_is_error),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_adoption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
