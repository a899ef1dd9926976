// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit/placement_fixture.h"

/* What flowpin-eapi is told, and what it finds in the switch. */

/* A flowpin-eapi and its switch, as simple as can be: it knows what it was told since it attached,
 * the switch holds what was applied. */
enum { KEYS = 300 };
struct peer {
	struct {
		bool known, present;
		uint64_t version;
		struct ip_addr nexthop;
	} told[KEYS];
	struct {
		bool there;
		struct ip_addr nexthop;
	} holds[KEYS];
	struct placement_wish batch[16];
	struct placement_batch open; /* serial 0: none */
	bool snapshot_done;
	uint64_t snapshots, changes;
};

static uint32_t key_of(const struct tuple *t)
{
	uint32_t n;

	memcpy(&n, t->src, sizeof(n));
	assert_true(n < KEYS);
	return n;
}

static void peer_attach(struct peer *e, struct placement *p)
{
	memset(e->told, 0, sizeof(e->told));
	e->open.serial = 0;
	e->snapshot_done = false;
	placement_attach(p);
}

/* Takes a batch, without saying that it is done. */
static bool peer_take(struct peer *e, struct placement *p, size_t max, uint64_t now_ms)
{
	static const int order[2][PLACEMENT_REASON_COUNT] = {
		/* absent */ { [PLACEMENT_DEAD] = 0,
			       [PLACEMENT_RELEASED] = 0,
			       [PLACEMENT_MOVED] = 1,
			       [PLACEMENT_ENDED] = 1,
			       [PLACEMENT_EVICTED] = 1,
			       [PLACEMENT_REJECTED] = 1 },
		/* present */
		{ [PLACEMENT_MOVED] = 1, [PLACEMENT_PLACED] = 2, [PLACEMENT_ADOPTED] = 2 },
	};
	int last = 0;

	if (!placement_next(p, now_ms, e->batch, max, &e->open))
		return false;
	assert_true(e->open.n <= max);
	assert_int_equal(e->open.kind == PLACEMENT_CHANGE, e->snapshot_done);
	for (size_t i = 0; i < e->open.n; i++) {
		const struct placement_wish *w = &e->batch[i];
		uint32_t k = key_of(&w->tuple);
		int rank = order[w->present][w->reason];

		/* Never anything old; and what ends before what begins. */
		assert_true(w->version > e->told[k].version);
		if (e->open.kind == PLACEMENT_CHANGE)
			assert_true(rank >= last);
		last = rank;
		e->told[k].known = true;
		e->told[k].version = w->version;
		e->told[k].present = w->present;
		e->told[k].nexthop = w->nexthop;
		e->changes += e->open.kind == PLACEMENT_CHANGE;
	}
	if (e->open.kind == PLACEMENT_END) {
		e->snapshot_done = true;
		e->snapshots++;
	}
	return true;
}

static void peer_done(struct peer *e, struct placement *p)
{
	if (e->open.serial == 0)
		return;
	assert_int_equal(placement_done(p, e->open.serial + 1), -ESTALE);
	assert_int_equal(placement_done(p, e->open.serial), 0);
	assert_int_equal(placement_done(p, e->open.serial), -ESTALE);
	e->open.serial = 0;
}

/* Brings one entry of the switch to what was told. */
static void peer_apply(struct peer *e, uint32_t k)
{
	if (!e->told[k].known)
		return;
	e->holds[k].there = e->told[k].present;
	e->holds[k].nexthop = e->told[k].nexthop;
}

static void peer_report(struct peer *e, struct placement *p, uint32_t k, uint64_t now_ms)
{
	struct placement_observation o = { .version = e->told[k].version,
					   .nexthop = e->holds[k].nexthop };
	struct tuple t = flow_number(k);
	struct placement_facts f = facts_of(now_ms);

	o.state = e->holds[k].there ? PLACEMENT_STATE_PROGRAMMED : PLACEMENT_STATE_ABSENT;
	if (!e->told[k].known && e->holds[k].there)
		o.state = PLACEMENT_STATE_ADOPTED;
	if (placement_observe(p, &t, &o, now_ms) == 0)
		return;
	assert_true(e->holds[k].there);
	f.nexthop = e->holds[k].nexthop;
	assert_true(placement_adopt(p, &t, &f, now_ms) >= 0);
}

