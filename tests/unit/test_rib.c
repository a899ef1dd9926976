// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/strbuf.h"
#include "core/rib.h"
#include "rib_model.h"

static struct ip_prefix prefix_of(const char *text)
{
	struct ip_prefix p;

	assert_int_equal(ip_prefix_parse(text, &p), 0);
	return p;
}

static int no_more(const struct route *route _unused_, const struct route_nexthop *h _unused_,
		   size_t n _unused_, void *arg _unused_)
{
	return 42;
}

/* "PREFIX [table T] [metric M] [id N] [type T] [proto P] [tos T] [mtu M] [via ADDR%INDEX[*WEIGHT]
 * ...]" */
static struct route *route_of(const char *text)
{
	static const char *const words[] = { "table", "metric", "id",  "type",
					     "proto", "tos",	"mtu", "via" };
	struct route *r = calloc(1, sizeof(*r));
	char copy[256], *save, *w;

	snprintf(copy, sizeof(copy), "%s", text);
	r->key.prefix = prefix_of(strtok_r(copy, " ", &save));
	r->key.table = RT_TABLE_MAIN;
	r->type = RTN_UNICAST;
	r->nexthops = calloc(16, sizeof(*r->nexthops));
	while ((w = strtok_r(NULL, " ", &save))) {
		char *value = strtok_r(NULL, " ", &save), *at = strchr(value, '%');
		unsigned number = (unsigned)strtoul(value, NULL, 10);
		size_t i = 0;

		while (strcmp(words[i], w) != 0)
			assert_true(++i < ARRAY_SIZE(words));
		if (i == 7) {
			struct route_nexthop *h = &r->nexthops[r->n_nexthops++];

			*at = '\0';
			h->weight = 1;
			assert_true(sscanf(at + 1, "%u*%hu", &h->ifindex, &h->weight) >= 1);
			assert_int_equal(*value ? ip_addr_parse(value, &h->gateway) : 0, 0);
			continue;
		}
		uint32_t *const to[] = { &r->key.table, &r->key.metric, &r->nh_id, NULL,
					 NULL,		NULL,		&r->mtu };

		if (to[i])
			*to[i] = number;
		else
			*(i == 3   ? &r->type
			  : i == 4 ? &r->protocol
				   : &r->key.tos) = (uint8_t)number;
	}
	return r;
}

static struct route *route_done(struct route *r)
{
	if (r) {
		free(r->nexthops);
		free(r);
	}
	return NULL;
}
DEFINE_FREEP(struct route, route_done)

static int add(struct rib *rib, const char *text)
{
	_cleanup_(route_donep) struct route *r = route_of(text);

	return rib_route_add(rib, r, false);
}

static int append(struct rib *rib, const char *text)
{
	_cleanup_(route_donep) struct route *r = route_of(text);

	return rib_route_add(rib, r, true);
}

