// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

/* What the kernel takes as an interface name: 1..15 bytes, no '/', no blanks; "." and ".." are
 * refused too. We also refuse what could not be written back on one line of text, or in JSON. */
static bool ifname_valid(const char *name, size_t len)
{
	if (len == 0 || len > 15 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (size_t i = 0, n; i < len; i += n) {
		unsigned char c = (unsigned char)name[i];

		n = c < 0x80 ? 1 : utf8_sequence(name + i, len - i);
		if (n == 0 || c <= 0x20 || c == 0x7f || c == '/' || c == '%' || c == ':')
			return false;
	}
	return true;
}

int nexthop_spec_parse(const char *text, struct nexthop_spec *ret_spec)
{
	const char *percent = strchr(text, '%');
	size_t n = percent ? (size_t)(percent - text) : strlen(text);
	struct nexthop_spec s = { 0 };
	char addr[IP_ADDR_TEXT];

	if (percent) {
		size_t len = strlen(percent + 1);

		if (!ifname_valid(percent + 1, len))
			return -EINVAL;
		memcpy(s.ifname, percent + 1, len);
	}
	if (n >= sizeof(addr) || (n == 0 && !percent))
		return -EINVAL;
	if (n > 0) {
		memcpy(addr, text, n);
		addr[n] = '\0';
		if (ip_addr_parse(addr, &s.addr) < 0)
			return -EINVAL;
	}
	*ret_spec = s;
	return 0;
}

const char *nexthop_spec_format(const struct nexthop_spec *s, char *buf)
{
	char addr[IP_ADDR_TEXT];

	snprintf(buf, NEXTHOP_TEXT, "%s%s%.15s", ip_addr_format(&s->addr, addr),
		 s->ifname[0] ? "%" : "", s->ifname);
	return buf;
}

bool nexthop_spec_matches(const struct nexthop_spec *s, const struct nexthop_spec *full)
{
	if (s->ifname[0] && strcmp(s->ifname, full->ifname) != 0)
		return false;
	return ip_addr_equal(&s->addr, &full->addr);
}

static void service_clear(struct service *s)
{
	free(s->prefixes);
	free(s->ports);
	free(s->ids);
	*s = (struct service){ 0 };
}

void service_set_clear(struct service_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		service_clear(&s->list[i]);
	free(s->list);
	*s = (struct service_set){ 0 };
}

static bool has_proto(const struct service *s, uint8_t proto)
{
	for (size_t i = 0; i < s->n_protos; i++)
		if (s->protos[i] == proto)
			return true;
	return false;
}

/* The range of the service that holds the port; they are disjoint, so there is at most one. */
static const struct port_range *range_of(const struct service *s, uint16_t port)
{
	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i].first <= port && port <= s->ports[i].last)
			return &s->ports[i];
	return NULL;
}

/* Length of the longest prefix of the service that contains the address, or -1. */
static int longest_prefix(const struct service *s, const struct ip_addr *a)
{
	int best = -1;

	for (size_t i = 0; i < s->n_prefixes; i++)
		if (s->prefixes[i].len > best && ip_prefix_contains_addr(&s->prefixes[i], a))
			best = s->prefixes[i].len;
	return best;
}

int service_set_match(const struct service_set *s, const struct tuple *t)
{
	struct ip_addr dst = tuple_dst(t);
	int best = -1, best_len = -1, best_width = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct port_range *range = range_of(&s->list[i], t->dport);
		int len, width;

		if (!range || !has_proto(&s->list[i], t->proto))
			continue;
		len = longest_prefix(&s->list[i], &dst);
		width = range->last - range->first;
		if (len > best_len || (len >= 0 && len == best_len && width < best_width)) {
			best = (int)i;
			best_len = len;
			best_width = width;
		}
	}
	return best;
}

/* One prefix of one service. */
struct claim {
	const struct ip_prefix *prefix;
	const struct service *service;
};

static int claim_compare(const void *pa, const void *pb)
{
	const struct claim *a = pa, *b = pb;
	int r = ip_addr_compare(&a->prefix->addr, &b->prefix->addr);

	if (r != 0)
		return r;
	if (a->prefix->len != b->prefix->len)
		return a->prefix->len - b->prefix->len;
	return (a->service > b->service) - (a->service < b->service);
}

