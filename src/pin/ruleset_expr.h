/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdio.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include "pin/ruleset_image.h"

/* Rules from expressions. A builder collects one rule after the other for a chain of an image; what
 * fails for want of memory is remembered, so that callers check once. Registers are those of 32
 * bits (R(0) .. R(15)): nft(8) lists rules that use them, and five fields fit. */

#define R(n) (NFT_REG32_00 + (n))

struct rs_builder {
	struct rs_image *image;
	struct rs_chain *chain;
	struct nftnl_rule *rule;
	bool failed;
};

/* Begins a rule of this chain; NULL (there was no memory for it) fails the builder. */
void x_begin(struct rs_builder *b, struct rs_chain *chain);
/* Ends the rule: its attributes go into the image, with a digest of them in the userdata. */
void x_end(struct rs_builder *b);

/* One expression each. `key`: NFT_META_*, NFT_CT_*, NFT_RT_*; `dreg` is written, `sreg` read.
 * Source: linux/netfilter/nf_tables.h. */
void x_meta(struct rs_builder *b, uint32_t key, uint32_t dreg);
void x_meta_set(struct rs_builder *b, uint32_t key, uint32_t sreg);
void x_ct(struct rs_builder *b, uint32_t key, uint32_t dreg);
void x_ct_set(struct rs_builder *b, uint32_t key, uint32_t sreg);
void x_rt(struct rs_builder *b, uint32_t key, uint32_t dreg);
/* `len` bytes at an offset of NFT_PAYLOAD_*, in network order. */
void x_payload(struct rs_builder *b, uint32_t base, uint32_t offset, uint32_t len, uint32_t dreg);
/* NFT_CMP_*: ends the rule unless the register compares so with `len` bytes. */
void x_compare(struct rs_builder *b, uint32_t op, uint32_t sreg, const void *data, uint32_t len);
void x_compare_u8(struct rs_builder *b, uint32_t sreg, uint8_t value);
/* reg = (reg & mask) ^ value, of `len` bytes. */
void x_bits(struct rs_builder *b, uint32_t reg, const void *mask, const void *value, uint32_t len);
/* 32 bits, from host order. */
void x_to_network(struct rs_builder *b, uint32_t reg);
/* 32 bits in host order. */
void x_immediate(struct rs_builder *b, uint32_t dreg, uint32_t value);
/* NF_ACCEPT, NFT_GOTO, ...; with the chain that it leads to, else NULL. */
void x_verdict(struct rs_builder *b, int verdict, const char *chain);
/* `sreg` is in the set; what a map gives for it goes to `dreg`, or is the verdict. */
void x_lookup(struct rs_builder *b, const char *set, uint32_t sreg);
void x_map(struct rs_builder *b, const char *set, uint32_t sreg, uint32_t dreg);
void x_vmap(struct rs_builder *b, const char *set, uint32_t sreg);
/* NFT_DYNSET_OP_*; timeout 0: none. */
void x_dynset(struct rs_builder *b, uint32_t op, const char *set, uint32_t key, uint32_t data,
	      uint64_t timeout_ms);
/* The rule's own counter; an object of that name. */
void x_counter(struct rs_builder *b);
void x_named_counter(struct rs_builder *b, const char *name);
