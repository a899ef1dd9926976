/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real forwarding in the network namespace that the simulator runs in. All functions take NULL:
 * then there is none. */
#pragma once

#include "flows.h"
#include "tables.h"

struct dataplane;
struct sim;

/* Sets the namespace up: sysctls for exact path answers, an empty TCAM. NULL when that fails (it
 * says why on stderr). */
struct dataplane *dataplane_new(struct sim *sim);
/* Removes what it made. */
void dataplane_free(struct dataplane *dp);
void dataplane_add(struct dataplane *dp, struct flow *f);
void dataplane_remove(struct dataplane *dp, struct flow *f);
/* What brings the TCAM in line with the table; it is taken for done. */
char *dataplane_changes(struct dataplane *dp, struct flow_table *t);
/* Does it, and frees it. Needs no lock. */
void dataplane_write(char *changes);
/* Both. */
void dataplane_sync(struct dataplane *dp, struct flow_table *t);
/* Adds to packets and bytes of the flows what the TCAM counted since. */
void dataplane_read_counters(struct dataplane *dp, struct flow_table *t);
/* Whether packets pass at all. */
void dataplane_set_forwarding(struct dataplane *dp, bool forwards);

/* Writes a route into the kernel, or removes it. */
void dataplane_set_route(struct dataplane *dp, const struct route *route, bool present);
/* The kernel's route to an address; the nexthop that it takes for a flow. False: none. */
bool dataplane_lookup(struct dataplane *dp, int family, const uint8_t address[16],
		      struct route *ret_route);
bool dataplane_path(struct dataplane *dp, const struct path_query *query, struct via *ret_via);
/* Replaces neighbours and MAC addresses by the kernel's. */
void dataplane_read_tables(struct dataplane *dp, struct tables *t);
/* Has the kernel resolve an address, not more than once a second. */
void dataplane_ask_neighbour(struct dataplane *dp, const char *address);
