// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/ruleset_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/parse.h"
#include "base/vec.h"
#include "pin/ruleset_internal.h"

/* Numbers of nft(8)'s datatypes, six bits each in a concatenation: only the listing looks at
 * them. */
enum {
	TYPE_IPV4 = 7,
	TYPE_IPV6 = 8,
	TYPE_PROTO = 12,
	TYPE_PORT = 13,
	TYPE_ICMP = 14,
	TYPE_MARK = 19,
	TYPE_IFINDEX = 20,
	TYPE_ICMP6 = 29,
};
#define CONCAT2(a, b) ((a) << 6 | (b))
#define CONCAT3(a, b, c) (CONCAT2(a, b) << 6 | (c))
#define CONCAT5(a, b, c, d, e) ((uint32_t)CONCAT3(a, b, c) << 12 | CONCAT2(d, e))

#define CELL4 CONCAT3(TYPE_IPV4, TYPE_PROTO, TYPE_PORT)
#define CELL6 CONCAT3(TYPE_IPV6, TYPE_PROTO, TYPE_PORT)
#define TUPLE4 CONCAT5(TYPE_IPV4, TYPE_IPV4, TYPE_PROTO, TYPE_PORT, TYPE_PORT)
#define TUPLE6 CONCAT5(TYPE_IPV6, TYPE_IPV6, TYPE_PROTO, TYPE_PORT, TYPE_PORT)
#define HOP4 CONCAT2(TYPE_IFINDEX, TYPE_IPV4)
#define HOP6 CONCAT2(TYPE_IFINDEX, TYPE_IPV6)

enum { MIXED = 0, HOST = 1, NETWORK = 2 };

/* clang-format off */
static const struct rs_shape fixed_shapes[RS_FIXED_SETS] = {
	[RS_PREFIX4] = { "prefix4", RS_INTERVAL, RS_NO_DATA, TYPE_IPV4, 4, { 0 }, 0, NETWORK },
	[RS_PREFIX6] = { "prefix6", RS_INTERVAL, RS_NO_DATA, TYPE_IPV6, 16, { 0 }, 0, NETWORK },
	[RS_PINNABLE] = { "pinnable", RS_PLAIN, RS_NO_DATA, TYPE_PROTO, 1, { 0 }, 0, NETWORK },
	[RS_ICMP4_ERROR] = { "icmp4_error", RS_PLAIN, RS_NO_DATA, TYPE_ICMP, 1, { 0 }, 0, NETWORK },
	[RS_ICMP6_ERROR] = { "icmp6_error", RS_PLAIN, RS_NO_DATA, TYPE_ICMP6, 1, { 0 }, 0,
			     NETWORK },
	[RS_SERVICE4] = { "service4", RS_RANGES, RS_VERDICT, CELL4, 12, { 4, 1, 2 }, 3, MIXED },
	[RS_SERVICE6] = { "service6", RS_RANGES, RS_VERDICT, CELL6, 24, { 16, 1, 2 }, 3, MIXED },
	[RS_PIN4] = { "pin4", RS_PINS, RS_MARK, TUPLE4, 20, { 0 }, 0, MIXED },
	[RS_PIN6] = { "pin6", RS_PINS, RS_MARK, TUPLE6, 44, { 0 }, 0, MIXED },
	[RS_MARKS] = { "marks", RS_PLAIN, RS_VERDICT, TYPE_MARK, 4, { 0 }, 0, HOST },
	[RS_FRESH] = { "fresh", RS_PLAIN, RS_VERDICT, TYPE_MARK, 4, { 0 }, 0, HOST },
	[RS_CONNECTED4] = { "connected4", RS_RANGES, RS_NO_DATA, HOP4, 8, { 4, 4 }, 2, MIXED },
	[RS_CONNECTED6] = { "connected6", RS_RANGES, RS_NO_DATA, HOP6, 20, { 4, 16 }, 2, MIXED },
};

static const struct rs_shape service_shapes[RS_SERVICE_SETS] = {
	{ "nexthop4_", RS_PLAIN, RS_VERDICT, HOP4, 8, { 0 }, 0, MIXED },
	{ "nexthop6_", RS_PLAIN, RS_VERDICT, HOP6, 20, { 0 }, 0, MIXED },
	{ "link_", RS_PLAIN, RS_VERDICT, TYPE_IFINDEX, 4, { 0 }, 0, HOST },
};
/* clang-format on */

const struct rs_shape *rs_fixed_shape(enum rs_fixed_set which)
{
	return &fixed_shapes[which];
}

const struct rs_shape *rs_service_shape(unsigned which)
{
	return &service_shapes[which];
}

uint32_t rs_shape_flags(enum rs_kind kind, enum rs_data data)
{
	static const uint32_t kinds[] = {
		[RS_PLAIN] = 0,
		[RS_INTERVAL] = NFT_SET_INTERVAL,
		[RS_RANGES] = NFT_SET_INTERVAL | NFT_SET_CONCAT,
		[RS_PINS] = NFT_SET_EVAL | NFT_SET_TIMEOUT,
	};

	return kinds[kind] | (data == RS_NO_DATA ? 0 : NFT_SET_MAP);
}

