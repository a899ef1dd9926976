// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/macros.h"
#include "mirror_packets.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

/* What stands around it. */
static const struct envelope {
	const char *name, *hex;
	bool frame;   /* with an Ethernet header, whose end (tags) is in the table below */
	uint32_t key; /* that it carries, 0 none */
} envelopes[] = {
	{ "Type I", "0000 88be", true, 0 },
	{ "Type I with K", "2000 88be 0000002a", true, 42 },
	{ "Type I with C", "8000 88be ffff0000", true, 0 },
	{ "Type I with R", "4000 88be ffff0000", true, 0 },
	{ "Type I with C and R", "c000 88be ffff0000", true, 0 },
	{ "Type I with C and K", "a000 88be ffff0000 0000002a", true, 42 },
	{ "Type I with C, R and K", "e000 88be ffff0000 0000002a", true, 42 },
	{ "Type I, strict route and recursion bits", "0f80 88be", true, 0 },
	{ "Type I, numbered", "1000 88be 00000007", true, 0 },
	{ "Type II", "1000 88be 00000007 1064 0001 00000002", true, 0 },
	{ "Type II with K", "3000 88be 0000002a 00000007 1064 1801 000fffff", true, 42 },
	{ "Type II with C, R and K", "f000 88be ffff0000 0000002a 00000007 1064 0001 00000002",
	  true, 42 },
	{ "Type III", "1000 22eb 00000007 2064 0001 00000000 0000 0000", true, 0 },
	{ "Type III with K", "3000 22eb 0000002a 00000007 2064 0001 ffffffff 0000 83f6", true, 42 },
	{ "Type III with sub-header",
	  "1000 22eb 00000007 2064 0001 ffffffff 0000 0001 f000000000000000", true, 0 },
	{ "Type III, unnumbered", "0000 22eb 2064 0001 00000000 0000 0000", true, 0 },
	{ "Type III, frame type IP", "1000 22eb 00000007 2064 0001 00000000 0000 0800", false, 0 },
	{ "transparent Ethernet", "0000 6558", true, 0 },
	{ "transparent Ethernet with K and S", "3000 6558 0000002a 00000007", true, 42 },
	{ "IP in GRE", "0000 PROTO", false, 0 },
	{ "IP in GRE with C, K and S", "b000 PROTO 00000000 0000002a 00000007", false, 42 },
	{ "inner packet in Type I", "0000 88be", false, 0 },
	{ "inner packet in Type I with K", "2000 88be 0000002a", false, 42 },
};

static const char *const tags[] = {
	"",
	"8100 0064 ",
	"88a8 0064 8100 00c8 ",
	"9100 0064 8100 00c8 ",
	"8100 0001 8100 0002 8100 0003 8100 0004 ",
	"d28b 0001 0010 0123456789abcdef ",
	"d28b 0001 0020 0123456789ab ",
	"d28b 0001 0110 0123456789abcdef ",
	"d28b 0001 0120 0123456789ab ",
	"d28b 0001 0020 0123456789ab 8100 0064 ",
	"8100 0064 d28b 0001 0010 0123456789abcdef ",
	"d28b 0001 0120 0123456789ab 88a8 0064 8100 00c8 ",
};

static void put_envelope(struct bytes *b, const struct envelope *e, const char *tag,
			 enum inner inner)
{
	char hex[256];
	const char *proto = strstr(e->hex, "PROTO");

	assert_true(strlen(e->hex) < sizeof(hex));
	memcpy(hex, e->hex, strlen(e->hex) + 1);
	if (proto) {
		memcpy(hex + (proto - e->hex), inner_is6(inner) ? "86dd " : "0800 ", 5);
	}
	put_hex(b, hex);
	if (e->frame) {
		put_hex(b, MACS);
		put_hex(b, tag);
		put16(b, inner_is6(inner) ? 0x86dd : 0x0800);
	}
	put_inner(b, inner);
}

/* Each envelope with each tag and each inner packet is understood; cut off anywhere it is either
 * still understood, which needs the ports, or dropped with a reason that fits, and nothing is
 * written. */
