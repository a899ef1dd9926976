// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "core/service.h"

static void test_nexthop_spec(void **state _unused_)
{
	static const struct {
		const char *text, *back; /* NULL: refused */
	} cases[] = {
		{ "10.1.0.2", "10.1.0.2" },
		{ "10.1.0.2%eth1", "10.1.0.2%eth1" },
		{ "fe80::1%eth1", "fe80::1%eth1" },
		{ "FE80:0::1%br-lan.5", "fe80::1%br-lan.5" },
		{ "%ppp0", "%ppp0" },
		{ "10.0.0.1%abcdefghijklmno", "10.0.0.1%abcdefghijklmno" },
		{ "", NULL },
		{ "%", NULL },
		{ "10.0.0.1%", NULL },
		{ "10.0.0.1%abcdefghijklmnop", NULL },
		{ "10.0.0.1%a/b", NULL },
		{ "10.0.0.1%a b", NULL },
		{ "10.0.0.1%..", NULL },
		{ "10.0.0.1%a%b", NULL },
		{ "%b\xc3\xbcro", "%b\xc3\xbcro" },
		{ "%b\xc1\xbc", NULL }, /* overlong */
		{ "%b\xc3", NULL },
		{ "10.0.0.1/32", NULL },
		{ "10.0.0", NULL },
		{ " 10.0.0.1", NULL },
		{ "eth1", NULL },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nexthop_spec s = { .ifname = "kept" };
		char buf[NEXTHOP_TEXT];
		int r = nexthop_spec_parse(cases[i].text, &s);

		assert_int_equal(r, cases[i].back ? 0 : -EINVAL);
		assert_string_equal(r < 0 ? s.ifname : nexthop_spec_format(&s, buf),
				    r < 0 ? "kept" : cases[i].back);
	}
}

static void test_nexthop_matches(void **state _unused_)
{
	static const struct {
		const char *spec, *full;
		bool match;
	} cases[] = {
		{ "10.0.0.1", "10.0.0.1%eth0", true },
		{ "10.0.0.1%eth0", "10.0.0.1%eth0", true },
		{ "10.0.0.1%eth1", "10.0.0.1%eth0", false },
		{ "10.0.0.2", "10.0.0.1%eth0", false },
		{ "%ppp0", "%ppp0", true },
		{ "%ppp0", "10.0.0.1%ppp0", false },
		{ "10.0.0.1", "%ppp0", false },
		{ "fe80::1", "fe80::1%eth7", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nexthop_spec s, full;

		assert_int_equal(nexthop_spec_parse(cases[i].spec, &s), 0);
		assert_int_equal(nexthop_spec_parse(cases[i].full, &full), 0);
		assert_int_equal(nexthop_spec_matches(&s, &full), cases[i].match);
	}
}

/* Services in words: "PREFIX,... PROTO,... FIRST-LAST,...". */
static void service_add(struct service_set *set, const char *name, const char *prefixes,
			const char *protos, const char *ports)
{
	char words[200], *save, *w;
	struct service *s;

	set->list = reallocarray(set->list, set->n + 1, sizeof(*set->list));
	s = &set->list[set->n++];
	*s = (struct service){ 0 };
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->prefixes = calloc(16, sizeof(*s->prefixes));
	s->ports = calloc(16, sizeof(*s->ports));
	snprintf(words, sizeof(words), "%s", prefixes);
	for (w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save))
		assert_int_equal(ip_prefix_parse(w, &s->prefixes[s->n_prefixes++]), 0);
	snprintf(words, sizeof(words), "%s", protos);
	for (w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save))
		s->protos[s->n_protos++] = proto_parse(w);
	snprintf(words, sizeof(words), "%s", ports);
	for (w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		assert_int_equal(sscanf(w, "%hu-%hu", &s->ports[s->n_ports].first,
					&s->ports[s->n_ports].last),
				 2);
		s->n_ports++;
	}
}

static int match(const struct service_set *set, const char *dst, const char *proto, uint16_t port)
{
	struct ip_addr a;
	struct tuple t = { .dport = port, .proto = proto_parse(proto) };

	assert_int_equal(ip_addr_parse(dst, &a), 0);
	t.family = a.family;
	memcpy(t.dst, a.bytes, 16);
	return service_set_match(set, &t);
}

