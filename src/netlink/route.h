/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"

/* Plain structs of the routing side of the kernel: what src/netlink/rt.h decodes and encodes. */

#define ROUTE_ENCAP_MAX 64

struct route_nexthop {
	struct ip_addr gateway; /* family 0: on-link. May be of the other family than the route
				   (RTA_VIA) */
	uint32_t ifindex;
	uint16_t weight; /* 1.. ; the kernel's rtnh_hops + 1 */
	bool onlink;
	uint16_t encap_type; /* LWTUNNEL_ENCAP_*, 0 none */
	uint16_t encap_len;  /* bytes of RTA_ENCAP's payload */
	uint8_t encap[ROUTE_ENCAP_MAX];
};

struct route_key {
	struct ip_prefix prefix;
	uint32_t table;
	uint32_t metric;
	uint8_t tos;
};

struct route {
	struct route_key key;
	uint8_t protocol; /* RTPROT_* */
	uint8_t type;	  /* RTN_*: only RTN_UNICAST ones have nexthops */
	uint32_t mtu;	  /* RTAX_MTU, 0 none */
	uint32_t nh_id;	  /* nexthop object, 0 none */
	struct route_nexthop *nexthops;
	size_t n_nexthops;
};

/* A nexthop object or group. */
struct nexthop_member {
	uint32_t id;
	uint16_t weight;
};

struct nexthop_object {
	uint32_t id;
	struct route_nexthop single; /* when n_members is 0 */
	bool blackhole;
	struct nexthop_member *members;
	size_t n_members;
};

struct link {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	bool up;      /* IFF_UP */
	bool carrier; /* IFF_LOWER_UP, and operstate neither down nor lowerlayerdown */
	bool pointopoint, noarp, loopback;
};

struct address {
	uint32_t ifindex;
	struct ip_prefix prefix; /* the connected prefix, bits behind the length cleared */
	struct ip_addr addr;
};

struct neighbour {
	uint32_t ifindex;
	struct ip_addr addr;
	uint16_t state;	    /* NUD_* */
	uint8_t flags;	    /* NTF_* */
	uint32_t ext_flags; /* NTF_EXT_* */
	uint8_t lladdr[32];
	uint8_t lladdr_len;
	uint8_t protocol;
};

/* A policy rule, as far as flowpin writes or judges rules. */
struct rule {
	uint8_t family;
	uint32_t priority;
	uint8_t action;	  /* FR_ACT_* */
	uint32_t table;	  /* FR_ACT_TO_TBL */
	uint32_t target;  /* FR_ACT_GOTO */
	uint8_t protocol; /* rtm_protocol of the one who made it */
	bool has_mark;
	uint32_t mark, mark_mask;
	struct ip_prefix src, dst;	  /* family 0: any */
	int32_t suppress_prefixlen;	  /* -1: none */
	uint8_t ip_proto;		  /* 0 any */
	uint16_t dport_first, dport_last; /* 0, 0: any */
	char iif[IF_NAMESIZE], oif[IF_NAMESIZE];
	bool other; /* it has a selector that is not represented here */
};
