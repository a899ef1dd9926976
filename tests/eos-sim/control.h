/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tests' side door: POST /sim with an operation or a list of them. */
#pragma once

#include "sim.h"

struct control;

/* Adds the whole state to an object. The caller holds the lock. */
void state_of(struct sim *sim, struct json_object *ret);
/* The same without the flows. */
void usage_of(struct sim *sim, struct json_object *ret);

/* Serves at a Unix socket's path or ADDRESS:PORT, without authentication. NULL when it cannot (it
 * says why). */
struct control *control_start(struct sim *sim, const char *where);
void control_stop(struct control *control);
/* Runs one operation and returns its answer ({"error": ...} when it failed). Takes the lock. */
struct json_object *control_operate(struct sim *sim, struct json_object *operation);
/* The same, of a caller that has it. */
struct json_object *control_operate_locked(struct sim *sim, struct json_object *operation);
