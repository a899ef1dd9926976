// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "control/internal.h"

#define LISTEN_BACKLOG 128
#define ACCEPT_BUDGET 16 /* connections per turn of the loop */
#define GROUPS_MAX 65536 /* the kernel's own limit (NGROUPS_MAX) */

int server_request_priority(struct event_base *base)
{
	return event_base_get_npriorities(base) / 2;
}

int server_pump_priority(struct event_base *base)
{
	return event_base_get_npriorities(base) - 1;
}

/* Whether the peer of a connected socket is in the group, by its primary or a supplementary one. */
static bool peer_in_group(int fd, const struct ucred *cred, gid_t group)
{
	socklen_t len = 64 * sizeof(gid_t);
	_cleanup_(freep) gid_t *groups = NULL;

	if (cred->gid == group)
		return true;
	/* Too little room is answered with the room that it takes. */
	for (int i = 0; i < 2 && len <= GROUPS_MAX * sizeof(gid_t); i++) {
		free(groups);
		groups = malloc(len);
		if (!groups)
			return false;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
			for (size_t k = 0; k < len / sizeof(gid_t); k++)
				if (groups[k] == group)
					return true;
			return false;
		}
		if (errno != ERANGE)
			return false;
	}
	return false;
}

static bool peer_is_admin(const struct control_server *s, int fd, const struct ucred *cred)
{
	return cred->uid == 0 || (s->options.own_is_admin && cred->uid == geteuid()) ||
	       (s->options.has_admin_group && peer_in_group(fd, cred, s->options.admin_group));
}

static const char *server_refusal(const struct control_server *s, uid_t uid)
{
	const struct control_limits *l = &s->options.limits;
	uint32_t same = 0;

	if (s->stats.clients >= l->max_clients)
		return "too many clients";
	for (const struct control_client *cl = s->clients; cl; cl = cl->next)
		if (cl->uid == uid)
			same++;
	return same >= l->max_clients_per_uid ? "too many clients of this user" : NULL;
}

/* Tells a client that there is no room for it, as far as that goes without waiting. */
static void server_refuse(struct control_server *s, int fd, const char *reason)
{
	_cleanup_(strbuf_free) struct strbuf name = { 0 }, b = { 0 };

	s->stats.refused++;
	strbuf_addf(&name, "%s.Busy", s->interface_name);
	if (!name.failed)
		message_error(&b, name.data, "reason", reason);
	if (b.data && !b.failed)
		(void)send(fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void server_admit(struct control_server *s, int fd)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	struct control_client *cl;
	const char *refusal;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		s->stats.refused++;
		close(fd);
		return;
	}
	refusal = server_refusal(s, cred.uid);
	if (refusal) {
		server_refuse(s, fd, refusal);
		return;
	}
	if (client_new(s, fd, cred.uid, cred.pid, peer_is_admin(s, fd, &cred), &cl) < 0)
		s->stats.refused++;
}

static void on_listen(evutil_socket_t fd, short what _unused_, void *arg)
{
	const struct timeval second = { 1, 0 };
	struct control_server *s = arg;

	for (int i = 0; i < ACCEPT_BUDGET; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			server_admit(s, client);
			continue;
		}
		/* Without descriptors or memory the connection stays in the queue: look again
		 * later, not at once. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			event_del(s->listen);
			evtimer_add(s->resume, &second);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void on_resume(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct control_server *s = arg;

	event_add(s->listen, NULL);
}

/* Makes way at `path`: nothing there, or a socket that nobody listens on any more, which is
 * removed. */
static int stale_remove(const struct sockaddr_un *sun, struct err *e)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0
				       : err_set(e, -errno, "cannot look at %s: %s", sun->sun_path,
						 strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "%s is there and is no socket", sun->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	/* EAGAIN: somebody listens and has a full queue. */
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno == EAGAIN)
		return err_set(e, -EADDRINUSE, "another process is listening on %s", sun->sun_path);
	if (errno != ECONNREFUSED)
		return err_set(e, -errno, "cannot probe %s: %s", sun->sun_path, strerror(errno));
	if (unlink(sun->sun_path) < 0 && errno != ENOENT)
		return err_set(e, -errno, "cannot remove the stale socket %s: %s", sun->sun_path,
			       strerror(errno));
	return 0;
}

