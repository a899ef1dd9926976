/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/log.h"
#include "eapi/agent.h"
#include "eapi/channel.h"
#include "eapi/pace.h"

#define QUESTIONS_MAX 4
#define SKIP_MS	      300000 /* a command that the switch refused is left out for this long */
#define SENTENCE      256

/* What is read in one round, one request after the other. */
enum round_stage {
	ROUND_IDLE,
	ROUND_FLOWS, /* version and flows, as JSON */
	ROUND_TEXT,  /* flows as text */
	ROUND_SURROUNDINGS,
	ROUND_TCAM,
};

enum table_kind { TABLE_ARP, TABLE_ND, TABLE_MAC, TABLE_PORTS, TABLE_COUNT };

struct agent {
	struct event_base *base;
	const struct config *config;
	const struct switch_config *s;
	struct agent_callbacks cb;
	struct event *timer;
	struct channel *reader, *writer;
	struct reconciler *reconciler;
	struct watch watch;
	struct topology topology;
	struct reading reading;
	uint64_t key[2], random;

	bool attached, up, read_once, surroundings_once;
	char sentence[SENTENCE], write_sentence[SENTENCE];
	struct backoff down, login, refused, write;
	uint64_t retry_ms; /* nothing is asked before */

	/* Reading. */
	enum round_stage stage;
	uint64_t round_ms;	/* the next round is due; 0: at once */
	uint64_t round_took_ms; /* the last one */
	uint64_t reading_ms;	/* when the request for `reading` began */
	uint64_t text_ms, tcam_ms, json_skip_ms, text_skip_ms;
	uint64_t table_skip_ms[TABLE_COUNT];
	bool *route_done;
	bool table_done[TABLE_COUNT];
	struct version_facts facts;
	bool has_facts;
	uint64_t facts_ms;
	struct commands commands;
	size_t asked[1024]; /* in the round's request: routes by their place, tables behind them */
	size_t n_asked;

	/* Questions. */
	struct lookup *lookup[QUESTIONS_MAX];
	size_t n_lookups;
	bool looking;		     /* one is under way */
	uint64_t questions_until_ms; /* before the next round */
	bool path_text;		     /* the switch tells paths in text only */

	/* Writing. */
	struct pace pace;
	uint64_t write_ms;
	struct write_batch batch;
	bool writing;
	struct log_limit limit_refused, limit_read;
};

/* Another number each time; no secret. */
uint64_t agent_random(struct agent *a);
/* It cannot be used now: why, and when it is tried again. */
void agent_down(struct agent *a, enum http_outcome outcome, const char *sentence);
/* Calls back, if anybody asked for it. */
void agent_tell_health(struct agent *a);

/* agent_read.c, agent_ask.c, agent_write.c: begin what is due, if nothing is under way. Errors end
 * in agent_down(), or in a question that is broken off. agent_ask_step: true when a request is
 * under way. */
void agent_read_step(struct agent *a, uint64_t now_ms);
bool agent_ask_step(struct agent *a);
/* All questions are broken off and answered, but one that a request is out for. */
void agent_ask_drop(struct agent *a, const char *why);
void agent_write_step(struct agent *a, uint64_t now_ms);
/* agent_surroundings.c: the command list of what is around, and its answer. False: all of it was
 * read. */
bool agent_surroundings_commands(struct agent *a, uint64_t now_ms);
/* The answer was too large. True: less is asked for from now on. */
bool agent_surroundings_shrink(struct agent *a);
/* A round begins: nothing of it is read yet. */
void agent_surroundings_begin(struct agent *a);
/* What came of the commands; one that was refused is left out for a while or asked otherwise. */
void agent_surroundings_take(struct agent *a, const struct rpc_answer *answer, uint64_t now_ms);
