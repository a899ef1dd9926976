// SPDX-License-Identifier: GPL-2.0-or-later
/* `show directflow ...`, `show running-config section directflow`, `show platform trident tcam`. */
#include "cli.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *list_of(const struct flow_list *l)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < l->n; i++)
		json_append_text(list, l->v[i]);
	return list;
}

static void put_host(struct json_object *match, const struct sim *sim, const char *end,
		     const struct flow_host *h)
{
	static const char *const six[] = {
		[IPV6_KEYS_IP6] = "ip6", [IPV6_KEYS_IPV6] = "ipv6", [IPV6_KEYS_SAME] = "ip"
	};
	struct json_object *o;
	char text[NAME_SIZE], key[16];

	if (!h->family)
		return;
	o = json_object_new_object();
	address_text(h->family, h->address, text);
	json_put_text(o, "ip", text);
	address_text(h->family, h->mask, text);
	json_put_text(o, "mask", text);
	snprintf(key, sizeof(key), "%s%s", h->family == AF_INET ? "ip" : six[sim->knobs.ipv6_keys],
		 end);
	json_object_object_add(match, key, o);
}

static void put_set(struct json_object *o, const char *key, long value)
{
	if (value >= 0)
		json_put_number(o, key, value);
}

static struct json_object *match_model(const struct sim *sim, const struct flow_spec *s)
{
	static const char *const flags[] = { "tcpSyn",
					     "tcpAck",
					     "tcpFin",
					     "tcpRst",
					     "tcpPsh",
					     "tcpUrg",
					     "unknownL2V4MulticastAddress",
					     "unknownL3V4MulticastAddress" };
	struct json_object *m = json_object_new_object();

	json_object_object_add(m, "inInterfaces", list_of(&s->inputs));
	put_set(m, "ethType", s->ethertype);
	put_set(m, "ethTypeMask", s->ethertype >= 0 ? 65535 : -1);
	put_host(m, sim, "Src", &s->src);
	put_host(m, sim, "Dst", &s->dst);
	put_set(m, "ipProto", s->protocol);
	put_set(m, "ipPortSrc", s->sport);
	put_set(m, "ipPortDst", s->dport);
	put_set(m, "vlan", s->vlan);
	for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
		json_put_flag(m, flags[i], false);
	return m;
}

static void put_nexthop(struct json_object *action, const struct knobs *k,
			const struct flow_list *nexthops)
{
	struct json_object *objects, *o;

	if (nexthops->n == 0 || strcmp(k->nexthop_key, "none") == 0)
		return;
	o = json_object_new_object();
	json_put_text(o, "ip", nexthops->v[0]);
	switch ((enum shape)k->nexthop_shape) {
	case SHAPE_STRING:
		json_put_text(action, k->nexthop_key, nexthops->v[0]);
		break;
	case SHAPE_LIST:
		json_object_object_add(action, k->nexthop_key, list_of(nexthops));
		break;
	case SHAPE_OBJECT:
		json_object_object_add(action, k->nexthop_key, json_object_get(o));
		break;
	case SHAPE_OBJECTS:
		objects = json_object_new_array();
		json_object_array_add(objects, json_object_get(o));
		json_object_object_add(action, k->nexthop_key, objects);
		break;
	}
	json_object_put(o);
}

static struct json_object *action_model(const struct sim *sim, const struct flow_spec *s)
{
	static const char *const flags[] = { "outputNormal", "outputFlood",	 "outputAll",
					     "outputLocal",  "outputController", "loopback" };
	struct json_object *a = json_object_new_object();

	json_object_object_add(a, "outInterfaces", list_of(&s->outputs));
	json_object_object_add(a, "ingrMirrorInterfaces", list_of(&s->ingress_mirrors));
	json_object_object_add(a, "egrMirrorInterfaces", list_of(&s->egress_mirrors));
	json_put_flag(a, "outputDrop", s->drop);
	for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
		json_put_flag(a, flags[i], false);
	put_nexthop(a, &sim->knobs, &s->nexthops);
	put_set(a, "vlanId", s->set_vlan);
	put_set(a, "vlanPCP", s->set_cos);
	put_set(a, "ipTos", s->set_tos);
	if (*s->set_dmac)
		json_put_text(a, "dstMac", s->set_dmac);
	return a;
}

static struct json_object *flow_model(const struct sim *sim, const struct flow *f)
{
	const struct flow_spec *s = f->in_hardware ? &f->hardware : &f->config;
	struct json_object *o = json_object_new_object();

	json_put_text(o, "name", f->name);
	json_put_number(o, "priority", s->priority);
	json_put_number(o, "matchPackets", (int64_t)f->shown_packets);
	json_put_number(o, "matchBytes", (int64_t)f->shown_bytes);
	json_put_number(o, "hardTimeout", s->hard);
	json_put_number(o, "idleTimeout", s->idle);
	json_put_flag(o, "persistent", s->persistent);
	json_put_text(o, "bridgeMacAddr", sim->knobs.system_mac);
	json_object_object_add(o, "match", match_model(sim, s));
	json_object_object_add(o, "action", action_model(sim, s));
	return o;
}

