// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "eapi/reconciler.h"
#include "eapi_fixture.h"

#define NEXTHOP "34.34.34.4"
#define OTHER "23.23.23.3"

/* A switch that remembers what it was told, in so far as these tests need it. */
struct world {
	struct config *config;
	struct reconciler *r;
	uint64_t now;
	bool resolves;
};

static bool resolve(void *arg, struct flow_target *t)
{
	struct world *w = arg;

	snprintf(t->interface, sizeof(t->interface), "Ethernet42");
	snprintf(t->mac, sizeof(t->mac), "00:00:00:00:00:03");
	return w->resolves;
}

static bool nexthop_of(void *arg _unused_, uint8_t family _unused_, const char *mac _unused_, const char *interface _unused_,
		       struct ip_addr *ret_nexthop _unused_)
{
	return false;
}

static void setup(struct world *w, const char *more)
{
	static const uint64_t key[2] = { 1, 2 };
	struct reconciler_resolver resolver = { .resolve = resolve, .nexthop = nexthop_of, .arg = w };

	*w = (struct world){ .config = eapi_config(more), .now = 1000000, .resolves = true };
	assert_int_equal(reconciler_new(w->config->switches, &resolver, key, &w->r), 0);
	reconciler_set_prefix(w->r, "fp-1-");
	reconciler_snapshot_begin(w->r);
	reconciler_snapshot_end(w->r);
}

static void teardown(struct world *w)
{
	reconciler_free(w->r);
	config_free(w->config);
}

static struct tuple flow(uint16_t n)
{
	return eapi_tuple("12.12.12.1", n, "1.1.1.1", 80, IPPROTO_TCP);
}

static void wish(struct world *w, uint16_t n, int64_t version, const char *nexthop)
{
	struct wish x = { .tuple = flow(n), .version = version, .present = nexthop != NULL };

	if (nexthop)
		x.nexthop = eapi_addr(nexthop);
	assert_int_equal(reconciler_wish(w->r, &x, w->now), 0);
}

/* One reading of flows first .. last - 1, some time later. */
static void read_flows(struct world *w, uint16_t first, uint16_t last, const char *status, const char *nexthop, uint64_t packets, bool text)
{
	struct reading reading = { .index.key = { 5, 6 } };
	struct strbuf b = { 0 };

	w->now += 5000;
	strbuf_adds(&b, "{\"flows\":[");
	for (uint16_t i = first; i < last; i++)
		strbuf_addf(&b, "%s{\"name\":\"fp-1-tcp-12_12_12_1-%u-1_1_1_1-80\",\"matchPackets\":%llu,\"matchBytes\":1%s%s%s}",
			    i > first ? "," : "", i, (unsigned long long)packets, nexthop ? ",\"action\":{\"outputNexthop\":\"" : "",
			    nexthop ? nexthop : "", nexthop ? "\"}" : "");
	strbuf_adds(&b, "],\"details\":{\"status\":{");
	for (uint16_t i = first; i < last; i++)
		strbuf_addf(&b, "%s\"fp-1-tcp-12_12_12_1-%u-1_1_1_1-80\":\"%s\"", i > first ? "," : "", i, status);
	strbuf_adds(&b, "}}}");
	{
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(b.data);

		assert_true(reading_add_json(&reading, w->config->switches, "fp-1-", o));
	}
	reading.text = text;
	assert_int_equal(reconciler_read(w->r, &reading, w->now - 100, w->now), 0);
	reading_clear(&reading);
	strbuf_free(&b);
}

static const char *state_of(struct world *w, uint16_t n, const char **ret_text)
{
	struct tuple t = flow(n);
	struct observation o;
	size_t at = 0;

	while (reconciler_report(w->r, true, &at, w->now, &o)) {
		if (memcmp(&o.tuple, &t, sizeof(t)) != 0)
			continue;
		if (ret_text)
			*ret_text = o.text;
		return observation_state_name(o.state);
	}
	return "none";
}

/* The next batch has `adds` or `deletes` flows; it ends as told. */
static void batch(struct world *w, enum batch_kind kind, size_t n, enum batch_outcome outcome, size_t at, int code)
{
	struct batch_failure failure = { .at = at, .code = code, .text = "Invalid input" };
	struct write_batch b = { 0 };

	assert_int_equal(reconciler_next(w->r, 20, w->now, &b), n > 0);
	if (n > 0) {
		assert_int_equal(b.kind, kind);
		assert_int_equal(b.n, n);
		w->now += 10;
		reconciler_done(w->r, &b, outcome, &failure, w->now);
	}
	write_batch_clear(&b);
}

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
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
	for (uint16_t i = 2; i <= 25; i++)
		wish(&w, i, 30 + i, NULL);
	batch(&w, BATCH_DELETE, 24, BATCH_DONE, 0, 0);
	assert_string_equal(state_of(&w, 2, NULL), "absent");
	read_flows(&w, 1, 2, "Flow programmed", OTHER, 5, false);
	assert_string_equal(state_of(&w, 2, NULL), "none");
	teardown(&w);
}

/* The batch's first command of flow i is 4 + 12 i: "no flow", "flow", six matches, priority, persistence, timeout, action. */
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

static void place(struct world *w, uint16_t n)
{
	for (uint16_t i = 1; i <= n; i++)
		wish(w, i, i, NEXTHOP);
	for (uint16_t left = n; left > 0; left = left > 20 ? (uint16_t)(left - 20) : 0)
		batch(w, BATCH_ADD, left > 20 ? 20 : left, BATCH_DONE, 0, 0);
}

static void test_full(void **state _unused_)
{
	struct reconciler_summary s;
	const char *text;
	struct world w;

	setup(&w, "");
	place(&w, 10);
	read_flows(&w, 1, 9, "Flow programmed", NEXTHOP, 5, false);
	read_flows(&w, 1, 9, "Flow programmed", NEXTHOP, 5, true); /* two vanish: rejected without a word */
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
			strbuf_addf(&b, "Flow fp-1-tcp-12_12_12_1-%d-1_1_1_1-80: (%s)\n  actions:\n    output nexthop: " NEXTHOP "\n", i,
				    i <= 8 ? "Flow programmed" : "Waiting for a resource to be allocated");
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
	/* All vanish although one moved a moment ago: that one was no expiry. */
	read_flows(&w, 1, 1, "", NULL, 0, true);
	batch(&w, BATCH_ADD, 1, BATCH_DONE, 0, 0);
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
	assert_string_equal(state_of(&w, 1, NULL), "rejected");
	reading_clear(&reading);
	teardown(&w);
}

static void test_unresolved_and_dry(void **state _unused_)
{
	struct world w;
	const char *text;

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

/* A model that shows another nexthop than the one that was written, for ever, does not keep us busy for ever. */
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
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_delete),	 cmocka_unit_test(test_failed_in_the_middle),
		cmocka_unit_test(test_failed_in_front),	 cmocka_unit_test(test_family_refused),
		cmocka_unit_test(test_missing_is_error), cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_adoption),	 cmocka_unit_test(test_full),
		cmocka_unit_test(test_limits),		 cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_waits_for_neighbour), cmocka_unit_test(test_old_reading),
		cmocka_unit_test(test_unresolved_and_dry), cmocka_unit_test(test_odd_model),
		cmocka_unit_test(test_shut_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
