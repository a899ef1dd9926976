// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/netstate.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>
#include "base/vec.h"
#include "daemon/liveness.h"
#include "netlink/rt.h"

#define REMOVE_AT(cache, i) ((cache)->list[i] = (cache)->list[--(cache)->n])

const struct link *netstate_link(const struct daemon *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->links.n; i++)
		if (d->links.list[i].ifindex == ifindex)
			return &d->links.list[i];
	return NULL;
}

const struct link *netstate_link_by_name(const struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->links.n; i++)
		if (strcmp(d->links.list[i].name, name) == 0)
			return &d->links.list[i];
	return NULL;
}

static int link_apply(struct daemon *d, const struct nlmsghdr *nlh)
{
	struct link_cache *c = &d->links;
	struct link link, *old;
	void *list;
	int r;

	r = rt_decode_link(nlh, &link);
	if (r < 0)
		return r;
	old = (struct link *)netstate_link(d, link.ifindex);
	if (nlh->nlmsg_type == RTM_DELLINK) {
		link.up = link.carrier = false;
		liveness_link(d, &link);
		if (old)
			REMOVE_AT(c, (size_t)(old - c->list));
		return 1;
	}
	if (!old) {
		list = vec_reserve(c->list, c->n, &c->cap, sizeof(*c->list));
		if (!list)
			return -ENOMEM;
		c->list = list;
		c->list[c->n++] = link;
		liveness_link(d, &link);
		return 1;
	}
	if (memcmp(old->name, link.name, sizeof(link.name)) == 0 && old->up == link.up &&
	    old->carrier == link.carrier)
		return 0;
	*old = link;
	liveness_link(d, &link);
	return 1;
}

static int address_apply(struct daemon *d, const struct nlmsghdr *nlh)
{
	struct address_cache *c = &d->addresses;
	struct address a;
	void *list;
	int r;

	r = rt_decode_address(nlh, &a);
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->n; i++) {
		if (c->list[i].ifindex != a.ifindex || !ip_addr_equal(&c->list[i].addr, &a.addr) ||
		    !ip_prefix_equal(&c->list[i].prefix, &a.prefix))
			continue;
		if (nlh->nlmsg_type == RTM_NEWADDR)
			return 0;
		REMOVE_AT(c, i);
		return 1;
	}
	if (nlh->nlmsg_type == RTM_DELADDR)
		return 0;
	list = vec_reserve(c->list, c->n, &c->cap, sizeof(*c->list));
	if (!list)
		return -ENOMEM;
	c->list = list;
	c->list[c->n++] = a;
	return 1;
}

const struct neighbour *netstate_neighbour(const struct daemon *d, uint32_t ifindex,
					   const struct ip_addr *addr)
{
	for (size_t i = 0; i < d->neighbours.n; i++)
		if (d->neighbours.list[i].ifindex == ifindex &&
		    ip_addr_equal(&d->neighbours.list[i].addr, addr))
			return &d->neighbours.list[i];
	return NULL;
}

static bool is_nexthop(const struct daemon *d, const struct neighbour *n)
{
	const struct nexthop *nh;
	size_t cursor = 0;

	while ((nh = registry_nexthop_next(d->registry, &cursor)))
		if (nh->ifindex == n->ifindex && ip_addr_equal(&nh->gateway, &n->addr))
			return true;
	return false;
}

static int neighbour_apply(struct daemon *d, const struct nlmsghdr *nlh)
{
	struct neighbour_cache *c = &d->neighbours;
	struct neighbour n, *old;
	void *list;
	int r;

	r = rt_decode_neighbour(nlh, &n);
	if (r < 0)
		return r;
	old = (struct neighbour *)netstate_neighbour(d, n.ifindex, &n.addr);
	if (nlh->nlmsg_type == RTM_DELNEIGH) {
		if (old)
			REMOVE_AT(c, (size_t)(old - c->list));
		liveness_neighbour(d, &n, true);
		return 0;
	}
	if (!old) {
		if (!is_nexthop(d, &n))
			return 0;
		list = vec_reserve(c->list, c->n, &c->cap, sizeof(*c->list));
		if (!list)
			return -ENOMEM;
		c->list = list;
		old = &c->list[c->n++];
	}
	*old = n;
	liveness_neighbour(d, &n, false);
	return 0;
}

static bool rule_equal(const struct rule *a, const struct rule *b)
{
	return a->family == b->family && a->priority == b->priority && a->action == b->action &&
	       a->table == b->table && a->target == b->target && a->has_mark == b->has_mark &&
	       a->mark == b->mark && a->mark_mask == b->mark_mask &&
	       ip_prefix_equal(&a->src, &b->src) && ip_prefix_equal(&a->dst, &b->dst) &&
	       strcmp(a->iif, b->iif) == 0 && strcmp(a->oif, b->oif) == 0 &&
	       a->ip_proto == b->ip_proto && a->dport_first == b->dport_first &&
	       a->dport_last == b->dport_last;
}

static int rule_apply(struct daemon *d, const struct nlmsghdr *nlh)
{
	struct rule_cache *c = &d->rules;
	struct rule rule;
	void *list;
	int r;

	r = rt_decode_rule(nlh, &rule);
	if (r < 0)
		return r;
	if (rule.protocol == RT_PROTOCOL_FLOWPIN)
		return 0;
	for (size_t i = 0; i < c->n; i++) {
		if (!rule_equal(&c->list[i], &rule))
			continue;
		if (nlh->nlmsg_type == RTM_NEWRULE)
			return 0;
		REMOVE_AT(c, i);
		return 1;
	}
	if (nlh->nlmsg_type == RTM_DELRULE)
		return 0;
	list = vec_reserve(c->list, c->n, &c->cap, sizeof(*c->list));
	if (!list)
		return -ENOMEM;
	c->list = list;
	c->list[c->n++] = rule;
	return 1;
}

void netstate_rules_derive(struct daemon *d)
{
	struct rule_cache *c = &d->rules;

	c->n_tables = 0;
	for (size_t i = 0; i < c->n; i++) {
		const struct rule *rule = &c->list[i];

		if (rule->action != FR_ACT_TO_TBL || rule->table == RT_TABLE_LOCAL ||
		    netstate_table_forwards(d, rule->table))
			continue;
		if (c->n_tables < ARRAY_SIZE(c->tables))
			c->tables[c->n_tables++] = rule->table;
	}
}

bool netstate_table_forwards(const struct daemon *d, uint32_t table)
{
	for (size_t i = 0; i < d->rules.n_tables; i++)
		if (d->rules.tables[i] == table)
			return true;
	return false;
}

int netstate_apply(struct daemon *d, const struct nlmsghdr *nlh)
{
	static const struct {
		uint16_t add, del;
		int (*apply)(struct daemon *d, const struct nlmsghdr *nlh);
	} kinds[] = {
		{ RTM_NEWLINK, RTM_DELLINK, link_apply },
		{ RTM_NEWADDR, RTM_DELADDR, address_apply },
		{ RTM_NEWNEIGH, RTM_DELNEIGH, neighbour_apply },
		{ RTM_NEWRULE, RTM_DELRULE, rule_apply },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (nlh->nlmsg_type == kinds[i].add || nlh->nlmsg_type == kinds[i].del)
			return kinds[i].apply(d, nlh);
	return -ENOMSG;
}

void netstate_free(struct daemon *d)
{
	free(d->links.list);
	free(d->addresses.list);
	free(d->neighbours.list);
	free(d->rules.list);
}
