/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/switch_config.h"
#include "eapi/commands.h"
#include "eapi/rpc.h"
#include "eapi/watch.h"

/* Which nexthop a switch chose for flows that it forwards by itself. Many flows in one request; the
 * routes stand before and behind the questions of it. They are those of the flow only where they
 * are the same as each other, and as each reading from one before the flow was seen until now;
 * otherwise the flow is uncertain: it is better left alone than pinned to a nexthop that it never
 * had. Pure. */

#define LOOKUP_FLOWS 100

struct lookup_flow {
	struct tuple tuple;
	uint64_t seen_ms;
	uint32_t dst; /* which of the lookup's destinations */
	bool done;
	struct ip_addr nexthop; /* family 0: uncertain, and why */
	char why[112];
	bool again; /* the switch could not be asked */
	char ingress[INTERFACE_NAME], path[INTERFACE_NAME];
	bool guessed; /* ingress: the route back has not said so yet */
	bool misled;  /* it said otherwise: the path that was asked for is another packet's */
};

struct lookup_dst {
	struct ip_addr addr;
	struct vias before, after;
	bool has_before, has_after;
};

enum lookup_what { LOOKUP_BEFORE, LOOKUP_SOURCE, LOOKUP_PATH, LOOKUP_AFTER };

struct lookup_command {
	enum lookup_what what;
	uint32_t index; /* of a destination or of a flow */
};

struct lookup {
	const struct switch_config *config;
	struct watch *watch;
	const struct topology *topology;
	int64_t question;
	struct lookup_flow flow[LOOKUP_FLOWS];
	size_t n;
	struct lookup_dst dst[LOOKUP_FLOWS];
	size_t n_dst;
	struct lookup_command command[LOOKUP_FLOWS * 4];
	size_t n_commands, begin; /* `begin`: commands in front of them */
	uint32_t failures;	  /* paths in a row that the switch could not tell */
	uint32_t requests;
	bool by_text; /* the switch answers paths in text only: the routes then stand in requests of
			 their own, around that one */
};

/* All are borrowed; `watch` and `topology` may change between the calls; routes that are read are
 * noted in `watch`, and so is where flows came in. -ENOMEM. */
int lookup_new(const struct switch_config *config, struct watch *watch,
	       const struct topology *topology, int64_t question,
	       struct lookup **ret_lookup) _must_check_;
struct lookup *lookup_free(struct lookup *l);
DEFINE_FREEP(struct lookup, lookup_free)
/* seen_ms: when the flow's first packet was seen. False: there are LOOKUP_FLOWS already. */
bool lookup_add(struct lookup *l, const struct tuple *t, uint64_t seen_ms);

/* The next request (c is emptied first), and its format. False: every flow has its answer. */
bool lookup_next(struct lookup *l, struct commands *c, bool *ret_text);
/* What came of it, now. */
void lookup_answer(struct lookup *l, const struct rpc_answer *a, uint64_t now_ms);
/* It was not answered: whatever is open is uncertain, and may be asked again. */
void lookup_break(struct lookup *l, const char *why);
/* There is no answer: whatever is open stays uncertain. */
void lookup_fail(struct lookup *l, const char *why);
