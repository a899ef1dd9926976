// SPDX-License-Identifier: GPL-2.0-or-later
/* `directflow` and `flow NAME`: what configures the table. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* What was edited takes effect now, or when the flow is left. */
static void store(struct cli *c)
{
	struct flow *f;

	c->changed = true;
	if (c->session || c->sim->knobs.edit != EDIT_LINE)
		return;
	f = table_enter(c->sim, c->flow);
	table_update(c->sim, f, &c->edited);
	set_text(f->comment, sizeof(f->comment), c->comment);
}

static void run_flow(struct cli *c, const struct cli_row *row)
{
	const struct flow *f = table_find(&c->sim->table, c->args[0]);

	(void)row;
	set_text(c->flow, sizeof(c->flow), c->args[0]);
	set_text(c->comment, sizeof(c->comment), f ? f->comment : "");
	flow_spec_init(&c->edited);
	if (f)
		c->edited = f->config;
	c->mode = MODE_FLOW;
	c->changed = true;
	if (!f && !c->session && c->sim->knobs.edit == EDIT_LINE)
		table_enter(c->sim, c->flow);
}

static void run_no_flow(struct cli *c, const struct cli_row *row)
{
	struct flow *f = table_find(&c->sim->table, c->args[0]);

	(void)row;
	if (!f && c->sim->knobs.missing_is_error)
		cli_fail(c, 1000, "Flow '%s' does not exist", c->args[0]);
	if (f && !c->session)
		table_remove(c->sim, f);
}

static void run_shutdown(struct cli *c, const struct cli_row *row)
{
	if (!c->session)
		table_set_shut(c->sim, row->field);
}

static void set_number(struct cli *c, const struct cli_row *row)
{
	long *field = (long *)((char *)&c->edited + row->field);
	bool timeout = row->field == offsetof(struct flow_spec, idle) ||
		       row->field == offsetof(struct flow_spec, hard);

	if (timeout && !cli_supported(c, c->sim->knobs.timeouts, 0))
		return;
	if (row->field == offsetof(struct flow_spec, set_vlan) &&
	    !cli_supported(c, c->sim->knobs.set_vlan, 1))
		return;
	parse_number(c->args[0], 0, 1L << 40, field);
	c->edited.has_action |= strncmp(row->pattern, "action", 6) == 0;
	store(c);
}

static void set_host(struct cli *c, const struct cli_row *row)
{
	struct flow_host *host = (struct flow_host *)((char *)&c->edited + row->field);

	memset(host, 0, sizeof(*host));
	host->family = address_parse(c->args[0], host->address);
	memset(host->mask, 0xff, host->family == AF_INET ? 4 : 16);
	if (c->n_args > 1)
		address_parse(c->args[1], host->mask);
	store(c);
}

static void set_ethertype(struct cli *c, const struct cli_row *row)
{
	const char *word = c->args[0];

	(void)row;
	if (strcmp(word, "ip") == 0)
		c->edited.ethertype = 0x0800;
	else if (strcmp(word, "arp") == 0)
		c->edited.ethertype = 0x0806;
	else if (!parse_number(word, 0, 65535, &c->edited.ethertype))
		c->edited.ethertype = 0x86dd;
	store(c);
}

static void set_protocol(struct cli *c, const struct cli_row *row)
{
	const char *word = c->args[0];

	(void)row;
	if (!parse_number(word, 0, 255, &c->edited.protocol))
		c->edited.protocol = strcasecmp(word, "tcp") == 0   ? 6
				     : strcasecmp(word, "udp") == 0 ? 17
								    : 1;
	store(c);
}

static void set_persistent(struct cli *c, const struct cli_row *row)
{
	c->edited.persistent = row->field;
	store(c);
}

static void set_interfaces(struct cli *c, const struct cli_row *row)
{
	struct flow_list *list = (struct flow_list *)((char *)&c->edited + row->field);
	const char *word = c->args[0];
	char part[NAME_SIZE];

	if (row->field == offsetof(struct flow_spec, outputs) &&
	    !cli_supported(c, c->sim->knobs.output_interface, 2))
		return;
	if (!c->sim->knobs.lists_append)
		memset(list, 0, sizeof(*list));
	while (list->n < FLOW_LIST_MAX) {
		size_t n = strcspn(word, ",");

		set_text(part, MIN_OF(sizeof(part), n + 1), word);
		interface_full_name(part, list->v[list->n++]);
		if (!word[n])
			break;
		word += n + 1;
	}
	c->edited.has_action |= strncmp(row->pattern, "action", 6) == 0;
	store(c);
}

