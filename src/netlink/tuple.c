// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/tuple.h"

#include <string.h>

static const struct {
	uint8_t proto;
	const char *name;
} protos[] = { { IPPROTO_TCP, "tcp" }, { IPPROTO_UDP, "udp" }, { IPPROTO_SCTP, "sctp" } };

const char *proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (protos[i].proto == proto)
			return protos[i].name;
	return NULL;
}

uint8_t proto_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (strcmp(protos[i].name, name) == 0)
			return protos[i].proto;
	return 0;
}

static struct ip_addr addr_of(uint8_t family, const uint8_t bytes[16])
{
	struct ip_addr a = { .family = family };

	memcpy(a.bytes, bytes, sizeof(a.bytes));
	return a;
}

struct ip_addr tuple_src(const struct tuple *t)
{
	return addr_of(t->family, t->src);
}

struct ip_addr tuple_dst(const struct tuple *t)
{
	return addr_of(t->family, t->dst);
}

const char *tuple_format(const struct tuple *t, char *buf)
{
	char src[IP_ADDR_TEXT], dst[IP_ADDR_TEXT], zone[16] = "", number[8];
	const char *name = proto_name(t->proto);
	struct ip_addr s = tuple_src(t), d = tuple_dst(t);
	bool v6 = t->family == AF_INET6;
	const char *left = v6 ? "[" : "", *right = v6 ? "]" : "";

	snprintf(number, sizeof(number), "%u", t->proto);
	if (t->zone)
		snprintf(zone, sizeof(zone), " zone %u", t->zone);
	snprintf(buf, TUPLE_TEXT, "%s %s%s%s:%u -> %s%s%s:%u%s", name ? name : number, left,
		 ip_addr_format(&s, src), right, t->sport, left, ip_addr_format(&d, dst), right,
		 t->dport, zone);
	return buf;
}
