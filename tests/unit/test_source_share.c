// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit/placement_fixture.h"

#include "core/flow.h"
#include "core/source_share.h"

/* What one source network may have, in the flow table and in a switch. */

static const struct source_share_prefixes PREFIXES = { .len4 = 24, .len6 = 56 };

/* Flow n of the network 10.0.`net`.0/24, or of fd00:0:0:`net`00::/56. */
static struct tuple from_net(uint8_t net, uint32_t n)
{
	struct tuple t = { .family = AF_INET, .proto = 6, .dport = 80 };

	t.sport = (uint16_t)n;
	memcpy(t.src, (uint8_t[]){ 10, 0, net, (uint8_t)(n >> 16) }, 4);
	t.dst[0] = 1;
	return t;
}

static struct tuple from_net6(uint8_t net, uint32_t n)
{
	struct tuple t = { .family = AF_INET6, .proto = 6, .sport = (uint16_t)n, .dport = 80 };

	t.src[0] = 0xfd;
	t.src[6] = net;
	t.src[7] = (uint8_t)n; /* behind the prefix */
	t.dst[0] = 1;
	return t;
}

static void test_counts(void **state)
{
	_cleanup_(source_share_freep) struct source_share *s = NULL;
	struct tuple a = from_net(1, 1), b = from_net(1, 0x20002), c = from_net(2, 1);
	struct tuple six = from_net6(1, 1), six2 = from_net6(1, 200), six3 = from_net6(2, 1);
	uint32_t net;

	(void)state;
	assert_int_equal(source_share_new(0, PREFIXES, SEED, &s), -EINVAL);
	assert_int_equal(source_share_new(4, (struct source_share_prefixes){ 0, 56 }, SEED, &s),
			 -EINVAL);
	assert_int_equal(source_share_new(4, (struct source_share_prefixes){ 24, 65 }, SEED, &s),
			 -EINVAL);
	assert_int_equal(source_share_new(4, PREFIXES, SEED, &s), 0);
	assert_int_equal(source_share_find(s, &a), 0);
	net = source_share_take(s, &a);
	assert_int_not_equal(net, 0);
	assert_int_equal(source_share_take(s, &b), net);
	assert_int_equal(source_share_count(s, net), 2);
	assert_int_not_equal(source_share_take(s, &c), net);
	assert_int_equal(source_share_take(s, &six), source_share_take(s, &six2));
	assert_int_not_equal(source_share_take(s, &six3), 0);
	c.src[1] = 9;
	assert_int_equal(source_share_take(s, &c), 0); /* a fifth network */
	source_share_put(s, net);
	assert_int_equal(source_share_find(s, &a), net);
	source_share_put(s, net);
	assert_int_equal(source_share_find(s, &a), 0);
	assert_int_not_equal(source_share_take(s, &c), 0);
}

/* Against plain arrays, over many networks that come and go. */
static void test_model(void **state)
{
	_cleanup_(source_share_freep) struct source_share *s = NULL;
	uint32_t counts[256] = { 0 }, total = 0;
	uint64_t random = 1;

	(void)state;
	assert_int_equal(source_share_new(300, PREFIXES, SEED, &s), 0);
	for (int i = 0; i < 200000; i++) {
		uint8_t net = (uint8_t)(random_next(&random) >> 8);
		struct tuple t = from_net(net, (uint32_t)i);
		uint32_t at = source_share_find(s, &t);

		assert_int_equal(source_share_count(s, at), counts[net]);
		if (total < 300 && random_next(&random) >> 63) {
			assert_int_not_equal(source_share_take(s, &t), 0);
			counts[net]++;
			total++;
		} else if (at) {
			source_share_put(s, at);
			counts[net]--;
			total--;
		}
	}
}

static int add(struct flow_table *t, struct tuple tuple)
{
	struct flow *f;

	return flow_table_add(t, &tuple, &f);
}

