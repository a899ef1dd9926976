// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/macros.h"
#include "mirror_packets.h"

#define MACS "001c73000001 001c73000002 "
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

/* What stands inside a mirrored packet. */
enum inner { TCP4, TCP4_OPTIONS, UDP4, SCTP4, TCP6, UDP6, TCP6_EXTENDED, TCP6_FIRST_FRAGMENT, INNER_COUNT };

static const uint8_t client4[16] = { 12, 12, 12, 1 }, vip4[16] = { 1, 1, 1, 1 };
static const uint8_t client6[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, [15] = 1 };
static const uint8_t vip6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static bool inner_is6(enum inner inner)
{
	return inner >= TCP6;
}

static void put_inner(struct bytes *b, enum inner inner)
{
	struct bytes t = { .len = 0 };

	switch (inner) {
	case TCP4:
	case TCP4_OPTIONS:
		put_tcp(&t, SYN);
		put_ip4(b, IPPROTO_TCP, 0x4000, inner == TCP4 ? 0 : 40, &t);
		break;
	case UDP4:
		put_udp(&t);
		put_ip4(b, IPPROTO_UDP, 0, 0, &t);
		break;
	case SCTP4:
		put_sctp(&t, 1);
		put_ip4(b, IPPROTO_SCTP, 0, 0, &t);
		break;
	case TCP6:
		put_tcp(&t, SYN);
		put_ip6(b, IPPROTO_TCP, &t);
		break;
	case UDP6:
		put_udp(&t);
		put_ip6(b, IPPROTO_UDP, &t);
		break;
	case TCP6_EXTENDED:
		put_hex(&t, "3c00 010400000000");			 /* hop-by-hop -> destination options */
		put_hex(&t, "2b01 010c000000000000000000000000");	 /* -> routing */
		put_hex(&t, "3300 000000000000");			 /* -> authentication */
		put_hex(&t, "0604 0000 00000001 00000002 000102030405060708090a0b"); /* -> TCP */
		put_tcp(&t, SYN);
		put_ip6(b, IPPROTO_HOPOPTS, &t);
		break;
	case TCP6_FIRST_FRAGMENT:
		put_hex(&t, "0600 0001 12345678");
		put_tcp(&t, SYN);
		put_ip6(b, IPPROTO_FRAGMENT, &t);
		break;
	case INNER_COUNT:
		break;
	}
}

static void assert_record(const struct mirror_record *r, enum inner inner)
{
	bool udp = inner == UDP4 || inner == UDP6;

	assert_memory_equal(r->src, inner_is6(inner) ? client6 : client4, 16);
	assert_memory_equal(r->dst, inner_is6(inner) ? vip6 : vip4, 16);
	assert_int_equal(r->family, inner_is6(inner) ? AF_INET6 : AF_INET);
	assert_int_equal(r->sport, 30002);
	assert_int_equal(r->dport, 80);
	assert_int_equal(r->proto, udp ? IPPROTO_UDP : inner == SCTP4 ? IPPROTO_SCTP : IPPROTO_TCP);
	assert_int_equal(r->flags, udp ? 0 : MIRROR_SYN);
	assert_int_equal(r->pad, 0);
}

/* What stands around it. */
static const struct envelope {
	const char *name, *hex;
	bool frame;	 /* with an Ethernet header, whose end (tags) is in the table below */
	uint32_t key;	 /* that it carries, 0 none */
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
	{ "Type II with C, R and K", "f000 88be ffff0000 0000002a 00000007 1064 0001 00000002", true, 42 },
	{ "Type III", "1000 22eb 00000007 2064 0001 00000000 0000 0000", true, 0 },
	{ "Type III with K", "3000 22eb 0000002a 00000007 2064 0001 ffffffff 0000 83f6", true, 42 },
	{ "Type III with sub-header", "1000 22eb 00000007 2064 0001 ffffffff 0000 0001 f000000000000000", true, 0 },
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

static void put_envelope(struct bytes *b, const struct envelope *e, const char *tag, enum inner inner)
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

/* Decodes a copy that ends exactly where the packet does, so that a sanitizer sees the byte behind it. */
static enum mirror_drop decode(const void *data, size_t len, const struct mirror_format *format, struct mirror_record *ret)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);
	enum mirror_drop why;

	assert_non_null(copy);
	memcpy(copy, data, len);
	why = mirror_decode(copy, len, format, ret);
	assert_in_range(why, 0, MIRROR_DROP_COUNT - 1);
	return why;
}

