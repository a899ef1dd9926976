/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "core/service.h"
#include "eapi/topology.h"

/* The routes of the services' prefixes in a switch, and the nexthops that matter there, followed
 * from reading to reading. */

/* How the routes inside a prefix are read, in the order in which it is tried. */
enum watch_form {
	WATCH_LONGER, /* show ip route P longer-prefixes */
	WATCH_ALL,    /* show ip route: the whole table */
	WATCH_ONE,    /* show ip route A: the first address has to do */
};

struct watched {
	struct ip_prefix prefix;
	struct vias route; /* of a host the covering route; else all nexthops of routes within,
			      sorted, each once */
	bool read;
	enum watch_form form; /* of a host it does not matter */
	uint64_t changed_ms;  /* when another route than before was read; 0: it has always been this
				 one */
};

struct watched_nexthop {
	struct ip_addr addr;
	char place[INTERFACE_NAME];	/* where it was last seen */
	char interface[INTERFACE_NAME]; /* of layer 3 */
	bool alive, mark;
};

struct watch {
	struct watched *list;
	size_t n;
	const struct service *service; /* borrowed */
	size_t n_services;
	struct watched_nexthop *nexthop;
	size_t n_nexthops, cap_nexthops;
};

/* Follows the prefixes of all services, which are borrowed. -ENOMEM. */
int watch_init(struct watch *w, const struct service_set *services) _must_check_;
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
/* Its answer. False: no such model. */
bool watch_read(struct watched *w, const char *vrf, struct json_object *model, uint64_t now_ms);

/* What is known of the way to an address: the most specific of the prefixes that holds it, or NULL.
 */
const struct watched *watch_find(const struct watch *w, const struct ip_addr *a);

/* Whether a route of this service names the nexthop. */
bool watch_names(const struct watch *w, size_t service, const struct ip_addr *nexthop);

/* Begins a new list of nexthops: those of the routes; then each other one that matters is named;
 * then the list is complete and those not named are dropped. Without memory a nexthop is left out.
 */
void watch_nexthops_begin(struct watch *w);
void watch_nexthops_add(struct watch *w, const struct ip_addr *a);
void watch_nexthops_end(struct watch *w, const struct topology *t);
