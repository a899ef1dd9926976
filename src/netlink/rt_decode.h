/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "netlink/rt.h"

/* What the decoders of rtnetlink messages share. Private to src/netlink/rt_decode*.c. */

/* One kind of message: its two types, the size of its fixed header, its attributes. */
struct rt_kind {
	uint16_t type_new, type_del;
	size_t header;
	const struct nl_attr_policy *policy;
	size_t n_policy;
};

/* Checks type and length, sorts the attributes into tb (kind->n_policy entries). *ret_header points
 * into the message. -ENOMSG: another type; -EBADMSG: too short, or an attribute breaks its policy.
 */
int rt_decode_begin(const struct nlmsghdr *nlh, const struct rt_kind *kind,
		    const struct nlattr **tb, const void **ret_header) _must_check_;

/* An address of just this family's size. -EBADMSG otherwise. */
int rt_decode_addr(const struct nlattr *attr, uint8_t family,
		   struct ip_addr *ret_addr) _must_check_;
/* The same for RTA_VIA, which names its family itself. */
int rt_decode_via(const struct nlattr *attr, struct ip_addr *ret_addr) _must_check_;
/* A prefix: without attribute the zero address. Bits behind the length are cleared. -EBADMSG:
 * length beyond the family's bits, or an address of another size. */
int rt_decode_prefix(const struct nlattr *attr, uint8_t family, uint8_t len,
		     struct ip_prefix *ret_prefix) _must_check_;
/* Number of an attribute of four bytes, in host order, or `missing` (NULL). */
uint32_t rt_decode_u32(const struct nlattr *attr, uint32_t missing);
/* The encapsulation of a nexthop, its payload as the kernel sent it. One that is longer than
 * ROUTE_ENCAP_MAX keeps its type with encap_len 0: "there is one that cannot be written back". */
void rt_decode_encap(const struct nlattr *type, const struct nlattr *payload,
		     struct route_nexthop *nh);
