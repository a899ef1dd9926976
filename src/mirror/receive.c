// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/receive.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include "mirror/receive_filter.h"

#define IP4_HEADER_MAX 60
#define PACKET_MAX (IP4_HEADER_MAX + MIRROR_SNAP)

/* One socket with what it counted last. */
struct tap {
	int fd;
	uint32_t drops;
	struct filter filter; /* once it is bound */
};

struct mirror_receiver {
	char ifname[IF_NAMESIZE];
	unsigned ifindex; /* 0: not bound yet */
	bool ip4;
	struct mirror_format format;
	struct tap packets;
	struct tap foreign; /* what is not ours, for being counted */
	struct mmsghdr messages[RECEIVE_VECTOR];
	struct iovec vectors[RECEIVE_VECTOR];
	uint8_t buffers[RECEIVE_VECTOR][PACKET_MAX];
};

static uint32_t tap_drops(const struct tap *t)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(t->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ||
	    len <= SK_MEMINFO_DROPS * sizeof(info[0]))
		return t->drops;
	return info[SK_MEMINFO_DROPS];
}

/* Opens it deaf. Between socket() and the filter everything on every interface was let in: that is
 * thrown away. */
static int tap_open(struct tap *t, int family, struct err *e)
{
	struct filter nothing;
	char byte;
	int r;

	t->fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_GRE);
	if (t->fd < 0)
		return err_set(e, -errno, "a raw socket cannot be opened: %s", strerror(errno));
	filter_nothing(&nothing);
	r = filter_attach(t->fd, &nothing);
	if (r < 0)
		return err_set(e, r, "a socket filter cannot be set: %s", strerror(-r));
	while (recv(t->fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0)
		;
	t->drops = tap_drops(t);
	return 0;
}

static int tap_bind(const struct tap *t, const char *ifname, struct err *e)
{
	if (setsockopt(t->fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname) + 1) <
	    0)
		return err_set(e, -errno, "a socket cannot be bound to %s: %s", ifname,
			       strerror(errno));
	return 0;
}

static int tap_begin(const struct tap *t, struct err *e)
{
	int r = filter_attach(t->fd, &t->filter);

	return r < 0 ? err_set(e, r, "a socket filter cannot be set: %s", strerror(-r)) : 0;
}

