/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "netlink/nl.h"
#include "netlink/tuple.h"

enum ct_event { CT_EVENT_NEW, CT_EVENT_UPDATE, CT_EVENT_DESTROY, CT_EVENT_DUMP };

/* A conntrack entry as events and dumps carry it. Numbers in host order. */
struct ct_entry {
	enum ct_event event;
	struct tuple tuple; /* original direction, with the zone */
	uint32_t mark;	    /* 0 when absent */
	uint32_t status;    /* IPS_* */
	uint32_t id;
	uint32_t timeout_s;
	uint8_t tcp_state;	      /* TCP_CONNTRACK_*, 0 unknown */
	bool nat;		      /* the reply tuple is not the inverse of the original */
	bool by_program;	      /* NEW: made by a request, not by a packet */
	bool has_status, has_timeout; /* not every kernel sends them with DESTROY */
	uint64_t packets, bytes;      /* both directions; 0 without nf_conntrack_acct */
};

/* Decodes a ctnetlink message by attribute tables. IPv4 and IPv6, and protocols with ports:
 * -EPROTONOSUPPORT for others. -EBADMSG when it is malformed, -ENOMSG when it is not about an entry
 * (statistics, expectations). The event follows from type and flags; the kernel marks the answer to
 * a get request as it does a dump's (NLM_F_MULTI), so that is a DUMP too. Source:
 * ctnetlink_fill_info(), ctnetlink_conntrack_event() in net/netfilter/nf_conntrack_netlink.c. */
int ct_decode(const struct nlmsghdr *nlh, struct ct_entry *ret_entry) _must_check_;

/* Lets only events pass whose CTA_MARK has bits inside `mark_mask` and whose zone is one of `zones`
 * (0 stands for none; the zone is the one that ct_decode() finds; an empty list lets all pass): a
 * classic BPF program on the socket (SKF_AD_NLATTR); everything else is dropped before it is
 * queued, also the answers to requests, so the socket is one for events only. To be set before the
 * group is joined. At most 64 zones: -E2BIG. Errno of setsockopt(2). */
int ct_filter_events(struct nl *nl, uint32_t mark_mask, const uint16_t *zones,
		     size_t n_zones) _must_check_;

/* Write a request into buf (NL_REQUEST_MAX bytes) and return it, for nl_dump(), nl_request() or a
 * pipeline. Marks and masks are in host order, timeouts in seconds. Those with a tuple (original
 * direction, IPv4 or IPv6, a protocol with ports) return NULL without memory; the kernel answers
 * -ENOENT when there is no such entry in the tuple's zone.
 * dump: all entries of both families, or with mask != 0 those with
 * (theirs & mask) == (mark & mask), filtered by the kernel.
 * get: answered with the entry.
 * set_mark: changes the bits under mask; the kernel keeps the others. */
struct nlmsghdr *ct_request_dump(void *buf, uint32_t mark, uint32_t mask);
struct nlmsghdr *ct_request_get(void *buf, const struct tuple *t);
struct nlmsghdr *ct_request_delete(void *buf, const struct tuple *t);
struct nlmsghdr *ct_request_set_mark(void *buf, const struct tuple *t, uint32_t mark,
				     uint32_t mask);
/* create: makes the entry, without translation and as established, or changes the one that stands:
 * the mark's bits under mask, and the timeout. touch: changes the timeout of the one that stands.
 */
struct nlmsghdr *ct_request_create(void *buf, const struct tuple *t, uint32_t mark, uint32_t mask,
				   uint32_t timeout_s);
struct nlmsghdr *ct_request_touch(void *buf, const struct tuple *t, uint32_t timeout_s);
