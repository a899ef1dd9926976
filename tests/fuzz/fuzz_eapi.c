// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "eapi/facts.h"
#include "eapi/lookup.h"
#include "eapi/rpc.h"
#include "eapi/watch.h"
#include "fuzz/switch_fixture.h"

/* The body of an HTTP answer of a switch: three bytes (which switch, how many commands were sent,
 * the number of the request), then the body. Its results go to every reader of src/eapi but those
 * of DirectFlow, which have a target of their own. */

static void on_route(const struct ip_prefix *p, struct json_object *route, void *arg)
{
	struct vias vias = { 0 };

	FUZZ_CHECK(p->len <= ip_family_bits(p->addr.family));
	if (route_read_vias(route, &vias) == 0)
		vias_clear(&vias);
	(*(unsigned *)arg)++;
}

static void read_routes(const struct switch_config *s, struct json_object *model)
{
	static const char *const texts[] = { "1.1.1.1", "2001:db8::1" };
	unsigned n = 0;

	(void)routes_each(model, s->vrf, on_route, &n);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct ip_addr dst;
		struct vias vias = { 0 };

		FUZZ_CHECK(ip_addr_parse(texts[i], &dst) == 0);
		if (route_read(model, s->vrf, &dst, NULL, &vias) == 0)
			vias_clear(&vias);
	}
}

static void use_topology(const struct topology *t)
{
	for (size_t i = 0; i < t->n_neighbours; i++) {
		const struct neighbour *n = &t->neighbour[i];
		const char *place = topology_place(t, n);

		FUZZ_CHECK(!place || strlen(place) < INTERFACE_NAME);
		(void)topology_neighbour(t, &n->addr);
		(void)topology_neighbour_by_mac(t, n->addr.family, n->mac, n->interface);
	}
	for (size_t i = 0; i < t->n_ports; i++)
		FUZZ_CHECK(topology_port(t, t->port[i].name));
}

static void read_watch(const struct config *c, const struct switch_config *s,
		       const struct topology *t, struct json_object *model)
{
	struct watch w = { 0 };
	char command[200];

	FUZZ_CHECK(watch_init(&w, &c->services) == 0);
	for (size_t i = 0; i < w.n; i++) {
		(void)watch_read(&w.list[i], s->vrf, model, 1000);
		do
			watch_command(&w.list[i], s->vrf, command, sizeof(command));
		while (watch_next_form(&w.list[i]));
		(void)watch_read(&w.list[i], s->vrf, model, 2000);
	}
	watch_nexthops_begin(&w);
	watch_nexthops_end(&w, t);
	watch_clear(&w);
}

static void read_model(const struct config *c, const struct switch_config *s,
		       struct json_object *model)
{
	struct version_facts facts;
	struct topology t = { 0 };
	char interface[64];

	if (version_read(model, &facts))
		(void)version_rebooted(&facts, &facts, 1);
	(void)topology_read_neighbours(&t, AF_INET, model);
	(void)topology_read_neighbours(&t, AF_INET6, model);
	(void)topology_read_macs(&t, model);
	(void)topology_read_ports(&t, model);
	use_topology(&t);
	read_routes(s, model);
	read_watch(c, s, &t, model);
	topology_clear(&t);
	if (path_read(s, model, interface) == 0)
		FUZZ_CHECK(strlen(interface) < sizeof(interface));
}

/* Which nexthop the switch chose, when it answers every request of one question like this. */
static void look_up(const struct config *c, const struct switch_config *s,
		    const struct rpc_answer *answer)
{
	static const struct tuple tuples[] = {
		{ .src = { 12, 12, 12, 1 },
		  .dst = { 1, 1, 1, 1 },
		  .sport = 30001,
		  .dport = 80,
		  .family = AF_INET,
		  .proto = IPPROTO_TCP },
		{ .src = { 0x20, 1, 0xd, 0xb8, 9 },
		  .dst = { 0x20, 1, 0xd, 0xb8, [15] = 1 },
		  .sport = 30001,
		  .dport = 80,
		  .family = AF_INET6,
		  .proto = IPPROTO_TCP },
	};
	_cleanup_(lookup_freep) struct lookup *l = NULL;
	struct topology t = { 0 };
	struct watch w = { 0 };
	struct commands commands = { 0 };
	bool text;

	for (size_t i = 0; answer->results && i < json_object_array_length(answer->results); i++) {
		_cleanup_(eapi_json_putp) struct json_object *hold = NULL;
		struct json_object *model = rpc_result(answer, i, &hold);

		(void)topology_read_neighbours(&t, AF_INET, model);
		(void)topology_read_ports(&t, model);
	}
	FUZZ_CHECK(watch_init(&w, &c->services) == 0);
	FUZZ_CHECK(lookup_new(s, &w, &t, 7, &l) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(tuples); i++)
		FUZZ_CHECK(lookup_add(l, &tuples[i], 500));
	for (int i = 0; i < 50 && lookup_next(l, &commands, &text); i++) {
		FUZZ_CHECK(commands.n > 0 && !commands.failed);
		/* channel.c hands on what has a result for each command, or says which failed. */
		if ((answer->outcome == RPC_OK &&
		     json_object_array_length(answer->results) >= commands.n) ||
		    (answer->outcome == RPC_FAILED && answer->failed_at < commands.n))
			lookup_answer(l, answer, 1000 + (uint64_t)i);
		else
			lookup_fail(l, "not understood");
	}
	FUZZ_CHECK(!lookup_next(l, &commands, &text));
	commands_free(&commands);
	watch_clear(&w);
	topology_clear(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct config *c = fuzz_switches();
	struct fuzz_input in = { data, size };
	const struct switch_config *s = &c->switches[fuzz_number(&in, 1) % c->n_switches];
	size_t n_commands = fuzz_number(&in, 1) % 9;
	uint64_t id = fuzz_number(&in, 1);
	struct rpc_answer answer;
	uint32_t used, more;

	rpc_parse((const char *)in.data, in.size, id, n_commands, &answer);
	FUZZ_CHECK(memchr(answer.message, '\0', sizeof(answer.message)));
	if (answer.outcome == RPC_OK)
		FUZZ_CHECK(json_object_array_length(answer.results) >= n_commands);
	if (answer.outcome == RPC_FAILED)
		FUZZ_CHECK(answer.failed_at < n_commands);
	for (size_t i = 0; i < n_commands; i++) {
		_cleanup_(eapi_json_putp) struct json_object *model_hold = NULL, *text_hold = NULL;
		struct json_object *model = rpc_result(&answer, i, &model_hold);
		const char *text = rpc_text(&answer, i, &text_hold);

		read_model(c, s, model);
		if (text && tcam_read(text, &used, &more))
			FUZZ_CHECK(used <= UINT32_MAX - 1 || more == 0);
	}
	look_up(c, s, &answer);
	rpc_answer_free(&answer);
	return 0;
}