static void test_every_combination(void **state _unused_)
{
	const struct mirror_format plain = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(envelopes); i++) {
		const struct envelope *e = &envelopes[i];

		for (size_t t = 0; t < (e->frame ? ARRAY_SIZE(tags) : 1); t++) {
			for (enum inner inner = 0; inner < INNER_COUNT; inner++, n++) {
				struct bytes b = { .len = 0 };
				struct mirror_record r;
				enum mirror_drop why;

				put_envelope(&b, e, tags[t], inner);
				memset(&r, 0xee, sizeof(r));
				why = decode(b.data, b.len, &plain, &r);
				if (why != MIRROR_DROP_NONE)
					print_error("%s, tags '%s', inner %d: %s\n", e->name,
						    tags[t], inner, mirror_drop_name(why));
				assert_int_equal(why, MIRROR_DROP_NONE);
				assert_record(&r, inner);
			}
		}
	}
	print_message("%zu packets\n", n);
	assert_true(n > 1000);
}

static void assert_cut(const struct bytes *b, size_t len, enum inner inner, bool ends_known)
{
	const struct mirror_format plain = { 0 };
	struct mirror_record r, untouched;
	enum mirror_drop why;

	memset(&untouched, 0xee, sizeof(untouched));
	r = untouched;
	why = decode(b->data, len, &plain, &r);
	if (why == MIRROR_DROP_NONE) {
		assert_record(&r, inner);
		return;
	}
	assert_memory_equal(&r, &untouched, sizeof(r));
	assert_true(why == MIRROR_DROP_GRE || why == MIRROR_DROP_ERSPAN ||
		    why == MIRROR_DROP_TRUNCATED || !ends_known);
}

static void test_cut_at_every_byte(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(envelopes); i++) {
		const struct envelope *e = &envelopes[i];

		for (size_t t = 0; t < (e->frame ? ARRAY_SIZE(tags) : 1); t++) {
			for (enum inner inner = 0; inner < INNER_COUNT; inner++) {
				struct bytes b = { .len = 0 };

				put_envelope(&b, e, tags[t], inner);
				/* Whether a frame or a packet is inside cannot be told once too
				 * little of it is left. */
				for (size_t len = 0; len < b.len; len++)
					assert_cut(&b, len, inner, e->frame);
			}
		}
	}
}

/* As little as this is enough: a truncating mirror leaves a whole number of bytes, not of headers.
 */
static void test_truncated_inner(void **state _unused_)
{
	static const struct {
		enum inner inner;
		size_t needed; /* bytes of the inner packet */
	} cases[] = {
		{ TCP4, 20 + 14 },  { TCP4_OPTIONS, 60 + 14 }, { UDP4, 20 + 4 },
		{ SCTP4, 20 + 13 }, { TCP6, 40 + 14 },	       { UDP6, 40 + 4 },
	};
	const struct mirror_format plain = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes b = { .len = 0 };
		struct mirror_record r;
		size_t outside;

		put_hex(&b, "0000 88be" MACS);
		put16(&b, inner_is6(cases[i].inner) ? 0x86dd : 0x0800);
		outside = b.len;
		put_inner(&b, cases[i].inner);
		assert_int_equal(decode(b.data, outside + cases[i].needed, &plain, &r),
				 MIRROR_DROP_NONE);
		assert_record(&r, cases[i].inner);
		assert_int_equal(decode(b.data, outside + cases[i].needed - 1, &plain, &r),
				 MIRROR_DROP_TRUNCATED);
	}
}

static void test_tcp_flags(void **state _unused_)
{
	static const struct {
		uint8_t flags;
		enum mirror_drop why;
		uint8_t record;
	} cases[] = {
		{ SYN, MIRROR_DROP_NONE, MIRROR_SYN },
		{ SYN | 0xc0, MIRROR_DROP_NONE, MIRROR_SYN }, /* ECN */
		{ SYN | PSH, MIRROR_DROP_NONE, MIRROR_SYN },  /* fast open */
		{ SYN | ACK, MIRROR_DROP_LATER, 0 },
		{ ACK, MIRROR_DROP_LATER, 0 },
		{ ACK | PSH, MIRROR_DROP_LATER, 0 },
		{ 0, MIRROR_DROP_LATER, 0 },
		{ FIN, MIRROR_DROP_NONE, MIRROR_FIN },
		{ FIN | ACK, MIRROR_DROP_NONE, MIRROR_FIN },
		{ RST, MIRROR_DROP_NONE, MIRROR_RST },
		{ RST | ACK, MIRROR_DROP_NONE, MIRROR_RST },
		{ FIN | RST, MIRROR_DROP_NONE, MIRROR_FIN | MIRROR_RST },
		{ SYN | FIN, MIRROR_DROP_MALFORMED, 0 },
		{ SYN | RST, MIRROR_DROP_MALFORMED, 0 },
		{ 0xff, MIRROR_DROP_MALFORMED, 0 },
	};
	const struct mirror_format plain = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes b = { .len = 0 }, t = { .len = 0 };
		struct mirror_record r = { 0 };

		put_tcp(&t, cases[i].flags);
		put_hex(&b, "0000 0800");
		put_ip4(&b, IPPROTO_TCP, 0, 0, &t);
		assert_int_equal(decode(b.data, b.len, &plain, &r), cases[i].why);
		assert_int_equal(r.flags, cases[i].record);
	}
}

