// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/filter.h"

#include <errno.h>
#include <string.h>
#include "base/addr.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "core/service.h"

#define WORDS_MAX  40
#define WORDS_SIZE 2048 /* of all words together */

static int put_prefix(struct json_object *o, const char *key, const char *text)
{
	char buf[IP_PREFIX_TEXT];
	struct ip_prefix p;

	if (ip_prefix_parse(text, &p) < 0)
		return -EINVAL;
	if (p.len == ip_family_bits(p.addr.family))
		js_add_text(o, key, ip_addr_format(&p.addr, buf));
	else
		js_add_text(o, key, ip_prefix_format(&p, buf));
	return 0;
}

static int put_number(struct json_object *o, const char *key, const char *text)
{
	uint32_t n;

	if (parse_u32(text, 0, 65535, &n) < 0)
		return -EINVAL;
	json_object_object_add(o, key, json_object_new_int((int32_t)n));
	return 0;
}

static int put_proto(struct json_object *o, const char *key, const char *text)
{
	if (proto_parse(text) == 0)
		return -EINVAL;
	js_add_text(o, key, text);
	return 0;
}

static int put_nexthop(struct json_object *o, const char *key, const char *text)
{
	char buf[NEXTHOP_TEXT];
	struct nexthop_spec spec;

	if (nexthop_spec_parse(text, &spec) < 0)
		return -EINVAL;
	js_add_text(o, key, nexthop_spec_format(&spec, buf));
	return 0;
}

/* One of a fixed set of words. */
static int put_one_of(struct json_object *o, const char *key, const char *text,
		      const char *const *set)
{
	for (; *set; set++) {
		if (strcmp(*set, text) != 0)
			continue;
		js_add_text(o, key, text);
		return 0;
	}
	return -EINVAL;
}

static int put_state(struct json_object *o, const char *key, const char *text)
{
	static const char *const states[] = { "active", "draining", "dead", "unreachable", NULL };

	return put_one_of(o, key, text, states);
}

static int put_witness(struct json_object *o, const char *key, const char *text)
{
	static const char *const witnesses[] = { "conntrack", "pin", NULL };

	return put_one_of(o, key, text, witnesses);
}

static int put_text(struct json_object *o, const char *key, const char *text)
{
	if (!*text)
		return -EINVAL;
	js_add_text(o, key, text);
	return 0;
}

static const struct word {
	const char *name, *key;
	int (*put)(struct json_object *o, const char *key, const char *text);
	const char *is; /* what its value is */
} words[] = {
	{ "src", "src", put_prefix, "an address or a prefix" },
	{ "dst", "dst", put_prefix, "an address or a prefix" },
	{ "sport", "sport", put_number, "a port" },
	{ "dport", "dport", put_number, "a port" },
	{ "proto", "protocol", put_proto, "tcp, udp or sctp" },
	{ "protocol", "protocol", put_proto, "tcp, udp or sctp" },
	{ "service", "service", put_text, "a service's name" },
	{ "nexthop", "nexthop", put_nexthop,
	  "a nexthop (ADDRESS, ADDRESS%INTERFACE or %INTERFACE)" },
	{ "state", "state", put_state, "active, draining, dead or unreachable" },
	{ "zone", "zone", put_number, "a conntrack zone" },
	{ "witness", "witness", put_witness, "conntrack or pin" },
};

const char *filter_help(void)
{
	return "FILTER is any of these words, each with its value; a flow must match them all:\n"
	       "  src ADDR[/LEN]  dst ADDR[/LEN]  sport PORT  dport PORT  proto tcp|udp|sctp  zone "
	       "N\n"
	       "  service NAME  nexthop ADDR[%IF]|%IF  state active|draining|dead|unreachable\n"
	       "  witness conntrack|pin (what proves that it lives)\n"
	       "or a flow as it is printed: tcp 12.12.12.1:30001 1.1.1.1:80, udp [2001:db8::2]:53 "
	       "...\n";
}

