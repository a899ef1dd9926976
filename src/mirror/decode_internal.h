/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "mirror/decode.h"

/* What is left of a packet. */
struct span {
	const uint8_t *data;
	size_t len;
};

/* Steps over n bytes; false, and nothing is done, when there are fewer. */
static inline bool span_skip(struct span *s, size_t n)
{
	if (n > s->len)
		return false;
	s->data += n;
	s->len -= n;
	return true;
}

/* Big-endian numbers at an offset that was checked. */
static inline uint16_t be16_at(const struct span *s, size_t at)
{
	return (uint16_t)(s->data[at] << 8 | s->data[at + 1]);
}

static inline uint32_t be32_at(const struct span *s, size_t at)
{
	return (uint32_t)be16_at(s, at) << 16 | be16_at(s, at + 2);
}

/* decode_frame.c: skips an Ethernet header with tags and timestamps. MIRROR_DROP_NONE with *s at
 * the IP header, or why not, with *s anywhere. */
enum mirror_drop frame_skip(struct span *s);
/* decode_ip.c: from the IP header on; its version tells the family. MIRROR_DROP_NONE, or why not:
 * *ret_record is untouched then. */
enum mirror_drop ip_decode(struct span s, struct mirror_record *ret_record);
/* Whether these bytes are the beginning of an IP packet beyond reasonable doubt (version 4: the
 * header's checksum). */
bool ip_plausible(const struct span *s);
/* decode_transport.c: from the transport header on: protocol, ports and flags of r.
 * MIRROR_DROP_NONE, or why not. */
enum mirror_drop transport_decode(const struct span *s, uint8_t proto, struct mirror_record *r);
