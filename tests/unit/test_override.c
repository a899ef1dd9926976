// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include "base/strbuf.h"
#include "core/override.h"
#include "netlink/rt.h"

/* Overrides built from routes and bindings, compared as text: one line per override,
 * "SERVICE TO [shields] selectors from TABLE/LEN: PREFIX via HOPS; ... without NEXTHOPS". */

static struct ip_addr addr(const char *text)
{
	struct ip_addr a = { 0 };

	if (text[0] != '\0')
		assert_int_equal(ip_addr_parse(text, &a), 0);
	return a;
}

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_int_equal(ip_prefix_parse(text, &p), 0);
	return p;
}

struct hop {
	const char *gateway;
	uint16_t weight; /* 0: no more hops */
};

struct test_route {
	const char *prefix; /* NULL: no more routes */
	uint32_t table, metric;
	struct hop hops[3];
};

struct test_service {
	const char *name, *prefix;
	const char *second_prefix; /* NULL: none */
	uint8_t protos[2];
	struct port_range ports[3]; /* last 0: no more */
};

struct test_case {
	const char *name;
	struct test_service services[3];
	struct test_route routes[6];
	const char *off[3]; /* gateways that every service is drained of */
	const char *expect;
};

/* clang-format off */
#define TCP { IPPROTO_TCP }
#define ALL { { 0, 65535 } }
#define AB { { "10.0.0.1", 1 }, { "10.0.0.2", 1 } }
#define ABC { { "10.0.0.1", 1 }, { "10.0.0.2", 2 }, { "10.0.0.3", 3 } }
/* clang-format on */

