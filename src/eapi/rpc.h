/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/switch_config.h"
#include "eapi/commands.h"
#include "eapi/json.h"

/* The JSON-RPC envelope of eAPI: runCmds and its answers. */

#define RPC_MESSAGE 200

struct rpc_options {
	const struct switch_config *config;
	bool text;  /* format */
	bool plain; /* nothing beyond version, format and cmds: the switch refused the rest */
	const char *enable_password; /* NULL: none; goes along with the command "enable" */
};

/* Writes the request's body. False without memory. */
bool rpc_request(const struct rpc_options *o, uint64_t id, const struct commands *c,
		 struct strbuf *b) _must_check_;

enum rpc_outcome {
	RPC_OK,	     /* each command has its result */
	RPC_FAILED,  /* the command `failed_at` failed, those before it were done, those behind it
			were not */
	RPC_REFUSED, /* nothing was done: the request itself was not understood (unknown parameter,
			no such method) */
	RPC_UNKNOWN, /* no telling what was done: not JSON, another id, fewer results than commands,
			no place of the error */
};

struct rpc_answer {
	enum rpc_outcome outcome;
	struct json_object
		*results; /* array: one element per command that was done; NULL for none */
	size_t failed_at;
	int code;		   /* of the error, 0 none */
	char message[RPC_MESSAGE]; /* printable, without anything that was given as input */
	double duration_s;	   /* sum of what the switch tells, 0 unknown */
	struct json_object *whole;
};

/* Never fails: what cannot be read is RPC_UNKNOWN with a message. */
void rpc_parse(const char *text, size_t len, uint64_t id, size_t n_commands,
	       struct rpc_answer *ret_answer);
/* Frees what it holds. */
void rpc_answer_free(struct rpc_answer *a);
/* The result of command `i`, NULL where there is none. One that is a string of JSON is parsed;
 * `*hold` owns what was parsed. */
struct json_object *rpc_result(const struct rpc_answer *a, size_t i, struct json_object **hold);
/* The text of command `i` in a request of format "text", or NULL; `*hold` as above. */
const char *rpc_text(const struct rpc_answer *a, size_t i, struct json_object **hold);
