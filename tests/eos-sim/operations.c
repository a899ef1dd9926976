// SPDX-License-Identifier: GPL-2.0-or-later
/* What the control channel can do. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "control.h"
#include "dataplane.h"
#include "mirror.h"
#include "web.h"

/* Fills `ret` and returns NULL, or returns what is wrong. */
typedef const char *operation_function(struct sim *sim, const char *op, struct json_object *o,
				       struct json_object *ret);

static const char *op_set(struct sim *sim, const char *op, struct json_object *o,
			  struct json_object *ret)
{
	struct json_object *knobs = json_child(o, "knobs");

	(void)op;
	(void)ret;
	if (!json_object_is_type(knobs, json_type_object))
		return "knobs is no object";
	json_object_object_foreach(knobs, name, value)
	{
		if (!knobs_set(&sim->knobs, name, json_object_get_string(value)))
			return "no such knob, or not a value of it";
	}
	return NULL;
}

static const char *op_fault(struct sim *sim, const char *op, struct json_object *o,
			    struct json_object *ret)
{
	const char *wrong = fault_add(&sim->faults, o);

	(void)op;
	json_put_number(ret, "id", (int64_t)sim->faults.ids);
	return wrong;
}

static const char *op_clear_faults(struct sim *sim, const char *op, struct json_object *o,
				   struct json_object *ret)
{
	(void)op;
	(void)o;
	(void)ret;
	fault_clear(&sim->faults);
	return NULL;
}

static const char *op_faults(struct sim *sim, const char *op, struct json_object *o,
			     struct json_object *ret)
{
	(void)op;
	(void)o;
	json_object_object_add(ret, "faults", fault_list(&sim->faults));
	return NULL;
}

static const char *op_reply(struct sim *sim, const char *op, struct json_object *o,
			    struct json_object *ret)
{
	struct canned *r = need(calloc(1, sizeof(*r)));

	(void)op;
	(void)ret;
	if (regcomp(&r->command, json_text(o, "command", "^$"), REG_EXTENDED | REG_NOSUB) != 0) {
		free(r);
		return "command is no extended regular expression";
	}
	r->count = json_number(o, "count", 1);
	r->skip = json_number(o, "skip", 0);
	r->reply = json_object_get(o);
	r->next = sim->canned;
	sim->canned = r;
	return NULL;
}

static const char *op_clear_replies(struct sim *sim, const char *op, struct json_object *o,
				    struct json_object *ret)
{
	(void)op;
	(void)o;
	(void)ret;
	sim_clear_replies(sim);
	return NULL;
}

/* Another administrator at the console: no HTTP, no faults, no latency. */
static const char *op_cli(struct sim *sim, const char *op, struct json_object *o,
			  struct json_object *ret)
{
	struct json_object *cmds = json_child(o, "cmds"), *out = json_object_new_array();
	struct cli c;

	(void)op;
	cli_init(&c, sim, json_text(o, "user", "console"), false);
	c.mode = MODE_ENABLE;
	for (size_t i = 0;
	     json_object_is_type(cmds, json_type_array) && i < json_object_array_length(cmds);
	     i++) {
		struct json_object *cmd = json_object_array_get_idx(cmds, i);
		bool plain = json_object_is_type(cmd, json_type_string);

		cli_run(&c, plain ? json_object_get_string(cmd) : json_text(cmd, "cmd", ""),
			plain ? NULL : json_text(cmd, "input", NULL));
		json_append_text(out, c.error ? c.error : c.output ? c.output : "");
		if (c.error)
			json_put_text(ret, "error", c.error);
		json_object_put(c.model);
		free(c.output);
		free(c.error);
	}
	cli_end(&c, false);
	json_object_object_add(ret, "output", out);
	return NULL;
}

static const char *op_power(struct sim *sim, const char *op, struct json_object *o,
			    struct json_object *ret)
{
	long ms = json_number(o, "ms", 1000);

	(void)ret;
	if (strcmp(op, "reboot") == 0)
		sim_reboot(sim, ms);
	else if (strcmp(op, "agent-restart") == 0)
		sim_restart_agent(sim, ms);
	else if (strcmp(op, "down") == 0)
		sim->down_until = clock_ms() + ms;
	else
		sim->clock_step_ms += ms;
	return NULL;
}

static const char *op_up(struct sim *sim, const char *op, struct json_object *o,
			 struct json_object *ret)
{
	(void)op;
	(void)o;
	(void)ret;
	sim->down_until = 0;
	return NULL;
}

static const char *op_lock(struct sim *sim, const char *op, struct json_object *o,
			   struct json_object *ret)
{
	(void)ret;
	set_text(sim->lock_holder, sizeof(sim->lock_holder),
		 strcmp(op, "lock") == 0 ? json_text(o, "holder", "somebody") : "");
	return NULL;
}

static const char *op_expire_sessions(struct sim *sim, const char *op, struct json_object *o,
				      struct json_object *ret)
{
	(void)op;
	(void)o;
	(void)ret;
	web_expire_sessions(sim);
	return NULL;
}

static const char *op_drop_connections(struct sim *sim, const char *op, struct json_object *o,
				       struct json_object *ret)
{
	(void)op;
	(void)o;
	(void)ret;
	web_drop_connections(sim);
	return NULL;
}

static const char *op_foreign(struct sim *sim, const char *op, struct json_object *o,
			      struct json_object *ret)
{
	(void)op;
	(void)ret;
	sim->table.foreign = (size_t)json_number(o, "entries", 0);
	return NULL;
}

/* Packets of a flow that no data plane counts; the name "*" is all that are in hardware. */
static const char *op_count(struct sim *sim, const char *op, struct json_object *o,
			    struct json_object *ret)
{
	const char *name = json_text(o, "flow", "*");
	long packets = json_number(o, "packets", 1);
	long hit = 0;

