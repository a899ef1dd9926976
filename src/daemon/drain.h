/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/server.h"
#include "daemon/daemon.h"

/* The operator's commands and who waits for them. The methods are those of io.flowpin, for which
 * `arg` is the struct daemon; they wait for the kernel and the disk, where a drain is before it is
 * answered. */

/* Drain. With wait = true it is answered when the last flow is gone, at the deadline, or when it is
 * undrained meanwhile, and switches take up flows before it begins. Errors: InvalidParameter,
 * NotFound, Ambiguous, Refused (nobody else would be left), Failed. */
void drain_method(struct control_call *call, struct json_object *params, void *arg);
/* Undrain: ends drains and releases. Errors: InvalidParameter, NotFound, Ambiguous, Failed (it is
 * undrained, and the disk does not know). */
void undrain_method(struct control_call *call, struct json_object *params, void *arg);
/* Release: lets the flows go; it outlives a restart where it ends a drain. Errors:
 * InvalidParameter, NotFound, Ambiguous; a failure to save is logged only. */
void release_method(struct control_call *call, struct json_object *params, void *arg);

/* For every tick: releases what drains for longer than its drain-timeout, tells those who wait how
 * far it is and, for them, has conntrack give up what expired. Waits for the kernel, and for the
 * disk when something is released or drained. */
void drain_tick(struct daemon *d, uint64_t now_ms);
/* Whether somebody waits for this binding to be empty. */
bool drain_waits_for(const struct daemon *d, uint8_t id);
