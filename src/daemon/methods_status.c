// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/methods.h"

#include <string.h>
#include "base/clock.h"
#include "core/override.h"
#include "core/rib.h"
#include "daemon/daemon.h"
#include "daemon/params.h"
#include "flowpin/flowpin.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

struct number {
	const char *key;
	uint64_t value;
};

static void add_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_numbers(struct json_object *o, const struct number *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_object_object_add(o, list[i].key,
				       json_object_new_int64((int64_t)list[i].value));
}

static struct json_object *numbers(const struct number *list, size_t n)
{
	struct json_object *o = json_object_new_object();

	add_numbers(o, list, n);
	return o;
}

static struct json_object *strings(const char *(*text)(const void *item, char *buf),
				   const void *list, size_t size, size_t n)
{
	struct json_object *o = json_object_new_array();
	char buf[128];

	for (size_t i = 0; i < n; i++)
		json_object_array_add(
			o, json_object_new_string(text((const char *)list + i * size, buf)));
	return o;
}

static const char *prefix_text(const void *item, char *buf)
{
	return ip_prefix_format(item, buf);
}

static const char *proto_text(const void *item, char *buf _unused_)
{
	return proto_name(*(const uint8_t *)item);
}

static const char *ports_text(const void *item, char *buf)
{
	const struct port_range *r = item;

	snprintf(buf, 128, r->first == r->last ? "%u" : "%u-%u", r->first, r->last);
	return buf;
}

static const char *spec_text(const void *item, char *buf)
{
	return nexthop_spec_format(item, buf);
}

static struct json_object *ids_json(const struct service *s)
{
	struct json_object *list = json_object_new_array();
	char text[NEXTHOP_TEXT];