	(void)op;
	for (struct flow *f = sim->table.first; f; f = f->next) {
		if (!f->in_hardware || (strcmp(name, "*") != 0 && strcmp(name, f->name) != 0))
			continue;
		f->packets += (uint64_t)packets;
		f->bytes += (uint64_t)json_number(o, "bytes", 74 * packets);
		hit++;
	}
	json_put_number(ret, "flows", hit);
	return hit ? NULL : "no such flow in hardware";
}

/* What counters would show, without waiting for their interval. */
static const char *op_refresh(struct sim *sim, const char *op, struct json_object *o,
			      struct json_object *ret)
{
	(void)op;
	(void)o;
	(void)ret;
	sim->table.next_count = sim->table.rests_until = 0;
	table_tick(sim, clock_ms());
	return NULL;
}

static const char *op_path(struct sim *sim, const char *op, struct json_object *o,
			   struct json_object *ret)
{
	struct path_query q = { .protocol = json_number(o, "protocol", 6),
				.sport = json_number(o, "sport", 0),
				.dport = json_number(o, "dport", 0) };
	struct via via;

	(void)op;
	q.family = address_parse(json_text(o, "dst", ""), q.dst);
	if (!q.family || address_parse(json_text(o, "src", ""), q.src) != q.family)
		return "src and dst are addresses of one family";
	set_text(q.ingress, sizeof(q.ingress), json_text(o, "interface", ""));
	if (!tables_path(sim, &q, &via))
		return "no route";
	json_put_text(ret, "interface", via.interface);
	json_put_text(ret, "nexthop", via.nexthop);
	return NULL;
}

static const char *op_table(struct sim *sim, const char *op, struct json_object *o,
			    struct json_object *ret)
{
	(void)ret;
	return tables_operate(sim, op, o);
}

static const char *op_mirror(struct sim *sim, const char *op, struct json_object *o,
			     struct json_object *ret)
{
	(void)op;
	return mirror_operate(sim, o, ret);
}

static const char *op_knobs(struct sim *sim, const char *op, struct json_object *o,
			    struct json_object *ret)
{
	(void)op;
	(void)o;
	json_object_object_add(ret, "knobs", knobs_json(&sim->knobs));
	return NULL;
}

static const char *op_journal(struct sim *sim, const char *op, struct json_object *o,
			      struct json_object *ret)
{
	struct json_object *list = json_object_new_array();
	struct journal *j = &sim->journal;
	uint64_t since = (uint64_t)json_number(o, "since", 0);

	(void)op;
	for (size_t i = 0; i < j->n; i++) {
		struct json_object *line;

		if (j->v[i].serial <= since)
			continue;
		line = json_object_new_object();
		json_put_number(line, "serial", (int64_t)j->v[i].serial);
		json_put_number(line, "request", (int64_t)j->v[i].request);
		json_put_number(line, "at_ms", j->v[i].at_ms);
		json_put_text(line, "user", j->v[i].user);
		json_put_number(line, "code", j->v[i].code);
		json_put_text(line, "command", j->v[i].command);
		json_object_array_add(list, line);
	}
	json_object_object_add(ret, "journal", list);
	json_put_number(ret, "lost", (int64_t)j->lost);
	return NULL;
}

static const char *op_state(struct sim *sim, const char *op, struct json_object *o,
			    struct json_object *ret)
{
	(void)o;
	if (strcmp(op, "usage") == 0)
		usage_of(sim, ret);
	else
		state_of(sim, ret);
	return NULL;
}

static const struct {
	const char *op;
	operation_function *run;
} operations[] = {
	{ "set", op_set },
	{ "fault", op_fault },
	{ "clear-faults", op_clear_faults },
	{ "faults", op_faults },
	{ "reply", op_reply },
	{ "clear-replies", op_clear_replies },
	{ "cli", op_cli },
	{ "reboot", op_power },
	{ "agent-restart", op_power },
	{ "down", op_power },
	{ "clock-step", op_power },
	{ "up", op_up },
	{ "lock", op_lock },
	{ "unlock", op_lock },
	{ "expire-sessions", op_expire_sessions },
	{ "drop-connections", op_drop_connections },
	{ "foreign", op_foreign },
	{ "count", op_count },
	{ "refresh", op_refresh },
	{ "path", op_path },
	{ "interface", op_table },
	{ "route", op_table },
	{ "no-route", op_table },
	{ "arp", op_table },
	{ "no-arp", op_table },
	{ "mac", op_table },
	{ "no-mac", op_table },
	{ "mirror", op_mirror },
	{ "knobs", op_knobs },
	{ "journal", op_journal },
	{ "state", op_state },
	{ "usage", op_state },
};

struct json_object *control_operate_locked(struct sim *sim, struct json_object *operation)
{
	struct json_object *ret = json_object_new_object();
	const char *op = json_text(operation, "op", ""), *wrong = "no such operation";

	sim_settle(sim);
	for (size_t i = 0; i < ARRAY_LENGTH(operations); i++) {
		if (strcmp(operations[i].op, op) == 0)
			wrong = operations[i].run(sim, op, operation, ret);
	}
	if (wrong)
		json_put_text(ret, "error", wrong);
	return ret;
}

struct json_object *control_operate(struct sim *sim, struct json_object *operation)
{
	const char *op = json_text(operation, "op", "");
	struct json_object *ret;

	pthread_mutex_lock(&sim->lock);
	ret = control_operate_locked(sim, operation);
	pthread_mutex_unlock(&sim->lock);
	if (strcmp(op, "down") == 0 || strcmp(op, "up") == 0 || strcmp(op, "reboot") == 0)
		web_settle(sim);
	return ret;
}
