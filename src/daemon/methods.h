/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/server.h"

/* io.flowpin, as control.sock serves it, and those of its methods that only read; for all of them
 * `arg` is the struct daemon. */

/* The methods for struct control_options; static. */
const struct control_method *methods_table(void);

/* methods_status.c: Status. Errors: InvalidParameter. Waits for the kernel only. */
void status_method(struct control_call *call, struct json_object *params, void *arg);

/* methods_flows.c: Flows, those that its filter lets pass, as fast as the client reads. Errors:
 * InvalidParameter with the key, Refused (without "more"), Failed (no memory). */
void flows_method(struct control_call *call, struct json_object *params, void *arg);
/* methods_flows.c: Show, the one flow that the filter means, with what conntrack and the pin map
 * hold of it (what cannot be read is told as absent). Errors: InvalidParameter with the key,
 * NotFound, Ambiguous. Waits for the kernel only. */
void show_method(struct control_call *call, struct json_object *params, void *arg);
