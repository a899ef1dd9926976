// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/handoff.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/clock.h"
#include "mirror/decode.h"

#define SEND_BUFFER (1024 * 1024)

struct packet {
	uint64_t begun_ms;
	struct mirror_counters *account; /* NULL: a packet of counters */
	uint32_t records;
	struct {
		struct mirror_header header;
		union {
			struct mirror_record records[MIRROR_RECORDS_MAX];
			struct mirror_counters counters;
		};
	} wire;
	size_t len;
};

struct handoff {
	struct event_base *base;
	struct sockaddr_un address;
	struct handoff_options options;
	int fd;	   /* -1: not connected */
	bool told; /* that it could not connect */
	uint32_t retry_ms;
	struct event *ev_read, *ev_write, *ev_retry;
	uint32_t first, n; /* of those that wait */
	struct packet packets[HANDOFF_PACKETS];
};

static struct packet *waiting_first(struct handoff *h)
{
	return &h->packets[h->first];
}

static void waiting_shift(struct handoff *h)
{
	h->first = (h->first + 1) % HANDOFF_PACKETS;
	h->n--;
}

static void waiting_drop_first(struct handoff *h)
{
	struct packet *p = waiting_first(h);

	if (p->account)
		p->account->dropped[MIRROR_DROP_HANDOFF] += p->records;
	waiting_shift(h);
}

static void waiting_drop_old(struct handoff *h)
{
	uint64_t now = clock_now_ms();

	while (h->n > 0 && now - waiting_first(h)->begun_ms > HANDOFF_KEEP_MS)
		waiting_drop_first(h);
}

static void retry_later(struct handoff *h)
{
	struct timeval tv = { .tv_sec = h->retry_ms / 1000,
			      .tv_usec = (suseconds_t)(h->retry_ms % 1000) * 1000 };

	event_add(h->ev_retry, &tv);
	h->retry_ms =
		h->retry_ms * 2 > HANDOFF_RETRY_MAX_MS ? HANDOFF_RETRY_MAX_MS : h->retry_ms * 2;
}

static void disconnect(struct handoff *h)
{
	if (h->ev_read)
		event_free(h->ev_read);
	if (h->ev_write)
		event_free(h->ev_write);
	h->ev_read = h->ev_write = NULL;
	closep(&h->fd);
	h->fd = -1;
}

static void lost(struct handoff *h, int code)
{
	struct err e = { 0 };

	err_set(&e, code, "%s", code ? strerror(-code) : "it was closed");
	disconnect(h);
	h->retry_ms = HANDOFF_RETRY_MIN_MS;
	h->told = true;
	if (h->options.changed)
		h->options.changed(false, &e, h->options.arg);
	retry_later(h);
}

/* Sends what waits, as far as that goes without waiting. */
static void flush(struct handoff *h)
{
	waiting_drop_old(h);
	while (h->n > 0) {
		struct packet *p = waiting_first(h);

		if (send(h->fd, &p->wire, p->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN || errno == ENOBUFS)
				event_add(h->ev_write, NULL);
			else
				lost(h, -errno);
			return;
		}
		if (p->account)
			p->account->handed_on += p->records;
		waiting_shift(h);
	}
}

static void on_write(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	flush(arg);
}

/* flowpind says nothing: this is the end of the connection, or nothing that matters. */
static void on_read(evutil_socket_t fd, short what _unused_, void *arg)
{
	struct handoff *h = arg;
	char byte;
	ssize_t n = recv(fd, &byte, sizeof(byte), MSG_DONTWAIT);

	if (n == 0)
		lost(h, 0);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		lost(h, -errno);
}

static int try_connect(struct handoff *h)
{
	_cleanup_(closep) int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int size = SEND_BUFFER;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/* On a unix socket this ends at once: EAGAIN says that too many others wait to be accepted.
	 */
	if (connect(fd, (const struct sockaddr *)&h->address, sizeof(h->address)) < 0)
		return -errno;
	h->ev_read = event_new(h->base, fd, EV_READ | EV_PERSIST, on_read, h);
	h->ev_write = event_new(h->base, fd, EV_WRITE, on_write, h);
	h->fd = TAKE_FD(fd);
	if (!h->ev_read || !h->ev_write ||
	    event_priority_set(h->ev_read, h->options.priority) < 0 ||
	    event_priority_set(h->ev_write, h->options.priority) < 0 ||
	    event_add(h->ev_read, NULL) < 0) {
		disconnect(h);
		return -ENOMEM;
	}
	return 0;
}

static void on_retry(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct handoff *h = arg;
	struct err e = { 0 };
	int r = try_connect(h);

	if (r < 0) {
		retry_later(h);
		if (h->told)
			return;
		h->told = true;
		err_set(&e, r, "%s", strerror(-r));
	} else {
		h->told = false;
		h->retry_ms = HANDOFF_RETRY_MIN_MS;
	}
	if (h->options.changed)
		h->options.changed(r == 0, &e, h->options.arg);
	if (r == 0)
		flush(h);
}

