// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "daemon/daemon.h"

static struct json_object *get(struct json_object *params, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(params, key, &v) ? v : NULL;
}

const char *param_string(struct json_object *params, const char *key)
{
	struct json_object *v = get(params, key);

	if (!v || !json_object_is_type(v, json_type_string))
		return NULL;
	/* A text with a NUL inside is longer than it looks: nobody writes that by accident. */
	if (strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
		return "";
	return json_object_get_string(v);
}

bool param_bool(struct json_object *params, const char *key)
{
	struct json_object *v = get(params, key);

	return v && json_object_is_type(v, json_type_boolean) && json_object_get_boolean(v);
}

int param_int(struct json_object *params, const char *key, int64_t min, int64_t max, int64_t *ret_value)
{
	struct json_object *v = get(params, key);
	int64_t n;

	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_int))
		return -EINVAL;
	n = json_object_get_int64(v);
	if (n < min || n > max)
		return -EINVAL;
	*ret_value = n;
	return 1;
}