bool rs_name_is_pins(const char *name)
{
	return strcmp(name, fixed_shapes[RS_PIN4].name) == 0 ||
	       strcmp(name, fixed_shapes[RS_PIN6].name) == 0;
}

void rs_image_clear(struct rs_image *im)
{
	for (size_t i = 0; i < im->n_sets; i++)
		free(im->sets[i].elements);
	for (size_t i = 0; i < im->n_chains; i++)
		free(im->chains[i].rules);
	free(im->sets);
	free(im->chains);
	strbuf_free(&im->bytes);
	*im = (struct rs_image){ 0 };
}

struct rs_set *rs_image_add_set(struct rs_image *im, const char *name)
{
	struct rs_set *s = vec_reserve(im->sets, im->n_sets, &im->sets_cap, sizeof(*s));

	if (!s)
		return NULL;
	im->sets = s;
	s += im->n_sets++;
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	return s;
}

struct rs_chain *rs_image_add_chain(struct rs_image *im, const char *name)
{
	struct rs_chain *c = vec_reserve(im->chains, im->n_chains, &im->chains_cap, sizeof(*c));

	if (!c)
		return NULL;
	im->chains = c;
	c += im->n_chains++;
	memset(c, 0, sizeof(*c));
	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

struct rs_set *rs_image_set(const struct rs_image *im, const char *name)
{
	for (size_t i = 0; i < im->n_sets; i++)
		if (strcmp(im->sets[i].name, name) == 0)
			return &im->sets[i];
	return NULL;
}

struct rs_chain *rs_image_chain(const struct rs_image *im, const char *name)
{
	for (size_t i = 0; i < im->n_chains; i++)
		if (strcmp(im->chains[i].name, name) == 0)
			return &im->chains[i];
	return NULL;
}

int rs_set_add(struct rs_set *s, const struct rs_element *element)
{
	struct rs_element *p = vec_reserve(s->elements, s->n, &s->cap, sizeof(*p));

	if (!p)
		return -ENOMEM;
	s->elements = p;
	s->elements[s->n++] = *element;
	return 0;
}

int rs_chain_add(struct rs_chain *c, const struct rs_rule *rule)
{
	struct rs_rule *p = vec_reserve(c->rules, c->n, &c->cap, sizeof(*p));

	if (!p)
		return -ENOMEM;
	c->rules = p;
	c->rules[c->n++] = *rule;
	return 0;
}

int rs_element_compare(const struct rs_element *a, const struct rs_element *b)
{
	int r = memcmp(a->key, b->key, sizeof(a->key));

	if (r == 0)
		r = memcmp(a->end, b->end, sizeof(a->end));
	return r ? r : (int)a->open - (int)b->open;
}

static int compare_elements(const void *a, const void *b)
{
	return rs_element_compare(a, b);
}

static int compare_sets(const void *a, const void *b)
{
	return strcmp(((const struct rs_set *)a)->name, ((const struct rs_set *)b)->name);
}

static int compare_chains(const void *a, const void *b)
{
	return strcmp(((const struct rs_chain *)a)->name, ((const struct rs_chain *)b)->name);
}

void rs_image_sort(struct rs_image *im)
{
	/* qsort() of nothing may be handed NULL, which the C library's declaration forbids. */
	if (im->n_sets)
		qsort(im->sets, im->n_sets, sizeof(*im->sets), compare_sets);
	if (im->n_chains)
		qsort(im->chains, im->n_chains, sizeof(*im->chains), compare_chains);
	for (size_t i = 0; i < im->n_sets; i++)
		if (im->sets[i].n)
			qsort(im->sets[i].elements, im->sets[i].n, sizeof(struct rs_element),
			      compare_elements);
}

uint8_t rs_chain_id(const char *name, bool *ret_learn)
{
	bool learn = strncmp(name, "learn_", 6) == 0;
	uint32_t id;

	if (!learn && strncmp(name, "pin_", 4) != 0)
		return 0;
	if (parse_u32(name + (learn ? 6 : 4), 1, 255, &id) < 0)
		return 0;
	*ret_learn = learn;
	return (uint8_t)id;
}

bool rs_chain_binding(const struct rs_chain *c, struct ruleset_found *ret_found)
{
	struct ruleset_found f = { 0 };
	const char *space = strchr(c->comment, ' ');
	bool learn;

	f.id = rs_chain_id(c->name, &learn);
	if (f.id == 0 || !space || (size_t)(space - c->comment) >= sizeof(f.service) ||
	    strlen(space + 1) >= sizeof(f.label))
		return false;
	memcpy(f.service, c->comment, (size_t)(space - c->comment));
	snprintf(f.label, sizeof(f.label), "%s", space + 1);
	*ret_found = f;
	return true;
}
