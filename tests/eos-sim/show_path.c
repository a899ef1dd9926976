// SPDX-License-Identifier: GPL-2.0-or-later
/* Where a packet goes: `show ip route`, `show ipv6 route`, `show load-balance destination`. */
#include "show.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static struct json_object *route_model(const struct sim *sim, const struct route *r)
{
	struct json_object *o = json_object_new_object(), *vias = json_object_new_array();
	bool connected = strcmp(r->type, "connected") == 0;

	json_put_flag(o, "hardwareProgrammed", true);
	json_put_flag(o, "kernelProgrammed", true);
	json_put_flag(o, "directlyConnected", connected);
	json_put_text(o, "routeAction", "forward");
	json_put_text(o, "routeType", r->type);
	if (!connected) {
		json_put_number(o, "preference", strcmp(r->type, "static") == 0 ? 1 : 20);
		json_put_number(o, "metric", 0);
	}
	for (size_t i = 0; i < r->n; i++) {
		struct json_object *via = json_object_new_object();

		json_put_text(via, "interface", r->vias[i].interface);
		if (*r->vias[i].nexthop)
			json_put_text(via, "nexthopAddr", r->vias[i].nexthop);
		if (sim->knobs.route_weights)
			json_put_number(via, "weight", r->vias[i].weight);
		json_object_array_add(vias, via);
	}
	json_object_object_add(o, "vias", vias);
	return o;
}

static struct json_object *routes_model(const struct sim *sim, int family, const struct route *r,
					struct json_object *routes)
{
	struct json_object *vrf = json_object_new_object();
	struct json_object *vrfs = json_object_new_object(), *model = json_object_new_object();

	if (r)
		json_object_object_add(routes, r->prefix, route_model(sim, r));
	json_object_object_add(vrf, "routes", routes);
	json_put_flag(vrf, "allRoutesProgrammedHardware", true);
	json_put_flag(vrf, "allRoutesProgrammedKernel", true);
	json_put_flag(vrf, "routingDisabled", false);
	json_put_text(vrf, "defaultRouteState", r && r->length == 0 ? "reachable" : "notSet");
	if (family == AF_INET6 && sim->knobs.route6_shape == ROUTE6_FLAT) {
		json_object_put(vrfs);
		json_object_put(model);
		return vrf;
	}
	json_object_object_add(vrfs, "default", vrf);
	json_object_object_add(model, "vrfs", vrfs);
	return model;
}

static char *route_text(int family, const struct route *r)
{
	struct text text;

	text_open(&text);
	fprintf(text.out,
		"\nVRF: default\nCodes: C - connected, S - static, K - kernel, B E - eBGP\n\n");
	for (size_t i = 0; r && i < r->n; i++) {
		const char *code = strcmp(r->type, "connected") == 0 ? "C   "
				   : strcmp(r->type, "static") == 0  ? "S   "
								     : "B E ";

		if (i == 0)
			fprintf(text.out, " %s %s %s%s", code, r->prefix,
				*code == 'C' ? "is directly connected" : "[20/0]",
				*code == 'C' ? "" : " via ");
		else
			fprintf(text.out, "%*s via ", (int)strlen(r->prefix) + 13, "");
		fprintf(text.out, "%s, %s\n", r->vias[i].nexthop, r->vias[i].interface);
	}
	(void)family;
	return text_close(&text);
}

/* show ip route [vrf NAME] ADDRESS: `field` is the family. */
void show_route(struct cli *c, const struct cli_row *row)
{
	int family = (int)row->field;
	const char *address = c->args[c->n_args - 1];
	struct route *route = need(calloc(1, sizeof(*route)));
	uint8_t bytes[16] = { 0 };
	bool found;

	if (c->n_args > 1 && strcmp(c->args[0], "default") != 0) {
		cli_fail(c, 1000, "IP Routing table for VRF %s does not exist.", c->args[0]);
		free(route);
		return;
	}
	address_parse(address, bytes);
	found = tables_lookup(c->sim, family, bytes, route);
	if (!c->json)
		c->output = route_text(family, found ? route : NULL);
	else if (family == AF_INET && !c->sim->knobs.route_json)
		cli_text_only(c);
	else
		c->model = routes_model(c->sim, family, found ? route : NULL,
					json_object_new_object());
	free(route);
}

static bool is_within(const struct route *r, const struct route *outer)
{
	size_t whole = (size_t)outer->length / 8;
	int rest = (int)(outer->length % 8), mask = 0xff00 >> rest & 0xff;

	return r->family == outer->family && r->length >= outer->length &&
	       memcmp(r->address, outer->address, whole) == 0 &&
	       (rest == 0 || ((r->address[whole] ^ outer->address[whole]) & mask) == 0);
}

/* show ip route [PREFIX longer-prefixes]: of the routes that the control channel made. */
void show_routes(struct cli *c, const struct cli_row *row)
{
	struct json_object *routes = json_object_new_object();
	struct route *outer = need(calloc(1, sizeof(*outer)));
	int family = (int)row->field;

	outer->family = family;
	if (c->n_args > 0)
		tables_prefix(c->args[0], outer);
	for (const struct route *r = c->sim->tables.routes; r; r = r->next)
		if (is_within(r, outer))
			json_object_object_add(routes, r->prefix, route_model(c->sim, r));
	if (c->n_args == 0 && c->sim->knobs.route_lists != LISTS_ALL)
		cli_fail(c, 1002, "Incomplete command (at token 2: 'route')");
	else if (c->n_args > 0 &&
		 (c->sim->knobs.route_lists == LISTS_NONE || outer->family != family))
		cli_invalid(c, 3);
	else if (family == AF_INET && c->json && !c->sim->knobs.route_json)
		cli_text_only(c);
	if (c->error || !c->json)
		json_object_put(routes);
	else
		c->model = routes_model(c->sim, family, NULL, routes);
	free(outer);
}

