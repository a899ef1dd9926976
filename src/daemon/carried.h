/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* Ids fixed by configuration whose marks stand in conntrack, brought by another gateway, before a
 * route here names the nexthop. */

/* Makes a binding for each such id that has none, and logs it. Where the nexthop's interface or its
 * flows' family is not known (yet), or the registry refuses, that is left to a later call. Waits
 * for the kernel only. */
void carried_adopt(struct daemon *d);

/* A binding was just made with this id: the flows known by its mark are counted as its own. Once
 * for a binding, or they count twice. */
void carried_count(struct daemon *d, uint8_t id);
