// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit/placement_fixture.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include "core/flow.h"
#include "daemon/flows.h"

/* What conntrack's events and a dump of it say of the same flow: a record of the dump may be older
 * than an event that was read before it. */

#define CONFIGURATION "service web { prefix = 1.1.1.1/32 }\n"

struct world {
	struct daemon d;
	struct tuple t;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct registry_limits limits;
	struct err e = { 0 };

	assert_non_null(w);
	assert_int_equal(
		config_parse("test", CONFIGURATION, strlen(CONFIGURATION), &w->d.config, &e), 0);
	limits = daemon_limits(w->d.config);
	assert_int_equal(registry_new(&limits, &w->d.registry), 0);
	assert_int_equal(flow_table_new(100, SEED, &w->d.flows), 0);
	w->t = (struct tuple){ .family = AF_INET,
			       .proto = IPPROTO_TCP,
			       .src = { 12, 12, 12, 2 },
			       .dst = { 1, 1, 1, 1 },
			       .sport = 15021,
			       .dport = 80 };
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	flow_table_free(w->d.flows);
	registry_free(w->d.registry);
	config_free(w->d.config);
	free(w);
	return 0;
}

static void told_state(struct world *w, enum ct_event event, uint8_t tcp_state, uint32_t status)
{
	struct flows_queue q;

	flows_queue_begin(&q, &w->d, 1000);
	q.entry[0] = (struct ct_entry){ .event = event,
					.tuple = w->t,
					.mark = mark_of(&w->d, 1),
					.status = IPS_CONFIRMED | status,
					.has_status = true,
					.tcp_state = tcp_state };
	flows_queue_push(&q);
	flows_queue_flush(&q);
}

/* A connection that conntrack sees one way of, in the state that it has for that. */
static void told(struct world *w, enum ct_event event)
{
	told_state(w, event, TCP_CONNTRACK_SYN_SENT, 0);
}

static int witness_of(struct world *w)
{
	const struct flow *f = flow_table_get(w->d.flows, &w->t);

	return f ? f->flags & (FLOW_CT | FLOW_PIN) : -1;
}

/* The entry ended, which was told of; then comes the record that the dump had made of it. */
static void test_old_record(void **state)
{
	struct world *w = *state;

	told(w, CT_EVENT_NEW);
	assert_int_equal(witness_of(w), FLOW_CT);
	flows_generation_next(&w->d);
	told(w, CT_EVENT_DESTROY);
	assert_int_equal(witness_of(w), FLOW_PIN);
	told(w, CT_EVENT_DUMP);
	assert_int_equal(witness_of(w), FLOW_PIN);
	assert_int_equal(w->d.id_one_way[1], 1);
}

/* The flow has an entry again, and an event told of it, or the next dump does. */
static void test_new_entry(void **state)
{
	struct world *w = *state;

	flows_generation_next(&w->d);
	told(w, CT_EVENT_NEW);
	told(w, CT_EVENT_DESTROY);
	told(w, CT_EVENT_NEW);
	assert_int_equal(witness_of(w), FLOW_CT);
	told(w, CT_EVENT_DUMP);
	assert_int_equal(witness_of(w), FLOW_CT);
	told(w, CT_EVENT_DESTROY);
	assert_int_equal(witness_of(w), FLOW_PIN);
	flows_generation_next(&w->d);
	told(w, CT_EVENT_DUMP);
	assert_int_equal(witness_of(w), FLOW_CT);
	assert_int_equal(w->d.id_one_way[1], 0);
}

/* There are 255 of them: a mark of long ago is none of now. */
static void test_generations(void **state)
{
	struct world *w = *state;

	flows_generation_next(&w->d);
	told(w, CT_EVENT_NEW);
	told(w, CT_EVENT_DESTROY);
	for (int i = 0; i < 600; i++) {
		flows_generation_next(&w->d);
		assert_int_not_equal(flow_table_get(w->d.flows, &w->t)->mark, w->d.generation);
	}
}

/* Its pin is gone as well; the record of the dump comes after that. */
static void test_ended(void **state)
{
	struct world *w = *state;

	told(w, CT_EVENT_NEW);
	flows_generation_next(&w->d);
	told(w, CT_EVENT_DESTROY);
	w->d.dump = (struct dump_job *)w; /* there is one: nobody looks into it here */
	flows_end_told(&w->d, flow_table_get(w->d.flows, &w->t));
	told(w, CT_EVENT_DUMP);
	assert_int_equal(witness_of(w), 0);
	assert_int_equal(w->d.id_flows[1], 0);
	told(w, CT_EVENT_NEW);
	assert_int_equal(witness_of(w), FLOW_CT);
	w->d.dump = NULL;
	flows_end_told(&w->d, flow_table_get(w->d.flows, &w->t));
	assert_int_equal(witness_of(w), -1);
	assert_int_equal(w->d.id_flows[1], 0);
}

/* Whether a connection is closed, after each of what conntrack may say of it in turn. */
static void test_closed(void **state)
{
	static const struct {
		enum ct_event event;
		uint8_t tcp_state;
		uint32_t status;
		bool closed;
	} rows[] = {
		{ CT_EVENT_NEW, TCP_CONNTRACK_SYN_SENT, 0, false },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_CLOSE, 0, false }, /* half of it, as with direct
								       server return */
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_ESTABLISHED, IPS_SEEN_REPLY, false },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_LAST_ACK, IPS_SEEN_REPLY, false },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_TIME_WAIT, IPS_SEEN_REPLY, true },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_NONE, IPS_SEEN_REPLY, true },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_CLOSE, 0, true },
		{ CT_EVENT_NEW, TCP_CONNTRACK_NONE, 0, false },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_NONE, 0, false },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_CLOSE, IPS_SEEN_REPLY, true },
		{ CT_EVENT_DUMP, TCP_CONNTRACK_CLOSE, IPS_SEEN_REPLY, true },
		{ CT_EVENT_UPDATE, TCP_CONNTRACK_ESTABLISHED, IPS_SEEN_REPLY, false },
		{ CT_EVENT_DUMP, TCP_CONNTRACK_TIME_WAIT, IPS_SEEN_REPLY, true },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		told_state(w, rows[i].event, rows[i].tcp_state, rows[i].status);
		assert_int_equal(flow_table_get(w->d.flows, &w->t)->closed, rows[i].closed);
	}
	told_state(w, CT_EVENT_DESTROY, TCP_CONNTRACK_TIME_WAIT, IPS_SEEN_REPLY);
	assert_int_equal(witness_of(w), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_old_record, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_new_entry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_generations, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_closed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
