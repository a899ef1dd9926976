// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/peer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include "base/strbuf.h"
#include "cli/cli.h"
#include "core/service.h"

#define SENTENCE 512

struct comparison {
	const struct peer_state *side[2]; /* here, there */
	void (*fn)(const char *subject, const char *text, void *arg);
	void *arg;
	size_t differences;
};

static const char *const place[] = { "here", "there" };

static void differ(struct comparison *c, const char *subject, const char *fmt, ...) _printf_(3, 4);
static void differ(struct comparison *c, const char *subject, const char *fmt, ...)
{
	char text[SENTENCE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->differences++;
	c->fn(subject, text, c->arg);
}

/* --- nexthops in lists of objects with "nexthop", and "service" where the list has several --- */

static bool spec_of(struct json_object *o, struct nexthop_spec *ret_spec)
{
	return nexthop_spec_parse(js_text(o, "nexthop"), ret_spec) == 0;
}

/* How many of a list are nexthops of the service at this address; *ret_last is the last of them. */
static size_t at_address(struct json_object *list, const char *key, const char *service,
			 const struct nexthop_spec *spec, struct json_object **ret_last)
{
	struct nexthop_spec other;
	size_t n = 0;

	for (size_t i = 0; i < js_len(list, key); i++) {
		struct json_object *o = js_at(list, key, i);

		if ((js_has(o, "service") && strcmp(js_text(o, "service"), service) != 0) ||
		    !spec_of(o, &other) || !ip_addr_equal(&other.addr, &spec->addr))
			continue;
		n++;
		*ret_last = o;
	}
	return n;
}

/* The nexthop in another list. Interfaces may be called differently on the two gateways: the name
 * only decides where the address alone does not tell. */
static struct json_object *counterpart(struct json_object *own, struct json_object *list,
				       const char *key, const char *service,
				       const struct nexthop_spec *spec)
{
	struct json_object *last = NULL;
	struct nexthop_spec other;

	for (size_t i = 0; i < js_len(list, key); i++) {
		struct json_object *o = js_at(list, key, i);

		if ((!js_has(o, "service") || strcmp(js_text(o, "service"), service) == 0) &&
		    spec_of(o, &other) && ip_addr_equal(&other.addr, &spec->addr) &&
		    strcmp(other.ifname, spec->ifname) == 0)
			return o;
	}
	if (!spec->addr.family || at_address(own, key, service, spec, &last) > 1 ||
	    at_address(list, key, service, spec, &last) != 1)
		return NULL;
	return last;
}

static struct json_object *service_of(const struct peer_state *s, const char *name)
{
	for (size_t i = 0; i < js_len(s->status, "services"); i++)
		if (strcmp(js_text(js_at(s->status, "services", i), "name"), name) == 0)
			return js_at(s->status, "services", i);
	return NULL;
}

/* The number that a gateway's configuration gives to a nexthop; 0 none. */
static int64_t configured(const struct peer_state *s, const char *service,
			  const struct nexthop_spec *full)
{
	struct json_object *o = service_of(s, service);
	struct nexthop_spec spec;

	for (size_t i = 0; i < js_len(o, "ids"); i++)
		if (spec_of(js_at(o, "ids", i), &spec) && nexthop_spec_matches(&spec, full))
			return js_int(js_at(o, "ids", i), "id");
	return 0;
}

static struct json_object *holder(const struct peer_state *s, int64_t id)
{
	for (size_t i = 0; i < js_len(s->nexthops, "nexthops"); i++)
		if (js_int(js_at(s->nexthops, "nexthops", i), "id") == id)
			return js_at(s->nexthops, "nexthops", i);
	return NULL;
}

/* --- services --- */

static bool list_has(struct json_object *o, const char *key, const char *text)
{
	for (size_t i = 0; i < js_len(o, key); i++) {
		const char *other = json_object_get_string(js_at(o, key, i));

		if (other && strcmp(other, text) == 0)
			return true;
	}
	return false;
}

static bool lists_equal(struct json_object *a, struct json_object *b, const char *key)
{
	if (js_len(a, key) != js_len(b, key))
		return false;
	for (size_t i = 0; i < js_len(a, key); i++) {
		const char *text = json_object_get_string(js_at(a, key, i));

		if (!text || !list_has(b, key, text))
			return false;
	}
	return true;
}

/* As it stands in the configuration. */
static void add_list(struct strbuf *b, struct json_object *o, const char *key)
{
	strbuf_adds(b, "{");
	for (size_t i = 0; i < js_len(o, key); i++) {
		const char *text = json_object_get_string(js_at(o, key, i));

		strbuf_addf(b, "%s%s", i ? ", " : "", text ? text : "");
	}
	strbuf_adds(b, "}");
}

static void compare_service(struct comparison *c, struct json_object *a, struct json_object *b)
{
	static const char *const lists[][2] = { { "prefixes", "prefix" },
						{ "protocols", "protocol" },
						{ "ports", "port" } };
	const char *name = js_text(a, "name");

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_(strbuf_free) struct strbuf s = { 0 };

		if (lists_equal(a, b, lists[i][0]))
			continue;
		add_list(&s, a, lists[i][0]);
		strbuf_adds(&s, " here and ");
		add_list(&s, b, lists[i][0]);
		differ(c, name, "%s = %s there", lists[i][1], s.failed || !s.data ? "" : s.data);
	}
	if (strcmp(js_text(a, "on_withdraw"), js_text(b, "on_withdraw")) != 0)
		differ(c, name, "on-withdraw = %s here and %s there", js_text(a, "on_withdraw"),
		       js_text(b, "on_withdraw"));
	if (js_int(a, "idle_timeout_ms") != js_int(b, "idle_timeout_ms"))
		differ(c, name, "idle-timeout = %" PRId64 "ms here and %" PRId64 "ms there",
		       js_int(a, "idle_timeout_ms"), js_int(b, "idle_timeout_ms"));
}

