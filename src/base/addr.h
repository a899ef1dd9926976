/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/macros.h"

/* An IP address. `family` is AF_INET, AF_INET6 or 0 (none); the bytes are in network order, four of
 * them used by IPv4, the rest zero, so that structs compare with memcmp. */
struct ip_addr {
	uint8_t family;
	uint8_t bytes[16];
};

/* A prefix; bits behind `len` are zero. */
struct ip_prefix {
	struct ip_addr addr;
	uint8_t len;
};

#define IP_ADDR_TEXT   48 /* room for an address as text with its NUL */
#define IP_PREFIX_TEXT 52 /* the same for a prefix */

/* 4 or 16. */
size_t ip_addr_size(const struct ip_addr *a);
/* 32 or 128. */
uint8_t ip_family_bits(uint8_t family);

/* Reads dotted quad or IPv6 text. -EINVAL for anything else. */
int ip_addr_parse(const char *text, struct ip_addr *ret_addr) _must_check_;
/* Reads "ADDR" (a host) or "ADDR/LEN". -EINVAL for bad text; -EADDRNOTAVAIL when bits behind LEN
 * are set. */
int ip_prefix_parse(const char *text, struct ip_prefix *ret_prefix) _must_check_;

/* Write text into buf (IP_ADDR_TEXT / IP_PREFIX_TEXT bytes) and return buf. An address of family 0
 * gives "", a prefix of it "/LEN". */
const char *ip_addr_format(const struct ip_addr *a, char *buf);
const char *ip_prefix_format(const struct ip_prefix *p, char *buf);

/* Whether family and address are the same. */
bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b);
/* fe80::/10 (RFC 4291); false for IPv4. */
bool ip_addr_is_linklocal(const struct ip_addr *a);
/* The same, and the same length. */
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);
/* True when the address lies inside p; false for one of another family. */
bool ip_prefix_contains_addr(const struct ip_prefix *p, const struct ip_addr *a);
/* True when inner lies inside outer or equals it. */
bool ip_prefix_contains(const struct ip_prefix *outer, const struct ip_prefix *inner);
/* Zeroes the bits behind len. */
struct ip_prefix ip_prefix_make(const struct ip_addr *a, uint8_t len);
/* The last address of p. */
struct ip_addr ip_prefix_last(const struct ip_prefix *p);
/* Adds one (network order arithmetic). False when it wrapped to zero. */
bool ip_addr_increment(struct ip_addr *a);
/* memcmp order: family, then bytes. */
int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b);
