/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* Ids of bindings that ended. */

/* Takes back the ids of bindings that no route names and no flow has, once their counters stood for
 * the service's longest timeout and their mark stands nowhere; nexthops that wait for an id are
 * named again then. Reads the counters once a second at most, and not while conntrack is read
 * whole. Waits for the kernel, and as members_apply() does. */
void retire_tick(struct daemon *d, uint64_t now_ms);

/* Whether a flow, or a conntrack entry of any zone, has the mark of this id. True also when
 * conntrack cannot be read. Waits for the kernel only, where no flow is known. */
bool retire_mark_stands(struct daemon *d, uint8_t id);
