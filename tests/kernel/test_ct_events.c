// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "netlink/ct.h"
#include "netns.h"

/* Destination ports and what the ruleset makes of them. */
enum { PORT_OURS = 7001, PORT_OTHER_MARK, PORT_UNMARKED, PORT_ZONE, PORT_ORIGINAL_ZONE, PORT_BOTH };

#define MASK 0xff000000

static const char ruleset[] = "table inet flowpin_test {\n"
			      "	chain zones {\n"
			      "		type filter hook output priority -310\n"
			      "		udp dport 7004 ct zone set 101\n"
			      "		udp dport 7005 ct original zone set 102\n"
			      "	}\n"
			      "	chain marks {\n"
			      "		type filter hook output priority 0\n"
			      "		udp dport { 7001, 7004, 7005 } ct mark set 0x01000000\n"
			      "		udp dport 7002 ct mark set 0x00ffffff\n"
			      "		udp dport 7006 ct mark set 0x02abcdef\n"
			      "	}\n"
			      "}\n";

static bool ruleset_load(void)
{
	FILE *nft = popen("nft -f -", "w");

	if (!nft)
		return false;
	fputs(ruleset, nft);
	return pclose(nft) == 0;
}

/* A flow over lo: its conntrack entry, and the entry's event, exist when this returns. */
static struct tuple flow_make(uint8_t family, uint16_t sport, uint16_t dport)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons(sport),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_port = htons(sport),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct tuple t = { .family = family, .proto = IPPROTO_UDP, .sport = sport, .dport = dport };
	bool v4 = family == AF_INET;
	struct sockaddr *a = v4 ? (struct sockaddr *)&a4 : (struct sockaddr *)&a6;
	socklen_t len = v4 ? sizeof(a4) : sizeof(a6);
	_cleanup_(closep) int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, a, len), 0);
	a4.sin_port = a6.sin6_port = htons(dport);
	assert_int_equal(sendto(fd, "x", 1, 0, a, len), 1);
	memcpy(t.src, v4 ? (void *)&a4.sin_addr : (void *)&a6.sin6_addr, v4 ? 4 : 16);
	memcpy(t.dst, t.src, sizeof(t.dst));
	if (dport == PORT_ZONE)
		t.zone = 101;
	if (dport == PORT_ORIGINAL_ZONE)
		t.zone = 102;
	return t;
}

static int keep_entry(const struct nlmsghdr *nlh, void *arg)
{
	return ct_decode(nlh, arg);
}

static void expect_event(struct nl *events, enum ct_event event, const struct tuple *t)
{
	uint64_t deadline = clock_now_ms() + NETNS_DEADLINE_MS;
	struct ct_entry e = { 0 };
	int r;

	do {
		struct pollfd p = { .fd = nl_fd(events), .events = POLLIN };

		(void)poll(&p, 1, 100);
		r = nl_receive(events, 1, keep_entry, &e);
	} while (r == 0 && clock_now_ms() < deadline);
	assert_int_equal(r, 1);
	assert_int_equal(e.event, event);
	if (memcmp(&e.tuple, t, sizeof(*t)) != 0) {
		char got[TUPLE_TEXT], want[TUPLE_TEXT];

		fail_msg("%s instead of %s", tuple_format(&e.tuple, got), tuple_format(t, want));
	}
}

static struct nl *events_open(uint32_t mask, const uint16_t *zones, size_t n_zones)
{
	struct nl *events = NULL;

	assert_int_equal(nl_open(NETLINK_NETFILTER, &events), 0);
	assert_int_equal(ct_filter_events(events, mask, zones, n_zones), 0);
	assert_int_equal(nl_join(events, NFNLGRP_CONNTRACK_NEW), 0);
	assert_int_equal(nl_join(events, NFNLGRP_CONNTRACK_UPDATE), 0);
	assert_int_equal(nl_join(events, NFNLGRP_CONNTRACK_DESTROY), 0);
	return events;
}

static void flow_delete(struct nl *nl, const struct tuple *t)
{
	uint8_t buf[NL_REQUEST_MAX];
	struct err e = { 0 };

	assert_int_equal(nl_request(nl, ct_request_delete(buf, t), NULL, NULL, &e), 0);
	assert_int_equal(nl_request(nl, ct_request_delete(buf, t), NULL, NULL, &e), -ENOENT);
}

struct filter_case {
	const char *what;
	uint32_t mask;
	uint16_t zones[64];
	size_t n_zones;
	uint16_t ports[5]; /* whose flows come through, in the order in which they are made */
};

