// SPDX-License-Identifier: GPL-2.0-or-later
#include <poll.h>
#include "kernel/ruleset_steps.h"
#include "pin/ruleset_internal.h"

/* Pins: written and read one by one, and made by packets that cross the gateway. */

static char listing[WORLD_TEXT];

struct walked {
	size_t n;
	struct tuple tuple[8];
	uint8_t binding[8];
};

static void walk_pin(const struct tuple *t, uint8_t binding, void *arg)
{
	struct walked *d = arg;

	if (d->n < ARRAY_SIZE(d->tuple)) {
		d->tuple[d->n] = *t;
		d->binding[d->n] = binding;
	}
	d->n++;
}

static size_t walk(struct ruleset *r, struct walked *d)
{
	struct pollfd p = { .fd = ruleset_pins_dump_fd(r), .events = POLLIN };
	uint64_t end = clock_now_ms() + WORLD_DEADLINE_MS;
	int code = 1;

	*d = (struct walked){ 0 };
	assert_int_equal(ruleset_pins_dump_begin(r), 0);
	while (code > 0 && clock_now_ms() < end) {
		poll(&p, 1, 100);
		code = ruleset_pins_dump_step(r, 4, walk_pin, d);
	}
	assert_int_equal(code, 0);
	return d->n;
}

static void check_pins(struct world *w, bool can_destroy)
{
	struct ruleset *r = open_ruleset(false);
	struct ruleset_pin pins[] = {
		{ world_tuple("12.12.12.2", 1000, "1.1.1.1", 80, IPPROTO_TCP), WEB_1, 60 },
		{ world_tuple("12.12.12.2", 1001, "1.1.1.1", 53, IPPROTO_UDP), DNS_LINK, 60 },
		{ world_tuple("fd00:12::2", 1002, "2001:db8::1", 80, IPPROTO_TCP), WEB_6, 60 },
		{ world_tuple("12.12.12.2", 1003, "1.1.1.1", 80, IPPROTO_ICMP), WEB_1, 60 },
		{ world_tuple("12.12.12.2", 1004, "1.1.1.1", 80, IPPROTO_TCP), WEB_1, 60 },
	};
	struct tuple tuples[ARRAY_SIZE(pins)];
	uint8_t got[ARRAY_SIZE(pins)];
	struct walked d;
	struct err e = { 0 };

	r->can_destroy = can_destroy;
	sync_ok(r, &w->model);
	pins[4].tuple.zone = 7;
	for (size_t i = 0; i < ARRAY_SIZE(pins); i++)
		tuples[i] = pins[i].tuple;
	assert_int_equal(ruleset_pins_add(r, pins, ARRAY_SIZE(pins), &e), 0);
	assert_int_equal(ruleset_pins_get(r, tuples, ARRAY_SIZE(pins), got, &e), 0);
	assert_memory_equal(got, ((uint8_t[]){ WEB_1, DNS_LINK, WEB_6, 0, 0 }), sizeof(got));
	/* Moved, not merely refreshed. */
	pins[0].binding = WEB_2;
	assert_int_equal(ruleset_pins_add(r, pins, 1, &e), 0);
	assert_int_equal(walk(r, &d), 3);
	assert_memory_equal(&d.tuple[2], &tuples[2], sizeof(tuples[2]));
	assert_int_equal(d.binding[2], WEB_6);
	assert_int_equal(ruleset_pins_delete(r, tuples, ARRAY_SIZE(tuples), &e), 0);
	assert_int_equal(ruleset_pins_delete(r, tuples, ARRAY_SIZE(tuples), &e), 0);
	assert_int_equal(ruleset_pins_get(r, tuples, ARRAY_SIZE(pins), got, &e), 0);
	assert_memory_equal(got, ((uint8_t[5]){ 0 }), sizeof(got));
	assert_int_equal(walk(r, &d), 0);
	ruleset_free(r);
}

static void test_pins(void **state)
{
	WORLD_OR_SKIP(state);
	check_pins(w, true);
}

/* As on a kernel before 6.3, which refuses to delete what is not there. */
static void test_pins_without_destroy(void **state)
{
	WORLD_OR_SKIP(state);
	check_pins(w, false);
}

