// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/vec.h"
#include "pin/ruleset_internal.h"

/* From the model to the sets, their elements and the chains that should stand. */

static struct rs_set *add_set(struct rs_image *im, const struct rs_shape *shape, const char *suffix,
			      uint32_t size)
{
	char name[RS_NAME];
	struct rs_set *s;

	snprintf(name, sizeof(name), "%s%s", shape->name, suffix);
	s = rs_image_add_set(im, name);
	if (!s)
		return NULL;
	s->kind = shape->kind;
	s->data = shape->data;
	s->key_type = shape->key_type;
	s->key_len = shape->key_len;
	memcpy(s->fields, shape->fields, sizeof(s->fields));
	s->n_fields = shape->n_fields;
	s->byteorder = shape->byteorder;
	s->flags = rs_shape_flags(shape->kind, shape->data);
	s->size = shape->kind == RS_PINS ? size : 0;
	return s;
}

static int add_sets(const struct ruleset_model *m, struct rs_image *im)
{
	for (unsigned i = 0; i < RS_FIXED_SETS; i++)
		if (!add_set(im, rs_fixed_shape((enum rs_fixed_set)i), "", m->max_pins))
			return -ENOMEM;
	for (size_t i = 0; i < m->services->n; i++)
		for (unsigned k = 0; k < RS_SERVICE_SETS; k++)
			if (!add_set(im, rs_service_shape(k), m->services->list[i].name, 0))
				return -ENOMEM;
	return 0;
}

/* Fixed sets are added first and in order; nothing is sorted yet. */
static struct rs_set *fixed(const struct rs_image *im, enum rs_fixed_set which)
{
	return &im->sets[which];
}

static struct rs_set *of_service(const struct rs_image *im, uint16_t service, unsigned which)
{
	return &im->sets[RS_FIXED_SETS + service * RS_SERVICE_SETS + which];
}

static int add_bytes(struct rs_set *s, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rs_element x = { .key = { bytes[i] } };
		int r = rs_set_add(s, &x);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_constants(struct rs_image *im)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	static const uint8_t icmp4[] = {
		3, 11, 12
	}; /* unreachable, time exceeded, parameter problem: RFC 792 */
	static const uint8_t icmp6[] = { 1, 2, 3, 4 }; /* the same and packet too big: RFC 4443 */
	int r = add_bytes(fixed(im, RS_PINNABLE), protos, sizeof(protos));

	if (r == 0)
		r = add_bytes(fixed(im, RS_ICMP4_ERROR), icmp4, sizeof(icmp4));
	return r < 0 ? r : add_bytes(fixed(im, RS_ICMP6_ERROR), icmp6, sizeof(icmp6));
}

/* By family and first address, the wider one first. */
static int compare_prefixes(const void *a, const void *b)
{
	const struct ip_prefix *x = a, *y = b;
	int r = ip_addr_compare(&x->addr, &y->addr);

	return r ? r : (int)x->len - (int)y->len;
}

/* Disjoint intervals that do not touch: the kernel's interval set takes no overlap, and nft prints
 * what is adjacent as one. */
static int add_intervals(struct rs_image *im, const struct ip_prefix *list, size_t n)
{
	for (size_t i = 0; i < n;) {
		struct rs_set *s =
			fixed(im, list[i].addr.family == AF_INET ? RS_PREFIX4 : RS_PREFIX6);
		struct rs_element x = { 0 };
		struct ip_addr behind = ip_prefix_last(&list[i]);
		size_t k = i + 1;
		int r;

		x.open = !ip_addr_increment(&behind);
		while (k < n && list[k].addr.family == list[i].addr.family &&
		       (x.open || ip_addr_compare(&list[k].addr, &behind) <= 0)) {
			struct ip_addr end = ip_prefix_last(&list[k++]);

			if (!ip_addr_increment(&end))
				x.open = true;
			else if (ip_addr_compare(&end, &behind) > 0)
				behind = end;
		}
		memcpy(x.key, list[i].addr.bytes, sizeof(list[i].addr.bytes));
		if (!x.open)
			memcpy(x.end, behind.bytes, sizeof(behind.bytes));
		r = rs_set_add(s, &x);
		if (r < 0)
			return r;
		i = k;
	}
	return 0;
}

static int add_prefixes(const struct ruleset_model *m, struct rs_image *im)
{
	_cleanup_(freep) struct ip_prefix *list = NULL;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < m->services->n; i++) {
		const struct service *s = &m->services->list[i];

		for (size_t k = 0; k < s->n_prefixes; k++) {
			struct ip_prefix *p = vec_reserve(list, n, &cap, sizeof(*p));

			if (!p)
				return -ENOMEM;
			list = p;
			list[n++] = s->prefixes[k];
		}
	}
	if (n)
		qsort(list, n, sizeof(*list), compare_prefixes);
	return add_intervals(im, list, n);
}

/* address . protocol . port, each field padded to 32 bits. */
static void cell_key(uint8_t *key, const struct ip_addr *a, uint8_t proto, uint16_t port)
{
	size_t len = ip_addr_size(a);

	memcpy(key, a->bytes, len);
	key[len] = proto;
	key[len + 4] = (uint8_t)(port >> 8);
	key[len + 5] = (uint8_t)port;
}

