// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "eapi/watch.h"
#include "eapi_fixture.h"

/* What readings of a switch's routes prove of the time between them. */

#define A	    "23.23.23.3"
#define B	    "34.34.34.4"
#define VIAS_A_REST "\"interface\":\"Ethernet42\",\"nexthopAddr\":\"" A "\"}"
#define VIAS_A	    "{" VIAS_A_REST
#define VIAS_BOTH   VIAS_A "," VIAS_B

static void read_routes(struct watched *w, const char *routes, uint64_t now)
{
	char text[1000];
	_cleanup_(eapi_json_putp) struct json_object *o = NULL;

	snprintf(text, sizeof(text), "{\"vrfs\":{\"default\":{\"routes\":{%s}}}}", routes);
	o = eapi_json(text);
	assert_true(watch_read(w, "default", o, now));
}

#define WITHIN(prefix, vias) "\"" prefix "\":{\"vias\":[" vias "]}"
#define VIAS_B		     "{\"interface\":\"Ethernet43\",\"nexthopAddr\":\"" B "\"}"

struct world {
	struct config *config;
	struct watch watch;
};

static void world_of(struct world *w)
{
	*w = (struct world){ .config = eapi_config("") };
	assert_int_equal(watch_init(&w->watch, &w->config->services), 0);
}

static void teardown(struct world *w)
{
	watch_clear(&w->watch);
	config_free(w->config);
}

static void world_of_network(struct world *w, enum watch_form form)
{
	world_of(w);
	assert_int_equal(ip_prefix_parse("1.1.1.0/24", &w->watch.list[0].prefix), 0);
	assert_int_equal(w->config->services.list[0].prefixes[0].addr.family, AF_INET);
	w->config->services.list[0].prefixes[0] = w->watch.list[0].prefix;
	w->watch.list[0].form = form;
}

static enum watch_proof prove(const struct watch *w, const char *address, const char *nexthop,
			      uint64_t seen)
{
	struct via via = { .addr = eapi_addr(nexthop) };
	struct ip_addr a = eapi_addr(address);

	snprintf(via.interface, sizeof(via.interface), "%s",
		 strcmp(nexthop, A) == 0 ? "Ethernet42" : "Ethernet43");
	return watch_prove(w, &a, &(struct vias){ &via, 1 }, seen);
}

static void note(struct watch *w, const char *address, const char *nexthop, uint64_t now)
{
	struct via via = { .addr = eapi_addr(nexthop) };
	struct ip_addr a = eapi_addr(address);

	snprintf(via.interface, sizeof(via.interface), "%s",
		 strcmp(nexthop, A) == 0 ? "Ethernet42" : "Ethernet43");
	watch_note(w, &a, &(struct vias){ &via, 1 }, now);
}

/* Readings before and after a flow was seen, of a host. */
static void test_proof_host(void **state _unused_)
{
	struct world w;
	struct watched *h;

	world_of(&w);
	h = &w.watch.list[0];
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 5000), WATCH_UNREAD);
	read_routes(h, WITHIN("1.1.1.1/32", VIAS_A), 1000);
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 900), WATCH_UNREAD);
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 1100), WATCH_UNREAD); /* it may be late */
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 1000 + WATCH_LATE_MS), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.1", B, 1200), WATCH_CHANGED);
	read_routes(h, WITHIN("1.1.1.1/32", VIAS_A), 2000);
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 1200), WATCH_PROVEN);
	/* Changed, and changed back: seen by one reading in between. */
	note(&w.watch, "1.1.1.1", B, 3000);
	assert_true(w.watch.news);
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 2500), WATCH_CHANGED);
	read_routes(h, WITHIN("1.1.1.1/32", VIAS_A), 4000);
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 2500), WATCH_CHANGED);
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 4200), WATCH_PROVEN);
	/* Weights count. */
	read_routes(h, WITHIN("1.1.1.1/32", "{\"weight\":2," VIAS_A_REST), 5000);
	assert_int_equal(prove(&w.watch, "1.1.1.1", A, 4500), WATCH_CHANGED);
	assert_int_equal(w.watch.n, w.watch.n_fixed);
	teardown(&w);
}

