/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces, routes, neighbours (ARP) and MAC addresses of the switch: what the tests put in, or
 * what the kernel has where there is a data plane. The caller holds the simulator's lock. */
#pragma once

#include "util.h"

#define NAME_SIZE 64
#define VIA_MAX	  64

struct via {
	char interface[NAME_SIZE];
	char nexthop[NAME_SIZE]; /* empty: connected */
	long weight;
};

struct route {
	struct route *next;
	int family;
	uint8_t address[16];
	long length;
	char prefix[NAME_SIZE]; /* as text */
	char type[NAME_SIZE];	/* routeType: "eBGP", "connected", ... */
	size_t n;
	struct via vias[VIA_MAX];
};

struct neighbour {
	struct neighbour *next;
	char address[NAME_SIZE], interface[NAME_SIZE];
	uint8_t mac[6];
};

struct mac_entry {
	struct mac_entry *next;
	uint8_t mac[6];
	long vlan;
	char interface[NAME_SIZE];
};

struct interface {
	struct interface *next;
	char name[NAME_SIZE];
	char link[NAME_SIZE]; /* connected, notconnect, disabled, errdisabled */
	char mode[NAME_SIZE]; /* routed, bridged, trunk */
	long vlan;
	char lag[NAME_SIZE]; /* the Port-Channel it is in */
	char dev[NAME_SIZE]; /* the kernel's name of it */
};

struct tables {
	struct interface *interfaces;
	struct route *routes;
	struct neighbour *neighbours;
	struct mac_entry *macs;
	int64_t kernel_read_at;
};

/* One flow as the hash of the ASIC sees it. */
struct path_query {
	int family;
	uint8_t src[16], dst[16];
	long protocol, sport, dport;
	char ingress[NAME_SIZE];
};

struct sim;

/* "Et47", "po1", "vlan10" -> the full name. False when it is none. */
bool interface_full_name(const char *text, char ret[NAME_SIZE]);
struct interface *interface_find(const struct tables *t, const char *name);
struct interface *interface_by_dev(const struct tables *t, const char *dev);
/* AF_INET, AF_INET6 or 0. */
int address_parse(const char *text, uint8_t ret[16]);
void address_text(int family, const uint8_t address[16], char ret[NAME_SIZE]);
bool mac_parse(const char *text, uint8_t ret[6]);

/* The operations "interface", "route", "no-route", "arp", "no-arp", "mac", "no-mac" of the control
 * channel. NULL, or what is wrong. */
const char *tables_operate(struct sim *sim, const char *op, struct json_object *o);
/* "10.0.0.0/8" into family, address and length. */
bool tables_prefix(const char *text, struct route *r);
/* The longest prefix. */
bool tables_lookup(struct sim *sim, int family, const uint8_t address[16], struct route *ret_route);
/* Which of the route's nexthops the ASIC takes. */
bool tables_path(struct sim *sim, const struct path_query *query, struct via *ret_via);
bool tables_resolved(const struct sim *sim, const char *address);
const struct neighbour *tables_neighbour(const struct sim *sim, const char *address);
/* The port behind an SVI (by the neighbour's MAC address) or a Port-Channel (its first member);
 * else the interface itself. */
void tables_port_behind(const struct sim *sim, const struct via *via, char ret[NAME_SIZE]);
/* Reads links, neighbours and MAC addresses from the kernel where there is a data plane, unless
 * that was just done. */
void tables_refresh(struct sim *sim, long age_ms);