static enum mirror_drop decode_hex(const char *hex, const struct mirror_format *format)
{
	struct bytes b = { .len = 0 };
	struct mirror_record r;

	put_hex(&b, hex);
	return decode(b.data, b.len, format, &r);
}

/* Each envelope with each tag and each inner packet is understood; cut off anywhere it is either still understood, which needs the
 * ports, or dropped with a reason that fits, and nothing is written. */
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
					print_error("%s, tags '%s', inner %d: %s\n", e->name, tags[t], inner,
						    mirror_drop_name(why));
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
	assert_true(why == MIRROR_DROP_GRE || why == MIRROR_DROP_ERSPAN || why == MIRROR_DROP_TRUNCATED || !ends_known);
}

static void test_cut_at_every_byte(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(envelopes); i++) {
		const struct envelope *e = &envelopes[i];

		for (size_t t = 0; t < (e->frame ? ARRAY_SIZE(tags) : 1); t++) {
			for (enum inner inner = 0; inner < INNER_COUNT; inner++) {
				struct bytes b = { .len = 0 };

				put_envelope(&b, e, tags[t], inner);
				/* Whether a frame or a packet is inside cannot be told once too little of it is left. */
				for (size_t len = 0; len < b.len; len++)
					assert_cut(&b, len, inner, e->frame);
			}
		}
	}
}

