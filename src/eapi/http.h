/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "config/switch_config.h"
#include "eapi/secret.h"

/* POST requests to switches, on the event loop: libcurl multi. TLS is always verified, by CA or by
 * a pinned key; no redirects, no netrc, no proxy, no compression; an answer is counted as it comes
 * in. */

struct http;
/* One connection that is kept alive; one request at a time. */
struct http_conn;

enum http_outcome {
	HTTP_ANSWERED,	  /* 200 and a body */
	HTTP_REFUSED,	  /* the login */
	HTTP_WRONG,	  /* something else answers there: 404, redirect, no HTTP */
	HTTP_BUSY,	  /* 5xx */
	HTTP_UNTRUSTED,	  /* TLS: certificate, name or pinned key */
	HTTP_UNREACHABLE, /* no address, no connection */
	HTTP_BROKEN,	  /* ended in the middle */
	HTTP_TIMEOUT,
	HTTP_TOO_LARGE,
};

struct http_answer {
	enum http_outcome outcome;
	bool unsent;	    /* certainly nothing of the request was carried out */
	char sentence[256]; /* for a person, printable; "" for HTTP_ANSWERED */
	const char *body;
	size_t len;
	uint64_t took_ms;
};

/* -ENOMEM. */
int http_new(struct event_base *base, struct http **ret_http) _must_check_;
/* After all of its connections. */
struct http *http_free(struct http *h);
DEFINE_FREEP(struct http, http_free)

/* `config` is borrowed. -ENOMEM; -EINVAL: libcurl does not take a setting, with the sentence. */
int http_conn_new(struct http *h, const struct switch_config *config, struct http_conn **ret_conn,
		  struct err *e) _must_check_;
/* A request under way is dropped, without a call back. */
struct http_conn *http_conn_free(struct http_conn *c);
DEFINE_FREEP(struct http_conn, http_conn_free)

/* Sends `body` (copied), reads the password anew where it was refused. `done` is called once, from
 * the loop, and may begin the next request; what the answer points to is valid until it returns.
 * -EBUSY: one is under way; -EACCES: no password, with the sentence; -ENOMEM. */
int http_conn_post(struct http_conn *c, const char *body, size_t len,
		   void (*done)(const struct http_answer *a, void *arg), void *arg,
		   struct err *e) _must_check_;
