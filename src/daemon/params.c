// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/params.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

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

int param_int(struct json_object *params, const char *key, int64_t min, int64_t max,
	      int64_t *ret_value)
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

static const struct param {
	const char *key;
	enum json_type type;
} all_params[] = {
	{ "deadline_ms", json_type_int }, { "dport", json_type_int },
	{ "dst", json_type_string },	  { "filter", json_type_object },
	{ "flows", json_type_boolean },	  { "nexthop", json_type_string },
	{ "protocol", json_type_string }, { "release_at", json_type_int },
	{ "service", json_type_string },  { "sport", json_type_int },
	{ "src", json_type_string },	  { "state", json_type_string },
	{ "wait", json_type_boolean },	  { "witness", json_type_string },
	{ "zone", json_type_int },
};

static bool type_fits(const char *key, struct json_object *value)
{
	/* null says that an optional one is not there */
	for (size_t i = 0; i < ARRAY_SIZE(all_params); i++)
		if (strcmp(all_params[i].key, key) == 0)
			return !value || json_object_is_type(value, all_params[i].type);
	return false;
}

static bool is_one_of(const char *key, va_list keys)
{
	const char *known;
	bool found = false;
	va_list ap;

	va_copy(ap, keys);
	while (!found && (known = va_arg(ap, const char *)))
		found = strcmp(known, key) == 0;
	va_end(ap);
	return found;
}

bool params_check(struct control_call *call, struct json_object *params, ...)
{
	bool good = true;
	va_list keys;

	va_start(keys, params);
	json_object_object_foreach(params, key, value)
	{
		good = is_one_of(key, keys) && type_fits(key, value);
		if (!good) {
			control_invalid_parameter(call, key);
			break;
		}
	}
	va_end(keys);
	return good;
}
