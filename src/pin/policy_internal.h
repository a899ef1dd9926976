/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/clock.h"
#include "netlink/rt.h"
#include "pin/policy.h"

/* What the files policy*.c share; not for others. */

/* Where things stand relative to rule_priority (P). Room is left between the blocks so that a
 * person reading `ip rule` can tell them apart. */
#define TREE_GUARD 0 /* fwmark 0/M goto E */
#define TREE_ENTRY 1 /* + h: fwmark h/Mhigh goto G(h) */
#define TREE_EXIT 18 /* goto E */
#define TREE_GROUP 20 /* + 20 h: G(h), a nop; the leaves and the group's exit follow it */
#define GROUP_SIZE 20
#define GROUP_LEAF 1 /* + low four bits of the id */
#define GROUP_EXIT 18
#define TREE_END 400 /* E, a nop */
#define OVERRIDE_FIRST 410
#define OVERRIDE_END 9000 /* a nop that stands while a shield leads to it */

/* Where tables stand relative to table_base. */
#define BINDING_TABLES 256
#define OVERRIDE_TABLES 256

/* The last resort of a binding's table: worse than any metric that a person would choose. */
#define BLACKHOLE_METRIC UINT32_MAX
#define BINDING_METRIC 1024

struct rule_vec {
	struct rule *list;
	size_t n, cap;
};

struct route_vec {
	struct route *list; /* owns the nexthops */
	size_t n, cap;
};

/* Rules and routes of ours; sorted, with one route a key, once policy_state_sort() was called. */
struct policy_state {
	struct rule_vec rules;
	struct route_vec routes;
};

/* Adds a copy. -ENOMEM. */
int policy_state_add_rule(struct policy_state *s, const struct rule *rule) _must_check_;
/* Consumes route->nexthops, also on failure: -ENOMEM. */
int policy_state_add_route(struct policy_state *s, struct route *route) _must_check_;
/* Sorts both; of several routes of one key one is kept. */
void policy_state_sort(struct policy_state *s);
/* Deep copy of a route. -ENOMEM. */
int policy_route_copy(const struct route *route, struct route *ret_route) _must_check_;
/* Frees what it holds; it is empty then. */
void policy_state_clear(struct policy_state *s);

/* Total orders. Keys first: two routes of one key cannot both stand. Rules of equal priority can.
 */
int policy_rule_compare(const struct rule *a, const struct rule *b);
int policy_route_compare_key(const struct route *a, const struct route *b);
/* True when the kernel would do the same by both. Nexthops of the lists are sorted
 * (policy_state_add_route). */
bool policy_route_equal(const struct route *a, const struct route *b);

#define POLICY_TEXT 512
/* One line for a person, written into buf (POLICY_TEXT bytes), which is returned. */
const char *policy_rule_format(const struct rule *r, char *buf);
const char *policy_route_format(const struct route *r, char *buf);

/* What a rule is, told by its content alone, in the order in which rules must be written (and,
 * backwards, taken away): a goto whose target does not exist would be skipped in silence, and an
 * override whose lookup stood before its suppress rule would swallow more specific routes. */
enum policy_rule_class {
	RULE_ANCHOR, /* nop: what gotos lead to */
	RULE_INNER, /* leaves, exits */
	RULE_SHIELD, /* of an override */
	RULE_SUPPRESS, /* of an override */
	RULE_LOOKUP, /* of an override */
	RULE_ENTRY, /* what leads into the tree */
};
enum policy_rule_class policy_rule_classify(const struct rule *r);

/* Where an override stands. Kept from sync to sync and found again in the kernel after a restart,
 * so that nothing is rewritten when nothing changed. */
struct policy_place {
	uint8_t family;
	uint32_t source_table;
	uint8_t len;
	struct override_selector *selectors; /* as the kernel can express them */
	size_t n_selectors, cap_selectors;
	uint32_t table;
	uint32_t pairs; /* priority of the first suppress rule; the shields stand right before. 0:
			   no place was left */
	uint64_t since_ms;
};

struct policy_places {
	struct policy_place *list;
	size_t n, cap;
};
/* Frees what they hold; there are none then. */
void policy_places_clear(struct policy_places *p);

/* The ports of a selector as a rule can say them: the kernel takes no range that begins at 0 or
 * ends at 65535 (it asks for 0 < first <= last < 65535). Port 0 is never used, and port 65535 alone
 * is left out: its new flows keep following the route. False when nothing is left. "Any" stays
 * 0-65535. */
bool policy_selector_normalise(const struct override_selector *s,
			       struct override_selector *ret_selector);

/* Finds the overrides among rules that stand (sorted). -ENOMEM. */
int policy_places_adopt(const struct policy_model *m, const struct rule_vec *rules, uint64_t now_ms,
			struct policy_places *ret_places) _must_check_;
/* Gives each override of the model a table and priorities: its old ones where the order allows it.
 * *ret_places has one entry per override, in the model's order; those without room have table 0.
 * -ENOMEM. */
int policy_places_plan(const struct policy_model *m, const struct policy_places *old,
		       uint64_t now_ms, struct policy_places *ret_places) _must_check_;

/* Adds what should stand, in no order. -ENOMEM. `groups`: bit h for every group of the tree that
 * stands already and therefore stays. */
int policy_want_rules(const struct policy_model *m, const struct policy_places *places,
		      uint16_t groups, struct policy_state *s) _must_check_;
int policy_want_routes(const struct policy_model *m, const struct policy_places *places,
		       struct policy_state *s) _must_check_;
/* How many bits the mask has; 0 when it is none that we can use. */
uint8_t policy_mark_bits(uint32_t mark_mask);
/* Groups of the tree whose anchor is among the rules (bit h). */
uint16_t policy_groups(const struct policy_model *m, const struct rule_vec *rules);

/* Reads everything with our rtm_protocol: rules, and routes in [first_table, last_table]. *s must
 * be empty; it is sorted, and the caller clears it, also after a failure: -ENOMEM, or as of
 * nl_dump(), with a sentence. */
int policy_state_read(struct nl *nl, uint32_t first_table, uint32_t last_table,
		      struct policy_state *s, struct err *e) _must_check_;

struct policy_written {
	size_t changes, failed;
	bool stale; /* what stands is not surely known any more: read again before the next write */
};
/* Writes the difference between `actual` and `want` and moves into `actual` what was written
 * (`want` is used up). Refusals are counted, the first one's sentence goes to *e. -ENOMEM or the
 * socket's errno, with a sentence: `actual` is not to be relied on then. Waits for the kernel's
 * work only. */
int policy_write(struct nl *nl, struct policy_state *actual, struct policy_state *want,
		 struct policy_written *ret_written, struct err *e) _must_check_;

struct policy {
	struct nl *nl;
	bool valid; /* `actual` is what stands */
	bool adopted; /* `places` were looked for in the kernel once */
	struct policy_state actual;
	struct policy_places places;
	uint16_t groups; /* bit h: group h of the tree was made; it stays while we run */
};
