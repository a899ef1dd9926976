// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/flow.h"

static const uint64_t SEED[2] = { 0x0123456789abcdefULL, 0xfedcba9876543210ULL };

/* xorshift64*: the same operations in every run. */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static struct tuple tuple_number(uint32_t n)
{
	struct tuple t = {
		.family = n & 1 ? AF_INET : AF_INET6, .proto = 6, .sport = (uint16_t)n, .dport = 80
	};

	t.zone = n % 3 == 0 ? 101 : 0;
	memcpy(t.src, &n, sizeof(n));
	t.dst[0] = 1;
	return t;
}

static struct flow *add_number(struct flow_table *t, uint32_t n)
{
	struct tuple tuple = tuple_number(n);
	struct flow *f = NULL;

	assert_int_equal(flow_table_add(t, &tuple, &f), 1);
	assert_non_null(f);
	return f;
}

static void test_add_get_remove(void **state)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	struct tuple a = tuple_number(1), b = tuple_number(2);
	struct flow *f, *again = NULL;

	(void)state;
	assert_int_equal(flow_table_new(10, SEED, &t), 0);
	assert_int_equal(flow_table_capacity(t), 10);
	assert_null(flow_table_get(t, &a));
	f = add_number(t, 1);
	assert_int_equal(f->binding, 0);
	f->binding = 7;
	assert_int_equal(flow_table_add(t, &a, &again), 0);
	assert_ptr_equal(f, again);
	assert_int_equal(again->binding, 7);
	assert_null(flow_table_get(t, &b));

	/* Each field of the tuple tells flows apart. */
	b = a;
	b.zone ^= 1;
	assert_null(flow_table_get(t, &b));
	b = a;
	b.proto = 17;
	assert_null(flow_table_get(t, &b));

	flow_table_remove(t, f);
	assert_int_equal(flow_table_count(t), 0);
	assert_null(flow_table_get(t, &a));
	/* A place that is used again starts as zeroes. */
	f = add_number(t, 3);
	assert_int_equal(f->binding, 0);
	assert_int_equal(f->list, 0);
}

static void test_refuses(void **state)
{
	static const uint32_t bad[] = { 0, (1u << 27) + 1, UINT32_MAX };
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	struct tuple none = { 0 };
	struct flow *f = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(flow_table_new(bad[i], SEED, &t), -EINVAL);
		assert_null(t);
	}
	assert_null(flow_table_free(NULL));
	assert_int_equal(flow_table_new(1, SEED, &t), 0);
	assert_int_equal(flow_table_add(t, &none, &f), -EINVAL);
	assert_null(f);
}

static void test_full(void **state)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	struct tuple one_more = tuple_number(100), standing = tuple_number(5);
	struct flow *f = NULL;

	(void)state;
	assert_int_equal(flow_table_new(10, SEED, &t), 0);
	for (uint32_t i = 0; i < 10; i++)
		add_number(t, i);
	assert_int_equal(flow_table_add(t, &one_more, &f), -ENOSPC);
	assert_null(f);
	assert_int_equal(flow_table_add(t, &standing, &f), 0);
	flow_table_remove(t, f);
	assert_int_equal(flow_table_add(t, &one_more, &f), 1);
	assert_int_equal(flow_table_count(t), 10);
}

static void test_memory(void **state)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	size_t empty, full;

	(void)state;
	assert_int_equal(flow_table_new(100000, SEED, &t), 0);
	empty = flow_table_memory(t);
	for (uint32_t i = 0; i < 100000; i++)
		add_number(t, i);
	full = flow_table_memory(t);
	assert_int_equal(full - empty, 100000 * sizeof(struct flow));
	assert_true(full < 100000 * 128);
	for (uint32_t i = 0; i < 100000; i++) {
		struct tuple tuple = tuple_number(i);

		flow_table_remove(t, flow_table_get(t, &tuple));
	}
	assert_int_equal(flow_table_memory(t), full);
}

