// SPDX-License-Identifier: GPL-2.0-or-later
#include "gre.h"

#include <string.h>
#include <time.h>

#define FLAG_CHECKSUM 0x8000
#define FLAG_KEY      0x2000
#define FLAG_SEQUENCE 0x1000

static uint8_t *put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t value)
{
	return put16(put16(p, value >> 16), value);
}

static uint32_t sum16(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (n % 2)
		sum += (uint32_t)(p[n - 1] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

size_t frame_ip_offset(const uint8_t *frame, size_t size, uint16_t *ret_ethertype)
{
	size_t at = 12;

	while (at + 2 <= size) {
		uint16_t type = (uint16_t)(frame[at] << 8 | frame[at + 1]);

		at += 2;
		if (type == 0x8100 || type == 0x88a8) {
			at += 2;
			continue;
		}
		*ret_ethertype = type;
		return type == 0x0800 || type == 0x86dd ? at : 0;
	}
	return 0;
}

static uint8_t *put_type_ii(uint8_t *p, const struct gre_format *f)
{
	p = put16(p, 0x1000u | (uint32_t)(f->vlan & 0xfff));
	p = put16(p, (f->vlan ? 0x1800u : 0) |
			     (uint32_t)(f->session & 0x3ff)); /* En 3: the tag stays in the frame */
	return put32(p, 7);				      /* index */
}

static uint8_t *put_type_iii(uint8_t *p, const struct gre_format *f)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	p = put16(p, 0x2000u | (uint32_t)(f->vlan & 0xfff));
	p = put16(p, (uint32_t)(f->session & 0x3ff));
	p = put32(p, (uint32_t)(now.tv_sec * 10000 + now.tv_nsec / 100000));
	p = put16(p, 0);
	p = put16(p, 0x8000u | (f->subheader ? 1 : 0));
	if (f->subheader)
		p = put32(put32(p, 0x10000000), 0);
	return p;
}

/* 48 bit of TAI: type, subtype, version, six bytes. */
static uint8_t *put_timestamp(uint8_t *p)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	p = put16(put16(put16(p, 0xd28b), 0x0001), 0x0020);
	return put32(put16(p, (uint32_t)now.tv_sec), (uint32_t)now.tv_nsec);
}

static uint8_t *put_gre(uint8_t *p, const struct gre_format *f, uint32_t protocol,
			uint32_t sequence, uint8_t **ret_checksum)
{
	bool counts = f->sequence || f->type == GRE_TYPE_II || f->type == GRE_TYPE_III;

	p = put16(p, (f->checksum ? FLAG_CHECKSUM : 0u) | (f->key >= 0 ? FLAG_KEY : 0u) |
			     (counts ? FLAG_SEQUENCE : 0u));
	p = put16(p, f->protocol >= 0 ? (uint32_t)f->protocol : protocol);
	*ret_checksum = f->checksum ? p : NULL;
	if (f->checksum)
		p = put32(p, 0);
	if (f->key >= 0)
		p = put32(p, (uint32_t)f->key);
	if (counts)
		p = put32(p, sequence);
	return p;
}

static void put_outer(uint8_t *ip, const struct gre_format *f, size_t size)
{
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)size);
	put16(ip + 6, 0x4000);
	ip[8] = f->ttl;
	ip[9] = 47;
	memcpy(ip + 12, f->source, 4);
	memcpy(ip + 16, f->destination, 4);
	put16(ip + 10, sum16(ip, 20));
}

size_t gre_encode(const struct gre_format *f, uint32_t sequence, const uint8_t *frame, size_t size,
		  uint8_t *out)
{
	static const uint32_t protocols[] = { [GRE_TYPE_I] = 0x88be,
					      [GRE_TYPE_II] = 0x88be,
					      [GRE_TYPE_III] = 0x22eb,
					      [GRE_TYPE_TEB] = 0x6558 };
	uint16_t ethertype = 0;
	size_t ip = frame_ip_offset(frame, size, &ethertype), inner = size;
	uint8_t *p, *checksum;

	if (size < 14 || (f->type == GRE_TYPE_IP && !ip))
		return 0;
	if (f->truncate > 0 && inner > (size_t)f->truncate)
		inner = (size_t)f->truncate;
	p = put_gre(out + 20, f, f->type == GRE_TYPE_IP ? ethertype : protocols[f->type], sequence,
		    &checksum);
	if (f->type == GRE_TYPE_II)
		p = put_type_ii(p, f);
	if (f->type == GRE_TYPE_III)
		p = put_type_iii(p, f);
	if (f->type == GRE_TYPE_IP) {
		if (inner <= ip)
			return 0;
		memcpy(p, frame + ip, inner - ip);
		p += inner - ip;
	} else {
		size_t head = inner < 12 ? inner : 12;

		memcpy(p, frame, head);
		p += head;
		if (f->timestamp)
			p = put_timestamp(p);
		memcpy(p, frame + head, inner - head);
		p += inner - head;
	}
	if (checksum)
		put16(checksum, sum16(out + 20, (size_t)(p - out) - 20));
	put_outer(out, f, (size_t)(p - out));
	return (size_t)(p - out);
}
