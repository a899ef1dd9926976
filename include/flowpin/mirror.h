/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* What flowpin-mirror hands to flowpind over the SOCK_SEQPACKET socket mirror.sock (beside
 * daemon.sock): packets of a header and up to MIRROR_RECORDS_MAX records, in host byte order (both
 * run on the same machine), without padding. */

#define FLOWPIN_MIRROR_PATH "/run/flowpin/mirror.sock"
#define MIRROR_MAGIC	    0x46504d31u /* "FPM1" */
#define MIRROR_RECORDS_MAX  256
#define MIRROR_SWITCH_MAX   16 /* bytes of a switch's name with its NUL */
#define MIRROR_DROP_REASONS 16

enum mirror_flags {
	MIRROR_SYN = 1 << 0, /* SYN without ACK: a connection begins */
	MIRROR_FIN = 1 << 1,
	MIRROR_RST = 1 << 2,
};

enum mirror_kind {
	MIRROR_KIND_FLOWS = 1,	  /* `count` records follow */
	MIRROR_KIND_COUNTERS = 2, /* one struct mirror_counters follows, about once a second */
};

struct mirror_header {
	uint32_t magic;
	uint16_t kind, count;
	char switch_name[MIRROR_SWITCH_MAX];
	uint64_t taken_ms; /* CLOCK_BOOTTIME, when the first of the records was received: they may
			      have waited for flowpind */
};
_Static_assert(sizeof(struct mirror_header) == 32, "no padding");

struct mirror_record {
	uint8_t src[16], dst[16]; /* network order, IPv4 in the first four bytes */
	uint16_t sport, dport;	  /* host order */
	uint8_t family, proto;	  /* AF_INET or AF_INET6; IPPROTO_TCP, _UDP, _SCTP */
	uint8_t flags;		  /* enum mirror_flags */
	uint8_t pad;		  /* 0 */
};
_Static_assert(sizeof(struct mirror_record) == 40, "no padding");

struct mirror_counters {
	uint64_t received, handed_on;
	uint64_t dropped[MIRROR_DROP_REASONS]; /* by enum mirror_drop of src/mirror/decode.h */
};
