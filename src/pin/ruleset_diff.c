// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/vec.h"
#include "pin/ruleset_internal.h"

void rs_changes_clear(struct rs_changes *c)
{
	free(c->list);
	*c = (struct rs_changes){ 0 };
}

static int change_add(struct rs_changes *c, const struct rs_change *change)
{
	struct rs_change *p = vec_reserve(c->list, c->n, &c->cap, sizeof(*p));

	if (!p)
		return -ENOMEM;
	c->list = p;
	c->list[c->n++] = *change;
	return 0;
}

static bool chain_same_kind(const struct rs_chain *a, const struct rs_chain *b)
{
	return a->base == b->base && a->hook == b->hook && a->priority == b->priority &&
	       strcmp(a->comment, b->comment) == 0;
}

static bool chain_same_rules(const struct rs_chain *a, const struct rs_chain *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->rules[i].digest != b->rules[i].digest)
			return false;
	return true;
}

static bool set_same_kind(const struct rs_set *a, const struct rs_set *b)
{
	return a->flags == b->flags && a->key_len == b->key_len;
}

struct diff {
	const struct rs_image *actual, *desired;
	struct rs_changes *out;
};

static const struct rs_chain *chain_find(const struct rs_image *im, const char *name)
{
	size_t low = 0, high = im->n_chains;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = strcmp(im->chains[middle].name, name);

		if (r == 0)
			return &im->chains[middle];
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The chain stands, and will be made anew: what leads there must go first. */
static bool chain_is_recreated(const struct diff *d, const char *name)
{
	const struct rs_chain *a = chain_find(d->actual, name), *b = chain_find(d->desired, name);

	return a && b && !chain_same_kind(a, b);
}

static int diff_chain(struct diff *d, const struct rs_chain *a, const struct rs_chain *b)
{
	struct rs_change change = { .chain = b ? b : a, .empty = !a || a->n == 0 };
	int r = 0;

	if (!b) {
		change.kind = RS_CHANGE_CHAIN_OLD;
		return change_add(d->out, &change);
	}
	if (a && !chain_same_kind(a, b)) {
		change.kind = RS_CHANGE_RECREATED;
		change.refers = true;
		change.empty = true;
		r = change_add(d->out, &change);
		a = NULL;
	}
	if (r == 0 && !a) {
		change.kind = b->base ? RS_CHANGE_BASE : RS_CHANGE_CHAIN;
		r = change_add(d->out, &change);
	}
	/* A base chain that is missing comes with its rules. */
	if (r == 0 && !(b->base && !a) && (a ? !chain_same_rules(a, b) : b->n > 0)) {
		change.kind = RS_CHANGE_RULES;
		r = change_add(d->out, &change);
	}
	return r;
}

static int diff_element(struct diff *d, const struct rs_set *s, const struct rs_element *a,
			const struct rs_element *b)
{
	struct rs_change change = { .set = s };
	bool recreated = a && a->target[0] && chain_is_recreated(d, a->target);
	int r = 0;

	if (a && b && !recreated && strcmp(a->target, b->target) == 0)
		return 0;
	if (a) {
		change.kind = RS_CHANGE_ELEMENT_OLD;
		change.element = a;
		change.refers = recreated;
		r = change_add(d->out, &change);
	}
	if (r == 0 && b) {
		change.kind = RS_CHANGE_ELEMENT;
		change.element = b;
		change.refers = false;
		r = change_add(d->out, &change);
	}
	return r;
}

/* Both are sorted. */
static int diff_elements(struct diff *d, const struct rs_set *a, const struct rs_set *b)
{
	size_t i = 0, k = 0, n = a ? a->n : 0, m = b->n;
	int r = 0;

	while (r == 0 && (i < n || k < m)) {
		int order = i == n   ? 1
			    : k == m ? -1
				     : rs_element_compare(&a->elements[i], &b->elements[k]);

		r = diff_element(d, b, order <= 0 ? &a->elements[i] : NULL,
				 order >= 0 ? &b->elements[k] : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return r;
}

static int diff_set(struct diff *d, const struct rs_set *a, const struct rs_set *b)
{
	struct rs_change change = { .set = b ? b : a };

	if (!b) {
		change.kind = RS_CHANGE_SET_OLD;
		return change_add(d->out, &change);
	}
	if (a && !set_same_kind(a, b))
		d->out->rebuild = true;
	if (!a || (b->kind == RS_PINS && a->size != b->size)) {
		int r;

		change.kind = a ? RS_CHANGE_SIZE : RS_CHANGE_SET;
		r = change_add(d->out, &change);
		if (r < 0)
			return r;
	}
	return diff_elements(d, a, b);
}

static int diff_sets(struct diff *d)
{
	const struct rs_image *a = d->actual, *b = d->desired;
	size_t i = 0, k = 0;
	int r = 0;

	while (r == 0 && (i < a->n_sets || k < b->n_sets)) {
		int order = i == a->n_sets   ? 1
			    : k == b->n_sets ? -1
					     : strcmp(a->sets[i].name, b->sets[k].name);

		r = diff_set(d, order <= 0 ? &a->sets[i] : NULL, order >= 0 ? &b->sets[k] : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return r;
}

static int diff_chains(struct diff *d)
{
	const struct rs_image *a = d->actual, *b = d->desired;
	size_t i = 0, k = 0;
	int r = 0;

	while (r == 0 && (i < a->n_chains || k < b->n_chains)) {
		int order = i == a->n_chains   ? 1
			    : k == b->n_chains ? -1
					       : strcmp(a->chains[i].name, b->chains[k].name);

		r = diff_chain(d, order <= 0 ? &a->chains[i] : NULL,
			       order >= 0 ? &b->chains[k] : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	return r;
}

int rs_diff(const struct rs_image *actual, const struct rs_image *desired,
	    struct rs_changes *ret_changes)
{
	struct rs_changes c = { 0 };
	struct diff d = { .actual = actual, .desired = desired, .out = &c };
	struct rs_change change = { .kind = RS_CHANGE_TABLE };
	int r = actual->present ? 0 : change_add(&c, &change);

	change.kind = RS_CHANGE_COUNTER;
	if (r == 0 && !actual->has_counter)
		r = change_add(&c, &change);
	if (r == 0)
		r = diff_sets(&d);
	if (r == 0)
		r = diff_chains(&d);
	if (r < 0) {
		rs_changes_clear(&c);
		return r;
	}
	*ret_changes = c;
	return 0;
}

static void format_key(const struct rs_set *s, const uint8_t *key, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	if (s->kind == RS_INTERVAL) {
		struct ip_addr a = { .family = s->key_len == 4 ? AF_INET : AF_INET6 };
		char text[IP_ADDR_TEXT];

		memcpy(a.bytes, key, ip_addr_size(&a));
		snprintf(buf, size, "%s", ip_addr_format(&a, text));
		return;
	}
	for (uint32_t i = 0; i < s->key_len && i < RS_KEY && len + 3 < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%02x", key[i]);
}

static const char *const sentences[RS_CHANGE_KINDS] = {
	[RS_CHANGE_TABLE] = "table inet " RS_TABLE " is missing",
	[RS_CHANGE_COUNTER] = "counter " RS_COUNTER " is missing",
	[RS_CHANGE_RECREATED] = "has another comment or hook than it should",
	[RS_CHANGE_SET] = "is missing",
	[RS_CHANGE_SIZE] = "has another size than it should",
	[RS_CHANGE_CHAIN] = "is missing",
	[RS_CHANGE_RULES] = "holds other rules than it should",
	[RS_CHANGE_ELEMENT_OLD] = "holds an element that should not be there",
	[RS_CHANGE_ELEMENT] = "lacks an element",
	[RS_CHANGE_CHAIN_OLD] = "should not be there",
	[RS_CHANGE_SET_OLD] = "should not be there",
	[RS_CHANGE_BASE] = "is missing",
};

const char *rs_change_format(const struct rs_change *c, char *buf, size_t size)
{
	const char *what = sentences[c->kind];
	char key[2 * RS_KEY + IP_ADDR_TEXT];

	if (c->element) {
		format_key(c->set, c->element->key, key, sizeof(key));
		snprintf(buf, size, "set %s %s: %s%s%s", c->set->name, what, key,
			 c->element->target[0] ? " : goto " : "", c->element->target);
	} else if (c->set || c->chain) {
		snprintf(buf, size, "%s %s %s", c->set ? "set" : "chain",
			 c->set ? c->set->name : c->chain->name, what);
	} else {
		snprintf(buf, size, "%s", what);
	}
	return buf;
}
