// SPDX-License-Identifier: GPL-2.0-or-later
#include "web.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reply.h"
#include "rpc.h"

struct web_listener {
	struct sim *sim;
	struct MHD_Daemon *daemon;
	pthread_t thread;
	char *where;
	bool tls, stop;
	int fd, port;
};

/* One request: what was uploaded so far. */
struct upload {
	char *data;
	size_t size;
};

static int connection_fd(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info ? info->connect_fd : -1;
}

static void connection_changes(void *p, struct MHD_Connection *connection, void **context,
			       enum MHD_ConnectionNotificationCode what)
{
	struct sim *sim = p;

	(void)context;
	pthread_mutex_lock(&sim->lock);
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		web_connection_add(sim, connection_fd(connection));
	else
		web_connection_remove(sim, connection_fd(connection));
	pthread_mutex_unlock(&sim->lock);
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

static enum MHD_Result unauthorized(struct sim *sim, struct MHD_Connection *connection)
{
	pthread_mutex_lock(&sim->lock);
	sim->counters.unauthorized++;
	pthread_mutex_unlock(&sim->lock);
	return reply_text(connection, 401, "text/plain",
			  "Unable to authenticate user: Bad username/password combination",
			  "WWW-Authenticate", "Basic realm=\"COMMAND_API_AUTH\"");
}

static bool password_good(struct sim *sim, const char *user, const char *password)
{
	bool good;

	sleep_ms(sim->knobs.aaa_ms);
	pthread_mutex_lock(&sim->lock);
	good = user && password && strcmp(user, sim->knobs.user) == 0 &&
	       strcmp(password, sim->knobs.password) == 0;
	sim->counters.logins += good;
	sim->counters.logins_refused += !good;
	pthread_mutex_unlock(&sim->lock);
	return good;
}

static bool authorized(struct sim *sim, struct MHD_Connection *connection)
{
	const char *cookie = MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, "Session");
	char *password = NULL, *user;
	bool good;

	if (!sim->knobs.auth)
		return true;
	pthread_mutex_lock(&sim->lock);
	good = web_session_good(sim, cookie);
	pthread_mutex_unlock(&sim->lock);
	if (good)
		return true;
	user = MHD_basic_auth_get_username_password(connection, &password);
	good = user && password_good(sim, user, password);
	MHD_free(user);
	MHD_free(password);
	return good;
}

static enum MHD_Result handle_login(struct sim *sim, struct MHD_Connection *connection,
				    const struct upload *u)
{
	struct json_object *o = u->data ? json_tokener_parse(u->data) : NULL;
	char cookie[33], header[96];
	bool good =
		password_good(sim, json_text(o, "username", NULL), json_text(o, "password", NULL));

	json_object_put(o);
	if (!good)
		return unauthorized(sim, connection);
	pthread_mutex_lock(&sim->lock);
	web_session_new(sim, cookie);
	pthread_mutex_unlock(&sim->lock);
	snprintf(header, sizeof(header), "Session=%s; Path=/; HttpOnly", cookie);
	return reply_text(connection, 200, "application/json", "{\"message\":\"Login successful\"}",
			  "Set-Cookie", header);
}

static enum MHD_Result handle_logout(struct sim *sim, struct MHD_Connection *connection)
{
	pthread_mutex_lock(&sim->lock);
	web_session_end(sim, MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, "Session"));
	pthread_mutex_unlock(&sim->lock);
	return reply_text(connection, 200, "application/json", "{\"message\":\"Logged out\"}", NULL,
			  NULL);
}

static enum MHD_Result handle_commands(struct sim *sim, struct MHD_Connection *connection,
				       const struct upload *u)
{
	struct json_object *request = u->data ? json_tokener_parse(u->data) : NULL,
			   *cmds = rpc_commands(request);
	struct fault fault = { .kind = FAULT_KINDS };
	enum MHD_Result result;

	pthread_mutex_lock(&sim->lock);
	sim->counters.requests++;
	if (cmds && fault_take(&sim->faults, cmds, rpc_writes(cmds), &fault))
		sim->counters.faults++;
	pthread_mutex_unlock(&sim->lock);
	sleep_ms(sim->knobs.request_ms);
	result = reply_to_commands(sim, connection, connection_fd(connection), request, &fault);
	json_object_put(request);
	return result;
}

