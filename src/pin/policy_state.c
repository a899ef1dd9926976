// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy_internal.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>
#include "base/vec.h"

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

int policy_state_add_rule(struct policy_state *s, const struct rule *rule)
{
	struct rule *list = vec_reserve(s->rules.list, s->rules.n, &s->rules.cap, sizeof(*list));

	if (!list)
		return -ENOMEM;
	s->rules.list = list;
	list[s->rules.n++] = *rule;
	return 0;
}

int policy_route_copy(const struct route *route, struct route *ret_route)
{
	struct route copy = *route;

	copy.nexthops = NULL;
	if (route->n_nexthops > 0) {
		copy.nexthops = calloc(route->n_nexthops, sizeof(*copy.nexthops));
		if (!copy.nexthops)
			return -ENOMEM;
		memcpy(copy.nexthops, route->nexthops, route->n_nexthops * sizeof(*copy.nexthops));
	}
	*ret_route = copy;
	return 0;
}

void policy_state_clear(struct policy_state *s)
{
	for (size_t i = 0; i < s->routes.n; i++)
		route_clear(&s->routes.list[i]);
	free(s->routes.list);
	free(s->rules.list);
	*s = (struct policy_state){ 0 };
}

static int prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b)
{
	int r = ip_addr_compare(&a->addr, &b->addr);

	return r ? r : COMPARE(a->len, b->len);
}

int policy_rule_compare(const struct rule *a, const struct rule *b)
{
	int r;

	if ((r = COMPARE(a->family, b->family)) || (r = COMPARE(a->priority, b->priority)) ||
	    (r = COMPARE(a->action, b->action)) || (r = COMPARE(a->table, b->table)) ||
	    (r = COMPARE(a->target, b->target)) || (r = COMPARE(a->mark, b->mark)) ||
	    (r = COMPARE(a->mark_mask, b->mark_mask)) || (r = prefix_compare(&a->dst, &b->dst)) ||
	    (r = prefix_compare(&a->src, &b->src)) ||
	    (r = COMPARE(a->suppress_prefixlen, b->suppress_prefixlen)) ||
	    (r = COMPARE(a->ip_proto, b->ip_proto)) ||
	    (r = COMPARE(a->dport_first, b->dport_first)) ||
	    (r = COMPARE(a->dport_last, b->dport_last)) || (r = strcmp(a->iif, b->iif)) ||
	    (r = strcmp(a->oif, b->oif)))
		return r;
	return COMPARE(a->other, b->other);
}

int policy_route_compare_key(const struct route *a, const struct route *b)
{
	int r;

	if ((r = COMPARE(a->key.table, b->key.table)) ||
	    (r = prefix_compare(&a->key.prefix, &b->key.prefix)) ||
	    (r = COMPARE(a->key.tos, b->key.tos)))
		return r;
	return COMPARE(a->key.metric, b->key.metric);
}

static int nexthop_compare(const struct route_nexthop *a, const struct route_nexthop *b)
{
	int r;

	if ((r = COMPARE(a->ifindex, b->ifindex)) ||
	    (r = ip_addr_compare(&a->gateway, &b->gateway)) ||
	    (r = COMPARE(a->weight, b->weight)) || (r = COMPARE(a->onlink, b->onlink)) ||
	    (r = COMPARE(a->encap_type, b->encap_type)) ||
	    (r = COMPARE(a->encap_len, b->encap_len)))
		return r;
	return memcmp(a->encap, b->encap, a->encap_len);
}

static int nexthop_order(const void *a, const void *b)
{
	return nexthop_compare(a, b);
}

/* Sorts the nexthops and drops a weight that says nothing, so that equal routes look equal. */
static void normalise(struct route *r)
{
	if (r->n_nexthops == 1)
		r->nexthops->weight = 1;
	if (r->n_nexthops > 1)
		qsort(r->nexthops, r->n_nexthops, sizeof(*r->nexthops), nexthop_order);
}

int policy_state_add_route(struct policy_state *s, struct route *route)
{
	struct route *list =
		vec_reserve(s->routes.list, s->routes.n, &s->routes.cap, sizeof(*list));

	if (!list) {
		route_clear(route);
		return -ENOMEM;
	}
	s->routes.list = list;
	normalise(route);
	list[s->routes.n++] = *route;
	*route = (struct route){ 0 };
	return 0;
}

bool policy_route_equal(const struct route *a, const struct route *b)
{
	if (policy_route_compare_key(a, b) != 0 || a->protocol != b->protocol ||
	    a->type != b->type || a->mtu != b->mtu || a->nh_id != b->nh_id ||
	    a->n_nexthops != b->n_nexthops)
		return false;
	for (size_t i = 0; i < a->n_nexthops; i++)
		if (nexthop_compare(&a->nexthops[i], &b->nexthops[i]) != 0)
			return false;
	return true;
}

static int rule_order(const void *a, const void *b)
{
	return policy_rule_compare(a, b);
}

static int route_order(const void *a, const void *b)
{
	return policy_route_compare_key(a, b);
}

void policy_state_sort(struct policy_state *s)
{
	struct route *list = s->routes.list;
	size_t kept = 0;

	if (s->rules.n > 1)
		qsort(s->rules.list, s->rules.n, sizeof(*s->rules.list), rule_order);
	if (s->routes.n < 2)
		return;
	qsort(list, s->routes.n, sizeof(*list), route_order);
	for (size_t i = 1; i < s->routes.n; i++) {
		if (policy_route_compare_key(&list[kept], &list[i]) == 0)
			route_clear(&list[i]);
		else if (++kept != i)
			list[kept] = list[i];
	}
	s->routes.n = kept + 1;
}

enum policy_rule_class policy_rule_classify(const struct rule *r)
{
	bool selects = r->dst.addr.family != 0 || r->ip_proto != 0 || r->dport_last != 0;

	if (r->action == FR_ACT_GOTO) {
		if (selects)
			return RULE_SHIELD;
		return r->has_mark ? RULE_ENTRY : RULE_INNER;
	}
	if (r->action == FR_ACT_TO_TBL && !r->has_mark)
		return r->suppress_prefixlen >= 0 ? RULE_SUPPRESS : RULE_LOOKUP;
	return r->action == FR_ACT_TO_TBL ? RULE_INNER : RULE_ANCHOR;
}
