// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/decode_internal.h"

#include "base/macros.h"

#define MAC_PAIR 12
#define TAGS_MAX 6 /* in one frame: no more are followed */

#define TYPE_IP 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_VLAN 0x8100
#define TYPE_SERVICE_VLAN 0x88a8
#define TYPE_OLD_QINQ 0x9100
#define TYPE_ARISTA 0xd28b

#define ARISTA_TIMESTAMP 0x0001 /* subtype */

/* The length of Arista's timestamp header behind its EtherType, the real EtherType not included; 0
 * when it is none that is known. Subtype and version stand in front of the time. */
static size_t timestamp_size(const struct span *s)
{
	static const struct {
		uint16_t version;
		uint8_t size;
	} versions[] = {
		{ 0x0010, 4 + 8 }, /* TAI, 64 bits */
		{ 0x0020, 4 + 6 }, /* TAI, 48 bits */
		{ 0x0110, 4 + 8 }, /* UTC, 64 bits */
		{ 0x0120, 4 + 6 }, /* UTC, 48 bits */
	};

	if (be16_at(s, 0) != ARISTA_TIMESTAMP)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i].version == be16_at(s, 2))
			return versions[i].size;
	return 0;
}

enum mirror_drop frame_skip(struct span *s)
{
	if (!span_skip(s, MAC_PAIR))
		return MIRROR_DROP_TRUNCATED;
	for (unsigned tags = 0; tags <= TAGS_MAX; tags++) {
		uint16_t type;
		size_t size;

		if (s->len < 2)
			return MIRROR_DROP_TRUNCATED;
		type = be16_at(s, 0);
		span_skip(s, 2);
		switch (type) {
		case TYPE_IP:
		case TYPE_IPV6:
			/* A version that contradicts the type would send an IPv4 header through the
			 * IPv6 decoder. */
			if (s->len > 0 && s->data[0] >> 4 != (type == TYPE_IP ? 4 : 6))
				return MIRROR_DROP_MALFORMED;
			return MIRROR_DROP_NONE;
		case TYPE_VLAN:
		case TYPE_SERVICE_VLAN:
		case TYPE_OLD_QINQ:
			size = 2;
			break;
		case TYPE_ARISTA:
			if (s->len < 4)
				return MIRROR_DROP_TRUNCATED;
			size = timestamp_size(s);
			break;
		default:
			return MIRROR_DROP_NOT_IP;
		}
		if (size == 0)
			return MIRROR_DROP_NOT_IP;
		if (!span_skip(s, size))
			return MIRROR_DROP_TRUNCATED;
	}
	return MIRROR_DROP_NOT_IP;
}
