/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json.h>
#include <stddef.h>
#include "base/err.h"
#include "base/macros.h"

/* Two gateways that share conntrack entries must number nexthops alike (flowpin-ha(7)). Pure: no
 * daemon, no output. */

/* What a gateway says of itself. */
struct peer_state {
	struct json_object *status;   /* the reply of Status */
	struct json_object *nexthops; /* the reply of Nexthops */
};
/* Releases both; they are NULL then. */
void peer_state_clear(struct peer_state *s);

/* Reads what `flowpin status --json` and `flowpin nexthops --json` printed, one after the other, in
 * any order. Every string in it is printable ASCII afterwards. -EINVAL with a sentence: it is
 * something else; -EFBIG; -ENOMEM. */
int peer_parse(const char *text, size_t len, struct peer_state *ret_state,
	       struct err *e) _must_check_;
/* The same from a file, "-" is standard input. -errno with a sentence. Blocks. */
int peer_read(const char *path, struct peer_state *ret_state, struct err *e) _must_check_;

/* Calls fn with a sentence for each difference, and returns how many there were. */
size_t peer_compare(const struct peer_state *here, const struct peer_state *there,
		    void (*fn)(const char *subject, const char *text, void *arg), void *arg);
