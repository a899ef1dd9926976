/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/switch_config.h"
#include "eapi/flow_text.h"
#include "eapi/json.h"
#include "eapi/tuple_index.h"

/* What a switch says of its DirectFlow table: `show directflow detail`, as JSON and as text. Only
 * flows whose name is one of ours are kept; of others only how many there are. */

enum flow_status {
	FLOW_STATUS_UNKNOWN,
	FLOW_STATUS_PROGRAMMED,
	FLOW_STATUS_PENDING,
	FLOW_STATUS_REJECTED, /* no room, mostly */
	FLOW_STATUS_INACTIVE, /* in the configuration, not in hardware: expired, or not yet */
};

struct flow_reading {
	struct tuple tuple;
	enum flow_status status;
	char text[80]; /* of the status, printable; "" : none given */
	bool listed;   /* it was among the flows, not only in a list of states */
	bool has_nexthop, has_counters;
	bool contradicts; /* its match is not the one of its name */
	bool in_text;	  /* the text lists it, which tells everything that there is */
	bool acts;	  /* it has an action */
	bool in_actions;  /* where the text is at */
	struct ip_addr nexthop;
	char interface[64], mac[18]; /* of an L2 rewrite, "" : none */
	uint64_t packets, bytes;
};

struct reading {
	struct flow_reading *flow;
	size_t n, cap;
	struct tuple_index index;
	uint32_t foreign;	     /* flows of others */
	uint32_t foreign_programmed; /* of these in hardware, as far as it is told */
	bool json, text;	     /* which of both were read */
};

/* Adds what the JSON model says. False: it is no such model, or no memory: it may be there in
 * part. */
bool reading_add_json(struct reading *r, const struct switch_config *s, const char *prefix,
		      struct json_object *model);
/* Adds what the text says, for flows and fields that are not known yet. False without memory. */
bool reading_add_text(struct reading *r, const struct switch_config *s, const char *prefix,
		      const char *text);
/* NULL: not there. Borrowed until the reading changes. */
struct flow_reading *reading_find(const struct reading *r, const struct tuple *t);
/* Frees what it holds and keeps the index's key. */
void reading_clear(struct reading *r);

/* By the configured texts; where several fit: inactive, rejected, pending, programmed. */
enum flow_status flow_status_classify(const struct switch_config *s, const char *text);
