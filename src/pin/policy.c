// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>
#include "base/vec.h"
#include "pin/policy_internal.h"

int policy_new(struct policy **ret_policy, struct err *e)
{
	_cleanup_(policy_freep) struct policy *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	r = nl_open(NETLINK_ROUTE, &p->nl);
	if (r < 0)
		return err_set(e, r, "a routing socket could not be opened: %s", strerror(-r));
	*ret_policy = TAKE_PTR(p);
	return 0;
}

struct policy *policy_free(struct policy *p)
{
	if (!p)
		return NULL;
	policy_state_clear(&p->actual);
	policy_places_clear(&p->places);
	nl_close(p->nl);
	free(p);
	return NULL;
}

void policy_invalidate(struct policy *p)
{
	p->valid = false;
}

static int check_model(const struct policy_model *m, struct err *e)
{
	uint8_t bits = policy_mark_bits(m->mark_mask);

	if (bits == 0)
		return err_set(e, -EINVAL, "mark mask 0x%x is not 4 to 8 bits in a row",
			       m->mark_mask);
	if (m->table_base == 0 || m->table_base > UINT32_MAX - BINDING_TABLES - OVERRIDE_TABLES)
		return err_set(e, -EINVAL, "table base %u leaves no room for tables",
			       m->table_base);
	if (m->rule_priority == 0 || m->rule_priority > UINT32_MAX - OVERRIDE_END)
		return err_set(e, -EINVAL, "rule priority %u leaves no room for rules",
			       m->rule_priority);
	for (size_t i = 0; i < m->n_bindings; i++)
		if (m->bindings[i].id == 0 || m->bindings[i].id >> bits != 0)
			return err_set(e, -EINVAL, "binding %u does not fit mark mask 0x%x",
				       m->bindings[i].id, m->mark_mask);
	return 0;
}

/* Reads what stands into *s (empty before). */
static int read_range(const struct policy *p, const struct policy_model *m, struct policy_state *s,
		      struct err *e)
{
	return policy_state_read(p->nl, m->table_base,
				 m->table_base + BINDING_TABLES + OVERRIDE_TABLES - 1, s, e);
}

static int adopt(struct policy *p, const struct policy_model *m, struct err *e)
{
	int r;

	p->groups |= policy_groups(m, &p->actual.rules);
	if (p->adopted)
		return 0;
	policy_places_clear(&p->places);
	r = policy_places_adopt(m, &p->actual.rules, clock_now_ms(), &p->places);
	if (r < 0)
		return err_set(e, r, "out of memory");
	p->adopted = true;
	return 0;
}

static int refresh(struct policy *p, const struct policy_model *m, struct err *e)
{
	_cleanup_(policy_state_clear) struct policy_state s = { 0 };
	struct policy_state old = p->actual;
	int r;

	if (p->valid)
		return 0;
	r = read_range(p, m, &s, e);
	if (r < 0)
		return r;
	p->actual = s;
	s = old;
	p->valid = true;
	return adopt(p, m, e);
}

/* What should stand, sorted. */
static int want(const struct policy_model *m, const struct policy_places *places, uint16_t groups,
		struct policy_state *s, struct err *e)
{
	int r;

	r = policy_want_rules(m, places, groups, s);
	if (r == 0)
		r = policy_want_routes(m, places, s);
	if (r < 0)
		return err_set(e, r, "out of memory");
	policy_state_sort(s);
	return 0;
}

/* Overrides that found no table or no priorities. */
static size_t count_homeless(const struct policy_places *places, struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < places->n; i++)
		n += places->list[i].table == 0 && places->list[i].n_selectors > 0;
	if (n > 0)
		err_set(e, -ENOSPC,
			"%zu overrides have no room: %u tables or %u rule priorities are in use", n,
			OVERRIDE_TABLES, OVERRIDE_END - OVERRIDE_FIRST);
	return n;
}

int policy_sync(struct policy *p, const struct policy_model *m, size_t *ret_changes,
		size_t *ret_failed, struct err *e)
{
	_cleanup_(policy_state_clear) struct policy_state s = { 0 };
	_cleanup_(policy_places_clear) struct policy_places places = { 0 };
	struct policy_written written = { 0 };
	struct policy_places old;
	size_t homeless;
	int r;

	r = check_model(m, e);
	if (r == 0)
		r = refresh(p, m, e);
	if (r < 0)
		return r;
	r = policy_places_plan(m, &p->places, clock_now_ms(), &places);
	if (r < 0)
		return err_set(e, r, "out of memory");
	r = want(m, &places, p->groups, &s, e);
	if (r < 0)
		return r;
	homeless = count_homeless(&places, e);
	r = policy_write(p->nl, &p->actual, &s, &written, e);
	if (r < 0) {
		/* Some of it may stand: look for it, the overrides' places too. */
		p->valid = p->adopted = false;
		return r;
	}
	if (written.stale)
		p->valid = false;
	old = p->places;
	p->places = places;
	places = old;
	p->groups |= policy_groups(m, &p->actual.rules);
	*ret_changes = written.changes;
	*ret_failed = written.failed + homeless;
	return 0;
}

