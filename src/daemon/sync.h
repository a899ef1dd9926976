/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

struct policy_binding;
struct policy_model;
struct ruleset_binding;
struct ruleset_connected;
struct ruleset_model;

/* The model into the kernel, and repair of what somebody else changed there. */

/* Opens what writes the table, the rules and the routes; what others do to the table is heard of
 * from here on. Nothing is written. Errors as of ruleset_new() and policy_new(), with a sentence;
 * -ENOMEM. Struct daemon owns what was opened, also after a failure. Waits for the kernel only. */
int sync_open(struct daemon *d, struct err *e) _must_check_;

/* adopt.c: takes over the bindings that an earlier run left in the kernel; netstate.h must know the
 * links. One that cannot be taken over is logged and left out. Returns 1 when our table stands, 0
 * when not; errors as of ruleset_read() and policy_read(). Waits for the kernel only. */
int sync_adopt(struct daemon *d, struct err *e) _must_check_;

/* sync_now() by the loop, once however often this was called. Does nothing before sync_open(). */
void sync_soon(struct daemon *d);
/* Adopts carried ids, reports what changed in the registry, writes what differs: rules and routes,
 * then the table. A failure is logged and tried again in 1 s. Does nothing before d->ready. Waits
 * for the kernel only. */
void sync_now(struct daemon *d);

/* What rules and routes should be. The caller frees *ret_own; the model also borrows the services
 * and the overrides, until the next sync or reload. -ENOMEM. */
int sync_policy_model(struct daemon *d, struct policy_model *ret_model,
		      struct policy_binding **ret_own) _must_check_;
/* What the table should be. The caller frees *ret_own and *ret_connected; the model also borrows
 * the services, until the next reload. -ENOMEM. */
int sync_ruleset_model(struct daemon *d, struct ruleset_model *ret_model,
		       struct ruleset_binding **ret_own,
		       struct ruleset_connected **ret_connected) _must_check_;

/* The nexthop of a binding as a person names it, with its interface. */
struct nexthop_spec binding_spec(const struct binding *b);
/* The service of this name, NULL when there is none. Borrowed until the next reload. */
const struct service *daemon_service(const struct daemon *d, const char *name);