static bool properly_inside(const struct port_range *inner, const struct port_range *outer)
{
	return outer->first <= inner->first && inner->last <= outer->last &&
	       (outer->first != inner->first || outer->last != inner->last);
}

/* The first pair of ranges that overlap without being nested. */
static bool ranges_clash(const struct service *a, const struct service *b,
			 struct port_range *ret_shared)
{
	for (size_t i = 0; i < a->n_ports; i++) {
		for (size_t j = 0; j < b->n_ports; j++) {
			const struct port_range *x = &a->ports[i], *y = &b->ports[j];

			if (x->last < y->first || y->last < x->first)
				continue;
			if (properly_inside(x, y) || properly_inside(y, x))
				continue;
			ret_shared->first = x->first > y->first ? x->first : y->first;
			ret_shared->last = x->last < y->last ? x->last : y->last;
			return true;
		}
	}
	return false;
}

static uint8_t common_proto(const struct service *a, const struct service *b)
{
	for (size_t i = 0; i < a->n_protos; i++)
		if (has_proto(b, a->protos[i]))
			return a->protos[i];
	return 0;
}

static int check_pair(const struct claim *a, const struct claim *b, struct err *e)
{
	char prefix[IP_PREFIX_TEXT], ports[48];
	struct port_range shared;
	const char *proto;
	uint8_t p;

	if (a->service == b->service)
		return 0;
	p = common_proto(a->service, b->service);
	if (p == 0 || !ranges_clash(a->service, b->service, &shared))
		return 0;
	proto = proto_name(p);
	if (shared.first == 0 && shared.last == UINT16_MAX)
		snprintf(ports, sizeof(ports), "all ports");
	else if (shared.first == shared.last)
		snprintf(ports, sizeof(ports), "port %u", shared.first);
	else
		snprintf(ports, sizeof(ports), "ports %u-%u", shared.first, shared.last);
	return err_set(e, -EEXIST,
		       "services '%s' and '%s' both claim %s, %s, %s, and neither is more specific",
		       a->service->name, b->service->name, ip_prefix_format(a->prefix, prefix),
		       proto ? proto : "the same protocol", ports);
}

int service_set_check(const struct service_set *s, struct err *e)
{
	_cleanup_(freep) struct claim *claims = NULL;
	size_t n = 0, total = 0;
	int r;

	for (size_t i = 0; i < s->n; i++)
		total += s->list[i].n_prefixes;
	claims = calloc(total ? total : 1, sizeof(*claims));
	if (!claims)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < s->n; i++)
		for (size_t j = 0; j < s->list[i].n_prefixes; j++)
			claims[n++] = (struct claim){ &s->list[i].prefixes[j], &s->list[i] };
	qsort(claims, n, sizeof(*claims), claim_compare);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n && ip_prefix_equal(claims[i].prefix, claims[j].prefix);
		     j++) {
			r = check_pair(&claims[i], &claims[j], e);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Shortens the cover, which may have no family yet, until the prefix lies in it. */
static void cover_add(struct ip_prefix *cover, const struct ip_prefix *p)
{
	if (cover->addr.family == 0)
		*cover = *p;
	while (!ip_prefix_contains(cover, p))
		*cover = ip_prefix_make(&cover->addr, (uint8_t)(cover->len - 1));
}

bool service_set_cover(const struct service_set *s, uint8_t family, struct ip_prefix *ret_cover,
		       bool *ret_whole)
{
	struct ip_prefix cover = { 0 };
	uint8_t widest = ip_family_bits(family);

	for (size_t i = 0; i < s->n; i++) {
		for (size_t k = 0; k < s->list[i].n_prefixes; k++) {
			const struct ip_prefix *p = &s->list[i].prefixes[k];

			if (p->addr.family != family)
				continue;
			cover_add(&cover, p);
			if (p->len < widest)
				widest = p->len;
		}
	}
	if (cover.addr.family == 0)
		return false;
	*ret_cover = cover;
	*ret_whole = cover.len == widest;
	return true;
}
