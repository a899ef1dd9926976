// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/decode_internal.h"

#include <netinet/in.h>
#include "base/macros.h"

#define PORTS_SIZE 4
#define TCP_FLAGS_AT 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define SCTP_COMMON 12

static enum mirror_drop tcp_decode(const struct span *s, struct mirror_record *r)
{
	uint8_t flags;

	if (s->len <= TCP_FLAGS_AT)
		return MIRROR_DROP_TRUNCATED;
	if (s->data[12] >> 4 < 5)
		return MIRROR_DROP_MALFORMED;
	flags = s->data[TCP_FLAGS_AT];
	if ((flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST)))
		return MIRROR_DROP_MALFORMED;
	if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		r->flags |= MIRROR_SYN;
	if (flags & TCP_FIN)
		r->flags |= MIRROR_FIN;
	if (flags & TCP_RST)
		r->flags |= MIRROR_RST;
	return r->flags ? MIRROR_DROP_NONE : MIRROR_DROP_LATER;
}

/* The first chunk tells: INIT, SHUTDOWN COMPLETE and, as a rule, the others stand first (RFC 9260,
 * section 6.10). */
static enum mirror_drop sctp_decode(const struct span *s, struct mirror_record *r)
{
	static const struct {
		uint8_t chunk, flag;
	} chunks[] = {
		{ 1, MIRROR_SYN },  /* INIT */
		{ 6, MIRROR_RST },  /* ABORT */
		{ 7, MIRROR_FIN },  /* SHUTDOWN */
		{ 8, MIRROR_FIN },  /* SHUTDOWN ACK */
		{ 14, MIRROR_FIN }, /* SHUTDOWN COMPLETE */
	};

	if (s->len <= SCTP_COMMON)
		return MIRROR_DROP_TRUNCATED;
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++)
		if (chunks[i].chunk == s->data[SCTP_COMMON])
			r->flags = chunks[i].flag;
	return r->flags ? MIRROR_DROP_NONE : MIRROR_DROP_LATER;
}

enum mirror_drop transport_decode(const struct span *s, uint8_t proto, struct mirror_record *r)
{
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != IPPROTO_SCTP)
		return MIRROR_DROP_TRANSPORT;
	if (s->len < PORTS_SIZE)
		return MIRROR_DROP_TRUNCATED;
	r->proto = proto;
	r->sport = be16_at(s, 0);
	r->dport = be16_at(s, 2);
	if (r->sport == 0 || r->dport == 0)
		return MIRROR_DROP_ADDRESS;
	switch (proto) {
	case IPPROTO_TCP:
		return tcp_decode(s, r);
	case IPPROTO_SCTP:
		return sctp_decode(s, r);
	default:
		return MIRROR_DROP_NONE;
	}
}