static void test_flow_table(void **state)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	struct tuple a = from_net(1, 0), b = from_net(2, 0);

	(void)state;
	assert_int_equal(flow_table_new(1000, SEED, &t), 0);
	for (uint32_t n = 0; n < 50; n++)
		assert_int_equal(add(t, from_net(1, n)), 1);
	assert_false(flow_table_source_full(t, &a));
	assert_int_equal(flow_table_source_limit(t, 60, PREFIXES), 0);
	/* Those that were there count. */
	for (uint32_t n = 50; n < 60; n++)
		assert_int_equal(add(t, from_net(1, n)), 1);
	assert_true(flow_table_source_full(t, &a));
	assert_false(flow_table_source_over(t, &a));
	assert_int_equal(add(t, from_net(1, 60)), -EDQUOT);
	assert_int_equal(add(t, a), 0); /* a known one stays known */
	assert_int_equal(add(t, b), 1);
	assert_false(flow_table_source_over(t, &b));
	flow_table_remove(t, flow_table_get(t, &a));
	assert_false(flow_table_source_full(t, &a));
	assert_true(flow_table_source_over(t, &a)); /* 60 may be there still */
	assert_int_equal(add(t, from_net(1, 60)), 1);
	assert_int_equal(add(t, from_net(1, 61)), -EDQUOT);
	/* A lower limit takes nothing away, none at all lets everything in. */
	assert_int_equal(flow_table_source_limit(t, 10, PREFIXES), 0);
	assert_int_equal(flow_table_count(t), 61);
	assert_int_equal(add(t, from_net(1, 61)), -EDQUOT);
	assert_int_equal(flow_table_source_limit(t, 62, (struct source_share_prefixes){ 16, 56 }),
			 0);
	assert_int_equal(add(t, from_net(7, 1)), 1); /* one network with the others now */
	assert_int_equal(add(t, from_net(7, 2)), -EDQUOT);
	assert_int_equal(flow_table_source_limit(t, 0, PREFIXES), 0);
	assert_int_equal(add(t, from_net(7, 2)), 1);
}

static void test_memory(void **state)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	uint32_t n = 1000000;

	(void)state;
	assert_int_equal(flow_table_new(n, SEED, &t), 0);
	assert_int_equal(flow_table_source_limit(t, 1000, PREFIXES), 0);
	for (uint32_t i = 0; i < n; i++) { /* each from a network of its own */
		struct tuple a = { .family = AF_INET6, .proto = 6, .dport = 80, .dst = { 1 } };

		memcpy(a.src, &i, sizeof(i));
		assert_int_equal(add(t, a), 1);
	}
	assert_true(flow_table_memory(t) / n < 128);
}

/* --- in a switch */

static struct placement_options shared(enum placement_policy policy, uint32_t max_flows)
{
	struct placement_options o = options_of(policy, max_flows);

	o.source_share = 25;
	o.prefixes = PREFIXES;
	return o;
}

static void offer_net(struct placement *p, uint8_t net, uint32_t from, uint32_t to, uint64_t now_ms)
{
	struct placement_facts f = facts_of(now_ms);

	for (uint32_t n = from; n < to; n++) {
		struct tuple t = from_net(net, n);

		(void)!placement_offer(p, &t, &f, now_ms);
	}
	placement_settle(p, now_ms);
}

static uint32_t in_net(const struct placement *p, uint8_t net)
{
	struct placement_view v;
	uint32_t cursor = 0, n = 0;

	while (placement_walk(p, &cursor, &v))
		n += v.present && v.tuple.src[2] == net;
	return n;
}

static void told(struct placement *p, uint64_t now_ms)
{
	placement_attach(p);
	tell_all(p, now_ms);
}

static void test_alone(void **state)
{
	struct placement_options o = shared(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);

	(void)state;
	/* Nobody else wants the room. */
	offer_net(p, 1, 0, 500, 1000);
	told(p, 1000);
	assert_int_equal(in_net(p, 1), 100);
	assert_int_equal(numbers_of(p).yielded, 0);
	assert_int_equal(numbers_of(p).over_share, 400);
	assert_int_equal(numbers_of(p).waiting, 400);
}