static const struct filter_case filters[] = {
	{ "zone 0", MASK, { 0 }, 1, { PORT_OURS, PORT_BOTH } },
	{ "other bits", 0x00ffffff, { 0 }, 1, { PORT_OTHER_MARK, PORT_BOTH } },
	{ "zone 101", MASK, { 101 }, 1, { PORT_ZONE } },
	{ "zone of one direction", MASK, { 102 }, 1, { PORT_ORIGINAL_ZONE } },
	{ "all zones",
	  MASK,
	  { 0, 102, 101 },
	  3,
	  { PORT_OURS, PORT_ZONE, PORT_ORIGINAL_ZONE, PORT_BOTH } },
	{ "first of 64", MASK, { [0] = 101, [1 ... 63] = 9 }, 64, { PORT_ZONE } },
	{ "last of 64", MASK, { [0 ... 62] = 9, [63] = 101 }, 64, { PORT_ZONE } },
	{ "other zones", MASK, { 100, 357, 65535 }, 3, { 0 } },
	{ "no list of zones",
	  MASK,
	  { 0 },
	  0,
	  { PORT_OURS, PORT_ZONE, PORT_ORIGINAL_ZONE, PORT_BOTH } },
	{ "no bit", 0, { 0, 101, 102 }, 3, { 0 } },
};

static bool listed(const struct filter_case *c, uint16_t port)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->ports); i++)
		if (c->ports[i] == port)
			return true;
	return false;
}

/* The kernel sends events in the order of what happened: what must not come is proved absent by
 * what comes next, and at the end by a read that finds nothing, since entries that are deleted by
 * request have been announced when it is answered. */
static void test_filter(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	uint16_t sport = 20000;

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_NETFILTER, &nl), 0);
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		const struct filter_case *c = &filters[i];
		_cleanup_(nl_closep) struct nl *events = events_open(c->mask, c->zones, c->n_zones);
		uint8_t families[] = { AF_INET, AF_INET6 };
		struct ct_entry e;

		printf("# %s\n", c->what);
		for (uint16_t port = PORT_OURS; port <= PORT_BOTH; port++)
			for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
				struct tuple t = flow_make(families[f], sport++, port);

				if (listed(c, port))
					expect_event(events, CT_EVENT_NEW, &t);
				flow_delete(nl, &t);
				if (listed(c, port))
					expect_event(events, CT_EVENT_DESTROY, &t);
			}
		assert_int_equal(nl_receive(events, 10, keep_entry, &e), 0);
	}
}

/* The same flows without a filter all arrive: what the cases above miss is missing because of the
 * filter. */
static void test_no_filter(void **state)
{
	_cleanup_(nl_closep) struct nl *events = NULL, *nl = NULL;
	const uint16_t zones[65] = { 0 };

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_NETFILTER, &nl), 0);
	assert_int_equal(nl_open(NETLINK_NETFILTER, &events), 0);
	assert_int_equal(nl_join(events, NFNLGRP_CONNTRACK_NEW), 0);
	for (uint16_t port = PORT_OURS; port <= PORT_BOTH; port++) {
		struct tuple t = flow_make(AF_INET, (uint16_t)(port + 20000), port);

		expect_event(events, CT_EVENT_NEW, &t);
		flow_delete(nl, &t);
	}
	assert_int_equal(ct_filter_events(events, MASK, zones, ARRAY_SIZE(zones)), -E2BIG);
}

struct found {
	const struct tuple *tuples;
	size_t n, seen[2], others;
};

static int find_entry(const struct nlmsghdr *nlh, void *arg)
{
	struct found *f = arg;
	struct ct_entry e;
	int r = ct_decode(nlh, &e);

	if (r < 0)
		return r;
	assert_int_equal(e.event, CT_EVENT_DUMP);
	for (size_t i = 0; i < f->n; i++)
		if (memcmp(&e.tuple, &f->tuples[i], sizeof(e.tuple)) == 0) {
			f->seen[i]++;
			return 0;
		}
	f->others++;
	return 0;
}