/* One request asks for several pins, and the kernel stops at the first that is missing. Each of
 * these rows of pins (1: there, 0: not) is asked for as a whole. */
static const char *const rows[] = {
	"1", "0", "10", "01", "0000000000", "1111111111", "1011101111011111", "0100010000100000",
	"1111111111111111111111111111111111111111111111111111111111111111",
	"1111111111111111111111111111111011111111111111111111111111111110",
	"0111111111111111111111111111111101111111111111111111111111111111",
};

static void check_row(struct ruleset *r, size_t n, bool (*is_there)(size_t i, const void *arg),
		      const void *arg)
{
	_cleanup_(freep) struct ruleset_pin *pins = calloc(n, sizeof(*pins));
	_cleanup_(freep) struct tuple *tuples = calloc(n, sizeof(*tuples));
	_cleanup_(freep) uint8_t *got = malloc(n);
	struct err e = { 0 };

	assert_true(pins && tuples && got);
	for (size_t i = 0; i < n; i++) {
		bool six = i % 7 == 3; /* of two maps, and so never all in one request */

		pins[i] = (struct ruleset_pin){
			.tuple = six ? world_tuple("fd00:12::2", (uint16_t)(1 + i), "2001:db8::1",
						   80, IPPROTO_TCP)
				     : world_tuple("12.12.12.2", (uint16_t)(1 + i), "1.1.1.1", 80,
						   IPPROTO_TCP),
			.binding = !is_there(i, arg) ? 0 : six ? WEB_6 : i % 2 ? WEB_1 : WEB_2,
			.timeout_s = 60,
		};
		tuples[i] = pins[i].tuple;
		if (i % 5 == 4 && !pins[i].binding)
			tuples[i].proto = IPPROTO_ICMP; /* not asked for at all */
	}
	assert_int_equal(ruleset_pins_add(r, pins, n, &e), 0);
	memset(got, 0xff, n);
	assert_int_equal(ruleset_pins_get(r, tuples, n, got, &e), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], pins[i].binding);
	assert_int_equal(ruleset_pins_delete(r, tuples, n, &e), 0);
}

static bool in_row(size_t i, const void *row)
{
	return ((const char *)row)[i] == '1';
}

/* Long rows of one kind, then of the other: how many are asked for at once changes under way. */
static bool in_crowds(size_t i, const void *arg _unused_)
{
	return i < 900 ? true : i < 1800 ? false : i < 2400 ? i % 3 != 0 : i % 40 != 0;
}

static void check_rows(struct ruleset *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(r, strlen(rows[i]), in_row, rows[i]);
	check_row(r, 3333, in_crowds, NULL);
}

static void test_pins_are_asked_for_in_rows(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	uint32_t bytes = 0;

	w->model.max_pins = 5000;
	sync_ok(r, &w->model);
	check_rows(r);
	/* No room for the answers to a long request, and hardly for one. */
	assert_int_equal(nl_set_receive_buffer(r->nl, 8192, &bytes), 0);
	assert_int_equal(bytes, 16384);
	check_rows(r);
	ruleset_free(r);
}

static void test_pins_of_no_table(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	struct tuple tuples[50];
	uint8_t got[ARRAY_SIZE(tuples)];
	struct err e = { 0 };

	for (uint16_t i = 0; i < ARRAY_SIZE(tuples); i++)
		tuples[i] = world_tuple("12.12.12.2", i, "1.1.1.1", 80, IPPROTO_TCP);
	memset(got, 0xff, sizeof(got));
	assert_int_equal(ruleset_pins_get(r, tuples, ARRAY_SIZE(tuples), got, &e), 0);
	assert_memory_equal(got, ((uint8_t[ARRAY_SIZE(tuples)]){ 0 }), sizeof(got));
	ruleset_free(r);
}

struct many {
	uint32_t next, end;
};

static bool refill_many(struct ruleset_pin *ret_pin, void *arg)
{
	struct many *many = arg;

	if (many->next == many->end)
		return false;
	*ret_pin = (struct ruleset_pin){ .tuple = world_tuple("12.12.12.2", (uint16_t)many->next++,
							      "1.1.1.1", 80, IPPROTO_TCP),
					 .binding = WEB_1,
					 .timeout_s = 60 };
	return true;
}

