/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/internal.h"
#include "daemon/switches.h"
#include "fuzz/fuzz.h"
#include "pin/ruleset_internal.h"

/* flowpind as it is when it has started: a configuration with switches, nexthops of two services,
 * flows, one drain. Each input gets a new one. Its netlink sockets lead to kernel.c, which
 * acknowledges everything and lists nothing; its files are in fuzz_directory(). */

struct world {
	struct daemon d;
	struct control_server *server; /* the one that is spoken to */
	int fd;			       /* of the client, -1 none */
	char out[65536];	       /* what came last */
	size_t n_out;
	uint64_t received;
};

void world_begin(struct world *w);
void world_end(struct world *w);

/* A client of this server, who may change things. */
void world_connect(struct world *w, struct control_server *server);
/* Sends it and runs the loop until nothing more happens; reads what is answered. */
void world_send(struct world *w, const void *data, size_t size);
void world_run(struct world *w);