static void test_match(void **state _unused_)
{
	_cleanup_(service_set_clear) struct service_set set = { 0 };

	service_add(&set, "all", "0.0.0.0/0,::/0", "tcp,udp", "0-65535");
	service_add(&set, "net", "10.0.0.0/8", "tcp", "0-1023");
	service_add(&set, "web", "10.1.1.1/32", "tcp", "80-80,443-443");
	service_add(&set, "low", "10.0.0.0/8", "tcp", "100-199");
	assert_int_equal(match(&set, "10.1.1.1", "tcp", 80), 2);
	assert_int_equal(match(&set, "10.1.1.1", "tcp", 81),
			 1); /* what the more specific one does not take */
	assert_int_equal(match(&set, "10.1.1.1", "udp", 80), 0);
	assert_int_equal(match(&set, "10.1.1.2", "tcp", 150), 3);
	assert_int_equal(match(&set, "10.1.1.2", "tcp", 200), 1);
	assert_int_equal(match(&set, "10.1.1.2", "tcp", 1024), 0);
	assert_int_equal(match(&set, "11.0.0.1", "tcp", 80), 0);
	assert_int_equal(match(&set, "::1", "udp", 80), 0);
	assert_int_equal(match(&set, "11.0.0.1", "sctp", 80), -1);
}

static void test_check(void **state _unused_)
{
	static const struct {
		const char *prefixes[2], *protos[2], *ports[2];
		const char *sentence; /* NULL: fine */
	} cases[] = {
		{ { "1.1.1.1/32", "1.1.1.1/32" }, { "tcp", "tcp" }, { "80-80", "443-443" }, NULL },
		{ { "1.1.1.1/32", "1.1.1.1/32" }, { "tcp", "udp" }, { "80-80", "80-80" }, NULL },
		{ { "1.1.1.1/32", "1.1.1.0/24" }, { "tcp", "tcp" }, { "80-80", "80-80" }, NULL },
		{ { "1.1.1.1/32", "1.1.1.1/32" }, { "tcp", "tcp" }, { "0-65535", "80-80" }, NULL },
		{ { "1.1.1.1/32", "1.1.1.1/32" }, { "tcp", "tcp" }, { "80-90", "80-85" }, NULL },
		{ { "1.1.1.1/32", "2.2.2.2/32,1.1.1.1/32" },
		  { "udp,tcp", "tcp" },
		  { "80-80", "80-80" },
		  "services 'a' and 'b' both claim 1.1.1.1/32, tcp, port 80, and neither is more "
		  "specific" },
		{ { "::/0", "::/0" },
		  { "udp", "udp" },
		  { "80-90", "85-95" },
		  "services 'a' and 'b' both claim ::/0, udp, ports 85-90, and neither is more "
		  "specific" },
		{ { "::/0", "::/0" },
		  { "sctp", "sctp" },
		  { "0-65535", "0-65535" },
		  "services 'a' and 'b' both claim ::/0, sctp, all ports, and neither is more "
		  "specific" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(service_set_clear) struct service_set set = { 0 };
		struct err e = { 0 };
		int r;

		service_add(&set, "a", cases[i].prefixes[0], cases[i].protos[0], cases[i].ports[0]);
		service_add(&set, "b", cases[i].prefixes[1], cases[i].protos[1], cases[i].ports[1]);
		r = service_set_check(&set, &e);
		assert_string_equal(e.text, cases[i].sentence ? cases[i].sentence : "");
		assert_int_equal(r, cases[i].sentence ? -EEXIST : 0);
	}
}

static int cell_find(const struct service_cell *cells, size_t n, const struct tuple *t)
{
	struct ip_addr dst = tuple_dst(t);
	int found = -1;

	for (size_t i = 0; i < n; i++) {
		if (cells[i].proto != t->proto || cells[i].ports.first > t->dport ||
		    cells[i].ports.last < t->dport)
			continue;
		if (ip_addr_compare(&cells[i].first, &dst) > 0 ||
		    ip_addr_compare(&cells[i].last, &dst) < 0)
			continue;
		assert_int_equal(found, -1); /* cells do not overlap */
		found = cells[i].service;
	}
	return found;
}

/* Four bits at the top and four at the bottom vary, so that stretches are long and prefixes of all
 * kinds occur; the bits between them are all zero or all one (the last of short prefixes). */
static struct ip_addr addr_of(uint8_t family, unsigned low)
{
	struct ip_addr a = { .family = family };
	size_t size = ip_addr_size(&a);

	if (low & 256) {
		memset(a.bytes, 0xff, size);
		a.bytes[0] = (uint8_t)((low & 0xf0) | 0x0f);
		a.bytes[size - 1] = (uint8_t)(0xf0 | (low & 15));
		return a;
	}
	low &= 255;
	a.bytes[0] = (uint8_t)((low >> 4) << 4);
	a.bytes[size - 1] = (uint8_t)(low & 15);
	return a;
}

static struct ip_prefix random_prefix(unsigned *seed)
{
	static const uint8_t top[] = { 0, 1, 2, 3, 4 };
	uint8_t family = rand_r(seed) % 2 ? AF_INET : AF_INET6, bits = ip_family_bits(family);
	struct ip_addr a = addr_of(family, (unsigned)rand_r(seed) % 256);
	uint8_t len = rand_r(seed) % 2 ? top[(unsigned)rand_r(seed) % ARRAY_SIZE(top)]
				       : (uint8_t)(bits - rand_r(seed) % 5);

	return ip_prefix_make(&a, len);
}

static void random_service(struct service_set *set, unsigned *seed)
{
	static const char *const protos[] = { "tcp", "udp", "tcp,udp", "tcp,udp,sctp" };
	static const char *const ports[] = { "0-65535", "80-80",       "80-90",
					     "82-85",	"82-82,84-84", "70-100,65000-65535",
					     "0-79" };
	struct service *s;
	char name[8];

	snprintf(name, sizeof(name), "s%zu", set->n);
	service_add(set, name, "", protos[(unsigned)rand_r(seed) % ARRAY_SIZE(protos)],
		    ports[(unsigned)rand_r(seed) % ARRAY_SIZE(ports)]);
	s = &set->list[set->n - 1];
	s->n_prefixes = 1 + (unsigned)rand_r(seed) % 3;
	for (size_t i = 0; i < s->n_prefixes; i++)
		s->prefixes[i] = random_prefix(seed);
}

/* Neighbours that could be one cell are one. */
static void assert_merged(const struct service_cell *cells, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			const struct service_cell *a = &cells[i], *b = &cells[k];
			struct ip_addr next = a->last;
			bool beside = a->proto == b->proto && a->service == b->service;

			if (!beside || a == b)
				continue;
			assert_false(ip_addr_equal(&a->first, &b->first) &&
				     ip_addr_equal(&a->last, &b->last) &&
				     a->ports.last + 1 == b->ports.first);
			assert_false(a->ports.first == b->ports.first &&
				     a->ports.last == b->ports.last && ip_addr_increment(&next) &&
				     ip_addr_equal(&next, &b->first));
		}
	}
}