static void test_repair_refills(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(true);
	struct many many = { 1, 3001 };
	struct err e = { 0 };
	struct walked d;
	size_t n;

	w->model.max_pins = 5000;
	assert_int_equal(ruleset_sync(r, &w->model, refill_many, &many, &n, &e), 0);
	assert_int_equal(walk(r, &d), 3000);
	/* A map that is too small is filled as far as it goes. */
	world_run(NULL, "nft delete table inet flowpin");
	ruleset_invalidate(r);
	w->model.max_pins = 1600;
	many.next = 1;
	assert_int_equal(ruleset_sync(r, &w->model, refill_many, &many, &n, &e), 0);
	assert_int_equal(walk(r, &d), 1500);
	assert_int_equal(differences(r, &w->model), 0);
	/* What it may hold is changed while it works. */
	w->model.max_pins = 1700;
	sync_ok(r, &w->model);
	assert_int_equal(walk(r, &d), 1500);
	assert_int_equal(sync_ok(r, &w->model), 0);
	ruleset_free(r);
}

/* Packets are answered by nobody, so what they leave behind is there as soon as the kernel has
 * passed them on. */
static bool pinned_to(struct ruleset *r, const struct tuple *t, uint8_t binding)
{
	uint64_t end = clock_now_ms() + WORLD_DEADLINE_MS;
	uint8_t got = 0;
	struct err e = { 0 };

	do {
		assert_int_equal(ruleset_pins_get(r, t, 1, &got, &e), 0);
	} while (got != binding && clock_now_ms() < end);
	return got == binding;
}

static uint64_t later_packets(struct ruleset *r, uint8_t id, uint64_t at_least)
{
	uint64_t end = clock_now_ms() + WORLD_DEADLINE_MS;
	struct ruleset_counters c;
	struct err e = { 0 };

	do {
		assert_int_equal(ruleset_counters_read(r, &c, &e), 0);
	} while (c.binding[id].later_packets < at_least && clock_now_ms() < end);
	return c.binding[id].later_packets;
}

static void first_packet(struct world *w, int family, int type, uint16_t sport, uint16_t dport,
			 int *ret_fd)
{
	*ret_fd = world_client(w, family, type, sport);
	assert_true(*ret_fd >= 0);
	world_send(*ret_fd, family, type, dport);
}

/* Somebody else's bits, on every packet and connection of the client. */
static void others_set_bits(void)
{
	assert_int_equal(
		world_run(NULL, "nft add table ip others && nft add counter ip others kept"), 0);
	assert_int_equal(world_run(NULL, "nft add chain ip others early '{ type filter hook "
					 "prerouting priority -160; }'"),
			 0);
	assert_int_equal(world_run(NULL, "nft add chain ip others late '{ type filter hook "
					 "postrouting priority 0; }'"),
			 0);
	assert_int_equal(
		world_run(NULL, "nft add rule ip others early iifname c0 meta mark set 0x00abcdef "
				"ct mark set ct mark or 0x123"),
		0);
	assert_int_equal(
		world_run(NULL,
			  "nft add rule ip others late meta mark and 0x00ffffff == 0x00abcdef "
			  "counter name kept"),
		0);
}

