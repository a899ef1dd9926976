/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/macros.h"

/* JSON from the network, and tolerant access to it: EOS writes the same number as 5, 5.0 or "5". */

#define EAPI_JSON_DEPTH	     16
#define EAPI_JSON_CONTAINERS 100000 /* objects and arrays: a megabyte of {}, would take 270 */
#define EAPI_JSON_VALUES     1000000

/* Checks the text in one pass (depth, number of containers and values, no NaN or Infinity), then
 * parses one object or array that fills it; strict, valid UTF-8. The caller owns *ret. -EBADMSG;
 * -E2BIG: over a limit; -ENOMEM. */
int eapi_json_parse(const char *text, size_t len, struct json_object **ret_json) _must_check_;

/* The member of an object, NULL where it is not there or `o` (which may be NULL) is no object. */
struct json_object *eapi_json_get(struct json_object *o, const char *key);
/* A string without an embedded NUL, or NULL. */
const char *eapi_json_text(struct json_object *o);
/* A whole number as such, as a double without a fraction or as text. False: none within min..max.
 */
bool eapi_json_int(struct json_object *o, int64_t min, int64_t max, int64_t *ret_value);
/* A finite number of any form. */
bool eapi_json_double(struct json_object *o, double *ret_value);
/* Bytes that are not printable ASCII become '?'; what does not fit is cut. Returns buf. */
char *eapi_clean_text(const char *text, char *buf, size_t size);

static inline void eapi_json_putp(struct json_object **o)
{
	json_object_put(*o);
}
