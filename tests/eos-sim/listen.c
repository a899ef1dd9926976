// SPDX-License-Identifier: GPL-2.0-or-later
/* Sockets, cookies and open connections of the endpoint. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "web.h"

#define SESSIONS_MAX	64
#define CONNECTIONS_MAX 1024

struct web {
	struct {
		char cookie[33];
		int64_t used;
	} sessions[SESSIONS_MAX];
	size_t next;
	int connections[CONNECTIONS_MAX];
	size_t n;
	int listening, most_listening;
};

struct web *web_new(void)
{
	return need(calloc(1, sizeof(struct web)));
}

static socklen_t parse_where(const char *where, struct sockaddr_storage *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	const char *colon = strrchr(where, ':');
	char host[NAME_SIZE];
	long port;

	memset(ret, 0, sizeof(*ret));
	if (*where == '/') {
		un->sun_family = AF_UNIX;
		set_text(un->sun_path, sizeof(un->sun_path), where);
		unlink(where);
		return sizeof(*un);
	}
	if (!colon || !parse_number(colon + 1, 0, 65535, &port) ||
	    colon - where >= (long)sizeof(host))
		return 0;
	set_text(host, (size_t)(colon - where) + 1, where);
	if (*host == '[') {
		host[strlen(host) - 1] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1 ? sizeof(*in6) : 0;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? sizeof(*in) : 0;
}

int listen_at(const char *where)
{
	struct sockaddr_storage address;
	socklen_t length = parse_where(where, &address);
	int fd, one = 1;

	if (!length) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (address.ss_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	}
	if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 128) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int listen_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
	    address.ss_family == AF_UNIX)
		return 0;
	return ntohs(
		((struct sockaddr_in *)&address)->sin_port); /* the same place in sockaddr_in6 */
}

bool web_session_good(struct sim *sim, const char *cookie)
{
	struct web *w = sim->web;

	for (size_t i = 0; cookie && *cookie && i < SESSIONS_MAX; i++) {
		if (strcmp(w->sessions[i].cookie, cookie) != 0)
			continue;
		if (clock_ms() - w->sessions[i].used > sim->knobs.session_timeout_ms)
			return false;
		w->sessions[i].used = clock_ms();
		return true;
	}
	return false;
}

void web_session_new(struct sim *sim, char ret_cookie[33])
{
	struct web *w = sim->web;
	size_t slot = w->next++ % SESSIONS_MAX;

	snprintf(ret_cookie, 33, "%016llx%016llx", (unsigned long long)random_next(&sim->random),
		 (unsigned long long)random_next(&sim->random));
	set_text(w->sessions[slot].cookie, sizeof(w->sessions[slot].cookie), ret_cookie);
	w->sessions[slot].used = clock_ms();
}

void web_session_end(struct sim *sim, const char *cookie)
{
	for (size_t i = 0; cookie && i < SESSIONS_MAX; i++) {
		if (strcmp(sim->web->sessions[i].cookie, cookie) == 0)
			*sim->web->sessions[i].cookie = '\0';
	}
}

void web_expire_sessions(struct sim *sim)
{
	memset(sim->web->sessions, 0, sizeof(sim->web->sessions));
}

void web_connection_add(struct sim *sim, int fd)
{
	if (sim->web->n < CONNECTIONS_MAX)
		sim->web->connections[sim->web->n++] = fd;
}

void web_connection_remove(struct sim *sim, int fd)
{
	struct web *w = sim->web;

	for (size_t i = 0; i < w->n; i++) {
		if (w->connections[i] == fd) {
			w->connections[i] = w->connections[--w->n];
			return;
		}
	}
}

void web_drop_connections(struct sim *sim)
{
	for (size_t i = 0; i < sim->web->n; i++)
		shutdown(sim->web->connections[i], SHUT_RDWR);
}

void web_listening(struct sim *sim, int change)
{
	struct web *w = sim->web;

	w->listening += change;
	if (w->listening > w->most_listening)
		w->most_listening = w->listening;
}

void web_settle(struct sim *sim)
{
	bool settled = false;

	for (int i = 0; i < 200 && !settled; i++) {
		pthread_mutex_lock(&sim->lock);
		settled = sim->web->listening ==
			  (clock_ms() < sim->down_until ? 0 : sim->web->most_listening);
		pthread_mutex_unlock(&sim->lock);
		if (!settled)
			sleep_ms(5);
	}
}