static const struct test_case cases[] = {
	{ "nothing is off",
	  { { "web", "1.1.1.1/32", NULL, TCP, ALL } },
	  { { "1.1.1.1/32", 254, 0, AB } },
	  { 0 },
	  "" },
	{ "a drained nexthop of the service's own route",
	  { { "web", "1.1.1.1/32", NULL, TCP, { { 80, 80 }, { 443, 443 } } } },
	  { { "1.1.1.1/32", 254, 0, ABC } },
	  { "10.0.0.1" },
	  "web 1.1.1.1/32 [] tcp:80-80 tcp:443-443 from 254/32: 1.1.1.1/32 via 10.0.0.2*2 "
	  "10.0.0.3*3 without 10.0.0.1%eth0\n" },
	{ "two drained, two protocols",
	  { { "dns", "1.1.1.1/32", NULL, { IPPROTO_TCP, IPPROTO_UDP }, { { 53, 53 } } } },
	  { { "1.1.1.1/32", 254, 0, ABC } },
	  { "10.0.0.1", "10.0.0.3" },
	  "dns 1.1.1.1/32 [] tcp:53-53 udp:53-53 from 254/32: 1.1.1.1/32 via 10.0.0.2*2 without "
	  "10.0.0.1%eth0 10.0.0.3%eth0\n" },
	{ "the longest covering route only, and per table",
	  { { "web", "1.1.1.1/32", NULL, TCP, ALL } },
	  { { "0.0.0.0/0", 254, 0, AB },
	    { "1.1.0.0/16", 254, 0, AB },
	    { "0.0.0.0/0", 100, 0, AB } },
	  { "10.0.0.1" },
	  "web 1.1.1.1/32 [] tcp:0-65535 from 100/0: 0.0.0.0/0 via 10.0.0.2*1 without "
	  "10.0.0.1%eth0\n"
	  "web 1.1.1.1/32 [] tcp:0-65535 from 254/16: 1.1.0.0/16 via 10.0.0.2*1 without "
	  "10.0.0.1%eth0\n" },
	{ "more specific routes inside the prefix, longest first, those without the nexthop not "
	  "copied",
	  { { "inet", "0.0.0.0/0", NULL, TCP, ALL } },
	  { { "0.0.0.0/0", 254, 0, AB },
	    { "7.0.0.0/8", 254, 0, AB },
	    { "8.0.0.0/8", 254, 0, { { "10.0.0.2", 1 }, { "10.0.0.3", 1 } } },
	    { "9.0.0.0/8", 254, 0, ABC },
	    { "9.9.0.0/16", 254, 0, AB } },
	  { "10.0.0.1" },
	  "inet 0.0.0.0/0 [] tcp:0-65535 from 254/16: 9.9.0.0/16 via 10.0.0.2*1 without "
	  "10.0.0.1%eth0\n"
	  "inet 0.0.0.0/0 [] tcp:0-65535 from 254/8: 7.0.0.0/8 via 10.0.0.2*1; 9.0.0.0/8 via "
	  "10.0.0.2*2 10.0.0.3*3"
	  " without 10.0.0.1%eth0\n"
	  "inet 0.0.0.0/0 [] tcp:0-65535 from 254/0: 0.0.0.0/0 via 10.0.0.2*1 without "
	  "10.0.0.1%eth0\n" },
	{ "a route that would be empty stays",
	  { { "web", "1.1.0.0/16", NULL, TCP, ALL } },
	  { { "1.1.0.0/16", 254, 0, ABC }, { "1.1.1.0/24", 254, 0, { { "10.0.0.1", 1 } } } },
	  { "10.0.0.1" },
	  "web 1.1.0.0/16 [] tcp:0-65535 from 254/16: 1.1.0.0/16 via 10.0.0.2*2 10.0.0.3*3 without "
	  "10.0.0.1%eth0\n" },
	{ "a route behind a better metric carries nothing",
	  { { "web", "1.1.0.0/16", NULL, TCP, ALL } },
	  { { "1.1.1.0/24", 254, 10, { { "10.0.0.2", 1 }, { "10.0.0.3", 1 } } },
	    { "1.1.1.0/24", 254, 20, AB },
	    { "1.1.0.0/16", 254, 0, ABC } },
	  { "10.0.0.1" },
	  "web 1.1.0.0/16 [] tcp:0-65535 from 254/16: 1.1.0.0/16 via 10.0.0.2*2 10.0.0.3*3 without "
	  "10.0.0.1%eth0\n" },
	{ "a route that covers one prefix as the longest, and another behind a longer one",
	  { { "web", "1.1.1.0/24", "1.1.2.0/24", TCP, ALL } },
	  { { "1.1.0.0/16", 254, 0, AB }, { "1.1.1.0/24", 254, 0, ABC } },
	  { "10.0.0.1" },
	  "web 1.1.1.0/24 [] tcp:0-65535 from 254/24: 1.1.1.0/24 via 10.0.0.2*2 10.0.0.3*3 without "
	  "10.0.0.1%eth0\n"
	  "web 1.1.2.0/24 [] tcp:0-65535 from 254/16: 1.1.0.0/16 via 10.0.0.2*1 without "
	  "10.0.0.1%eth0\n" },
	{ "a more specific service with a common protocol and overlapping ports is shielded",
	  { { "a", "1.1.0.0/16", NULL, TCP, { { 80, 443 } } },
	    { "b", "1.1.1.0/24", NULL, { IPPROTO_TCP, IPPROTO_UDP }, { { 1, 80 }, { 444, 500 } } },
	    { "c", "1.2.0.0/16", NULL, TCP, ALL } },
	  { { "1.1.0.0/16", 254, 0, ABC } },
	  { "10.0.0.1" },
	  "b 1.1.1.0/24 [] tcp:1-80 tcp:444-500 udp:1-80 udp:444-500 from 254/16: 1.1.0.0/16 via "
	  "10.0.0.2*2 10.0.0.3*3"
	  " without 10.0.0.1%eth0\n"
	  "a 1.1.0.0/16 [1.1.1.0/24 tcp:1-80] tcp:80-443 from 254/16: 1.1.0.0/16 via 10.0.0.2*2 "
	  "10.0.0.3*3"
	  " without 10.0.0.1%eth0\n" },
	{ "other protocols need no shield",
	  { { "a", "1.1.0.0/16", NULL, TCP, ALL },
	    { "b", "1.1.1.0/24", NULL, { IPPROTO_UDP }, ALL } },
	  { { "1.1.0.0/16", 254, 0, ABC }, { "1.1.1.0/24", 254, 0, { { "10.0.0.2", 1 } } } },
	  { "10.0.0.1" },
	  "a 1.1.0.0/16 [] tcp:0-65535 from 254/16: 1.1.0.0/16 via 10.0.0.2*2 10.0.0.3*3 without "
	  "10.0.0.1%eth0\n" },
	{ "the same prefix: narrower ports first, and each is shielded from what lies inside it",
	  { { "a", "1.1.1.1/32", NULL, TCP, { { 80, 80 }, { 1000, 2000 } } },
	    { "b", "1.1.1.1/32", NULL, TCP, { { 1, 100 }, { 1500, 1500 } } } },
	  { { "1.1.1.1/32", 254, 0, AB } },
	  { "10.0.0.1" },
	  "a 1.1.1.1/32 [] tcp:80-80 from 254/32: 1.1.1.1/32 via 10.0.0.2*1 without 10.0.0.1%eth0\n"
	  "b 1.1.1.1/32 [] tcp:1500-1500 from 254/32: 1.1.1.1/32 via 10.0.0.2*1 without "
	  "10.0.0.1%eth0\n"
	  "b 1.1.1.1/32 [1.1.1.1/32 tcp:80-80] tcp:1-100 from 254/32: 1.1.1.1/32 via 10.0.0.2*1 "
	  "without 10.0.0.1%eth0\n"
	  "a 1.1.1.1/32 [1.1.1.1/32 tcp:1500-1500] tcp:1000-2000 from 254/32: 1.1.1.1/32 via "
	  "10.0.0.2*1"
	  " without 10.0.0.1%eth0\n" },
	{ "IPv6",
	  { { "web", "2001:db8::1/128", NULL, TCP, ALL } },
	  { { "2001:db8::/32", 254, 1024, { { "fe80::1", 1 }, { "fe80::2", 1 } } } },
	  { "fe80::2" },
	  "web 2001:db8::1/128 [] tcp:0-65535 from 254/32: 2001:db8::/32 via fe80::1*1 without "
	  "fe80::2%eth0\n" },
	{ "weights that a multipath route cannot have are scaled",
	  { { "web", "1.1.1.1/32", NULL, TCP, ALL } },
	  { { "1.1.1.1/32",
	      254,
	      0,
	      { { "10.0.0.1", 1 }, { "10.0.0.2", 1 }, { "10.0.0.3", 1024 } } } },
	  { "10.0.0.1" },
	  "web 1.1.1.1/32 [] tcp:0-65535 from 254/32: 1.1.1.1/32 via 10.0.0.2*1 10.0.0.3*256 "
	  "without 10.0.0.1%eth0\n" },
};

