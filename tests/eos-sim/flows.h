/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The DirectFlow table: what is configured, and what of it the hardware holds. Programming is
 * asynchronous: table_tick moves flows along. The caller holds the simulator's lock. */
#pragma once

#include "knobs.h"

#define FLOW_NAME_SIZE 256
#define FLOW_LIST_MAX  8
#define FLOW_WORD_SIZE 64

struct flow_list {
	size_t n;
	char v[FLOW_LIST_MAX][FLOW_WORD_SIZE];
};

/* An address with a mask; family 0: not matched. */
struct flow_host {
	int family;
	uint8_t address[16], mask[16];
};

/* -1: not set. Plain data: compared with memcmp and copied with =. */
struct flow_spec {
	long priority, hard, idle;
	bool persistent;
	long ethertype, protocol, sport, dport, vlan;
	struct flow_host src, dst;
	struct flow_list inputs;
	bool has_action, drop;
	struct flow_list nexthops, outputs, ingress_mirrors, egress_mirrors;
	long set_vlan, set_cos, set_tos;
	char set_dmac[18];
};

enum flow_state {
	FLOW_INCOMPLETE, /* no action yet */
	FLOW_PENDING,
	FLOW_PROGRAMMED,
	FLOW_NO_ROOM,
	FLOW_REFUSED, /* the hardware cannot hold it */
	FLOW_EXPIRED,
};

struct flow {
	struct flow *next, *previous; /* in the order of creation */
	struct flow *chain;	      /* same hash */
	char name[FLOW_NAME_SIZE];
	char comment[256];
	uint64_t serial; /* of creation */
	struct flow_spec config;
	enum flow_state state;
	int64_t due; /* FLOW_PENDING: not before */
	/* What the hardware holds; meaningful while in_hardware. */
	bool in_hardware;
	struct flow_spec hardware;
	int64_t installed, moved; /* when, and when its counter last moved */
	uint64_t packets, bytes;  /* real */
	uint64_t seen_packets;	  /* at the last look at the idle time */
	uint64_t shown_packets, shown_bytes;
	/* Of the data plane: its place among exact matches; what its rule had counted when it was
	 * last read. */
	void *plane;
	uint64_t rule_packets, rule_bytes;
};

#define FLOW_BUCKETS 4096

struct flow_table {
	struct flow *first, *last;
	struct flow *buckets[FLOW_BUCKETS];
	size_t n, used; /* flows; entries that they take in hardware */
	size_t used_max;
	size_t foreign; /* entries that other features take */
	uint64_t serials;
	bool shut;	       /* "shutdown" */
	int64_t agent_back_at; /* the agent restarts until then */
	int64_t next_count;    /* when counters are looked at again */
	int64_t program_credit_at;
	double program_credit;
	uint64_t programmed_total;
	bool changed;	     /* something that the data plane must see */
	int64_t rests_until; /* nothing is written before */
};

struct sim;

void flow_spec_init(struct flow_spec *spec);
struct flow *table_find(const struct flow_table *t, const char *name);
/* Finds or creates. */
struct flow *table_enter(struct sim *sim, const char *name);
/* Takes a new definition; what differs goes to the hardware later. */
void table_update(struct sim *sim, struct flow *f, const struct flow_spec *spec);
void table_remove(struct sim *sim, struct flow *f);
/* All flows, or only those that do not survive a reboot. */
void table_clear(struct sim *sim, bool keep_persistent);
void table_set_shut(struct sim *sim, bool shut);
/* Takes everything out of the hardware; flows become pending again. */
void table_empty_hardware(struct sim *sim);
bool table_agent_runs(const struct sim *sim);
void table_tick(struct sim *sim, int64_t now);
/* Entries of the hardware that a flow takes, and room that is left. */
size_t flow_cost(const struct sim *sim, const struct flow_spec *spec);
long table_room(const struct sim *sim);
/* The status word of `show directflow detail`. */
const char *flow_status(const struct sim *sim, const struct flow *f);
