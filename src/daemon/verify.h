/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include "control/server.h"

struct daemon;

/* What flowpind believes against what conntrack, the pin map, the table, rules, routes and switches
 * hold. */

/* Verify of io.flowpin; `arg` is the struct daemon. Goes on by the loop, one at a time, until it is
 * answered or its client goes: a difference counts once it was seen several times, and where events
 * were lost conntrack is read again first (it waits for 9 s at most). Errors: InvalidParameter,
 * Busy (one runs, or conntrack is read for longer than that), Failed (no memory; conntrack cannot
 * be asked). Each step waits for the kernel only. */
void verify_method(struct control_call *call, struct json_object *params, void *arg);
/* Whether a verify reads conntrack and the flow table now: no other may do so beside it. */
bool verify_is_reading(const struct daemon *d);
/* Whether a verify waits until conntrack has been read again, or would if events had been lost. */
bool verify_waits(const struct daemon *d);
