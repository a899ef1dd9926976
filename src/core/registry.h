/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/service.h"

/* Nexthops and bindings with their life cycle (README, "Life of a nexthop"). Pure: time comes in as
 * milliseconds of clock_now_ms(), decisions come out as changes to take. Services are named by
 * their name, so that a reload may reorder them; a binding whose service is gone is dropped with
 * registry_service_remove(). */

#define BINDING_ID_MAX 255

enum binding_state {
	BINDING_FREE, /* the id is not in use */
	BINDING_ACTIVE,
	BINDING_DRAINING,
	BINDING_DEAD,
	BINDING_UNREACHABLE,
	BINDING_GONE, /* only as the target of a change: the id is being taken back */
};
/* "active", "draining", ... */
const char *binding_state_name(enum binding_state s);

/* Why a binding is in its state; also the reason of a change. */
enum binding_reason {
	REASON_ROUTE,     /* a route names it */
	REASON_WITHDRAWN, /* no route names it any more */
	REASON_DRAIN,     /* the operator drains it */
	REASON_RELEASE,   /* the operator released it */
	REASON_NEIGHBOUR, /* its neighbour entry FAILED */
	REASON_LINK,      /* its interface is down */
	REASON_OUTAGE,  /* it failed together with most others behind its interface, or with all */
	REASON_ADOPTED, /* found in the kernel at start */
	REASON_EMPTY,   /* no flow left */
	REASON_SERVICE, /* its service was removed */
};
/* Half a sentence for a person: "a route names it". */
const char *binding_reason_text(enum binding_reason r);

/* What is known of a nexthop's health. */
enum nexthop_health {
	HEALTH_UNKNOWN, /* not probed since its link came up, or of a kind that counts as alive */
	HEALTH_ALIVE,
	HEALTH_SUSPECT, /* a probe is unanswered so far */
	HEALTH_FAILED,
};

/* What liveness sees. A nexthop that was ever probed and then FAILED or lost its link is back only
 * when it is CONFIRMED: so after NEXTHOP_LINK_UP it must be probed, also where the kernel has
 * dropped its neighbour entry. */
enum nexthop_event {
	NEXTHOP_CONFIRMED, /* it answered (REACHABLE), or is of a kind that counts as alive */
	NEXTHOP_PROBED,    /* a probe began (entry in PROBE or INCOMPLETE) */
	NEXTHOP_NO_ANSWER, /* FAILED, after 3 solicitations; again for each further one */
	NEXTHOP_LINK_DOWN,
	NEXTHOP_LINK_UP,
};

struct nexthop {
	struct ip_addr gateway; /* family 0: on-link */
	uint32_t ifindex;
	char ifname[16];
	enum nexthop_health health;
	bool link_up;
	bool probed;           /* ever: then carrier alone proves nothing */
	uint64_t link_down_ms; /* when the link went down; 0 it is up */
	uint64_t confirmed_ms; /* last NEXTHOP_CONFIRMED, 0 never */
	uint64_t fault_ms;     /* first unanswered probe, or link down, of this fault; 0 none */
	uint64_t failed_ms;    /* when it was found FAILED; 0 not */
	uint32_t rounds;       /* unanswered solicitations in this fault */
	uint16_t bindings;     /* how many refer to it */
};

/* by_link: it is on-link, or an IPv6 gateway of IPv4 traffic, so only the output interface tells
 * it. blind: two that routes name are so on one interface of the service. */
