/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include "base/strbuf.h"
#include "eapi/json.h"

/* One connection to a varlink server on a unix socket, on the event loop. One call at a time. */

#define VARLINK_MESSAGE_MAX (1024 * 1024)

struct varlink;

struct varlink_reply {
	const char *error;	    /* NULL: none; the name of the error with its interface */
	struct json_object *params; /* borrowed, may be NULL */
	bool continues;
};

struct varlink_callbacks {
	void (*reply)(const struct varlink_reply *r, void *arg);
	void (*lost)(void *arg); /* once; nothing more is called after it */
	void *arg;
};

/* Connects (a unix socket connects at once). What connect(2) gives, -ENOMEM. */
int varlink_connect(struct event_base *base, const char *path,
		    const struct varlink_callbacks *callbacks,
		    struct varlink **ret_varlink) _must_check_;
/* May be called from a callback. */
struct varlink *varlink_free(struct varlink *v);
/* Begins a call; `params` is "{...}". -EBUSY: one is in progress; -ENOMEM. */
int varlink_call(struct varlink *v, const char *method, const struct strbuf *params,
		 bool more) _must_check_;