static void set_nexthop(struct cli *c, const struct cli_row *row)
{
	struct flow_list *list = &c->edited.nexthops;
	const struct knobs *k = &c->sim->knobs;
	uint8_t address[16];

	(void)row;
	if (c->words.n - c->rest > 1 && !k->multi_nexthop) {
		cli_invalid(c, c->rest + 1);
		return;
	}
	for (size_t i = c->rest; i < c->words.n; i++) {
		int family = address_parse(c->words.v[i], address);

		if (!family)
			cli_invalid(c, i);
		else
			cli_supported(c, family == AF_INET6 ? k->nexthop6 : k->nexthop4, i);
		if (c->error)
			return;
	}
	if (c->words.n == c->rest) {
		cli_fail(c, 1002, "Incomplete command (at token %zu: '%s')", c->rest - 1,
			 c->words.v[c->rest - 1]);
		return;
	}
	memset(list, 0, sizeof(*list));
	for (size_t i = c->rest; i < c->words.n && list->n < FLOW_LIST_MAX; i++)
		address_text(address_parse(c->words.v[i], address), address, list->v[list->n++]);
	c->edited.has_action = true;
	store(c);
}

static void set_dmac(struct cli *c, const struct cli_row *row)
{
	uint8_t m[6];

	(void)row;
	if (!cli_supported(c, c->sim->knobs.set_mac, 1))
		return;
	mac_parse(c->args[0], m);
	snprintf(c->edited.set_dmac, sizeof(c->edited.set_dmac), "%02x:%02x:%02x:%02x:%02x:%02x",
		 m[0], m[1], m[2], m[3], m[4], m[5]);
	c->edited.has_action = true;
	store(c);
}

static void set_drop(struct cli *c, const struct cli_row *row)
{
	(void)row;
	c->edited.drop = c->edited.has_action = true;
	store(c);
}

static void set_comment(struct cli *c, const struct cli_row *row)
{
	const char *end;

	(void)row;
	if (!c->input) {
		cli_fail(c, 1000, "Comment needs its text as input");
		return;
	}
	end = strstr(c->input, "\nEOF");
	set_text(
		c->comment,
		MIN_OF(sizeof(c->comment), (end ? (size_t)(end - c->input) : strlen(c->input)) + 1),
		c->input);
	store(c);
}

#define SPEC(field) offsetof(struct flow_spec, field)

const struct cli_row cli_rows_flow[] = {
	{ MODE_DIRECTFLOW, "shutdown", run_shutdown, true },
	{ MODE_DIRECTFLOW, "no shutdown", run_shutdown, false },
	{ MODE_DIRECTFLOW, "default shutdown", run_shutdown, true },
	{ MODE_DIRECTFLOW, "flow <name>", run_flow, 0 },
	{ MODE_DIRECTFLOW, "no flow <name>", run_no_flow, 0 },
	{ MODE_DIRECTFLOW, "default flow <name>", run_no_flow, 0 },
	{ MODE_FLOW, "match ethertype <ethertype>", set_ethertype, 0 },
	{ MODE_FLOW, "match source ip <ip4>", set_host, SPEC(src) },
	{ MODE_FLOW, "match destination ip <ip4>", set_host, SPEC(dst) },
	{ MODE_FLOW, "match source ip <ip4> mask <ip4>", set_host, SPEC(src) },
	{ MODE_FLOW, "match destination ip <ip4> mask <ip4>", set_host, SPEC(dst) },
	{ MODE_FLOW, "match source ipv6 <ip6>", set_host, SPEC(src) },
	{ MODE_FLOW, "match destination ipv6 <ip6>", set_host, SPEC(dst) },
	{ MODE_FLOW, "match ip protocol <protocol>", set_protocol, 0 },
	{ MODE_FLOW, "match source port <0-65535>", set_number, SPEC(sport) },
	{ MODE_FLOW, "match destination port <0-65535>", set_number, SPEC(dport) },
	{ MODE_FLOW, "match vlan <1-4094>", set_number, SPEC(vlan) },
	{ MODE_FLOW, "match input interface <interfaces>", set_interfaces, SPEC(inputs) },
	{ MODE_FLOW, "action output nexthop <rest>", set_nexthop, 0 },
	{ MODE_FLOW, "action output interface <interfaces>", set_interfaces, SPEC(outputs) },
	{ MODE_FLOW, "action drop", set_drop, 0 },
	{ MODE_FLOW, "action set vlan <1-4094>", set_number, SPEC(set_vlan) },
	{ MODE_FLOW, "action set cos <0-7>", set_number, SPEC(set_cos) },
	{ MODE_FLOW, "action set ip tos <0-255>", set_number, SPEC(set_tos) },
	{ MODE_FLOW, "action set destination mac <mac>", set_dmac, 0 },
	{ MODE_FLOW, "action egress mirror <interfaces>", set_interfaces, SPEC(egress_mirrors) },
	{ MODE_FLOW, "action ingress mirror <interfaces>", set_interfaces, SPEC(ingress_mirrors) },
	{ MODE_FLOW, "priority <0-65535>", set_number, SPEC(priority) },
	{ MODE_FLOW, "timeout idle <0-65535>", set_number, SPEC(idle) },
	{ MODE_FLOW, "timeout hard <0-65535>", set_number, SPEC(hard) },
	{ MODE_FLOW, "no persistent", set_persistent, false },
	{ MODE_FLOW, "persistent", set_persistent, true },
	{ MODE_FLOW, "comment", set_comment, 0 },
	{ MODE_EXEC, NULL, NULL, 0 },
};
