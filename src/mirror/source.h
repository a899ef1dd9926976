/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include "config/config.h"
#include "mirror/batch.h"
#include "mirror/handoff.h"

/* The mirror of one switch on the event loop: reads its receiver, hands records on, and tells in
 * the log what a person should look at. */

/* What is handed on goes first, so that what arrives cannot keep it from leaving. */
enum { PRIORITY_SIGNAL, PRIORITY_HANDOFF, PRIORITY_RECEIVE, PRIORITY_FOREIGN, PRIORITY_COUNT };

struct source;

struct source_options {
	struct event_base *base; /* all of these are borrowed until source_free */
	struct handoff *handoff;
	struct batch *batch; /* for as long as one callback runs: all sources may have the same */
	const struct config *config;
	const struct switch_config *own; /* one of config's, with a mirror */
};

/* Opens the sockets, which takes CAP_NET_RAW; nothing is received before source_begin(). Errors as
 * of mirror_receiver_new(), with a sentence. */
int source_new(const struct source_options *options, struct source **ret_source,
	       struct err *e) _must_check_;
struct source *source_free(struct source *s);
DEFINE_FREEP(struct source, source_free)

/* Needs no privilege. 0 also without an interface of that name, or where it cannot be bound
 * (logged): that is left to source_tick(). -ESTALE as of that. */
int source_begin(struct source *s) _must_check_;
/* To be called every second: counts, and looks after the interface. -ESTALE: only another process
 * can receive from it. */
int source_tick(struct source *s) _must_check_;