/* What the table must do, done so simply that it cannot be wrong. */
enum { KEYS = 4000, ROOM = 2500, LISTS = 4 };
struct model {
	struct flow *flow[KEYS]; /* NULL: not there */
	uint64_t payload[KEYS];
	uint8_t list[KEYS];
	uint64_t stamp[KEYS]; /* order on the list */
	uint32_t count, on_list[LISTS];
	uint64_t clock;
};

static void model_unlist(struct model *m, uint32_t k)
{
	if (m->list[k])
		m->on_list[m->list[k]]--;
	m->list[k] = 0;
}

static void step_add(struct flow_table *t, struct model *m, uint32_t k, uint64_t payload)
{
	struct tuple tuple = tuple_number(k);
	struct flow *f = NULL;
	int r = flow_table_add(t, &tuple, &f);

	if (m->flow[k]) {
		assert_int_equal(r, 0);
		assert_ptr_equal(f, m->flow[k]);
	} else if (m->count == ROOM) {
		assert_int_equal(r, -ENOSPC);
	} else {
		assert_int_equal(r, 1);
		f->since_ms = m->payload[k] = payload;
		m->flow[k] = f;
		m->count++;
	}
}

static void step_remove(struct flow_table *t, struct model *m, uint32_t k)
{
	if (!m->flow[k])
		return;
	flow_table_remove(t, m->flow[k]);
	model_unlist(m, k);
	m->flow[k] = NULL;
	m->count--;
}

static void step_list(struct flow_table *t, struct model *m, uint32_t k, uint8_t list)
{
	if (!m->flow[k])
		return;
	model_unlist(m, k);
	if (list == 0) {
		flow_list_remove(t, m->flow[k]);
		return;
	}
	m->list[k] = list;
	m->on_list[list]++;
	m->clock++;
	/* In the model the front is what has the lowest stamp. */
	if (k % 3 == 0) {
		flow_list_prepend(t, list, m->flow[k]);
		m->stamp[k] = (1ull << 32) - m->clock;
	} else {
		flow_list_append(t, list, m->flow[k]);
		m->stamp[k] = (1ull << 32) + m->clock;
	}
}

static void check_key(const struct flow_table *t, const struct model *m, uint32_t k)
{
	struct tuple tuple = tuple_number(k);
	struct flow *f = flow_table_get(t, &tuple);

	assert_ptr_equal(f, m->flow[k]);
	if (!f)
		return;
	assert_memory_equal(&f->tuple, &tuple, sizeof(tuple));
	assert_int_equal(f->since_ms, m->payload[k]);
	assert_int_equal(f->list, m->list[k]);
}

static void check_all(const struct flow_table *t, const struct model *m)
{
	uint32_t seen = 0, cursor = 0;

	assert_int_equal(flow_table_count(t), m->count);
	for (uint32_t k = 0; k < KEYS; k++)
		check_key(t, m, k);
	while (flow_table_next(t, &cursor))
		seen++;
	assert_int_equal(seen, m->count);
	for (uint8_t list = 1; list < LISTS; list++) {
		struct flow *first = NULL;
		uint64_t oldest = UINT64_MAX;

		for (uint32_t k = 0; k < KEYS; k++)
			if (m->list[k] == list && m->stamp[k] < oldest) {
				oldest = m->stamp[k];
				first = m->flow[k];
			}
		assert_int_equal(flow_list_count(t, list), m->on_list[list]);
		assert_ptr_equal(flow_list_first(t, list), first);
	}
}

static void test_million_operations(void **state)
{
	static struct model m;
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	uint64_t rng = 88172645463325252ULL;
	uint32_t full = 0;

	(void)state;
	assert_int_equal(flow_table_new(ROOM, SEED, &t), 0);
	for (uint32_t i = 0; i < 1000000; i++) {
		uint64_t x = random_next(&rng);
		uint32_t k = (uint32_t)(x >> 32) % KEYS, op = (uint32_t)x % 16;
		/* Phases that fill it up and phases that empty it, so that both ends are met. */
		uint32_t adds = (i / 50000) % 2 ? 4 : 10;

		if (op < adds)
			step_add(t, &m, k, x);
		else if (op < 13)
			step_remove(t, &m, k);
		else
			step_list(t, &m, k, (uint8_t)(x >> 8) % LISTS);
		check_key(t, &m, (uint32_t)(x >> 20) % KEYS);
		full += m.count == ROOM;
		if (i % 10000 == 0)
			check_all(t, &m);
	}
	check_all(t, &m);
	assert_true(full > 0);
	for (uint32_t k = 0; k < KEYS; k++)
		step_remove(t, &m, k);
	check_all(t, &m);
}

