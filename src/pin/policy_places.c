// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/policy_internal.h"

#include <errno.h>
#include <string.h>
#include "base/vec.h"

/* Priorities left free in front of an override, so that others find room before and after it
 * without moving it. */
#define PLACE_GAP 64

bool policy_selector_normalise(const struct override_selector *s,
			       struct override_selector *ret_selector)
{
	struct override_selector n = *s;

	if (n.ports.first == 0 && n.ports.last == UINT16_MAX) {
		*ret_selector = n;
		return true;
	}
	if (n.ports.first == 0)
		n.ports.first = 1;
	if (n.ports.last == UINT16_MAX)
		n.ports.last = UINT16_MAX - 1;
	if (n.ports.first > n.ports.last)
		return false;
	*ret_selector = n;
	return true;
}

void policy_places_clear(struct policy_places *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->list[i].selectors);
	free(p->list);
	*p = (struct policy_places){ 0 };
}

static int places_add(struct policy_places *p, struct policy_place **ret_place)
{
	struct policy_place *list = vec_reserve(p->list, p->n, &p->cap, sizeof(*list));

	if (!list)
		return -ENOMEM;
	p->list = list;
	list[p->n] = (struct policy_place){ 0 };
	*ret_place = &list[p->n++];
	return 0;
}

static bool selector_equal(const struct override_selector *a, const struct override_selector *b)
{
	return ip_prefix_equal(&a->to, &b->to) && a->proto == b->proto &&
	       a->ports.first == b->ports.first && a->ports.last == b->ports.last;
}

static bool place_equal(const struct policy_place *a, const struct policy_place *b)
{
	if (a->family != b->family || a->source_table != b->source_table || a->len != b->len ||
	    a->n_selectors != b->n_selectors)
		return false;
	for (size_t i = 0; i < a->n_selectors; i++)
		if (!selector_equal(&a->selectors[i], &b->selectors[i]))
			return false;
	return true;
}

static struct override_selector selector_of_rule(const struct rule *r)
{
	struct override_selector s = { .to = r->dst, .proto = r->ip_proto };

	/* A rule for all destinations has none; a prefix of length 0 has a family. */
	if (r->dst.addr.family == 0)
		s.to.addr.family = r->family;
	s.ports.first = r->dport_first;
	s.ports.last = r->dport_last != 0 ? r->dport_last : UINT16_MAX;
	return s;
}

static int place_add_selector(struct policy_place *place, const struct override_selector *s)
{
	struct override_selector *list;

	list = vec_reserve(place->selectors, place->n_selectors, &place->cap_selectors,
			   sizeof(*list));
	if (!list)
		return -ENOMEM;
	place->selectors = list;
	list[place->n_selectors++] = *s;
	return 0;
}

/* True for an override's lookup with its suppress rule right before it. */
static bool is_pair(const struct policy_model *m, const struct rule *suppress,
		    const struct rule *lookup)
{
	struct override_selector a = selector_of_rule(suppress), b = selector_of_rule(lookup);

	return policy_rule_classify(suppress) == RULE_SUPPRESS &&
	       policy_rule_classify(lookup) == RULE_LOOKUP && suppress->family == lookup->family &&
	       suppress->priority + 1 == lookup->priority &&
	       lookup->table >= m->table_base + BINDING_TABLES &&
	       lookup->table < m->table_base + BINDING_TABLES + OVERRIDE_TABLES &&
	       selector_equal(&a, &b);
}

int policy_places_adopt(const struct policy_model *m, const struct rule_vec *rules, uint64_t now_ms,
			struct policy_places *ret_places)
{
	_cleanup_(policy_places_clear) struct policy_places places = { 0 };

	for (size_t i = 1; i < rules->n; i++) {
		const struct rule *suppress = &rules->list[i - 1], *lookup = &rules->list[i];
		struct policy_place *place = places.n > 0 ? &places.list[places.n - 1] : NULL;
		struct override_selector s = selector_of_rule(lookup);
		int r;

		if (!is_pair(m, suppress, lookup))
			continue;
		if (!place || place->table != lookup->table || place->family != lookup->family) {
			r = places_add(&places, &place);
			if (r < 0)
				return r;
			place->family = lookup->family;
			place->source_table = suppress->table;
			place->len = (uint8_t)suppress->suppress_prefixlen;
			place->table = lookup->table;
			place->pairs = suppress->priority;
			place->since_ms = now_ms;
		}
		r = place_add_selector(place, &s);
		if (r < 0)
			return r;
	}
	*ret_places = places;
	places = (struct policy_places){ 0 };
	return 0;
}

/* The identity of an override, without a place yet. */
static int place_describe(const struct override *o, uint64_t now_ms, struct policy_place *place)
{
	place->family = o->to.addr.family;
	place->source_table = o->source_table;
	place->len = o->len;
	place->since_ms = now_ms;
	for (size_t i = 0; i < o->n_selectors; i++) {
		struct override_selector s;
		int r;

		if (!policy_selector_normalise(&o->selectors[i], &s))
			continue;
		r = place_add_selector(place, &s);
		if (r < 0)
			return r;
	}
	return 0;
}

