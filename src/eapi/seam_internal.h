/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/log.h"
#include "eapi/pace.h"
#include "eapi/seam.h"
#include "eapi/varlink_client.h"

#define SEAM_INTERFACE "io.flowpin.Switch."
#define SEAM_API 1
#define SEAM_MESSAGE 14000 /* bytes: flowpind takes 16 KiB */

enum seam_call { CALL_NONE, CALL_ATTACH, CALL_DONE, CALL_ANSWER, CALL_HEALTH, CALL_OBSERVED };

/* A question that was answered, on its way to flowpind. */
struct seam_answer {
	struct seam_answer *next;
	struct lookup *lookup;
	size_t position;
};

struct seam {
	struct event_base *base;
	const char *path;
	struct agent *agent;
	struct event *timer;
	struct backoff backoff;
	struct log_limit limit;

	struct varlink *main, *desired, *ask;
	enum seam_call call; /* in progress on `main` */
	bool attached;
	char instance[64];

	bool has_serial;
	int64_t serial; /* to be said to be done */
	struct seam_answer *answers;
	bool health, changed, full;
	bool cut; /* more nexthops than fit into Health: that was said */
	size_t changed_at, full_at;
};

/* seam.c: ends the connections; the next try comes after a wait. */
void seam_lost(struct seam *s, const char *why);
/* seam_tell.c: sends the next thing that is to be said, if nothing is on its way. */
void seam_pump(struct seam *s);
/* seam_read.c: a reply on Desired, on Ask. What is not understood ends in seam_lost(). */
void seam_take_wishes(struct seam *s, struct json_object *params);
void seam_take_question(struct seam *s, struct json_object *params);