struct binding {
	uint8_t id; /* 1..BINDING_ID_MAX; its mark is id << shift */
	enum binding_state state;
	enum binding_reason reason;
	char service[SERVICE_NAME_MAX];
	enum service_on_withdraw on_withdraw;
	struct nexthop *nexthop;
	bool named;       /* a relevant route of the service names it */
	bool drained;     /* by the operator */
	bool released;    /* by the operator; ends by undrain, or when named anew */
	bool fixed;       /* id given by configuration */
	uint8_t families; /* bit 0: IPv4 traffic goes through it, bit 1: IPv6 traffic */
	bool by_link;     /* `rt nexthop` cannot name it for some traffic */
	bool blind;       /* by_link, and it cannot be told apart: not pinned */
	uint32_t mtu;
	bool onlink;
	uint16_t encap_type, encap_len;
	uint8_t encap[64];
	uint32_t flows;    /* kept by registry_flow_count */
	uint64_t state_ms; /* when the state began */
	uint64_t quiet_ms; /* since when flows is 0; 0 while it is not */
	uint64_t drain_since_s, drain_deadline_s, drain_release_s; /* seconds since 1970, 0 none */
	uint32_t drain_uid;
	uint64_t outage_ms;  /* unreachable: when the fault began for which it is held */
	uint64_t adopted_ms; /* when it was adopted; 0 once its routes are known */
};

struct registry_limits {
	uint8_t max_id; /* 15 .. 255, by the mark mask */
	uint32_t dead_after;
	uint64_t outage_window_ms, outage_hold_ms, carrier_hold_ms, probe_interval_ms;
};

struct registry;

/* The limits are copied. -ENOMEM. */
int registry_new(const struct registry_limits *limits, struct registry **ret_registry) _must_check_;
struct registry *registry_free(struct registry *r);
DEFINE_FREEP(struct registry, registry_free)
/* A reload: they count from the next call on. Bindings above max_id stay. */
void registry_limits_set(struct registry *r, const struct registry_limits *limits);

/* One change of state, for the log, for `monitor` and for what must be written into the kernel. */
struct binding_change {
	uint8_t id;
	enum binding_state from, to;
	enum binding_reason reason;
	char service[SERVICE_NAME_MAX];
	struct nexthop_spec nexthop;
	uint32_t flows; /* it held at that moment */
};
/* Takes the oldest change that was not taken yet. False when there is none. None is lost: at most 8
 * of an id wait, further ones are folded into the newest of them (its `from` stays, `to` and the
 * rest follow). */
bool registry_change_take(struct registry *r, struct binding_change *ret_change);
/* Counts up with every change of anything that the kernel must be told (state, membership,
 * attributes). */
uint64_t registry_version(const struct registry *r);

struct nexthop_attributes {
	uint32_t mtu;
	bool onlink;
	uint16_t encap_type, encap_len;
	uint8_t encap[64];
	uint8_t families; /* bit 0: routes of IPv4 name it, bit 1: of IPv6 */
};

/* The ids that the configuration fixes, of all services, in place of those set before: no other
 * nexthop is given one of them. Bindings that already have one keep it. */
void registry_reserve(struct registry *r, const uint8_t *ids, size_t n);

/* A route of the service names this nexthop (interface name for presentation). Makes the binding if
 * there is none, with the id fixed in the configuration (`fixed_id`, 0 none), else the lowest never
 * used, else the one longest free. A binding that stands keeps its id, also when another is fixed
 * for it now. -EEXIST: fixed_id belongs to another binding that is not gone; -ERANGE: fixed_id is
 * above max_id; -ENOSPC: no id left. In these three cases the nexthop is not pinned and is listed
 * by registry_unpinned(), until a later call succeeds. -ENOMEM. */
int registry_name(struct registry *r, const struct service *s, const struct ip_addr *gateway,
		  uint32_t ifindex, const char *ifname, const struct nexthop_attributes *a,
		  uint8_t fixed_id, uint64_t now_ms, uint8_t *ret_id) _must_check_;
/* No relevant route of the service names it any more. Unknown ones are ignored (and leave the
 * unpinned list). */
void registry_unname(struct registry *r, const char *service, const struct ip_addr *gateway,
		     uint32_t ifindex, uint64_t now_ms);
/* Takes over a binding that the kernel holds from an earlier run, as draining and not named;
 * registry_name() follows when a route names it. `on-withdraw = release` takes hold of it after
 * registry_unname(), or when no route has named it 10 seconds later. -EEXIST: the id is taken, or
 * the nexthop has another one; -ERANGE: 0 or above max_id. */
