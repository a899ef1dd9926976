// SPDX-License-Identifier: GPL-2.0-or-later
#include "pin/ruleset_expr.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include "base/siphash.h"
#include "netlink/nft.h"
#include "pin/ruleset_internal.h"

#define RULE_MAX 4096 /* bytes of one rule's attributes; ours have a few hundred */

static struct nftnl_expr *add(struct rs_builder *b, const char *name)
{
	struct nftnl_expr *x = b->rule ? nftnl_expr_alloc(name) : NULL;

	if (!x) {
		b->failed = true;
		return NULL;
	}
	nftnl_rule_add_expr(b->rule, x);
	return x;
}

static void set_data(struct rs_builder *b, struct nftnl_expr *x, uint16_t attr, const void *data,
		     uint32_t len)
{
	if (nftnl_expr_set(x, attr, data, len) < 0)
		b->failed = true;
}

/* Expressions that are two or three numbers. */
static void add_numbers(struct rs_builder *b, const char *name, const uint32_t (*numbers)[2],
			size_t n)
{
	struct nftnl_expr *x = add(b, name);

	for (size_t i = 0; x && i < n; i++)
		nftnl_expr_set_u32(x, (uint16_t)numbers[i][0], numbers[i][1]);
}

#define ADD(b, name, ...)                                                                          \
	do {                                                                                       \
		const uint32_t numbers_[][2] = { __VA_ARGS__ };                                    \
		add_numbers(b, name, numbers_, ARRAY_SIZE(numbers_));                              \
	} while (0)

void x_begin(struct rs_builder *b, struct rs_chain *chain)
{
	b->chain = chain;
	b->rule = chain ? nftnl_rule_alloc() : NULL;
	if (!b->rule)
		b->failed = true;
}

static void rule_store(struct rs_builder *b)
{
	/* Not a secret: the digest only has to differ where rules differ. */
	static const uint64_t key[2] = { 0x666c6f7770696e00, 1 };
	/* Zeroed: libmnl leaves the padding of attributes as it is, and the digest goes over it. */
	_Alignas(MNL_ALIGNTO) uint8_t buf[RULE_MAX] = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	uint8_t userdata[16];
	size_t userdata_len = 0;
	struct rs_rule rule;
	void *payload;

	nftnl_rule_nlmsg_build_payload(nlh, b->rule);
	payload = mnl_nlmsg_get_payload(nlh);
	rule.digest = siphash13(payload, mnl_nlmsg_get_payload_len(nlh), key);
	nft_userdata_put(userdata, sizeof(userdata), &userdata_len, RS_UDATA_DIGEST, &rule.digest,
			 sizeof(rule.digest));
	mnl_attr_put(nlh, NFTA_RULE_USERDATA, userdata_len, userdata);
	rule.len = mnl_nlmsg_get_payload_len(nlh);
	rule.offset = b->image->bytes.len;
	strbuf_add(&b->image->bytes, payload, rule.len);
	if (b->image->bytes.failed || rs_chain_add(b->chain, &rule) < 0)
		b->failed = true;
}

void x_end(struct rs_builder *b)
{
	if (!b->failed)
		rule_store(b);
	if (b->rule)
		nftnl_rule_free(b->rule);
	b->rule = NULL;
}

void x_meta(struct rs_builder *b, uint32_t key, uint32_t dreg)
{
	ADD(b, "meta", { NFTNL_EXPR_META_KEY, key }, { NFTNL_EXPR_META_DREG, dreg });
}

void x_meta_set(struct rs_builder *b, uint32_t key, uint32_t sreg)
{
	ADD(b, "meta", { NFTNL_EXPR_META_KEY, key }, { NFTNL_EXPR_META_SREG, sreg });
}

void x_ct(struct rs_builder *b, uint32_t key, uint32_t dreg)
{
	ADD(b, "ct", { NFTNL_EXPR_CT_KEY, key }, { NFTNL_EXPR_CT_DREG, dreg });
}

void x_ct_set(struct rs_builder *b, uint32_t key, uint32_t sreg)
{
	ADD(b, "ct", { NFTNL_EXPR_CT_KEY, key }, { NFTNL_EXPR_CT_SREG, sreg });
}

void x_rt(struct rs_builder *b, uint32_t key, uint32_t dreg)
{
	ADD(b, "rt", { NFTNL_EXPR_RT_KEY, key }, { NFTNL_EXPR_RT_DREG, dreg });
}

