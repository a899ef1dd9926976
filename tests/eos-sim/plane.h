/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the data plane. */
#pragma once

#include "dataplane.h"

#define TCAM_TABLE	   "eos_sim"
#define MARK_NORMAL	   1 /* matched, and forwarded as if it had not been */
#define MARK_DROP	   2
#define MARK_BASE	   0x100
#define ROUTING_TABLE_BASE 21000
#define ACTIONS_MAX	   1000

/* What flows do with a packet; each has a mark, a rule and a routing table. */
struct action {
	char text[256];
};

struct asked {
	char address[NAME_SIZE];
	int64_t at;
};

struct dataplane {
	struct sim *sim;
	int netlink;
	uint32_t netlink_serial;
	struct action actions[ACTIONS_MAX];
	size_t n_actions;
	struct asked asked[64];
	size_t n_asked;
	int64_t actions_at;
	/* The TCAM: slots by key (a tree of search.h), and the rules as they were last written. */
	void *slots;
	uint64_t generation;
	char *rules;
	struct route *routes6; /* longest prefix first */
};

/* netlink: 0, or a negative errno. */
int kernel_open(struct dataplane *dp);
int kernel_route(struct dataplane *dp, int family, const uint8_t address[16],
		 struct route *ret_route);
int kernel_path(struct dataplane *dp, const struct path_query *query, struct via *ret_via);
void kernel_read_neighbours(struct dataplane *dp, struct tables *t);
void kernel_read_macs(struct dataplane *dp, struct tables *t);
void kernel_use_neighbour(struct dataplane *dp, int family, const uint8_t address[16]);

/* ECMP of IPv6: the rules behind the TCAM, and what they choose (false: the kernel decides). */
void asic6_set_route(struct dataplane *dp, const struct route *route, bool present);
void asic6_print(struct dataplane *dp, FILE *out);
void asic6_free(struct dataplane *dp);
bool asic6_path(struct dataplane *dp, const struct path_query *query, struct via *ret_via);

/* The mark of what a flow does; it is set up in the kernel when it is new. */
unsigned action_mark(struct dataplane *dp, const struct flow_spec *spec);
/* Routes of actions that the kernel dropped, since an interface was down, are put back. */
void actions_restore(struct dataplane *dp);

/* Runs ip with lines that each begin with -4 or -6. */
void ip_batch(const char *lines);
/* Runs nft with a script; says on stderr what it did not like. */
bool nft_run(const char *script);
