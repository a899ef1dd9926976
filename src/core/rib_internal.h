/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "core/rib.h"

/* What the files of the rib share.
 *
 * A slot is one prefix in one table with the routes to it, best first; the kernel uses only the
 * first, and so do we. A view is one service prefix as seen in one table; it is covered by one slot
 * at most. A slot is relevant for a service while it covers views of it or lies inside prefixes of
 * it, and while it is, its nexthops are members of the service. */

#define RIB_LENGTHS 129 /* prefix lengths 0..128 */

struct rib_entry {
	struct route route; /* owns its nexthops */
	uint32_t generation;
	struct rib_slot *slot;
	struct rib_object *object;		 /* that it names, or NULL */
	struct rib_entry *user_prev, *user_next; /* users of that object */
};

/* A slot's relevance for one service. */
struct rib_relevance {
	uint16_t service;
	uint32_t covers, inside;	  /* by how many of the service's prefixes */
	size_t position;		  /* in the service's list of slots */
	struct rib_reference *references; /* one per resolved nexthop of the slot while active */
};

/* "This slot names that member for this service": links of the member's list, so that its
 * attributes always come from a slot that still names it. */
struct rib_reference {
	struct rib_slot *slot;
	const struct route_nexthop *nexthop; /* NULL: it stands earlier in the route too */
	struct rib_reference *prev, *next;
};

struct rib_slot {
	struct ip_prefix prefix;
	struct rib_table *table;
	bool keep_all; /* it covers a service prefix, or lies inside one that is not of length 0 */
	struct rib_entry **entries; /* by metric, then age: entries[0] is what the kernel uses */
	size_t n_entries, cap_entries;
	uint32_t mtu, metric;		/* of the route that `resolved` was made from */
	struct route_nexthop *resolved; /* of entries[0]; none when it has no usable nexthop */
	size_t n_resolved;
	struct rib_relevance *relevances;
	size_t n_relevances, cap_relevances;
	struct rib_slot *prev, *next; /* all slots */
};

struct rib_table {
	uint32_t id;
	uint32_t lengths[2][RIB_LENGTHS]; /* slots of each length; [0] IPv4, [1] IPv6 */
	struct rib_slot **covers;	  /* per service prefix */
};

/* A nexthop object; one that is only named so far has known = false. */
struct rib_object {
	uint32_t id;
	bool known;
	uint32_t generation;
	struct nexthop_object object; /* owns its members */
	struct rib_entry *users;
};

/* One prefix of one service. */
struct rib_watch {
	struct ip_prefix prefix;
	uint16_t service;
};

struct rib_service {
	struct rib_member *members;
	struct rib_member_links {
		struct rib_reference *references;
		uint32_t by_family[2];
	} *links; /* parallel to members */
	size_t n_members, cap_members, cap_links;
	struct rib_slot **slots; /* relevant ones */
	size_t n_slots, cap_slots;
	uint64_t version;
};

struct rib {
	const struct service_set *set;
	struct rib_watch *watches; /* sorted by prefix */
	size_t n_watches;
	bool watch_lengths[2][RIB_LENGTHS];
	struct rib_service *services;
	struct rib_table **tables;
	size_t n_tables, cap_tables;
	void *tree; /* tsearch(3) of slots: no remote host can choose its shape */
	struct rib_slot *slots;
	size_t n_routes;
	struct rib_object **objects; /* sorted by id */
	size_t n_objects, cap_objects;
	uint32_t generation;
	bool syncing;
	uint64_t changes;      /* of all services; tells a caller whether anything happened */
	uint64_t sync_changes; /* as it was at rib_sync_begin() */
};

/* rib_view.c: where a prefix stands towards the services, and what follows from it. */
enum rib_standing {
	RIB_STANDING_NONE,	 /* no business of any service */
	RIB_STANDING_INSIDE_ALL, /* it lies only inside service prefixes of length 0 */
	RIB_STANDING_FULL,	 /* it covers a service prefix or lies inside a longer one */
};
/* Makes the watches of all service prefixes, sorted. -ENOMEM. */
int rib_watches_new(struct rib *r) _must_check_;
/* By all prefixes of all services. */
enum rib_standing rib_standing_of(const struct rib *r, const struct ip_prefix *p);
/* Makes a new slot the cover of the service prefixes that it covers best. -ENOMEM. */
int rib_covers_take(struct rib *r, struct rib_slot *s) _must_check_;
/* Hands them to the next longer covers. The slot is no longer found by rib_slot_find() and not
 * counted in lengths. -ENOMEM; it is done even then. */
int rib_covers_leave(struct rib *r, struct rib_slot *s) _must_check_;
/* Gives the slot these nexthops (taken over, also on failure) and brings relevance and members up
 * to date. -ENOMEM. */
int rib_slot_resolve(struct rib *r, struct rib_slot *s, struct route_nexthop *resolved, size_t n,
		     uint32_t mtu, uint32_t metric) _must_check_;
/* Deactivates and frees all of the slot's relevances. */
void rib_relevances_free(struct rib *r, struct rib_slot *s);

/* rib_member.c: members, counted by reference. Both do nothing when there is nothing to do.
 * -ENOMEM: nothing is linked. */
int rib_relevance_activate(struct rib *r, struct rib_slot *s, struct rib_relevance *v) _must_check_;
void rib_relevance_deactivate(struct rib *r, struct rib_slot *s, struct rib_relevance *v);
/* NULL: it has none for this service. */
struct rib_relevance *rib_relevance_find(const struct rib_slot *s, uint16_t service);
/* The same gateway and interface. */
bool rib_nexthop_same_hop(const struct route_nexthop *a, const struct route_nexthop *b);
/* In everything that a copy of the route would show. Their order means nothing: IPv6 tells the same
 * route in one order in events and in another in a dump. */
bool rib_nexthops_equal(const struct route_nexthop *a, size_t n_a, const struct route_nexthop *b,
			size_t n_b);

/* rib_object.c: nexthop objects, and what a route comes to with them. Enters e among the users of
 * the object that its route names, which is made when it is not there; nothing without one.
 * -ENOMEM. */
int rib_object_use(struct rib *r, struct rib_entry *e) _must_check_;
/* Takes e off them; an object that nobody told of goes with its last user. */
void rib_object_unuse(struct rib *r, struct rib_entry *e);
/* True when a route can have several nexthops: by itself, by a group, or by an object that is not
 * known yet. */
bool rib_route_is_multipath(const struct rib *r, const struct route *route);
/* Resolves the slot's first route anew and does all that follows. Frees the slot when nothing in it
 * is to be kept. -ENOMEM. */
int rib_slot_refresh(struct rib *r, struct rib_slot *s) _must_check_;
/* Forgets objects that were not entered since rib_sync_begin(). -ENOMEM. */
int rib_objects_sweep(struct rib *r) _must_check_;
void rib_objects_free(struct rib *r);

/* rib.c: NULL when there is none. */
struct rib_slot *rib_slot_find(const struct rib *r, const struct rib_table *t,
			       const struct ip_prefix *p);
/* Takes the slot out with all its routes and frees it. -ENOMEM: it is gone even then. */
int rib_slot_remove(struct rib *r, struct rib_slot *s) _must_check_;
/* Takes one route out of its slot. The slot is to be refreshed afterwards. */
void rib_entry_remove(struct rib *r, struct rib_entry *e);

static inline unsigned rib_family_index(uint8_t family)
{
	return family == AF_INET6;
}
