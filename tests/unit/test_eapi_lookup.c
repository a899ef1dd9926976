// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "eapi/lookup.h"
#include "eapi_fixture.h"

#define A "23.23.23.3"
#define B "34.34.34.4"
#define VIAS_BOTH                                                                                  \
	"{\"interface\":\"Ethernet42\",\"nexthopAddr\":\"" A                                       \
	"\"},{\"interface\":\"Ethernet43\",\"nexthopAddr\":\"" B "\"}"
#define VIAS_A "{\"interface\":\"Ethernet42\",\"nexthopAddr\":\"" A "\"}"
#define ROUTE(vias)                                                                                \
	"{\"vrfs\":{\"default\":{\"routes\":{\"0.0.0.0/0\":{\"vias\":[]},\"1.1.1.1/"               \
	"32\":{\"vias\":[" vias "]}}}}}"
#define PATH(name) "{\"outputIntf\":\"" name "\"}"

struct world {
	struct config *config;
	struct watch watch;
	struct topology topology;
	struct lookup *l;
	struct commands c;
	uint64_t now; /* of answers: after the flows were seen, at 5000 */
};

static void add_flows(struct world *w)
{
	for (uint16_t i = 0; i < 3; i++) {
		struct tuple t =
			eapi_tuple("12.12.12.1", (uint16_t)(30000 + i), "1.1.1.1", 80, IPPROTO_TCP);

		assert_true(lookup_add(w->l, &t, 5000));
	}
}

static void setup(struct world *w, const char *more, const char *known, uint64_t now)
{
	*w = (struct world){ .config = eapi_config(more), .now = 5500 };
	assert_int_equal(watch_init(&w->watch, &w->config->services), 0);
	if (known) {
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(known);

		assert_true(watch_read(&w->watch.list[0], "default", o, now));
	}
	assert_int_equal(lookup_new(w->config->switches, &w->watch, &w->topology, 7, &w->l), 0);
	add_flows(w);
}

static void teardown(struct world *w)
{
	lookup_free(w->l);
	watch_clear(&w->watch);
	commands_free(&w->c);
	config_free(w->config);
}

static void ask(struct world *w, bool text, const char *const *commands, size_t n)
{
	bool is_text = !text;

	assert_true(lookup_next(w->l, &w->c, &is_text));
	assert_int_equal(is_text, text);
	for (size_t i = 0; i < n && i < w->c.n; i++)
		if (!strstr(commands_get(&w->c, i), commands[i]))
			fail_msg("command %zu is %s, not %s", i, commands_get(&w->c, i),
				 commands[i]);
	assert_int_equal(w->c.n, n);
}

static void answer(struct world *w, enum rpc_outcome outcome, size_t at, int code,
		   const char *results)
{
	_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(results);
	struct rpc_answer a = { .outcome = outcome,
				.failed_at = at,
				.code = code,
				.results = o,
				.message = "refused" };

	lookup_answer(w->l, &a, w->now);
}

static void expect(struct world *w, size_t i, const char *nexthop, const char *why)
{
	char text[IP_ADDR_TEXT];

	assert_true(w->l->flow[i].done);
	assert_string_equal(ip_addr_format(&w->l->flow[i].nexthop, text), nexthop);
	if (!strstr(w->l->flow[i].why, why))
		fail_msg("why: %s", w->l->flow[i].why);
}

static const char *const in_one[] = {
	"enable", "show ip route 1.1.1.1", "src-l4-port 30000 dst-l4-port 80", "30001",
	"30002",  "show ip route 1.1.1.1"
};

static void test_paths(void **state _unused_)
{
	struct world w;
	bool text;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	assert_string_equal(
		commands_get(&w.c, 2),
		"show load-balance destination ip ingress-interface Ethernet47 src-ipv4-address "
		"12.12.12.1 dst-ipv4-address 1.1.1.1 ip-protocol 6 src-l4-port 30000 dst-l4-port "
		"80");
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("Et42") "," PATH(
		       "Ethernet9") "," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 1, A, "");
	expect(&w, 2, "", "chose Ethernet9");
	assert_false(lookup_next(w.l, &w.c, &text));
	teardown(&w);
}

