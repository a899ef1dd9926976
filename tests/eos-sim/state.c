// SPDX-License-Identifier: GPL-2.0-or-later
/* The truth about the table, for tests. */
#include "cli.h"
#include "control.h"
#include "mirror.h"

#include <string.h>

static const char *state_word(enum flow_state state)
{
	switch (state) {
	case FLOW_INCOMPLETE:
		return "incomplete";
	case FLOW_PENDING:
		return "pending";
	case FLOW_PROGRAMMED:
		return "programmed";
	case FLOW_NO_ROOM:
		return "no-room";
	case FLOW_REFUSED:
		return "refused";
	case FLOW_EXPIRED:
		return "expired";
	}
	return "";
}

static void put_host(struct json_object *o, const char *key, const struct flow_host *h)
{
	char text[NAME_SIZE];

	if (!h->family)
		return;
	address_text(h->family, h->address, text);
	json_put_text(o, key, text);
}

static struct json_object *words_of(const struct flow_list *l)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < l->n; i++)
		json_append_text(list, l->v[i]);
	return list;
}

static struct json_object *flow_of(const struct flow *f)
{
	const struct flow_spec *s = f->in_hardware ? &f->hardware : &f->config;
	struct json_object *o = json_object_new_object();

	json_put_text(o, "name", f->name);
	json_put_text(o, "comment", f->comment);
	json_put_text(o, "state", state_word(f->state));
	json_put_flag(o, "in_hardware", f->in_hardware);
	json_put_number(o, "serial", (int64_t)f->serial);
	json_put_number(o, "packets", (int64_t)f->packets);
	json_put_number(o, "bytes", (int64_t)f->bytes);
	json_put_number(o, "priority", s->priority);
	json_put_number(o, "idle", s->idle);
	json_put_flag(o, "persistent", s->persistent);
	json_put_number(o, "ethertype", s->ethertype);
	json_put_number(o, "protocol", s->protocol);
	put_host(o, "src", &s->src);
	put_host(o, "dst", &s->dst);
	json_put_number(o, "sport", s->sport);
	json_put_number(o, "dport", s->dport);
	json_object_object_add(o, "nexthops", words_of(&s->nexthops));
	json_object_object_add(o, "outputs", words_of(&s->outputs));
	json_object_object_add(o, "inputs", words_of(&s->inputs));
	json_put_number(o, "set_vlan", s->set_vlan);
	json_put_text(o, "dmac", s->set_dmac);
	json_put_flag(o, "drop", s->drop);
	return o;
}

void usage_of(struct sim *sim, struct json_object *ret)
{
	struct json_object *counters = json_object_new_object();
	const struct counters *n = &sim->counters;
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "connections", n->connections },
		{ "refused", n->refused },
		{ "requests", n->requests },
		{ "logins", n->logins },
		{ "logins_refused", n->logins_refused },
		{ "unauthorized", n->unauthorized },
		{ "commands", n->commands },
		{ "failures", n->failures },
		{ "faults", n->faults },
		{ "programmed_total", sim->table.programmed_total },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
		json_put_number(counters, all[i].name, (int64_t)all[i].value);
	json_object_object_add(ret, "counters", counters);
	json_put_number(ret, "used", (int64_t)sim->table.used);
	json_put_number(ret, "used_max", (int64_t)sim->table.used_max);
	json_put_number(ret, "room", table_room(sim));
	json_put_number(ret, "foreign", (int64_t)sim->table.foreign);
	json_put_flag(ret, "shutdown", sim->table.shut);
	json_put_flag(ret, "agent_runs", table_agent_runs(sim));
	json_object_object_add(ret, "mirrors", mirror_state(sim));
	json_put_text(ret, "lock_holder", sim->lock_holder);
	json_put_text(ret, "running_extra", sim->running_extra ? sim->running_extra : "");
}

void state_of(struct sim *sim, struct json_object *ret)
{
	struct json_object *flows = json_object_new_array();

	for (const struct flow *f = sim->table.first; f; f = f->next)
		json_object_array_add(flows, flow_of(f));
	json_object_object_add(ret, "flows", flows);
	usage_of(sim, ret);
}
