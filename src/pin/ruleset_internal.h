/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "netlink/nft.h"
#include "pin/ruleset.h"
#include "pin/ruleset_image.h"

/* Shared by the files of the ruleset only. */

#define RS_LAYOUT 1 /* of the table; a newer one is not touched */

#define RS_MSG_DESTROYSETELEM 30 /* linux/netfilter/nf_tables.h of kernel 6.3 */

/* Userdata types: nft(8) 1.0.6 skips those that it does not know. 0 is its comment. */
#define RS_UDATA_COMMENT 0
#define RS_UDATA_LAYOUT 100
#define RS_UDATA_MARK_MASK 101
#define RS_UDATA_TABLE_BASE 102
#define RS_UDATA_RULE_PRIORITY 103
#define RS_UDATA_DIGEST 110

struct ruleset {
	struct nl
		*nl; /* all writes: a table with an owner takes them from its owner's socket only */
	struct nl *monitor; /* joined to NFNLGRP_NFTABLES */
	struct nl *dump;    /* the walk over the pins */
	struct nft_batch *batch;
	bool can_own;	  /* the kernel knows OWNER and PERSIST */
	bool can_destroy; /* the kernel knows DESTROYSETELEM (6.3) */
	bool known;	  /* `actual` is what the kernel holds */
	struct rs_image actual;
	uint32_t mark_mask; /* last told by a caller; 0 not yet */
	enum { RS_DUMP_IDLE, RS_DUMP_PIN4, RS_DUMP_PIN6 } dump_stage;
};

/* The mark of a binding, host order; mask must not be 0. */
static inline uint32_t rs_mark(uint32_t mask, uint8_t id)
{
	return (uint32_t)id << __builtin_ctz(mask);
}

/* ruleset_desired.c: the image of a model, sorted; the caller clears it. -EINVAL: no mark mask;
 * -ENOMEM, or what service_set_compile() says; with a sentence. */
int rs_desired(const struct ruleset_model *m, struct rs_image *ret_image,
	       struct err *e) _must_check_;

/* ruleset_chains.c: adds all chains with their rules, base chains too. -ENOMEM. */
int rs_chains(const struct ruleset_model *m, struct rs_image *image) _must_check_;

/* ruleset_read.c: what the kernel holds, sorted; present = false without the table. The caller
 * clears it. Errors as of ruleset_read(). Waits for the kernel's work only. */
int rs_read(struct ruleset *r, struct rs_image *ret_image, struct err *e) _must_check_;

/* ruleset_image.c */
/* The service and label of a binding chain; false when it is none. */
bool rs_chain_binding(const struct rs_chain *c, struct ruleset_found *ret_found);
/* Its id alone, and which of the two it is, from "learn_7" or "pin_7"; 0 when it is none. */
uint8_t rs_chain_id(const char *name, bool *ret_learn);

/* ruleset_diff.c */
enum rs_change_kind {
	RS_CHANGE_TABLE, /* the table is missing */
	RS_CHANGE_COUNTER,
	RS_CHANGE_RECREATED, /* a chain whose comment or hook differs: neither can be changed */
	RS_CHANGE_SET,
	RS_CHANGE_SIZE,
	RS_CHANGE_CHAIN,
	RS_CHANGE_RULES, /* of the chain, as a whole */
	RS_CHANGE_ELEMENT_OLD,
	RS_CHANGE_ELEMENT,
	RS_CHANGE_CHAIN_OLD,
	RS_CHANGE_SET_OLD,
	RS_CHANGE_BASE, /* a base chain is missing: the last to be written */
};
#define RS_CHANGE_KINDS (RS_CHANGE_BASE + 1)

struct rs_change {
	enum rs_change_kind kind;
	const struct rs_set *set;     /* the desired one, where there is one */
	const struct rs_chain *chain; /* likewise */
	const struct rs_element *element;
	bool refers; /* RECREATED and ELEMENT_OLD: its target is a chain that is made anew */
	bool empty;  /* RULES: the chain holds no rule now */
};

struct rs_changes {
	struct rs_change *list; /* borrows from both images */
	size_t n, cap;
	bool rebuild; /* the table is not made of our kinds of sets: it must be made anew */
};
/* Frees the list; it is empty then. */
void rs_changes_clear(struct rs_changes *c);
/* What leads from one image to the other, both sorted. The caller clears it. -ENOMEM. */
int rs_diff(const struct rs_image *actual, const struct rs_image *desired,
	    struct rs_changes *ret_changes) _must_check_;
/* One sentence for a person; buf has `size` bytes. */
const char *rs_change_format(const struct rs_change *c, char *buf, size_t size);

/* ruleset_write.c: the messages of changes, in the order of kinds that leaves no packet a state
 * between. They go into r->batch, which remembers a lack of memory; nothing is sent. */
void rs_write_table(struct ruleset *r, const struct ruleset_model *m);
void rs_write_table_delete(struct ruleset *r);
/* With `base` the base chains that are missing, without it all else but sizes. */
void rs_write_changes(struct ruleset *r, const struct rs_changes *c, const struct rs_image *desired,
		      bool base);
/* The new sizes of pin maps. */
void rs_write_sizes(struct ruleset *r, const struct rs_changes *c);
/* Takes the ownership of a table that stands. */
void rs_write_adopt(struct ruleset *r);

/* ruleset_pins.c */
#define RS_PIN_KEY_MAX 44
/* The tuple as a key of its pin map; returns its length, or 0 when the tuple has no pin (a zone, a
 * protocol without ports). */
uint32_t rs_pin_key(const struct tuple *t, uint8_t ret_key[RS_PIN_KEY_MAX]);