/* Small tables under many seeds: every chain that collides, wraps around the end and closes up
 * again. */
static void test_collisions(void **state)
{
	(void)state;
	for (uint64_t s = 0; s < 2000; s++) {
		_cleanup_(flow_table_freep) struct flow_table *t = NULL;
		uint64_t rng = s + 1, seed[2] = { s, ~s };
		struct flow *there[9] = { 0 };

		assert_int_equal(flow_table_new(9, seed, &t), 0);
		for (uint32_t i = 0; i < 60; i++) {
			uint32_t k = (uint32_t)(random_next(&rng) >> 33) % 9;

			if (there[k]) {
				flow_table_remove(t, there[k]);
				there[k] = NULL;
			} else {
				there[k] = add_number(t, k);
			}
			for (uint32_t j = 0; j < 9; j++) {
				struct tuple tuple = tuple_number(j);

				assert_ptr_equal(flow_table_get(t, &tuple), there[j]);
			}
		}
	}
}

/* While a walk is under way others come and go: each flow that stays is seen once. */
static void test_cursor(void **state)
{
	enum { N = 3000 };
	static uint8_t seen[N];
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	uint64_t rng = 1;
	uint32_t cursor = 0, fresh = N;
	struct flow *f;

	(void)state;
	assert_int_equal(flow_table_new(2 * N, SEED, &t), 0);
	for (uint32_t i = 0; i < N; i++)
		add_number(t, i)->since_ms = i;
	while ((f = flow_table_next(t, &cursor))) {
		uint32_t gone = ((uint32_t)(random_next(&rng) >> 33) % (N / 2)) * 2;
		struct tuple tuple = tuple_number(gone);

		if (f->since_ms < N)
			seen[f->since_ms]++;
		/* Even ones may go at any time, the one just seen too; new ones fill their places.
		 */
		f = flow_table_get(t, &tuple);
		if (f)
			flow_table_remove(t, f);
		if (fresh < 2 * N)
			add_number(t, fresh++)->since_ms = N;
	}
	for (uint32_t i = 0; i < N; i++)
		if (i % 2)
			assert_int_equal(seen[i], 1);
		else
			assert_true(seen[i] <= 1);
	assert_null(flow_table_next(t, &cursor));
}

static void test_lists(void **state)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	struct flow *a, *b, *c;

	(void)state;
	assert_int_equal(flow_table_new(10, SEED, &t), 0);
	a = add_number(t, 1);
	b = add_number(t, 2);
	c = add_number(t, 3);
	assert_null(flow_list_first(t, 255));
	flow_list_append(t, 255, a);
	flow_list_append(t, 255, b);
	flow_list_append(t, 255, c);
	flow_list_append(t, 255, a); /* to the end */
	assert_ptr_equal(flow_list_first(t, 255), b);
	assert_int_equal(flow_list_count(t, 255), 3);
	flow_table_remove(t, b);
	assert_ptr_equal(flow_list_first(t, 255), c);
	flow_list_append(t, 1, c); /* to another list */
	assert_ptr_equal(flow_list_first(t, 255), a);
	assert_ptr_equal(flow_list_first(t, 1), c);
	flow_list_append(t, 0, c); /* on none */
	assert_null(flow_list_first(t, 1));
	flow_list_remove(t, a);
	flow_list_remove(t, a);
	assert_int_equal(flow_list_count(t, 255), 0);
	assert_null(flow_list_first(t, 255));
	assert_int_equal(flow_table_count(t), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_get_remove),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_million_operations),
		cmocka_unit_test(test_collisions),
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests_name("flow table", tests, NULL, NULL);
}