static void peer_read_all(struct peer *e, struct placement *p, uint64_t now_ms)
{
	placement_observe_full_begin(p);
	for (uint32_t k = 0; k < KEYS; k++)
		if (e->holds[k].there)
			peer_report(e, p, k, now_ms);
	placement_observe_full_end(p, now_ms);
}

/* When all is told, applied and read, all three agree and nothing is left over. */
static void check_converged(struct peer *e, struct placement *p, const bool *offered,
			    const uint8_t *hop, uint64_t now_ms)
{
	uint32_t there = 0;

	for (int i = 0; i < 3; i++) {
		peer_done(e, p);
		while (peer_take(e, p, 16, now_ms))
			peer_done(e, p);
		for (uint32_t k = 0; k < KEYS; k++)
			peer_apply(e, k);
		peer_read_all(e, p, now_ms);
	}
	assert_int_equal(numbers_of(p).dirty, 0);
	assert_int_equal(numbers_of(p).deleting, 0);
	for (uint32_t k = 0; k < KEYS; k++) {
		bool in = is_in(p, flow_number(k));

		assert_int_equal(in, e->holds[k].there);
		assert_int_equal(in, e->told[k].known && e->told[k].present);
		there += in;
		if (offered[k])
			assert_int_equal(view_of(p, flow_number(k)).nexthop.bytes[3], hop[k]);
		if (in)
			assert_int_equal(e->holds[k].nexthop.bytes[3],
					 view_of(p, flow_number(k)).nexthop.bytes[3]);
	}
	assert_int_equal(numbers_of(p).desired, there);
	assert_int_equal(numbers_of(p).programmed, there);
}

static void random_flow(struct placement *p, bool *offered, uint8_t *hop, uint32_t k, uint64_t x,
			uint64_t now_ms)
{
	static const enum placement_reason reasons[] = { PLACEMENT_ENDED, PLACEMENT_DEAD,
							 PLACEMENT_RELEASED, PLACEMENT_MOVED };
	struct placement_facts f = facts_of(now_ms);
	struct tuple t = flow_number(k);

	if (x % 3) {
		hop[k] = (uint8_t)(1 + (x >> 8) % 3);
		f.nexthop = hop_number(hop[k]);
		offer(p, t, &f, now_ms);
		offered[k] = true;
	} else {
		placement_withdraw(p, &t, reasons[(x >> 8) % ARRAY_SIZE(reasons)], now_ms);
		offered[k] = false;
	}
}

static void test_random_operations(void **state)
{
	static struct peer e;
	static bool offered[KEYS];
	static uint8_t hop[KEYS];
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 150);
	_cleanup_(placement_freep) struct placement *p = NULL;
	uint64_t rng = 88172645463325252ULL;

	(void)state;
	o.max_candidates = KEYS;
	p = placement_made(&o);
	peer_attach(&e, p);
	for (uint64_t i = 0; i < 200000; i++) {
		uint64_t x = random_next(&rng);
		uint32_t k = (uint32_t)(x >> 40) % KEYS, op = (uint32_t)(x >> 32) % 64;

		if (op < 24)
			random_flow(p, offered, hop, k, x >> 4, i);
		else if (op < 32)
			peer_done(&e, p);
		else if (op < 40)
			(void)peer_take(&e, p, 1 + x % 16, i);
		else if (op < 56)
			peer_apply(&e, k);
		else if (op < 62 && e.snapshot_done)
			peer_report(&e, p, k, i);
		else if (op == 62 && x % 50 == 0)
			peer_attach(&e, p);
		else if (op == 63 && x % 50 == 0 && e.snapshot_done)
			peer_read_all(&e, p, i);
		assert_true(i % 64 || numbers_of(p).desired <= 150);
		if (i % 10000 == 9999) {
			/* What was adopted without being offered goes like any flow. */
			for (uint32_t n = 0; n < KEYS; n++)
				if (!offered[n]) {
					struct tuple t = flow_number(n);

					placement_withdraw(p, &t, PLACEMENT_ENDED, i);
				}
			check_converged(&e, p, offered, hop, i);
		}
	}
	assert_true(e.snapshots > 50);
	assert_true(e.changes > 10000);
}