int registry_adopt(struct registry *r, const struct service *s, const struct ip_addr *gateway,
		   uint32_t ifindex, const char *ifname, const struct nexthop_attributes *a,
		   uint8_t id, uint64_t now_ms) _must_check_;

/* Something was seen of a nexthop (all bindings on it are judged anew). NEXTHOP_LINK_*: gateway
 * NULL means every nexthop behind the interface. */
void registry_observe(struct registry *r, const struct ip_addr *gateway, uint32_t ifindex,
		      enum nexthop_event event, uint64_t now_ms);

/* Judges everything that depends on time (carrier-hold, outage-hold, proofs of life). Returns the
 * milliseconds until it wants to be called again, UINT64_MAX for not at all. */
uint64_t registry_tick(struct registry *r, uint64_t now_ms);

/* Operator's wishes. registry_drain refuses with -EBUSY and a sentence when no other active binding
 * of the service would be left (of a named binding that is not drained yet); -ENOENT with a
 * sentence: no such id. registry_undrain ends a drain and a release; registry_release is not
 * refused; both ignore an id that is not in use. */
struct drain_intent {
	uint64_t since_s, deadline_s, release_s; /* seconds since 1970; 0 none */
	uint32_t uid;
};
int registry_drain(struct registry *r, uint8_t id, const struct drain_intent *intent,
		   uint64_t now_ms, struct err *e) _must_check_;
void registry_undrain(struct registry *r, uint8_t id, uint64_t now_ms);
void registry_release(struct registry *r, uint8_t id, uint64_t now_ms);

/* A service was removed from the configuration: its bindings go (change to BINDING_GONE,
 * REASON_SERVICE). */
void registry_service_remove(struct registry *r, const char *service, uint64_t now_ms);

/* Counts flows of a binding up or down, not below 0. An id that is not in use is ignored. */
void registry_flow_count(struct registry *r, uint8_t id, int32_t delta, uint64_t now_ms);

/* The next binding from *cursor on (start with 0) that no route names and that has no flow left,
 * whatever is known of its health; 0 at the end. Since when is its `quiet_ms`: the caller waits for
 * its idle timeout, and makes sure that no conntrack entry carries its mark and its chains'
 * counters stood still, before registry_retire(), which takes the id back (BINDING_GONE,
 * REASON_EMPTY) and does nothing when a route names it or a flow is there again. */
uint8_t registry_quiet_next(const struct registry *r, uint8_t *cursor);
void registry_retire(struct registry *r, uint8_t id, uint64_t now_ms);

/* NULL when the id is free. Borrowed, as all below; it changes with the registry. */
const struct binding *registry_binding(const struct registry *r, uint8_t id);
/* The next binding in use above *cursor (start with 0), NULL at the end. */
const struct binding *registry_binding_next(const struct registry *r, uint8_t *cursor);
/* NULL: the service has no such binding. */
const struct binding *registry_find(const struct registry *r, const char *service,
				    const struct ip_addr *gateway, uint32_t ifindex);
/* The next nexthop from *cursor on (start with 0), NULL at the end. */
const struct nexthop *registry_nexthop_next(const struct registry *r, size_t *cursor);

/* Nexthops that a route names and that got no id. */
struct unpinned {
	char service[SERVICE_NAME_MAX];
	struct nexthop_spec nexthop;
	uint32_t ifindex;
};
/* Borrowed until the next call that changes the registry. */
const struct unpinned *registry_unpinned(const struct registry *r, size_t *ret_n);

/* What the kernel must be told of a binding, by its state and flags:
 * carry: pinned packets may follow it (map `marks`); fresh: a SYN may follow it; off: a route that
 * names it needs an override; by_link: its interface alone tells it (map `link_`). At most one
 * binding of a service and interface is by_link in this sense. */
bool binding_carries(const struct binding *b);
bool binding_fresh(const struct binding *b);
bool binding_off(const struct binding *b);
bool binding_learns_by_link(const struct binding *b);