static void test_requests(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	uint8_t buf[NL_REQUEST_MAX];
	struct ct_entry e;
	struct err err = { 0 };
	struct tuple t[2];
	struct found f = { .tuples = t, .n = 2 };

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_NETFILTER, &nl), 0);
	t[0] = flow_make(AF_INET, 30001, PORT_BOTH);
	t[1] = flow_make(AF_INET6, 30002, PORT_ZONE);

	assert_int_equal(nl_request(nl, ct_request_get(buf, &t[0]), keep_entry, &e, &err), 0);
	assert_memory_equal(&e.tuple, &t[0], sizeof(t[0]));
	assert_int_equal(e.mark, 0x02abcdef);
	/* Only the bits under the mask change. */
	assert_int_equal(
		nl_request(nl, ct_request_set_mark(buf, &t[0], 0x07ffffff, MASK), NULL, NULL, &err),
		0);
	assert_int_equal(nl_request(nl, ct_request_get(buf, &t[0]), keep_entry, &e, &err), 0);
	assert_int_equal(e.mark, 0x07abcdef);

	assert_int_equal(nl_request(nl, ct_request_get(buf, &t[1]), keep_entry, &e, &err), 0);
	assert_memory_equal(&e.tuple, &t[1], sizeof(t[1]));

	assert_int_equal(
		nl_dump(nl, ct_request_dump(buf, 0x07000000, MASK), find_entry, NULL, &f, &err), 0);
	assert_true(f.seen[0] == 1 && f.seen[1] == 0 && f.others == 0);
	assert_int_equal(nl_dump(nl, ct_request_dump(buf, 0, 0), find_entry, NULL, &f, &err), 0);
	assert_true(f.seen[0] == 2 && f.seen[1] == 1);

	/* The zone is part of the identity. */
	t[1].zone = 0;
	assert_int_equal(nl_request(nl, ct_request_get(buf, &t[1]), keep_entry, &e, &err), -ENOENT);
	assert_int_equal(nl_request(nl, ct_request_set_mark(buf, &t[1], 1, MASK), NULL, NULL, &err),
			 -ENOENT);
	t[1].zone = 101;
	flow_delete(nl, &t[0]);
	flow_delete(nl, &t[1]);
}

/* Entries that no packet made: TCP, UDP and SCTP of both families, in a zone. Again is fine, and
 * changes mark and timeout. */
static void test_create(void **state)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	_cleanup_(nl_closep) struct nl *nl = NULL;
	uint8_t buf[NL_REQUEST_MAX];
	struct err err = { 0 };

	if (!*state)
		skip();
	assert_int_equal(nl_open(NETLINK_NETFILTER, &nl), 0);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(protos); i++) {
		struct tuple t = { .family = i % 2 ? AF_INET6 : AF_INET,
				   .proto = protos[i / 2],
				   .sport = 30001,
				   .dport = 80,
				   .zone = 101,
				   .src = { 12, 12, 12, 1 },
				   .dst = { 1, 1, 1, 1 } };
		struct ct_entry e = { 0 };

		assert_int_equal(nl_request(nl, ct_request_touch(buf, &t, 60), NULL, NULL, &err),
				 -ENOENT);
		if (nl_request(nl, ct_request_create(buf, &t, 0x05ffffff, MASK, 300), NULL, NULL,
			       &err) < 0)
			fail_msg("protocol %u: %s", t.proto, err.text);
		assert_int_equal(nl_request(nl, ct_request_get(buf, &t), keep_entry, &e, &err), 0);
		assert_memory_equal(&e.tuple, &t, sizeof(t));
		assert_int_equal(e.mark, 0x05000000);
		assert_in_range(e.timeout_s, 290, 300);
		assert_false(e.nat);
		assert_int_equal(nl_request(nl, ct_request_create(buf, &t, 0x06000000, MASK, 20),
					    NULL, NULL, &err),
				 0);
		assert_int_equal(nl_request(nl, ct_request_get(buf, &t), keep_entry, &e, &err), 0);
		assert_int_equal(e.mark, 0x06000000);
		assert_in_range(e.timeout_s, 10, 20);
		assert_int_equal(nl_request(nl, ct_request_touch(buf, &t, 90), NULL, NULL, &err),
				 0);
		assert_int_equal(nl_request(nl, ct_request_get(buf, &t), keep_entry, &e, &err), 0);
		assert_in_range(e.timeout_s, 80, 90);
		assert_int_equal(e.mark, 0x06000000);
		flow_delete(nl, &t);
	}
}

static int enter(void **state)
{
	static const char entered[] = "entered";

	*state = NULL;
	if (!netns_enter())
		return 0;
	if (!ruleset_load())
		return -1;
	*state = (void *)(uintptr_t)entered;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_filter),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_create),
	};

	return cmocka_run_group_tests_name("ct_events", tests, enter, NULL);
}