/* Notes the nexthop of a binding's route; one table has one nexthop. */
static int found_add(struct policy_found **list, size_t *n, size_t *cap, uint8_t id,
		     const struct route *route)
{
	uint8_t family = route->key.prefix.addr.family == AF_INET6 ? 2 : 1;
	struct policy_found *found;

	/* Routes come sorted by table: of one id one after the other. */
	if (*n > 0 && (*list)[*n - 1].id == id) {
		(*list)[*n - 1].families |= family;
		return 0;
	}
	found = vec_reserve(*list, *n, cap, sizeof(*found));
	if (!found)
		return -ENOMEM;
	*list = found;
	found[(*n)++] = (struct policy_found){
		.id = id,
		.gateway = route->nexthops->gateway,
		.ifindex = route->nexthops->ifindex,
		.mtu = route->mtu,
		.families = family,
	};
	return 0;
}

int policy_read(struct policy *p, const struct policy_model *numbers,
		struct policy_found **ret_found, size_t *ret_n, struct err *e)
{
	_cleanup_(freep) struct policy_found *list = NULL;
	struct policy_model m = *numbers;
	size_t n = 0, cap = 0;
	int r;

	/* Only its numbers count here. */
	m.n_bindings = m.n_overrides = 0;
	r = check_model(&m, e);
	if (r < 0)
		return r;
	p->valid = false;
	r = refresh(p, &m, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->actual.routes.n; i++) {
		const struct route *route = &p->actual.routes.list[i];
		uint32_t id = route->key.table - m.table_base;

		if (id == 0 || id >= BINDING_TABLES || route->n_nexthops != 1)
			continue;
		r = found_add(&list, &n, &cap, (uint8_t)id, route);
		if (r < 0)
			return err_set(e, r, "out of memory");
	}
	*ret_found = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static void report(policy_difference_fn fn, void *arg, const char *object, const char *what)
{
	char sentence[POLICY_TEXT + 64];

	snprintf(sentence, sizeof(sentence), "%s %s", object, what);
	fn(sentence, arg);
}

static void compare_rules(const struct rule_vec *actual, const struct rule_vec *wanted,
			  policy_difference_fn fn, void *arg)
{
	char text[POLICY_TEXT];

	for (size_t i = 0, j = 0; i < actual->n || j < wanted->n;) {
		int c = i == actual->n	 ? 1
			: j == wanted->n ? -1
					 : policy_rule_compare(&actual->list[i], &wanted->list[j]);

		if (c < 0)
			report(fn, arg, policy_rule_format(&actual->list[i], text),
			       "stands and should not");
		else if (c > 0)
			report(fn, arg, policy_rule_format(&wanted->list[j], text), "is missing");
		i += c <= 0;
		j += c >= 0;
	}
}

static void compare_routes(const struct route_vec *actual, const struct route_vec *wanted,
			   policy_difference_fn fn, void *arg)
{
	char text[POLICY_TEXT];

	for (size_t i = 0, j = 0; i < actual->n || j < wanted->n;) {
		int c = i == actual->n ? 1
			: j == wanted->n
				? -1
				: policy_route_compare_key(&actual->list[i], &wanted->list[j]);

		if (c < 0)
			report(fn, arg, policy_route_format(&actual->list[i], text),
			       "stands and should not");
		else if (c > 0)
			report(fn, arg, policy_route_format(&wanted->list[j], text), "is missing");
		else if (!policy_route_equal(&actual->list[i], &wanted->list[j]))
			report(fn, arg, policy_route_format(&wanted->list[j], text),
			       "differs from what stands");
		i += c <= 0;
		j += c >= 0;
	}
}

int policy_verify(struct policy *p, const struct policy_model *m, policy_difference_fn fn,
		  void *arg, struct err *e)
{
	_cleanup_(policy_state_clear) struct policy_state actual = { 0 }, wanted = { 0 };
	_cleanup_(policy_places_clear) struct policy_places places = { 0 };
	int r;

	r = check_model(m, e);
	if (r == 0)
		r = read_range(p, m, &actual, e);
	if (r < 0)
		return r;
	r = policy_places_plan(m, &p->places, clock_now_ms(), &places);
	if (r < 0)
		return err_set(e, r, "out of memory");
	r = want(m, &places, p->groups, &wanted, e);
	if (r < 0)
		return r;
	compare_rules(&actual.rules, &wanted.rules, fn, arg);
	compare_routes(&actual.routes, &wanted.routes, fn, arg);
	return 0;
}

int policy_override_place(const struct policy *p, size_t i, struct override_place *ret_place)
{
	if (i >= p->places.n || p->places.list[i].table == 0)
		return -ENOENT;
	ret_place->table = p->places.list[i].table;
	ret_place->since_ms = p->places.list[i].since_ms;
	return 0;
}

bool policy_is_foreign_change(const struct policy *p, const struct nlmsghdr *nlh)
{
	struct route route;
	struct rule rule;
	bool ours;
	int r;

	if (nlh->nlmsg_pid == nl_portid(p->nl))
		return false;
	if (nlh->nlmsg_type == RTM_NEWRULE || nlh->nlmsg_type == RTM_DELRULE)
		return rt_decode_rule(nlh, &rule) == 0 && rule.protocol == RT_PROTOCOL_FLOWPIN;
	r = rt_decode_route(nlh, &route);
	if (r < 0)
		return r == -ENOMEM; /* rather one reading too many */
	ours = route.protocol == RT_PROTOCOL_FLOWPIN;
	route_clear(&route);
	return ours;
}
