/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include "netlink/ct.h"

/* Small requests to conntrack that several jobs make, and a list of tuples to make them for. */

struct tuple_list {
	struct tuple *list;
	size_t n, cap;
};

/* Adds a copy. -ENOSPC when it holds `max` already, -ENOMEM. */
int tuple_list_add(struct tuple_list *l, const struct tuple *t, size_t max);
void tuple_list_clear(struct tuple_list *l);

/* The entry of this tuple. 0; -ENOENT; errno of the request. Waits for the kernel only. */
int conntrack_get(struct nl *nl, const struct tuple *t, struct ct_entry *ret_entry) _must_check_;

/* Writes the bits under mask of these entries' marks: entry i gets marks[i], without `marks` none
 * of them. Those that ended meanwhile are fine. -ENOMEM; errno of the socket. Waits for the kernel
 * only. */
int conntrack_mark(struct nl *nl, uint32_t mask, const struct tuple *list, const uint32_t *marks,
		   size_t n, struct err *e) _must_check_;

/* Begins a dump of the whole table on a socket of its own: `step` is called by the loop, with this
 * priority and this argument, whenever nl_dump_step() has something to read. The caller owns both
 * outputs, and frees the event first. -ENOMEM; errno of the socket. Does not wait. */
int conntrack_dump_begin(struct event_base *base, int priority, event_callback_fn step, void *arg,
			 struct nl **ret_nl, struct event **ret_ev) _must_check_;
