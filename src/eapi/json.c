// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/json.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* Behind the string's closing quote, or `len`. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
	for (i++; i < len && text[i] != '"'; i++)
		if (text[i] == '\\')
			i++;
	return i < len ? i + 1 : len;
}

static int check(const char *text, size_t len)
{
	size_t containers = 0, values = 0;
	int depth = 0;

	for (size_t i = 0; i < len;) {
		char c = text[i];

		if (c == '"') {
			i = skip_string(text, len, i);
			continue;
		}
		if (c == '{' || c == '[') {
			containers++;
			depth++;
		}
		depth -= c == '}' || c == ']';
		values += c == ',';
		if (depth > EAPI_JSON_DEPTH || containers > EAPI_JSON_CONTAINERS ||
		    values > EAPI_JSON_VALUES)
			return -E2BIG;
		/* NaN and Infinity pass json-c's strict parser; so do single quotes around keys,
		 * behind which all of this could hide. */
		if (c == 'N' || c == 'I' || c == '\'')
			return -EBADMSG;
		i++;
	}
	return 0;
}

static void tokener_freep(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

int eapi_json_parse(const char *text, size_t len, struct json_object **ret_json)
{
	_cleanup_(tokener_freep) struct json_tokener *tok = NULL;
	_cleanup_(eapi_json_putp) struct json_object *o = NULL;
	int r;

	if (len > INT_MAX)
		return -E2BIG;
	r = check(text, len);
	if (r < 0)
		return r;
	/* The parser counts the scalar inside the innermost container as a level of its own. */
	tok = json_tokener_new_ex(EAPI_JSON_DEPTH + 1);
	if (!tok)
		return -ENOMEM;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success)
		return -EBADMSG;
	for (size_t i = json_tokener_get_parse_end(tok); i < len; i++)
		if (!isspace((unsigned char)text[i]))
			return -EBADMSG;
	if (!json_object_is_type(o, json_type_object) && !json_object_is_type(o, json_type_array))
		return -EBADMSG;
	*ret_json = TAKE_PTR(o);
	return 0;
}

struct json_object *eapi_json_get(struct json_object *o, const char *key)
{
	struct json_object *member;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &member))
		return NULL;
	return member;
}

const char *eapi_json_text(struct json_object *o)
{
	const char *text;

	if (!json_object_is_type(o, json_type_string))
		return NULL;
	text = json_object_get_string(o);
	return strlen(text) == (size_t)json_object_get_string_len(o) ? text : NULL;
}

bool eapi_json_double(struct json_object *o, double *ret_value)
{
	const char *text = eapi_json_text(o);
	double v;
	char *end;

	if (text) {
		/* Digits first: strtod would take "inf" and hexadecimal. */
		if (!isdigit((unsigned char)text[0]) &&
		    !(text[0] == '-' && isdigit((unsigned char)text[1])))
			return false;
		v = strtod(text, &end);
		if (*end || strpbrk(text, "xX"))
			return false;
	} else if (json_object_is_type(o, json_type_double) ||
		   json_object_is_type(o, json_type_int)) {
		v = json_object_get_double(o);
	} else {
		return false;
	}
	if (!isfinite(v))
		return false;
	*ret_value = v;
	return true;
}

bool eapi_json_int(struct json_object *o, int64_t min, int64_t max, int64_t *ret_value)
{
	const char *text = eapi_json_text(o);
	int64_t v;
	double d;

	if (json_object_is_type(o, json_type_int)) {
		v = json_object_get_int64(o);
		/* json-c gives what does not fit as the limit. */
		if (v == INT64_MAX || v == INT64_MIN)
			return false;
	} else if (text) {
		char *end;

		if (!isdigit((unsigned char)text[0]) &&
		    !(text[0] == '-' && isdigit((unsigned char)text[1])))
			return false;
		errno = 0;
		v = strtoll(text, &end, 10);
		if (*end || errno == ERANGE)
			return false;
	} else if (eapi_json_double(o, &d) && fabs(d) < 9e15 && d == floor(d)) {
		v = (int64_t)d;
	} else {
		return false;
	}
	if (v < min || v > max)
		return false;
	*ret_value = v;
	return true;
}

char *eapi_clean_text(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	for (; text[n] && n + 1 < size; n++)
		buf[n] = isprint((unsigned char)text[n]) ? text[n] : '?';
	buf[n] = '\0';
	return buf;
}
