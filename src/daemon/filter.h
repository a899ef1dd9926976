/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json.h>
#include "daemon/daemon.h"

/* A filter over the flow table, from the `filter` parameter of Flows and Show. */
struct flow_filter {
	bool has_src, has_dst, has_sport, has_dport, has_zone, has_nexthop;
	struct ip_prefix src, dst;
	uint16_t sport, dport, zone;
	uint8_t proto;			       /* 0 any */
	const char *service, *state, *witness; /* NULL any; borrowed from the parameters */
	struct nexthop_spec nexthop;
};

/* Reads it; `o` NULL is the filter that lets all pass. -EINVAL with the offending key (static) in
 * *ret_key. A value of another type counts as absent: params_check() comes before. */
int flow_filter_parse(struct json_object *o, struct flow_filter *ret_filter,
		      const char **ret_key) _must_check_;
/* A flow without a binding that no switch mirrored has no service, state or nexthop. */
bool flow_filter_match(const struct daemon *d, const struct flow_filter *filter,
		       const struct flow *f);
/* True when the filter gives a whole tuple; its zone is 0 unless given. */
bool flow_filter_tuple(const struct flow_filter *filter, struct tuple *ret_tuple);
