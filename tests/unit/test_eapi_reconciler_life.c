// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "reconciler_world.h"

static void test_full(void **state _unused_)
{
	struct reconciler_summary s;
	const char *text = "";
	struct world w;

	setup(&w, "");
	place(&w, 10);
	read_flows(&w, 1, 9, "Flow programmed", NEXTHOP, 5, false);
	read_flows(&w, 1, 9, "Flow programmed", NEXTHOP, 5,
		   true); /* two vanish without a word */
	read_flows(&w, 1, 11, "Flow rejected due to insufficient resources", NEXTHOP, 5, true);
	reconciler_summarize(w.r, w.now, &s);
	assert_int_equal(s.rejected, 10);
	teardown(&w);

	setup(&w, "");
	place(&w, 8);
	read_flows(&w, 1, 9, "Flow programmed", NEXTHOP, 5, false);
	wish(&w, 9, 9, NEXTHOP);
	wish(&w, 10, 10, NEXTHOP);
	batch(&w, BATCH_ADD, 2, BATCH_DONE, 0, 0);
	{
		struct reading reading = { .index.key = { 5, 6 }, .text = true };
		struct strbuf b = { 0 };

		for (int i = 1; i <= 10; i++)
			strbuf_addf(&b,
				    "Flow fp-1-tcp-12_12_12_1-%d-1_1_1_1-80: (%s)\n  actions:\n    "
				    "output nexthop: " NEXTHOP "\n",
				    i,
				    i <= 8 ? "Flow programmed"
					   : "Waiting for a resource to be allocated");
		assert_true(reading_add_text(&reading, w.config->switches, "fp-1-", b.data));
		w.now += 5000;
		assert_int_equal(reconciler_read(w.r, &reading, w.now - 10, w.now), 0);
		reading_clear(&reading);
		strbuf_free(&b);
	}
	assert_string_equal(state_of(&w, 10, &text), "rejected");
	assert_non_null(strstr(text, "resource"));
	batch(&w, BATCH_DELETE, 2, BATCH_DONE, 0, 0);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	reconciler_summarize(w.r, w.now, &s);
	assert_int_equal(s.capacity, 8);
	assert_int_equal(s.free, 0);
	/* One of ours goes: one may come. */
	wish(&w, 1, 20, NULL);
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	/* After a while one is tried. */
	w.now += 20000;
	read_flows(&w, 2, 10, "Flow programmed", NEXTHOP, 5, true);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	teardown(&w);
}

static void test_limits(void **state _unused_)
{
	struct world w;

	setup(&w, "max-flows = 3");
	for (uint16_t i = 1; i <= 5; i++)
		wish(&w, i, i, NEXTHOP);
	batch(&w, BATCH_ADD, 3, BATCH_DONE, 0, 0);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 5, NULL), "rejected");
	teardown(&w);
	setup(&w, "capacity = 4");
	for (uint16_t i = 1; i <= 5; i++)
		wish(&w, i, i, NEXTHOP);
	batch(&w, BATCH_ADD, 4, BATCH_DONE, 0, 0);
	reconciler_tcam(w.r, 0, w.now);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	teardown(&w);
	setup(&w, "batch-commands = 40");
	place(&w, 0);
	for (uint16_t i = 1; i <= 5; i++)
		wish(&w, i, i, NEXTHOP);
	batch(&w, BATCH_ADD, 2, BATCH_DONE, 0, 0);
	teardown(&w);
}