	for (size_t i = 0; i < s->n_ids; i++) {
		struct json_object *o = json_object_new_object();

		add_text(o, "nexthop", nexthop_spec_format(&s->ids[i].nexthop, text));
		add_numbers(o, &(struct number){ "id", s->ids[i].id }, 1);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *service_json(struct daemon *d, const struct service *s)
{
	struct json_object *o = json_object_new_object();
	const struct binding *b;
	uint64_t nexthops = 0, active = 0, flows = 0;
	uint8_t cursor = 0;

	while ((b = registry_binding_next(d->registry, &cursor))) {
		if (strcmp(b->service, s->name) != 0)
			continue;
		nexthops++;
		active += b->state == BINDING_ACTIVE;
		flows += d->id_flows[b->id];
	}
	add_text(o, "name", s->name);
	json_object_object_add(
		o, "prefixes",
		strings(prefix_text, s->prefixes, sizeof(*s->prefixes), s->n_prefixes));
	json_object_object_add(o, "protocols", strings(proto_text, s->protos, 1, s->n_protos));
	json_object_object_add(o, "ports",
			       strings(ports_text, s->ports, sizeof(*s->ports), s->n_ports));
	json_object_object_add(o, "ids", ids_json(s));
	add_text(o, "on_withdraw", s->on_withdraw == SERVICE_HOLD ? "hold" : "release");
	add_numbers(o,
		    (struct number[]){ { "idle_timeout_ms", (uint64_t)s->idle_timeout_s * 1000 },
				       { "nexthops", nexthops },
				       { "active", active },
				       { "flows", flows } },
		    4);
	return o;
}

static struct json_object *override_json(struct daemon *d, size_t i)
{
	struct json_object *o = json_object_new_object();
	const struct override *v = &d->overrides[i];
	struct override_place place = { 0 };
	char text[IP_PREFIX_TEXT];
	int r = policy_override_place(d->policy, i, &place);

	add_text(o, "service", v->service);
	add_text(o, "prefix", ip_prefix_format(&v->to, text));
	add_numbers(o,
		    (struct number[]){ { "source_table", v->source_table },
				       { "table", place.table },
				       { "length", v->len },
				       { "routes", v->n_routes },
				       { "age_ms", r == 0 ? clock_now_ms() - place.since_ms : 0 } },
		    5);
	json_object_object_add(o, "without",
			       strings(spec_text, v->without, sizeof(*v->without), v->n_without));
	return o;
}

static struct json_object *bindings_json(struct daemon *d)
{
	uint64_t by_state[BINDING_GONE + 1] = { 0 }, used = 0;
	const struct binding *b;
	uint8_t cursor = 0;

	while ((b = registry_binding_next(d->registry, &cursor))) {
		by_state[b->state]++;
		used++;
	}
	return numbers((struct number[]){ { "used", used },
					  { "max", d->config->numbers.mark_mask >> mark_shift(d) },
					  { "active", by_state[BINDING_ACTIVE] },
					  { "draining", by_state[BINDING_DRAINING] },
					  { "dead", by_state[BINDING_DEAD] },
					  { "unreachable", by_state[BINDING_UNREACHABLE] } },
		       6);
}

static void add_lists(struct daemon *d, struct json_object *o)
{
	struct json_object *services = json_object_new_array(),
			   *overrides = json_object_new_array(),
			   *unpinned = json_object_new_array(), *warnings = json_object_new_array();
	const struct unpinned *list;
	size_t n;

	for (size_t i = 0; i < d->config->services.n; i++)
		json_object_array_add(services, service_json(d, &d->config->services.list[i]));
	for (size_t i = 0; i < d->n_overrides; i++)
		json_object_array_add(overrides, override_json(d, i));
	list = registry_unpinned(d->registry, &n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *u = json_object_new_object();
		char text[NEXTHOP_TEXT];

		add_text(u, "service", list[i].service);
		add_text(u, "nexthop", nexthop_spec_format(&list[i].nexthop, text));
		json_object_array_add(unpinned, u);
	}
	for (size_t i = 0; i < d->warnings.n; i++) {
		struct json_object *w = json_object_new_object();

		add_text(w, "code", d->warnings.list[i].code);
		add_text(w, "text", d->warnings.list[i].text);
		if (d->warnings.list[i].command[0])
			add_text(w, "command", d->warnings.list[i].command);
		json_object_array_add(warnings, w);
	}
	json_object_object_add(o, "services", services);
	json_object_object_add(o, "overrides", overrides);
	json_object_object_add(o, "unpinned", unpinned);
	json_object_object_add(o, "warnings", warnings);
}

static void add_counts(struct daemon *d, struct json_object *o)
{
	struct control_server_stats clients;
	const struct stats *s = &d->stats;
	uint64_t one_way = 0, all = 0;
	struct json_object *x;

	for (unsigned id = 1; id <= BINDING_ID_MAX; id++) {
		one_way += d->id_one_way[id];
		all += d->id_flows[id];
	}
	control_server_stats(d->server, &clients);
	json_object_object_add(
		o, "flows",
		numbers((struct number[]){ { "count", all },
					   { "max", flow_table_capacity(d->flows) },
					   { "tracked", all - one_way },
					   { "one_way", one_way },
					   { "refused", s->flows_refused },
					   { "over_source", s->flows_over_source },
					   { "memory", flow_table_memory(d->flows) } },
			7));
	json_object_object_add(o, "pins",
			       numbers((struct number[]){ { "max", d->config->limits.max_pins },
							  { "lost", s->lost_pins } },
				       2));
	json_object_object_add(o, "bindings", bindings_json(d));
	x = numbers((struct number[]){ { "received", s->events_received },
				       { "new", s->events_new },
				       { "update", s->events_update },
				       { "destroy", s->events_destroy },
				       { "overruns", s->overruns },
				       { "resyncs", s->resyncs },
				       { "receive_buffer", s->receive_buffer },
				       { "undecodable", s->undecodable } },
		    8);
	json_object_object_add(x, "updates_wanted", json_object_new_boolean(d->updates_joined));
	json_object_object_add(o, "events", x);
	x = numbers((struct number[]){ { "routes", rib_route_count(d->rib) },
				       { "ruleset_changes", s->ruleset_changes },
				       { "policy_changes", s->policy_changes },
				       { "policy_failed", s->policy_failed } },
		    4);
	json_object_object_add(x, "owner", json_object_new_boolean(ruleset_owned(d->ruleset)));
	json_object_object_add(o, "kernel", x);
	json_object_object_add(o, "repairs",
			       numbers((struct number[]){ { "ruleset", s->repairs_ruleset },
							  { "policy", s->repairs_policy } },
				       2));
	json_object_object_add(o, "clients",
			       numbers((struct number[]){ { "connected", clients.clients },
							  { "requests", clients.requests },
							  { "refused", clients.refused } },
				       3));
}

void status_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	uint64_t now = clock_now_ms();
	struct json_object *o;
	char mask[16];

	daemon_lost_pins_look(d);
	if (!params_check(call, params, NULL))
		return;
	o = json_object_new_object();
	add_text(o, "version", FLOWPIN_VERSION);
	add_text(o, "instance", d->instance);
	add_text(o, "state", d->ready ? "running" : "starting");
	add_text(o, "config", d->options.config_path);
	snprintf(mask, sizeof(mask), "0x%08x", d->config->numbers.mark_mask);
	add_text(o, "mark_mask", mask);
	add_numbers(o,
		    (struct number[]){ { "pid", (uint64_t)getpid() },
				       { "uptime_ms", now - d->started_ms },
				       { "config_age_ms", now - d->config_ms },
				       { "unpinned_flows", d->stats.flows_unpinned } },
		    4);
	add_counts(d, o);
	add_lists(d, o);
	control_reply(call, o);
}
