// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/slice.h"

#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip(struct slice *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

static void skip_space(struct slice *s)
{
	while (s->len > 0 && is_space(*s->p))
		skip(s, 1);
}

/* Length of the string at the beginning of the text, with both quotes; 0 when it has no end. */
static size_t string_length(const char *p, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if (p[i] == '"')
			return i + 1;
		if (p[i] == '\\')
			i++;
	}
	return 0;
}

static size_t container_length(const char *p, size_t len)
{
	size_t level = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"') {
			size_t n = string_length(p + i, len - i);

			if (n == 0)
				return 0;
			i += n - 1;
		} else if (p[i] == '{' || p[i] == '[') {
			level++;
		} else if ((p[i] == '}' || p[i] == ']') && --level == 0) {
			return i + 1;
		}
	}
	return 0;
}

static size_t scalar_length(const char *p, size_t len)
{
	size_t i = 0;

	while (i < len && !is_space(p[i]) && !strchr(",]}:\"", p[i]))
		i++;
	return i;
}

/* Takes the value at the beginning of `s`. */
static bool take_value(struct slice *s, struct slice *ret_value)
{
	size_t n;

	skip_space(s);
	if (s->len == 0)
		return false;
	if (*s->p == '"')
		n = string_length(s->p, s->len);
	else if (*s->p == '{' || *s->p == '[')
		n = container_length(s->p, s->len);
	else
		n = scalar_length(s->p, s->len);
	if (n == 0)
		return false;
	*ret_value = (struct slice){ s->p, n };
	skip(s, n);
	skip_space(s);
	return true;
}

/* What follows a value inside a container is a comma with another value, its closing bracket (left
 * there), or the end. */
static bool take_comma(struct slice *s)
{
	if (s->len == 0 || *s->p == '}' || *s->p == ']')
		return true;
	if (*s->p != ',' || s->len == 1)
		return false;
	skip(s, 1);
	skip_space(s);
	return true;
}

bool slice_open(struct slice value, char bracket, struct slice *ret_inside)
{
	skip_space(&value);
	if (value.len < 2 || *value.p != bracket)
		return false;
	*ret_inside = (struct slice){ value.p + 1, value.len - 2 };
	skip_space(ret_inside);
	return true;
}

bool slice_item(struct slice *inside, struct slice *ret_value)
{
	struct slice rest = *inside, value;

	if (!take_value(&rest, &value) || !take_comma(&rest))
		return false;
	*inside = rest;
	*ret_value = value;
	return true;
}

bool slice_member(struct slice *inside, struct slice *ret_key, struct slice *ret_value)
{
	struct slice rest = *inside, key, value;

	if (!take_value(&rest, &key) || *key.p != '"' || rest.len == 0 || *rest.p != ':')
		return false;
	skip(&rest, 1);
	if (!take_value(&rest, &value) || !take_comma(&rest))
		return false;
	*inside = rest;
	*ret_key = slice_text(key);
	*ret_value = value;
	return true;
}

bool slice_enter(struct slice *inside)
{
	if (inside->len == 0 || *inside->p != '{')
		return false;
	skip(inside, 1);
	skip_space(inside);
	return true;
}

bool slice_leave(struct slice *inside)
{
	if (inside->len == 0 || *inside->p != '}')
		return false;
	skip(inside, 1);
	skip_space(inside);
	return take_comma(inside);
}

bool slice_equal(struct slice s, const char *text)
{
	size_t len = strlen(text);

	return s.len == len && memcmp(s.p, text, len) == 0;
}

bool slice_find(struct slice object, const char *key, struct slice *ret_value)
{
	struct slice inside, k, v;

	if (!slice_open(object, '{', &inside))
		return false;
	while (slice_member(&inside, &k, &v)) {
		if (!slice_equal(k, key))
			continue;
		*ret_value = v;
		return true;
	}
	return false;
}

struct slice slice_text(struct slice value)
{
	if (value.len >= 2 && *value.p == '"')
		return (struct slice){ value.p + 1, value.len - 2 };
	return value;
}

void slice_disarm(struct slice json, struct strbuf *b)
{
	for (size_t i = 0; i < json.len; i++) {
		unsigned char c = (unsigned char)json.p[i];

		if (c == '\\' && i + 1 < json.len) {
			/* \" \\ and \/ stand for printable characters; of all others the escape
			 * itself is shown, and what follows the backslash is looked at like any
			 * other byte. */
			bool plain = strchr("\"\\/", json.p[i + 1]);

			strbuf_add(b, "\\", 1);
			strbuf_add(b, plain ? &json.p[++i] : "\\", 1);
		} else if (c < 0x20) {
			strbuf_add(b, " ", 1);
		} else if (c >= 0x7f) {
			strbuf_add(b, "?", 1);
		} else {
			strbuf_add(b, json.p + i, 1);
		}
	}
}