static void assert_agree(const struct service_set *set, const struct service_cell *cells, size_t n)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	static const uint16_t ports[] = { 0,  69, 70, 79, 80,  81,  82,	   83,	  84,
					  85, 86, 90, 91, 100, 101, 64999, 65000, 65535 };

	for (unsigned i = 0; i < 3 * 2 * 512; i++) {
		uint8_t family = i % 2 ? AF_INET : AF_INET6;
		struct ip_addr dst = addr_of(family, i / 2 % 512);
		struct tuple t = { .family = family, .proto = protos[i / 1024] };

		memcpy(t.dst, dst.bytes, 16);
		for (size_t k = 0; k < ARRAY_SIZE(ports); k++) {
			t.dport = ports[k];
			assert_int_equal(cell_find(cells, n, &t), service_set_match(set, &t));
		}
	}
}

static void test_compile_random(void **state _unused_)
{
	unsigned seed = 1, kept = 0;

	for (int round = 0; round < 400; round++) {
		_cleanup_(service_set_clear) struct service_set set = { 0 };
		_cleanup_(freep) struct service_cell *cells = NULL;
		size_t n;

		for (int i = 1 + rand_r(&seed) % 5; i > 0; i--)
			random_service(&set, &seed);
		if (service_set_check(&set, NULL) < 0)
			continue;
		kept++;
		assert_int_equal(service_set_compile(&set, &cells, &n), 0);
		assert_agree(&set, cells, n);
		assert_merged(cells, n);
		for (size_t i = 1; i < n; i++)
			assert_true(ip_addr_compare(&cells[i - 1].first, &cells[i].first) <= 0);
	}
	assert_true(kept > 100);
}