/* Nobody can connect before listen(), and that comes last: mode and owner are right from the first
 * moment on. */
static int server_listen(struct control_server *s, struct err *e)
{
	const struct control_options *o = &s->options;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int r;

	if (strlen(s->path) >= sizeof(sun.sun_path))
		return err_set(e, -ENAMETOOLONG, "the socket path %s is longer than %zu bytes",
			       s->path, sizeof(sun.sun_path) - 1);
	memcpy(sun.sun_path, s->path, strlen(s->path) + 1);
	r = stale_remove(&sun, e);
	if (r < 0)
		return r;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	/* The file is made with the mode of the descriptor, less the umask. */
	if (fchmod(s->fd, 0600) < 0 || bind(s->fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0)
		return err_set(e, -errno, "cannot make the socket %s: %s", s->path,
			       strerror(errno));
	if (lstat(s->path, &s->socket) < 0)
		return err_set(e, -errno, "cannot look at %s: %s", s->path, strerror(errno));
	if (o->group != (gid_t)-1 && lchown(s->path, (uid_t)-1, o->group) < 0)
		return err_set(e, -errno, "cannot give %s to group %u: %s", s->path, o->group,
			       strerror(errno));
	if (chmod(s->path, o->mode) < 0 || listen(s->fd, LISTEN_BACKLOG) < 0)
		return err_set(e, -errno, "cannot listen on %s: %s", s->path, strerror(errno));
	return 0;
}

int control_server_new(struct event_base *base, const struct control_options *options,
		       struct control_server **ret_server, struct err *e)
{
	_cleanup_(control_server_freep) struct control_server *s = NULL;
	int r;

	if (!(event_base_get_features(base) & EV_FEATURE_ET))
		return err_set(e, -ENOTSUP, "the event loop has no edge-triggered events");
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "no memory");
	s->base = base;
	s->options = *options;
	s->fd = -1;
	s->path = strdup(options->path);
	if (!s->path)
		return err_set(e, -ENOMEM, "no memory");
	s->options.path = s->path;
	r = varlink_interface_name(options->interface, &s->interface_name);
	if (r < 0)
		return err_set(e, r, "the interface description names no interface");
	r = server_listen(s, e);
	if (r < 0)
		return r;
	s->listen = event_new(base, s->fd, EV_READ | EV_PERSIST, on_listen, s);
	s->resume = evtimer_new(base, on_resume, s);
	if (!s->listen || !s->resume ||
	    event_priority_set(s->listen, server_request_priority(base)) < 0 ||
	    event_add(s->listen, NULL) < 0)
		return err_set(e, -ENOMEM, "no memory");
	*ret_server = TAKE_PTR(s);
	return 0;
}

static void socket_remove(const struct control_server *s)
{
	struct stat st;

	if (s->socket.st_ino && lstat(s->path, &st) == 0 && st.st_ino == s->socket.st_ino &&
	    st.st_dev == s->socket.st_dev)
		unlink(s->path);
}

struct control_server *control_server_free(struct control_server *s)
{
	if (!s)
		return NULL;
	while (s->clients)
		client_free(s->clients);
	if (s->listen)
		event_free(s->listen);
	if (s->resume)
		event_free(s->resume);
	socket_remove(s);
	if (s->fd >= 0)
		close(s->fd);
	free(s->interface_name);
	free(s->path);
	free(s);
	return NULL;
}

void control_server_limits_set(struct control_server *s, const struct control_limits *limits)
{
	s->options.limits = *limits;
}

void control_server_admin_set(struct control_server *s, const gid_t *group)
{
	s->options.has_admin_group = group != NULL;
	s->options.admin_group = group ? *group : 0;
	for (struct control_client *cl = s->clients; cl; cl = cl->next) {
		struct ucred cred = { 0 };
		socklen_t len = sizeof(cred);

		cl->admin = getsockopt(cl->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
			    peer_is_admin(s, cl->fd, &cred);
	}
}

void control_server_stats(const struct control_server *s, struct control_server_stats *ret_stats)
{
	*ret_stats = s->stats;
}