/* Whether a flow stands among `flows` of the model. */
static bool in_list(const struct sim *sim, const struct flow *f)
{
	return f->in_hardware || (f->state == FLOW_PENDING && sim->knobs.pending_in_flows);
}

/* Whether the JSON of this version knows of the flow at all. */
static bool in_json(const struct sim *sim, const struct flow *f)
{
	return f->state != FLOW_NO_ROOM || sim->knobs.full_shows == FULL_STATUS;
}

/* Higher priority first, then the order of creation. */
static int by_priority(const void *a, const void *b)
{
	const struct flow *x = *(const struct flow *const *)a, *y = *(const struct flow *const *)b;

	if (x->config.priority != y->config.priority)
		return x->config.priority < y->config.priority ? 1 : -1;
	return x->serial < y->serial ? -1 : 1;
}

static struct flow **sorted_flows(const struct flow_table *t)
{
	struct flow **all = need(calloc(t->n + 1, sizeof(*all)));
	size_t n = 0;

	for (struct flow *f = t->first; f; f = f->next)
		all[n++] = f;
	qsort(all, n, sizeof(*all), by_priority);
	return all;
}

/* The feature is off, its agent is away, or the platform lacks it: false with what there is to say.
 */
static bool directflow_speaks(struct cli *c)
{
	const struct knobs *k = &c->sim->knobs;

	if (!cli_supported(c, k->directflow, 1))
		return false;
	if (!table_agent_runs(c->sim) && k->agent_down == AGENT_DOWN_ERROR) {
		cli_fail(c, 1000, "DirectFlow agent is not running");
		return false;
	}
	return table_agent_runs(c->sim) && (!c->sim->table.shut || k->off_shows == OFF_STATUS);
}

static void flows_json(struct cli *c, bool detail, const char *name)
{
	struct json_object *model = json_object_new_object(), *flows = json_object_new_array(),
			   *status = json_object_new_object();
	struct flow **all = sorted_flows(&c->sim->table);
	bool speaks = directflow_speaks(c);
	int programmed = 0;

	for (struct flow **f = all; speaks && *f; f++) {
		if (name && strcmp((*f)->name, name) != 0)
			continue;
		if (in_list(c->sim, *f))
			json_object_array_add(flows, flow_model(c->sim, *f));
		if (in_json(c->sim, *f))
			json_put_text(status, (*f)->name, flow_status(c->sim, *f));
		programmed += (*f)->in_hardware;
	}
	free(all);
	json_object_object_add(model, "flows", flows);
	if (detail) {
		struct json_object *details = json_object_new_object();

		json_object_object_add(details, "status", json_object_get(status));
		json_put_number(details, "numFlowsProgrammed", programmed);
		json_object_object_add(model, "details", details);
	}
	json_object_put(status);
	if (c->error)
		json_object_put(model);
	else
		c->model = model;
}

static void print_host(FILE *out, const char *which, const struct flow_host *h)
{
	char address[NAME_SIZE], mask[NAME_SIZE];

	if (!h->family)
		return;
	address_text(h->family, h->address, address);
	address_text(h->family, h->mask, mask);
	fprintf(out, "    %s IPv%d address: %s/%s\n", which, h->family == AF_INET ? 4 : 6, address,
		mask);
}

static void print_list(FILE *out, const char *label, const char *separator,
		       const struct flow_list *l)
{
	if (l->n == 0)
		return;
	fprintf(out, "%s", label);
	for (size_t i = 0; i < l->n; i++)
		fprintf(out, "%s%s", i ? separator : "", l->v[i]);
	fputc('\n', out);
}

static void print_match(FILE *out, const struct flow_spec *s)
{
	fputs("  match:\n", out);
	print_list(out, "    ingress interface: ", ", ", &s->inputs);
	if (s->ethertype == 0x0800 || s->ethertype == 0x86dd)
		fprintf(out, "    Ethernet type: IPv%d\n", s->ethertype == 0x0800 ? 4 : 6);
	else if (s->ethertype >= 0)
		fprintf(out, "    Ethernet type: 0x%04lx\n", (unsigned long)s->ethertype);
	if (s->vlan >= 0)
		fprintf(out, "    VLAN: %ld\n", s->vlan);
	print_host(out, "source", &s->src);
	print_host(out, "destination", &s->dst);
	if (s->protocol >= 0) {
		fprintf(out, "    IPv%d protocol: ", s->ethertype == 0x86dd ? 6 : 4);
		if (s->protocol == 6 || s->protocol == 17 || s->protocol == 1)
			fprintf(out, "%s\n",
				s->protocol == 6    ? "TCP"
				: s->protocol == 17 ? "UDP"
						    : "ICMP");
		else
			fprintf(out, "%ld\n", s->protocol);
	}
	if (s->sport >= 0)
		fprintf(out, "    source TCP/UDP port or ICMP type: %ld\n", s->sport);
	if (s->dport >= 0)
		fprintf(out, "    destination TCP/UDP port or ICMP type: %ld\n", s->dport);
}

