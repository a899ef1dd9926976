// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/filter.h"

#include <errno.h>
#include <string.h>
#include "daemon/params.h"
#include "daemon/switches.h"
#include "daemon/sync.h"

static int parse_prefix(struct json_object *o, const char *key, bool *ret_has,
			struct ip_prefix *ret)
{
	const char *text = param_string(o, key);

	if (!text)
		return 0;
	*ret_has = true;
	return ip_prefix_parse(text, ret);
}

static int parse_number(struct json_object *o, const char *key, bool *ret_has, uint16_t *ret)
{
	int64_t v;
	int r = param_int(o, key, 0, UINT16_MAX, &v);

	if (r != 1)
		return r;
	*ret_has = true;
	*ret = (uint16_t)v;
	return 0;
}

static int parse_names(struct json_object *o, struct flow_filter *f, const char **ret_key)
{
	const char *proto = param_string(o, "protocol"), *nexthop = param_string(o, "nexthop");

	f->service = param_string(o, "service");
	f->state = param_string(o, "state");
	f->witness = param_string(o, "witness");
	*ret_key = "protocol";
	if (proto) {
		f->proto = proto_parse(proto);
		if (!f->proto)
			return -EINVAL;
	}
	*ret_key = "nexthop";
	if (nexthop) {
		f->has_nexthop = true;
		if (nexthop_spec_parse(nexthop, &f->nexthop) < 0)
			return -EINVAL;
	}
	return 0;
}

int flow_filter_parse(struct json_object *o, struct flow_filter *ret_filter, const char **ret_key)
{
	struct flow_filter f = { 0 };
	struct {
		const char *key;
		int r;
	} parts[5];

	if (!o) {
		*ret_filter = f;
		return 0;
	}
	parts[0].key = "src";
	parts[0].r = parse_prefix(o, "src", &f.has_src, &f.src);
	parts[1].key = "dst";
	parts[1].r = parse_prefix(o, "dst", &f.has_dst, &f.dst);
	parts[2].key = "sport";
	parts[2].r = parse_number(o, "sport", &f.has_sport, &f.sport);
	parts[3].key = "dport";
	parts[3].r = parse_number(o, "dport", &f.has_dport, &f.dport);
	parts[4].key = "zone";
	parts[4].r = parse_number(o, "zone", &f.has_zone, &f.zone);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		*ret_key = parts[i].key;
		if (parts[i].r < 0)
			return -EINVAL;
	}
	if (parse_names(o, &f, ret_key) < 0)
		return -EINVAL;
	*ret_filter = f;
	return 0;
}

bool flow_filter_match(const struct daemon *d, const struct flow_filter *filter,
		       const struct flow *f)
{
	const char *service, *state;
	const struct binding *b;
	char text[NEXTHOP_TEXT];
	struct ip_addr src = tuple_src(&f->tuple), dst = tuple_dst(&f->tuple);

	if ((filter->proto && filter->proto != f->tuple.proto) ||
	    (filter->has_sport && filter->sport != f->tuple.sport) ||
	    (filter->has_dport && filter->dport != f->tuple.dport) ||
	    (filter->has_zone && filter->zone != f->tuple.zone))
		return false;
	if ((filter->has_src && !ip_prefix_contains_addr(&filter->src, &src)) ||
	    (filter->has_dst && !ip_prefix_contains_addr(&filter->dst, &dst)))
		return false;
	if (filter->witness &&
	    strcmp(filter->witness, f->flags & FLOW_PIN ? "pin" : "conntrack") != 0)
		return false;
	if (!filter->service && !filter->state && !filter->has_nexthop)
		return true;
	b = registry_binding(d->registry, f->binding);
	service = b ? b->service : NULL;
	state = b ? binding_state_name(b->state) : NULL;
	if (!b && !switches_flow_words(d, f, &service, &state, text))
		return false;
	if (filter->has_nexthop) {
		struct nexthop_spec spec;

		if (b)
			spec = binding_spec(b);
		else if (nexthop_spec_parse(text, &spec) < 0)
			return false;

		if (!nexthop_spec_matches(&filter->nexthop, &spec))
			return false;
	}
	return (!filter->service || strcmp(filter->service, service) == 0) &&
	       (!filter->state || strcmp(filter->state, state) == 0);
}

bool flow_filter_tuple(const struct flow_filter *filter, struct tuple *ret_tuple)
{
	struct tuple t = { 0 };

	if (!filter->has_src || !filter->has_dst || !filter->has_sport || !filter->has_dport ||
	    !filter->proto || filter->src.len != ip_family_bits(filter->src.addr.family) ||
	    filter->dst.len != ip_family_bits(filter->dst.addr.family) ||
	    filter->src.addr.family != filter->dst.addr.family)
		return false;
	memcpy(t.src, filter->src.addr.bytes, sizeof(t.src));
	memcpy(t.dst, filter->dst.addr.bytes, sizeof(t.dst));
	t.sport = filter->sport;
	t.dport = filter->dport;
	t.zone = filter->zone;
	t.family = filter->src.addr.family;
	t.proto = filter->proto;
	*ret_tuple = t;
	return true;
}