static uint32_t place_size(const struct policy_model *m, const struct policy_places *p, size_t i)
{
	return (uint32_t)(m->overrides[i].n_shields + 2 * p->list[i].n_selectors);
}

/* Takes tables and priorities over from the last time, where the identity is the same. */
static void places_inherit(struct policy_places *p, const struct policy_places *old,
			   bool used[OVERRIDE_TABLES], const struct policy_model *m)
{
	uint32_t first = m->table_base + BINDING_TABLES;

	for (size_t k = 0; k < old->n; k++)
		if (old->list[k].table >= first && old->list[k].table - first < OVERRIDE_TABLES)
			used[old->list[k].table - first] = true;
	for (size_t i = 0; i < p->n; i++) {
		struct policy_place *place = &p->list[i];

		for (size_t k = 0; k < old->n; k++) {
			if (old->list[k].table == 0 || !place_equal(place, &old->list[k]))
				continue;
			place->table = old->list[k].table;
			place->pairs = old->list[k].pairs;
			place->since_ms = old->list[k].since_ms;
			break;
		}
	}
}

/* A table is not given on in the very sync that takes it from another override: its rules still
 * stand while routes are written. */
static void places_number(struct policy_places *p, bool used[OVERRIDE_TABLES],
			  const struct policy_model *m)
{
	uint32_t next = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->list[i].table != 0 || p->list[i].n_selectors == 0)
			continue;
		while (next < OVERRIDE_TABLES && used[next])
			next++;
		if (next == OVERRIDE_TABLES)
			return;
		used[next] = true;
		p->list[i].table = m->table_base + BINDING_TABLES + next;
	}
}

/* Forgets the priority of each override that is not behind its predecessors, or leaves too little
 * room for them. */
static void places_keep(struct policy_places *p, const struct policy_model *m)
{
	uint32_t low = m->rule_priority + OVERRIDE_FIRST;

	for (size_t i = 0; i < p->n; i++) {
		struct policy_place *place = &p->list[i];

		if (place->table == 0)
			continue;
		if (place->pairs >= low + m->overrides[i].n_shields)
			low = place->pairs - (uint32_t)m->overrides[i].n_shields;
		else
			place->pairs = 0;
		low += place_size(m, p, i);
	}
	if (low <= m->rule_priority + OVERRIDE_END)
		return;
	for (size_t i = 0; i < p->n; i++)
		p->list[i].pairs = 0;
}

/* Gives priorities to the overrides i..end-1, which have none, between low and high. */
static uint32_t places_fill(struct policy_places *p, const struct policy_model *m, size_t i,
			    size_t end, uint32_t low, uint32_t high)
{
	uint32_t need = 0, count = 0, gap;

	for (size_t k = i; k < end; k++) {
		need += p->list[k].table != 0 ? place_size(m, p, k) : 0;
		count += p->list[k].table != 0;
	}
	gap = need < high - low ? (high - low - need) / (count + 1) : 0;
	if (gap > PLACE_GAP)
		gap = PLACE_GAP;
	for (; i < end; i++) {
		uint32_t size = place_size(m, p, i);

		if (p->list[i].table == 0)
			continue;
		if (size > high - low || gap > high - low - size) {
			p->list[i].table = 0; /* thousands of rules: no room */
			continue;
		}
		low += gap;
		p->list[i].pairs = low + (uint32_t)m->overrides[i].n_shields;
		low += size;
	}
	return low;
}

int policy_places_plan(const struct policy_model *m, const struct policy_places *old,
		       uint64_t now_ms, struct policy_places *ret_places)
{
	_cleanup_(policy_places_clear) struct policy_places p = { 0 };
	uint32_t low = m->rule_priority + OVERRIDE_FIRST;
	bool used[OVERRIDE_TABLES] = { false };

	for (size_t i = 0; i < m->n_overrides; i++) {
		struct policy_place *place;
		int r;

		r = places_add(&p, &place);
		if (r == 0)
			r = place_describe(&m->overrides[i], now_ms, place);
		if (r < 0)
			return r;
	}
	places_inherit(&p, old, used, m);
	places_number(&p, used, m);
	places_keep(&p, m);
	for (size_t i = 0; i < p.n;) {
		uint32_t high = m->rule_priority + OVERRIDE_END;
		size_t end = i;

		while (end < p.n && (p.list[end].table == 0 || p.list[end].pairs == 0))
			end++;
		if (end < p.n)
			high = p.list[end].pairs - (uint32_t)m->overrides[end].n_shields;
		low = places_fill(&p, m, i, end, low, high);
		if (end < p.n)
			low = high + place_size(m, &p, end);
		i = end + 1;
	}
	*ret_places = p;
	p = (struct policy_places){ 0 };
	return 0;
}
