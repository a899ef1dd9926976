// SPDX-License-Identifier: GPL-2.0-or-later
/* The box and its tables: version, interfaces, neighbours, MAC addresses. */
#include "show.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void run_version(struct cli *c, const struct cli_row *row)
{
	struct sim *sim = c->sim;
	double boot = sim_boot_timestamp(sim);
	double uptime = (double)(wall_ms() - sim->booted_wall_ms) / 1000;
	char internal[KNOB_TEXT_SIZE + 16];
	struct json_object *m;

	(void)row;
	if (!c->json) {
		c->output = format_text(
			"Arista %s\nHardware version:    11.01\nSerial number:       SIM00000001\n"
			"System MAC address:  %s\n\nSoftware image version: %s\nArchitecture:      "
			"     x86_64\n\n"
			"Uptime:              %.0f seconds\nTotal memory:        8099732 kB\nFree "
			"memory:         4989568 kB\n",
			sim->knobs.model, sim->knobs.system_mac, sim->knobs.version, uptime);
		return;
	}
	m = c->model = json_object_new_object();
	json_put_text(m, "mfgName", "Arista");
	json_put_text(m, "modelName", sim->knobs.model);
	json_put_text(m, "hardwareRevision", "11.01");
	json_put_text(m, "serialNumber", "SIM00000001");
	json_put_text(m, "systemMacAddress", sim->knobs.system_mac);
	json_put_text(m, "version", sim->knobs.version);
	snprintf(internal, sizeof(internal), "%s-24305004", sim->knobs.version);
	json_put_text(m, "internalVersion", internal);
	json_put_text(m, "architecture", "x86_64");
	json_put_number(m, "memTotal", 8099732);
	json_put_number(m, "memFree", 4989568);
	json_object_object_add(m, "bootupTimestamp", json_object_new_double(boot));
	json_object_object_add(m, "uptime", json_object_new_double(uptime));
}

static void run_hostname(struct cli *c, const struct cli_row *row)
{
	(void)row;
	if (c->json)
		c->model = json_tokener_parse("{\"hostname\":\"sim\",\"fqdn\":\"sim\"}");
	else
		c->output = copy_text("Hostname: sim\nFQDN:     sim\n");
}