/* As little as this is enough: a truncating mirror leaves a whole number of bytes, not of headers. */
static void test_truncated_inner(void **state _unused_)
{
	static const struct {
		enum inner inner;
		size_t needed; /* bytes of the inner packet */
	} cases[] = {
		{ TCP4, 20 + 14 }, { TCP4_OPTIONS, 60 + 14 }, { UDP4, 20 + 4 },
		{ SCTP4, 20 + 13 }, { TCP6, 40 + 14 },	     { UDP6, 40 + 4 },
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
		assert_int_equal(decode(b.data, outside + cases[i].needed, &plain, &r), MIRROR_DROP_NONE);
		assert_record(&r, cases[i].inner);
		assert_int_equal(decode(b.data, outside + cases[i].needed - 1, &plain, &r), MIRROR_DROP_TRUNCATED);
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
		{ 1, MIRROR_DROP_NONE, MIRROR_SYN }, { 6, MIRROR_DROP_NONE, MIRROR_RST },
		{ 7, MIRROR_DROP_NONE, MIRROR_FIN }, { 8, MIRROR_DROP_NONE, MIRROR_FIN },
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

#define IP4(addresses) "4500 0028 1234 0000 3f06 0000 " addresses
#define TCP_SYN_HEX "7532 0050 01020304 00000000 5002faf0 00000000"
#define IP6(next, addresses) "60000000 0014 " next " 3f " addresses

static void test_drops(void **state _unused_)
{
	static const struct {
		const char *what, *hex;
		enum mirror_drop why;
	} cases[] = {
		{ "nothing", "", MIRROR_DROP_GRE },
		{ "GRE version 1", "2001 880b 0000 0000", MIRROR_DROP_GRE },
		{ "GRE version 7", "0007 88be" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, MIRROR_DROP_GRE },
		{ "keepalive", "0000 0000", MIRROR_DROP_PROTOCOL },
		{ "MPLS in GRE", "0000 8847 00000000", MIRROR_DROP_PROTOCOL },
		{ "an unknown protocol", "0000 88bf" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX,
		  MIRROR_DROP_PROTOCOL },
		{ "Type III with version 1", "1000 22eb 00000007 1064 0001 00000000 0000 0000" MACS "0800", MIRROR_DROP_ERSPAN },
		{ "ARP", "0000 88be" MACS "0806 0001 0800 0604 0001", MIRROR_DROP_NOT_IP },
		{ "ARP in a VLAN", "0000 88be" MACS "8100 0064 0806 0001", MIRROR_DROP_NOT_IP },
		{ "LLDP", "0000 88be 0180c200000e 001c73000002 88cc 0207", MIRROR_DROP_NOT_IP },
		{ "802.3 with LLC", "0000 88be" MACS "0026 4242 0300", MIRROR_DROP_NOT_IP },
		{ "MPLS", "0000 88be" MACS "8847 00000000", MIRROR_DROP_NOT_IP },
		{ "timestamp of another subtype", "0000 88be" MACS "d28b 0002 0010 0123456789abcdef 0800", MIRROR_DROP_NOT_IP },
		{ "timestamp of another version", "0000 88be" MACS "d28b 0001 0030 0123456789abcdef 0800", MIRROR_DROP_NOT_IP },
		{ "more tags than anybody has",
		  "0000 88be" MACS "81000001 81000001 81000001 81000001 81000001 81000001 81000001 0800" IP4("0c0c0c01 01010101")
		  TCP_SYN_HEX, MIRROR_DROP_NOT_IP },
		{ "IPv4 type, IPv6 header", "0000 88be" MACS "0800" IP6("06", "20010db8000c00000000000000000001 20010db8000000000000000000000001")
		  TCP_SYN_HEX, MIRROR_DROP_MALFORMED },
		{ "IPv6 type, IPv4 header", "0000 88be" MACS "86dd" IP4("0c0c0c01 01010101") TCP_SYN_HEX, MIRROR_DROP_MALFORMED },
		{ "IP version 5", "0000 0800 5500 0028", MIRROR_DROP_MALFORMED },
		{ "IPv4 header of 16 bytes", "0000 0800 4400 0028 1234 0000 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX,
		  MIRROR_DROP_MALFORMED },
		{ "IPv4 longer header than packet", "0000 0800 4600 0014 1234 0000 3f06 0000 0c0c0c01 01010101 01010101",
		  MIRROR_DROP_MALFORMED },
		{ "IPv4 that ends in front of the ports", "0000 0800 4500 0016 1234 0000 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX,
		  MIRROR_DROP_TRUNCATED },
		{ "IPv6 that ends in front of the flags",
		  "0000 86dd 60000000 0008 06 3f 20010db8000c00000000000000000001 20010db8000000000000000000000001" TCP_SYN_HEX,
		  MIRROR_DROP_TRUNCATED },
		{ "a later fragment", "0000 0800 4500 0028 1234 2001 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX,
		  MIRROR_DROP_FRAGMENT },
		{ "a later IPv6 fragment",
		  "0000 86dd 60000000 001c 2c 3f 20010db8000c00000000000000000001 20010db8000000000000000000000001 "
		  "0600 0009 12345678" TCP_SYN_HEX, MIRROR_DROP_FRAGMENT },
		{ "ICMP", "0000 0800 4500 001c 1234 0000 3f01 0000 0c0c0c01 01010101 0800 0000 00010001", MIRROR_DROP_TRANSPORT },
		{ "ESP", "0000 86dd" IP6("32", "20010db8000c00000000000000000001 20010db8000000000000000000000001") TCP_SYN_HEX,
		  MIRROR_DROP_TRANSPORT },
		{ "no next header", "0000 86dd" IP6("3b", "20010db8000c00000000000000000001 20010db8000000000000000000000001")
		  TCP_SYN_HEX, MIRROR_DROP_TRANSPORT },
		{ "nine extension headers and more",
		  "0000 86dd 60000000 0064 00 3f 20010db8000c00000000000000000001 20010db8000000000000000000000001 "
		  "3c00010400000000 3c00010400000000 3c00010400000000 3c00010400000000 3c00010400000000 3c00010400000000 "
		  "3c00010400000000 3c00010400000000 3c00010400000000 0600010400000000" TCP_SYN_HEX, MIRROR_DROP_MALFORMED },
		{ "TCP header of 16 bytes", "0000 0800" IP4("0c0c0c01 01010101") "7532 0050 01020304 00000000 4002faf0 00000000",
		  MIRROR_DROP_MALFORMED },
		{ "source port 0", "0000 0800" IP4("0c0c0c01 01010101") "0000 0050 01020304 00000000 5002faf0 00000000",
		  MIRROR_DROP_ADDRESS },
		{ "destination port 0", "0000 0800" IP4("0c0c0c01 01010101") "7532 0000 01020304 00000000 5002faf0 00000000",
		  MIRROR_DROP_ADDRESS },
		{ "from multicast", "0000 0800" IP4("e0000001 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
		{ "to multicast", "0000 0800" IP4("0c0c0c01 efffffff") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
		{ "to broadcast", "0000 0800" IP4("0c0c0c01 ffffffff") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
		{ "from loopback", "0000 0800" IP4("7f000001 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
		{ "from 0.0.0.0", "0000 0800" IP4("00000000 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
		{ "from link-local", "0000 0800" IP4("a9fe0101 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
		{ "to itself", "0000 0800" IP4("01010101 01010101") TCP_SYN_HEX, MIRROR_DROP_ADDRESS },
		{ "from ::", "0000 86dd" IP6("06", "00000000000000000000000000000000 20010db8000000000000000000000001") TCP_SYN_HEX,
		  MIRROR_DROP_ADDRESS },
		{ "to ::1", "0000 86dd" IP6("06", "20010db8000000000000000000000001 00000000000000000000000000000001") TCP_SYN_HEX,
		  MIRROR_DROP_ADDRESS },
		{ "from fe80::1", "0000 86dd" IP6("06", "fe800000000000000000000000000001 20010db8000000000000000000000001") TCP_SYN_HEX,
		  MIRROR_DROP_ADDRESS },
		{ "to ff02::1", "0000 86dd" IP6("06", "20010db8000000000000000000000001 ff020000000000000000000000000001") TCP_SYN_HEX,
		  MIRROR_DROP_ADDRESS },
		{ "a good one, to know that the others differ in what is named",
		  "0000 88be" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, MIRROR_DROP_NONE },
		{ "a good one, 240.0.0.1", "0000 0800" IP4("0c0c0c01 f0000001") TCP_SYN_HEX, MIRROR_DROP_NONE },
	};
	const struct mirror_format plain = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum mirror_drop why = decode_hex(cases[i].hex, &plain);

		if (why != cases[i].why)
			print_error("%s: %s\n", cases[i].what, mirror_drop_name(why));
		assert_int_equal(why, cases[i].why);
	}
}

static void test_key(void **state _unused_)
{
	static const struct {
		const char *gre;
		enum mirror_drop with, without;
	} cases[] = {
		{ "2000 88be 0000002a", MIRROR_DROP_NONE, MIRROR_DROP_NONE },
		{ "2000 88be 0000002b", MIRROR_DROP_KEY, MIRROR_DROP_NONE },
		{ "0000 88be", MIRROR_DROP_KEY, MIRROR_DROP_NONE },
		{ "1000 88be 0000002a", MIRROR_DROP_KEY, MIRROR_DROP_NONE }, /* a sequence number is no key */
		{ "8000 88be 0000002a", MIRROR_DROP_KEY, MIRROR_DROP_NONE },
		{ "a000 88be 00000000 0000002a", MIRROR_DROP_NONE, MIRROR_DROP_NONE },
	};
	const struct mirror_format keyed = { .has_key = true, .key = 42 }, zero = { .has_key = true }, plain = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes b = { .len = 0 };
		struct mirror_record r;

		put_hex(&b, cases[i].gre);
		put_hex(&b, MACS "0800");
		put_inner(&b, TCP4);
		assert_int_equal(decode(b.data, b.len, &keyed, &r), cases[i].with);
		assert_int_equal(decode(b.data, b.len, &plain, &r), cases[i].without);
		assert_int_equal(decode(b.data, b.len, &zero, &r), MIRROR_DROP_KEY);
	}
}

/* A switch may send another GRE protocol, and IP without a frame, with nothing that says so. */
static void test_configured(void **state _unused_)
{
	const struct mirror_format other = { .protocol = 0x4242 }, ip = { .payload = MIRROR_PAYLOAD_IP },
				   frame = { .payload = MIRROR_PAYLOAD_ETHERNET }, plain = { 0 };

	assert_int_equal(decode_hex("0000 4242" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &plain), MIRROR_DROP_PROTOCOL);
	assert_int_equal(decode_hex("0000 4242" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &other), MIRROR_DROP_NONE);
	assert_int_equal(decode_hex("1000 4242 00000001 1064000100000002" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &other),
			 MIRROR_DROP_NONE);
	assert_int_equal(decode_hex("0000 88be" MACS "0800" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &other), MIRROR_DROP_NONE);
	/* The header's checksum is wrong (0): told that it is IP, that does not matter. */
	assert_int_equal(decode_hex("0000 88be" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &ip), MIRROR_DROP_NONE);
	assert_int_equal(decode_hex("0000 88be" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &plain), MIRROR_DROP_NOT_IP);
	assert_int_equal(decode_hex("0000 88be" IP4("0c0c0c01 01010101") TCP_SYN_HEX, &frame), MIRROR_DROP_NOT_IP);
}

/* An IP packet from 8.0.69.0 reads as a frame with an IPv4 header behind, and a frame to 64:... or 45:... like IP. */
static void test_told_apart(void **state _unused_)
{
	static const uint8_t trap[4] = { 8, 0, 0x45, 0 };
	const struct mirror_format plain = { 0 };
	struct bytes b = { .len = 0 }, f = { .len = 0 };
	struct mirror_record r;
	uint32_t sum = 0;

	put_hex(&b, "0000 88be");
	put_inner(&b, TCP4);
	memcpy(b.data + 4 + 12, trap, 4);
	b.data[4 + 10] = b.data[4 + 11] = 0;
	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(b.data[4 + i] << 8 | b.data[4 + i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	b.data[4 + 10] = (uint8_t)(~sum >> 8);
	b.data[4 + 11] = (uint8_t)~sum;
	assert_int_equal(decode(b.data, b.len, &plain, &r), MIRROR_DROP_NONE);
	assert_memory_equal(r.src, trap, 4);
	for (enum inner inner = 0; inner < INNER_COUNT; inner++) {
		static const char *const macs[] = { "45000028 1234 001c73000002", "640000000014 063f20010db8", "600000000000 001c73000002" };

		for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
			f.len = 0;
			put_hex(&f, "0000 88be");
			put_hex(&f, macs[i]);
			put16(&f, inner_is6(inner) ? 0x86dd : 0x0800);
			put_inner(&f, inner);
			assert_int_equal(decode(f.data, f.len, &plain, &r), MIRROR_DROP_NONE);
			assert_record(&r, inner);
		}
	}
}

static void test_padding(void **state _unused_)
{
	const struct mirror_format plain = { 0 };
	struct mirror_record r;

	/* Padding of the frame is no part of the packet: here it would supply the ports. */
	assert_int_equal(decode_hex("0000 88be" MACS "0800 4500 0014 1234 0000 3f06 0000 0c0c0c01 01010101" TCP_SYN_HEX, &plain),
			 MIRROR_DROP_TRUNCATED);
	for (enum inner inner = 0; inner < INNER_COUNT; inner++) {
		struct bytes b = { .len = 0 };

		put_hex(&b, "0000 88be" MACS);
		put16(&b, inner_is6(inner) ? 0x86dd : 0x0800);
		put_inner(&b, inner);
		put_hex(&b, "000000000000000000000000 deadbeef");
		assert_int_equal(decode(b.data, b.len, &plain, &r), MIRROR_DROP_NONE);
		assert_record(&r, inner);
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
	assert_string_equal(mirror_drop_name((enum mirror_drop)-1), "unknown");
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Half of them are noise; the others are good packets with a few bytes changed, so that they get further. */
static void test_million_random(void **state _unused_)
{
	static struct bytes good[256];
	const struct mirror_format formats[] = { { 0 }, { .payload = MIRROR_PAYLOAD_IP }, { .payload = MIRROR_PAYLOAD_ETHERNET },
						 { .has_key = true, .key = 42, .protocol = 0x4242 } };
	uint64_t seed = 0x666c6f7770696e, reasons[MIRROR_DROP_COUNT] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		good[i].len = 0;
		put_envelope(&good[i], &envelopes[i % ARRAY_SIZE(envelopes)], tags[i % ARRAY_SIZE(tags)], (enum inner)(i % INNER_COUNT));
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
		cmocka_unit_test(test_sctp_chunks),	  cmocka_unit_test(test_drops),
		cmocka_unit_test(test_key),		  cmocka_unit_test(test_configured),
		cmocka_unit_test(test_told_apart),	  cmocka_unit_test(test_padding),
		cmocka_unit_test(test_names),		  cmocka_unit_test(test_million_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
