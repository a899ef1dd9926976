// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/varlink_client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define FLUSH_PIECES 16

struct varlink {
	int fd;
	struct event *read, *write;
	struct evbuffer *in, *out;
	size_t scanned; /* bytes of `in` without a NUL */
	bool busy;
	bool *freed; /* on the stack of a callback that is being made */
	struct varlink_callbacks cb;
};

struct varlink *varlink_free(struct varlink *v)
{
	if (!v)
		return NULL;
	if (v->freed)
		*v->freed = true;
	if (v->read)
		event_free(v->read);
	if (v->write)
		event_free(v->write);
	if (v->in)
		evbuffer_free(v->in);
	if (v->out)
		evbuffer_free(v->out);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
	return NULL;
}

static void lose(struct varlink *v)
{
	event_del(v->read);
	event_del(v->write);
	v->cb.lost(v->cb.arg);
}

/* -EPIPE: nobody is there any more. */
static int flush(struct varlink *v)
{
	struct evbuffer_iovec iov[FLUSH_PIECES];

	while (evbuffer_get_length(v->out) > 0) {
		int k = evbuffer_peek(v->out, -1, NULL, iov, FLUSH_PIECES);
		struct msghdr m = { .msg_iov = iov,
				    .msg_iovlen = (size_t)(k < FLUSH_PIECES ? k : FLUSH_PIECES) };
		ssize_t n = sendmsg(v->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return event_add(v->write, NULL) < 0 ? -ENOMEM : 0;
		if (n <= 0)
			return -EPIPE;
		evbuffer_drain(v->out, (size_t)n);
	}
	return 0;
}

static int deliver(struct varlink *v, const char *text, size_t len)
{
	_cleanup_(eapi_json_putp) struct json_object *o = NULL;
	struct varlink_reply r = { 0 };
	int x = eapi_json_parse(text, len, &o);

	if (x < 0 || !v->busy)
		return -EBADMSG;
	r.error = eapi_json_text(eapi_json_get(o, "error"));
	r.params = eapi_json_get(o, "parameters");
	r.continues = !r.error && json_object_get_boolean(eapi_json_get(o, "continues"));
	v->busy = r.continues;
	v->cb.reply(&r, v->cb.arg);
	return 0;
}

/* Delivers what is complete. True: the connection is as before. */
static bool take_messages(struct varlink *v)
{
	bool freed = false;

	for (;;) {
		struct evbuffer_ptr from, at;
		_cleanup_(freep) char *text = NULL;
		int r;

		evbuffer_ptr_set(v->in, &from, v->scanned, EVBUFFER_PTR_SET);
		at = evbuffer_search(v->in, "\0", 1, &from);
		if (at.pos < 0) {
			v->scanned = evbuffer_get_length(v->in);
			if (v->scanned <= VARLINK_MESSAGE_MAX)
				return true;
			lose(v);
			return false;
		}
		text = malloc((size_t)at.pos + 1);
		if (!text || evbuffer_remove(v->in, text, (size_t)at.pos + 1) < 0) {
			lose(v);
			return false;
		}
		v->scanned = 0;
		v->freed = &freed;
		r = deliver(v, text, (size_t)at.pos);
		if (freed)
			return false;
		v->freed = NULL;
		if (r < 0) {
			lose(v);
			return false;
		}
	}
}

static void on_read(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct varlink *v = arg;
	int n = evbuffer_read(v->in, fd, 65536);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		lose(v);
	else
		take_messages(v);
}

static void on_write(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct varlink *v = arg;

	event_del(v->write);
	if (flush(v) < 0)
		lose(v);
}

static int connect_to(const char *path, int *ret_fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;
	size_t n = strlen(path);

	if (n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int varlink_connect(struct event_base *base, const char *path,
		    const struct varlink_callbacks *callbacks, struct varlink **ret_varlink)
{
	struct varlink *v;
	int r, fd = -1;

	r = connect_to(path, &fd);
	if (r < 0)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v) {
		close(fd);
		return -ENOMEM;
	}
	v->fd = fd;
	v->cb = *callbacks;
	v->in = evbuffer_new();
	v->out = evbuffer_new();
	v->read = event_new(base, fd, EV_READ | EV_PERSIST, on_read, v);
	v->write = event_new(base, fd, EV_WRITE | EV_PERSIST, on_write, v);
	if (!v->in || !v->out || !v->read || !v->write || event_add(v->read, NULL) < 0) {
		varlink_free(v);
		return -ENOMEM;
	}
	*ret_varlink = v;
	return 0;
}

int varlink_call(struct varlink *v, const char *method, const struct strbuf *params, bool more)
{
	if (v->busy)
		return -EBUSY;
	if (params->failed ||
	    evbuffer_add_printf(v->out, "{\"method\":\"%s\",\"parameters\":", method) < 0 ||
	    evbuffer_add(v->out, params->data, params->len) < 0 ||
	    evbuffer_add_printf(v->out, more ? ",\"more\":true}" : "}") < 0 ||
	    evbuffer_add(v->out, "", 1) < 0)
		return -ENOMEM;
	v->busy = true;
	/* A peer that is gone is found by the read event, not in the middle of the caller. */
	(void)!flush(v);
	return 0;
}