static void test_packets_are_learned_and_pinned(void **state)
{
	WORLD_OR_SKIP(state);
	struct tuple syn = world_tuple("12.12.12.2", 2001, "1.1.1.1", 80, IPPROTO_TCP);
	struct tuple syn6 = world_tuple("fd00:12::2", 2002, "2001:db8::1", 8000, IPPROTO_TCP);
	struct tuple udp = world_tuple("12.12.12.2", 2003, "1.1.1.1", 53, IPPROTO_UDP);
	struct tuple other = world_tuple("12.12.12.2", 2004, "1.1.1.1", 81, IPPROTO_TCP);
	struct ruleset *r = open_ruleset(false);
	struct ruleset_counters c;
	struct err e = { 0 };
	int fd[4];

	world_binding(w, DNS_LINK, 1, "10.1.0.2", "s1");
	w->bindings[DNS_LINK - 1].learn_by_link = true;
	sync_ok(r, &w->model);
	others_set_bits();
	first_packet(w, AF_INET, SOCK_STREAM, 2001, 80, &fd[0]);
	first_packet(w, AF_INET6, SOCK_STREAM, 2002, 8000, &fd[1]);
	first_packet(w, AF_INET, SOCK_DGRAM, 2003, 53, &fd[2]);
	first_packet(w, AF_INET, SOCK_STREAM, 2004, 81, &fd[3]);
	assert_true(pinned_to(r, &syn, WEB_1));
	assert_true(pinned_to(r, &syn6, WEB_6));
	assert_true(pinned_to(r, &udp, DNS_LINK));
	assert_true(pinned_to(r, &other, 0));
	world_run(listing, "conntrack -L 2>/dev/null | grep -E 'sport=200[1-4] '");
	must_list(listing, "sport=2001 dport=80");
	must_list(listing, "mark=16777507"); /* 0x01000123 */
	must_list(listing, "mark=67109155"); /* 0x04000123 */
	must_list(listing, "mark=291");	     /* port 81 is in no service: 0x123 */
	/* Timeouts: short for a SYN, what a first packet gets otherwise. */
	world_run(listing, "nft list map inet flowpin pin4");
	must_list(listing, "timeout 20s");
	must_list(listing, "timeout 30s");
	/* The second datagram is steered by the mark; without conntrack's entry, by the pin. */
	assert_int_equal(send(fd[2], "x", 1, 0), 1);
	assert_int_equal(later_packets(r, DNS_LINK, 1), 1);
	world_run(NULL, "conntrack -F 2>/dev/null");
	assert_int_equal(send(fd[2], "x", 1, 0), 1);
	assert_int_equal(later_packets(r, DNS_LINK, 2), 2);
	world_run(listing, "conntrack -L -p udp 2>/dev/null");
	must_list(listing, "mark=67109155");
	/* Taken out of `marks` it goes where routing says, and is learned anew. */
	w->bindings[DNS_LINK - 1].carry = w->bindings[DNS_LINK - 1].fresh = false;
	sync_ok(r, &w->model);
	assert_int_equal(send(fd[2], "x", 1, 0), 1);
	assert_int_equal(ruleset_counters_read(r, &c, &e), 0);
	assert_int_equal(c.binding[DNS_LINK].later_packets, 2);
	assert_int_equal(c.binding[DNS_LINK].first_packets, 2);
	assert_true(c.binding[WEB_1].first_packets >= 1);
	assert_int_equal(c.lost_pins, 0);
	world_run(listing, "nft list counter ip others kept");
	assert_null(strstr(listing, "packets 0 "));
	/* A restart keeps what was counted. */
	ruleset_free(r);
	r = open_ruleset(false);
	assert_int_equal(sync_ok(r, &w->model), 0);
	assert_int_equal(later_packets(r, DNS_LINK, 2), 2);
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	ruleset_free(r);
}

static void test_new_syn_forgets_old_pin(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset_pin old = { world_tuple("12.12.12.2", 2101, "1.1.1.1", 80, IPPROTO_TCP),
				   WEB_2, 60 };
	struct ruleset *r = open_ruleset(false);
	struct err e = { 0 };
	int fd;

	sync_ok(r, &w->model);
	assert_int_equal(ruleset_pins_add(r, &old, 1, &e), 0);
	first_packet(w, AF_INET, SOCK_STREAM, 2101, 80, &fd);
	assert_true(pinned_to(r, &old.tuple, WEB_1));
	assert_int_equal(later_packets(r, WEB_2, 0), 0);
	close(fd);
	ruleset_free(r);
}

/* What a router before the client sends when a packet of the server, from `port` of the VIP to the
 * client's 3000, is too big. */