struct world {
	struct service list[3];
	struct ip_prefix prefixes[3][2];
	struct port_range ports[3][3];
	struct service_set set;
	struct rib *rib;
	struct registry *registry;
};

static void world_services(struct world *w, const struct test_case *c)
{
	for (size_t i = 0; i < 3 && c->services[i].name; i++) {
		const struct test_service *from = &c->services[i];
		struct service *s = &w->list[w->set.n++];

		snprintf(s->name, sizeof(s->name), "%s", from->name);
		s->prefixes = w->prefixes[i];
		s->prefixes[s->n_prefixes++] = prefix(from->prefix);
		if (from->second_prefix)
			s->prefixes[s->n_prefixes++] = prefix(from->second_prefix);
		for (size_t k = 0; k < 2 && from->protos[k]; k++)
			s->protos[s->n_protos++] = from->protos[k];
		s->ports = w->ports[i];
		for (size_t k = 0; k < 3 && from->ports[k].last; k++)
			w->ports[i][s->n_ports++] = from->ports[k];
	}
	w->set.list = w->list;
}

static void world_routes(struct world *w, const struct test_case *c)
{
	for (size_t i = 0; i < 6 && c->routes[i].prefix; i++) {
		const struct test_route *from = &c->routes[i];
		struct route_nexthop hops[3] = { 0 };
		struct route r = { .key = { prefix(from->prefix), from->table, from->metric, 0 },
				   .type = RTN_UNICAST,
				   .nexthops = hops };

		for (size_t k = 0; k < 3 && from->hops[k].weight; k++) {
			hops[k] = (struct route_nexthop){ .gateway = addr(from->hops[k].gateway),
							  .ifindex = 2,
							  .weight = from->hops[k].weight };
			r.n_nexthops++;
		}
		assert_true(rib_route_add(w->rib, &r, false) >= 0);
	}
}

