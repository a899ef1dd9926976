/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Shared by the files of src/control only: server.c listens and accepts, connection.c moves bytes
 * and owns the life of a client, call.c is what methods see, varlink.c finds the method. */

#include <event2/buffer.h>
#include <sys/stat.h>
#include "control/server.h"

#define VARLINK_SERVICE "org.varlink.service"

struct control_client;

/* The request in progress of a client. At most one at a time, so it lives inside the client. */
struct control_call {
	struct control_client *client;
	bool active; /* a request is in progress */
	bool done;   /* its final reply is out (or its client is lost); `gone` was not called yet */
	bool more, oneway;
	bool wanted;   /* a pump is due as soon as there is room */
	uint64_t sent; /* replies so far, to see whether a pump had anything to say */
	void (*pump)(struct control_call *c, void *data);
	void (*gone)(struct control_call *c, void *data);
	void *data;
};

struct control_client {
	struct control_server *server;
	struct control_client *next, *prev;
	int fd;
	uint64_t connection;
	uid_t uid;
	pid_t pid;
	bool admin;
	bool eof;	     /* the client has sent all it will ever send */
	bool closing;	     /* to be closed once everything is sent */
	bool dead;	     /* to be freed by the loop; never from inside a method */
	struct event *read;  /* edge-triggered: see connection.c */
	struct event *write; /* pending while there is something that the socket did not take */
	struct event *
		work; /* a timer of 0: one turn per iteration of the loop, at the lowest priority */
	struct event *idle;
	struct evbuffer *out;
	struct control_call call;
	size_t in_len;
	char in[CONTROL_REQUEST_MAX];
};

struct control_server {
	struct event_base *base;
	struct control_options options;
	char *path;
	char *interface_name; /* "io.flowpin" */
	int fd;
	struct stat socket; /* the file that we made, so that another one's is never removed */
	struct event *listen, *resume;
	struct control_client *clients;
	uint64_t connections; /* so far */
	struct control_server_stats stats;
};

/* server.c: event priorities: of requests the middle one, of streams the lowest. */
int server_request_priority(struct event_base *base);
int server_pump_priority(struct event_base *base);

/* connection.c */
/* Takes over fd, also on failure: -ENOMEM. The client is the server's. */
int client_new(struct control_server *s, int fd, uid_t uid, pid_t pid, bool admin,
	       struct control_client **ret_client);
/* Ends the call in progress (`gone` is called) and closes. */
void client_free(struct control_client *cl);
/* Marks a client as lost; the loop frees it, since whoever is running now may still hold its call.
 */
void client_fail(struct control_client *cl);
/* Has the loop give it a turn: a request that is there, a pump that is due. */
void client_schedule(struct control_client *cl);

/* call.c */
/* Replies with an error of any interface; `key` and `value` are its only parameter. Final. */
void call_error(struct control_call *c, const char *error, const char *key, const char *value);
/* A whole error message with its NUL. */
void message_error(struct strbuf *b, const char *error, const char *key, const char *value);

/* varlink.c */
/* Serves one message (len bytes without the NUL). -EBADMSG: not a call; the client is to be
 * disconnected. -ENOMEM. */
int varlink_serve(struct control_client *cl, const char *text, size_t len);
/* The name in an interface description's line "interface NAME"; the caller frees it. -EINVAL,
 * -ENOMEM. */
int varlink_interface_name(const char *description, char **ret_name);