/* Each flow is in the snapshot, or told as a change after it, whatever happens meanwhile. */
static void test_snapshot_during_changes(void **state)
{
	static struct peer e;
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, KEYS);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts f = facts_of(0);
	struct tuple t;

	(void)state;
	memset(&e, 0, sizeof(e));
	offer_range(p, 0, 100, 0);
	assert_false(peer_take(&e, p, 16, 0)); /* nobody is attached */
	peer_attach(&e, p);
	assert_true(peer_take(&e, p, 16, 0));
	assert_int_equal(e.open.kind, PLACEMENT_BEGIN);
	assert_false(peer_take(&e, p, 16, 0)); /* not before it is done */
	peer_done(&e, p);
	assert_true(peer_take(&e, p, 10, 0));
	assert_int_equal(e.open.kind, PLACEMENT_PART);
	assert_int_equal(e.open.n, 10);
	/* One that is in the part changes before it is done; one is gone, one not told yet changes
	 * and one goes; new ones come, in the place of one that went. */
	f.nexthop = hop_number(2);
	offer(p, flow_number(3), &f, 0);
	t = flow_number(4);
	placement_withdraw(p, &t, PLACEMENT_DEAD, 0);
	offer(p, flow_number(50), &f, 0);
	t = flow_number(60);
	placement_withdraw(p, &t, PLACEMENT_ENDED, 0);
	offer_range(p, 100, 120, 0);
	peer_done(&e, p);
	while (!e.snapshot_done) {
		assert_true(peer_take(&e, p, 10, 0));
		peer_done(&e, p);
	}
	assert_int_equal(e.told[3].nexthop.bytes[3], 1);
	assert_true(e.told[4].present);
	assert_int_equal(e.told[50].nexthop.bytes[3], 2);
	assert_false(e.told[60].known);
	while (peer_take(&e, p, 10, 0))
		peer_done(&e, p);
	assert_int_equal(e.told[3].nexthop.bytes[3], 2);
	assert_false(e.told[4].present);
	for (uint32_t k = 0; k < 120; k++)
		assert_int_equal(e.told[k].known && e.told[k].present, k != 4 && k != 60);
	assert_int_equal(numbers_of(p).dirty, 0);
	/* Another one attaches in the middle of a batch: everything again, the deletion too. */
	offer_range(p, 200, 210, 0);
	assert_true(peer_take(&e, p, 10, 0));
	peer_attach(&e, p);
	assert_int_equal(numbers_of(p).dirty, numbers_of(p).desired + 1);
	while (peer_take(&e, p, 16, 0))
		peer_done(&e, p);
	for (uint32_t k = 0; k < 210; k++)
		assert_int_equal(e.told[k].present, k != 4 && k != 60 && (k < 120 || k >= 200));
	assert_true(e.told[4].known);
	placement_detach(p);
	offer_range(p, 210, 220, 0);
	assert_false(peer_take(&e, p, 16, 0));
}

/* The order of changes. */
static void test_order(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts drain = facts_of(0);
	static const enum placement_reason expected[] = { PLACEMENT_DEAD, PLACEMENT_RELEASED,
							  PLACEMENT_ENDED,
							  PLACEMENT_SERVICE_REMOVED };
	struct placement_wish w[10];
	struct placement_batch b;
	struct tuple t;

	(void)state;
	placement_attach(p);
	offer_range(p, 0, 4, 0);
	tell_all(p, 0);
	offer_range(p, 10, 12, 0);
	drain.draining = true;
	offer(p, flow_number(20), &drain, 0);
	placement_settle(p, 0);
	for (uint32_t i = 0; i < 4; i++) {
		static const uint32_t order[] = { 2, 0, 3, 1 };

		t = flow_number(order[i]);
		placement_withdraw(p, &t, expected[order[i]], 0);
	}
	assert_true(placement_next(p, 0, w, 10, &b));
	assert_int_equal(b.n, 7);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(w[i].reason, expected[i]);
		assert_false(w[i].present);
	}
	assert_int_equal(w[4].tuple.sport, 20);
	assert_int_equal(w[5].tuple.sport, 10);
	assert_int_equal(w[6].tuple.sport, 11);
}

/* What was never told needs no deletion. */
static void test_untold(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t = flow_number(0);
	uint64_t version;

	(void)state;
	placement_attach(p);
	tell_all(p, 0);
	offer_range(p, 0, 1, 0);
	placement_settle(p, 0);
	version = view_of(p, t).version;
	placement_withdraw(p, &t, PLACEMENT_ENDED, 0);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_ENDED], 0);
	assert_int_equal(tell_all(p, 0), 0);
	/* Versions go on, also of a flow that was forgotten. */
	offer_range(p, 0, 1, 0);
	placement_settle(p, 0);
	assert_true(view_of(p, t).version > version);
}