/* Names every member in the registry, and drains those that are to be off. */
static void world_bindings(struct world *w, const struct test_case *c)
{
	const struct drain_intent intent = { .since_s = 1 };
	const struct nexthop_attributes attributes = { .families = 3 };

	for (size_t i = 0; i < w->set.n; i++) {
		size_t n;
		const struct rib_member *members = rib_service_members(w->rib, i, &n);
		uint8_t id;

		for (size_t k = 0; k < n; k++)
			assert_int_equal(registry_name(w->registry, &w->set.list[i],
						       &members[k].gateway, members[k].ifindex,
						       "eth0", &attributes, 0, 1, &id),
					 0);
		for (size_t k = 0; k < 3 && c->off[k]; k++) {
			struct ip_addr gateway = addr(c->off[k]);
			const struct binding *b =
				registry_find(w->registry, w->set.list[i].name, &gateway, 2);
			struct err e = { 0 };

			if (b)
				assert_int_equal(registry_drain(w->registry, b->id, &intent, 2, &e),
						 0);
		}
	}
}

static void world_make(struct world *w, const struct test_case *c)
{
	const struct registry_limits limits = { .max_id = 255, .dead_after = 3 };

	*w = (struct world){ 0 };
	world_services(w, c);
	assert_int_equal(rib_new(&w->set, &w->rib), 0);
	assert_int_equal(registry_new(&limits, &w->registry), 0);
	world_routes(w, c);
	world_bindings(w, c);
}

static void world_clear(struct world *w)
{
	rib_free(w->rib);
	registry_free(w->registry);
}

static void add_selectors(struct strbuf *out, const struct override_selector *list, size_t n,
			  bool to)
{
	char text[IP_PREFIX_TEXT];

	for (size_t i = 0; i < n; i++)
		strbuf_addf(out, "%s%s%s%s:%u-%u", i ? " " : "",
			    to ? ip_prefix_format(&list[i].to, text) : "", to ? " " : "",
			    proto_name(list[i].proto), list[i].ports.first, list[i].ports.last);
}

static void add_override(struct strbuf *out, const struct override *o)
{
	char text[IP_PREFIX_TEXT], spec[NEXTHOP_TEXT];

	strbuf_addf(out, "%s %s [", o->service, ip_prefix_format(&o->to, text));
	add_selectors(out, o->shields, o->n_shields, true);
	strbuf_adds(out, "] ");
	add_selectors(out, o->selectors, o->n_selectors, false);
	strbuf_addf(out, " from %u/%u:", o->source_table, o->len);
	for (size_t i = 0; i < o->n_routes; i++) {
		const struct route *r = &o->routes[i];

		assert_int_equal(r->key.table, 0);
		assert_int_equal(r->nh_id, 0);
		strbuf_addf(out, "%s %s via", i ? ";" : "", ip_prefix_format(&r->key.prefix, text));
		for (size_t k = 0; k < r->n_nexthops; k++)
			strbuf_addf(out, " %s*%u", ip_addr_format(&r->nexthops[k].gateway, text),
				    r->nexthops[k].weight);
	}
	strbuf_adds(out, " without");
	for (size_t i = 0; i < o->n_without; i++)
		strbuf_addf(out, " %s", nexthop_spec_format(&o->without[i], spec));
	strbuf_adds(out, "\n");
}

