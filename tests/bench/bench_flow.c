// SPDX-License-Identifier: GPL-2.0-or-later
/* What the flow table costs: each operation on a table of N flows (argument, default 1000000), in
 * nanoseconds, with the clock's own cost inside. Prints only: what is too slow is for a person to
 * judge. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "base/parse.h"
#include "core/flow.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static struct tuple tuple_number(uint32_t n)
{
	struct tuple t = { .family = AF_INET, .proto = 6, .dport = 80 };

	/* An odd factor visits the numbers in scattered order without repeating one. */
	n *= 2654435761u;
	t.src[0] = 10;
	t.src[1] = (uint8_t)(n >> 24);
	t.src[2] = (uint8_t)(n >> 16);
	t.sport = (uint16_t)n;
	t.dst[0] = t.dst[1] = t.dst[2] = t.dst[3] = 1;
	return t;
}

#define ROUNDS 5

enum operation { INSERT, LOOKUP_HIT, LOOKUP_MISS, REMOVE };
#define OPERATIONS 4
static const char *const operation_name[] = { "insert", "lookup, hit", "lookup, miss", "remove" };

static bool operate(struct flow_table *t, enum operation op, uint32_t i, uint32_t n)
{
	struct tuple tuple = tuple_number(op == LOOKUP_MISS ? i + n : i);
	struct flow *f = NULL;

	switch (op) {
	case INSERT:
		return flow_table_add(t, &tuple, &f) == 1;
	case LOOKUP_HIT:
		return flow_table_get(t, &tuple);
	case LOOKUP_MISS:
		return !flow_table_get(t, &tuple);
	case REMOVE:
		f = flow_table_get(t, &tuple);
		if (f)
			flow_table_remove(t, f);
		return f;
	}
	return false;
}

/* One round: fills, asks and empties a fresh table, and keeps the lower of both times of each
 * operation in ns[op]. The table does the same every round and what interrupts it does not, so the
 * minimum over the rounds is what the table itself takes. */
static int round_run(uint32_t n, const uint64_t seed[2], uint32_t *ns, uint32_t *failed,
		     size_t *ret_memory)
{
	_cleanup_(flow_table_freep) struct flow_table *t = NULL;
	int r = flow_table_new(n, seed, &t);

	if (r < 0)
		return r;
	for (enum operation op = INSERT; op <= REMOVE; op++) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t *best = &ns[(size_t)op * n + i];
			uint64_t begin = now_ns(), took;

			failed[op] += !operate(t, op, i, n);
			took = now_ns() - begin;
			if (took < *best)
				*best = (uint32_t)took;
		}
	}
	*ret_memory = flow_table_memory(t);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(freep) uint32_t *ns = NULL;
	uint32_t n = 1000000, failed[OPERATIONS] = { 0 };
	uint64_t seed[2] = { 0 };
	size_t memory = 0;

	if ((argc > 1 && parse_u32(argv[1], 1, 100000000, &n) < 0) ||
	    getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return 2;
	ns = malloc((size_t)n * OPERATIONS * sizeof(*ns));
	if (!ns)
		return 2;
	memset(ns, 0xff, (size_t)n * OPERATIONS * sizeof(*ns));
	for (int round = 0; round < ROUNDS; round++)
		if (round_run(n, seed, ns, failed, &memory) < 0)
			return 2;
	printf("flow table, %u flows, %.1f bytes a flow, best of %d rounds\n", n,
	       (double)memory / n, ROUNDS);
	printf("  %-14s %8s %8s %8s %8s\n", "ns", "median", "99.9%", "worst", "failed");
	for (enum operation op = INSERT; op <= REMOVE; op++) {
		uint32_t *of = &ns[(size_t)op * n];

		qsort(of, n, sizeof(*of), compare_u32);
		printf("  %-14s %8u %8u %8u %8u\n", operation_name[op], of[n / 2],
		       of[(uint64_t)n * 999 / 1000], of[n - 1], failed[op]);
	}
	return 0;
}
