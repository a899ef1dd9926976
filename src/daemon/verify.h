/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/server.h"

/* What flowpind believes against what conntrack, the pin map, the table, rules, routes and switches
 * hold. */

/* Verify of io.flowpin; `arg` is the struct daemon. Goes on by the loop, one at a time, until it is
 * answered or its client goes: a difference counts once it was seen several times. Errors:
 * InvalidParameter, Busy (one runs, or conntrack is read whole), Failed (conntrack cannot be
 * asked). Each step waits for the kernel only. */
void verify_method(struct control_call *call, struct json_object *params, void *arg);
