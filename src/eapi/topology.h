/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "eapi/json.h"

/* What a switch says of its surroundings: routes, neighbours, MAC table, interfaces. Parsed from
 * eAPI models, tolerant of unknown and missing members. Interface names are the long ones
 * ("Ethernet43", "Port-Channel1", "Vlan10"). */

#define INTERFACE_NAME 64
#define MAC_TEXT       18

struct via {
	struct ip_addr addr; /* family 0: on-link, or a tunnel */
	char interface[INTERFACE_NAME];
	uint32_t weight; /* in thousandths; 0: the model has none */
};

/* The nexthops of one destination, sorted. */
struct vias {
	struct via *via;
	size_t n;
};

struct neighbour {
	struct ip_addr addr;
	char mac[MAC_TEXT];
	char interface[INTERFACE_NAME]; /* of layer 3 */
	char port[INTERFACE_NAME]; /* where the switch says it is behind, "" where it does not */
};

struct mac_entry {
	char mac[MAC_TEXT];
	uint16_t vlan;
	char interface[INTERFACE_NAME];
};

struct port {
	char name[INTERFACE_NAME];
	char channel[INTERFACE_NAME]; /* the port-channel that it is a member of, "" none */
	bool up;
};

struct topology {
	struct neighbour *neighbour;
	size_t n_neighbours;
	struct mac_entry *mac;
	size_t n_macs;
	struct port *port;
	size_t n_ports;
	bool has_neighbours[2]; /* IPv4, IPv6: a table was read, be it empty */
	bool has_macs, has_ports;
};

/* "Et43" and "ethernet43" -> "Ethernet43"; what is not known stays as it is, made printable. Writes
 * INTERFACE_NAME bytes. */
const char *interface_normalize(const char *name, char *buf);
/* The VLAN of "Vlan10", 0 for other names. */
uint16_t interface_vlan(const char *name);

/* Each replaces its part of the topology. False: not such a model (the part is as it was), or no
 * memory (it may be empty then). */
bool topology_read_neighbours(struct topology *t, uint8_t family, struct json_object *model);
bool topology_read_macs(struct topology *t, struct json_object *model);
bool topology_read_ports(struct topology *t, struct json_object *model);
/* Frees what it holds; nothing is known then. */
void topology_clear(struct topology *t);

/* NULL: not known. Borrowed until its part is read again. */
const struct neighbour *topology_neighbour(const struct topology *t, const struct ip_addr *a);
const struct port *topology_port(const struct topology *t, const char *name);
/* The port or port-channel behind which a neighbour is: its own where it is routed. NULL: not
 * known. */
const char *topology_place(const struct topology *t, const struct neighbour *n);
/* The other way: the neighbour with this MAC address behind this interface or port, or NULL. */
const struct neighbour *topology_neighbour_by_mac(const struct topology *t, uint8_t family,
						  const char *mac, const char *interface);

/* Calls back for each route of a model of `show ip route` or `show ipv6 route`, of one VRF; models
 * without VRFs count as that. False: not such a model. */
bool routes_each(struct json_object *model, const char *vrf,
		 void (*fn)(const struct ip_prefix *p, struct json_object *route, void *arg),
		 void *arg);
/* The most specific route of the model that holds `dst`, and its prefix (NULL: nobody asks). 0;
 * -ENOENT: none; -EBADMSG; -ENOMEM. The caller clears *ret_route. */
int route_read(struct json_object *model, const char *vrf, const struct ip_addr *dst,
	       struct ip_prefix *ret_prefix, struct vias *ret_route) _must_check_;
/* The nexthops of one route of routes_each(), for the caller to clear. -ENOMEM. */
int route_read_vias(struct json_object *route, struct vias *ret_route) _must_check_;
/* The order of struct vias, for qsort(). 0: the same nexthop with the same weight. */
int via_compare(const void *a, const void *b);
/* The same nexthops with the same weights. */
bool vias_equal(const struct vias *a, const struct vias *b);
/* *ret_copy has what it held cleared. False, and as it was: no memory. */
bool vias_copy(const struct vias *r, struct vias *ret_copy);
/* Frees them; there are none then. */
void vias_clear(struct vias *r);
/* The one nexthop of a route that is behind this interface, by its own name or as a member of a
 * port-channel. 0; -ENOENT: none; -ENOTUNIQ: several. */
int topology_route_nexthop(const struct topology *t, const struct vias *r, const char *interface,
			   struct ip_addr *ret_nexthop) _must_check_;
