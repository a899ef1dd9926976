// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "pin/ruleset_expr.h"
#include "pin/ruleset_internal.h"

/* The packet path. nft/flowpin.nft shows it as nft(8) prints it; each function below is one chain.
 *
 * meta priority is a scratch register that a listing can show: what a map yields must be looked up
 * once more, and nft 1.0.6 aborts on a listing where that goes through a register. ip_forward()
 * sets the priority anew for IPv4. */

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

/* A first packet that is no SYN pins for this long at most, not for the SYN's 20 s: a one-way UDP
 * flow with a packet every 30 s would be learned anew with each of them. */
#define FIRST_TIMEOUT_S 60

/* How the two families differ. */
struct family {
	uint8_t nfproto; /* the same numbers as AF_* */
	uint8_t icmp;	 /* its ICMP's protocol number */
	enum rs_fixed_set prefixes, pins, services, errors, connected;
	uint32_t src, dst, len; /* in the network header */
	uint32_t nexthop;	/* NFT_RT_* */
	uint32_t inner_src, inner_dst, inner_proto, inner_sport, inner_dport; /* in an ICMP error */
	const char *first;    /* the chain of first packets */
	unsigned nexthop_map; /* of rs_service_shape() */
};

static const struct family families[] = {
	{ NFPROTO_IPV4, IPPROTO_ICMP, RS_PREFIX4, RS_PIN4, RS_SERVICE4, RS_ICMP4_ERROR,
	  RS_CONNECTED4, 12, 16, 4, NFT_RT_NEXTHOP4, 20, 24, 17, 28, 30, "first4", 0 },
	{ NFPROTO_IPV6, IPPROTO_ICMPV6, RS_PREFIX6, RS_PIN6, RS_SERVICE6, RS_ICMP6_ERROR,
	  RS_CONNECTED6, 8, 24, 16, NFT_RT_NEXTHOP6, 16, 32, 14, 48, 50, "first6", 1 },
};

struct path {
	struct rs_builder b;
	const struct ruleset_model *m;
	uint32_t keep; /* the bits of marks that are not ours */
};

static const char *set_name(enum rs_fixed_set which)
{
	return rs_fixed_shape(which)->name;
}

static void nfproto(struct rs_builder *b, const struct family *f)
{
	x_meta(b, NFT_META_NFPROTO, R(0));
	x_compare_u8(b, R(0), f->nfproto);
}

static void pinnable(struct rs_builder *b)
{
	x_meta(b, NFT_META_L4PROTO, R(0));
	x_lookup(b, set_name(RS_PINNABLE), R(0));
}

static void tcp_syn(struct rs_builder *b)
{
	static const uint8_t mask = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK, none = 0;

	x_meta(b, NFT_META_L4PROTO, R(0));
	x_compare_u8(b, R(0), IPPROTO_TCP);
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, R(0));
	x_bits(b, R(0), &mask, &none, 1);
	x_compare_u8(b, R(0), TCP_SYN);
}

static void direction(struct rs_builder *b, uint8_t which)
{
	x_ct(b, NFT_CT_DIRECTION, R(0));
	x_compare_u8(b, R(0), which);
}

enum { ORIGINAL = 0, REPLY = 1 };

/* The key of the pin map into R(0).. ; returns the register behind it. */
static uint32_t tuple_key(struct rs_builder *b, const struct family *f)
{
	uint32_t words = f->len / 4;

	x_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->src, f->len, R(0));
	x_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->dst, f->len, R(words));
	x_meta(b, NFT_META_L4PROTO, R(2 * words));
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, R(2 * words + 1));
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(2 * words + 2));
	return R(2 * words + 3);
}

/* The same from inside an ICMP error: that packet went the other way. */
static uint32_t inner_key(struct rs_builder *b, const struct family *f)
{
	uint32_t words = f->len / 4;

	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, f->inner_dst, f->len, R(0));
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, f->inner_src, f->len, R(words));
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, f->inner_proto, 1, R(2 * words));
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, f->inner_dport, 2, R(2 * words + 1));
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, f->inner_sport, 2, R(2 * words + 2));
	return R(2 * words + 3);
}

/* Our bits of the packet's mark become `mark`, the others stay. */
static void rule_meta_mark(struct path *p, struct rs_chain *c, uint32_t mark)
{
	x_begin(&p->b, c);
	x_meta(&p->b, NFT_META_MARK, R(0));
	x_bits(&p->b, R(0), &p->keep, &mark, sizeof(mark));
	x_meta_set(&p->b, NFT_META_MARK, R(0));
	x_end(&p->b);
}

