/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/server.h"

/* `flowpin teardown`: everything of ours goes, first from the switches, then from the kernel. */

/* Teardown of io.flowpin; `arg` is the struct daemon. Gives attached switches 15 s, answers, and
 * quits with FLOWPIN_EXIT_TORN_DOWN; it is called off when the client goes before. Errors:
 * InvalidParameter, Busy (one is under way), Failed (no memory; or something could not be removed:
 * table, rules and routes are put back). Waits for the kernel only. */
void teardown_method(struct control_call *call, struct json_object *params, void *arg);
