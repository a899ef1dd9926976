/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "eapi/http.h"
#include "eapi/rpc.h"

/* Commands to a switch and their results, over one connection, one request at a time. */

struct channel;

enum channel_outcome {
	CHANNEL_ANSWERED, /* rpc.outcome is RPC_OK or RPC_FAILED */
	CHANNEL_UNSENT,	  /* certainly nothing was carried out */
	CHANNEL_UNKNOWN,
};

struct channel_result {
	enum channel_outcome outcome;
	enum http_outcome http;
	struct rpc_answer rpc; /* freed after the call back */
	const char *sentence;  /* what went wrong, for a person; "" for CHANNEL_ANSWERED */
	uint64_t begin_ms, took_ms;
};

/* `config` is borrowed, and so is h. -ENOMEM; as of http_conn_new(); with a sentence. */
int channel_new(struct http *h, const struct switch_config *config, struct channel **ret_channel,
		struct err *e) _must_check_;
/* A request under way is dropped, without a call back. */
struct channel *channel_free(struct channel *c);
DEFINE_FREEP(struct channel, channel_free)

/* Sends the commands (copied) as one request of format "text" or "json". `done` is called once,
 * from the loop, never from inside; it may call this again. Errors as of http_conn_post(). -EACCES
 * also for the password of `enable`. */
int channel_run(struct channel *c, const struct commands *commands, bool text,
		void (*done)(const struct channel_result *r, void *arg), void *arg,
		struct err *e) _must_check_;
bool channel_busy(const struct channel *c);
/* Requests and commands so far. */
void channel_counts(const struct channel *c, uint64_t *ret_requests, uint64_t *ret_commands);
