// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <string.h>
#include "eapi/reading_internal.h"

/* The first address in a value: a text, a list of texts or of objects, an object of objects. Levels
 * are bounded by the parser. */
/* NOLINTNEXTLINE(misc-no-recursion): `level` ends it */
static bool find_addr(struct json_object *o, int level, struct ip_addr *ret_addr)
{
	const char *text = eapi_json_text(o);

	if (text)
		return reading_parse_addr(text, ret_addr) == 0;
	if (level == 0)
		return false;
	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			if (find_addr(json_object_array_get_idx(o, i), level - 1, ret_addr))
				return true;
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, member)
		{
			if (find_addr(member, level - 1, ret_addr) ||
			    reading_parse_addr(key, ret_addr) == 0)
				return true;
		}
	}
	return false;
}

/* Nobody has published how a nexthop is named in this model: any key that has "nexthop" in it. */
static bool names_nexthop(const char *key)
{
	char plain[32];
	size_t n = 0;

	for (; *key && n + 1 < sizeof(plain); key++)
		if (isalnum((unsigned char)*key))
			plain[n++] = (char)tolower((unsigned char)*key);
	plain[n] = '\0';
	return strstr(plain, "nexthop") != NULL;
}

static void read_action(struct json_object *action, struct flow_reading *f)
{
	bool acts = false;

	if (!json_object_is_type(action, json_type_object))
		return;
	json_object_object_foreach(action, key, value)
	{
		const char *text = eapi_json_text(value);
		bool list = json_object_is_type(value, json_type_array);
		bool filled = (list && json_object_array_length(value) > 0) || (text && text[0]) ||
			      json_object_is_type(value, json_type_object) ||
			      json_object_is_type(value, json_type_int) ||
			      (json_object_is_type(value, json_type_boolean) &&
			       json_object_get_boolean(value));

		acts |= filled;
		if (names_nexthop(key) && find_addr(value, 3, &f->nexthop))
			f->has_nexthop = true;
		if (strcasecmp(key, "outInterfaces") == 0 && list && filled)
			text = eapi_json_text(json_object_array_get_idx(value, 0));
		if (strcasecmp(key, "outInterfaces") == 0 && text)
			eapi_clean_text(text, f->interface, sizeof(f->interface));
		if (text && strcasestr(key, "dst") && strcasestr(key, "mac"))
			(void)!mac_parse(text, f->mac);
		if (text && strcasestr(key, "eth") && strcasestr(key, "dst"))
			(void)!mac_parse(text, f->mac);
	}
	f->acts = acts;
}

static bool port_differs(struct json_object *match, const char *key, uint16_t port)
{
	int64_t v;

	return eapi_json_int(eapi_json_get(match, key), 0, INT32_MAX, &v) && v != port;
}

static bool addr_differs(struct json_object *match, const char *key, const struct ip_addr *a)
{
	struct json_object *o = eapi_json_get(match, key);
	const char *text = eapi_json_text(eapi_json_get(o, "ip"));
	struct ip_addr seen;

	if (!text)
		text = eapi_json_text(o);
	return text && reading_parse_addr(text, &seen) == 0 && !ip_addr_equal(&seen, a);
}

/* Only what is there and says something else counts: keys for IPv6 are not known, and others may be
 * renamed. */
static void read_match(struct json_object *match, struct flow_reading *f)
{
	struct ip_addr src = tuple_src(&f->tuple), dst = tuple_dst(&f->tuple);

	f->contradicts = port_differs(match, "ipPortSrc", f->tuple.sport) ||
			 port_differs(match, "ipPortDst", f->tuple.dport) ||
			 port_differs(match, "ipProto", f->tuple.proto) ||
			 addr_differs(match, "ipSrc", &src) || addr_differs(match, "ipDst", &dst);
}

static bool read_flow(struct reading *r, const char *prefix, struct json_object *o)
{
	const char *name = eapi_json_text(eapi_json_get(o, "name"));
	struct flow_reading *f;
	int64_t packets = 0, bytes = 0;
	struct tuple t;

	if (!name || flow_name_parse(prefix, name, &t) < 0) {
		r->foreign++;
		return true;
	}
	f = reading_flow(r, &t);
	if (!f)
		return false;
	f->listed = true;
	f->has_counters = eapi_json_int(eapi_json_get(o, "matchPackets"), 0, INT64_MAX, &packets);
	f->has_counters |= eapi_json_int(eapi_json_get(o, "matchBytes"), 0, INT64_MAX, &bytes);
	f->packets = (uint64_t)packets;
	f->bytes = (uint64_t)bytes;
	read_match(eapi_json_get(o, "match"), f);
	read_action(eapi_json_get(o, "action"), f);
	return true;
}

static bool read_status(struct reading *r, const struct switch_config *s, const char *prefix,
			struct json_object *status)
{
	uint32_t others = 0;

	json_object_object_foreach(status, name, value)
	{
		const char *text = eapi_json_text(value);
		struct flow_reading *f;
		struct tuple t;

		if (!text)
			continue;
		if (flow_name_parse(prefix, name, &t) < 0) {
			others++;
			r->foreign_programmed +=
				flow_status_classify(s, text) == FLOW_STATUS_PROGRAMMED;
			continue;
		}
		f = reading_flow(r, &t);
		if (!f)
			return false;
		reading_set_status(s, f, text);
	}
	if (others > r->foreign)
		r->foreign = others;
	return true;
}

bool reading_add_json(struct reading *r, const struct switch_config *s, const char *prefix,
		      struct json_object *model)
{
	struct json_object *flows = eapi_json_get(model, "flows");
	struct json_object *details = eapi_json_get(model, "details");
	struct json_object *status = eapi_json_get(details, "status");

	/* An empty model may be how a table without flows looks; another type is not. */
	if (!json_object_is_type(model, json_type_object) ||
	    (flows && !json_object_is_type(flows, json_type_array)) ||
	    (details && !json_object_is_type(details, json_type_object)) ||
	    (status && !json_object_is_type(status, json_type_object)))
		return false;
	if (!flows && !status && eapi_json_get(model, "output"))
		return false;
	for (size_t i = 0; flows && i < json_object_array_length(flows); i++)
		if (!read_flow(r, prefix, json_object_array_get_idx(flows, i)))
			return false;
	if (status && !read_status(r, s, prefix, status))
		return false;
	if (!status)
		r->foreign_programmed = r->foreign;
	r->json = true;
	return true;
}
