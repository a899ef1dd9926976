/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <netinet/in.h>
#include <string.h>
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

/* An IPv4 header from 12.12.12.1 to 1.1.1.1 with its checksum, `options` bytes of options, and `payload` behind it. */
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
