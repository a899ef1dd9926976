// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>
#include "pin/policy_internal.h"

/* Taking everything away, or only what must not outlive a daemon (--relax). What is what is told by
 * content, so that it works without a configuration. */

static bool is_override_table(const struct policy_model *numbers, const struct rule_vec *rules,
			      uint32_t table)
{
	uint32_t first = numbers->table_base + BINDING_TABLES;

	if (numbers->table_base != 0)
		return table >= first && table - first < OVERRIDE_TABLES;
	for (size_t i = 0; i < rules->n; i++)
		if (rules->list[i].table == table &&
		    policy_rule_classify(&rules->list[i]) == RULE_LOOKUP)
			return true;
	return false;
}

/* The tree stays without the anchor that the overrides' shields lead to. */
static int keep_rules(const struct policy_state *actual, struct policy_state *keep)
{
	uint32_t end = 0;
	int r = 0;

	for (size_t i = 0; i < actual->rules.n; i++)
		if (policy_rule_classify(&actual->rules.list[i]) == RULE_SHIELD)
			end = actual->rules.list[i].target;
	for (size_t i = 0; r == 0 && i < actual->rules.n; i++) {
		const struct rule *rule = &actual->rules.list[i];

		switch (policy_rule_classify(rule)) {
		case RULE_ANCHOR:
			if (rule->priority == end)
				break;
			r = policy_state_add_rule(keep, rule);
			break;
		case RULE_INNER:
		case RULE_ENTRY:
			r = policy_state_add_rule(keep, rule);
			break;
		case RULE_SHIELD:
		case RULE_SUPPRESS:
		case RULE_LOOKUP:
			break;
		}
	}
	return r;
}

static int keep_routes(const struct policy_model *numbers, const struct policy_state *actual,
		       struct policy_state *keep)
{
	bool override = false;
	uint32_t table = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < actual->routes.n; i++) {
		const struct route *route = &actual->routes.list[i];
		struct route copy;

		/* They come sorted by table. */
		if (i == 0 || route->key.table != table)
			override = is_override_table(numbers, &actual->rules, route->key.table);
		table = route->key.table;
		if (override || route->type == RTN_BLACKHOLE)
			continue;
		r = policy_route_copy(route, &copy);
		if (r == 0)
			r = policy_state_add_route(keep, &copy);
	}
	return r;
}

int policy_remove(struct policy *p, const struct policy_model *numbers, bool overrides_only,
		  size_t *ret_removed, struct err *e)
{
	_cleanup_(policy_state_clear) struct policy_state actual = { 0 }, keep = { 0 };
	struct policy_written written = { 0 };
	struct err refused = { 0 };
	uint32_t first = numbers->table_base, last = first + BINDING_TABLES + OVERRIDE_TABLES - 1;
	int r;

	p->valid = p->adopted = false;
	if (first == 0)
		last = UINT32_MAX;
	r = policy_state_read(p->nl, first, last, &actual, e);
	if (r < 0)
		return r;
	if (overrides_only) {
		r = keep_rules(&actual, &keep);
		if (r == 0)
			r = keep_routes(numbers, &actual, &keep);
		if (r < 0)
			return err_set(e, r, "out of memory");
		policy_state_sort(&keep);
	} else {
		p->groups = 0;
	}
	r = policy_write(p->nl, &actual, &keep, &written, &refused);
	if (r == 0 && written.failed > 0)
		r = refused.code;
	if (r < 0)
		return err_set(e, r, "%s", refused.text);
	policy_places_clear(&p->places);
	*ret_removed = written.changes;
	return 0;
}