static void test_gives_way(void **state)
{
	struct placement_options o = shared(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct tuple t;

	(void)state;
	offer_net(p, 1, 0, 500, 1000);
	told(p, 1000);
	/* Others come: the flood keeps its share and what nobody wants, and its oldest ones. */
	offer_net(p, 2, 0, 20, 2000);
	assert_int_equal(in_net(p, 2), 20);
	assert_int_equal(in_net(p, 1), 80);
	assert_int_equal(numbers_of(p).yielded, 20);
	t = from_net(1, 0);
	assert_true(is_in(p, t));
	offer_net(p, 3, 0, 500, 3000);
	assert_int_equal(in_net(p, 2), 20); /* below its share: never touched */
	assert_int_equal(in_net(p, 1) + in_net(p, 3), 80);
	assert_true(in_net(p, 1) >= 25 && in_net(p, 3) >= 25);
	/* When others end, the room goes to those that wait. */
	tell_all(p, 3000);
	for (uint32_t n = 0; n < 20; n++) {
		t = from_net(2, n);
		placement_withdraw(p, &t, PLACEMENT_ENDED, 4000);
	}
	placement_settle(p, 4000);
	assert_int_equal(in_net(p, 1) + in_net(p, 3), 100);
}

static void test_flood_evicts_nobody(void **state)
{
	struct placement_options o = shared(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	uint64_t evicted, version;

	(void)state;
	for (uint8_t net = 10; net < 20; net++)
		offer_net(p, net, 0, 4, 1000);
	told(p, 1000);
	evicted = numbers_of(p).removed[PLACEMENT_EVICTED];
	for (uint32_t n = 0; n < 50000; n += 1000)
		offer_net(p, 1, n, n + 1000, 2000 + n);
	for (uint8_t net = 10; net < 20; net++)
		assert_int_equal(in_net(p, net), 4);
	assert_int_equal(in_net(p, 1), 60);
	assert_int_equal(numbers_of(p).removed[PLACEMENT_EVICTED], evicted);
	/* The room shrinks: the flood's go, and no other one even for a moment. */
	version = view_of(p, from_net(10, 0)).version;
	placement_capacity_set(p, 85, 60000);
	assert_int_equal(in_net(p, 1), 45);
	for (uint8_t net = 10; net < 20; net++)
		assert_int_equal(in_net(p, net), 4);
	assert_int_equal(view_of(p, from_net(10, 0)).version, version);
}

static void test_candidates(void **state)
{
	struct placement_options o = shared(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = NULL;
	struct placement_facts f = facts_of(3000);
	struct tuple t = from_net(1, 60000);

	(void)state;
	o.max_candidates = 400;
	p = placement_made(&o);
	offer_net(p, 1, 0, 1000, 1000);
	told(p, 1000);
	assert_int_equal(numbers_of(p).candidates, 400);
	assert_int_equal(numbers_of(p).refused, 600);
	/* No room for a further one of the flood; always for one of others below their share. */
	assert_int_equal(placement_offer(p, &t, &f, 3000), -ENOSPC);
	offer_net(p, 2, 0, 90, 3000);
	assert_int_equal(numbers_of(p).candidates, 400);
	assert_int_equal(in_net(p, 2), 25);
	assert_int_equal(in_net(p, 1), 75);
}

static void test_six_and_share_of_one(void **state)
{
	struct placement_options o = shared(PLACEMENT_POLICY_ALL, 2);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	struct placement_facts f = facts_of(1000);

	(void)state;
	f.nexthop.family = AF_INET6;
	offer(p, from_net6(1, 1), &f, 1000);
	offer(p, from_net6(1, 2), &f, 1000);
	offer(p, from_net6(1, 3), &f, 1000);
	placement_settle(p, 1000);
	offer(p, from_net6(2, 1), &f, 2000);
	placement_settle(p, 2000);
	assert_true(is_in(p, from_net6(1, 1)));
	assert_false(is_in(p, from_net6(1, 2)));
	assert_true(is_in(p, from_net6(2, 1)));
}

static void test_heavy(void **state)
{
	struct placement_options o = shared(PLACEMENT_POLICY_HEAVY, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);
	uint64_t now = 1000;

	(void)state;
	offer_net(p, 1, 0, 300, now);
	offer_net(p, 2, 0, 60, now);
	for (int interval = 1; interval <= 6; interval++) {
		now += 10 * SECOND;
		for (uint32_t n = 0; n < 360; n++) {
			struct tuple t = n < 300 ? from_net(1, n) : from_net(2, n - 300);

			/* Each flow of the flood is ten times as large. */
			placement_account(p, &t, (uint64_t)interval * (n < 300 ? 1000000 : 100000),
					  now);
		}
		placement_interval(p, now);
	}
	/* Its share, and the rest goes by size. */
	assert_int_equal(in_net(p, 2), 25);
	assert_int_equal(in_net(p, 1), 75);
}

static void test_reload(void **state)
{
	struct placement_options o = shared(PLACEMENT_POLICY_ALL, 100);
	_cleanup_(placement_freep) struct placement *p = placement_made(&o);

	(void)state;
	offer_net(p, 1, 0, 200, 1000);
	offer_net(p, 2, 0, 60, 1000);
	told(p, 1000);
	assert_int_equal(in_net(p, 1), 75);
	assert_int_equal(in_net(p, 2), 25);
	o.source_share = 100;
	assert_int_equal(placement_options_set(p, &o, 2000), 0);
	offer_net(p, 3, 0, 10, 3000);
	assert_int_equal(in_net(p, 3), 0);
	o.source_share = 10;
	assert_int_equal(placement_options_set(p, &o, 4000), 0);
	assert_int_equal(in_net(p, 3), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_flow_table),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_gives_way),
		cmocka_unit_test(test_flood_evicts_nobody),
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_six_and_share_of_one),
		cmocka_unit_test(test_heavy),
		cmocka_unit_test(test_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
