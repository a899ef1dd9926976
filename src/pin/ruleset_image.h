/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <netinet/in.h> /* before the kernel's own, which then keeps out of its way */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/macros.h"
#include "base/strbuf.h"

/* What is in `table inet flowpin`, or should be, without the pins: both sides of the difference
 * have this shape. Only the files of the ruleset use it. */

#define RS_TABLE   "flowpin"
#define RS_COUNTER "lost_pins"
#define RS_NAME	   NFT_NAME_MAXLEN
/* Our own chains' names are short; of a foreign one the beginning is enough to differ. */
#define RS_TARGET  32
#define RS_KEY	   24 /* an IPv6 address, a protocol and a port, each padded to 32 bits */
#define RS_COMMENT 128

/* linux/netfilter/nf_tables.h of kernel 6.9; an older one answers EOPNOTSUPP. */
#define RS_TABLE_OWNER	 0x2
#define RS_TABLE_PERSIST 0x4

/* The sets that every table has, besides those of the services. */
enum rs_fixed_set {
	RS_PREFIX4,
	RS_PREFIX6,
	RS_PINNABLE,
	RS_ICMP4_ERROR,
	RS_ICMP6_ERROR,
	RS_SERVICE4,
	RS_SERVICE6,
	RS_PIN4,
	RS_PIN6,
	RS_MARKS,
	RS_FRESH,
	RS_CONNECTED4,
	RS_CONNECTED6,
	RS_FIXED_SETS,
};

struct rs_element {
	uint8_t key[RS_KEY];
	uint8_t end[RS_KEY];	/* interval sets: the last key; see rs_set.kind */
	bool open;		/* RS_INTERVAL: no end, up to the highest key */
	char target[RS_TARGET]; /* verdict maps: the chain of the goto */
};

enum rs_kind {
	RS_PLAIN,    /* hash: keys alone */
	RS_INTERVAL, /* rbtree: `end` is the first key behind the interval */
	RS_RANGES,   /* concatenation with ranges: `end` is the last key inside, field by field */
	RS_PINS,     /* dynamic map with timeouts: its elements are never part of an image */
};

enum rs_data { RS_NO_DATA, RS_VERDICT, RS_MARK };

struct rs_set {
	char name[RS_NAME];
	enum rs_kind kind;
	enum rs_data data;
	uint32_t key_type; /* nft's datatype number: what the listing prints */
	uint32_t key_len;
	uint8_t fields[4]; /* RS_RANGES: bytes of each field */
	uint8_t n_fields;
	uint32_t byteorder; /* of the key: 1 host, 2 network, 0 a concatenation; for the listing */
	uint32_t size;	    /* RS_PINS */
	uint32_t flags;	    /* NFT_SET_*, as the kernel tells them (or as they are written) */
	struct rs_element *elements; /* sorted by rs_image_sort() */
	size_t n, cap;
};

/* A rule is its digest; where it is desired, also the attributes that make it, at `offset` of the
 * image's bytes. */
struct rs_rule {
	uint64_t digest;
	size_t offset, len;
};

struct rs_chain {
	char name[RS_NAME];
	char comment[RS_COMMENT];
	bool base;
	uint32_t hook;
	int32_t priority;
	struct rs_rule *rules;
	size_t n, cap;
};

struct rs_image {
	bool present;
	bool has_counter;
	uint32_t table_flags;
	uint32_t layout, mark_mask, table_base, rule_priority; /* from the userdata */
	struct rs_set *sets;
	size_t n_sets, sets_cap;
	struct rs_chain *chains;
	size_t n_chains, chains_cap;
	struct strbuf bytes;
};

/* Frees what it holds; it is empty then. */
void rs_image_clear(struct rs_image *im);
/* The new object (zeroed but for its name), or NULL without memory. Pointers to others move. */
struct rs_set *rs_image_add_set(struct rs_image *im, const char *name);
struct rs_chain *rs_image_add_chain(struct rs_image *im, const char *name);
/* NULL when there is none. Linear. */
struct rs_set *rs_image_set(const struct rs_image *im, const char *name);
struct rs_chain *rs_image_chain(const struct rs_image *im, const char *name);
/* Add a copy. -ENOMEM. */
int rs_set_add(struct rs_set *s, const struct rs_element *element) _must_check_;
int rs_chain_add(struct rs_chain *c, const struct rs_rule *rule) _must_check_;
/* Sorts sets and chains by name, elements by key and end: what rs_diff() and the finders below
 * need. */
void rs_image_sort(struct rs_image *im);
/* Order of elements: key, end. */
int rs_element_compare(const struct rs_element *a, const struct rs_element *b);

/* The name, shape and flags of a fixed set. */
struct rs_shape {
	const char *name;
	enum rs_kind kind;
	enum rs_data data;
	uint32_t key_type;
	uint32_t key_len;
	uint8_t fields[4];
	uint8_t n_fields;
	uint32_t byteorder;
};
const struct rs_shape *rs_fixed_shape(enum rs_fixed_set which);
/* The shapes of a service's maps: nexthop4_, nexthop6_, link_; `name` of each is the prefix. */
#define RS_SERVICE_SETS 3
const struct rs_shape *rs_service_shape(unsigned which);
/* NFT_SET_* of a set of this kind and data. */
uint32_t rs_shape_flags(enum rs_kind kind, enum rs_data data);
/* True for the maps whose elements are pins. */
bool rs_name_is_pins(const char *name);