static void rule_ct_mark(struct path *p, struct rs_chain *c, uint32_t mark, bool original_only)
{
	x_begin(&p->b, c);
	if (original_only)
		direction(&p->b, ORIGINAL);
	x_ct(&p->b, NFT_CT_MARK, R(0));
	x_bits(&p->b, R(0), &p->keep, &mark, sizeof(mark));
	x_ct_set(&p->b, NFT_CT_MARK, R(0));
	x_end(&p->b);
}

static void rule_ct_vmap(struct path *p, struct rs_chain *c, enum rs_fixed_set map,
			 bool original_only)
{
	static const uint32_t none = 0;

	x_begin(&p->b, c);
	if (original_only)
		direction(&p->b, ORIGINAL);
	x_ct(&p->b, NFT_CT_MARK, R(0));
	x_bits(&p->b, R(0), &p->m->mark_mask, &none, sizeof(none));
	x_vmap(&p->b, set_name(map), R(0));
	x_end(&p->b);
}

static void rule_priority_clear(struct path *p, struct rs_chain *c)
{
	x_begin(&p->b, c);
	x_immediate(&p->b, R(0), 0);
	x_meta_set(&p->b, NFT_META_PRIORITY, R(0));
	x_end(&p->b);
}

static void rule_counter(struct path *p, struct rs_chain *c)
{
	x_begin(&p->b, c);
	x_counter(&p->b);
	x_end(&p->b);
}

/* meta priority becomes the pin's mark. The inner header of an IPv4 error is taken to have no
 * options. */
static void rule_find_inner(struct path *p, struct rs_chain *c, const struct family *f)
{
	struct rs_builder *b = &p->b;
	uint32_t data;

	x_begin(b, c);
	nfproto(b, f);
	x_meta(b, NFT_META_L4PROTO, R(0));
	x_compare_u8(b, R(0), f->icmp);
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, R(0));
	x_lookup(b, set_name(f->errors), R(0));
	if (f->nfproto == NFPROTO_IPV4) {
		x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 8, 1, R(0));
		x_compare_u8(b, R(0), 0x45);
	}
	data = inner_key(b, f);
	x_map(b, set_name(f->pins), R(0), data);
	x_meta_set(b, NFT_META_PRIORITY, data);
	x_end(b);
}

static void rule_find(struct path *p, struct rs_chain *c, const struct family *f)
{
	struct rs_builder *b = &p->b;
	uint32_t data;

	x_begin(b, c);
	nfproto(b, f);
	pinnable(b);
	data = tuple_key(b, f);
	x_map(b, set_name(f->pins), R(0), data);
	x_meta_set(b, NFT_META_PRIORITY, data);
	x_end(b);
}

/* `return` is not reached when the map is full: the chain's last rule counts those. */
static void rule_update(struct path *p, struct rs_chain *c, const struct family *f, bool syn,
			uint32_t mark, uint32_t timeout_s)
{
	struct rs_builder *b = &p->b;
	uint32_t data;

	x_begin(b, c);
	nfproto(b, f);
	if (syn)
		tcp_syn(b);
	else
		pinnable(b);
	data = tuple_key(b, f);
	x_immediate(b, data, mark);
	x_dynset(b, NFT_DYNSET_OP_UPDATE, set_name(f->pins), R(0), data,
		 (uint64_t)timeout_s * 1000);
	x_verdict(b, NFT_RETURN, NULL);
	x_end(b);
}

/* The packet's own pin; with `found` only where the pin map yielded one (an ICMP error's is not its
 * own). */
static void rule_delete(struct path *p, struct rs_chain *c, const struct family *f, bool found)
{
	static const uint32_t none = 0;
	struct rs_builder *b = &p->b;
	uint32_t data;

	x_begin(b, c);
	nfproto(b, f);
	if (found) {
		x_meta(b, NFT_META_PRIORITY, R(0));
		x_compare(b, NFT_CMP_NEQ, R(0), &none, sizeof(none));
		pinnable(b);
	}
	data = tuple_key(b, f);
	/* The kernel wants the data of a map to be named even where an element is deleted. */
	x_immediate(b, data, 0);
	x_dynset(b, NFT_DYNSET_OP_DELETE, set_name(f->pins), R(0), data, 0);
	x_end(b);
}

static void rule_lost(struct path *p, struct rs_chain *c)
{
	x_begin(&p->b, c);
	pinnable(&p->b);
	x_named_counter(&p->b, RS_COUNTER);
	x_end(&p->b);
}

