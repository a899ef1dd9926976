/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* What rtnetlink says of links, addresses, neighbours and rules, kept as small arrays in struct
 * daemon. What points into them is good until the next netstate_apply(). */

/* Enters a notification or a message of a dump; links and neighbours are told to liveness.h. Our
 * own rules, and neighbours that are no nexthop, are not kept. Returns 1 when a link, an address or
 * a rule changed, with which routes may come and go, else 0. -ENOMSG: it is about something else;
 * -EBADMSG: malformed, or of another family; -ENOMEM. Does not wait. */
int netstate_apply(struct daemon *d, const struct nlmsghdr *nlh);

/* The link with this index, NULL when none is known. */
const struct link *netstate_link(const struct daemon *d, uint32_t ifindex);
/* The link with this name, NULL when none is known. */
const struct link *netstate_link_by_name(const struct daemon *d, const char *name);
/* The entry of this address behind the interface, NULL when none is kept. */
const struct neighbour *netstate_neighbour(const struct daemon *d, uint32_t ifindex,
					   const struct ip_addr *addr);

/* Works out which tables forward, from the rules as they are now: netstate_apply() does not. They
 * are those that rules of others look up, without `local`; the first 64 of them. */
void netstate_rules_derive(struct daemon *d);
/* Whether the routes of this table count, as of the last netstate_rules_derive(). */
bool netstate_table_forwards(const struct daemon *d, uint32_t table);

/* Frees the arrays and leaves the pointers as they are: once, at the end. */
void netstate_free(struct daemon *d);
