// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include "base/macros.h"
#include "mirror/batch.h"

static struct mirror_record record(uint16_t sport, uint8_t flags)
{
	return (struct mirror_record){ .src = { 12, 12, 12, 1 },
				       .dst = { 1, 1, 1, 1 },
				       .sport = sport,
				       .dport = 80,
				       .family = AF_INET,
				       .proto = IPPROTO_TCP,
				       .flags = flags };
}

static void test_repeated(void **state _unused_)
{
	static struct batch b;
	struct mirror_record r = record(1000, MIRROR_SYN), other;

	batch_reset(&b);
	assert_int_equal(batch_add(&b, &r), BATCH_ADDED);
	assert_int_equal(batch_add(&b, &r), BATCH_REPEATED);
	r.flags = MIRROR_FIN;
	assert_int_equal(batch_add(&b, &r), BATCH_REPEATED);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.records[0].flags, MIRROR_SYN | MIRROR_FIN);
	/* Whatever else differs makes another flow. */
	for (size_t at = 0; at < offsetof(struct mirror_record, flags); at++) {
		other = r;
		((uint8_t *)&other)[at] ^= 0x10;
		assert_int_equal(batch_add(&b, &other), BATCH_ADDED);
	}
	assert_int_equal(b.n, 1 + offsetof(struct mirror_record, flags));
}

static void test_full(void **state _unused_)
{
	static struct batch b;

	for (int round = 0; round < 3; round++) {
		batch_reset(&b);
		for (uint16_t i = 0; i < MIRROR_RECORDS_MAX; i++) {
			struct mirror_record r = record((uint16_t)(1 + i), 0);

			assert_int_equal(batch_add(&b, &r), BATCH_ADDED);
		}
		for (uint16_t i = 0; i < MIRROR_RECORDS_MAX; i++) {
			struct mirror_record known = record((uint16_t)(1 + i), MIRROR_RST);
			struct mirror_record more = record((uint16_t)(1000 + i), 0);

			assert_int_equal(batch_add(&b, &known), BATCH_REPEATED);
			assert_int_equal(batch_add(&b, &more), BATCH_FULL);
		}
		assert_int_equal(b.n, MIRROR_RECORDS_MAX);
		for (uint16_t i = 0; i < MIRROR_RECORDS_MAX; i++) {
			assert_int_equal(b.records[i].sport, 1 + i);
			assert_int_equal(b.records[i].flags, MIRROR_RST);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