static void test_adoption(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_NONE, 10);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_observation seen = { .state = PLACEMENT_STATE_ADOPTED,
					      .nexthop = hop_number(1) };
	struct placement_facts f = facts_of(0);
	struct tuple unknown = flow_number(1), known = flow_number(2), other = flow_number(3),
		     nat = flow_number(4);
	struct placement_view v;

	(void)state;
	placement_attach(p);
	tell_all(p, 0);
	/* Not adopted: it is only counted, and nothing is told. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(placement_observe(p, &unknown, &seen, 0), 1);
		placement_observe_full_end(p, 0);
	}
	assert_int_equal(tell_all(p, 0), 0);
	assert_int_equal(placement_adopt(p, &unknown, &f, 0), 1);
	v = view_of(p, unknown);
	assert_true(v.present && v.adopted);
	assert_int_equal(v.state, PLACEMENT_STATE_ADOPTED);
	assert_int_equal(tell_all(p, 0), 1);
	assert_int_equal(numbers_of(p).adopted, 1);
	assert_int_equal(numbers_of(p).programmed, 1);
	/* A flow that is known: adopted by itself where it goes to the same nexthop. */
	offer(p, known, &f, 0);
	assert_int_equal(placement_observe(p, &known, &seen, 0), 0);
	assert_true(is_in(p, known));
	f.nexthop = hop_number(2);
	offer(p, other, &f, 0);
	assert_int_equal(placement_observe(p, &other, &seen, 0), 0);
	assert_int_equal(placement_observe(p, &other, &seen, 0), 0);
	assert_false(is_in(p, other));
	assert_int_equal(numbers_of(p).conflicts, 1);
	/* One with NAT must not be there. */
	f.nat = true;
	f.nexthop = hop_number(1);
	offer(p, nat, &f, 0);
	assert_int_equal(placement_observe(p, &nat, &seen, 0), 0);
	assert_int_equal(tell_all(p, 0), 2);
	assert_int_equal(numbers_of(p).deleting, 1);
	/* A deletion that is under way, and an old report of it, adopt nothing. */
	placement_withdraw(p, &known, PLACEMENT_ENDED, 0);
	tell_all(p, 0);
	assert_int_equal(placement_observe(p, &known, &seen, 0), 0);
	assert_int_equal(view_of(p, known).n_zones, 0);
	assert_int_equal(observe(p, known, PLACEMENT_STATE_ABSENT, PLACEMENT_CLASS_NONE, 0), 0);
	assert_int_equal(placement_get(p, &known, &v), -ENOENT);
	seen.version = 1;
	assert_int_equal(placement_observe(p, &known, &seen, 0), 0);
	/* What is left of a refused one is nobody's flow. */
	seen.version = 0;
	seen.state = PLACEMENT_STATE_REJECTED;
	assert_int_equal(placement_observe(p, &known, &seen, 0), 0);
}

/* What the switch had before our wish is over once it has ours, or nothing any more. */
static void test_conflict_ends(void **state)
{
	struct placement_options o = options_of(PLACEMENT_POLICY_ALL, 10);
	struct placement_observation seen = { .state = PLACEMENT_STATE_ADOPTED,
					      .nexthop = hop_number(1) };
	struct placement_facts f = facts_of(0);
	struct tuple t = flow_number(1);

	(void)state;
	f.nexthop = hop_number(2);
	for (int ours = 0; ours < 2; ours++) {
		_cleanup_(placement_freep) struct placement *p = placement_made(&o);

		placement_attach(p);
		offer(p, t, &f, 0);
		assert_int_equal(placement_observe(p, &t, &seen, 0), 0);
		placement_observe_full_end(p, 0);
		assert_true(view_of(p, t).conflict);
		if (ours) {
			placement_settle(p, 0);
			tell_all(p, 0);
			assert_true(view_of(p, t).conflict);
			observe(p, t, PLACEMENT_STATE_PROGRAMMED, PLACEMENT_CLASS_NONE, 0);
		} else {
			placement_observe_full_end(p, 0);
		}
		assert_false(view_of(p, t).conflict);
		assert_int_equal(numbers_of(p).conflicts, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_operations),
		cmocka_unit_test(test_snapshot_during_changes),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_untold),
		cmocka_unit_test(test_adoption),
		cmocka_unit_test(test_conflict_ends),
	};

	return cmocka_run_group_tests_name("placement, wishes", tests, NULL, NULL);
}
