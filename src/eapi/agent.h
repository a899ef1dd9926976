/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/config.h"
#include "eapi/facts.h"
#include "eapi/http.h"
#include "eapi/lookup.h"
#include "eapi/reconciler.h"
#include "eapi/watch.h"

/* One switch: reads it, writes it, asks it, and knows how that went. What flowpind says comes in
 * through the seam. */

struct agent;

/* What the agent tells: something changed that is to be reported. */
struct agent_callbacks {
	void (*read_done)(void *arg); /* a complete reading was taken in: all is to be reported */
	void (*changed)(void *arg);   /* single flows changed */
	void (*health)(void *arg);
	void (*answered)(struct lookup *l, void *arg); /* takes the lookup over */
	void *arg;
};

/* `http` and `config` are borrowed, `s` is one of config's. Nothing is asked before agent_attach().
 * -ENOMEM; -EIO: no random numbers; as of channel_new(); with a sentence. */
int agent_new(struct event_base *base, struct http *http, const struct config *config,
	      const struct switch_config *s, struct agent **ret_agent, struct err *e) _must_check_;
/* Drops requests under way and questions, without a call back. */
struct agent *agent_free(struct agent *a);
DEFINE_FREEP(struct agent, agent_free)
/* Copied; each may be NULL (an answered lookup is then freed). */
void agent_set_callbacks(struct agent *a, const struct agent_callbacks *callbacks);
const struct switch_config *agent_config(const struct agent *a);

/* The prefix (copied) is known: reading begins. Wishes go to the reconciler; agent_kick() after
 * each change. */
void agent_attach(struct agent *a, const char *prefix);
/* flowpind is gone: nothing more is begun; questions are answered as broken off, but one that a
 * request is out for. */
void agent_detach(struct agent *a);
/* Borrowed. */
struct reconciler *agent_reconciler(struct agent *a);
/* Looks for what is due, from the loop. */
void agent_kick(struct agent *a);

/* A question of flowpind, with its flows; the agent takes it over, and answers it at once, from
 * inside, while the switch is away. -EBUSY: too many are waiting; it stays the caller's. */
int agent_ask(struct agent *a, struct lookup *l) _must_check_;
/* Hands an answer (taken over) to whoever the callbacks are of. */
void agent_lookup_answered(struct agent *a, struct lookup *l);
/* A question for agent_ask(); it borrows from the agent, the caller owns it. -ENOMEM. */
int agent_lookup_new(struct agent *a, int64_t question, struct lookup **ret_lookup) _must_check_;

struct agent_health {
	bool reachable;
	const char *sentence;		   /* "" : none */
	const struct version_facts *facts; /* NULL: not read yet */
	uint64_t requests, commands;
	struct reconciler_summary summary;
	struct watch *watch;
};
/* How it stands now; pointers are the agent's, until the loop runs again. */
void agent_health(struct agent *a, struct agent_health *ret_health);
