// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "netlink/nft.h"
#include "pin/ruleset_internal.h"

/* What of the ruleset needs no kernel: userdata, the image of a model, differences. */

struct model {
	struct ip_prefix prefixes[8];
	struct port_range ports[1];
	struct service service;
	struct service_set set;
	struct ruleset_binding bindings[3];
	struct ruleset_connected connected[3];
	struct ruleset_model m;
};

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p = { 0 };

	assert_int_equal(ip_prefix_parse(text, &p), 0);
	return p;
}

static void model_make(struct model *x, const char *const *prefixes, size_t n)
{
	*x = (struct model){ .ports = { { 80, 80 } } };
	for (size_t i = 0; i < n; i++)
		x->prefixes[i] = prefix(prefixes[i]);
	x->service = (struct service){ .name = "web",
				       .prefixes = x->prefixes,
				       .n_prefixes = n,
				       .protos = { IPPROTO_TCP },
				       .n_protos = 1,
				       .ports = x->ports,
				       .n_ports = 1,
				       .idle_timeout_s = 300,
				       .syn_timeout_s = 20 };
	x->set = (struct service_set){ .list = &x->service, .n = 1 };
	for (uint8_t i = 0; i < 2; i++)
		x->bindings[i] = (struct ruleset_binding){
			.id = (uint8_t)(i + 1),
			.ifindex = 5,
			.learn_by_nexthop = true,
			.carry = true,
			.fresh = true,
			.label = "a%b",
			.gateway = prefix(i ? "10.1.0.3" : "10.1.0.2").addr
		};
	x->m = (struct ruleset_model){ .services = &x->set,
				       .bindings = x->bindings,
				       .n_bindings = 2,
				       .connected = x->connected,
				       .mark_mask = 0xff0000,
				       .max_pins = 10 };
}

static struct rs_image image_of(const struct model *x)
{
	struct rs_image im = { 0 };
	struct err e = { 0 };

	assert_int_equal(rs_desired(&x->m, &im, &e), 0);
	return im;
}

static const char *interval(const struct rs_set *s, size_t i, char *buf, size_t size)
{
	struct ip_addr first = { .family = s->key_len == 4 ? AF_INET : AF_INET6 }, end = first;
	char a[IP_ADDR_TEXT], b[IP_ADDR_TEXT];

	memcpy(first.bytes, s->elements[i].key, s->key_len);
	memcpy(end.bytes, s->elements[i].end, s->key_len);
	snprintf(buf, size, "%s-%s", ip_addr_format(&first, a),
		 s->elements[i].open ? "" : ip_addr_format(&end, b));
	return buf;
}

static void test_intervals_are_disjoint(void **state)
{
	static const struct {
		const char *prefixes[5];
		const char *intervals[3];
	} cases[] = {
		{ { "10.0.0.0/24" }, { "10.0.0.0-10.0.1.0" } },
		{ { "10.0.0.0/24", "10.0.1.0/24" }, { "10.0.0.0-10.0.2.0" } },
		{ { "10.0.2.0/24", "10.0.0.0/24" }, { "10.0.0.0-10.0.1.0", "10.0.2.0-10.0.3.0" } },
		{ { "10.0.0.7/32", "10.0.0.0/8", "10.9.0.0/16" }, { "10.0.0.0-11.0.0.0" } },
		{ { "0.0.0.0/0", "1.1.1.1/32" }, { "0.0.0.0-" } },
		{ { "255.255.255.0/24", "255.255.254.0/24" }, { "255.255.254.0-" } },
		{ { "0.0.0.0/1", "128.0.0.0/1" }, { "0.0.0.0-" } },
		{ { "2001:db8::/32", "2001:db8:1::/48", "::/128" },
		  { "::-::1", "2001:db8::-2001:db9::" } },
	};

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		struct model x;
		struct rs_image im;
		const struct rs_set *s;
		size_t n = 0, want = 0;
		char text[128];

		while (n < 5 && cases[c].prefixes[n])
			n++;
		while (want < 3 && cases[c].intervals[want])
			want++;
		model_make(&x, cases[c].prefixes, n);
		im = image_of(&x);
		s = rs_image_set(&im, x.prefixes[0].addr.family == AF_INET ? "prefix4" : "prefix6");
		assert_int_equal(s->n, want);
		for (size_t i = 0; i < want; i++)
			assert_string_equal(interval(s, i, text, sizeof(text)),
					    cases[c].intervals[i]);
		rs_image_clear(&im);
	}
}

