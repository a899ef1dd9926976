/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mirror to GRE: copies of chosen packets that enter an interface, sent in GRE of any kind that the
 * reference knows of. */
#pragma once

#include "sim.h"

/* The operation "mirror": starts, changes or (with "remove") ends a session. NULL, or what is
 * wrong. */
const char *mirror_operate(struct sim *sim, struct json_object *o, struct json_object *ret);
/* What each has seen and sent. */
struct json_object *mirror_state(const struct sim *sim);
/* Ends all. Without the lock. */
void mirror_stop(struct sim *sim);