/* "1.1.1.1:80" or "[2001:db8::1]:80". */
static int put_endpoint(struct json_object *o, const char *addr_key, const char *port_key,
			const char *text)
{
	const char *colon = strrchr(text, ':');
	char addr[IP_ADDR_TEXT + 2];
	struct ip_addr a;
	size_t len;

	len = colon ? (size_t)(colon - text) : sizeof(addr);
	if (len >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, len);
	addr[len] = '\0';
	if (len > 2 && addr[0] == '[' && addr[len - 1] == ']') {
		addr[len - 1] = '\0';
		memmove(addr, addr + 1, len - 1);
		if (!strchr(addr, ':'))
			return -EINVAL;
	} else if (strchr(addr, ':')) {
		return -EINVAL;
	}
	if (ip_addr_parse(addr, &a) < 0)
		return -EINVAL;
	js_add_text(o, addr_key, ip_addr_format(&a, addr));
	return put_number(o, port_key, colon + 1);
}

/* The words of a flow as it is printed, if they begin with one. Returns how many it took. */
static int flow_parse(struct json_object *o, const char *const *w, int n, struct err *e)
{
	static const char *const keys[][2] = { { "src", "sport" }, { "dst", "dport" } };

	if (n == 0 || proto_parse(w[0]) == 0)
		return 0;
	js_add_text(o, "protocol", w[0]);
	for (int i = 0; i < 2; i++) {
		if (n < i + 2)
			return err_set(e, -EINVAL,
				       "a flow is written as %s ADDRESS:PORT ADDRESS:PORT", w[0]);
		if (put_endpoint(o, keys[i][0], keys[i][1], w[i + 1]) < 0)
			return err_set(e, -EINVAL,
				       "\"%s\" is no ADDRESS:PORT ([ADDRESS]:PORT for IPv6)",
				       w[i + 1]);
	}
	return 3;
}

static int word_parse(struct json_object *o, const char *name, const char *value, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct word *w = &words[i];

		if (strcmp(w->name, name) != 0)
			continue;
		if (!value)
			return err_set(e, -EINVAL, "\"%s\" must be followed by %s", name, w->is);
		if (js_has(o, w->key))
			return err_set(e, -EINVAL, "\"%s\" is given twice", name);
		if (w->put(o, w->key, value) < 0)
			return err_set(e, -EINVAL, "\"%s\" is not %s", value, w->is);
		return 0;
	}
	return err_set(e, -EINVAL,
		       "\"%s\" is no word of a filter (src dst sport dport proto service nexthop "
		       "state zone witness)",
		       name);
}

/* Splits the arguments at blanks, into `words_` which point into `buf`. Returns how many there are.
 */
static int split(int argc, char **argv, char *buf, const char **ret_words, struct err *e)
{
	size_t used = 0;
	int n = 0;

	for (int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]) + 1;
		char *save = NULL;

		if (len > WORDS_SIZE - used)
			return err_set(e, -EINVAL, "the filter is too long");
		memcpy(buf + used, argv[i], len);
		for (char *w = strtok_r(buf + used, " \t", &save); w;
		     w = strtok_r(NULL, " \t", &save)) {
			if (strcmp(w, "->") == 0)
				continue;
			if (n == WORDS_MAX)
				return err_set(e, -EINVAL, "the filter has too many words");
			ret_words[n++] = w;
		}
		used += len;
	}
	return n;
}

int filter_parse(int argc, char **argv, struct json_object **ret_filter, struct err *e)
{
	_cleanup_(js_putp) struct json_object *o = json_object_new_object();
	const char *w[WORDS_MAX];
	char buf[WORDS_SIZE];
	int n, r, i;

	if (!o)
		return err_set(e, -ENOMEM, "out of memory");
	n = split(argc, argv, buf, w, e);
	if (n < 0)
		return n;
	i = flow_parse(o, w, n, e);
	if (i < 0)
		return i;
	for (; i < n; i += 2) {
		r = word_parse(o, w[i], i + 1 < n ? w[i + 1] : NULL, e);
		if (r < 0)
			return r;
	}
	*ret_filter = TAKE_PTR(o);
	return 0;
}
