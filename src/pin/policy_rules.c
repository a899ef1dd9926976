// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy_internal.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <string.h>

/* The rules that should stand: the tree that leads a mark to its table, then the overrides. */

static const uint8_t families[] = { AF_INET, AF_INET6 };

uint8_t policy_mark_bits(uint32_t mark_mask)
{
	uint32_t run = mark_mask ? mark_mask >> __builtin_ctz(mark_mask) : 0;
	int bits = __builtin_popcount(mark_mask);

	/* Bits in a row look like 2^n - 1 once shifted down. */
	if ((run & (run + 1)) != 0 || bits < 4 || bits > 8)
		return 0;
	return (uint8_t)bits;
}

uint16_t policy_groups(const struct policy_model *m, const struct rule_vec *rules)
{
	uint32_t first = m->rule_priority + TREE_GROUP;
	uint16_t groups = 0;

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->list[i];

		if (policy_rule_classify(r) == RULE_ANCHOR && r->priority >= first &&
		    r->priority < first + 16 * GROUP_SIZE &&
		    (r->priority - first) % GROUP_SIZE == 0)
			groups |= (uint16_t)(1u << ((r->priority - first) / GROUP_SIZE));
	}
	return groups;
}

static struct rule rule_make(uint8_t family, uint32_t priority, uint8_t action)
{
	struct rule r;

	memset(&r, 0, sizeof(r));
	r.family = family;
	r.priority = priority;
	r.action = action;
	r.protocol = RT_PROTOCOL_FLOWPIN;
	r.suppress_prefixlen = -1;
	return r;
}

static int add_nop(struct policy_state *s, uint8_t family, uint32_t priority)
{
	struct rule r = rule_make(family, priority, FR_ACT_NOP);

	return policy_state_add_rule(s, &r);
}

static int add_goto(struct policy_state *s, uint8_t family, uint32_t priority, uint32_t target,
		    uint32_t mark, uint32_t mask)
{
	struct rule r = rule_make(family, priority, FR_ACT_GOTO);

	r.target = target;
	r.mark = mark;
	r.mark_mask = mask;
	r.has_mark = mask != 0;
	return policy_state_add_rule(s, &r);
}

/* One group of 16 ids: how one gets in, its anchor, and its way out. */
static int add_group(struct policy_state *s, const struct policy_model *m, uint8_t family,
		     unsigned h)
{
	unsigned shift = (unsigned)__builtin_ctz(m->mark_mask);
	uint32_t high = m->mark_mask & ~(0xfu << shift);
	uint32_t anchor = m->rule_priority + TREE_GROUP + GROUP_SIZE * h;
	int r;

	r = add_nop(s, family, anchor);
	if (r < 0)
		return r;
	r = add_goto(s, family, anchor + GROUP_EXIT, m->rule_priority + TREE_END, 0, 0);
	if (r < 0)
		return r;
	/* With a mask of four bits nothing is left above the low ones: the only group is entered by
	 * all that pass the guard. */
	return add_goto(s, family, m->rule_priority + TREE_ENTRY + h, anchor,
			(uint32_t)h << 4 << shift, high);
}

static int add_leaf(struct policy_state *s, const struct policy_model *m, uint8_t family,
		    uint8_t id)
{
	uint32_t priority =
		m->rule_priority + TREE_GROUP + GROUP_SIZE * (id >> 4) + GROUP_LEAF + (id & 15);
	struct rule r = rule_make(family, priority, FR_ACT_TO_TBL);

	r.table = m->table_base + id;
	r.mark = (uint32_t)id << __builtin_ctz(m->mark_mask);
	r.mark_mask = m->mark_mask;
	r.has_mark = true;
	return policy_state_add_rule(s, &r);
}

static int add_tree(struct policy_state *s, const struct policy_model *m, uint8_t family,
		    uint16_t groups)
{
	uint32_t p = m->rule_priority;
	int r;

	r = add_goto(s, family, p + TREE_GUARD, p + TREE_END, 0, m->mark_mask);
	if (r == 0)
		r = add_goto(s, family, p + TREE_EXIT, p + TREE_END, 0, 0);
	if (r == 0)
		r = add_nop(s, family, p + TREE_END);
	for (unsigned h = 0; r == 0 && h < 16; h++)
		if (groups & 1u << h)
			r = add_group(s, m, family, h);
	for (size_t i = 0; r == 0 && i < m->n_bindings; i++)
		r = add_leaf(s, m, family, m->bindings[i].id);
	return r;
}

/* A rule that selects what an override's selector names; false when a rule cannot say it. */
static bool rule_select(const struct override_selector *selector, struct rule *r)
{
	struct override_selector s;

	if (!policy_selector_normalise(selector, &s))
		return false;
	if (s.to.len > 0)
		r->dst = s.to;
	r->ip_proto = s.proto;
	if (s.ports.first != 0 || s.ports.last != UINT16_MAX) {
		r->dport_first = s.ports.first;
		r->dport_last = s.ports.last;
	}
	return true;
}

/* The rules of one override. *shielded turns true when one of them leads to the end of the
 * overrides. */
static int add_override(struct policy_state *s, const struct policy_model *m,
			const struct override *o, const struct policy_place *place, bool *shielded)
{
	uint8_t family = o->to.addr.family;
	uint32_t priority = place->pairs - (uint32_t)o->n_shields;
	int r = 0;

	for (size_t i = 0; r == 0 && i < o->n_shields; i++, priority++) {
		struct rule shield = rule_make(family, priority, FR_ACT_GOTO);

		shield.target = m->rule_priority + OVERRIDE_END;
		if (!rule_select(&o->shields[i], &shield))
			continue;
		*shielded = true;
		r = policy_state_add_rule(s, &shield);
	}
	for (size_t i = 0; r == 0 && i < place->n_selectors; i++, priority += 2) {
		struct rule rule = rule_make(family, priority, FR_ACT_TO_TBL);

		(void)rule_select(&place->selectors[i], &rule); /* is normal already */
		rule.table = place->source_table;
		rule.suppress_prefixlen = place->len;
		r = policy_state_add_rule(s, &rule);
		rule.priority++;
		rule.table = place->table;
		rule.suppress_prefixlen = -1;
		if (r == 0)
			r = policy_state_add_rule(s, &rule);
	}
	return r;
}

int policy_want_rules(const struct policy_model *m, const struct policy_places *places,
		      uint16_t groups, struct policy_state *s)
{
	bool shielded[ARRAY_SIZE(families)] = { false };
	int r = 0;

	for (size_t i = 0; i < m->n_bindings; i++)
		groups |= (uint16_t)(1u << (m->bindings[i].id >> 4));
	for (size_t f = 0; r == 0 && f < ARRAY_SIZE(families); f++)
		r = add_tree(s, m, families[f], groups);
	for (size_t i = 0; r == 0 && i < m->n_overrides; i++)
		if (places->list[i].table != 0)
			r = add_override(s, m, &m->overrides[i], &places->list[i],
					 &shielded[m->overrides[i].to.addr.family == AF_INET6]);
	for (size_t f = 0; r == 0 && f < ARRAY_SIZE(families); f++)
		if (shielded[f])
			r = add_nop(s, families[f], m->rule_priority + OVERRIDE_END);
	return r;
}
