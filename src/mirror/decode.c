// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/decode_internal.h"

#include "base/macros.h"

#define GRE_CHECKSUM 0x8000
#define GRE_ROUTING 0x4000
#define GRE_KEY 0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_VERSION 0x0007

#define PROTOCOL_ERSPAN 0x88be
#define PROTOCOL_ERSPAN3 0x22eb
#define PROTOCOL_ETHERNET 0x6558
#define PROTOCOL_IP 0x0800
#define PROTOCOL_IPV6 0x86dd

#define ERSPAN2_SIZE 8
#define ERSPAN3_SIZE 12
#define ERSPAN3_SUBHEADER_SIZE 8
#define ERSPAN3_SUBHEADER 0x0001 /* the O bit of the header's last two bytes */
#define ERSPAN3_FRAME_TYPE 0x7c00
#define ERSPAN3_FRAME_TYPE_IP (2 << 10)

const char *mirror_drop_name(enum mirror_drop reason)
{
	static const char *const names[MIRROR_DROP_COUNT] = {
		[MIRROR_DROP_NONE] = "none",
		[MIRROR_DROP_FOREIGN] = "foreign",
		[MIRROR_DROP_KEY] = "key",
		[MIRROR_DROP_GRE] = "gre",
		[MIRROR_DROP_PROTOCOL] = "protocol",
		[MIRROR_DROP_ERSPAN] = "erspan",
		[MIRROR_DROP_NOT_IP] = "not-ip",
		[MIRROR_DROP_TRUNCATED] = "truncated",
		[MIRROR_DROP_MALFORMED] = "malformed",
		[MIRROR_DROP_FRAGMENT] = "fragment",
		[MIRROR_DROP_TRANSPORT] = "transport",
		[MIRROR_DROP_LATER] = "later",
		[MIRROR_DROP_ADDRESS] = "address",
		[MIRROR_DROP_REPEATED] = "repeated",
		[MIRROR_DROP_OVERRUN] = "overrun",
		[MIRROR_DROP_HANDOFF] = "handoff",
	};

	return (unsigned)reason < ARRAY_SIZE(names) ? names[reason] : "unknown";
}

struct gre {
	uint16_t flags, protocol;
	uint32_t key; /* where flags have GRE_KEY */
};

/* The optional words stand in this order: checksum and offset, key, sequence. A checksum is not
 * verified: what is left of a truncated packet cannot be. The routing bit means the same word as
 * the checksum bit; source routes, which nobody has sent since RFC 2784, are not looked for behind
 * it. */
static enum mirror_drop gre_skip(struct span *s, struct gre *ret_gre)
{
	struct gre g = { 0 };

	if (s->len < 4)
		return MIRROR_DROP_GRE;
	g.flags = be16_at(s, 0);
	g.protocol = be16_at(s, 2);
	if (g.flags & GRE_VERSION)
		return MIRROR_DROP_GRE;
	span_skip(s, 4);
	if ((g.flags & (GRE_CHECKSUM | GRE_ROUTING)) && !span_skip(s, 4))
		return MIRROR_DROP_GRE;
	if (g.flags & GRE_KEY) {
		if (s->len < 4)
			return MIRROR_DROP_GRE;
		g.key = be32_at(s, 0);
		span_skip(s, 4);
	}
	if ((g.flags & GRE_SEQUENCE) && !span_skip(s, 4))
		return MIRROR_DROP_GRE;
	*ret_gre = g;
	return MIRROR_DROP_NONE;
}

/* Type I has no header at all. Type II has one, and a sequence number always. A sequence number
 * without a header of version 1 behind it is a Type I mirror with its packets numbered. */
static enum mirror_drop erspan_skip(struct span *s, uint16_t flags)
{
	if (!(flags & GRE_SEQUENCE))
		return MIRROR_DROP_NONE;
	if (s->len == 0)
		return MIRROR_DROP_ERSPAN;
	if (s->data[0] >> 4 != 1)
		return MIRROR_DROP_NONE;
	return span_skip(s, ERSPAN2_SIZE) ? MIRROR_DROP_NONE : MIRROR_DROP_ERSPAN;
}

static enum mirror_drop erspan3_skip(struct span *s, enum mirror_payload *payload)
{
	uint16_t last;

	if (s->len < ERSPAN3_SIZE || s->data[0] >> 4 != 2)
		return MIRROR_DROP_ERSPAN;
	last = be16_at(s, 10);
	if ((last & ERSPAN3_FRAME_TYPE) == ERSPAN3_FRAME_TYPE_IP)
		*payload = MIRROR_PAYLOAD_IP;
	span_skip(s, ERSPAN3_SIZE);
	if ((last & ERSPAN3_SUBHEADER) && !span_skip(s, ERSPAN3_SUBHEADER_SIZE))
		return MIRROR_DROP_ERSPAN;
	return MIRROR_DROP_NONE;
}

static enum mirror_drop frame_decode(struct span s, struct mirror_record *ret_record)
{
	enum mirror_drop why = frame_skip(&s);

	return why == MIRROR_DROP_NONE ? ip_decode(s, ret_record) : why;
}

/* A frame whose destination begins with 4 or 6 looks like an IP packet, and an IP packet
 * from 8.0.0.0/16 like a frame. Where neither makes sense it is read as a frame, so that the reason
 * is one about frames. */
static bool auto_is_ip(struct span s)
{
	struct span frame = s;

	return !(frame_skip(&frame) == MIRROR_DROP_NONE && ip_plausible(&frame)) &&
	       ip_plausible(&s);
}

static enum mirror_drop payload_decode(struct span s, enum mirror_payload payload,
				       struct mirror_record *ret_record)
{
	bool is_ip =
		payload == MIRROR_PAYLOAD_IP || (payload == MIRROR_PAYLOAD_AUTO && auto_is_ip(s));

	return is_ip ? ip_decode(s, ret_record) : frame_decode(s, ret_record);
}

enum mirror_drop mirror_decode(const void *gre, size_t len, const struct mirror_format *format,
			       struct mirror_record *ret_record)
{
	struct span s = { .data = gre, .len = len };
	enum mirror_payload payload = format->payload;
	enum mirror_drop why;
	struct gre g;

	why = gre_skip(&s, &g);
	if (why != MIRROR_DROP_NONE)
		return why;
	if (format->has_key && (!(g.flags & GRE_KEY) || g.key != format->key))
		return MIRROR_DROP_KEY;
	switch (g.protocol) {
	case PROTOCOL_IP:
	case PROTOCOL_IPV6:
		return ip_decode(s, ret_record);
	case PROTOCOL_ETHERNET:
		return frame_decode(s, ret_record);
	case PROTOCOL_ERSPAN:
		why = erspan_skip(&s, g.flags);
		break;
	case PROTOCOL_ERSPAN3:
		why = erspan3_skip(&s, &payload);
		break;
	default:
		if (!format->protocol || g.protocol != format->protocol)
			return MIRROR_DROP_PROTOCOL;
		why = erspan_skip(&s, g.flags);
		break;
	}
	return why == MIRROR_DROP_NONE ? payload_decode(s, payload, ret_record) : why;
}