static void send_too_big(struct world *w, int family, uint16_t port)
{
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	uint8_t m4[8 + 20 + 8] = { 3, 4, 0, 0, 0, 0, 5, 0, 0x45, [17] = IPPROTO_UDP },
			    m6[8 + 40 + 8] = { 2, [8] = 0x60, [14] = IPPROTO_UDP };
	uint8_t *ports = family == AF_INET ? m4 + 28 : m6 + 48;
	uint32_t sum = 0;
	int fd = world_client(w, family, SOCK_RAW,
			      family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	assert_true(fd >= 0);
	inet_pton(AF_INET, "1.1.1.1", &to4.sin_addr);
	inet_pton(AF_INET6, "2001:db8::1", &to6.sin6_addr);
	memcpy(m4 + 20, &to4.sin_addr, 4);
	inet_pton(AF_INET, "12.12.12.2", m4 + 24);
	memcpy(m6 + 16, &to6.sin6_addr, 16);
	inet_pton(AF_INET6, "fd00:12::2", m6 + 32);
	ports[0] = (uint8_t)(port >> 8);
	ports[1] = (uint8_t)port;
	ports[2] = 3000 >> 8;
	ports[3] = 3000 & 0xff;
	for (size_t i = 0; i < sizeof(m4); i += 2)
		sum += (uint32_t)(m4[i] << 8 | m4[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16));
	m4[2] = (uint8_t)(sum >> 8);
	m4[3] = (uint8_t)sum;
	if (family == AF_INET)
		assert_int_equal(sendto(fd, m4, sizeof(m4), 0, (void *)&to4, sizeof(to4)),
				 sizeof(m4));
	else
		assert_int_equal(sendto(fd, m6, sizeof(m6), 0, (void *)&to6, sizeof(to6)),
				 sizeof(m6));
	close(fd);
}

/* Conntrack knows nothing of these flows: the pin map alone tells where the error belongs, and it
 * becomes no pin itself. */
static void test_icmp_errors_follow_the_pin(void **state)
{
	WORLD_OR_SKIP(state);
	struct ruleset_pin pins[] = {
		{ world_tuple("12.12.12.2", 3000, "1.1.1.1", 53, IPPROTO_UDP), DNS_LINK, 60 },
		{ world_tuple("fd00:12::2", 3000, "2001:db8::1", 80, IPPROTO_UDP), WEB_6, 60 },
	};
	struct ruleset *r = open_ruleset(false);
	struct err e = { 0 };
	struct walked d;

	sync_ok(r, &w->model);
	assert_int_equal(ruleset_pins_add(r, pins, ARRAY_SIZE(pins), &e), 0);
	send_too_big(w, AF_INET, 53);
	send_too_big(w, AF_INET, 54); /* of no flow */
	send_too_big(w, AF_INET6, 80);
	assert_int_equal(later_packets(r, WEB_6, 1), 1);
	assert_int_equal(later_packets(r, DNS_LINK, 1), 1);
	assert_int_equal(walk(r, &d), 2);
	ruleset_free(r);
}

static void test_full_map_counts_lost_pins(void **state)
{
	enum { FLOWS = 5 };
	WORLD_OR_SKIP(state);
	struct ruleset *r = open_ruleset(false);
	uint64_t end = clock_now_ms() + WORLD_DEADLINE_MS;
	struct ruleset_counters c;
	struct err e = { 0 };
	int fd[FLOWS];

	w->model.max_pins = 2;
	sync_ok(r, &w->model);
	for (uint16_t i = 0; i < FLOWS; i++)
		first_packet(w, AF_INET, SOCK_STREAM, (uint16_t)(2200 + i), 80, &fd[i]);
	do {
		assert_int_equal(ruleset_counters_read(r, &c, &e), 0);
	} while (c.lost_pins < FLOWS - 2 && clock_now_ms() < end);
	assert_true(c.lost_pins >= FLOWS - 2);
	for (size_t i = 0; i < FLOWS; i++)
		close(fd[i]);
	ruleset_free(r);
}

#define TEST(f) cmocka_unit_test_teardown(f, remove_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pins),
		TEST(test_pins_without_destroy),
		TEST(test_pins_are_asked_for_in_rows),
		TEST(test_pins_of_no_table),
		TEST(test_repair_refills),
		TEST(test_packets_are_learned_and_pinned),
		TEST(test_new_syn_forgets_old_pin),
		TEST(test_icmp_errors_follow_the_pin),
		TEST(test_full_map_counts_lost_pins),
	};

	return cmocka_run_group_tests(tests, build_world, destroy_world);
}