static enum MHD_Result dispatch(struct sim *sim, struct MHD_Connection *connection, const char *url,
				const char *method, const struct upload *u)
{
	bool post = strcmp(method, "POST") == 0;
	long most = sim->knobs.max_request_bytes;

	if (most && u->size > (size_t)most)
		return reply_text(connection, 413, "text/html",
				  REPLY_HTML("413 Request Entity Too Large"), NULL, NULL);
	if (post && strcmp(url, "/login") == 0 && sim->knobs.login)
		return handle_login(sim, connection, u);
	if (post && strcmp(url, "/logout") == 0 && sim->knobs.login)
		return handle_logout(sim, connection);
	if (strcmp(url, "/command-api") != 0)
		return reply_text(connection, 404, "text/html", REPLY_HTML("404 Not Found"), NULL,
				  NULL);
	if (!authorized(sim, connection))
		return unauthorized(sim, connection);
	if (strcmp(method, "HEAD") == 0)
		return reply_text(connection, 200, "application/json", "", NULL, NULL);
	if (!post)
		return reply_text(connection, 405, "text/html", REPLY_HTML("405 Not Allowed"), NULL,
				  NULL);
	return handle_commands(sim, connection, u);
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
	if (*size > 0) {
		u->data = need(realloc(u->data, u->size + *size + 1));
		memcpy(u->data + u->size, data, *size);
		u->size += *size;
		u->data[u->size] = '\0';
		*size = 0;
		return MHD_YES;
	}
	return dispatch(p, connection, url, method, u);
}

/* What the faults do with a connection that was just accepted. True: it is gone. */
static bool refuse_connection(struct web_listener *w, int fd)
{
	struct linger linger = { 1, 0 };
	struct fault fault;
	char scratch[512];
	bool hit;

	pthread_mutex_lock(&w->sim->lock);
	w->sim->counters.connections++;
	hit = fault_take(&w->sim->faults, NULL, false, &fault);
	w->sim->counters.refused += hit;
	pthread_mutex_unlock(&w->sim->lock);
	if (!hit)
		return false;
	if (fault.kind == FAULT_TLS) {
		struct pollfd p = { fd, POLLIN, 0 };

		poll(&p, 1, 1000);
		recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT);
		send(fd, "this is no TLS\r\n\r\n", 18, MSG_NOSIGNAL);
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
	return true;
}

/* Accepts, and has no socket at all while the switch is down: then connections are refused by the
 * kernel. */
static void *accept_loop(void *p)
{
	struct web_listener *w = p;

	while (!w->stop) {
		pthread_mutex_lock(&w->sim->lock);
		bool down = clock_ms() < w->sim->down_until;

		if (down && w->fd >= 0) {
			close(w->fd);
			w->fd = -1;
			web_listening(w->sim, -1);
			web_drop_connections(w->sim);
		}
		if (!down && w->fd < 0) {
			w->fd = listen_at(w->where);
			web_listening(w->sim, w->fd >= 0);
		}
		pthread_mutex_unlock(&w->sim->lock);

		struct pollfd poll_fd = { w->fd, POLLIN, 0 };

		if (w->fd < 0 || poll(&poll_fd, 1, 10) <= 0) {
			sleep_ms(w->fd < 0 ? 10 : 0);
			continue;
		}
		struct sockaddr_storage address;
		socklen_t length = sizeof(address);
		int fd = accept4(w->fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);

		if (fd >= 0 && !refuse_connection(w, fd))
			MHD_add_connection(w->daemon, fd, (struct sockaddr *)&address, length);
	}
	return NULL;
}

static struct MHD_Daemon *start_daemon(struct sim *sim, const char *certificate, const char *key)
{
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
			 MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | (certificate ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)certificate },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key },
		{ MHD_OPTION_END, 0, NULL },
	};

	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, sim, MHD_OPTION_NOTIFY_COMPLETED,
				upload_ends, NULL, MHD_OPTION_NOTIFY_CONNECTION, connection_changes,
				sim, MHD_OPTION_ARRAY, certificate ? tls : &tls[2], MHD_OPTION_END);
}

struct web_listener *web_start(struct sim *sim, const char *where, const char *certificate,
			       const char *key)
{
	struct web_listener *w = need(calloc(1, sizeof(*w)));
	const char *colon = strrchr(where, ':');

	w->sim = sim;
	w->tls = certificate != NULL;
	w->fd = listen_at(where);
	w->daemon = w->fd >= 0 ? start_daemon(sim, certificate, key) : NULL;
	if (!w->daemon) {
		fprintf(stderr, "eos-sim: %s: %s\n", where,
			w->fd < 0 ? strerror(errno) : "cannot start libmicrohttpd (certificate?)");
		if (w->fd >= 0)
			close(w->fd);
		free(w);
		return NULL;
	}
	w->port = listen_port(w->fd);
	w->where = format_text("%.*s:%d", (int)(colon - where), where, w->port);
	printf("%s %s\n", w->tls ? "https" : "http", w->where);
	pthread_mutex_lock(&sim->lock);
	web_listening(sim, 1);
	pthread_mutex_unlock(&sim->lock);
	pthread_create(&w->thread, NULL, accept_loop, w);
	return w;
}

void web_stop(struct web_listener *w)
{
	if (!w)
		return;
	w->stop = true;
	pthread_join(w->thread, NULL);
	pthread_mutex_lock(&w->sim->lock);
	fault_clear(&w->sim->faults);
	web_drop_connections(w->sim);
	pthread_mutex_unlock(&w->sim->lock);
	MHD_stop_daemon(w->daemon);
	if (w->fd >= 0)
		close(w->fd);
	free(w->where);
	free(w);
}