static int del(struct rib *rib, const char *text)
{
	_cleanup_(route_donep) struct route *r = route_of(text);

	return rib_route_del(rib, r);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* "gateway%ifindex[*routes] ..." sorted. */
static const char *members(const struct rib *rib, size_t service, char *buf)
{
	static const size_t width = 64;
	char list[16][64];
	size_t n;
	const struct rib_member *m = rib_service_members(rib, service, &n);

	assert_true(n <= 16);
	for (size_t i = 0; i < n; i++) {
		char a[IP_ADDR_TEXT];

		snprintf(list[i], width, "%s%%%u*%u/%u", ip_addr_format(&m[i].gateway, a),
			 m[i].ifindex, m[i].routes, m[i].families);
	}
	if (n > 0)
		qsort(list, n, width, compare_text);
	buf[0] = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(buf + strlen(buf), 512 - strlen(buf), "%s%s", i ? " " : "", list[i]);
	return buf;
}

#define assert_members(rib, service, text)                              \
	do {                                                            \
		char buf_[512];                                         \
		assert_string_equal(members(rib, service, buf_), text); \
	} while (0)

/* One service with these prefixes. */
static struct rib *rib_with(struct service_set *set, const char *const *prefixes, size_t n)
{
	struct rib *rib;

	for (size_t i = 0; i < n; i++) {
		set->list = reallocarray(set->list, set->n + 1, sizeof(*set->list));
		set->list[set->n] = (struct service){ .n_prefixes = 1 };
		set->list[set->n].prefixes = calloc(1, sizeof(struct ip_prefix));
		*set->list[set->n++].prefixes = prefix_of(prefixes[i]);
	}
	assert_int_equal(rib_new(set, &rib), 0);
	return rib;
}

static void test_cover(void **state _unused_)
{
	static const char *const prefixes[] = { "1.1.1.1/32" };
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	_cleanup_(rib_freep) struct rib *rib = rib_with(&set, prefixes, 1);
	uint64_t version;

	assert_int_equal(add(rib, "0.0.0.0/0 via 9.9.9.9%1"), 1);
	assert_members(rib, 0, "9.9.9.9%1*1/1");
	assert_int_equal(add(rib, "1.1.1.1/32 via 10.0.0.1%2 via 10.0.0.2%2"), 1);
	assert_members(rib, 0, "10.0.0.1%2*1/1 10.0.0.2%2*1/1");
	version = rib_service_version(rib, 0);
	assert_int_equal(add(rib, "1.1.1.0/24 via 9.9.9.8%1"),
			 0); /* stored: it may become the longest */
	assert_int_equal(add(rib, "2.2.2.0/24 via 9.9.9.8%1"), 0); /* not ours */
	assert_int_equal(add(rib, "1.1.1.1/32 via 10.0.0.1%2 via 10.0.0.2%2"), 0);
	assert_int_equal(add(rib, "1.1.1.1/32 metric 5 via 10.0.0.7%2"), 0);
	assert_int_equal(add(rib, "1.1.1.1/32 tos 16 via 10.0.0.7%2"), 0);
	assert_int_equal(add(rib, "1.1.1.1/32 proto 157 via 10.0.0.7%2"), 0);
	assert_int_equal(add(rib, "1.1.1.1/32 table 255 via 10.0.0.7%2"), 0);
	assert_int_equal(rib_service_version(rib, 0), version);
	assert_int_equal(rib_route_count(rib), 4);
	assert_int_equal(rib_service_routes(rib, 0, no_more, NULL), 42);
	assert_int_equal(add(rib, "1.1.1.1/32 via 10.0.0.1%2*2 via 10.0.0.2%2"), 1); /* a weight */
	assert_int_equal(del(rib, "1.1.1.1/32 via 10.0.0.1%2*2 via 10.0.0.2%2"), 1);
	assert_members(rib, 0, "10.0.0.7%2*1/1");
	assert_int_equal(del(rib, "1.1.1.1/32 metric 5 via 10.0.0.7%2"), 1);
	assert_members(rib, 0, "9.9.9.8%1*1/1");
	assert_int_equal(add(rib, "1.1.1.1/32 type 6"), 1); /* blackhole */
	assert_members(rib, 0, "");
	assert_int_equal(rib_service_routes(rib, 0, no_more, NULL), 0);
	assert_int_equal(del(rib, "1.1.1.1/32 type 6"), 1);
	assert_int_equal(del(rib, "1.1.1.0/24 via 9.9.9.8%1"), 1);
	assert_int_equal(del(rib, "0.0.0.0/0 via 9.9.9.9%1"), 1);
	assert_int_equal(del(rib, "0.0.0.0/0 via 9.9.9.9%1"), 0);
	assert_members(rib, 0, "");
	assert_int_equal(rib_route_count(rib), 0);
}

static void test_inside(void **state _unused_)
{
	static const char *const prefixes[] = { "0.0.0.0/0", "10.0.0.0/8" };
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	_cleanup_(rib_freep) struct rib *rib = rib_with(&set, prefixes, 2);

	assert_int_equal(add(rib, "0.0.0.0/0 via 1.0.0.1%1 via 1.0.0.2%2"), 1);
	assert_int_equal(add(rib, "99.0.0.0/8 via 1.0.0.3%3"), 0);
	assert_int_equal(rib_route_count(rib), 1); /* not stored */
	assert_int_equal(add(rib, "99.0.0.0/8 via 1.0.0.1%1 via 1.0.0.3%3"), 1);
	assert_members(rib, 0, "1.0.0.1%1*2/1 1.0.0.2%2*1/1 1.0.0.3%3*1/1");
	assert_members(rib, 1, "1.0.0.1%1*1/1 1.0.0.2%2*1/1");
	assert_int_equal(add(rib, "99.0.0.0/8 via 1.0.0.3%3"), 1); /* single now */
	assert_int_equal(rib_route_count(rib), 1);
	assert_int_equal(add(rib, "10.5.0.0/16 via 1.0.0.4%4"),
			 1); /* inside 10/8 a single gateway counts */
	assert_members(rib, 0, "1.0.0.1%1*1/1 1.0.0.2%2*1/1");
	assert_members(rib, 1, "1.0.0.1%1*1/1 1.0.0.2%2*1/1 1.0.0.4%4*1/1");
	assert_int_equal(add(rib, "10.6.0.0/16 via %5"), 0); /* a connected network does not */
	assert_int_equal(add(rib, "10.7.0.0/16 via %6 via %7"), 1); /* several interfaces do */
	assert_members(rib, 0, "%6*1/1 %7*1/1 1.0.0.1%1*1/1 1.0.0.2%2*1/1");
	assert_int_equal(add(rib, "10.5.0.0/16 table 7 via 1.0.0.5%4"),
			 1); /* tables stand side by side */
	assert_members(rib, 1,
		       "%6*1/1 %7*1/1 1.0.0.1%1*1/1 1.0.0.2%2*1/1 1.0.0.4%4*1/1 1.0.0.5%4*1/1");
}

static void test_equal_keys(void **state _unused_)
{
	static const char *const prefixes[] = { "1.1.1.1/32", "2001:db8::1/128" };
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	_cleanup_(rib_freep) struct rib *rib = rib_with(&set, prefixes, 2);

	assert_int_equal(add(rib, "1.1.1.1/32 via 10.0.0.1%1"), 1);
	assert_int_equal(append(rib, "1.1.1.1/32 via 10.0.0.2%1"), 0); /* the first wins */
	assert_int_equal(append(rib, "1.1.1.1/32 via 10.0.0.2%1"), 0);
	assert_int_equal(rib_route_count(rib), 2);
	assert_int_equal(del(rib, "1.1.1.1/32 via 10.0.0.1%1"), 1);
	assert_members(rib, 0, "10.0.0.2%1*1/1");
	rib_sync_begin(rib); /* a dump tells them in their order */
	assert_int_equal(append(rib, "1.1.1.1/32 via 10.0.0.3%1"), 1);
	assert_int_equal(append(rib, "1.1.1.1/32 via 10.0.0.2%1"), 0);
	assert_int_equal(rib_sync_end(rib), 1);
	assert_members(rib, 0, "10.0.0.3%1*1/1");
	assert_int_equal(rib_route_count(rib), 2);

	/* IPv6: one route, told whole; deletes may name a part. */
	assert_int_equal(add(rib, "2001:db8::1/128 metric 1024 via fe80::1%1"), 1);
	assert_int_equal(
		append(rib,
		       "2001:db8::1/128 metric 1024 via fe80::1%1 via fe80::2%1 via fe80::1%2"),
		1);
	assert_members(rib, 1, "fe80::1%1*1/2 fe80::1%2*1/2 fe80::2%1*1/2");
	/* The same in another order, as a dump tells it. */
	assert_int_equal(
		append(rib,
		       "2001:db8::1/128 metric 1024 via fe80::2%1 via fe80::1%2 via fe80::1%1"),
		0);
	assert_int_equal(del(rib, "2001:db8::1/128 metric 1024 via fe80::1%2"), 1);
	assert_members(rib, 1, "fe80::1%1*1/2 fe80::2%1*1/2");
	assert_int_equal(del(rib, "2001:db8::1/128 metric 1024 via fe80::7%2"), 0);
	assert_int_equal(del(rib, "2001:db8::1/128 metric 1024 via fe80::1%1 via fe80::2%1"), 1);
	assert_members(rib, 1, "");
}

static void object(struct rib *rib, uint32_t id, const char *gateway, const char *group,
		   int expected)
{
	struct nexthop_member list[8];
	struct nexthop_object o = { .id = id,
				    .single = { .ifindex = id, .weight = 1 },
				    .members = list };

	if (gateway)
		assert_int_equal(ip_addr_parse(gateway, &o.single.gateway), 0);
	for (; group && *group; group += 2)
		list[o.n_members++] = (struct nexthop_member){ (uint32_t)(*group - '0'),
							       (uint16_t)(group[1] - '0') };
	assert_int_equal(rib_object_set(rib, &o), expected);
}

static void test_objects(void **state _unused_)
{
	static const char *const prefixes[] = { "0.0.0.0/0", "1.1.1.1/32" };
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	_cleanup_(rib_freep) struct rib *rib = rib_with(&set, prefixes, 2);

	object(rib, 1, "10.0.0.1", NULL, 0);
	object(rib, 2, "10.0.0.2", NULL, 0);
	object(rib, 8, NULL, "1122", 0);
	assert_int_equal(add(rib, "1.1.1.1/32 id 8"), 1);
	assert_int_equal(add(rib, "5.0.0.0/8 id 1"), 0);
	assert_int_equal(rib_route_count(rib), 1); /* a single one below /0 */
	assert_members(rib, 0, "10.0.0.1%1*1/1 10.0.0.2%2*1/1");
	assert_members(rib, 1, "10.0.0.1%1*1/1 10.0.0.2%2*1/1");
	object(rib, 2, "10.0.0.22", NULL, 1); /* through the group */
	assert_members(rib, 1, "10.0.0.1%1*1/1 10.0.0.22%2*1/1");
	object(rib, 8, NULL, "11", 1); /* a group of one stays a cover, but is multipath no more */
	assert_members(rib, 0, "");
	assert_members(rib, 1, "10.0.0.1%1*1/1");
	object(rib, 8, NULL, "1127", 1);
	assert_int_equal(rib_object_del(rib, 1), 1);
	assert_members(rib, 1, "10.0.0.22%2*1/1");
	assert_int_equal(rib_object_del(rib, 2), 1); /* the group's last: group and route go */
	assert_members(rib, 1, "");
	assert_int_equal(rib_route_count(rib), 0);
	/* Not known yet: the route's own expansion, until the object is told. */
	assert_int_equal(add(rib, "1.1.1.1/32 id 9 via 10.0.0.5%5 via 10.0.0.6%5"), 1);
	assert_members(rib, 1, "10.0.0.5%5*1/1 10.0.0.6%5*1/1");
	object(rib, 1, "10.0.0.1", NULL, 0);
	object(rib, 9, NULL, "11", 1);
	assert_members(rib, 1, "10.0.0.1%1*1/1");
	rib_sync_begin(rib); /* the dump of objects does not hold it: the route speaks for itself */
	object(rib, 1, "10.0.0.1", NULL, 0);
	assert_int_equal(append(rib, "1.1.1.1/32 id 9 via 10.0.0.5%5 via 10.0.0.6%5"), 0);
	assert_int_equal(rib_sync_end(rib), 1);
	assert_members(rib, 1, "10.0.0.5%5*1/1 10.0.0.6%5*1/1");
	object(rib, 9, NULL, "11", 1);
	assert_int_equal(rib_object_del(rib, 9), 1);
	assert_int_equal(rib_route_count(rib), 0);
}

static void test_attributes(void **state _unused_)
{
	static const char *const prefixes[] = { "1.1.0.0/16" };
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	_cleanup_(rib_freep) struct rib *rib = rib_with(&set, prefixes, 1);
	const struct rib_member *m;
	size_t n;

	assert_int_equal(add(rib, "1.1.0.0/16 mtu 1400 via 10.0.0.1%1"), 1);
	assert_int_equal(add(rib, "1.1.1.0/24 mtu 1300 via 10.0.0.1%1"), 1);
	m = rib_service_members(rib, 0, &n);
	assert_int_equal(m[0].mtu, 1300);
	assert_int_equal(m[0].routes, 2);
	assert_int_equal(del(rib, "1.1.1.0/24 via 10.0.0.1%1"), 1);
	m = rib_service_members(rib, 0, &n);
	assert_int_equal(m[0].mtu, 1400);
	assert_int_equal(add(rib, "1.1.0.0/16 mtu 1350 via 10.0.0.1%1 via 10.0.0.1%1"), 1);
	m = rib_service_members(rib, 0, &n);
	assert_int_equal(n, 1); /* named twice, counted once */
	assert_int_equal(m[0].routes, 1);
	assert_int_equal(m[0].mtu, 1350);
}

static void rib_model_run(unsigned seed, unsigned changes)
{
	static void (*const ops[])(struct model *) = {
		model_op_add, model_op_add, model_op_add,    model_op_add,	  model_op_append,
		model_op_del, model_op_del, model_op_object, model_op_object_del, model_op_sync,
	};
	struct model m = { .seed = seed, .one_metric = seed % 2 };

	model_services(&m);
	for (unsigned i = 0; i < changes; i++)
		ops[model_random(&m, ARRAY_SIZE(ops))](&m);
	while (m.n > 0)
		model_take_out(&m, m.n - 1);
	for (size_t s = 0; s < m.set.n; s++)
		free(m.shown[s]);
	rib_free(m.rib);
	service_set_clear(&m.set);
}

static void test_random(void **state _unused_)
{
	/* Under valgrind (tests/analyze/valgrind says so) the model takes fifty times as long; a
	 * tenth of the changes still meets every operation. */
	unsigned changes = getenv("UNDER_VALGRIND") ? 400 : 4000;

	for (unsigned seed = 1; seed <= 6; seed++)
		rib_model_run(seed, changes);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A service of 10.0.0.0/8 with `n` multipath routes inside; then one of them loses and regains a
 * nexthop, again and again. */
static void measure(unsigned n)
{
	static const char *const prefixes[] = { "10.0.0.0/8" };
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	_cleanup_(rib_freep) struct rib *rib = rib_with(&set, prefixes, 1);
	_cleanup_(route_donep) struct route *r =
		route_of("10.0.0.0/24 via 9.0.0.1%1 via 9.0.0.2%1 via 9.0.0.3%1");
	unsigned changes = 20000;
	uint64_t begin;
	size_t members_n;

	for (unsigned i = 0; i < n; i++) {
		r->key.prefix.addr.bytes[1] = (uint8_t)(i >> 8);
		r->key.prefix.addr.bytes[2] = (uint8_t)i;
		assert_int_equal(rib_route_add(rib, r, false), 1);
	}
	assert_int_equal(rib_route_count(rib), n);
	begin = now_ns();
	for (unsigned i = 0; i < changes; i++) {
		unsigned k = i / 2 * 7919 % n;

		r->key.prefix.addr.bytes[1] = (uint8_t)(k >> 8);
		r->key.prefix.addr.bytes[2] = (uint8_t)k;
		r->n_nexthops = 2 + i % 2;
		assert_int_equal(rib_route_add(rib, r, false), 1);
	}
	print_message("%u routes: %llu ns a change\n", n,
		      (unsigned long long)(now_ns() - begin) / changes);
	rib_service_members(rib, 0, &members_n);
	assert_int_equal(members_n, 3);
	rib_sync_begin(rib);
	assert_int_equal(rib_sync_end(rib), 1);
	assert_int_equal(rib_route_count(rib), 0);
	rib_service_members(rib, 0, &members_n);
	assert_int_equal(members_n, 0);
}

static void test_cost(void **state _unused_)
{
	measure(100);
	measure(10000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cover),	   cmocka_unit_test(test_inside),
		cmocka_unit_test(test_equal_keys), cmocka_unit_test(test_objects),
		cmocka_unit_test(test_attributes), cmocka_unit_test(test_random),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
