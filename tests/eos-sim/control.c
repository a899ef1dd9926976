// SPDX-License-Identifier: GPL-2.0-or-later
#include "control.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reply.h"
#include "web.h"

struct control {
	struct MHD_Daemon *daemon;
	char *path; /* of a Unix socket */
};

struct upload {
	char *data;
	size_t size;
};

/* One operation, or each of a list. */
static struct json_object *operate_all(struct sim *sim, struct json_object *o)
{
	struct json_object *all;

	if (!json_object_is_type(o, json_type_array))
		return control_operate(sim, o);
	all = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(o); i++)
		json_object_array_add(all, control_operate(sim, json_object_array_get_idx(o, i)));
	return all;
}

static enum MHD_Result answer(struct sim *sim, struct MHD_Connection *connection, const char *url,
			      const char *method, const struct upload *u)
{
	struct json_object *o = NULL, *reply;
	enum MHD_Result result;

	if (strcmp(method, "POST") == 0 && strcmp(url, "/sim") == 0)
		o = u->data ? json_tokener_parse(u->data) : NULL;
	else if (strcmp(method, "GET") == 0) {
		o = json_object_new_object();
		json_put_text(o, "op", url + 1);
	}
	reply = o ? operate_all(sim, o) : NULL;
	json_object_put(o);
	if (!reply)
		return reply_text(connection, 400, "text/plain",
				  "POST /sim with JSON, or GET /state /knobs /journal /faults\n",
				  NULL, NULL);
	result = reply_text(connection, 200, "application/json",
			    json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN), NULL,
			    NULL);
	json_object_put(reply);
	return result;
}

static enum MHD_Result on_request(void *p, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **context)
{
	struct upload *u = *context;

	(void)version;
	if (!u) {
		*context = need(calloc(1, sizeof(*u)));
		return MHD_YES;
	}
	if (*size == 0)
		return answer(p, connection, url, method, u);
	u->data = need(realloc(u->data, u->size + *size + 1));
	memcpy(u->data + u->size, data, *size);
	u->size += *size;
	u->data[u->size] = '\0';
	*size = 0;
	return MHD_YES;
}

static void upload_ends(void *p, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode why)
{
	struct upload *u = *context;

	(void)p;
	(void)connection;
	(void)why;
	if (u)
		free(u->data);
	free(u);
	*context = NULL;
}

struct control *control_start(struct sim *sim, const char *where)
{
	struct control *c = need(calloc(1, sizeof(*c)));
	int fd = listen_at(where);

	if (fd >= 0)
		c->daemon = MHD_start_daemon(
			MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL,
			NULL, on_request, sim, MHD_OPTION_LISTEN_SOCKET, fd,
			MHD_OPTION_NOTIFY_COMPLETED, upload_ends, NULL, MHD_OPTION_END);
	if (!c->daemon) {
		fprintf(stderr, "eos-sim: %s: %s\n", where, strerror(errno));
		free(c);
		return NULL;
	}
	if (*where == '/') {
		c->path = copy_text(where);
		printf("control %s\n", where);
	} else {
		printf("control %.*s:%d\n", (int)(strrchr(where, ':') - where), where,
		       listen_port(fd));
	}
	return c;
}

void control_stop(struct control *c)
{
	if (!c)
		return;
	MHD_stop_daemon(c->daemon);
	if (c->path)
		unlink(c->path);
	free(c->path);
	free(c);
}