static void assert_overrides(const struct world *w, const char *expect)
{
	_cleanup_(strbuf_free) struct strbuf out = { 0 };
	struct override *list;
	size_t n;

	assert_int_equal(override_list_build(&w->set, w->rib, w->registry, &list, &n), 0);
	strbuf_adds(&out, "");
	for (size_t i = 0; i < n; i++)
		add_override(&out, &list[i]);
	override_list_free(list, n);
	assert_string_equal(out.data ? out.data : "", expect);
}

static void test_cases(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;

		print_message("  %s\n", cases[i].name);
		world_make(&w, &cases[i]);
		assert_overrides(&w, cases[i].expect);
		world_clear(&w);
	}
}

/* Nexthops of a group object are copied one by one; an undrained nexthop needs no override any
 * more. */
static void test_objects_and_undrain(void **state _unused_)
{
	const struct test_case c = { .services = { { "web", "1.1.1.1/32", NULL, TCP, ALL } } };
	const char *const gateways[] = { "10.0.0.1", "10.0.0.2" };
	const struct nexthop_member members[] = { { 1, 1 }, { 2, 5 } };
	const struct nexthop_object group = { .id = 9,
					      .members = (struct nexthop_member *)members,
					      .n_members = 2 };
	const struct route route = { .key = { prefix("1.1.1.0/24"), 254, 0, 0 },
				     .type = RTN_UNICAST,
				     .nh_id = 9 };
	const struct test_case drained = { .off = { "10.0.0.1" } };
	struct world w;

	world_make(&w, &c);
	for (uint32_t i = 0; i < 2; i++) {
		struct nexthop_object o = {
			.id = i + 1,
			.single = { .gateway = addr(gateways[i]), .ifindex = 2, .weight = 1 }
		};

		assert_true(rib_object_set(w.rib, &o) >= 0);
	}
	assert_true(rib_object_set(w.rib, &group) >= 0);
	assert_int_equal(rib_route_add(w.rib, &route, false), 1);
	world_bindings(&w, &drained);
	assert_overrides(&w, "web 1.1.1.1/32 [] tcp:0-65535 from 254/24: 1.1.1.0/24 via 10.0.0.2*5 "
			     "without 10.0.0.1%eth0\n");
	registry_undrain(w.registry, 1, 3);
	registry_undrain(w.registry, 2, 3);
	assert_overrides(&w, "");
	world_clear(&w);
}

/* An encapsulation that was too long to be kept cannot be copied: the route stays as it is. */
static void test_long_encapsulation(void **state _unused_)
{
	const struct test_case c = { .services = { { "web", "1.1.1.1/32", NULL, TCP, ALL } } },
			       drained = { .off = { "10.0.0.1" } };
	struct route_nexthop hops[] = {
		{ .gateway = addr("10.0.0.1"), .ifindex = 2, .weight = 1 },
		{ .gateway = addr("10.0.0.2"), .ifindex = 2, .weight = 1, .encap_type = 5 },
	};
	const struct route route = { .key = { prefix("1.1.1.1/32"), 254, 0, 0 },
				     .type = RTN_UNICAST,
				     .nexthops = hops,
				     .n_nexthops = 2,
				     .mtu = 1400 };
	struct override *list;
	struct world w;
	size_t n;

	world_make(&w, &c);
	assert_int_equal(rib_route_add(w.rib, &route, false), 1);
	world_bindings(&w, &drained);
	assert_overrides(&w, "");
	hops[1].encap_len = 8;
	hops[1].onlink = true;
	assert_int_equal(rib_route_add(w.rib, &route, false), 1);
	assert_int_equal(override_list_build(&w.set, w.rib, w.registry, &list, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(list->routes->mtu, 1400);
	assert_int_equal(list->routes->nexthops->encap_type, 5);
	assert_int_equal(list->routes->nexthops->encap_len, 8);
	assert_true(list->routes->nexthops->onlink);
	override_list_free(list, n);
	world_clear(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_objects_and_undrain),
		cmocka_unit_test(test_long_encapsulation),
	};

	return cmocka_run_group_tests_name("override", tests, NULL, NULL);
}