static size_t count_kind(const struct rs_changes *c, enum rs_change_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += c->list[i].kind == kind;
	return n;
}

static void test_differences(void **state)
{
	struct rs_image a, b;
	struct rs_changes c;
	struct model x;
	char text[256];

	(void)state;
	model_make(&x, (const char *const[]){ "1.1.1.1/32" }, 1);
	a = image_of(&x);
	b = image_of(&x);
	assert_int_equal(rs_diff(&a, &b, &c), 0);
	assert_int_equal(c.n, 0);
	rs_changes_clear(&c);
	rs_image_clear(&b);
	/* A binding dies: its elements, and nothing else. */
	x.bindings[0].carry = x.bindings[0].fresh = false;
	b = image_of(&x);
	assert_int_equal(rs_diff(&a, &b, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(count_kind(&c, RS_CHANGE_ELEMENT_OLD), 2);
	assert_string_equal(
		rs_change_format(&c.list[1], text, sizeof(text)),
		"set marks holds an element that should not be there: 00000100 : goto pin_1");
	rs_changes_clear(&c);
	rs_image_clear(&b);
	/* A timeout: the two chains that say it. (first packets' 60 s stay.) */
	x.bindings[0].carry = x.bindings[0].fresh = true;
	x.service.idle_timeout_s = 301;
	b = image_of(&x);
	assert_int_equal(rs_diff(&a, &b, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(count_kind(&c, RS_CHANGE_RULES), 2);
	rs_changes_clear(&c);
	rs_image_clear(&b);
	/* A label: the chains are made anew, and what leads to them is put back. */
	x.service.idle_timeout_s = 300;
	x.bindings[1].label[0] = 'c';
	b = image_of(&x);
	assert_int_equal(rs_diff(&a, &b, &c), 0);
	assert_int_equal(count_kind(&c, RS_CHANGE_RECREATED), 2);
	assert_int_equal(count_kind(&c, RS_CHANGE_ELEMENT_OLD), 3);
	assert_int_equal(count_kind(&c, RS_CHANGE_ELEMENT), 3);
	assert_false(c.rebuild);
	rs_changes_clear(&c);
	/* A set of another kind under our name cannot be mended in place. */
	a.sets[0].flags ^= NFT_SET_INTERVAL;
	assert_int_equal(rs_diff(&a, &b, &c), 0);
	assert_true(c.rebuild);
	rs_changes_clear(&c);
	rs_image_clear(&a);
	rs_image_clear(&b);
}

static void test_ambiguous_nexthops_are_left_out(void **state)
{
	struct rs_image im;
	struct model x;

	(void)state;
	model_make(&x, (const char *const[]){ "1.1.1.1/32" }, 1);
	for (size_t i = 0; i < 2; i++) {
		x.bindings[i].learn_by_nexthop = false;
		x.bindings[i].learn_by_link = true;
	}
	im = image_of(&x);
	assert_int_equal(rs_image_set(&im, "link_web")->n, 0);
	rs_image_clear(&im);
	x.bindings[1].ifindex = 6;
	im = image_of(&x);
	assert_int_equal(rs_image_set(&im, "link_web")->n, 2);
	rs_image_clear(&im);
}

static void test_connected_prefixes_do_not_nest(void **state)
{
	struct rs_image im;
	struct model x;

	(void)state;
	model_make(&x, (const char *const[]){ "1.1.1.1/32" }, 1);
	x.connected[0] = (struct ruleset_connected){ 5, prefix("10.1.0.0/24") };
	x.connected[1] = (struct ruleset_connected){ 5, prefix("10.1.0.0/16") };
	x.connected[2] = (struct ruleset_connected){ 6, prefix("10.1.0.0/24") };
	x.m.n_connected = 3;
	im = image_of(&x);
	assert_int_equal(rs_image_set(&im, "connected4")->n, 2);
	rs_image_clear(&im);
}

static void test_binding_chains(void **state)
{
	static const struct {
		const char *name, *comment;
		uint8_t id;
		const char *service, *label;
	} cases[] = {
		{ "learn_7", "web 10.1.0.2%eth1", 7, "web", "10.1.0.2%eth1" },
		{ "pin_255", "dns %ppp0", 255, "dns", "%ppp0" },
		{ "pin_256", "web x", 0, NULL, NULL },
		{ "pin_0", "web x", 0, NULL, NULL },
		{ "pin_", "web x", 0, NULL, NULL },
		{ "learn_1x", "web x", 0, NULL, NULL },
		{ "first4", "web x", 0, NULL, NULL },
		{ "pin_1", "", 0, NULL, NULL },
		{ "pin_1", "web", 0, NULL, NULL },
		{ "pin_1", "aservicewithaname16 x", 0, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rs_chain c = { 0 };
		struct ruleset_found f;
		bool found;

		snprintf(c.name, sizeof(c.name), "%s", cases[i].name);
		snprintf(c.comment, sizeof(c.comment), "%s", cases[i].comment);
		found = rs_chain_binding(&c, &f);
		assert_int_equal(found, cases[i].id != 0);
		if (!found)
			continue;
		assert_int_equal(f.id, cases[i].id);
		assert_string_equal(f.service, cases[i].service);
		assert_string_equal(f.label, cases[i].label);
	}
}

static void test_userdata(void **state)
{
	uint8_t buf[16];
	size_t len = 0, got;
	uint32_t number = 0x01020304;

	(void)state;
	assert_true(nft_userdata_put(buf, sizeof(buf), &len, 0, "hi", 3));
	assert_true(nft_userdata_put(buf, sizeof(buf), &len, 101, &number, sizeof(number)));
	assert_int_equal(len, 11);
	assert_false(nft_userdata_put(buf, sizeof(buf), &len, 102, &number, sizeof(number)));
	assert_int_equal(len, 11);
	assert_string_equal(nft_userdata_find(buf, len, 0, 0, &got), "hi");
	assert_int_equal(got, 3);
	assert_memory_equal(nft_userdata_find(buf, len, 101, 4, NULL), &number, 4);
	assert_null(nft_userdata_find(buf, len, 101, 8, NULL));
	assert_null(nft_userdata_find(buf, len, 102, 0, NULL));
	/* Cut anywhere: what is not whole is not there. */
	for (size_t cut = 0; cut < len; cut++)
		assert_null(nft_userdata_find(buf, cut, 101, 4, NULL));
}

static void test_pin_keys(void **state)
{
	static const uint8_t want[20] = { 12, 0, 0, 1,	  1,	1, 1, 1, 6,
					  0,  0, 0, 0x04, 0xd2, 0, 0, 0, 80 };
	struct tuple t = { .src = { 12, 0, 0, 1 },
			   .dst = { 1, 1, 1, 1 },
			   .sport = 1234,
			   .dport = 80,
			   .family = AF_INET,
			   .proto = IPPROTO_TCP };
	uint8_t key[RS_PIN_KEY_MAX];

	(void)state;
	assert_int_equal(rs_pin_key(&t, key), sizeof(want));
	assert_memory_equal(key, want, sizeof(want));
	t.zone = 1;
	assert_int_equal(rs_pin_key(&t, key), 0);
	t.zone = 0;
	t.proto = IPPROTO_ICMP;
	assert_int_equal(rs_pin_key(&t, key), 0);
	t.proto = IPPROTO_UDP;
	t.family = AF_INET6;
	assert_int_equal(rs_pin_key(&t, key), 44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intervals_are_disjoint),
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_ambiguous_nexthops_are_left_out),
		cmocka_unit_test(test_connected_prefixes_do_not_nest),
		cmocka_unit_test(test_binding_chains),
		cmocka_unit_test(test_userdata),
		cmocka_unit_test(test_pin_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
