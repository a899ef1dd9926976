// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include "base/utf8.h"
#include "cli/cli.h"

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v))
		return NULL;
	return json_object_is_type(v, type) ? v : NULL;
}

const char *js_text(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_string);

	return v ? json_object_get_string(v) : "";
}

int64_t js_int(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_int);

	return v ? json_object_get_int64(v) : 0;
}

bool js_has(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &v) &&
	       v;
}

bool js_bool(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_boolean);

	return v && json_object_get_boolean(v);
}

size_t js_len(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_array);

	return v ? json_object_array_length(v) : 0;
}

struct json_object *js_at(struct json_object *o, const char *key, size_t i)
{
	struct json_object *v = member(o, key, json_type_array);

	return v ? json_object_array_get_idx(v, i) : NULL;
}

struct json_object *js_object(struct json_object *o, const char *key)
{
	return member(o, key, json_type_object);
}

void js_add_text(struct json_object *o, const char *key, const char *text)
{
	if (text)
		json_object_object_add(o, key, json_object_new_string(text));
}

/* One character that is not printable ASCII, so that nothing reaches a terminal that it would take
 * for a command: control characters (0xc2 begins U+0080 to U+009F), and bytes that are no UTF-8.
 * Returns its bytes. */
static size_t print_odd(const char *p, size_t left)
{
	size_t n = utf8_sequence(p, left);
	unsigned char c = (unsigned char)*p;

	if (n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0)
		printf("\\u00%02x", (unsigned char)p[1]);
	else if (n > 0)
		fwrite(p, 1, n, stdout);
	else if (c == 0x7f)
		fputs("\\u007f", stdout);
	else
		fputs(c < 0x20 ? " " : "\\ufffd", stdout);
	return n ? n : 1;
}

void cli_print_json_value(struct slice value)
{
	for (size_t i = 0, n; i < value.len; i += n) {
		const char *p = value.p + i;

		for (n = 0; i + n < value.len && p[n] >= 0x20 && p[n] < 0x7f;)
			n++;
		if (n > 0)
			fwrite(p, 1, n, stdout);
		else
			n = print_odd(p, value.len - i);
	}
	putchar('\n');
}

void cli_print_json(const struct cli *cli _unused_, const struct cli_reply *reply,
		    void *arg _unused_)
{
	cli_print_json_value(reply->params);
	fflush(stdout);
}