static void test_sctp_chunks(void **state _unused_)
{
	static const struct {
		uint8_t chunk;
		enum mirror_drop why;
		uint8_t record;
	} cases[] = {
		{ 1, MIRROR_DROP_NONE, MIRROR_SYN },  { 6, MIRROR_DROP_NONE, MIRROR_RST },
		{ 7, MIRROR_DROP_NONE, MIRROR_FIN },  { 8, MIRROR_DROP_NONE, MIRROR_FIN },
		{ 14, MIRROR_DROP_NONE, MIRROR_FIN }, { 0, MIRROR_DROP_LATER, 0 },
		{ 2, MIRROR_DROP_LATER, 0 },	      { 10, MIRROR_DROP_LATER, 0 },
	};
	const struct mirror_format plain = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes b = { .len = 0 }, t = { .len = 0 };
		struct mirror_record r = { 0 };

		put_sctp(&t, cases[i].chunk);
		put_hex(&b, "0000 0800");
		put_ip4(&b, IPPROTO_SCTP, 0, 0, &t);
		assert_int_equal(decode(b.data, b.len, &plain, &r), cases[i].why);
		assert_int_equal(r.flags, cases[i].record);
	}
}

static void test_names(void **state _unused_)
{
	for (enum mirror_drop a = 0; a < MIRROR_DROP_COUNT; a++) {
		assert_true(mirror_drop_name(a)[0]);
		for (enum mirror_drop b = 0; b < a; b++)
			assert_string_not_equal(mirror_drop_name(a), mirror_drop_name(b));
	}
	assert_string_equal(mirror_drop_name(MIRROR_DROP_COUNT), "unknown");
	assert_string_equal(mirror_drop_name((enum mirror_drop) - 1), "unknown");
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Half of them are noise; the others are good packets with a few bytes changed, so that they get
 * further. */
static void test_million_random(void **state _unused_)
{
	static struct bytes good[256];
	const struct mirror_format formats[] = {
		{ 0 },
		{ .payload = MIRROR_PAYLOAD_IP },
		{ .payload = MIRROR_PAYLOAD_ETHERNET },
		{ .has_key = true, .key = 42, .protocol = 0x4242 }
	};
	uint64_t seed = 0x666c6f7770696e, reasons[MIRROR_DROP_COUNT] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		good[i].len = 0;
		put_envelope(&good[i], &envelopes[i % ARRAY_SIZE(envelopes)],
			     tags[i % ARRAY_SIZE(tags)], (enum inner)(i % INNER_COUNT));
	}
	for (size_t i = 0; i < 1000000; i++) {
		struct bytes b;
		struct mirror_record r;
		uint64_t draw = random_next(&seed);

		b.len = 0;
		if (draw & 1) {
			put(&b, good[draw >> 8 & 255].data, good[draw >> 8 & 255].len);
			for (unsigned k = 0; k < (draw >> 4 & 7); k++)
				b.data[random_next(&seed) % b.len] = (uint8_t)random_next(&seed);
			b.len -= (draw >> 16 & 7) == 0 ? (draw >> 20) % b.len : 0;
		} else {
			for (size_t len = draw >> 8 & 127; b.len < len;)
				put8(&b, random_next(&seed) & 0xff);
		}
		reasons[decode(b.data, b.len, &formats[draw >> 2 & 3], &r)]++;
	}
	for (enum mirror_drop why = 0; why < MIRROR_DROP_COUNT; why++)
		print_message("%s %llu\n", mirror_drop_name(why), (unsigned long long)reasons[why]);
	for (enum mirror_drop why = MIRROR_DROP_KEY; why <= MIRROR_DROP_ADDRESS; why++)
		assert_true(reasons[why] > 0);
	assert_true(reasons[MIRROR_DROP_NONE] > 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_combination), cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_truncated_inner),	  cmocka_unit_test(test_tcp_flags),
		cmocka_unit_test(test_sctp_chunks),	  cmocka_unit_test(test_names),
		cmocka_unit_test(test_million_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
