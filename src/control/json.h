/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#define CONTROL_DIGITS_MAX \
	18 /* of one number: what json-c would clamp without a word never gets that far */

/* Checks and parses one JSON object that fills the whole text (white space around it is fine);
 * strict, valid UTF-8. The caller owns *ret_object (json_object_put). -EBADMSG for anything else,
 * -ENOMEM. Of a key that is given twice the last one counts. */
int control_json_parse(const char *text, size_t len, int depth, struct json_object **ret_object);

/* For _cleanup_; NULL is fine. */
static inline void json_object_putp(struct json_object **o)
{
	json_object_put(*o);
}

static inline void json_tokener_freep(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}
