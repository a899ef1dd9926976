// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/switches.h"

/* mirror.sock: records of flowpin-mirror. Who may connect is told by the file's mode, and asked for
 * once more. */

#define MIRROR_GROUP	 "flowpin-mirror"
#define CLIENTS_MAX	 8
#define WAITED_MAX_MS	 60000
#define PACKETS_PER_TURN 64
#define RECEIVE_BUFFER	 (4 * 1024 * 1024)

struct mirror_socket {
	struct daemon *d;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat made;
	int fd;
	bool has_group;
	gid_t group;
	struct event *ev, *resume;
	struct {
		int fd;
		struct event *ev;
		struct mirror_socket *socket;
	} clients[CLIENTS_MAX];
	struct log_limit limit;
};

union packet {
	struct mirror_header header;
	char bytes[sizeof(struct mirror_header) +
		   MIRROR_RECORDS_MAX * sizeof(struct mirror_record) + 1];
};

static void client_close(struct mirror_socket *s, size_t i)
{
	if (s->clients[i].ev)
		event_free(s->clients[i].ev);
	closep(&s->clients[i].fd);
	s->clients[i].ev = NULL;
	s->clients[i].fd = -1;
}

/* -EBADMSG: whoever sends this is not our flowpin-mirror. */
static int packet_read(struct mirror_socket *s, const union packet *p, size_t len, uint64_t now_ms)
{
	const char *payload = p->bytes + sizeof(p->header);
	struct switch_state *sw;

	if (len < sizeof(p->header) || p->header.magic != MIRROR_MAGIC ||
	    !memchr(p->header.switch_name, '\0', sizeof(p->header.switch_name)))
		return -EBADMSG;
	len -= sizeof(p->header);
	sw = switch_by_name(s->d, p->header.switch_name);
	if (p->header.kind == MIRROR_KIND_COUNTERS && len == sizeof(struct mirror_counters)) {
		if (sw && sw->mirror) {
			memcpy(&sw->mirror->counters, payload, len);
			sw->mirror->counters_ms = now_ms;
		}
		return 0;
	}
	if (p->header.kind != MIRROR_KIND_FLOWS || p->header.count > MIRROR_RECORDS_MAX ||
	    len != p->header.count * sizeof(struct mirror_record))
		return -EBADMSG;
	/* What says that it comes from the future, or from long ago, comes from now. */
	if (p->header.taken_ms <= now_ms && now_ms - p->header.taken_ms <= WAITED_MAX_MS)
		now_ms = p->header.taken_ms;
	for (size_t i = 0; sw && sw->mirror && i < p->header.count; i++) {
		struct mirror_record r;

		memcpy(&r, payload + i * sizeof(r), sizeof(r));
		mirror_record(sw->mirror, &r, now_ms);
	}
	return 0;
}

static void on_client(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct mirror_socket *s = arg;
	uint64_t now = clock_now_ms();
	union packet p;
	size_t i = 0;
	uint32_t dropped;

	while (i < CLIENTS_MAX && s->clients[i].fd != fd)
		i++;
	if (i == CLIENTS_MAX)
		return;
	for (int k = 0; k < PACKETS_PER_TURN; k++) {
		ssize_t n = recv(fd, &p, sizeof(p), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n > 0 && packet_read(s, &p, (size_t)n, now) == 0)
			continue;
		if (n > 0 && log_limit_pass(&s->limit, now, &dropped))
			log_warning("mirror.sock: a packet that is none; disconnected");
		client_close(s, i);
		break;
	}
	entry_writes_flush(s->d);
}

static bool may_connect(const struct mirror_socket *s, int fd)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	gid_t groups[64];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	if (cred.uid == 0 || cred.uid == geteuid() || (s->has_group && cred.gid == s->group))
		return true;
	len = sizeof(groups);
	if (!s->has_group || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == s->group)
			return true;
	return false;
}

