/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "core/service.h"
#include "eapi/ingress.h"
#include "eapi/topology.h"

/* The routes of the services' prefixes in a switch, and the nexthops that matter there, followed
 * from reading to reading. */

#define WATCH_DESTINATIONS 256	  /* addresses inside networks that are followed one by one */
#define WATCH_ROUND	   16	  /* of them read in one round */
#define WATCH_UNUSED_MS	   600000 /* then one is forgotten */

/* How much later than the switch saw a flow's first packet we may hear of it, at most: the way of a
 * mirrored packet to flowpin-mirror. Of a reading that ended later than so long before we heard of
 * the flow nobody knows whether it was before that packet. */
#define WATCH_LATE_MS 200

/* How the routes inside a prefix are read, in the order in which it is tried. */
enum watch_form {
	WATCH_LONGER, /* show ip route P longer-prefixes */
	WATCH_ALL,    /* show ip route: the whole table */
	WATCH_ONE,    /* show ip route A: the first address has to do */
};

/* One route inside a network. */
struct watched_route {
	struct ip_prefix prefix;
	struct vias vias;
	uint64_t since_ms;  /* as of struct watched */
	uint64_t unlike_ms; /* the last reading that showed otherwise; 0 none */
	bool changed;
};

struct watched {
	struct ip_prefix prefix;
	struct vias route; /* of a host the covering route; else all nexthops of routes within,
			      sorted, each once */
	bool read;
	enum watch_form form; /* of a host it does not matter */
	/* Of a host: when the first of the readings in a row ended that showed this very route; 0:
	 * it is not known to be still so. changed: another one had been read before. */
	uint64_t since_ms;
	bool changed;
	/* Of a network that is not read as WATCH_ONE: its routes. */
	struct watched_route *routes;
	size_t n_routes;
	uint64_t read_ms;
	/* Of a destination. */
	uint64_t used_ms;
	bool due;
};

struct watched_nexthop {
	struct ip_addr addr;
	char place[INTERFACE_NAME];	/* where it was last seen */
	char interface[INTERFACE_NAME]; /* of layer 3 */
	bool alive, mark;
};

/* The list: first the services' prefixes, then destinations inside those that are networks, as
 * questions named them. */
struct watch {
	struct watched *list;
	size_t n, n_fixed, cap;
	bool news; /* a question met another route than was known */
	const struct service *service; /* borrowed */
	size_t n_services;
	struct watched_nexthop *nexthop;
	size_t n_nexthops, cap_nexthops;
	struct ingress ingress;
};

/* Follows the prefixes of all services, which are borrowed. -ENOMEM. */
int watch_init(struct watch *w, const struct service_set *services) _must_check_;
/* Frees what it holds; nothing is followed then. */
void watch_clear(struct watch *w);

/* True for a prefix that is read with the whole table, which others of its family are read with,
 * too. */
bool watch_shares(const struct watched *w);
/* The switch refuses the command, or its answer is too large: another form from now on. False:
 * there is none left. */
bool watch_next_form(struct watched *w);
/* The command that reads one of them ("show ip route vrf X 1.1.1.1"), in buf. */
const char *watch_command(const struct watched *w, const char *vrf, char *buf, size_t size);
/* `show ip route` of one address. */
const char *watch_route_command(const struct ip_addr *a, const char *vrf, char *buf, size_t size);
/* Its answer, which came now. False: no such model. */
bool watch_read(struct watched *w, const char *vrf, struct json_object *model, uint64_t now_ms);
/* A round begins: old destinations are forgotten, and some of the others are due. Not while an
 * answer about one of the list is waited for; nor the next. */
void watch_begin_round(struct watch *w, uint64_t now_ms);
/* A question read the route to an address. Without memory nothing is remembered. */
void watch_note(struct watch *w, const struct ip_addr *a, const struct vias *route,
		uint64_t now_ms);

enum watch_proof {
	WATCH_PROVEN,
	WATCH_CHANGED,
	WATCH_UNREAD, /* nobody had read the route to this address before */
};
/* Whether `route`, which was read just now and noted, was the one to this address when a packet
 * passed of which was heard at seen_ms: a reading before said the same, and so did each one since.
 * A route that changed and changed back between two readings is not seen. */
enum watch_proof watch_prove(const struct watch *w, const struct ip_addr *a,
			     const struct vias *route, uint64_t seen_ms);
/* The route to an address as far as it is known, or NULL. */
const struct vias *watch_route(const struct watch *w, const struct ip_addr *a);

/* Whether a route of this service names the nexthop. */
bool watch_names(const struct watch *w, size_t service, const struct ip_addr *nexthop);

/* Begins a new list of nexthops: those of the routes; then each other one that matters is named;
 * then the list is complete and those not named are dropped. Without memory a nexthop is left out.
 */
void watch_nexthops_begin(struct watch *w);
void watch_nexthops_add(struct watch *w, const struct ip_addr *a);
void watch_nexthops_end(struct watch *w, const struct topology *t);
