/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/service.h"
#include "netlink/route.h"

/* The routes that matter to the services: which nexthops each service has at present, and through
 * which routes.
 *
 * Per table and service prefix P these routes are relevant: the longest one that covers P (of equal
 * prefixes the one with the lowest metric), and every more specific route inside P that has a
 * gateway or several nexthops; inside a prefix of length 0 only multipath ones (a gateway with a
 * full table has a million single ones, and they are not ours to pin). Everything else is not even
 * stored; so below a prefix of length 0 a single route does not hide a multipath one of a worse
 * metric that came after it. Of the routes to one prefix only the best counts, as in the kernel.
 * Routes with a TOS, of table 255 and of our own protocol are ignored. Pure. Time per change does
 * not grow with the number of routes (a search tree's logarithm aside).
 *
 * After -ENOMEM the rib is safe to use and to free, but incomplete: make a new one. */

struct rib;

/* `services` is borrowed for the life of the rib; a reload makes a new rib. -ENOMEM. */
int rib_new(const struct service_set *services, struct rib **ret_rib) _must_check_;
struct rib *rib_free(struct rib *r);
DEFINE_FREEP(struct rib, rib_free)

/* Enters a route (copied; `append` as NLM_F_APPEND: an equal key that stands goes first and wins)
 * or takes one out. Messages of a dump are entered with append = true, for it lists routes of one
 * key in their order. Without `append`, the first of an equal key is replaced. An IPv6 route with
 * gateways always replaces the one of its key: the kernel tells it whole. For an IPv6 delete that
 * names only some of a multipath route's nexthops, just those go. Irrelevant ones return 0 at once.
 * Returns 1 when a service's nexthops or relevant routes changed, 0 when not, -ENOMEM (a delete
 * too: what was hidden by the route appears). */
int rib_route_add(struct rib *r, const struct route *route, bool append) _must_check_;
int rib_route_del(struct rib *r, const struct route *route);

/* Enters, replaces or removes a nexthop object; routes that name it by nh_id follow. Returns as
 * above. Removing one also removes the routes that name it, as the kernel does without a word. */
int rib_object_set(struct rib *r, const struct nexthop_object *o) _must_check_;
int rib_object_del(struct rib *r, uint32_t id);

/* Mark and sweep around a new dump: begin, then rib_route_add()/rib_object_set() for all that the
 * dump holds, then end, which removes what was not entered again. rib_sync_end returns 1 when
 * something changed since rib_sync_begin, -ENOMEM. */
void rib_sync_begin(struct rib *r);
int rib_sync_end(struct rib *r);

/* A nexthop of a service at present. */
struct rib_member {
	struct ip_addr gateway;
	uint32_t ifindex;
	uint32_t mtu; /* this and up to encap: of the route that named it last */
	bool onlink;
	uint16_t encap_type, encap_len;
	uint8_t encap[64];
	uint32_t routes;  /* how many relevant routes name it */
	uint8_t families; /* bit 0: routes of IPv4 name it; bit 1: of IPv6 */
};

/* The members of service number `service`, in no order; borrowed until the next change. */
const struct rib_member *rib_service_members(const struct rib *r, size_t service, size_t *ret_n);

/* Counts up whenever this service's members or relevant routes change. */
uint64_t rib_service_version(const struct rib *r, size_t service);

/* Calls `fn` for each relevant route of the service, with its nexthops resolved (objects and groups
 * expanded). The route is borrowed for the call. Those without a usable nexthop (blackhole) are
 * left out. Stops when fn returns non-zero and returns that. */
int rib_service_routes(const struct rib *r, size_t service,
		       int (*fn)(const struct route *route, const struct route_nexthop *nexthops,
				 size_t n, void *arg),
		       void *arg);

/* Number of routes stored, for `status`. */
size_t rib_route_count(const struct rib *r);