static void in_prefix(struct rs_builder *b, const struct ip_prefix *p, uint32_t reg)
{
	static const uint8_t none[sizeof(p->addr.bytes)] = { 0 };
	struct ip_prefix all = { .addr.family = p->addr.family };
	struct ip_addr ones = ip_prefix_last(&all);
	struct ip_prefix mask = ip_prefix_make(&ones, p->len);
	uint32_t len = (uint32_t)ip_addr_size(&p->addr);

	if (p->len < 8 * len)
		x_bits(b, reg, mask.addr.bytes, none, len);
	x_compare(b, NFT_CMP_EQ, reg, p->addr.bytes, len);
}

/* All other traffic pays for this, twice a packet, and a comparison costs it a fraction of a
 * lookup: the prefix that covers all services tells what is outside it, and the set is asked only
 * where something inside it may be outside, too. */
static void rule_goto_if_prefix(struct path *p, struct rs_chain *c, const struct family *f,
				const char *target)
{
	struct rs_builder *b = &p->b;
	struct ip_prefix cover;
	bool whole;

	if (!service_set_cover(p->m->services, f->nfproto, &cover, &whole))
		return;
	x_begin(b, c);
	nfproto(b, f);
	if (cover.len > 0) {
		x_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->dst, f->len, R(0));
		in_prefix(b, &cover, R(0));
	}
	if (!whole) {
		x_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->dst, f->len, R(0));
		x_lookup(b, set_name(f->prefixes), R(0));
	}
	x_verdict(b, NFT_GOTO, target);
	x_end(b);
}

static struct rs_chain *chain_base(struct path *p, const char *name, uint32_t hook,
				   int32_t priority)
{
	struct rs_chain *c = rs_image_add_chain(p->b.image, name);

	if (c) {
		c->base = true;
		c->hook = hook;
		c->priority = priority;
	}
	return c;
}

static void chain_prerouting(struct path *p)
{
	struct rs_chain *c = chain_base(p, "prerouting", NF_INET_PRE_ROUTING, -151);

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_goto_if_prefix(p, c, &families[i], "steer");
}

static void chain_forward(struct path *p)
{
	struct rs_chain *c = chain_base(p, "forward", NF_INET_FORWARD, -150);

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_goto_if_prefix(p, c, &families[i], families[i].first);
}

/* A pin that leads to no chain is that of a released flow. It goes here: the update in `learn`
 * would keep its mark, and steer the flow back when the nexthop returns. */
static void chain_steer(struct path *p)
{
	struct rs_chain *c = rs_image_add_chain(p->b.image, "steer");

	x_begin(&p->b, c);
	tcp_syn(&p->b);
	x_verdict(&p->b, NFT_GOTO, "syn");
	x_end(&p->b);
	rule_ct_vmap(p, c, RS_MARKS, true);
	rule_priority_clear(p, c);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_find_inner(p, c, &families[i]);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_find(p, c, &families[i]);
	x_begin(&p->b, c);
	x_meta(&p->b, NFT_META_PRIORITY, R(0));
	x_vmap(&p->b, set_name(RS_MARKS), R(0));
	x_end(&p->b);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_delete(p, c, &families[i], true);
	rule_priority_clear(p, c);
	rule_meta_mark(p, c, 0);
}

/* A SYN is a retransmission, and follows its mark where new flows may go, or begins a flow: then
 * nothing of an earlier flow with the same ports may steer it or the ACK behind it. */
static void chain_syn(struct path *p)
{
	struct rs_chain *c = rs_image_add_chain(p->b.image, "syn");

	rule_ct_vmap(p, c, RS_FRESH, false);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_delete(p, c, &families[i], false);
	rule_ct_mark(p, c, 0, false);
	rule_meta_mark(p, c, 0);
}

/* Packets without a conntrack entry (INVALID) fail the first rule and go on: that is how direct
 * server return is learned. */
static void chain_first(struct path *p, const struct family *f)
{
	static const uint32_t none = 0;
	struct rs_chain *c = rs_image_add_chain(p->b.image, f->first);
	struct rs_builder *b = &p->b;
	uint32_t words = f->len / 4;

	x_begin(b, c);
	direction(b, REPLY);
	x_verdict(b, NFT_RETURN, NULL);
	x_end(b);
	x_begin(b, c);
	x_meta(b, NFT_META_MARK, R(0));
	x_bits(b, R(0), &p->m->mark_mask, &none, sizeof(none));
	x_compare(b, NFT_CMP_NEQ, R(0), &none, sizeof(none));
	x_verdict(b, NFT_RETURN, NULL);
	x_end(b);
	/* A flow with a living nexthop comes here without a mark only where somebody emptied
	 * prerouting: it keeps its nexthop until that is mended. */
	rule_ct_vmap(p, c, RS_MARKS, true);
	x_begin(b, c);
	nfproto(b, f);
	x_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->dst, f->len, R(0));
	x_meta(b, NFT_META_L4PROTO, R(words));
	x_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(words + 1));
	x_vmap(b, set_name(f->services), R(0));
	x_end(b);
}

