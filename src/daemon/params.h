/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/server.h"

/* Reading parameters of a method, and members of an object inside them. */

/* Whether all parameters are among the keys given (NULL ends them) and of the right type, or null;
 * replies with InvalidParameter else. One that is not known must not be passed over: without its
 * "service" a drain is one of all services. A key must also stand in the list of params.c. */
bool params_check(struct control_call *call, struct json_object *params, ...)
	__attribute__((sentinel));

/* Borrowed from `params`. NULL: absent, or of another type. "" for one with a NUL inside. */
const char *param_string(struct json_object *params, const char *key);
/* False also when it is absent, or of another type. */
bool param_bool(struct json_object *params, const char *key);
/* 1: there, 0: absent or null, -EINVAL: of another type or outside min..max. */
int param_int(struct json_object *params, const char *key, int64_t min, int64_t max,
	      int64_t *ret_value) _must_check_;
