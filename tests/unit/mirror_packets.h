/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "base/macros.h"
#include "mirror/decode.h"

/* Packets are built from the inside out of pieces: "p4(syn)", an Ethernet header, GRE. */

struct bytes {
	uint8_t data[2048];
	size_t len;
};

static inline void put(struct bytes *b, const void *data, size_t len)
{
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static inline void put8(struct bytes *b, unsigned v)
{
	b->data[b->len++] = (uint8_t)v;
}

static inline void put16(struct bytes *b, unsigned v)
{
	put8(b, v >> 8);
	put8(b, v & 0xff);
}

static inline void put32(struct bytes *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v & 0xffff);
}

/* Bytes in hexadecimal; anything else between them is passed over. */
static inline void put_hex(struct bytes *b, const char *hex)
{
	unsigned value = 0, digits = 0;

	for (; *hex; hex++) {
		const char *all = "0123456789abcdef", *at = strchr(all, *hex);

		if (!at)
			continue;
		value = value << 4 | (unsigned)(at - all);
		if (++digits % 2 == 0)
			put8(b, value & 0xff);
	}
}

static inline void put_tcp(struct bytes *b, uint8_t flags)
{
	put16(b, 30002);
	put16(b, 80);
	put32(b, 0x01020304);
	put32(b, 0);
	put8(b, 5 << 4);
	put8(b, flags);
	put16(b, 64240);
	put32(b, 0);
}

static inline void put_udp(struct bytes *b)
{
	put16(b, 30002);
	put16(b, 80);
	put16(b, 8);
	put16(b, 0);
}

static inline void put_sctp(struct bytes *b, uint8_t chunk)
{
	put16(b, 30002);
	put16(b, 80);
	put32(b, 0);
	put32(b, 0);
	put8(b, chunk);
	put_hex(b, "00 0014 00000001 00010000 00010001 00000001");
}

/* An IPv4 header from 12.12.12.1 to 1.1.1.1 with its checksum, `options` bytes of options, and
 * `payload` behind it. */
static inline void put_ip4(struct bytes *b, uint8_t proto, unsigned fragment, size_t options,
			   const struct bytes *payload)
{
	size_t begin = b->len, header = 20 + options;
	uint32_t sum = 0;

	put8(b, 0x40 | (unsigned)(header / 4));
	put8(b, 0);
	put16(b, (unsigned)(header + payload->len));
	put16(b, 0x1234);
	put16(b, fragment);
	put8(b, 63);
	put8(b, proto);
	put16(b, 0);
	put_hex(b, "0c0c0c01 01010101");
	for (size_t i = 0; i < options; i++)
		put8(b, 1); /* no operation */
	for (size_t i = 0; i < header; i += 2)
		sum += (uint32_t)(b->data[begin + i] << 8 | b->data[begin + i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	b->data[begin + 10] = (uint8_t)(~sum >> 8);
	b->data[begin + 11] = (uint8_t)~sum;
	put(b, payload->data, payload->len);
}

/* An IPv6 header from 2001:db8:c::1 to 2001:db8::1; `payload` holds the extension headers too. */
static inline void put_ip6(struct bytes *b, uint8_t next, const struct bytes *payload)
{
	put32(b, 0x60000000);
	put16(b, (unsigned)payload->len);
	put8(b, next);
	put8(b, 63);
	put_hex(b, "20010db8000c00000000000000000001 20010db8000000000000000000000001");
	put(b, payload->data, payload->len);
}

/* Destination and source. */
#define MACS "001c73000001 001c73000002 "

/* What stands inside a mirrored packet. */
enum inner {
	TCP4,
	TCP4_OPTIONS,
	UDP4,
	SCTP4,
	TCP6,
	UDP6,
	TCP6_EXTENDED,
	TCP6_FIRST_FRAGMENT,
	INNER_COUNT
};

static _unused_ const uint8_t client4[16] = { 12, 12, 12, 1 }, vip4[16] = { 1, 1, 1, 1 };
static _unused_ const uint8_t client6[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, [15] = 1 };
static _unused_ const uint8_t vip6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static inline bool inner_is6(enum inner inner)
{
	return inner >= TCP6;
}

static inline void put_inner(struct bytes *b, enum inner inner)
{
	struct bytes t = { .len = 0 };

	switch (inner) {
	case TCP4:
	case TCP4_OPTIONS:
		put_tcp(&t, 0x02);
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
		put_tcp(&t, 0x02);
		put_ip6(b, IPPROTO_TCP, &t);
		break;
	case UDP6:
		put_udp(&t);
		put_ip6(b, IPPROTO_UDP, &t);
		break;
	case TCP6_EXTENDED:
		put_hex(&t, "3c00 010400000000"); /* hop-by-hop -> destination options */
		put_hex(&t, "2b01 010c000000000000000000000000"); /* -> routing */
		put_hex(&t, "3300 000000000000");		  /* -> authentication */
		put_hex(&t, "0604 0000 00000001 00000002 000102030405060708090a0b"); /* -> TCP */
		put_tcp(&t, 0x02);
		put_ip6(b, IPPROTO_HOPOPTS, &t);
		break;
	case TCP6_FIRST_FRAGMENT:
		put_hex(&t, "0600 0001 12345678");
		put_tcp(&t, 0x02);
		put_ip6(b, IPPROTO_FRAGMENT, &t);
		break;
	case INNER_COUNT:
		break;
	}
}

static inline void assert_record(const struct mirror_record *r, enum inner inner)
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

/* Decodes a copy that ends exactly where the packet does, so that a sanitizer sees the byte behind
 * it. */
static inline enum mirror_drop decode(const void *data, size_t len,
				      const struct mirror_format *format, struct mirror_record *ret)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);
	enum mirror_drop why;

	assert_non_null(copy);
	memcpy(copy, data, len);
	why = mirror_decode(copy, len, format, ret);
	assert_in_range(why, 0, MIRROR_DROP_COUNT - 1);
	return why;
}