int handoff_new(struct event_base *base, const struct handoff_options *options,
		struct handoff **ret_handoff, struct err *e)
{
	_cleanup_(handoff_freep) struct handoff *h = calloc(1, sizeof(*h));
	size_t len = strlen(options->path);
	struct timeval at_once = { 0 };

	if (!h)
		return err_set(e, -ENOMEM, "out of memory");
	h->fd = -1;
	h->base = base;
	h->options = *options;
	h->retry_ms = HANDOFF_RETRY_MIN_MS;
	h->address.sun_family = AF_UNIX;
	if (len == 0 || len >= sizeof(h->address.sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "the socket path has %zu characters, it must have 1 to %zu", len,
			       sizeof(h->address.sun_path) - 1);
	memcpy(h->address.sun_path, options->path, len + 1);
	h->options.path = h->address.sun_path;
	h->ev_retry = evtimer_new(base, on_retry, h);
	if (!h->ev_retry || event_priority_set(h->ev_retry, h->options.priority) < 0 ||
	    event_add(h->ev_retry, &at_once) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	*ret_handoff = TAKE_PTR(h);
	return 0;
}

struct handoff *handoff_free(struct handoff *h)
{
	if (h) {
		disconnect(h);
		if (h->ev_retry)
			event_free(h->ev_retry);
		free(h);
	}
	return NULL;
}

/* The next packet to be filled, behind all that wait; the oldest makes room. */
static struct packet *packet_begin(struct handoff *h, const char *switch_name,
				   enum mirror_kind kind, uint32_t count)
{
	struct packet *p;
	size_t len = strnlen(switch_name, MIRROR_SWITCH_MAX - 1);

	if (h->n == HANDOFF_PACKETS)
		waiting_drop_first(h);
	if (h->n == 0)
		h->first = 0; /* the same few again, not all of them in turn */
	p = &h->packets[(h->first + h->n++) % HANDOFF_PACKETS];
	p->begun_ms = clock_now_ms();
	p->wire.header = (struct mirror_header){ .magic = MIRROR_MAGIC,
						 .kind = (uint16_t)kind,
						 .count = (uint16_t)count,
						 .taken_ms = p->begun_ms };
	memcpy(p->wire.header.switch_name, switch_name, len);
	return p;
}

/* Where EV_WRITE is waited for already, the packets before this one are. */
static void packet_end(struct handoff *h)
{
	if (h->fd >= 0 && !event_pending(h->ev_write, EV_WRITE, NULL))
		flush(h);
}

/* The packet of this account that was begun last, if it waits and may be filled up; else NULL. */
static struct packet *packet_open(struct handoff *h, const struct mirror_counters *account)
{
	for (uint32_t i = h->n; i-- > 0;) {
		struct packet *p = &h->packets[(h->first + i) % HANDOFF_PACKETS];

		if (p->account == account)
			return clock_now_ms() - p->begun_ms <= HANDOFF_MERGE_MS ? p : NULL;
	}
	return NULL;
}

/* False when there is no room. */
static bool packet_merge(struct packet *p, const struct mirror_record *record)
{
	for (uint32_t i = 0; i < p->records; i++) {
		if (memcmp(&p->wire.records[i], record, offsetof(struct mirror_record, flags)) ==
		    0) {
			p->wire.records[i].flags |= record->flags;
			p->account->dropped[MIRROR_DROP_REPEATED]++;
			return true;
		}
	}
	if (p->records == MIRROR_RECORDS_MAX)
		return false;
	p->wire.records[p->records++] = *record;
	p->wire.header.count = (uint16_t)p->records;
	p->len += sizeof(*record);
	return true;
}

void handoff_flows(struct handoff *h, const char *switch_name, const struct mirror_record *records,
		   uint32_t n, struct mirror_counters *account)
{
	struct packet *p = packet_open(h, account);

	if (n > MIRROR_RECORDS_MAX)
		return;
	while (p && n > 0 && packet_merge(p, records)) {
		records++;
		n--;
	}
	if (n > 0) {
		p = packet_begin(h, switch_name, MIRROR_KIND_FLOWS, n);
		p->account = account;
		p->records = n;
		memcpy(p->wire.records, records, n * sizeof(*records));
		p->len = sizeof(p->wire.header) + n * sizeof(*records);
	}
	packet_end(h);
}

void handoff_counters(struct handoff *h, const char *switch_name,
		      const struct mirror_counters *counters)
{
	struct packet *p;

	waiting_drop_old(h);
	if (h->fd < 0)
		return;
	p = packet_begin(h, switch_name, MIRROR_KIND_COUNTERS, 1);
	p->account = NULL;
	p->records = 0;
	p->wire.counters = *counters;
	p->len = sizeof(p->wire.header) + sizeof(p->wire.counters);
	packet_end(h);
}
