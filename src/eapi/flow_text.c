// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/flow_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include "base/parse.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/* Addresses and ports, as they go into the name of an IPv6 flow. */
#define PACKED	    36
#define PACKED_TEXT (PACKED / 3 * 4)

static void pack(const struct tuple *t, uint8_t *p)
{
	memcpy(p, t->src, 16);
	memcpy(p + 16, t->dst, 16);
	p[32] = (uint8_t)(t->sport >> 8);
	p[33] = (uint8_t)t->sport;
	p[34] = (uint8_t)(t->dport >> 8);
	p[35] = (uint8_t)t->dport;
}

static void unpack(const uint8_t *p, struct tuple *t)
{
	memcpy(t->src, p, 16);
	memcpy(t->dst, p + 16, 16);
	t->sport = (uint16_t)(p[32] << 8 | p[33]);
	t->dport = (uint16_t)(p[34] << 8 | p[35]);
}

static const struct {
	char letter;
	uint8_t proto;
} letters[] = { { 'T', IPPROTO_TCP }, { 'U', IPPROTO_UDP }, { 'S', IPPROTO_SCTP } };

static void format6(const char *prefix, const struct tuple *t, char *buf)
{
	uint8_t bytes[PACKED];
	char *p = buf + snprintf(buf, FLOW_NAME - PACKED_TEXT - 1, "%.15s", prefix);

	*p = 'X';
	for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
		if (letters[i].proto == t->proto)
			*p = letters[i].letter;
	p++;
	pack(t, bytes);
	for (size_t i = 0; i < PACKED; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

		for (int k = 18; k >= 0; k -= 6)
			*p++ = digits[v >> k & 63];
	}
	*p = '\0';
}

const char *flow_name_format(const char *prefix, const struct tuple *t, char *buf)
{
	const uint8_t *s = t->src, *d = t->dst;
	const char *proto = proto_name(t->proto);

	if (t->family == AF_INET6)
		format6(prefix, t, buf);
	else
		snprintf(buf, FLOW_NAME, "%.15s%.4s-%u_%u_%u_%u-%u-%u_%u_%u_%u-%u", prefix,
			 proto ? proto : "x", s[0], s[1], s[2], s[3], t->sport, d[0], d[1], d[2],
			 d[3], t->dport);
	return buf;
}

static int parse6(const char *rest, struct tuple *t)
{
	uint8_t bytes[PACKED];

	for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
		if (letters[i].letter == rest[0])
			t->proto = letters[i].proto;
	if (t->proto == 0 || strlen(rest) != PACKED_TEXT + 1)
		return -EINVAL;
	for (size_t i = 0; i < PACKED; i += 3) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			const char *at = strchr(digits, rest[1 + i / 3 * 4 + k]);

			if (!at)
				return -EINVAL;
			v = v << 6 | (uint32_t)(at - digits);
		}
		bytes[i] = (uint8_t)(v >> 16);
		bytes[i + 1] = (uint8_t)(v >> 8);
		bytes[i + 2] = (uint8_t)v;
	}
	t->family = AF_INET6;
	unpack(bytes, t);
	return 0;
}

static int parse_addr4(const char *word, uint8_t *ret_bytes)
{
	char text[IP_ADDR_TEXT];
	struct ip_addr a;

	snprintf(text, sizeof(text), "%s", word);
	for (char *p = text; *p; p++)
		if (*p == '_')
			*p = '.';
	if (ip_addr_parse(text, &a) < 0 || a.family != AF_INET)
		return -EINVAL;
	memcpy(ret_bytes, a.bytes, 4);
	return 0;
}

static int parse4(const char *rest, struct tuple *t)
{
	char word[5][17] = { "" };
	uint32_t sport, dport;

	for (size_t i = 0; i < 5; i++) {
		size_t n = strcspn(rest, "-");

		if (n == 0 || n >= sizeof(word[0]) || (i < 4) != (rest[n] == '-'))
			return -EINVAL;
		memcpy(word[i], rest, n);
		rest += n + (rest[n] == '-');
	}
	t->proto = proto_parse(word[0]);
	if (t->proto == 0 || parse_addr4(word[1], t->src) < 0 || parse_addr4(word[3], t->dst) < 0 ||
	    parse_u32(word[2], 0, UINT16_MAX, &sport) < 0 ||
	    parse_u32(word[4], 0, UINT16_MAX, &dport) < 0)
		return -EINVAL;
	t->family = AF_INET;
	t->sport = (uint16_t)sport;
	t->dport = (uint16_t)dport;
	return 0;
}

