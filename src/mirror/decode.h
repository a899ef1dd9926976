/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "flowpin/mirror.h"

/* GRE and ERSPAN mirrors of switches: from the GRE header to one record of a flow. Pure: no
 * descriptor, no clock, no memory, no log. Everything in a packet is hostile. GRE: RFC 2784, RFC
 * 2890, RFC 1701 (flags). ERSPAN: draft-foschiano-erspan-03. */

/* Why a packet became no record. Also the index of struct mirror_counters.dropped, so the numbers
 * are part of the interface to flowpind: new ones are added at the end. */
enum mirror_drop {
	MIRROR_DROP_NONE,      /* it did */
	MIRROR_DROP_FOREIGN,   /* outer source or destination is not what is configured */
	MIRROR_DROP_KEY,       /* no GRE key, or another one than configured */
	MIRROR_DROP_GRE,       /* no GRE header of version 0 */
	MIRROR_DROP_PROTOCOL,  /* a GRE protocol that is no mirror */
	MIRROR_DROP_ERSPAN,    /* no ERSPAN header where one must be */
	MIRROR_DROP_NOT_IP,    /* the frame holds no IP: ARP, LLDP, an unknown tag */
	MIRROR_DROP_TRUNCATED, /* cut off in front of the ports or flags */
	MIRROR_DROP_MALFORMED, /* headers that contradict themselves */
	MIRROR_DROP_FRAGMENT,  /* a fragment behind the first: it has no ports */
	MIRROR_DROP_TRANSPORT, /* neither TCP, UDP nor SCTP */
	MIRROR_DROP_LATER,     /* TCP or SCTP that neither begins nor ends a connection */
	MIRROR_DROP_ADDRESS,   /* an address or port that no routed flow has */
	MIRROR_DROP_REPEATED,  /* its tuple is in the batch already: nothing is lost */
	MIRROR_DROP_OVERRUN,   /* the kernel had no room in the receive buffer */
	MIRROR_DROP_HANDOFF,   /* flowpind is away or does not keep up */
	MIRROR_DROP_COUNT,
};
_Static_assert(MIRROR_DROP_COUNT <= MIRROR_DROP_REASONS, "struct mirror_counters has room");

/* One word ("not-ip"); "none" for MIRROR_DROP_NONE, "unknown" for a number that is none of them. */
const char *mirror_drop_name(enum mirror_drop reason);

/* What follows a GRE (or ERSPAN) header that does not tell. */
enum mirror_payload {
	MIRROR_PAYLOAD_AUTO, /* an Ethernet frame if it makes sense as one, else an IP packet if it
				makes sense as that */
	MIRROR_PAYLOAD_ETHERNET,
	MIRROR_PAYLOAD_IP,
};

struct mirror_format {
	uint16_t protocol; /* of GRE, to be read as 0x88BE is, besides that one; 0: none */
	enum mirror_payload payload;
	bool has_key;
	uint32_t key;
};

/* Snapshot length: GRE with every option, ERSPAN Type III with sub-header, a tagged and timestamped
 * Ethernet header, and IP with more options or extension headers than anybody sends. */
#define MIRROR_SNAP 512

/* Reads one packet that begins with its GRE header; `len` are the bytes that were captured, so that
 * of the mirrored packet less may be there than its headers tell. A record is made of: TCP with SYN
 * and without ACK, or with FIN or RST; every UDP packet (no flags); SCTP INIT (as SYN), SHUTDOWN,
 * SHUTDOWN ACK and SHUTDOWN COMPLETE (as FIN), ABORT (as RST). Anything else is dropped with its
 * reason, and *ret_record is untouched. Never reads behind `len`, and ends in bounded time. */
enum mirror_drop mirror_decode(const void *gre, size_t len, const struct mirror_format *format,
			       struct mirror_record *ret_record);