static void rule_connected(struct path *p, struct rs_chain *c, const struct family *f)
{
	struct rs_builder *b = &p->b;

	x_begin(b, c);
	nfproto(b, f);
	x_meta(b, NFT_META_OIF, R(0));
	/* A field of a set with ranges is compared from its first byte on. */
	x_to_network(b, R(0));
	x_payload(b, NFT_PAYLOAD_NETWORK_HEADER, f->dst, f->len, R(1));
	x_lookup(b, set_name(f->connected), R(0));
	x_verdict(b, NFT_RETURN, NULL);
	x_end(b);
}

static void chain_service(struct path *p, const struct service *s)
{
	char name[RS_TARGET];
	struct rs_builder *b = &p->b;
	struct rs_chain *c;

	snprintf(name, sizeof(name), "service_%s", s->name);
	c = rs_image_add_chain(b->image, name);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct family *f = &families[i];

		snprintf(name, sizeof(name), "%s%s", rs_service_shape(f->nexthop_map)->name,
			 s->name);
		x_begin(b, c);
		nfproto(b, f);
		x_meta(b, NFT_META_OIF, R(0));
		x_rt(b, f->nexthop, R(1));
		x_vmap(b, name, R(0));
		x_end(b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_connected(p, c, &families[i]);
	snprintf(name, sizeof(name), "%s%s", rs_service_shape(2)->name, s->name);
	x_begin(b, c);
	x_meta(b, NFT_META_OIF, R(0));
	x_vmap(b, name, R(0));
	x_end(b);
}

static struct rs_chain *chain_binding(struct path *p, const char *prefix,
				      const struct ruleset_binding *binding)
{
	char name[RS_TARGET];
	struct rs_chain *c;

	snprintf(name, sizeof(name), "%s_%u", prefix, binding->id);
	c = rs_image_add_chain(p->b.image, name);
	if (c)
		snprintf(c->comment, sizeof(c->comment), "%s %s",
			 p->m->services->list[binding->service].name, binding->label);
	return c;
}

static void chain_learn(struct path *p, const struct ruleset_binding *binding)
{
	const struct service *s = &p->m->services->list[binding->service];
	struct rs_chain *c = chain_binding(p, "learn", binding);
	uint32_t mark = rs_mark(p->m->mark_mask, binding->id);
	uint32_t first = s->idle_timeout_s < FIRST_TIMEOUT_S ? s->idle_timeout_s : FIRST_TIMEOUT_S;

	rule_counter(p, c);
	rule_meta_mark(p, c, mark);
	rule_ct_mark(p, c, mark, false);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_update(p, c, &families[i], true, mark, s->syn_timeout_s);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_update(p, c, &families[i], false, mark, first);
	rule_lost(p, c);
}

/* Packets of a flow whose sides conntrack has swapped (it saw the server's packet first after a
 * flush) are steered, but the mark is never written there: its direction tests would mean the
 * opposite. ICMP errors come here too and must not become pins. */
static void chain_pin(struct path *p, const struct ruleset_binding *binding)
{
	const struct service *s = &p->m->services->list[binding->service];
	struct rs_chain *c = chain_binding(p, "pin", binding);
	uint32_t mark = rs_mark(p->m->mark_mask, binding->id);

	rule_counter(p, c);
	rule_priority_clear(p, c);
	rule_meta_mark(p, c, mark);
	rule_ct_mark(p, c, mark, true);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		rule_update(p, c, &families[i], false, mark, s->idle_timeout_s);
	rule_lost(p, c);
}

int rs_chains(const struct ruleset_model *m, struct rs_image *image)
{
	struct path p = { .b = { .image = image }, .m = m, .keep = ~m->mark_mask };

	chain_prerouting(&p);
	chain_forward(&p);
	chain_steer(&p);
	chain_syn(&p);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		chain_first(&p, &families[i]);
	for (size_t i = 0; i < m->services->n; i++)
		chain_service(&p, &m->services->list[i]);
	for (size_t i = 0; i < m->n_bindings; i++) {
		chain_learn(&p, &m->bindings[i]);
		chain_pin(&p, &m->bindings[i]);
	}
	return p.b.failed ? -ENOMEM : 0;
}