static void mac_text(const uint8_t m[6], bool dotted, char ret[18])
{
	snprintf(ret, 18, dotted ? "%02x%02x.%02x%02x.%02x%02x" : "%02x:%02x:%02x:%02x:%02x:%02x",
		 m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* Only what an address is asked for, when one is. */
static bool wanted(const struct cli *c, const struct neighbour *n, int family)
{
	uint8_t bytes[16];
	const char *last = c->n_args ? c->args[c->n_args - 1] : "";

	if (address_parse(n->address, bytes) != family)
		return false;
	return address_parse(last, bytes) != family || strcmp(last, n->address) == 0;
}

static struct json_object *neighbour_model(struct cli *c, const struct neighbour *n)
{
	struct json_object *o = json_object_new_object();
	struct via via = { .weight = 1 };
	char mac[18], port[NAME_SIZE], both[2 * NAME_SIZE + 4];

	mac_text(n->mac, true, mac);
	set_text(via.interface, sizeof(via.interface), n->interface);
	set_text(via.nexthop, sizeof(via.nexthop), n->address);
	tables_port_behind(c->sim, &via, port);
	snprintf(both, sizeof(both), "%s, %s", n->interface, port);
	json_put_text(o, "address", n->address);
	json_put_text(o, "hwAddress", mac);
	json_put_text(o, "interface",
		      c->sim->knobs.arp_interface == ARP_WITH_PORT &&
				      strcmp(port, n->interface) != 0
			      ? both
			      : n->interface);
	json_put_number(o, "age", 7);
	return o;
}

/* show [ip] arp, show ipv6 neighbors: `field` is the family. */
static void run_neighbours(struct cli *c, const struct cli_row *row)
{
	int family = (int)row->field;
	struct json_object *list = json_object_new_array(), *vrf, *vrfs;
	struct text text;

	tables_refresh(c->sim, 5);
	text_open(&text);
	fprintf(text.out, "Address         Age (sec)  Hardware Addr   Interface\n");
	for (const struct neighbour *n = c->sim->tables.neighbours; n; n = n->next) {
		char mac[18];

		if (!wanted(c, n, family))
			continue;
		mac_text(n->mac, true, mac);
		fprintf(text.out, "%-15s 0:00:07  %s  %s\n", n->address, mac, n->interface);
		json_object_array_add(list, neighbour_model(c, n));
	}
	c->output = text_close(&text);
	vrf = json_object_new_object();
	json_object_object_add(vrf, family == AF_INET ? "ipV4Neighbors" : "ipV6Neighbors", list);
	if (family == AF_INET6 && c->sim->knobs.route6_shape == ROUTE6_FLAT) {
		c->model = vrf;
		return;
	}
	json_put_number(vrf, "totalEntries", (int64_t)json_object_array_length(list));
	json_put_number(vrf, "dynamicEntries", (int64_t)json_object_array_length(list));
	json_put_number(vrf, "staticEntries", 0);
	vrfs = json_object_new_object();
	json_object_object_add(vrfs, "default", vrf);
	c->model = json_object_new_object();
	json_object_object_add(c->model, "vrfs", vrfs);
}

static void run_mac_table(struct cli *c, const struct cli_row *row)
{
	struct json_object *entries = json_object_new_array(), *unicast = json_object_new_object();
	struct text text;
	uint8_t only[6];
	bool one = c->n_args && mac_parse(c->args[0], only);

	(void)row;
	tables_refresh(c->sim, 5);
	text_open(&text);
	fprintf(text.out,
		"          Mac Address "
		"Table\n------------------------------------------------------------------\n\n"
		"Vlan    Mac Address       Type        Ports      Moves   Last Move\n");
	for (const struct mac_entry *m = c->sim->tables.macs; m; m = m->next) {
		struct json_object *o;
		char mac[18], dotted[18];

		if (one && memcmp(only, m->mac, 6) != 0)
			continue;
		mac_text(m->mac, false, mac);
		mac_text(m->mac, true, dotted);
		fprintf(text.out, "%4ld    %s    DYNAMIC     %s\n", m->vlan, dotted, m->interface);
		o = json_object_new_object();
		json_put_number(o, "vlanId", m->vlan);
		json_put_text(o, "macAddress", mac);
		json_put_text(o, "entryType", "dynamic");
		json_put_text(o, "interface", m->interface);
		json_put_number(o, "moves", 1);
		json_object_array_add(entries, o);
	}
	c->output = text_close(&text);
	json_object_object_add(unicast, "tableEntries", entries);
	c->model = json_object_new_object();
	json_object_object_add(c->model, "unicastTable", unicast);
	json_object_object_add(c->model, "multicastTable",
			       json_tokener_parse("{\"tableEntries\":[]}"));
	json_object_object_add(c->model, "disabledMacLearningVlans", json_object_new_array());
}

static struct json_object *interface_model(const struct interface *i)
{
	struct json_object *o = json_object_new_object(), *vlan = json_object_new_object();
	char lag[NAME_SIZE + 4];

	json_put_text(o, "description", "");
	json_put_text(o, "linkStatus", i->link);
	json_put_text(o, "lineProtocolStatus", strcmp(i->link, "connected") == 0 ? "up" : "down");
	json_put_text(o, "interfaceType", "10GBASE-CR");
	json_put_text(o, "duplex", "duplexFull");
	json_put_number(o, "bandwidth", 10000000000);
	json_put_flag(o, "autoNegotiateActive", false);
	json_put_text(vlan, "interfaceMode", i->mode);
	json_put_text(vlan, "interfaceForwardingModel", *i->lag ? "dataLink" : i->mode);
	if (i->vlan)
		json_put_number(vlan, "vlanId", i->vlan);
	snprintf(lag, sizeof(lag), "in %s", i->lag);
	if (*i->lag)
		json_put_text(vlan, "vlanExplanation", lag);
	json_object_object_add(o, "vlanInformation", vlan);
	return o;
}

static void run_interfaces(struct cli *c, const struct cli_row *row)
{
	struct json_object *all = json_object_new_object();
	char only[NAME_SIZE] = "";
	struct text text;

	(void)row;
	tables_refresh(c->sim, 5);
	if (c->n_args) {
		interface_full_name(c->args[0], only);
		if (!interface_find(&c->sim->tables, only)) {
			json_object_put(all);
			cli_fail(c, 1002, "Interface does not exist");
			return;
		}
	}
	text_open(&text);
	fprintf(text.out, "Port       Name   Status       Vlan     Duplex Speed  Type         "
			  "Flags Encapsulation\n");
	for (const struct interface *i = c->sim->tables.interfaces; i; i = i->next) {
		bool physical = strncmp(i->name, "Ethernet", 8) == 0 ||
				strncmp(i->name, "Port-Channel", 12) == 0 ||
				strncmp(i->name, "Management", 10) == 0;

		if (*only ? strcmp(only, i->name) != 0 : !physical)
			continue;
		fprintf(text.out, "%-10s        %-12s %-8s full   10G    10GBASE-CR\n", i->name,
			i->link, i->mode);
		json_object_object_add(all, i->name, interface_model(i));
	}
	c->output = text_close(&text);
	c->model = json_object_new_object();
	json_object_object_add(c->model, "interfaceStatuses", all);
}

static void run_sessions(struct cli *c, const struct cli_row *row)
{
	struct json_object *sessions = json_object_new_object();

	(void)row;
	for (const struct config_session *s = c->sim->config_sessions; s; s = s->next) {
		struct json_object *o = json_object_new_object();

		json_put_text(o, "state", s->pending ? "pending" : "completed");
		json_put_text(o, "description", "");
		json_object_object_add(o, "instances", json_object_new_object());
		json_object_object_add(sessions, s->name, o);
	}
	c->model = json_object_new_object();
	json_put_number(c->model, "maxSavedSessions", 1);
	json_put_number(c->model, "maxOpenSessions", 5);
	json_object_object_add(c->model, "sessions", sessions);
	c->output = copy_text("");
}

static void run_session_diffs(struct cli *c, const struct cli_row *row)
{
	struct text text;

	(void)row;
	if (!cli_text_only(c))
		return;
	text_open(&text);
	for (const struct config_session *s = c->sim->config_sessions; s; s = s->next) {
		for (size_t i = 0; strcmp(s->name, c->args[0]) == 0 && i < s->n; i++)
			fprintf(text.out, "+%s\n", s->lines[i]);
	}
	c->output = text_close(&text);
}

static void run_eapi(struct cli *c, const struct cli_row *row)
{
	(void)row;
	c->model = json_tokener_parse(
		"{\"enabled\":true,\"httpServer\":{\"configured\":true,\"running\":true,\"port\":"
		"80},"
		"\"httpsServer\":{\"configured\":true,\"running\":true,\"port\":443}}");
	c->output = copy_text("Enabled:            Yes\n");
}

const struct cli_row cli_rows_show[] = {
	{ MODE_EXEC, "show version", run_version, 0 },
	{ MODE_EXEC, "show hostname", run_hostname, 0 },
	{ MODE_EXEC, "show ip route <ip4>", show_route, AF_INET },
	{ MODE_EXEC, "show ip route vrf <word> <ip4>", show_route, AF_INET },
	{ MODE_EXEC, "show ip route", show_routes, AF_INET },
	{ MODE_EXEC, "show ip route <prefix> longer-prefixes", show_routes, AF_INET },
	{ MODE_EXEC, "show ipv6 route", show_routes, AF_INET6 },
	{ MODE_EXEC, "show ipv6 route <prefix> longer-prefixes", show_routes, AF_INET6 },
	{ MODE_EXEC, "show ipv6 route <ip6>", show_route, AF_INET6 },
	{ MODE_EXEC, "show ipv6 route vrf <word> <ip6>", show_route, AF_INET6 },
	{ MODE_EXEC, "show load-balance destination ip <rest>", show_load_balance, 0 },
	{ MODE_EXEC, "show load-balance destination ipv6 <rest>", show_load_balance, 0 },
	{ MODE_EXEC, "show arp", run_neighbours, AF_INET },
	{ MODE_EXEC, "show arp vrf <word>", run_neighbours, AF_INET },
	{ MODE_EXEC, "show arp <ip4>", run_neighbours, AF_INET },
	{ MODE_EXEC, "show ip arp", run_neighbours, AF_INET },
	{ MODE_EXEC, "show ip arp vrf <word>", run_neighbours, AF_INET },
	{ MODE_EXEC, "show ip arp <ip4>", run_neighbours, AF_INET },
	{ MODE_EXEC, "show ipv6 neighbors", run_neighbours, AF_INET6 },
	{ MODE_EXEC, "show ipv6 neighbors vrf <word>", run_neighbours, AF_INET6 },
	{ MODE_EXEC, "show ipv6 neighbors <ip6>", run_neighbours, AF_INET6 },
	{ MODE_EXEC, "show mac address-table", run_mac_table, 0 },
	{ MODE_EXEC, "show mac address-table address <mac>", run_mac_table, 0 },
	{ MODE_EXEC, "show interfaces status", run_interfaces, 0 },
	{ MODE_EXEC, "show interfaces <interface> status", run_interfaces, 0 },
	{ MODE_EXEC, "show management api http-commands", run_eapi, 0 },
	{ MODE_ENABLE, "show configuration sessions detail", run_sessions, 0 },
	{ MODE_ENABLE, "show session-config named <word> diffs", run_session_diffs, 0 },
	{ MODE_ENABLE, "show running-config", show_running_config, 0 },
	{ MODE_ENABLE, "show running-config section <rest>", show_running_config, 0 },
	{ MODE_DIRECTFLOW, "show active", show_active, 0 },
	{ MODE_FLOW, "show active", show_active, 0 },
	{ MODE_EXEC, NULL, NULL, 0 },
};
