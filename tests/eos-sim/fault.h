/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults that a test switches on: each with how often, after how many, and for which requests. */
#pragma once

#include <regex.h>

#include "util.h"

enum fault_kind {
	FAULT_REFUSE,	  /* the connection is reset as soon as it is accepted */
	FAULT_TLS,	  /* something that is no TLS answers */
	FAULT_SILENCE,	  /* no answer; `applied` says what happened to the commands */
	FAULT_RESET,	  /* TCP reset after a part of the answer */
	FAULT_STATUS,	  /* an HTTP status with an HTML body */
	FAULT_TRUNCATE,	  /* half of the JSON */
	FAULT_SHORT,	  /* result has fewer elements than there were commands */
	FAULT_DRIP,	  /* the answer comes a few bytes at a time */
	FAULT_REDIRECT,	  /* 302 to `location` */
	FAULT_HUGE,	  /* `bytes` of JSON */
	FAULT_DEEP,	  /* nested `bytes` deep */
	FAULT_TYPES,	  /* result is what it should not be */
	FAULT_FOREIGN_ID, /* another id than the request's */
	FAULT_FAIL,	  /* command `at` fails with `code` and `text` */
	FAULT_CRASH, /* command `at` runs, then the answer is 502: the agent died in the middle */
	FAULT_KINDS
};

enum fault_on { FAULT_ON_ANY, FAULT_ON_READ, FAULT_ON_WRITE };

struct fault {
	struct fault *next;
	uint64_t id;
	enum fault_kind kind;
	enum fault_on on;
	long count, skip; /* negative count: for ever */
	long at;	  /* the command, from 1; negative: from the end */
	long applied;	  /* silence: how many commands run; -1 all */
	long delay_ms;	  /* silence: before the commands run; drip: between bytes */
	long hold_ms;	  /* silence: how long the connection stays open */
	long status, code, bytes;
	bool has_match;
	regex_t match; /* of any command of the request */
	char text[256];
};

struct faults {
	struct fault *first;
	uint64_t ids;
};

/* From the operation "fault". NULL, or what is wrong. */
const char *fault_add(struct faults *faults, struct json_object *o);
void fault_clear(struct faults *faults);
struct json_object *fault_list(const struct faults *faults);
/* Takes the first one that fits off the list, or counts it down, and copies it; the copy's regex is
 * not to be used. cmds may be NULL: a connection, before any request. */
bool fault_take(struct faults *faults, struct json_object *cmds, bool writes,
		struct fault *ret_fault);
/* Whether the fault is still wished for, by id (so that a test can end a silence). */
bool fault_active(const struct faults *faults, uint64_t id);
