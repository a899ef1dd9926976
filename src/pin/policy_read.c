// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy_internal.h"

#include <errno.h>
#include <linux/fib_rules.h>

static const uint8_t families[] = { AF_INET, AF_INET6 };

/* A dump in progress; a repetition starts again at what stood before it. */
struct reader {
	struct policy_state *state;
	size_t rules, routes;
	uint32_t first_table, last_table;
};

static int read_rule(const struct nlmsghdr *nlh, void *arg)
{
	struct reader *reader = arg;
	struct rule rule;
	int r;

	r = rt_decode_rule(nlh, &rule);
	/* What we cannot read is not ours: we write nothing of the kind. */
	if (r == -EBADMSG || r == -ENOMSG)
		return 0;
	if (r < 0)
		return r;
	if (rule.protocol != RT_PROTOCOL_FLOWPIN)
		return 0;
	return policy_state_add_rule(reader->state, &rule);
}

static int read_route(const struct nlmsghdr *nlh, void *arg)
{
	struct reader *reader = arg;
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct route route;
	int r;

	/* The kernel filters the dump by protocol where it can. */
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) ||
	    rtm->rtm_protocol != RT_PROTOCOL_FLOWPIN)
		return 0;
	r = rt_decode_route(nlh, &route);
	if (r == -EBADMSG || r == -ENOMSG)
		return 0;
	if (r < 0)
		return r;
	if (route.key.table < reader->first_table || route.key.table > reader->last_table) {
		route_clear(&route);
		return 0;
	}
	return policy_state_add_route(reader->state, &route);
}

static void read_again(void *arg)
{
	struct reader *reader = arg;
	struct policy_state *s = reader->state;

	s->rules.n = reader->rules;
	while (s->routes.n > reader->routes)
		route_clear(&s->routes.list[--s->routes.n]);
}

int policy_state_read(struct nl *nl, uint32_t first_table, uint32_t last_table,
		      struct policy_state *s, struct err *e)
{
	_cleanup_(freep) void *buf = malloc((size_t)MNL_SOCKET_BUFFER_SIZE);
	struct reader reader = { .state = s, .first_table = first_table, .last_table = last_table };
	int r = 0;

	if (!buf)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t f = 0; r == 0 && f < ARRAY_SIZE(families); f++) {
		reader.rules = s->rules.n;
		r = nl_dump(nl, rt_request_dump(buf, RTM_GETRULE, families[f]), read_rule,
			    read_again, &reader, e);
		if (r < 0)
			return err_wrap(e, "policy rules could not be read");
		reader.rules = s->rules.n;
		reader.routes = s->routes.n;
		r = nl_dump(nl, rt_request_route_dump(buf, families[f], 0, RT_PROTOCOL_FLOWPIN),
			    read_route, read_again, &reader, e);
		if (r < 0)
			return err_wrap(e, "routes could not be read");
		reader.routes = s->routes.n;
	}
	policy_state_sort(s);
	return 0;
}
