// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/json.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include "base/macros.h"

/* The end of the string that begins behind its opening quote at `i`, or `len` where it is refused
 * or has no end. */
static size_t string_end(const char *text, size_t len, size_t i)
{
	for (; i < len && text[i] != '"'; i++) {
		if ((unsigned char)text[i] < 0x20)
			return len;
		if (text[i] != '\\')
			continue;
		/* Text behind an embedded NUL would be invisible to everything that takes it for a
		 * C string. */
		if (len - i > 5 && memcmp(text + i, "\\u0000", 6) == 0)
			return len;
		i++;
	}
	return i < len ? i : len;
}

/* Looks at untrusted text before the parser does, in one pass and without recursion: nesting of at
 * most `depth`, no control character and no escaped NUL in a string, no number with more than
 * CONTROL_DIGITS_MAX digits in a row, no NaN or Infinity. That it is JSON is left to the parser. 0,
 * or -EBADMSG. */
static int check(const char *text, size_t len, int depth)
{
	int level = 0, digits = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		digits = isdigit((unsigned char)c) ? digits + 1 : 0;
		if (c == '{' || c == '[')
			level++;
		else if (c == '}' || c == ']')
			level--;
		else if (c == '"')
			i = string_end(text, len, i + 1);
		if (i == len || level > depth || digits > CONTROL_DIGITS_MAX || c == 'N' ||
		    c == 'I')
			return -EBADMSG;
	}
	return 0;
}

int control_json_parse(const char *text, size_t len, int depth, struct json_object **ret_object)
{
	_cleanup_(json_tokener_freep) struct json_tokener *tok = NULL;
	_cleanup_(json_object_putp) struct json_object *o = NULL;

	if (len > INT_MAX || check(text, len, depth) < 0)
		return -EBADMSG;
	/* The parser counts the scalar inside the innermost container as a level of its own. */
	tok = json_tokener_new_ex(depth + 1);
	if (!tok)
		return -ENOMEM;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    json_tokener_get_parse_end(tok) != len || !json_object_is_type(o, json_type_object))
		return -EBADMSG;
	*ret_object = TAKE_PTR(o);
	return 0;
}