static void test_single(void **state _unused_)
{
	static const char *const commands[] = { "enable", "show ip route 1.1.1.1" };
	struct world w;

	setup(&w, "", ROUTE(VIAS_A), 1000);
	ask(&w, false, commands, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_A) "]");
	expect(&w, 0, A, "");
	expect(&w, 2, A, "");
	teardown(&w);
	/* It was known to be single and is not: the paths are asked for, but the flows began under
	 * another route. */
	setup(&w, "", ROUTE(VIAS_A), 1000);
	ask(&w, false, commands, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, "", "when the flow began");
	teardown(&w);
}

static void test_route_changes(void **state _unused_)
{
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("Et42") "," PATH(
		       "Et42") "," ROUTE(VIAS_A) "]");
	for (size_t i = 0; i < 3; i++)
		expect(&w, i, "", "changed while");
	teardown(&w);
	/* Both in the request are alike, and another one than when the flow was seen. */
	setup(&w, "", ROUTE(VIAS_A), 1000);
	{
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(ROUTE(VIAS_BOTH));

		assert_true(watch_read(&w.watch.list[0], "default", o, 6000));
	}
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	w.l->flow[2].seen_ms = 7000;
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("Et42") "," PATH(
		       "Et42") "," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, "", "when the flow began");
	expect(&w, 2, A, "");
	teardown(&w);
}

static void test_refused(void **state _unused_)
{
	static const char *const rest[] = { "enable", "show ip route", "30000", "30002",
					    "show ip route" };
	struct world w;
	bool text;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	answer(&w, RPC_FAILED, 3, 1000, "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") ",{}]");
	expect(&w, 1, "", "refused");
	ask(&w, false, rest, ARRAY_SIZE(rest)); /* without the culprit, from the beginning */
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("") "," ROUTE(
		       VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 2, "", "cannot tell");
	teardown(&w);
	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_next(w.l, &w.c, &text));
	answer(&w, RPC_FAILED, 0, 1002, "[{}]"); /* enable */
	expect(&w, 0, "", "refused");
	teardown(&w);
	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_next(w.l, &w.c, &text));
	answer(&w, RPC_FAILED, 1, 1002, "[{},{}]"); /* the route */
	expect(&w, 2, "", "refuses to show the route");
	assert_false(lookup_next(w.l, &w.c, &text));
	teardown(&w);
}

/* first: whether the first path is the one that has no model. */
static void by_text(bool first)
{
	static const char *const before[] = { "enable", "show ip route 1.1.1.1" };
	static const char *const paths[] = { "enable", "30000", "30001", "30002" };
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	if (first)
		answer(&w, RPC_FAILED, 2, 1003, "[{}," ROUTE(VIAS_BOTH) ",{}]");
	else
		answer(&w, RPC_FAILED, 3, 1003, "[{}," ROUTE(VIAS_BOTH) "," PATH("Et42") ",{}]");
	assert_true(w.l->by_text);
	ask(&w, false, before, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	ask(&w, true, paths, 4);
	answer(&w, RPC_OK, 0, 0,
	       "[{},{\"output\":\"Output Interface: "
	       "Ethernet43\\n\"},{\"output\":\"Unable\"},{\"output\":\"Output Interface: Et42\"}]");
	ask(&w, false, before, 2);
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 1, "", "cannot tell");
	expect(&w, 2, A, "");
	teardown(&w);
}

static void test_text(void **state _unused_)
{
	by_text(true);
	by_text(false);
}

