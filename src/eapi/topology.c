// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/topology.h"

#include <ctype.h>
#include <string.h>
#include "base/parse.h"
#include "base/vec.h"
#include "eapi/reading_internal.h"

static const struct {
	const char *prefix,
		*whole; /* in lower case; the shortest form that EOS takes, and the long one */
} kinds[] = {
	{ "et", "Ethernet" },	{ "po", "Port-Channel" }, { "vl", "Vlan" },
	{ "ma", "Management" }, { "lo", "Loopback" },
};

const char *interface_normalize(const char *name, char *buf)
{
	size_t n = 0;

	while (isalpha((unsigned char)name[n]) || name[n] == '-')
		n++;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* "Et", "Eth", "Ethernet": any beginning of the long form. */
		if (n < 2 || n > strlen(kinds[i].whole) ||
		    strncasecmp(name, kinds[i].whole, n) != 0 || !isdigit((unsigned char)name[n]))
			continue;
		snprintf(buf, INTERFACE_NAME, "%s", kinds[i].whole);
		eapi_clean_text(name + n, buf + strlen(buf), INTERFACE_NAME - strlen(buf));
		return buf;
	}
	return eapi_clean_text(name, buf, INTERFACE_NAME);
}

uint16_t interface_vlan(const char *name)
{
	uint32_t vlan;

	if (strncmp(name, "Vlan", 4) != 0 || parse_u32(name + 4, 1, 4094, &vlan) < 0)
		return 0;
	return (uint16_t)vlan;
}

/* A member of the model itself, or of its VRFs, all of them. */
static bool each_list(struct json_object *model, const char *key,
		      bool (*fn)(struct topology *t, struct json_object *o), struct topology *t)
{
	struct json_object *vrfs = eapi_json_get(model, "vrfs"), *list = eapi_json_get(model, key);

	if (json_object_is_type(vrfs, json_type_object)) {
		json_object_object_foreach(vrfs, name, vrf)
		{
			(void)name;
			if (eapi_json_get(vrf, key) && !fn(t, eapi_json_get(vrf, key)))
				return false;
		}
		return true;
	}
	return list && fn(t, list);
}

static bool add_neighbours(struct topology *t, struct json_object *list)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	struct neighbour *grown = realloc(t->neighbour, (t->n_neighbours + n + 1) * sizeof(*grown));

	if (!grown)
		return false;
	t->neighbour = grown;
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *addr = eapi_json_text(eapi_json_get(o, "address"));
		const char *mac = eapi_json_text(eapi_json_get(o, "hwAddress"));
		const char *interface = eapi_json_text(eapi_json_get(o, "interface"));
		struct neighbour new = { 0 };
		char word[INTERFACE_NAME], *comma;

		if (!addr || !mac || !interface || reading_parse_addr(addr, &new.addr) < 0 ||
		    mac_parse(mac, new.mac) < 0)
			continue;
		/* "Vlan10, Ethernet3", and "Vlan10, not learned". */
		eapi_clean_text(interface, word, sizeof(word));
		comma = strchr(word, ',');
		if (comma) {
			const char *port = comma + 1;

			port += strspn(port, " ");
			if (!strchr(port, ' '))
				interface_normalize(port, new.port);
			*comma = '\0';
		}
		interface_normalize(word, new.interface);
		t->neighbour[t->n_neighbours++] = new;
	}
	return true;
}

bool topology_read_neighbours(struct topology *t, uint8_t family, struct json_object *model)
{
	const char *key = family == AF_INET6 ? "ipV6Neighbors" : "ipV4Neighbors";
	size_t kept = 0;

	if (!eapi_json_get(model, key) && !eapi_json_get(model, "vrfs"))
		return false;
	for (size_t i = 0; i < t->n_neighbours; i++)
		if (t->neighbour[i].addr.family != family)
			t->neighbour[kept++] = t->neighbour[i];
	t->n_neighbours = kept;
	t->has_neighbours[family == AF_INET6] = each_list(model, key, add_neighbours, t);
	return t->has_neighbours[family == AF_INET6];
}