static void test_expiry(void **state _unused_)
{
	struct world w;

	setup(&w, "idle-timeout = 60s");
	place(&w, 3);
	read_flows(&w, 1, 4, "Flow programmed", NEXTHOP, 5, false);
	w.now += 70000;
	/* The counter of the first moved, and stood still for the others, which are gone. */
	read_flows(&w, 1, 2, "Flow programmed", NEXTHOP, 6, true);
	assert_string_equal(state_of(&w, 1, NULL), "programmed");
	assert_string_equal(state_of(&w, 2, NULL), "absent");
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	wish(&w, 2, 9, NEXTHOP); /* anew */
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	/* All vanish although one moved a moment ago and one is new: these were no expiry. */
	read_flows(&w, 1, 1, "", NULL, 0, true);
	batch(&w, BATCH_ADD, 2, BATCH_DONE, 0, 0);
	teardown(&w);

	/* A leftover of one that expired is deleted. */
	setup(&w, "idle-timeout = 60s");
	place(&w, 1);
	read_flows(&w, 1, 2, "Flow programmed", NEXTHOP, 5, false);
	w.now += 70000;
	read_flows(&w, 1, 2, "Flow not programmed", NEXTHOP, 5, false);
	assert_string_equal(state_of(&w, 1, NULL), "absent");
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	teardown(&w);

	/* Restarted: nothing expired. */
	setup(&w, "idle-timeout = 60s");
	place(&w, 1);
	read_flows(&w, 1, 2, "Flow programmed", NEXTHOP, 5, false);
	w.now += 70000;
	reconciler_reboot(w.r, w.now);
	read_flows(&w, 1, 1, "", NULL, 0, true);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	teardown(&w);
}

/* Found in the switch: how long nothing had come by then is not known, so that it may have expired
 * at any time, or have done so before. It is written anew, once: it may wait for its nexthop. */
static void test_found_inactive(void **state _unused_)
{
	for (int seen = 0; seen < 2; seen++) {
		const char *first = seen ? "Flow programmed" : "Flow not programmed";
		struct world w;

		setup(&w, "idle-timeout = 60s");
		wish(&w, 1, 1, NEXTHOP);
		read_flows(&w, 1, 2, first, NEXTHOP, 5, false);
		batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
		w.now += 10000;
		read_flows(&w, 1, 2, "Flow not programmed", NEXTHOP, 5, false);
		batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
		w.now += 10000;
		read_flows(&w, 1, 2, "Flow not programmed", NEXTHOP, 5, false);
		batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
		assert_string_equal(state_of(&w, 1, NULL), "pending");
		teardown(&w);
	}
}

/* A nexthop without a neighbour entry: not in hardware, and left alone. */
static void test_waits_for_neighbour(void **state _unused_)
{
	struct world w;

	setup(&w, "");
	place(&w, 2);
	for (int i = 0; i < 20; i++)
		read_flows(&w, 1, 3, "Flow not programmed", NEXTHOP, 0, true);
	assert_string_equal(state_of(&w, 1, NULL), "pending");
	batch(&w, BATCH_DELETE, 0, BATCH_DONE, 0, 0);
	teardown(&w);
}

static void test_old_reading(void **state _unused_)
{
	struct reading reading = { .index.key = { 5, 6 }, .text = true, .json = true };
	struct world w;

	setup(&w, "");
	place(&w, 1);
	/* It began before the flow was written. */
	assert_int_equal(reconciler_read(w.r, &reading, w.now - 50, w.now + 10), 0);
	assert_string_equal(state_of(&w, 1, NULL), "accepted");
	/* It began just behind it: the flow may still be on its way. */
	assert_int_equal(reconciler_read(w.r, &reading, w.now + 1000, w.now + 1010), 0);
	assert_string_equal(state_of(&w, 1, NULL), "accepted");
	assert_int_equal(reconciler_read(w.r, &reading, w.now + 9000, w.now + 9010), 0);
	assert_string_equal(state_of(&w, 1, NULL), "pending");
	reading_clear(&reading);
	teardown(&w);
}

/* Once may be because the table was emptied: only what vanishes again is refused by the switch. */
static void test_vanished(void **state _unused_)
{
	const char *text = "";
	struct world w;

	setup(&w, "");
	place(&w, 1);
	read_flows(&w, 1, 1, "", NULL, 0, true);
	assert_string_equal(state_of(&w, 1, &text), "pending");
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	read_flows(&w, 1, 1, "", NULL, 0, true);
	assert_string_equal(state_of(&w, 1, &text), "rejected");
	assert_string_equal(text, "it was accepted and vanished");
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	w.now += 5000;
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	read_flows(&w, 1, 1, "", NULL, 0, true);
	assert_string_equal(state_of(&w, 1, NULL), "rejected");
	teardown(&w);

	/* In hardware in between. */
	setup(&w, "");
	place(&w, 1);
	read_flows(&w, 1, 1, "", NULL, 0, true);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	read_flows(&w, 1, 2, "Flow programmed", NEXTHOP, 5, true);
	wish(&w, 1, 9, OTHER);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	read_flows(&w, 1, 1, "", NULL, 0, true);
	assert_string_equal(state_of(&w, 1, NULL), "pending");
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	teardown(&w);

	/* A restart explains it, as often as it happens. */
	setup(&w, "");
	place(&w, 1);
	for (int i = 0; i < 3; i++) {
		reconciler_reboot(w.r, w.now);
		read_flows(&w, 1, 1, "", NULL, 0, true);
		assert_string_equal(state_of(&w, 1, NULL), "pending");
		batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	}
	teardown(&w);
}

