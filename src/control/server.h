/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/strbuf.h"

/* A control socket: JSON in the varlink wire format (one object and a NUL per message) over a unix
 * stream socket, without ever blocking the daemon. What a method may be called by is in its row of
 * the method table. */

#define CONTROL_REQUEST_MAX (16 * 1024) /* bytes, NUL included */
#define CONTROL_DEPTH_MAX 8
/* A streaming call is not pumped above this many unsent bytes; a client that lets as many as the
 * cap pile up is disconnected. */
#define CONTROL_WRITE_HIGH (256 * 1024)
#define CONTROL_WRITE_CAP (4 * 1024 * 1024)

struct control_server;
/* One request in progress, valid until `gone` was called (see control_call_stream), and without
 * that until its final reply or until its method returned. What is said to it after the final
 * reply, or after its client was lost, is dropped without harm. No function of a call frees
 * anything or calls back: that is left to the loop. A call can only be kept beyond its method by
 * control_call_stream, for otherwise nobody learns that its client is gone. */
struct control_call;

enum control_access {
	CONTROL_READ,  /* whoever may connect */
	CONTROL_ADMIN, /* uid 0 and members of the admin group */
};

struct control_method {
	const char *name; /* with its interface: "io.flowpin.Status" */
	enum control_access access;
	bool more; /* may be called with "more" and answers in several messages */
	/* Answers now with control_reply/control_error, or keeps the call and answers later.
	 * `params` is borrowed, never NULL, an object; its strings hold no NUL, its numbers at most
	 * 18 digits. */
	void (*fn)(struct control_call *call, struct json_object *params, void *arg);
};

struct control_limits {
	uint32_t max_clients, max_clients_per_uid;
	uint32_t idle_timeout_ms; /* a client without a request in progress is closed after this */
};

struct control_options {
	const char *path;
	mode_t mode; /* 0660 */
	gid_t group; /* (gid_t)-1: left as it is */
	bool has_admin_group;
	gid_t admin_group;
	const struct control_method *methods; /* ends with a row without name; borrowed */
	const char *interface; /* the description that org.varlink.service serves; borrowed */
	const char *vendor, *product, *version;
	struct control_limits limits;
	bool own_is_admin; /* processes of our own uid may call what is CONTROL_ADMIN, too */
	/* Called when a connection is over (may be NULL), after `gone` of its call. */
	void (*closed)(uint64_t connection, void *arg);
	void *arg; /* handed to the methods */
};

/* Listens on options->path (a stale socket there is replaced; a live one is -EADDRINUSE, what is no
 * socket -EEXIST). Methods of org.varlink.service are served by itself. Streams are pumped at the
 * lowest event priority. The options are copied, what they point to is borrowed but the path.
 * -ENAMETOOLONG; -ENOTSUP: events are not edge-triggered; -EINVAL: `interface` names none; -ENOMEM;
 * errno of socket(2) to listen(2); with a sentence. Does not wait. */
int control_server_new(struct event_base *base, const struct control_options *options,
		       struct control_server **ret_server, struct err *e) _must_check_;
/* Disconnects everybody (`gone` is called for every call in progress) and removes the socket. Not
 * from inside a method. */
struct control_server *control_server_free(struct control_server *s);
DEFINE_FREEP(struct control_server, control_server_free)
/* From now on; who is connected stays. */
void control_server_limits_set(struct control_server *s, const struct control_limits *limits);
/* Who may change things from now on, also on connections that stand; NULL: uid 0 only. */
void control_server_admin_set(struct control_server *s, const gid_t *group);

struct control_server_stats {
	uint32_t clients;
	uint64_t requests, refused; /* refused: over a limit, malformed, without permission */
};
/* Counted since it was made; clients: those of now. */
void control_server_stats(const struct control_server *s, struct control_server_stats *ret_stats);

/* Who asks, by SO_PEERCRED when it connected. */
uid_t control_call_uid(const struct control_call *c);
pid_t control_call_pid(const struct control_call *c);
/* The number of its connection: each has another one, never 0. */
uint64_t control_call_connection(const struct control_call *c);
/* Whether the client wants several replies. */
bool control_call_more(const struct control_call *c);

/* The final reply; `params` (may be NULL for {}) is consumed. */
void control_reply(struct control_call *c, struct json_object *params);
/* The same from text that the caller made ("{...}"). */
void control_reply_text(struct control_call *c, const struct strbuf *params);
/* One of several replies ("continues": true). */
void control_continue(struct control_call *c, struct json_object *params);
void control_continue_text(struct control_call *c, const struct strbuf *params);
/* An error: name without the interface ("NotFound", see io.flowpin.varlink), and the sentence as
 * parameter `reason`. Final. */
void control_error(struct control_call *c, const char *name, const char *fmt, ...) _printf_(3, 4);
/* org.varlink.service.InvalidParameter. Final. */
void control_invalid_parameter(struct control_call *c, const char *parameter);

/* For answers in pieces: `pump` is called whenever the client has room (never recursively from a
 * method); it sends some pieces and returns; the last one it sends with control_reply. A pump that
 * had nothing to send is called again after control_call_wake, which it may call itself. `pump` may
 * be NULL where answers come from elsewhere. `gone` (may be NULL) is called exactly once when the
 * call is over, for whatever reason, and frees `data`; always from the loop or from
 * control_server_free. */
void control_call_stream(struct control_call *c, void (*pump)(struct control_call *c, void *data),
			 void (*gone)(struct control_call *c, void *data), void *data);
/* Ask for one more pump of a stream that had nothing to send (for monitors). */
void control_call_wake(struct control_call *c);
/* Unsent bytes of this client; CONTROL_WRITE_CAP when there is nobody left to read them. */
size_t control_call_pending(const struct control_call *c);
