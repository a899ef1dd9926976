// SPDX-License-Identifier: GPL-2.0-or-later
/* The configuration as text. */
#include "show.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void print_list(FILE *out, const char *label, const char *separator,
		       const struct flow_list *l)
{
	if (l->n == 0)
		return;
	fprintf(out, "      %s ", label);
	for (size_t i = 0; i < l->n; i++)
		fprintf(out, "%s%s", i ? separator : "", l->v[i]);
	fputc('\n', out);
}

static void print_host(FILE *out, const char *which, const struct flow_host *h)
{
	char address[NAME_SIZE];

	if (!h->family)
		return;
	address_text(h->family, h->address, address);
	fprintf(out, "      match %s %s %s\n", which, h->family == AF_INET ? "ip" : "ipv6",
		address);
}

static void print_number(FILE *out, const char *label, long value, long absent)
{
	if (value != absent)
		fprintf(out, "      %s %ld\n", label, value);
}

void show_flow_config(FILE *out, const struct flow *f)
{
	const struct flow_spec *s = &f->config;

	fprintf(out, "   flow %s\n", f->name);
	if (*f->comment)
		fprintf(out, "      !! %s\n", f->comment);
	if (!s->persistent)
		fputs("      no persistent\n", out);
	print_number(out, "priority", s->priority, 0);
	print_number(out, "timeout hard", s->hard, 0);
	print_number(out, "timeout idle", s->idle, 0);
	print_list(out, "match input interface", ",", &s->inputs);
	if (s->ethertype == 0x0800)
		fputs("      match ethertype ip\n", out);
	else
		print_number(out, "match ethertype", s->ethertype, -1);
	print_number(out, "match vlan", s->vlan, -1);
	print_host(out, "source", &s->src);
	print_host(out, "destination", &s->dst);
	if (s->protocol == 6 || s->protocol == 17 || s->protocol == 1)
		fprintf(out, "      match ip protocol %s\n",
			s->protocol == 6    ? "tcp"
			: s->protocol == 17 ? "udp"
					    : "icmp");
	else
		print_number(out, "match ip protocol", s->protocol, -1);
	print_number(out, "match source port", s->sport, -1);
	print_number(out, "match destination port", s->dport, -1);
	if (s->drop)
		fputs("      action drop\n", out);
	print_number(out, "action set vlan", s->set_vlan, -1);
	print_number(out, "action set cos", s->set_cos, -1);
	print_number(out, "action set ip tos", s->set_tos, -1);
	if (*s->set_dmac)
		fprintf(out, "      action set destination mac %s\n", s->set_dmac);
	print_list(out, "action output interface", ",", &s->outputs);
	print_list(out, "action output nexthop", " ", &s->nexthops);
	print_list(out, "action ingress mirror", ",", &s->ingress_mirrors);
	print_list(out, "action egress mirror", ",", &s->egress_mirrors);
}

void show_directflow_config(const struct sim *sim, FILE *out)
{
	if (sim->table.shut && sim->table.n == 0)
		return;
	fputs("directflow\n", out);
	if (!sim->table.shut)
		fputs("   no shutdown\n", out);
	for (const struct flow *f = sim->table.first; f; f = f->next)
		show_flow_config(out, f);
}

void show_running_config(struct cli *c, const struct cli_row *row)
{
	bool all = c->rest == 0;
	struct text text;

	(void)row;
	if (!cli_text_only(c))
		return;
	if (!all && c->rest >= c->words.n) {
		cli_fail(c, 1002, "Incomplete command (at token %zu: 'section')", c->rest - 1);
		return;
	}
	text_open(&text);
	if (all)
		fprintf(text.out, "! device: sim (%s, EOS-%s)\n!\nhostname sim\n!\n",
			c->sim->knobs.model, c->sim->knobs.version);
	if (all && c->sim->running_extra)
		fprintf(text.out, "%s!\n", c->sim->running_extra);
	if (all || strcasecmp(c->words.v[c->rest], "directflow") == 0)
		show_directflow_config(c->sim, text.out);
	if (all)
		fputs("!\nend\n", text.out);
	c->output = text_close(&text);
}

void show_active(struct cli *c, const struct cli_row *row)
{
	const struct flow *f = table_find(&c->sim->table, c->flow);
	struct text text;

	(void)row;
	if (!cli_text_only(c))
		return;
	text_open(&text);
	if (c->mode == MODE_DIRECTFLOW) {
		show_directflow_config(c->sim, text.out);
	} else if (f) {
		fputs("directflow\n", text.out);
		show_flow_config(text.out, f);
	}
	c->output = text_close(&text);
}