int flow_name_parse(const char *prefix, const char *name, struct tuple *ret_tuple)
{
	size_t n = strlen(prefix);
	struct tuple t = { 0 };
	char again[FLOW_NAME];

	if (n == 0 || strncmp(name, prefix, n) != 0)
		return -ENOENT;
	if (strlen(name) >= FLOW_NAME ||
	    (parse4(name + n, &t) < 0 && (memset(&t, 0, sizeof(t)), parse6(name + n, &t)) < 0))
		return -EINVAL;
	/* One tuple has one name: what reads the same but is written in another way is not ours. */
	if (strcmp(flow_name_format(prefix, &t, again), name) != 0)
		return -EINVAL;
	*ret_tuple = t;
	return 0;
}

enum switch_action flow_text_action(const struct switch_config *s, uint8_t family)
{
	return family == AF_INET6 ? s->action6 : s->action4;
}

void flow_text_begin(const struct switch_config *s, struct commands *c)
{
	commands_add(c, "enable");
	commands_add(c, s->configure_command);
	commands_add(c, "directflow");
	if (s->no_shutdown)
		commands_add(c, "no shutdown");
}

static void add_line(struct commands *c, const char *before, const char *value)
{
	char line[160];

	snprintf(line, sizeof(line), "%s%s", before, value);
	commands_add(c, line);
}

static void add_number(struct commands *c, const char *before, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	add_line(c, before, text);
}

void flow_text_delete(const char *name, struct commands *c)
{
	add_line(c, "no flow ", name);
}

static void add_matches(const struct switch_config *s, const struct tuple *t, struct commands *c)
{
	struct ip_addr src = tuple_src(t), dst = tuple_dst(t);
	bool v6 = t->family == AF_INET6;
	const char *proto = proto_name(t->proto);
	char addr[IP_ADDR_TEXT];

	/* The keyword for IPv6 is not known to exist; its number is. */
	add_line(c, "match ethertype ", v6 ? "34525" : "ip");
	add_line(c, v6 ? "match source ipv6 " : "match source ip ", ip_addr_format(&src, addr));
	add_line(c, v6 ? "match destination ipv6 " : "match destination ip ",
		 ip_addr_format(&dst, addr));
	if (proto && t->proto != IPPROTO_SCTP)
		add_line(c, "match ip protocol ", proto);
	else
		add_number(c, "match ip protocol ", t->proto);
	add_number(c, "match source port ", t->sport);
	add_number(c, "match destination port ", t->dport);
	if (s->match_ingress)
		add_line(c, "match input interface ", s->ingress_interface);
}

static int add_action(const struct switch_config *s, uint8_t family,
		      const struct flow_target *target, struct commands *c)
{
	enum switch_action action = flow_text_action(s, family);
	const struct switch_lines *lines =
		action == SWITCH_ACTION_L2 ? &s->l2_lines : &s->nexthop_lines;
	char nexthop[IP_ADDR_TEXT], vlan[8];
	const struct command_word words[] = {
		{ "nexthop", ip_addr_format(&target->nexthop, nexthop) },
		{ "interface", target->interface[0] ? target->interface : NULL },
		{ "mac", target->mac[0] ? target->mac : NULL },
		{ "vlan", target->vlan ? vlan : NULL },
	};

	snprintf(vlan, sizeof(vlan), "%u", target->vlan);
	if (action == SWITCH_ACTION_REFUSE)
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < lines->n; i++)
		if (!commands_add_template(c, lines->line[i], words, ARRAY_SIZE(words)) &&
		    !strstr(lines->line[i], "{vlan}"))
			return -EHOSTUNREACH;
	return 0;
}

int flow_text_add(const struct switch_config *s, const char *name, const struct tuple *t,
		  const struct flow_target *target, bool delete_first, struct commands *c)
{
	size_t n = c->n, len = c->text.len;
	int r;

	if (delete_first)
		flow_text_delete(name, c);
	add_line(c, "flow ", name);
	add_matches(s, t, c);
	add_number(c, "priority ", s->priority);
	commands_add(c, "no persistent");
	if (s->expiry == SWITCH_EXPIRY_SWITCH && target->idle_timeout_s > 0)
		add_number(c, "timeout idle ", target->idle_timeout_s);
	r = add_action(s, t->family, target, c);
	if (r < 0) {
		c->n = n;
		c->text.len = len;
		return r;
	}
	return c->failed ? -ENOMEM : 0;
}
