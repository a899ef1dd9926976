/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/err.h"
#include "netlink/tuple.h"

#define SERVICE_NAME_MAX 16 /* with the NUL: so that "nexthop6_<name>" stays a short nft name */

enum service_on_withdraw {
	SERVICE_HOLD,	 /* a nexthop that no route names any more keeps its flows */
	SERVICE_RELEASE, /* its flows are released at once */
};

struct port_range {
	uint16_t first, last; /* inclusive, host order */
};

/* What a person writes for a nexthop: "10.1.0.2", "10.1.0.2%eth1", "fe80::1%eth1", "%ppp0". */
struct nexthop_spec {
	struct ip_addr addr; /* family 0: on-link, by interface alone */
	char ifname[16];     /* "" where it was left out */
};
#define NEXTHOP_TEXT (IP_ADDR_TEXT + 17)

/* -EINVAL for bad text. */
int nexthop_spec_parse(const char *text, struct nexthop_spec *ret_spec) _must_check_;
/* Writes it into buf (NEXTHOP_TEXT bytes) and returns buf. */
const char *nexthop_spec_format(const struct nexthop_spec *s, char *buf);
/* True when `s` names the nexthop `full`, which has its interface; `s` may leave that out. */
bool nexthop_spec_matches(const struct nexthop_spec *s, const struct nexthop_spec *full);

struct service_id {
	struct nexthop_spec nexthop;
	uint8_t id;
};

struct service {
	char name[SERVICE_NAME_MAX];
	struct ip_prefix *prefixes;
	size_t n_prefixes;
	uint8_t protos[3]; /* IPPROTO_*, each once */
	size_t n_protos;
	struct port_range *ports; /* sorted, disjoint, not adjacent; 0-65535 for all */
	size_t n_ports;
	uint32_t idle_timeout_s; /* without a packet */
	uint32_t syn_timeout_s;	 /* after a first SYN; 20 */
	enum service_on_withdraw on_withdraw;
	uint32_t drain_timeout_s; /* a nexthop that drains for so long is released; 0 never */
	struct service_id *ids; /* ids fixed by configuration */
	size_t n_ids;
};

struct service_set {
	struct service *list;
	size_t n;
};
/* Frees what the set holds; it is empty then. */
void service_set_clear(struct service_set *s);

/* The service that a flow to (dst, proto, dport) of `t` belongs to: the most specific prefix, then
 * the narrowest port range that holds dport, wins. Returns its index in the set, or -1. Linear in
 * the number of prefixes: for single flows, not for packets. */
int service_set_match(const struct service_set *s, const struct tuple *t);

/* The longest prefix that all prefixes of a family (AF_INET, AF_INET6) lie in; whole: it is one of
 * them, so that nothing inside it is outside the services. False when the family has none. */
bool service_set_cover(const struct service_set *s, uint8_t family, struct ip_prefix *ret_cover,
		       bool *ret_whole);

/* One cell of the compiled services: addresses first..last, one protocol, ports first..last belong
 * to one service. */
struct service_cell {
	struct ip_addr first, last;
	uint8_t proto;
	struct port_range ports;
	uint16_t service; /* index in the set */
};

/* Flattens the services into cells that do not overlap (an nft map with intervals takes no nested
 * ones), sorted by address, protocol, port, and merged where neighbours are alike. The caller frees
 * *ret_cells. -ENOMEM; -E2BIG with more than 65,536 cells. */
int service_set_compile(const struct service_set *s, struct service_cell **ret_cells,
			size_t *ret_n) _must_check_;

/* Refuses services that overlap equally: the same prefix, a common protocol, and port ranges that
 * overlap without one of them lying properly inside the other. -EEXIST with a sentence that names
 * both services and what they share; -ENOMEM. */
int service_set_check(const struct service_set *s, struct err *e) _must_check_;
