/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated switch. One lock for all of its state; the CLI agent's lock makes requests wait for
 * each other (knob serialize). */
#pragma once

#include <pthread.h>
#include <regex.h>

#include "fault.h"
#include "flows.h"
#include "tables.h"

struct dataplane;
struct mirror;
struct web;

/* A line of the journal: each command that reached the CLI, whoever sent it. */
struct journal_line {
	uint64_t serial, request;
	int64_t at_ms;
	char user[32];
	int code;
	char *command;
};

#define JOURNAL_MAX 200000

struct journal {
	struct journal_line *v;
	size_t n, allocated;
	uint64_t serials;
	size_t lost;
};

/* A canned answer for commands that match, put in place of ours. */
struct canned {
	struct canned *next;
	regex_t command;
	long count; /* negative: for ever */
	long skip;
	struct json_object *reply;
};

/* `configure session NAME`: commands that wait for commit. */
struct config_session {
	struct config_session *next;
	char name[64];
	bool pending;
	char **lines;
	size_t n;
};

struct counters {
	uint64_t connections, refused, requests, logins, logins_refused, unauthorized, commands,
		failures, faults;
};

struct sim {
	pthread_mutex_t lock, agent;
	pthread_cond_t written;
	bool writing; /* what the table says is on its way into the data plane, without the lock */
	struct knobs knobs;
	struct flow_table table;
	struct tables tables;
	struct faults faults;
	struct journal journal;
	struct canned *canned;
	struct config_session *config_sessions;
	struct counters counters;
	uint64_t random;
	/* the box */
	int64_t booted_wall_ms, clock_step_ms;
	int64_t down_until;   /* no listener until then */
	bool dark;	      /* it was restarted, and does not forward yet */
	char lock_holder[64]; /* configure exclusive by somebody else */
	struct flow_table_startup {
		bool shut;
	} startup;
	char *running_extra; /* monitor sessions and whatever else was configured */
	struct dataplane *dataplane;
	struct mirror *mirrors;
	struct web *web;
	bool stop;
};

struct sim *sim_new(void);
/* When its threads have ended and its data plane is gone. */
void sim_free(struct sim *sim);
void sim_clear_replies(struct sim *sim);
void sim_reboot(struct sim *sim, long down_ms);
void sim_restart_agent(struct sim *sim, long down_ms);
/* With the lock: waits until the data plane is what the table says. Whoever tells what is
 * programmed, or writes the data plane, begins with it; a command that changes the configuration is
 * not kept waiting. */
void sim_settle(struct sim *sim);
double sim_boot_timestamp(struct sim *sim);
void journal_add(struct sim *sim, uint64_t request, const char *user, const char *command,
		 int code);
/* Everything that happens by itself: runs until sim->stop. */
void *sim_clockwork(void *sim);
