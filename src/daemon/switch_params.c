// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "daemon/params.h"
#include "daemon/switches.h"

/* Tuples and members of what flowpin-eapi says. */

struct json_object *switch_param(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, type) ? v : NULL;
}

int64_t switch_param_int(struct json_object *o, const char *key, int64_t otherwise)
{
	struct json_object *v = switch_param(o, key, json_type_int);

	return v ? json_object_get_int64(v) : otherwise;
}

static int address(struct json_object *o, const char *key, struct ip_addr *ret)
{
	const char *text = param_string(o, key);

	return text ? ip_addr_parse(text, ret) : -EINVAL;
}

int switch_tuple_parse(struct json_object *o, struct tuple *ret_tuple)
{
	struct tuple t = { 0 };
	struct ip_addr src, dst;
	const char *proto;
	int64_t sport, dport;

	if (!json_object_is_type(o, json_type_object))
		return -EINVAL;
	proto = param_string(o, "protocol");
	if (!proto || !(t.proto = proto_parse(proto)) || address(o, "src", &src) < 0 ||
	    address(o, "dst", &dst) < 0 || src.family != dst.family ||
	    param_int(o, "sport", 0, UINT16_MAX, &sport) != 1 ||
	    param_int(o, "dport", 0, UINT16_MAX, &dport) != 1)
		return -EINVAL;
	memcpy(t.src, src.bytes, sizeof(t.src));
	memcpy(t.dst, dst.bytes, sizeof(t.dst));
	t.family = src.family;
	t.sport = (uint16_t)sport;
	t.dport = (uint16_t)dport;
	*ret_tuple = t;
	return 0;
}

void switch_tuple_text(const struct tuple *t, struct strbuf *b)
{
	char src[IP_ADDR_TEXT], dst[IP_ADDR_TEXT];
	struct ip_addr s = tuple_src(t), d = tuple_dst(t);

	strbuf_addf(b,
		    "{\"protocol\":\"%s\",\"src\":\"%s\",\"sport\":%u,\"dst\":\"%s\",\"dport\":%u}",
		    proto_name(t->proto), ip_addr_format(&s, src), t->sport,
		    ip_addr_format(&d, dst), t->dport);
}
