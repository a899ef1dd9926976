/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/strbuf.h"

/* Walks JSON text in place: a million flows are printed without an object being made for any of
 * them. It finds where values begin and end and never reads outside the text; that a scalar is well
 * formed it does not check. */
struct slice {
	const char *p;
	size_t len;
};

/* The inside of an object (bracket '{') or array ('['). False when the value is something else. */
bool slice_open(struct slice value, char bracket, struct slice *ret_inside);
/* Takes the next member of an object's inside, or the next item of an array's. The key comes
 * without its quotes and as it was written. False at the end, with `inside` empty, or where the
 * text is malformed, with `inside` not empty. */
bool slice_member(struct slice *inside, struct slice *ret_key, struct slice *ret_value);
bool slice_item(struct slice *inside, struct slice *ret_value);

/* The same for an object inside an array, in one pass: instead of slice_item() enter it, take its
 * members to the last, and leave it. Both are false, and change nothing or too much to go on, where
 * there is none. */
bool slice_enter(struct slice *inside);
bool slice_leave(struct slice *inside);

/* Byte for byte. */
bool slice_equal(struct slice s, const char *text);
/* The value of one member of an object; false when there is none. */
bool slice_find(struct slice object, const char *key, struct slice *ret_value);

/* A string's text as it was written, without the quotes; other values as they are. */
struct slice slice_text(struct slice value);

/* Copies JSON text so that every string in it, once parsed, is printable ASCII: what an escape or a
 * foreign byte stands for is shown as that escape or as '?'. */
void slice_disarm(struct slice json, struct strbuf *b);
