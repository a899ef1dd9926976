// SPDX-License-Identifier: GPL-2.0-or-later
#include "tables.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dataplane.h"
#include "sim.h"

bool interface_full_name(const char *text, char ret[NAME_SIZE])
{
	static const char *const kinds[] = { "Ethernet", "Port-Channel", "Vlan",  "Management",
					     "Loopback", "Tunnel",	 "Vxlan", "Cpu" };
	size_t letters = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-");
	const char *number = text + letters;

	if (letters < 2 || !isdigit((unsigned char)*number) ||
	    number[strspn(number, "0123456789/.")] || strlen(number) > 16)
		return false;
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		if (letters <= strlen(kinds[i]) && strncasecmp(kinds[i], text, letters) == 0) {
			snprintf(ret, NAME_SIZE, "%s%.20s", kinds[i], number);
			return true;
		}
	}
	return false;
}

struct interface *interface_find(const struct tables *t, const char *name)
{
	struct interface *i = t->interfaces;

	while (i && strcmp(i->name, name) != 0)
		i = i->next;
	return i;
}

struct interface *interface_by_dev(const struct tables *t, const char *dev)
{
	struct interface *i = t->interfaces;

	while (i && strcmp(i->dev, dev) != 0)
		i = i->next;
	return i;
}

int address_parse(const char *text, uint8_t ret[16])
{
	if (strchr(text, ':'))
		return inet_pton(AF_INET6, text, ret) == 1 ? AF_INET6 : 0;
	return inet_pton(AF_INET, text, ret) == 1 ? AF_INET : 0;
}

void address_text(int family, const uint8_t address[16], char ret[NAME_SIZE])
{
	if (!inet_ntop(family, address, ret, NAME_SIZE))
		*ret = '\0';
}

/* "00:1c:73:74:81:9e" or "001c.7374.819e". */
bool mac_parse(const char *text, uint8_t ret[6])
{
	size_t digits = 0;

	for (; *text; text++) {
		if (*text == ':' || *text == '.' || *text == '-')
			continue;
		if (!isxdigit((unsigned char)*text) || digits == 12)
			return false;
		int digit = isdigit((unsigned char)*text)
				    ? *text - '0'
				    : tolower((unsigned char)*text) - 'a' + 10;

		ret[digits / 2] = (uint8_t)(digits % 2 ? ret[digits / 2] | digit : digit << 4);
		digits++;
	}
	return digits == 12;
}