/* Numbers that configurations give. Both-sided differences are told from here only. */
static void compare_configured(struct comparison *c, unsigned from, struct json_object *a,
			       struct json_object *b)
{
	const char *name = js_text(a, "name");
	struct nexthop_spec spec;

	for (size_t i = 0; i < js_len(a, "ids"); i++) {
		struct json_object *o = js_at(a, "ids", i), *other;

		if (!spec_of(o, &spec))
			continue;
		other = counterpart(a, b, "ids", name, &spec);
		if (!other)
			differ(c, name,
			       "the configuration gives %s number %" PRId64 " %s and none %s",
			       js_text(o, "nexthop"), js_int(o, "id"), place[from], place[!from]);
		else if (from == 0 && js_int(o, "id") != js_int(other, "id"))
			differ(c, name,
			       "the configuration gives %s number %" PRId64 " here and %" PRId64
			       " there",
			       js_text(o, "nexthop"), js_int(o, "id"), js_int(other, "id"));
	}
}

static void compare_services(struct comparison *c, unsigned from)
{
	const struct peer_state *own = c->side[from], *other = c->side[!from];

	for (size_t i = 0; i < js_len(own->status, "services"); i++) {
		struct json_object *a = js_at(own->status, "services", i);
		struct json_object *b = service_of(other, js_text(a, "name"));

		if (!b) {
			differ(c, js_text(a, "name"), "it is configured %s, and not %s",
			       place[from], place[!from]);
			continue;
		}
		if (from == 0)
			compare_service(c, a, b);
		compare_configured(c, from, a, b);
	}
}

/* --- nexthops --- */

/* A nexthop that both have. */
static void compare_pair(struct comparison *c, struct json_object *a, struct json_object *b)
{
	const char *service = js_text(a, "service"), *nexthop = js_text(a, "nexthop");
	int64_t id[2] = { js_int(a, "id"), js_int(b, "id") };
	int64_t wanted[2] = { 0 };
	struct nexthop_spec spec;

	if (spec_of(a, &spec))
		wanted[0] = configured(c->side[0], service, &spec);
	if (spec_of(b, &spec))
		wanted[1] = configured(c->side[1], service, &spec);
	if (id[0] != id[1] && (id[0] != wanted[0] || id[1] != wanted[1]))
		differ(c, service, "%s has number %" PRId64 " here and %" PRId64 " there", nexthop,
		       id[0], id[1]);
	else if (id[0] == id[1] && !wanted[0] && !wanted[1])
		differ(c, service,
		       "%s has number %" PRId64 " on both by chance: no configuration fixes it",
		       nexthop, id[0]);
}

static bool known_there(const struct comparison *c, struct json_object *here)
{
	struct nexthop_spec spec;

	return spec_of(here, &spec) && counterpart(c->side[0]->nexthops, c->side[1]->nexthops,
						   "nexthops", js_text(here, "service"), &spec);
}

/* A nexthop that the other one does not have (yet, or any more). */
static void compare_single(struct comparison *c, unsigned from, struct json_object *a,
			   const struct nexthop_spec *spec)
{
	const char *service = js_text(a, "service"), *nexthop = js_text(a, "nexthop");
	struct json_object *taken = holder(c->side[!from], js_int(a, "id"));
	int64_t id = js_int(a, "id");

	/* Two that each know only one: told from here. */
	if (taken && from == 1 && !known_there(c, taken))
		return;
	if (taken)
		differ(c, service, "%s has number %" PRId64 " %s, which is %s of %s %s", nexthop,
		       id, place[from], js_text(taken, "nexthop"), js_text(taken, "service"),
		       place[!from]);
	else if (configured(c->side[!from], service, spec) != id &&
		 !configured(c->side[from], service, spec))
		differ(c, service,
		       "%s has number %" PRId64 " %s by chance, and is not known %s: no "
		       "configuration fixes it",
		       nexthop, id, place[from], place[!from]);
}

static void compare_nexthops(struct comparison *c, unsigned from)
{
	struct json_object *own = c->side[from]->nexthops, *other = c->side[!from]->nexthops;
	struct nexthop_spec spec;

	for (size_t i = 0; i < js_len(own, "nexthops"); i++) {
		struct json_object *a = js_at(own, "nexthops", i), *b;

		if (!spec_of(a, &spec))
			continue;
		b = counterpart(own, other, "nexthops", js_text(a, "service"), &spec);
		if (!b)
			compare_single(c, from, a, &spec);
		else if (from == 0)
			compare_pair(c, a, b);
	}
}

size_t peer_compare(const struct peer_state *here, const struct peer_state *there,
		    void (*fn)(const char *subject, const char *text, void *arg), void *arg)
{
	struct comparison c = { .side = { here, there }, .fn = fn, .arg = arg };
	const char *mask = js_text(here->status, "mark_mask"),
		   *other = js_text(there->status, "mark_mask");

	if (strcmp(mask, other) != 0)
		differ(&c, "numbers", "mark-mask = %s here and %s there: no mark means the same",
		       mask, *other ? other : "unknown");
	for (unsigned from = 0; from < 2; from++)
		compare_services(&c, from);
	for (unsigned from = 0; from < 2; from++)
		compare_nexthops(&c, from);
	return c.differences;
}