/* A network whose routes are read. */
static void test_proof_routes(void **state _unused_)
{
	struct world w;
	struct watched *n;

	world_of_network(&w, WATCH_LONGER);
	n = &w.watch.list[0];
	read_routes(n, WITHIN("1.1.1.0/24", VIAS_A) "," WITHIN("1.1.1.7/32", VIAS_B), 1000);
	assert_int_equal(prove(&w.watch, "1.1.1.5", A, 1300), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.7", B, 1300), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.7", A, 1300), WATCH_CHANGED);
	assert_int_equal(prove(&w.watch, "2.1.1.7", A, 1300), WATCH_UNREAD);
	/* Another route appears: only its own address is concerned. */
	read_routes(n,
		    WITHIN("1.1.1.0/24", VIAS_A) "," WITHIN("1.1.1.7/32", VIAS_B) "," WITHIN(
			    "1.1.1.9/32", VIAS_B),
		    2000);
	assert_int_equal(prove(&w.watch, "1.1.1.5", A, 1300), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.9", B, 1300), WATCH_CHANGED);
	/* One goes: which of the others' addresses it had is not told. */
	read_routes(n, WITHIN("1.1.1.0/24", VIAS_A) "," WITHIN("1.1.1.9/32", VIAS_B), 3000);
	assert_int_equal(prove(&w.watch, "1.1.1.7", A, 1300), WATCH_CHANGED);
	assert_int_equal(prove(&w.watch, "1.1.1.9", B, 2300), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.7", A, 3300), WATCH_PROVEN);
	/* A question knows it better than the last round. */
	note(&w.watch, "1.1.1.9", A, 4000);
	assert_int_equal(w.watch.n, w.watch.n_fixed + 1);
	assert_int_equal(prove(&w.watch, "1.1.1.9", A, 3900), WATCH_CHANGED);
	assert_int_equal(prove(&w.watch, "1.1.1.9", A, 4300), WATCH_PROVEN);
	note(&w.watch, "1.1.1.7", A, 4000); /* as known: nothing to remember */
	assert_int_equal(w.watch.n, w.watch.n_fixed + 1);
	/* The next round sees the other route again: not both can be true of a flow in between. */
	read_routes(n, WITHIN("1.1.1.0/24", VIAS_A) "," WITHIN("1.1.1.9/32", VIAS_B), 5000);
	assert_int_equal(prove(&w.watch, "1.1.1.9", A, 4300), WATCH_CHANGED);
	/* Nor when both agree later. */
	read_routes(n, WITHIN("1.1.1.0/24", VIAS_A) "," WITHIN("1.1.1.9/32", VIAS_A), 6000);
	assert_int_equal(prove(&w.watch, "1.1.1.9", A, 4300), WATCH_CHANGED);
	assert_int_equal(prove(&w.watch, "1.1.1.9", A, 6300), WATCH_PROVEN);
	teardown(&w);
}

/* A question read it before the round did: a round that comes to the same later takes nothing back.
 */
static void test_proof_question(void **state _unused_)
{
	struct world w;
	struct watched *n;

	world_of_network(&w, WATCH_LONGER);
	n = &w.watch.list[0];
	read_routes(n, WITHIN("1.1.1.0/24", VIAS_A) "," WITHIN("1.1.1.7/32", VIAS_B), 1000);
	note(&w.watch, "1.1.1.5", B, 2000);
	note(&w.watch, "1.1.1.7", A, 2000);
	read_routes(n, WITHIN("1.1.1.0/24", VIAS_B), 5000);
	assert_int_equal(prove(&w.watch, "1.1.1.5", B, 2300), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.5", B, 2100), WATCH_CHANGED);
	assert_int_equal(prove(&w.watch, "1.1.1.6", B, 2300), WATCH_CHANGED); /* nobody asked */
	assert_int_equal(prove(&w.watch, "1.1.1.7", A, 5300), WATCH_CHANGED);
	teardown(&w);
}

/* A network of which only single addresses can be read. */
static void test_proof_destinations(void **state _unused_)
{
	struct ip_addr a = eapi_addr(A), b = eapi_addr(B);
	size_t due = 0;
	struct world w;

	world_of_network(&w, WATCH_ONE);
	read_routes(&w.watch.list[0], WITHIN("1.1.1.0/24", VIAS_A), 1000);
	assert_int_equal(prove(&w.watch, "1.1.1.5", A, 1300), WATCH_UNREAD);
	note(&w.watch, "1.1.1.5", A, 2000);
	note(&w.watch, "9.9.9.9", A, 2000); /* of no service */
	assert_int_equal(w.watch.n, w.watch.n_fixed + 1);
	assert_int_equal(prove(&w.watch, "1.1.1.5", A, 1300), WATCH_UNREAD);
	assert_int_equal(prove(&w.watch, "1.1.1.5", A, 2300), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.6", A, 2300), WATCH_UNREAD);
	assert_true(watch_names(&w.watch, 0, &a));
	assert_false(watch_names(&w.watch, 0, &b));
	note(&w.watch, "1.1.1.6", B, 2100);
	/* They are bounded; the one that was not used for longest makes room. */
	for (int i = 0; i < WATCH_DESTINATIONS; i++) {
		char text[IP_ADDR_TEXT];

		snprintf(text, sizeof(text), "1.1.1.%d", i);
		if (i != 6)
			note(&w.watch, text, A, 3000 + (uint64_t)i);
	}
	note(&w.watch, "1.1.1.6", B, 4000);
	assert_int_equal(w.watch.n, w.watch.n_fixed + WATCH_DESTINATIONS);
	assert_int_equal(prove(&w.watch, "1.1.1.6", B, 2300), WATCH_PROVEN);
	assert_int_equal(prove(&w.watch, "1.1.1.200", A, 3500), WATCH_PROVEN);
	/* A round reads some of them, and forgets what nobody asks for. */
	watch_begin_round(&w.watch, 5000);
	for (size_t i = w.watch.n_fixed; i < w.watch.n; i++)
		due += w.watch.list[i].due;
	assert_int_equal(due, WATCH_ROUND);
	watch_begin_round(&w.watch, 4000 + WATCH_UNUSED_MS - 1);
	assert_int_equal(w.watch.n, w.watch.n_fixed + 1);
	assert_true(watch_names(&w.watch, 0, &b));
	watch_begin_round(&w.watch, 4000 + WATCH_UNUSED_MS);
	assert_int_equal(w.watch.n, w.watch.n_fixed);
	teardown(&w);
}

static void test_wide_prefix(void **state _unused_)
{
	struct watched w = { 0 };
	struct ip_addr inside = eapi_addr("10.0.0.7");
	_cleanup_(eapi_json_putp) struct json_object *o =
		eapi_json("{\"vrfs\":{\"default\":{\"routes\":{\"10.0.0.0/25\":{\"vias\":[" VIAS_A
			  "]},\"10.0.0.128/25\":{\"vias\":[" VIAS_BOTH "]},"
			  "\"20.0.0.0/8\":{\"vias\":[{\"nexthopAddr\":\"7.7.7.7\"}]}}}}}");
	char text[160];
	struct vias r;

	assert_int_equal(ip_prefix_parse("10.0.0.0/24", &w.prefix), 0);
	assert_string_equal(watch_command(&w, "default", text, sizeof(text)),
			    "show ip route 10.0.0.0/24 longer-prefixes");
	assert_string_equal(watch_command(&w, "red", text, sizeof(text)),
			    "show ip route vrf red 10.0.0.0/24 longer-prefixes");
	assert_false(watch_shares(&w));
	assert_true(watch_next_form(&w));
	assert_true(watch_shares(&w));
	assert_string_equal(watch_command(&w, "default", text, sizeof(text)), "show ip route");
	assert_string_equal(watch_command(&w, "red", text, sizeof(text)), "show ip route vrf red");
	assert_true(watch_next_form(&w));
	assert_string_equal(watch_command(&w, "default", text, sizeof(text)),
			    "show ip route 10.0.0.0");
	assert_false(watch_next_form(&w));
	assert_true(watch_read(&w, "default", o, 5));
	assert_int_equal(w.route.n, 2);
	assert_int_equal(w.n_routes, 0); /* an address that was read says nothing of the others */
	assert_true(watch_read(&w, "red", o, 6)); /* no such VRF: no routes */
	assert_int_equal(w.route.n, 0);
	vias_clear(&w.route);
	assert_int_equal(route_read(o, "default", &inside, NULL, &r), 0);
	assert_int_equal(r.n, 1);
	vias_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wide_prefix),	   cmocka_unit_test(test_proof_host),
		cmocka_unit_test(test_proof_routes),	   cmocka_unit_test(test_proof_question),
		cmocka_unit_test(test_proof_destinations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