static void test_ingress(void **state _unused_)
{
	static const char *const first[] = { "enable", "show ip route 1.1.1.1",
					     "show ip route 12.12.12.1", "show ip route 13.0.0.2",
					     "show ip route 13.0.0.3" };
	struct tuple more[] = {
		eapi_tuple("13.0.0.2", 30003, "1.1.1.1", 80, IPPROTO_TCP),
		eapi_tuple("13.0.0.2", 30004, "1.1.1.1", 80, IPPROTO_TCP),
		eapi_tuple("13.0.0.3", 30005, "1.1.1.1", 80, IPPROTO_TCP),
	};
	struct ip_addr near = eapi_addr("12.12.12.77"), far = eapi_addr("13.0.0.3");
	struct world w;
	char text[SWITCH_LINE] = "";
	bool is_text;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		assert_true(lookup_add(w.l, &more[i], 5000));
	for (size_t i = 0; i < w.l->n; i++)
		w.l->flow[i].ingress[0] = '\0'; /* as without ingress-interface */
	/* Each source once, however many flows it has. */
	ask(&w, false, first, ARRAY_SIZE(first));
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) ",{\"routes\":{\"12.12.12.0/"
				       "24\":{\"vias\":[{\"interface\":\"Et7\"}]}}},"
				       "{\"routes\":{}},{\"routes\":{\"0.0.0.0/"
				       "0\":{\"vias\":[{\"interface\":\"Et7\"},{\"interface\":"
				       "\"Et8\"}]}}}]");
	expect(&w, 3, "", "no route to its source");
	expect(&w, 4, "", "no route to its source");
	expect(&w, 5, "", "several interfaces lead");
	assert_true(lookup_next(w.l, &w.c, &is_text));
	for (size_t i = 2; i < 5; i++) {
		snprintf(text, sizeof(text), "%s", commands_get(&w.c, i));
		assert_non_null(strstr(text, "ingress-interface Ethernet7 "));
	}
	assert_int_equal(w.c.n, 6);
	/* What one interface leads back to is remembered. */
	assert_string_equal(ingress_guess(&w.watch.ingress, &near), "Ethernet7");
	assert_null(ingress_guess(&w.watch.ingress, &far));
	teardown(&w);
}

#define BACK(vias) "{\"routes\":{\"12.12.12.0/24\":{\"vias\":[" vias "]}}}"
#define ET(n)	   "{\"interface\":\"Et" n "\"}"

/* As without ingress-interface, where an earlier question found the sources behind Ethernet7. */
static void setup_guess(struct world *w)
{
	struct ip_prefix network = { eapi_addr("12.12.12.0"), 24 };

	setup(w, "", ROUTE(VIAS_BOTH), 1000);
	w->config->switches->ingress_interface[0] = '\0';
	ingress_note(&w->watch.ingress, &network, "Ethernet7");
	w->l->n = 0;
	add_flows(w);
}

static const char *const guessed[] = { "enable",
				       "show ip route 1.1.1.1",
				       "show ip route 12.12.12.1",
				       "ingress-interface Ethernet7 ",
				       "30001",
				       "30002",
				       "show ip route 1.1.1.1" };

/* Where flows come in is asked for together with their paths, once it may be guessed. */
static void test_guess(void **state _unused_)
{
	struct world w;
	bool text;

	setup_guess(&w);
	ask(&w, false, guessed, ARRAY_SIZE(guessed));
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," BACK(ET("7")) "," PATH("Ethernet43") "," PATH(
		       "Et42") "," PATH("Ethernet43") "," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 1, A, "");
	expect(&w, 2, B, "");
	assert_false(lookup_next(w.l, &w.c, &text));
	teardown(&w);
}

/* A path from elsewhere is another packet's, were it an answer or a refusal: it is asked for again.
 */
static void test_wrong_guess(void **state _unused_)
{
	static const char *const again[] = {
		"enable", "show ip route 1.1.1.1", "ingress-interface Ethernet8 ", "30001",
		"30002",  "show ip route 1.1.1.1"
	};
	struct world w;

	for (int refused = 0; refused < 2; refused++) {
		setup_guess(&w);
		ask(&w, false, guessed, ARRAY_SIZE(guessed));
		if (refused)
			answer(&w, RPC_FAILED, 3, 1000,
			       "[{}," ROUTE(VIAS_BOTH) "," BACK(ET("8")) ",{\"errors\":[]}]");
		else
			answer(&w, RPC_OK, 0, 0,
			       "[{}," ROUTE(VIAS_BOTH) "," BACK(ET("8")) "," PATH("Et42") "," PATH(
				       "Et42") "," PATH("x") "," ROUTE(VIAS_BOTH) "]");
		for (size_t i = 0; i < 3; i++)
			assert_false(w.l->flow[i].done);
		ask(&w, false, again, ARRAY_SIZE(again));
		answer(&w, RPC_OK, 0, 0,
		       "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") "," PATH("Et42") "," PATH(
			       "Ethernet43") "," ROUTE(VIAS_BOTH) "]");
		expect(&w, 0, B, "");
		expect(&w, 1, A, "");
		expect(&w, 2, B, "");
		teardown(&w);
	}
}

