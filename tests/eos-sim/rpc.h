/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON-RPC: runCmds. */
#pragma once

#include "sim.h"

/* What a fault does to the commands. */
struct rpc_plan {
	long run_only; /* -1: all; else the commands after that many are not run, and the answer is
			  NULL */
	long fail_at;  /* 0: none; else this command (from 1; negative from the end) fails */
	int fail_code;
	const char *fail_text;
};

/* The list of commands of a request, or NULL when it has none that makes sense. Borrowed. */
struct json_object *rpc_commands(struct json_object *request);
/* Whether one of them changes anything. */
bool rpc_writes(struct json_object *cmds);
/* Runs a request (NULL: it was no JSON) and returns the answer. Takes the locks itself. */
struct json_object *rpc_run(struct sim *sim, const char *user, struct json_object *request,
			    const struct rpc_plan *plan);