static void on_listen(evutil_socket_t listener, short what _unused_, void *arg)
{
	_cleanup_(closep) int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct mirror_socket *s = arg;
	const struct timeval second = { .tv_sec = 1 };
	int size = RECEIVE_BUFFER;
	size_t i = 0;

	/* Without descriptors or memory it stays in the queue: look again later, not at once. */
	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		event_del(s->ev);
		evtimer_add(s->resume, &second);
	}
	if (fd < 0 || !may_connect(s, fd))
		return;
	while (i < CLIENTS_MAX && s->clients[i].fd >= 0)
		i++;
	if (i == CLIENTS_MAX)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	s->clients[i].ev = event_new(s->d->base, fd, EV_READ | EV_PERSIST, on_client, s);
	if (!s->clients[i].ev)
		return;
	event_priority_set(s->clients[i].ev, PRIORITY_STREAM);
	event_add(s->clients[i].ev, NULL);
	s->clients[i].fd = TAKE_FD(fd);
}

static void on_resume(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	mirror_socket_listen(arg);
}

static int socket_bind(struct mirror_socket *s, const struct sockaddr_un *sun, struct err *e)
{
	struct stat st;

	/* One flowpind runs in a namespace: what stands there is from an earlier one. */
	if (lstat(s->path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(e, -EEXIST, "%s is there and is no socket", s->path);
		unlink(s->path);
	}
	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || fchmod(s->fd, 0600) < 0 ||
	    bind(s->fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ||
	    lstat(s->path, &s->made) < 0)
		return err_set(e, -errno, "cannot make the socket %s: %s", s->path,
			       strerror(errno));
	if (s->has_group && (lchown(s->path, (uid_t)-1, s->group) < 0 || chmod(s->path, 0660) < 0))
		log_warning("cannot give %s to group " MIRROR_GROUP
			    ": %s; only root and flowpind's own user may use it",
			    s->path, strerror(errno));
	if (listen(s->fd, 8) < 0)
		return err_set(e, -errno, "cannot listen on %s: %s", s->path, strerror(errno));
	return 0;
}

static inline void socket_freep(struct mirror_socket **s)
{
	*s = mirror_socket_free(*s);
}

int mirror_socket_new(struct daemon *d, const char *path, struct mirror_socket **ret_socket,
		      struct err *e)
{
	_cleanup_(socket_freep) struct mirror_socket *s = calloc(1, sizeof(*s));
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct group *group = getgrnam(MIRROR_GROUP);
	size_t len = strlen(path);
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->fd = -1;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		s->clients[i].fd = -1;
	s->d = d;
	s->limit = (struct log_limit){ .interval_ms = 60000, .burst = 1 };
	s->has_group = group != NULL;
	s->group = group ? group->gr_gid : 0;
	if (len >= sizeof(s->path))
		return err_set(e, -ENAMETOOLONG, "the path %s is too long for a socket", path);
	memcpy(s->path, path, len + 1);
	memcpy(sun.sun_path, path, len + 1);
	r = socket_bind(s, &sun, e);
	if (r < 0)
		return r;
	s->ev = event_new(d->base, s->fd, EV_READ | EV_PERSIST, on_listen, s);
	s->resume = evtimer_new(d->base, on_resume, s);
	if (!s->ev || !s->resume)
		return err_set(e, -ENOMEM, "out of memory");
	*ret_socket = TAKE_PTR(s);
	return 0;
}

void mirror_socket_listen(struct mirror_socket *s)
{
	if (!event_pending(s->ev, EV_READ, NULL))
		event_add(s->ev, NULL);
}

struct mirror_socket *mirror_socket_free(struct mirror_socket *s)
{
	struct stat st;

	if (!s)
		return NULL;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		client_close(s, i);
	if (s->ev)
		event_free(s->ev);
	if (s->resume)
		event_free(s->resume);
	if (s->made.st_ino && lstat(s->path, &st) == 0 && st.st_ino == s->made.st_ino &&
	    st.st_dev == s->made.st_dev)
		unlink(s->path);
	closep(&s->fd);
	free(s);
	return NULL;
}
