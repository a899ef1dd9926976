// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include "base/clock.h"
#include "eapi/agent_internal.h"

/* Routes of the services, neighbours, MAC table and ports: as many as the switch takes in one
 * request. A command that it refuses is left out from then on, and the rest is asked for again. */

static bool has_family(const struct agent *a, uint8_t family)
{
	for (size_t i = 0; i < a->watch.n; i++)
		if (a->watch.list[i].prefix.addr.family == family)
			return true;
	return false;
}

static const struct {
	const char *command;
	uint8_t family; /* 0: both */
	bool vrf;
} tables[TABLE_COUNT] = {
	[TABLE_ARP] = { "show ip arp", AF_INET, true },
	[TABLE_ND] = { "show ipv6 neighbors", AF_INET6, true },
	[TABLE_MAC] = { "show mac address-table", 0, false },
	[TABLE_PORTS] = { "show interfaces status", 0, false },
};

void agent_surroundings_begin(struct agent *a)
{
	watch_begin_round(&a->watch, clock_now_ms());
	for (size_t i = 0; i < a->watch.n; i++)
		a->route_done[i] = i >= a->watch.n_fixed && !a->watch.list[i].due;
	memset(a->table_done, 0, sizeof(a->table_done));
}

static void ask(struct agent *a, const char *command, size_t what)
{
	commands_add(&a->commands, command);
	a->asked[a->n_asked++] = what;
}

/* Whether the whole table is asked for already, on behalf of another prefix. */
static bool is_shared(const struct agent *a, size_t watched)
{
	const struct watched *w = &a->watch.list[watched];

	for (size_t i = 0; watch_shares(w) && i < a->n_asked; i++) {
		const struct watched *other =
			a->asked[i] < a->watch.cap ? &a->watch.list[a->asked[i]] : NULL;

		if (other && watch_shares(other) &&
		    other->prefix.addr.family == w->prefix.addr.family)
			return true;
	}
	return false;
}

bool agent_surroundings_commands(struct agent *a, uint64_t now_ms)
{
	char text[160];

	commands_reset(&a->commands);
	a->n_asked = 0;
	for (size_t i = 0; i < a->watch.n && a->n_asked + TABLE_COUNT < ARRAY_SIZE(a->asked); i++)
		if (!a->route_done[i] && !is_shared(a, i))
			ask(a, watch_command(&a->watch.list[i], a->s->vrf, text, sizeof(text)), i);
	for (size_t i = 0; i < TABLE_COUNT; i++) {
		bool vrf = tables[i].vrf && strcmp(a->s->vrf, "default") != 0;

		if (a->table_done[i] || now_ms < a->table_skip_ms[i] ||
		    (tables[i].family && !has_family(a, tables[i].family)))
			continue;
		snprintf(text, sizeof(text), "%s%s%s", tables[i].command, vrf ? " vrf " : "",
			 vrf ? a->s->vrf : "");
		ask(a, text, a->watch.cap + i);
	}
	return a->n_asked > 0;
}

static bool read_table(struct agent *a, size_t i, struct json_object *model)
{
	switch ((enum table_kind)i) {
	case TABLE_ARP:
		return topology_read_neighbours(&a->topology, AF_INET, model);
	case TABLE_ND:
		return topology_read_neighbours(&a->topology, AF_INET6, model);
	case TABLE_MAC:
		return topology_read_macs(&a->topology, model);
	case TABLE_PORTS:
		return topology_read_ports(&a->topology, model);
	case TABLE_COUNT:
		break;
	}
	return false;
}

static void take_routes(struct agent *a, size_t what, struct json_object *model, uint64_t now_ms)
{
	const struct watched *w = &a->watch.list[what];

	for (size_t i = 0; i < a->watch.n; i++) {
		struct watched *other = &a->watch.list[i];

		if (i != what && (!watch_shares(w) || !watch_shares(other) ||
				  other->prefix.addr.family != w->prefix.addr.family))
			continue;
		a->route_done[i] = true;
		watch_read(other, a->s->vrf, model, now_ms);
	}
}

static void take_one(struct agent *a, size_t what, struct json_object *model, uint64_t now_ms)
{
	if (what < a->watch.cap) {
		take_routes(a, what, model, now_ms);
	} else {
		a->table_done[what - a->watch.cap] = true;
		read_table(a, what - a->watch.cap, model);
	}
}

static void refused(struct agent *a, size_t what, const char *message, uint64_t now_ms)
{
	uint32_t dropped;

	if (log_limit_pass(&a->limit_read, now_ms, &dropped))
		log_notice("switch %s: a command to read was refused: %s", a->s->name, message);
	if (what >= a->watch.cap) {
		a->table_skip_ms[what - a->watch.cap] = now_ms + SKIP_MS;
		return;
	}
	a->route_done[what] = !watch_next_form(&a->watch.list[what]);
}

bool agent_surroundings_shrink(struct agent *a)
{
	bool any = false;

	for (size_t i = 0; i < a->watch.n; i++)
		any |= watch_shares(&a->watch.list[i]) && watch_next_form(&a->watch.list[i]);
	return any;
}

void agent_surroundings_take(struct agent *a, const struct rpc_answer *answer, uint64_t now_ms)
{
	size_t done = answer->outcome == RPC_OK ? a->n_asked : answer->failed_at;

	for (size_t i = 0; i < done && i < a->n_asked; i++) {
		_cleanup_(eapi_json_putp) struct json_object *hold = NULL;

		take_one(a, a->asked[i], rpc_result(answer, i, &hold), now_ms);
	}
	if (done < a->n_asked)
		refused(a, a->asked[done], answer->message, now_ms);
}