/* One pair of keyword and value of the flow that is asked about. */
static bool take_pair(struct path_query *q, int *families, const char *key, const char *value)
{
	struct {
		const char *key;
		long low, high, *number;
	} const numbers[] = {
		{ "ip-protocol", 0, 255, &q->protocol },
		{ "src-l4-port", 0, 65535, &q->sport },
		{ "dst-l4-port", 0, 65535, &q->dport },
		{ "vlan", 1, 4094, &(long){ 0 } },
	};
	struct {
		const char *key;
		int family;
		uint8_t *bytes;
	} const addresses[] = {
		{ "src-ipv4-address", AF_INET, q->src },
		{ "dst-ipv4-address", AF_INET, q->dst },
		{ "src-ipv6-address", AF_INET6, q->src },
		{ "dst-ipv6-address", AF_INET6, q->dst },
	};

	for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
		if (strcmp(numbers[i].key, key) == 0)
			return parse_number(value, numbers[i].low, numbers[i].high,
					    numbers[i].number);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++) {
		if (strcmp(addresses[i].key, key) == 0) {
			(*families)++;
			q->family = addresses[i].family;
			return address_parse(value, addresses[i].bytes) == q->family;
		}
	}
	return strcmp(key, "ingress-interface") == 0 && interface_full_name(value, q->ingress);
}

static bool parse_query(struct cli *c, struct path_query *q)
{
	int families = 0;

	*q = (struct path_query){ .protocol = -1 };
	for (size_t i = c->rest; i < c->words.n; i += 2) {
		if (i + 1 >= c->words.n) {
			cli_fail(c, 1002, "Incomplete command (at token %zu: '%s')", i,
				 c->words.v[i]);
			return false;
		}
		if (!take_pair(q, &families, c->words.v[i], c->words.v[i + 1])) {
			cli_invalid(c, i + 1);
			return false;
		}
	}
	if (families != 2 || q->protocol < 0 || !*q->ingress) {
		cli_fail(c, 1002, "Incomplete command (at token %zu: '%s')", c->words.n - 1,
			 c->words.v[c->words.n - 1]);
		return false;
	}
	if (c->sim->tables.interfaces && !interface_find(&c->sim->tables, q->ingress)) {
		cli_fail(c, 1002, "Interface does not exist");
		return false;
	}
	return true;
}

static void say_unable(struct cli *c)
{
	const struct knobs *k = &c->sim->knobs;

	if (!c->json) {
		c->output = copy_text("Unable to determine the output interface\n");
	} else if (k->lb_unable == UNABLE_ERROR) {
		cli_fail(c, 1000, "Unable to determine the output interface");
	} else {
		c->model = json_object_new_object();
		if (k->lb_unable == UNABLE_EMPTY)
			json_put_text(c->model, "outputIntf", "");
	}
}

static bool lb_allowed(struct cli *c, const struct cli_row *row)
{
	const struct knobs *k = &c->sim->knobs;
	bool six = strcmp(c->words.v[3], "ipv6") == 0;

	(void)row;
	if (!cli_supported(c, k->lb, 1))
		return false;
	if (k->lb_needs == NEEDS_ENABLE && c->mode < MODE_ENABLE)
		cli_fail(c, 1002, "Invalid input (privileged mode required)");
	else if (k->lb_needs == NEEDS_CONFIGURE && c->mode < MODE_CONFIG)
		cli_invalid(c, 1);
	else if (six && k->lb_ipv6 != LB6_OWN)
		cli_invalid(c, 3);
	else if (c->json && !k->lb_json)
		cli_text_only(c);
	return !c->error;
}

void show_load_balance(struct cli *c, const struct cli_row *row)
{
	const struct knobs *k = &c->sim->knobs;
	bool own = c->words.n > 3 && strcmp(c->words.v[3], "ipv6") == 0;
	char name[NAME_SIZE];
	struct path_query q;
	struct route *route;
	struct via via;
	bool found;

	if (!lb_allowed(c, row) || !parse_query(c, &q))
		return;
	if (q.family == AF_INET6 && (k->lb_ipv6 == LB6_NONE || (k->lb_ipv6 == LB6_OWN) != own)) {
		cli_invalid(c, 6);
		return;
	}
	tables_refresh(c->sim, 5);
	route = need(calloc(1, sizeof(*route)));
	found = tables_lookup(c->sim, q.family, q.dst, route) && (route->n > 1 || k->lb_single) &&
		tables_path(c->sim, &q, &via);
	free(route);
	if (!found) {
		say_unable(c);
		return;
	}
	set_text(name, sizeof(name), via.interface);
	if (k->lb_member)
		tables_port_behind(c->sim, &via, name);
	if (c->json) {
		c->model = json_object_new_object();
		json_put_text(c->model, "outputIntf", name);
	} else {
		c->output = format_text("Output Interface: %s\n", name);
	}
}
