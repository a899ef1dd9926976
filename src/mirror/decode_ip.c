// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/decode_internal.h"

#include <netinet/in.h>
#include <string.h>

#define IP4_MIN 20
#define IP4_OFFSET 0x1fff
#define IP6_SIZE 40
#define EXTENSIONS_MAX 8 /* extension headers of one IPv6 packet: no more are followed */
#define FRAGMENT_SIZE 8
#define PADDING_MAX 64 /* that a frame may have behind a packet */

#define NEXT_HIP 139
#define NEXT_SHIM6 140

/* Behind the packet's own end there may be padding of its frame; in front of it the capture may
 * end. */
static void span_limit(struct span *s, size_t len)
{
	if (len < s->len)
		s->len = len;
}

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* No router forwards these, so no nexthop was chosen for them: 0/8, 127/8, 169.254/16, multicast,
 * broadcast. */
static bool ip4_routable(const uint8_t *a)
{
	if (a[0] == 0 || a[0] == 127 || (a[0] & 0xf0) == 224)
		return false;
	return !(a[0] == 169 && a[1] == 254) && memcmp(a, "\xff\xff\xff\xff", 4) != 0;
}

/* The same: unspecified and loopback, multicast, link-local. */
static bool ip6_routable(const uint8_t *a)
{
	static const uint8_t zero[15];

	if (memcmp(a, zero, sizeof(zero)) == 0 && a[15] <= 1)
		return false;
	return a[0] != 0xff && !(a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

static bool ip4_plausible(const struct span *s)
{
	size_t header = s->len > 0 ? (size_t)(s->data[0] & 15) * 4 : 0;

	return header >= IP4_MIN && header <= s->len && be16_at(s, 2) >= header &&
	       checksum(s->data, header) == 0;
}

/* There is no checksum to go by: nothing behind its end, a hop limit, and addresses that are
 * routed. */
static bool ip6_plausible(const struct span *s)
{
	if (s->len < IP6_SIZE || s->data[7] == 0)
		return false;
	if (be16_at(s, 4) != 0 && s->len > IP6_SIZE + (size_t)be16_at(s, 4) + PADDING_MAX)
		return false;
	return ip6_routable(s->data + 8) && ip6_routable(s->data + 24);
}

bool ip_plausible(const struct span *s)
{
	switch (s->len > 0 ? s->data[0] >> 4 : 0) {
	case 4:
		return ip4_plausible(s);
	case 6:
		return ip6_plausible(s);
	default:
		return false;
	}
}

static enum mirror_drop ip4_decode(struct span s, struct mirror_record *r)
{
	size_t header, total;
	uint8_t proto;

	if (s.len < IP4_MIN)
		return MIRROR_DROP_TRUNCATED;
	header = (size_t)(s.data[0] & 15) * 4;
	total = be16_at(&s, 2);
	if (header < IP4_MIN || total < header)
		return MIRROR_DROP_MALFORMED;
	if (header > s.len)
		return MIRROR_DROP_TRUNCATED;
	if (be16_at(&s, 6) & IP4_OFFSET)
		return MIRROR_DROP_FRAGMENT;
	proto = s.data[9];
	r->family = AF_INET;
	memcpy(r->src, s.data + 12, 4);
	memcpy(r->dst, s.data + 16, 4);
	if (!ip4_routable(r->src) || !ip4_routable(r->dst))
		return MIRROR_DROP_ADDRESS;
	span_limit(&s, total);
	span_skip(&s, header);
	return transport_decode(&s, proto, r);
}

/* The size of the extension header `next` that s begins with, 0 when `next` is none. At least two
 * bytes are there. */
static size_t extension_size(const struct span *s, uint8_t next)
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case NEXT_HIP:
	case NEXT_SHIM6:
		return ((size_t)s->data[1] + 1) * 8;
	case IPPROTO_AH:
		return ((size_t)s->data[1] + 2) * 4;
	case IPPROTO_FRAGMENT:
		return FRAGMENT_SIZE;
	default:
		return 0;
	}
}

/* Steps over extension headers; *ret_proto is what follows them. */
static enum mirror_drop extensions_skip(struct span *s, uint8_t next, uint8_t *ret_proto)
{
	for (unsigned i = 0; i <= EXTENSIONS_MAX; i++) {
		static const uint8_t none[2];
		struct span probe = s->len >= 2 ? *s : (struct span){ none, sizeof(none) };
		size_t size = extension_size(&probe, next);

		if (size == 0) {
			*ret_proto = next;
			return MIRROR_DROP_NONE;
		}
		if (size > s->len)
			return MIRROR_DROP_TRUNCATED;
		if (next == IPPROTO_FRAGMENT && (be16_at(s, 2) & 0xfff8))
			return MIRROR_DROP_FRAGMENT;
		next = s->data[0];
		span_skip(s, size);
	}
	return MIRROR_DROP_MALFORMED;
}

static enum mirror_drop ip6_decode(struct span s, struct mirror_record *r)
{
	enum mirror_drop why;
	uint16_t payload;
	uint8_t proto;

	if (s.len < IP6_SIZE)
		return MIRROR_DROP_TRUNCATED;
	r->family = AF_INET6;
	memcpy(r->src, s.data + 8, 16);
	memcpy(r->dst, s.data + 24, 16);
	if (!ip6_routable(r->src) || !ip6_routable(r->dst))
		return MIRROR_DROP_ADDRESS;
	payload = be16_at(&s, 4);
	proto = s.data[6];
	span_skip(&s, IP6_SIZE);
	/* 0 is a jumbogram, whose length is in an option. */
	if (payload > 0)
		span_limit(&s, payload);
	why = extensions_skip(&s, proto, &proto);
	return why == MIRROR_DROP_NONE ? transport_decode(&s, proto, r) : why;
}

enum mirror_drop ip_decode(struct span s, struct mirror_record *ret_record)
{
	struct mirror_record r = { 0 };
	enum mirror_drop why;

	if (s.len == 0)
		return MIRROR_DROP_TRUNCATED;
	switch (s.data[0] >> 4) {
	case 4:
		why = ip4_decode(s, &r);
		break;
	case 6:
		why = ip6_decode(s, &r);
		break;
	default:
		return MIRROR_DROP_MALFORMED;
	}
	if (why == MIRROR_DROP_NONE && memcmp(r.src, r.dst, sizeof(r.src)) == 0)
		why = MIRROR_DROP_ADDRESS;
	if (why == MIRROR_DROP_NONE)
		*ret_record = r;
	return why;
}
