/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"
#include "core/override.h"
#include "core/service.h"
#include "netlink/nl.h"
#include "netlink/route.h"

/* Policy routing behind the marks: the 16-way tree of fwmark rules, one routing table per binding,
 * overrides. What should stand (a model) against what stands (own rtm_protocol), written as the
 * difference. Owns its netlink socket. */

struct policy_binding {
	uint8_t id;
	/* Its prefixes are routed through the nexthop, and held by blackholes. */
	const struct service *service;
	struct ip_addr gateway; /* family 0: on-link */
	uint32_t ifindex;
	uint8_t families; /* bit 0: IPv4 traffic goes through it, bit 1: IPv6 traffic */
	uint32_t mtu;
	bool link_up; /* false: only the blackholes can stand */
	bool onlink; /* as its route has it; in our tables it always is, see policy_routes.c */
	uint16_t encap_type, encap_len;
	uint8_t encap[ROUTE_ENCAP_MAX];
};

struct policy_model {
	const struct policy_binding *bindings;
	size_t n_bindings;
	const struct override *overrides; /* in the order of their rules */
	size_t n_overrides;
	uint32_t mark_mask, table_base, rule_priority;
};

struct policy;

/* Opens its socket; nothing is read or written. -ENOMEM, else as of nl_open(), with a sentence. */
int policy_new(struct policy **ret_policy, struct err *e) _must_check_;
struct policy *policy_free(struct policy *p);
DEFINE_FREEP(struct policy, policy_free)

/* Tables of bindings that stand in the kernel: id and the nexthop that its route goes through. For
 * adoption. */
struct policy_found {
	uint8_t id;
	struct ip_addr gateway;
	uint32_t ifindex;
	uint32_t mtu;
	uint8_t families;
};

/* Reads our rules and routes back; of `numbers` only mark_mask, table_base and rule_priority count.
 * The caller frees *ret_found, which is sorted by id; a table with only its blackholes (its link
 * was down) is not in it. Errors as of policy_sync(). Waits for the kernel's work only. */
int policy_read(struct policy *p, const struct policy_model *numbers,
		struct policy_found **ret_found, size_t *ret_n, struct err *e) _must_check_;

/* Writes the difference; what others put beside it is left alone. Order: a binding's table before
 * the rule that leads to it, the anchors (nop) before the gotos, and the reverse when taking away,
 * so that no packet meets half a tree. *ret_changes: rules and routes written; *ret_failed: those
 * that the kernel refused (the first refusal's sentence in *e) and overrides that found no room
 * (256 tables), all tried again at the next call. A selector's port 65535 alone is not overridden:
 * the kernel takes no such rule. 0 also with refusals; -EINVAL for numbers that cannot be, -ENOMEM,
 * or the socket's errno. Waits for the kernel's work only. */
int policy_sync(struct policy *p, const struct policy_model *m, size_t *ret_changes,
		size_t *ret_failed, struct err *e) _must_check_;

/* The next policy_sync() reads first. */
void policy_invalidate(struct policy *p);

/* Lists what differs without writing, one sentence each (borrowed for the call). 0 also with
 * differences; errors as of policy_sync(). Waits for the kernel's work only. */
typedef void (*policy_difference_fn)(const char *sentence, void *arg);
int policy_verify(struct policy *p, const struct policy_model *m, policy_difference_fn fn,
		  void *arg, struct err *e) _must_check_;

/* Takes every rule and route of ours away; with overrides_only just the overrides and the
 * blackholes (--relax). 0 also when there are none. `numbers` may have zero fields: everything with
 * our rtm_protocol is meant then. The first refusal is returned, after all else was tried; -ENOMEM,
 * or the socket's errno; with a sentence. Waits for the kernel's work only. */
int policy_remove(struct policy *p, const struct policy_model *numbers, bool overrides_only,
		  size_t *ret_removed, struct err *e) _must_check_;

/* The priorities and tables in use, for a reader of messages. */
struct override_place {
	uint32_t table;
	/* clock_now_ms() when it was first written by this process, or read at its start */
	uint64_t since_ms;
};
/* Where override number i of the last synced model stands. -ENOENT. */
int policy_override_place(const struct policy *p, size_t i,
			  struct override_place *ret_place) _must_check_;

/* True when a rule or route notification is about an object of ours but not from our own socket:
 * the daemon's monitor asks. Routes that the kernel itself flushes count (portid 0); IPv4 routes
 * lost with their link are not notified at all. */
bool policy_is_foreign_change(const struct policy *p, const struct nlmsghdr *nlh);
