// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "control/internal.h"

/* How a client is watched. Reading stops while a request is in progress, yet a client that goes
 * away must be noticed, also one that leaves unread replies behind (the kernel then reports an
 * error, which a watch for hang-ups alone would turn into a busy loop). So the read event is
 * edge-triggered and stands all the time: during a call its edge only asks whether the peer is
 * still there; after a call the next turn reads the socket until it is empty, whether an edge came
 * or not. */

#define FLUSH_PIECES 16

static const struct timeval now_tv = { 0, 0 };

static struct event *event_freep_done(struct event *e)
{
	if (e)
		event_free(e);
	return NULL;
}

void client_schedule(struct control_client *cl)
{
	/* Not event_active(): an event that activates itself keeps the loop from ever polling
	 * again. */
	if (!evtimer_pending(cl->work, NULL))
		evtimer_add(cl->work, &now_tv);
}

void client_fail(struct control_client *cl)
{
	cl->dead = true;
	client_schedule(cl);
}

/* Hands to the kernel what it takes now, the rest as it becomes writable. Never blocks; a peer that
 * is gone fails the client. */
static void flush(struct control_client *cl)
{
	struct evbuffer_iovec iov[FLUSH_PIECES];

	while (!cl->dead && evbuffer_get_length(cl->out) > 0) {
		struct msghdr m = { 0 };
		ssize_t n;
		int k;

		k = evbuffer_peek(cl->out, -1, NULL, iov, FLUSH_PIECES);
		m.msg_iov = iov;
		m.msg_iovlen = (size_t)(k < FLUSH_PIECES ? k : FLUSH_PIECES);
		n = sendmsg(cl->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			client_fail(cl);
		if (n < 0)
			break;
		evbuffer_drain(cl->out, (size_t)n);
	}
	if (!cl->dead && evbuffer_get_length(cl->out) > 0)
		event_add(cl->write, NULL);
	else
		event_del(cl->write);
}

/* Begins to count against a client that asks nothing. Not restarted by a request that comes in byte
 * by byte. */
static void client_idle_begin(struct control_client *cl)
{
	uint32_t ms = cl->server->options.limits.idle_timeout_ms;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (ms > 0)
		evtimer_add(cl->idle, &tv);
}

static void call_end(struct control_call *c)
{
	if (c->gone)
		c->gone(c, c->data);
	*c = (struct control_call){ .client = c->client };
}

/* Reads until a message is complete, the buffer is full or the socket is empty. */
static void client_fill(struct control_client *cl)
{
	while (!cl->eof && !cl->dead && !memchr(cl->in, '\0', cl->in_len)) {
		ssize_t n;

		if (cl->in_len == sizeof(cl->in)) {
			cl->server->stats.refused++;
			client_fail(cl);
			return;
		}
		n = recv(cl->fd, cl->in + cl->in_len, sizeof(cl->in) - cl->in_len, MSG_DONTWAIT);
		if (n > 0)
			cl->in_len += (size_t)n;
		else if (n == 0)
			cl->eof = true;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			client_fail(cl);
	}
}

/* Serves the next request, if one is complete. At most one: others have their turn first. */
static void client_request(struct control_client *cl)
{
	const char *end;
	size_t len;
	int r;

	client_fill(cl);
	if (cl->dead)
		return;
	end = memchr(cl->in, '\0', cl->in_len);
	if (!end) {
		cl->closing = cl->eof;
		return;
	}
	len = (size_t)(end - cl->in);
	evtimer_del(cl->idle);
	cl->server->stats.requests++;
	r = varlink_serve(cl, cl->in, len);
	if (r == -EBADMSG)
		cl->server->stats.refused++;
	if (r < 0)
		client_fail(cl);
	cl->in_len -= len + 1;
	memmove(cl->in, end + 1, cl->in_len);
}

/* What follows from whatever happened to the client. It may be gone afterwards. */
static void client_settle(struct control_client *cl)
{
	flush(cl);
	if (!cl->dead && cl->call.active && cl->call.done) {
		call_end(&cl->call);
		client_idle_begin(cl);
		client_schedule(cl);
	}
	if (cl->dead || (cl->closing && !cl->call.active && evbuffer_get_length(cl->out) == 0))
		client_free(cl);
}

static bool client_has_room(const struct control_client *cl)
{
	return evbuffer_get_length(cl->out) < CONTROL_WRITE_HIGH;
}

static void client_pump(struct control_client *cl)
{
	struct control_call *c = &cl->call;
	uint64_t before = c->sent;

	if (!c->pump || !c->wanted || c->done || !client_has_room(cl))
		return;
	c->wanted = false;
	c->pump(c, c->data);
	if (c->sent != before)
		c->wanted = true;
	if (c->wanted)
		client_schedule(cl);
}

/* One turn of a client: a piece of its stream, or its next request. */
static void on_work(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct control_client *cl = arg;

	if (cl->dead)
		client_free(cl);
	else {
		if (cl->call.active)
			client_pump(cl);
		else
			client_request(cl);
		client_settle(cl);
	}
}

static bool peer_is_gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void on_read(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct control_client *cl = arg;

	if (!cl->call.active)
		client_request(cl);
	else if (peer_is_gone(fd))
		client_fail(cl);
	client_settle(cl);
}

static void on_write(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct control_client *cl = arg;

	flush(cl);
	if (cl->call.wanted && client_has_room(cl))
		client_schedule(cl);
	client_settle(cl);
}

static void on_idle(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct control_client *cl = arg;

	if (!cl->call.active)
		client_free(cl);
}

static int client_events_new(struct control_client *cl)
{
	struct event_base *base = cl->server->base;

	cl->read = event_new(base, cl->fd, EV_READ | EV_PERSIST | EV_ET, on_read, cl);
	cl->write = event_new(base, cl->fd, EV_WRITE | EV_PERSIST | EV_ET, on_write, cl);
	cl->work = evtimer_new(base, on_work, cl);
	cl->idle = evtimer_new(base, on_idle, cl);
	cl->out = evbuffer_new();
	if (!cl->read || !cl->write || !cl->work || !cl->idle || !cl->out)
		return -ENOMEM;
	event_priority_set(cl->read, server_request_priority(base));
	event_priority_set(cl->write, server_pump_priority(base));
	event_priority_set(cl->work, server_pump_priority(base));
	return event_add(cl->read, NULL) < 0 ? -ENOMEM : 0;
}

int client_new(struct control_server *s, int fd, uid_t uid, pid_t pid, bool admin,
	       struct control_client **ret_client)
{
	struct control_client *cl = malloc(sizeof(*cl));

	if (!cl) {
		close(fd);
		return -ENOMEM;
	}
	/* Without its input buffer, whose pages are touched only as they fill. */
	memset(cl, 0, offsetof(struct control_client, in));
	cl->server = s;
	cl->fd = fd;
	cl->connection = ++s->connections;
	cl->uid = uid;
	cl->pid = pid;
	cl->admin = admin;
	cl->call.client = cl;
	cl->next = s->clients;
	if (cl->next)
		cl->next->prev = cl;
	s->clients = cl;
	s->stats.clients++;
	if (client_events_new(cl) < 0) {
		client_free(cl);
		return -ENOMEM;
	}
	client_idle_begin(cl);
	*ret_client = cl;
	return 0;
}

void client_free(struct control_client *cl)
{
	cl->dead = true;
	if (cl->call.active)
		call_end(&cl->call);
	if (cl->server->options.closed)
		cl->server->options.closed(cl->connection, cl->server->options.arg);
	if (cl->prev)
		cl->prev->next = cl->next;
	else
		cl->server->clients = cl->next;
	if (cl->next)
		cl->next->prev = cl->prev;
	cl->server->stats.clients--;
	cl->read = event_freep_done(cl->read);
	cl->write = event_freep_done(cl->write);
	cl->work = event_freep_done(cl->work);
	cl->idle = event_freep_done(cl->idle);
	if (cl->out)
		evbuffer_free(cl->out);
	close(cl->fd);
	free(cl);
}
