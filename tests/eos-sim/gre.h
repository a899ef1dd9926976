/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a switch puts around a mirrored frame. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gre_type { GRE_TYPE_I, GRE_TYPE_II, GRE_TYPE_III, GRE_TYPE_TEB, GRE_TYPE_IP };

struct gre_format {
	enum gre_type type;
	uint8_t source[4], destination[4]; /* outer */
	uint8_t ttl;
	long protocol; /* in place of the type's, or -1 */
	long key;      /* or -1: none */
	bool sequence; /* with types that have none by themselves */
	bool checksum;
	bool subheader; /* Type III: eight bytes more */
	bool timestamp; /* Arista's, after the source MAC address of the inner frame */
	long session, vlan;
	long truncate; /* of the inner frame, or 0 */
};

#define GRE_OVERHEAD 128

/* Writes a whole IPv4 packet into `out`, which has room for the frame and GRE_OVERHEAD. Returns its
 * size, 0 when the frame has no packet that this type could carry. */
size_t gre_encode(const struct gre_format *format, uint32_t sequence, const uint8_t *frame,
		  size_t size, uint8_t *out);

/* Where the IP packet of an Ethernet frame begins (behind its VLAN tags), and its EtherType; 0:
 * there is none. */
size_t frame_ip_offset(const uint8_t *frame, size_t size, uint16_t *ret_ethertype);