static void print_actions(FILE *out, const struct flow_spec *s)
{
	fputs("  actions:\n", out);
	print_list(out, "    output nexthop: ", ", ", &s->nexthops);
	print_list(out, "    output interfaces: ", ", ", &s->outputs);
	if (s->drop)
		fputs("    drop\n", out);
	if (s->set_vlan >= 0)
		fprintf(out, "    set VLAN ID to: %ld\n", s->set_vlan);
	if (s->set_cos >= 0)
		fprintf(out, "    set COS to: %ld\n", s->set_cos);
	if (s->set_tos >= 0)
		fprintf(out, "    set IP TOS to: %ld\n", s->set_tos);
	if (*s->set_dmac)
		fprintf(out, "    set destination Ethernet address to: %s\n", s->set_dmac);
	print_list(out, "    ingress mirror interfaces: ", ", ", &s->ingress_mirrors);
	print_list(out, "    egress mirror interfaces: ", ", ", &s->egress_mirrors);
}

static void print_flow(const struct sim *sim, FILE *out, const struct flow *f, bool detail)
{
	const struct flow_spec *s = f->in_hardware ? &f->hardware : &f->config;

	fprintf(out, "Flow %s:", f->name);
	if (detail)
		fprintf(out, " (%s)", flow_status(sim, f));
	fprintf(out, "\n  persistent: %s\n  priority: %ld\n", s->persistent ? "True" : "False",
		s->priority);
	if (sim->knobs.new_text_fields)
		fputs("  priorityGroupType: default\n  tableType: ifp\n", out);
	fprintf(out, "  hard timeout: %ld\n  idle timeout: %ld\n", s->hard, s->idle);
	print_match(out, s);
	print_actions(out, s);
	if (sim->knobs.new_text_fields)
		fputs("  source: config\n", out);
	fprintf(out, "  matched: %llu packets, %llu bytes\n", (unsigned long long)f->shown_packets,
		(unsigned long long)f->shown_bytes);
}

static void flows_text(struct cli *c, bool detail, const char *name)
{
	struct flow **all = sorted_flows(&c->sim->table);
	bool speaks = directflow_speaks(c);
	int programmed = 0, rejected = 0;
	struct text text;

	text_open(&text);
	for (struct flow **f = all; speaks && *f; f++) {
		if (name && strcmp((*f)->name, name) != 0)
			continue;
		programmed += (*f)->in_hardware;
		rejected += (*f)->state == FLOW_NO_ROOM || (*f)->state == FLOW_REFUSED;
		if (detail || (*f)->in_hardware)
			print_flow(c->sim, text.out, *f, detail);
	}
	if (detail && speaks && all[0])
		fprintf(text.out, "Flows: %d programmed, %d rejected\n", programmed, rejected);
	free(all);
	c->output = text_close(&text);
}

static void run_show_flows(struct cli *c, const struct cli_row *row)
{
	const char *name = c->n_args ? c->args[0] : NULL;
	bool detail = row->field;

	if (name && !c->sim->knobs.flows_by_name) {
		cli_invalid(c, 3);
		return;
	}
	sim_settle(c->sim);
	tables_refresh(c->sim, 5);
	if (!c->json)
		flows_text(c, detail, name);
	else if (!detail || c->sim->knobs.detail_json)
		flows_json(c, detail, name);
	else
		cli_text_only(c);
}

static void run_show_counters(struct cli *c, const struct cli_row *row)
{
	struct text text;

	(void)row;
	if (!cli_text_only(c))
		return;
	text_open(&text);
	for (const struct flow *f = c->sim->table.first; f && directflow_speaks(c); f = f->next) {
		if (f->in_hardware)
			fprintf(text.out, "%-40s %llu packets, %llu bytes\n", f->name,
				(unsigned long long)f->shown_packets,
				(unsigned long long)f->shown_bytes);
	}
	c->output = text_close(&text);
}

static void run_show_tcam(struct cli *c, const struct cli_row *row)
{
	const struct knobs *k = &c->sim->knobs;
	struct text text;
	long used = (long)c->sim->table.used + k->reserved + (long)c->sim->table.foreign;

	(void)row;
	if (!cli_supported(c, k->tcam, 2) || !cli_text_only(c))
		return;
	text_open(&text);
	fputs("=== TCAM summary for switch Linecard0 ===\n", text.out);
	fprintf(text.out, "TCAM group %ld uses %ld entries and can use up to %ld more.\n",
		k->tcam_group, used, table_room(c->sim));
	if (!c->sim->table.shut && k->directflow == SUPPORT_YES)
		fprintf(text.out, "  %s uses %ld entries.\n", k->tcam_label,
			(long)c->sim->table.used + k->reserved);
	c->output = text_close(&text);
}

const struct cli_row cli_rows_directflow_show[] = {
	{ MODE_EXEC, "show directflow flows", run_show_flows, false },
	{ MODE_EXEC, "show directflow flows <name>", run_show_flows, false },
	{ MODE_EXEC, "show directflow detail", run_show_flows, true },
	{ MODE_EXEC, "show directflow counters", run_show_counters, 0 },
	{ MODE_ENABLE, "show platform trident tcam", run_show_tcam, 0 },
	{ MODE_EXEC, NULL, NULL, 0 },
};