static void test_compile_words(void **state _unused_)
{
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	_cleanup_(freep) struct service_cell *cells = NULL;
	char buf[2][IP_ADDR_TEXT], text[400] = "";
	size_t n;

	service_add(&set, "all", "0.0.0.0/0", "tcp", "0-65535");
	service_add(&set, "web", "10.0.0.0/32,10.0.0.1/32", "tcp", "80-80");
	assert_int_equal(service_set_compile(&set, &cells, &n), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s-%s %u-%u %s\n",
			 ip_addr_format(&cells[i].first, buf[0]),
			 ip_addr_format(&cells[i].last, buf[1]), cells[i].ports.first,
			 cells[i].ports.last, set.list[cells[i].service].name);
	assert_string_equal(text, "0.0.0.0-9.255.255.255 0-65535 all\n"
				  "10.0.0.0-10.0.0.1 0-79 all\n"
				  "10.0.0.0-10.0.0.1 80-80 web\n"
				  "10.0.0.0-10.0.0.1 81-65535 all\n"
				  "10.0.0.2-255.255.255.255 0-65535 all\n");
}

static void test_compile_empty(void **state _unused_)
{
	struct service_set set = { 0 };
	_cleanup_(freep) struct service_cell *cells = NULL;
	size_t n = 1;

	assert_int_equal(service_set_compile(&set, &cells, &n), 0);
	assert_int_equal(n, 0);
}

static void test_compile_too_many(void **state _unused_)
{
	_cleanup_(service_set_clear) struct service_set set = { 0 };
	struct service_cell *cells = NULL;
	size_t n = 7;
	struct service *s;

	service_add(&set, "big", "10.0.0.0/32", "tcp", "80-80");
	s = &set.list[0];
	s->prefixes = reallocarray(s->prefixes, 66000, sizeof(*s->prefixes));
	for (s->n_prefixes = 0; s->n_prefixes < 66000; s->n_prefixes++) {
		struct ip_addr a = { .family = AF_INET, .bytes = { 10 } };

		a.bytes[1] = (uint8_t)(s->n_prefixes >> 15);
		a.bytes[2] = (uint8_t)(s->n_prefixes >> 7);
		a.bytes[3] = (uint8_t)(s->n_prefixes
				       << 1); /* every other address, so that nothing merges */
		s->prefixes[s->n_prefixes] = ip_prefix_make(&a, 32);
	}
	assert_int_equal(service_set_compile(&set, &cells, &n), -E2BIG);
	assert_null(cells);
	assert_int_equal(n, 7);
}

static void test_cover(void **state _unused_)
{
	static const struct {
		const char *first, *second; /* prefixes of two services */
		uint8_t family;
		const char *cover; /* NULL: none */
		bool whole;
	} cases[] = {
		{ "1.1.1.1/32", "2001:db8::1/128", AF_INET, "1.1.1.1/32", true },
		{ "1.1.1.1/32", "2001:db8::1/128", AF_INET6, "2001:db8::1/128", true },
		{ "1.1.1.1/32", "1.1.1.1/32", AF_INET, "1.1.1.1/32", true },
		{ "1.1.1.1/32", "1.1.2.0/24", AF_INET, "1.1.0.0/22", false },
		{ "1.1.1.128/25", "1.1.1.0/25", AF_INET, "1.1.1.0/24", false },
		{ "10.2.0.0/16", "10.1.1.1/32,10.0.0.0/8", AF_INET, "10.0.0.0/8", true },
		{ "0.0.0.0/1", "128.0.0.0/1", AF_INET, "0.0.0.0/0", false },
		{ "1.1.1.1/32", "0.0.0.0/0", AF_INET, "0.0.0.0/0", true },
		{ "2001:db8::1/128", "2001:db8:2::/48", AF_INET6, "2001:db8::/46", false },
		{ "::/0", "2001:db8::1/128", AF_INET6, "::/0", true },
		{ "2001:db8::1/128", "2001:db8:2::/48", AF_INET, NULL, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(service_set_clear) struct service_set set = { 0 };
		struct ip_prefix cover = { .len = 77 };
		char text[IP_PREFIX_TEXT];
		bool whole = false;

		service_add(&set, "a", cases[i].first, "tcp", "80-80");
		service_add(&set, "b", cases[i].second, "tcp", "81-81");
		assert_int_equal(service_set_cover(&set, cases[i].family, &cover, &whole),
				 cases[i].cover != NULL);
		assert_int_equal(whole, cases[i].whole);
		if (cases[i].cover)
			assert_string_equal(ip_prefix_format(&cover, text), cases[i].cover);
		else
			assert_int_equal(cover.len, 77);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nexthop_spec),   cmocka_unit_test(test_nexthop_matches),
		cmocka_unit_test(test_match),	       cmocka_unit_test(test_check),
		cmocka_unit_test(test_compile_random), cmocka_unit_test(test_compile_words),
		cmocka_unit_test(test_compile_empty),  cmocka_unit_test(test_compile_too_many),
		cmocka_unit_test(test_cover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
