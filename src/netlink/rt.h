/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <linux/rtnetlink.h>
#include "base/err.h"
#include "netlink/nl.h"
#include "netlink/route.h"

/* rtnetlink messages <-> plain structs, by attribute tables that check type and length. */

/* rtm_protocol of every route and rule that flowpin makes. */
#define RT_PROTOCOL_FLOWPIN 157

/* Decoders. 0; -ENOMSG when the message is of another kind; -EBADMSG when it is malformed or of
 * another family than IPv4/IPv6; -ENOMEM. Of another kind are also cached routes (RTM_F_CLONED),
 * IPv6 routes that look at the source, nexthop objects of a bridge (fdb), and what a bridge says of
 * its ports in link messages. An encapsulation longer than ROUTE_ENCAP_MAX keeps its type with
 * encap_len 0: it cannot be written back. Route and nexthop object own arrays: release with
 * route_clear() / nexthop_object_clear(). */
int rt_decode_route(const struct nlmsghdr *nlh, struct route *ret_route) _must_check_;
int rt_decode_nexthop(const struct nlmsghdr *nlh, struct nexthop_object *ret_object) _must_check_;
int rt_decode_link(const struct nlmsghdr *nlh, struct link *ret_link) _must_check_;
int rt_decode_address(const struct nlmsghdr *nlh, struct address *ret_address) _must_check_;
int rt_decode_neighbour(const struct nlmsghdr *nlh, struct neighbour *ret_neighbour) _must_check_;
int rt_decode_rule(const struct nlmsghdr *nlh, struct rule *ret_rule) _must_check_;
void route_clear(struct route *r);
void nexthop_object_clear(struct nexthop_object *o);

/* Requests, written into buf (`size` bytes where that is given, else MNL_SOCKET_BUFFER_SIZE); the
 * caller numbers and sends them. */
/* `type`: RTM_GETROUTE, RTM_GETLINK, ...; NLM_F_DUMP is set; never NULL. */
struct nlmsghdr *rt_request_dump(void *buf, uint16_t type, uint8_t family);
/* `table`, `protocol`: 0 is any. */
struct nlmsghdr *rt_request_route_dump(void *buf, uint8_t family, uint32_t table, uint8_t protocol);
/* NULL when it does not fit into buf; for a route also when a weight exceeds 256 or an
 * encapsulation was too long to be kept. `flags`: NLM_F_CREATE, NLM_F_REPLACE, NLM_F_EXCL as
 * wanted. */
struct nlmsghdr *rt_request_route(void *buf, size_t size, uint16_t type, uint16_t flags,
				  const struct route *r);
struct nlmsghdr *rt_request_rule(void *buf, uint16_t type, uint16_t flags, const struct rule *r);
/* Asks the kernel to probe this entry now: NUD_PROBE with the entry's link address, flags and
 * protocol kept; only for entries in REACHABLE, STALE or DELAY that are not NOARP, PERMANENT or
 * EXT_LEARNED (the caller checks with neighbour_probeable). */
struct nlmsghdr *rt_request_neighbour_probe(void *buf, const struct neighbour *n);
/* NTF_USE: resolve it, whether it exists, is FAILED, or does not exist. */
struct nlmsghdr *rt_request_neighbour_use(void *buf, uint32_t ifindex, const struct ip_addr *addr);
/* Whether a probe of this entry does no harm. */
bool neighbour_probeable(const struct neighbour *n);
