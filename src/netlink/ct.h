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
	uint8_t tcp_state;  /* TCP_CONNTRACK_*, 0 unknown */
	bool nat;	    /* the reply tuple is not the inverse of the original */
	bool has_status, has_timeout;
	uint64_t packets, bytes; /* both directions; 0 without nf_conntrack_acct */
};

/* Decodes a ctnetlink message by attribute tables. -EBADMSG when it is malformed, -ENOMSG when it is not about an entry
 * (statistics, expectations), -EPROTONOSUPPORT for a protocol without ports. */
int ct_decode(const struct nlmsghdr *nlh, struct ct_entry *ret_entry) _must_check_;

/* Lets only events pass whose CTA_MARK has bits inside `mark_mask` and whose zone is one of `zones` (0 stands for none): a classic BPF
 * program on the socket (SKF_AD_NLATTR); everything else is dropped before it is queued. At most 64 zones: -E2BIG. Errno of
 * setsockopt(2). */
int ct_filter_events(struct nl *nl, uint32_t mark_mask, const uint16_t *zones, size_t n_zones) _must_check_;

/* Writes a request into buf (MNL_SOCKET_BUFFER_SIZE bytes) and returns it.
 * dump: all entries, or with mask != 0 those with (mark & mask) == mark (filtered by the kernel).
 * get / delete: by tuple and zone. set: mark bits under mask (kept outside it by the caller's value) and timeout, 0 leaves it. */
struct nlmsghdr *ct_request_dump(void *buf, uint32_t mark, uint32_t mask);
struct nlmsghdr *ct_request_get(void *buf, const struct tuple *t);
struct nlmsghdr *ct_request_delete(void *buf, const struct tuple *t);
struct nlmsghdr *ct_request_set_mark(void *buf, const struct tuple *t, uint32_t mark, uint32_t mask);