/* A reading that was under way while a flow was written shows what was there before. */
static void test_overtaken_reading(void **state _unused_)
{
	struct world w;
	uint64_t begin;

	setup(&w, "");
	place(&w, 2);
	read_flows(&w, 1, 3, "Flow programmed", NEXTHOP, 5, true);
	begin = w.now;
	wish(&w, 1, 10, OTHER);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	wish(&w, 2, 11, NULL);
	batch(&w, BATCH_DELETE, 1, BATCH_DONE, 0, 0);
	read_at(&w, begin, 1, 3, "Flow programmed", NEXTHOP, 5, true);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 2, NULL), "absent");
	teardown(&w);
}

static void test_unresolved_and_dry(void **state _unused_)
{
	struct world w;
	const char *text = "";

	setup(&w, "action-ipv4 = l2-rewrite");
	w.resolves = false;
	wish(&w, 1, 1, NEXTHOP);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 1, &text), "pending");
	assert_non_null(strstr(text, "does not know where"));
	w.resolves = true;
	batch(&w, BATCH_ADD, 1, BATCH_DRY, 0, 0);
	batch(&w, BATCH_ADD, 0, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 1, &text), "pending");
	assert_string_equal(text, "dry run");
	teardown(&w);
}

/* A model that shows another nexthop than the one that was written, for ever, does not keep us busy
 * for ever. */
static void test_odd_model(void **state _unused_)
{
	struct world w;
	int writes = 0;

	setup(&w, "");
	place(&w, 1);
	for (int i = 0; i < 20; i++) {
		struct write_batch b = { 0 };

		read_flows(&w, 1, 2, "Flow programmed", OTHER, 5, true);
		if (reconciler_next(w.r, 20, w.now, &b)) {
			writes++;
			reconciler_done(w.r, &b, BATCH_DONE, NULL, w.now);
			write_batch_clear(&b);
		}
	}
	assert_in_range(writes, 1, 4);
	teardown(&w);
}

static void test_shut_down(void **state _unused_)
{
	struct world w;
	int nudges = 0;

	setup(&w, "");
	place(&w, 3);
	read_flows(&w, 1, 4, "Flow programmed", NEXTHOP, 5, true);
	read_flows(&w, 1, 4, "Flow not programmed", NEXTHOP, 5, true);
	{
		struct write_batch b = { 0 };

		assert_true(reconciler_next(w.r, 20, w.now, &b));
		assert_int_equal(b.kind, BATCH_NUDGE);
		assert_string_equal(commands_get(&b.commands, b.commands.n - 1), "no shutdown");
		reconciler_done(w.r, &b, BATCH_DONE, NULL, w.now);
		write_batch_clear(&b);
	}
	/* An administrator who insists is asked again ever less often. */
	for (int i = 0; i < 120; i++) {
		struct write_batch b = { 0 };

		read_flows(&w, 1, 4, "Flow not programmed", NEXTHOP, 5, true);
		if (reconciler_next(w.r, 20, w.now, &b)) {
			nudges++;
			reconciler_done(w.r, &b, BATCH_DONE, NULL, w.now);
			write_batch_clear(&b);
		}
	}
	assert_in_range(nudges, 3, 6);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_found_inactive),
		cmocka_unit_test(test_waits_for_neighbour),
		cmocka_unit_test(test_old_reading),
		cmocka_unit_test(test_vanished),
		cmocka_unit_test(test_overtaken_reading),
		cmocka_unit_test(test_unresolved_and_dry),
		cmocka_unit_test(test_odd_model),
		cmocka_unit_test(test_shut_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
