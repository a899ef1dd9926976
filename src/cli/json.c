// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
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

void cli_print_json_value(struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.p[i];

		/* U+0080 to U+009F are control characters in two bytes. */
		if (c == 0xc2 && i + 1 < value.len && (unsigned char)value.p[i + 1] < 0xa0)
			printf("\\u00%02x", (unsigned char)value.p[++i]);
		else if (c == 0x7f)
			fputs("\\u007f", stdout);
		else
			putc_unlocked(c < 0x20 ? ' ' : c, stdout);
	}
	putc_unlocked('\n', stdout);
}

void cli_print_json(const struct cli *cli _unused_, const struct cli_reply *reply,
		    void *arg _unused_)
{
	cli_print_json_value(reply->params);
	fflush(stdout);
}