static void vectors_init(struct mirror_receiver *r)
{
	for (size_t i = 0; i < RECEIVE_VECTOR; i++) {
		r->vectors[i] = (struct iovec){ .iov_base = r->buffers[i],
						.iov_len = sizeof(r->buffers[i]) };
		r->messages[i].msg_hdr.msg_iov = &r->vectors[i];
		r->messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void buffer_grow(int fd, uint32_t size)
{
	int bytes = size > INT32_MAX ? INT32_MAX : (int)size;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

int mirror_receiver_new(const struct mirror_receiver_options *options,
			struct mirror_receiver **ret_receiver, struct err *e)
{
	_cleanup_(mirror_receiver_freep) struct mirror_receiver *r = calloc(1, sizeof(*r));
	int result;

	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	r->packets.fd = r->foreign.fd = -1;
	if (strlen(options->ifname) >= sizeof(r->ifname))
		return err_set(e, -EINVAL, "%s is no name of an interface", options->ifname);
	memcpy(r->ifname, options->ifname, strlen(options->ifname) + 1);
	r->ip4 = options->pair.source.family == AF_INET;
	r->format = options->format;
	vectors_init(r);
	filter_pair(&options->pair, r->ip4 ? PACKET_MAX : MIRROR_SNAP, &r->packets.filter);
	result = filter_foreign(&options->pair, options->neighbours, options->n_neighbours,
				&r->foreign.filter);
	if (result < 0)
		return err_set(e, result, "more than %d mirrors on %s", FILTER_MIRRORS_MAX,
			       r->ifname);
	result = tap_open(&r->packets, options->pair.source.family, e);
	if (result == 0)
		result = tap_open(&r->foreign, options->pair.source.family, e);
	if (result < 0)
		return result;
	buffer_grow(r->packets.fd, options->receive_buffer);
	*ret_receiver = TAKE_PTR(r);
	return 0;
}

struct mirror_receiver *mirror_receiver_free(struct mirror_receiver *r)
{
	if (r) {
		closep(&r->packets.fd);
		closep(&r->foreign.fd);
		free(r);
	}
	return NULL;
}

int mirror_receiver_bind(struct mirror_receiver *r, struct err *e)
{
	unsigned index = if_nametoindex(r->ifname);
	int result;

	if (index == 0)
		return err_set(e, -ENODEV, "there is no interface %s", r->ifname);
	if (r->ifindex != 0)
		return index == r->ifindex
			       ? 0
			       : err_set(e, -ESTALE, "%s is another interface than before",
					 r->ifname);
	result = tap_bind(&r->packets, r->ifname, e);
	if (result < 0)
		return result;
	/* Half bound it cannot be bound again. */
	if (tap_bind(&r->foreign, r->ifname, e) < 0 || tap_begin(&r->foreign, e) < 0 ||
	    tap_begin(&r->packets, e) < 0)
		return -ESTALE;
	r->ifindex = index;
	return 0;
}

int mirror_receiver_fd(const struct mirror_receiver *r)
{
	return r->packets.fd;
}

uint32_t mirror_receiver_buffer(const struct mirror_receiver *r)
{
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	(void)getsockopt(r->packets.fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len);
	return (uint32_t)bytes;
}

/* A raw IPv4 socket hands over the outer header too, which the kernel has checked; an IPv6 one does
 * not. */
static enum mirror_drop packet_take(const struct mirror_receiver *r, const uint8_t *data,
				    size_t len, struct batch *b)
{
	size_t header = r->ip4 && len > 0 ? (size_t)(data[0] & 15) * 4 : 0;
	struct mirror_record record;
	enum mirror_drop why;

	if (header > len)
		return MIRROR_DROP_GRE;
	why = mirror_decode(data + header, len - header, &r->format, &record);
	if (why != MIRROR_DROP_NONE)
		return why;
	switch (batch_add(b, &record)) {
	case BATCH_ADDED:
		return MIRROR_DROP_NONE;
	case BATCH_REPEATED:
		return MIRROR_DROP_REPEATED;
	case BATCH_FULL:
		return MIRROR_DROP_HANDOFF;
	}
	return MIRROR_DROP_HANDOFF;
}

int mirror_receiver_read(struct mirror_receiver *r, struct batch *b, struct mirror_counters *c)
{
	int n = recvmmsg(r->packets.fd, r->messages, RECEIVE_VECTOR, MSG_DONTWAIT, NULL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		enum mirror_drop why = packet_take(r, r->buffers[i], r->messages[i].msg_len, b);

		c->received++;
		if (why != MIRROR_DROP_NONE)
			c->dropped[why]++;
	}
	return n;
}

static void count(struct mirror_counters *c, enum mirror_drop why, uint32_t n)
{
	c->received += n;
	c->dropped[why] += n;
}

int mirror_receiver_foreign_fd(const struct mirror_receiver *r)
{
	return r->foreign.fd;
}

int mirror_receiver_foreign_read(struct mirror_receiver *r, struct mirror_counters *c)
{
	int n = recvmmsg(r->foreign.fd, r->messages, RECEIVE_VECTOR, MSG_DONTWAIT, NULL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	count(c, MIRROR_DROP_FOREIGN, (uint32_t)n);
	return n;
}

/* The kernel's number has 32 bits and wraps; the difference does not mind. */
static uint32_t tap_lost(struct tap *t)
{
	uint32_t drops = tap_drops(t), lost = drops - t->drops;

	t->drops = drops;
	return lost;
}

void mirror_receiver_count(struct mirror_receiver *r, struct mirror_counters *c)
{
	if (r->ifindex == 0)
		return;
	count(c, MIRROR_DROP_OVERRUN, tap_lost(&r->packets));
	count(c, MIRROR_DROP_FOREIGN, tap_lost(&r->foreign));
}
