/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"

/* A flow's identity: conntrack zone and 5-tuple in the original direction. Addresses in network
 * order, IPv4 in the first four bytes and the rest zero; ports and zone in host order. No padding,
 * so it is hashed and compared as bytes. */
struct tuple {
	uint8_t src[16], dst[16];
	uint16_t sport, dport;
	uint16_t zone;
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t proto;	/* IPPROTO_* */
};
_Static_assert(sizeof(struct tuple) == 40, "a tuple has no padding");

#define TUPLE_TEXT 160

/* "tcp 12.12.12.1:30001 -> 1.1.1.1:80" (IPv6 addresses in brackets; " zone 101" follows when it is
 * not 0), written into buf (TUPLE_TEXT bytes), which is returned. */
const char *tuple_format(const struct tuple *t, char *buf);

/* The name of a protocol that flowpin pins ("tcp", "udp", "sctp"), or NULL. And back: 0 when
 * unknown. */
const char *proto_name(uint8_t proto);
uint8_t proto_parse(const char *name);

/* Its addresses, with their family. */
struct ip_addr tuple_src(const struct tuple *t);
struct ip_addr tuple_dst(const struct tuple *t);
