// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include "base/parse.h"

size_t ip_addr_size(const struct ip_addr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

uint8_t ip_family_bits(uint8_t family)
{
	return family == AF_INET ? 32 : 128;
}

int ip_addr_parse(const char *text, struct ip_addr *ret_addr)
{
	struct ip_addr a = { 0 };

	a.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, text, a.bytes) != 1)
		return -EINVAL;
	*ret_addr = a;
	return 0;
}

int ip_prefix_parse(const char *text, struct ip_prefix *ret_prefix)
{
	char addr[IP_ADDR_TEXT];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct ip_prefix p = { 0 };
	uint32_t len;
	int r;

	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, n);
	addr[n] = '\0';
	r = ip_addr_parse(addr, &p.addr);
	if (r < 0)
		return r;
	len = ip_family_bits(p.addr.family);
	if (slash) {
		uint32_t max = len;

		/* A length is written in one way only: no sign, no base, no zero in front. */
		if (slash[1] == '0' && slash[2] != '\0')
			return -EINVAL;
		r = parse_u32(slash + 1, 0, max, &len);
		if (r < 0)
			return -EINVAL;
	}
	p.len = (uint8_t)len;
	struct ip_prefix clean = ip_prefix_make(&p.addr, p.len);
	if (!ip_prefix_equal(&clean, &p))
		return -EADDRNOTAVAIL;
	*ret_prefix = p;
	return 0;
}

const char *ip_addr_format(const struct ip_addr *a, char *buf)
{
	if (a->family == 0 || !inet_ntop(a->family, a->bytes, buf, IP_ADDR_TEXT))
		buf[0] = '\0';
	return buf;
}

const char *ip_prefix_format(const struct ip_prefix *p, char *buf)
{
	char addr[IP_ADDR_TEXT];

	snprintf(buf, IP_PREFIX_TEXT, "%s/%u", ip_addr_format(&p->addr, addr), p->len);
	return buf;
}

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return ip_addr_compare(a, b) == 0;
}

bool ip_addr_is_linklocal(const struct ip_addr *a)
{
	return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && ip_addr_equal(&a->addr, &b->addr);
}

bool ip_prefix_contains_addr(const struct ip_prefix *p, const struct ip_addr *a)
{
	unsigned whole = p->len / 8u, rest = p->len % 8u;

	if (p->addr.family != a->family || memcmp(p->addr.bytes, a->bytes, whole) != 0)
		return false;
	return rest == 0 || ((p->addr.bytes[whole] ^ a->bytes[whole]) >> (8 - rest)) == 0;
}

bool ip_prefix_contains(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
	return outer->len <= inner->len && ip_prefix_contains_addr(outer, &inner->addr);
}

struct ip_prefix ip_prefix_make(const struct ip_addr *a, uint8_t len)
{
	struct ip_prefix p = { .addr = *a, .len = len };
	unsigned size = (unsigned)ip_addr_size(a);

	for (unsigned i = 0; i < size; i++) {
		unsigned kept = len > 8 * i ? len - 8 * i : 0;

		if (kept < 8)
			p.addr.bytes[i] &= (uint8_t)(0xff00u >> kept);
	}
	return p;
}

struct ip_addr ip_prefix_last(const struct ip_prefix *p)
{
	struct ip_addr a = p->addr;
	unsigned size = (unsigned)ip_addr_size(&a);

	for (unsigned i = 0; i < size; i++) {
		unsigned kept = p->len > 8 * i ? p->len - 8 * i : 0;

		if (kept < 8)
			a.bytes[i] |= (uint8_t)(0xffu >> kept);
	}
	return a;
}

bool ip_addr_increment(struct ip_addr *a)
{
	for (size_t i = ip_addr_size(a); i-- > 0;)
		if (++a->bytes[i] != 0)
			return true;
	return false;
}

int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}
