/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* Routes and nexthop objects into the rib, and the rib's members into the registry. */

/* Opens the sockets: changes are heard of from here on, and acted upon by the loop. Errors as of
 * nl_open() and nl_join(), with a sentence; -ENOMEM. Struct daemon owns what was opened, also after
 * a failure. Does not wait. */
int routes_open(struct daemon *d, struct err *e) _must_check_;

/* Reads links, addresses, rules, neighbours, nexthop objects and routes anew; members_apply() is
 * left to the caller. No error: a kernel without IPv6 or nexthop objects. Errors as of nl_dump(),
 * with its sentence, and -ENOMEM: addresses and rules may be incomplete then, and the rib keeps
 * what is gone. Waits for the kernel only. */
int routes_dump(struct daemon *d, struct err *e) _must_check_;

/* All of that by the loop in 50 ms, once however often this was called, and members_apply() then;
 * again in 1 s when it fails, which is logged. Does not wait. */
void routes_redump_soon(struct daemon *d);

/* Names in the registry the nexthops that routes name, unnames the others, of all services or of
 * those whose routes changed since the last call; then intent_apply() and sync_soon(). A nexthop
 * that gets no id is logged once. Does nothing before d->ready. Waits for the kernel, for the
 * neighbours of a new nexthop, and as intent_apply() does. */
void members_apply(struct daemon *d, bool all);