static void mask_out(uint8_t address[16], long length)
{
	for (long bit = length; bit < 128; bit++)
		address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static bool prefix_covers(const struct route *r, int family, const uint8_t address[16])
{
	uint8_t masked[16] = { 0 };

	if (r->family != family)
		return false;
	memcpy(masked, address, family == AF_INET ? 4 : 16);
	mask_out(masked, r->length);
	return memcmp(masked, r->address, sizeof(masked)) == 0;
}

bool tables_prefix(const char *text, struct route *r)
{
	char address[NAME_SIZE];
	const char *slash = strchr(text, '/');

	set_text(address,
		 MIN_OF(sizeof(address), slash ? (size_t)(slash - text) + 1 : sizeof(address)),
		 text);
	r->family = address_parse(address, r->address);
	r->length = r->family == AF_INET ? 32 : 128;
	if (!r->family || (slash && !parse_number(slash + 1, 0, r->length, &r->length)))
		return false;
	mask_out(r->address, r->length);
	address_text(r->family, r->address, address);
	snprintf(r->prefix, sizeof(r->prefix), "%.50s/%ld", address, r->length);
	return true;
}

static void remove_route(struct tables *t, const struct route *like)
{
	for (struct route **link = &t->routes; *link;) {
		struct route *r = *link;

		if (strcmp(r->prefix, like->prefix) == 0) {
			*link = r->next;
			free(r);
		} else {
			link = &r->next;
		}
	}
}

static const char *set_route(struct sim *sim, struct json_object *o, bool present)
{
	struct route *r = need(calloc(1, sizeof(*r)));
	struct json_object *vias = json_child(o, "vias");
	size_t n = json_object_is_type(vias, json_type_array) ? json_object_array_length(vias) : 0;

	if (!tables_prefix(json_text(o, "prefix", ""), r) || n > VIA_MAX) {
		free(r);
		return "prefix or vias is wrong";
	}
	set_text(r->type, sizeof(r->type), json_text(o, "type", "eBGP"));
	for (r->n = 0; r->n < n; r->n++) {
		struct json_object *v = json_object_array_get_idx(vias, r->n);
		struct via *via = &r->vias[r->n];

		set_text(via->interface, sizeof(via->interface), json_text(v, "interface", ""));
		set_text(via->nexthop, sizeof(via->nexthop), json_text(v, "nexthop", ""));
		via->weight = json_number(v, "weight", 1);
	}
	remove_route(&sim->tables, r);
	dataplane_set_route(sim->dataplane, r, present && n > 0);
	if (present && n > 0) {
		r->next = sim->tables.routes;
		sim->tables.routes = r;
	} else {
		free(r);
	}
	return NULL;
}

static const char *set_neighbour(struct tables *t, struct json_object *o, bool present)
{
	const char *address = json_text(o, "address", "");
	struct neighbour **link = &t->neighbours, *n;
	uint8_t bytes[16];

	if (!address_parse(address, bytes))
		return "address is wrong";
	while (*link && strcmp((*link)->address, address) != 0)
		link = &(*link)->next;
	n = *link;
	if (!present) {
		if (n) {
			*link = n->next;
			free(n);
		}
		return NULL;
	}
	if (!n)
		n = *link = need(calloc(1, sizeof(*n)));
	set_text(n->address, sizeof(n->address), address);
	set_text(n->interface, sizeof(n->interface), json_text(o, "interface", ""));
	return mac_parse(json_text(o, "mac", "02:00:00:00:00:01"), n->mac) ? NULL : "mac is wrong";
}

static const char *set_mac(struct tables *t, struct json_object *o, bool present)
{
	struct mac_entry **link = &t->macs, *m;
	uint8_t mac[6];

	if (!mac_parse(json_text(o, "mac", ""), mac))
		return "mac is wrong";
	while (*link && memcmp((*link)->mac, mac, 6) != 0)
		link = &(*link)->next;
	m = *link;
	if (!present) {
		if (m) {
			*link = m->next;
			free(m);
		}
		return NULL;
	}
	if (!m)
		m = *link = need(calloc(1, sizeof(*m)));
	memcpy(m->mac, mac, 6);
	m->vlan = json_number(o, "vlan", 1);
	set_text(m->interface, sizeof(m->interface), json_text(o, "interface", ""));
	return NULL;
}

static const char *set_interface(struct tables *t, struct json_object *o)
{
	char name[NAME_SIZE];
	struct interface *i;

	if (!interface_full_name(json_text(o, "name", ""), name))
		return "name is wrong";
	i = interface_find(t, name);
	if (!i) {
		struct interface **link = &t->interfaces;

		while (*link)
			link = &(*link)->next;
		i = *link = need(calloc(1, sizeof(*i)));
		set_text(i->name, sizeof(i->name), name);
		set_text(i->link, sizeof(i->link), "connected");
		set_text(i->mode, sizeof(i->mode), "routed");
	}
	set_text(i->link, sizeof(i->link), json_text(o, "link", i->link));
	set_text(i->mode, sizeof(i->mode), json_text(o, "mode", i->mode));
	set_text(i->lag, sizeof(i->lag), json_text(o, "lag", i->lag));
	set_text(i->dev, sizeof(i->dev), json_text(o, "dev", i->dev));
	i->vlan = json_number(o, "vlan", i->vlan);
	return NULL;
}

const char *tables_operate(struct sim *sim, const char *op, struct json_object *o)
{
	bool present = strncmp(op, "no-", 3) != 0;
	const char *what = present ? op : op + 3;

	if (strcmp(op, "interface") == 0)
		return set_interface(&sim->tables, o);
	if (strcmp(what, "route") == 0)
		return set_route(sim, o, present);
	if (strcmp(what, "arp") == 0)
		return set_neighbour(&sim->tables, o, present);
	if (strcmp(what, "mac") == 0)
		return set_mac(&sim->tables, o, present);
	return "no such operation";
}

bool tables_lookup(struct sim *sim, int family, const uint8_t address[16], struct route *ret_route)
{
	const struct route *best = NULL;

	if (sim->dataplane)
		return dataplane_lookup(sim->dataplane, family, address, ret_route);
	for (const struct route *r = sim->tables.routes; r; r = r->next) {
		if (prefix_covers(r, family, address) && (!best || r->length > best->length))
			best = r;
	}
	if (best)
		*ret_route = *best;
	return best != NULL;
}

static uint32_t hash_bytes(uint32_t hash, const void *data, size_t n)
{
	for (const uint8_t *p = data; n-- > 0; p++)
		hash = (hash ^ *p) * 16777619;
	return hash;
}

bool tables_path(struct sim *sim, const struct path_query *q, struct via *ret_via)
{
	uint32_t hash = 2166136261;
	struct route route;
	long total = 0, point;

	if (sim->dataplane)
		return dataplane_path(sim->dataplane, q, ret_via);
	if (!tables_lookup(sim, q->family, q->dst, &route) || route.n == 0)
		return false;
	hash = hash_bytes(hash, q->src, sizeof(q->src));
	hash = hash_bytes(hash, q->dst, sizeof(q->dst));
	hash = hash_bytes(hash, (long[]){ q->protocol, q->sport, q->dport }, 3 * sizeof(long));
	hash ^= hash >> 15;
	for (size_t i = 0; i < route.n; i++)
		total += route.vias[i].weight;
	point = total > 0 ? (long)(hash % (unsigned long)total) : 0;
	for (size_t i = 0; i < route.n; i++) {
		*ret_via = route.vias[i];
		point -= route.vias[i].weight;
		if (point < 0)
			break;
	}
	return true;
}

const struct neighbour *tables_neighbour(const struct sim *sim, const char *address)
{
	const struct neighbour *n = sim->tables.neighbours;

	while (n && strcmp(n->address, address) != 0)
		n = n->next;
	return n;
}

bool tables_resolved(const struct sim *sim, const char *address)
{
	if (tables_neighbour(sim, address))
		return true;
	dataplane_ask_neighbour(sim->dataplane, address);
	return false;
}

void tables_port_behind(const struct sim *sim, const struct via *via, char ret[NAME_SIZE])
{
	const struct neighbour *n = tables_neighbour(sim, via->nexthop);

	set_text(ret, NAME_SIZE, via->interface);
	if (strncmp(ret, "Vlan", 4) == 0) {
		for (const struct mac_entry *m = sim->tables.macs; n && m; m = m->next) {
			if (memcmp(m->mac, n->mac, 6) == 0)
				set_text(ret, NAME_SIZE, m->interface);
		}
	}
	for (const struct interface *i = sim->tables.interfaces; i; i = i->next) {
		if (*i->lag && strcmp(i->lag, ret) == 0) {
			set_text(ret, NAME_SIZE, i->name);
			return;
		}
	}
}

void tables_refresh(struct sim *sim, long age_ms)
{
	int64_t now = clock_ms();

	if (!sim->dataplane || now < sim->tables.kernel_read_at + age_ms)
		return;
	sim->tables.kernel_read_at = now;
	dataplane_read_tables(sim->dataplane, &sim->tables);
}