static bool add_macs(struct topology *t, struct json_object *list)
{
	size_t n = json_object_array_length(list);
	struct mac_entry *grown = realloc(t->mac, (t->n_macs + n + 1) * sizeof(*grown));

	if (!grown)
		return false;
	t->mac = grown;
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *mac = eapi_json_text(eapi_json_get(o, "macAddress"));
		const char *interface = eapi_json_text(eapi_json_get(o, "interface"));
		struct mac_entry new = { 0 };
		int64_t vlan = 0;

		if (!mac || !interface || mac_parse(mac, new.mac) < 0)
			continue;
		eapi_json_int(eapi_json_get(o, "vlanId"), 0, 4095, &vlan);
		new.vlan = (uint16_t)vlan;
		interface_normalize(interface, new.interface);
		t->mac[t->n_macs++] = new;
	}
	return true;
}

bool topology_read_macs(struct topology *t, struct json_object *model)
{
	struct json_object *list =
		eapi_json_get(eapi_json_get(model, "unicastTable"), "tableEntries");

	if (!list)
		list = eapi_json_get(model, "tableEntries");
	if (!json_object_is_type(list, json_type_array))
		return false;
	t->n_macs = 0;
	t->has_macs = add_macs(t, list);
	return t->has_macs;
}

/* "in Po9", somewhere among what is said of the port's VLAN. */
static void read_channel(struct json_object *vlan, struct port *p)
{
	if (!json_object_is_type(vlan, json_type_object))
		return;
	json_object_object_foreach(vlan, key, value)
	{
		const char *text = eapi_json_text(value);

		(void)key;
		if (text && strncmp(text, "in Po", 5) == 0)
			interface_normalize(text + 3, p->channel);
	}
}

bool topology_read_ports(struct topology *t, struct json_object *model)
{
	struct json_object *list = eapi_json_get(model, "interfaceStatuses");
	struct port *grown;

	if (!json_object_is_type(list, json_type_object))
		return false;
	grown = realloc(t->port, ((size_t)json_object_object_length(list) + 1) * sizeof(*grown));
	if (!grown)
		return false;
	t->port = grown;
	t->n_ports = 0;
	json_object_object_foreach(list, name, o)
	{
		const char *status = eapi_json_text(eapi_json_get(o, "linkStatus"));
		struct port p = { 0 };

		interface_normalize(name, p.name);
		p.up = status && strcasecmp(status, "connected") == 0;
		read_channel(eapi_json_get(o, "vlanInformation"), &p);
		t->port[t->n_ports++] = p;
	}
	t->has_ports = true;
	return true;
}

void topology_clear(struct topology *t)
{
	free(t->neighbour);
	free(t->mac);
	free(t->port);
	*t = (struct topology){ 0 };
}

const struct neighbour *topology_neighbour(const struct topology *t, const struct ip_addr *a)
{
	for (size_t i = 0; i < t->n_neighbours; i++)
		if (ip_addr_equal(&t->neighbour[i].addr, a))
			return &t->neighbour[i];
	return NULL;
}

const struct port *topology_port(const struct topology *t, const char *name)
{
	for (size_t i = 0; i < t->n_ports; i++)
		if (strcmp(t->port[i].name, name) == 0)
			return &t->port[i];
	return NULL;
}

const char *topology_place(const struct topology *t, const struct neighbour *n)
{
	uint16_t vlan = interface_vlan(n->interface);

	if (vlan == 0)
		return n->interface;
	for (size_t i = 0; i < t->n_macs; i++)
		if (t->mac[i].vlan == vlan && strcmp(t->mac[i].mac, n->mac) == 0)
			return t->mac[i].interface;
	return n->port[0] ? n->port : NULL;
}

const struct neighbour *topology_neighbour_by_mac(const struct topology *t, uint8_t family,
						  const char *mac, const char *interface)
{
	const struct neighbour *found = NULL;

	for (size_t i = 0; i < t->n_neighbours; i++) {
		const struct neighbour *n = &t->neighbour[i];
		const char *place = topology_place(t, n);

		if (n->addr.family != family || strcmp(n->mac, mac) != 0 ||
		    ip_addr_is_linklocal(&n->addr))
			continue;
		if (strcmp(n->interface, interface) != 0 &&
		    (!place || strcmp(place, interface) != 0))
			continue;
		if (found) /* two addresses on one machine: no telling */
			return NULL;
		found = n;
	}
	return found;
}