/* Both at once: the guess is wrong, and there is no model of a path. */
static void test_wrong_guess_by_text(void **state _unused_)
{
	static const char *const routes[] = { "enable", "show ip route 1.1.1.1" };
	static const char *const paths[] = { "enable", "ingress-interface Ethernet8 ", "30001",
					     "30002" };
	struct world w;

	setup_guess(&w);
	ask(&w, false, guessed, ARRAY_SIZE(guessed));
	answer(&w, RPC_FAILED, 3, 1003, "[{}," ROUTE(VIAS_BOTH) "," BACK(ET("8")) ",{}]");
	ask(&w, false, routes, ARRAY_SIZE(routes));
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	ask(&w, true, paths, ARRAY_SIZE(paths));
	answer(&w, RPC_OK, 0, 0,
	       "[{},{\"output\":\"Output Interface: Et43\"},{\"output\":\"Output Interface: "
	       "Et42\"},{\"output\":\"Output Interface: Et43\"}]");
	ask(&w, false, routes, ARRAY_SIZE(routes));
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, B, "");
	expect(&w, 1, A, "");
	expect(&w, 2, B, "");
	teardown(&w);
}

/* Several interfaces may lead back by now. */
static void test_guess_is_no_proof(void **state _unused_)
{
	struct world w;

	setup_guess(&w);
	ask(&w, false, guessed, ARRAY_SIZE(guessed));
	answer(&w, RPC_OK, 0, 0,
	       "[{}," ROUTE(VIAS_BOTH) "," BACK(ET("7") "," ET("8")) "," PATH("Et43") "," PATH(
		       "Et42") "," PATH("Et43") "," ROUTE(VIAS_BOTH) "]");
	for (size_t i = 0; i < 3; i++)
		expect(&w, i, "", "several interfaces lead");
	teardown(&w);
}

/* A refused way back concerns those that wait for it, not what else comes from that source. */
static void test_ingress_refused(void **state _unused_)
{
	static const char *const first[] = { "enable", "show ip route 1.1.1.1",
					     "show ip route 9.9.9.9", "show ip route 12.12.12.1" };
	struct tuple other = eapi_tuple("12.12.12.1", 30003, "9.9.9.9", 80, IPPROTO_TCP);
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_add(w.l, &other, 5000));
	for (size_t i = 0; i < w.l->n; i++)
		w.l->flow[i].ingress[0] = '\0';
	ask(&w, false, first, ARRAY_SIZE(first));
	answer(&w, RPC_FAILED, 3, 1002,
	       "[{}," ROUTE(VIAS_BOTH) ",{\"routes\":{\"0.0.0.0/0\":{\"vias\":[" VIAS_A "]}}}]");
	for (size_t i = 0; i < 3; i++)
		expect(&w, i, "", "refuses to show the route to its source");
	expect(&w, 3, "", "had not been read before");
	teardown(&w);
}

static void test_bounded(void **state _unused_)
{
	struct world w;
	bool text;
	int n = 0;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	while (lookup_next(w.l, &w.c, &text) && n++ < 1000)
		answer(&w, RPC_OK, 0, 0, "[{},{},{},{},{},{}]");
	assert_in_range(n, 1, 50);
	teardown(&w);
	setup(&w, "lookup = no", ROUTE(VIAS_BOTH), 1000);
	assert_true(lookup_next(w.l, &w.c, &text));
	answer(&w, RPC_OK, 0, 0, "[{}," ROUTE(VIAS_BOTH) "]");
	expect(&w, 0, "", "lookup = no");
	teardown(&w);
}

static void test_broken(void **state _unused_)
{
	struct world w;

	setup(&w, "", ROUTE(VIAS_BOTH), 1000);
	ask(&w, false, in_one, ARRAY_SIZE(in_one));
	answer(&w, RPC_FAILED, 3, 1000, "[{}," ROUTE(VIAS_BOTH) "," PATH("Ethernet43") ",{}]");
	expect(&w, 1, "", "refused");
	lookup_break(w.l, "it timed out");
	expect(&w, 0, "", "timed out");
	assert_true(w.l->flow[0].again && w.l->flow[2].again);
	assert_false(w.l->flow[1].again); /* that one had its answer */
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_route_changes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_ingress),
		cmocka_unit_test(test_ingress_refused),
		cmocka_unit_test(test_guess),
		cmocka_unit_test(test_wrong_guess),
		cmocka_unit_test(test_wrong_guess_by_text),
		cmocka_unit_test(test_guess_is_no_proof),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
