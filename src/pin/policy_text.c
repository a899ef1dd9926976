// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy_internal.h"

#include <linux/fib_rules.h>
#include <stdarg.h>

/* Text that is cut where it does not fit. */
struct text {
	char *at;
	size_t left;
};

static void add(struct text *t, const char *fmt, ...) _printf_(2, 3);
static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->left, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= t->left)
		n = (int)t->left - 1;
	t->at += n;
	t->left -= (size_t)n;
}

const char *policy_rule_format(const struct rule *r, char *buf)
{
	struct text t = { buf, POLICY_TEXT };
	char prefix[IP_PREFIX_TEXT];

	add(&t, "%s rule %u:", r->family == AF_INET ? "IPv4" : "IPv6", r->priority);
	if (r->dst.addr.family != 0)
		add(&t, " to %s", ip_prefix_format(&r->dst, prefix));
	if (r->has_mark)
		add(&t, " fwmark 0x%x/0x%x", r->mark, r->mark_mask);
	if (r->ip_proto != 0)
		add(&t, " ipproto %s", proto_name(r->ip_proto) ?: "other");
	if (r->dport_last != 0)
		add(&t, " dport %u-%u", r->dport_first, r->dport_last);
	if (r->other)
		add(&t, " (more selectors)");
	if (r->action == FR_ACT_TO_TBL)
		add(&t, " lookup %u", r->table);
	else if (r->action == FR_ACT_GOTO)
		add(&t, " goto %u", r->target);
	else
		add(&t, " %s", r->action == FR_ACT_NOP ? "nop" : "other action");
	if (r->suppress_prefixlen >= 0)
		add(&t, " suppress_prefixlength %d", r->suppress_prefixlen);
	return buf;
}

const char *policy_route_format(const struct route *r, char *buf)
{
	struct text t = { buf, POLICY_TEXT };
	char prefix[IP_PREFIX_TEXT], addr[IP_ADDR_TEXT], name[IF_NAMESIZE];

	add(&t, "route %s%s", r->type == RTN_BLACKHOLE ? "blackhole " : "",
	    ip_prefix_format(&r->key.prefix, prefix));
	for (size_t i = 0; i < r->n_nexthops; i++) {
		const struct route_nexthop *nh = &r->nexthops[i];

		if (r->n_nexthops > 1)
			add(&t, " nexthop");
		if (nh->gateway.family != 0)
			add(&t, " via %s", ip_addr_format(&nh->gateway, addr));
		if (if_indextoname(nh->ifindex, name))
			add(&t, " dev %s", name);
		else
			add(&t, " dev if%u", nh->ifindex);
		if (r->n_nexthops > 1)
			add(&t, " weight %u", nh->weight);
	}
	add(&t, " metric %u table %u", r->key.metric, r->key.table);
	return buf;
}