static int add_cells(const struct ruleset_model *m, struct rs_image *im, struct err *e)
{
	_cleanup_(freep) struct service_cell *cells = NULL;
	size_t n;
	int r = service_set_compile(m->services, &cells, &n);

	if (r < 0)
		return err_set(e, r, "the services cannot be made into one map: %s", strerror(-r));
	for (size_t i = 0; i < n; i++) {
		const struct service_cell *cell = &cells[i];
		struct rs_element x = { 0 };

		cell_key(x.key, &cell->first, cell->proto, cell->ports.first);
		cell_key(x.end, &cell->last, cell->proto, cell->ports.last);
		snprintf(x.target, sizeof(x.target), "service_%s",
			 m->services->list[cell->service].name);
		r = rs_set_add(fixed(im, cell->first.family == AF_INET ? RS_SERVICE4 : RS_SERVICE6),
			       &x);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_binding(const struct ruleset_model *m, const struct ruleset_binding *b,
		       struct rs_image *im)
{
	uint32_t mark = rs_mark(m->mark_mask, b->id);
	struct rs_element learn = { 0 }, steer = { 0 };
	int r = 0;

	snprintf(learn.target, sizeof(learn.target), "learn_%u", b->id);
	snprintf(steer.target, sizeof(steer.target), "pin_%u", b->id);
	memcpy(learn.key, &mark, sizeof(mark));
	memcpy(steer.key, &mark, sizeof(mark));
	if (b->carry)
		r = rs_set_add(fixed(im, RS_MARKS), &steer);
	/* `fresh` leads to learn_: a retransmitted SYN must get the short timeout of a SYN. */
	if (r == 0 && b->fresh)
		r = rs_set_add(fixed(im, RS_FRESH), &learn);
	memcpy(learn.key, &b->ifindex, sizeof(b->ifindex));
	if (r == 0 && b->learn_by_link)
		r = rs_set_add(of_service(im, b->service, 2), &learn);
	if (r == 0 && b->learn_by_nexthop) {
		memcpy(learn.key + 4, b->gateway.bytes, ip_addr_size(&b->gateway));
		r = rs_set_add(of_service(im, b->service, b->gateway.family == AF_INET ? 0 : 1),
			       &learn);
	}
	return r;
}

static int compare_connected(const void *a, const void *b)
{
	const struct ruleset_connected *x = a, *y = b;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return compare_prefixes(&x->prefix, &y->prefix);
}

static int add_connected(const struct ruleset_model *m, struct rs_image *im)
{
	_cleanup_(freep) struct ruleset_connected *list = calloc(m->n_connected + 1, sizeof(*list));
	const struct ruleset_connected *last = NULL;

	if (!list)
		return -ENOMEM;
	if (m->n_connected) {
		memcpy(list, m->connected, m->n_connected * sizeof(*list));
		qsort(list, m->n_connected, sizeof(*list), compare_connected);
	}
	for (size_t i = 0; i < m->n_connected; i++) {
		const struct ruleset_connected *c = &list[i];
		struct ip_addr end = ip_prefix_last(&c->prefix);
		uint32_t ifindex = htonl(c->ifindex);
		size_t len = ip_addr_size(&end);
		struct rs_element x = { 0 };
		int r;

		/* Inside the one before: the kernel takes no overlap. */
		if (last && last->ifindex == c->ifindex &&
		    ip_prefix_contains(&last->prefix, &c->prefix))
			continue;
		last = c;
		memcpy(x.key, &ifindex, sizeof(ifindex));
		memcpy(x.end, &ifindex, sizeof(ifindex));
		memcpy(x.key + 4, c->prefix.addr.bytes, len);
		memcpy(x.end + 4, end.bytes, len);
		r = rs_set_add(fixed(im, c->prefix.addr.family == AF_INET ? RS_CONNECTED4
									  : RS_CONNECTED6),
			       &x);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Two bindings that one key would lead to cannot be told apart: neither is learned by it. (The
 * caller says so to the operator.) */
static void drop_ambiguous(struct rs_set *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n;) {
		size_t k = i + 1;

		while (k < s->n && rs_element_compare(&s->elements[i], &s->elements[k]) == 0)
			k++;
		if (k == i + 1)
			s->elements[kept++] = s->elements[i];
		i = k;
	}
	s->n = kept;
}

static int build(const struct ruleset_model *m, struct rs_image *im, struct err *e)
{
	int r = add_sets(m, im);

	if (r == 0)
		r = add_constants(im);
	if (r == 0)
		r = add_prefixes(m, im);
	if (r == 0)
		r = add_cells(m, im, e);
	for (size_t i = 0; r == 0 && i < m->n_bindings; i++)
		r = add_binding(m, &m->bindings[i], im);
	if (r == 0)
		r = add_connected(m, im);
	if (r == 0)
		r = rs_chains(m, im);
	return r;
}

int rs_desired(const struct ruleset_model *m, struct rs_image *ret_image, struct err *e)
{
	struct rs_image im = {
		.present = true,
		.has_counter = true,
		.layout = RS_LAYOUT,
		.mark_mask = m->mark_mask,
		.table_base = m->table_base,
		.rule_priority = m->rule_priority,
	};
	struct err failure = { 0 };
	int r;

	if (m->mark_mask == 0)
		return err_set(e, -EINVAL, "the mark mask is empty");
	r = build(m, &im, &failure);
	if (r < 0) {
		rs_image_clear(&im);
		return err_set(e, r, "%s", failure.code ? failure.text : strerror(-r));
	}
	rs_image_sort(&im);
	for (size_t i = 0; i < im.n_sets; i++)
		if (im.sets[i].data == RS_VERDICT)
			drop_ambiguous(&im.sets[i]);
	*ret_image = im;
	return 0;
}