void x_payload(struct rs_builder *b, uint32_t base, uint32_t offset, uint32_t len, uint32_t dreg)
{
	ADD(b, "payload", { NFTNL_EXPR_PAYLOAD_BASE, base }, { NFTNL_EXPR_PAYLOAD_OFFSET, offset },
	    { NFTNL_EXPR_PAYLOAD_LEN, len }, { NFTNL_EXPR_PAYLOAD_DREG, dreg });
}

void x_compare(struct rs_builder *b, uint32_t op, uint32_t sreg, const void *data, uint32_t len)
{
	struct nftnl_expr *x = add(b, "cmp");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, sreg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
	set_data(b, x, NFTNL_EXPR_CMP_DATA, data, len);
}

void x_compare_u8(struct rs_builder *b, uint32_t sreg, uint8_t value)
{
	x_compare(b, NFT_CMP_EQ, sreg, &value, sizeof(value));
}

void x_bits(struct rs_builder *b, uint32_t reg, const void *mask, const void *value, uint32_t len)
{
	struct nftnl_expr *x = add(b, "bitwise");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, len);
	set_data(b, x, NFTNL_EXPR_BITWISE_MASK, mask, len);
	set_data(b, x, NFTNL_EXPR_BITWISE_XOR, value, len);
}

void x_to_network(struct rs_builder *b, uint32_t reg)
{
	ADD(b, "byteorder", { NFTNL_EXPR_BYTEORDER_SREG, reg }, { NFTNL_EXPR_BYTEORDER_DREG, reg },
	    { NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON }, { NFTNL_EXPR_BYTEORDER_LEN, 4 },
	    { NFTNL_EXPR_BYTEORDER_SIZE, 4 });
}

void x_immediate(struct rs_builder *b, uint32_t dreg, uint32_t value)
{
	struct nftnl_expr *x = add(b, "immediate");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, dreg);
	set_data(b, x, NFTNL_EXPR_IMM_DATA, &value, sizeof(value));
}

void x_verdict(struct rs_builder *b, int verdict, const char *chain)
{
	struct nftnl_expr *x = add(b, "immediate");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain && nftnl_expr_set_str(x, NFTNL_EXPR_IMM_CHAIN, chain) < 0)
		b->failed = true;
}

static struct nftnl_expr *add_lookup(struct rs_builder *b, const char *set, uint32_t sreg)
{
	struct nftnl_expr *x = add(b, "lookup");

	if (!x)
		return NULL;
	if (nftnl_expr_set_str(x, NFTNL_EXPR_LOOKUP_SET, set) < 0)
		b->failed = true;
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, sreg);
	return x;
}

void x_lookup(struct rs_builder *b, const char *set, uint32_t sreg)
{
	(void)add_lookup(b, set, sreg);
}

void x_map(struct rs_builder *b, const char *set, uint32_t sreg, uint32_t dreg)
{
	struct nftnl_expr *x = add_lookup(b, set, sreg);

	if (x)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_DREG, dreg);
}

void x_vmap(struct rs_builder *b, const char *set, uint32_t sreg)
{
	x_map(b, set, sreg, NFT_REG_VERDICT);
}

void x_dynset(struct rs_builder *b, uint32_t op, const char *set, uint32_t key, uint32_t data,
	      uint64_t timeout_ms)
{
	struct nftnl_expr *x = add(b, "dynset");

	if (!x)
		return;
	if (nftnl_expr_set_str(x, NFTNL_EXPR_DYNSET_SET_NAME, set) < 0)
		b->failed = true;
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_OP, op);
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_SREG_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_SREG_DATA, data);
	if (timeout_ms)
		nftnl_expr_set_u64(x, NFTNL_EXPR_DYNSET_TIMEOUT, timeout_ms);
}

void x_counter(struct rs_builder *b)
{
	struct nftnl_expr *x = add(b, "counter");

	if (!x)
		return;
	nftnl_expr_set_u64(x, NFTNL_EXPR_CTR_PACKETS, 0);
	nftnl_expr_set_u64(x, NFTNL_EXPR_CTR_BYTES, 0);
}

void x_named_counter(struct rs_builder *b, const char *name)
{
	struct nftnl_expr *x = add(b, "objref");

	if (!x)
		return;
	nftnl_expr_set_u32(x, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	if (nftnl_expr_set_str(x, NFTNL_EXPR_OBJREF_IMM_NAME, name) < 0)
		b->failed = true;
}
