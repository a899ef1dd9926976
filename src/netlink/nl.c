// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/nl.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include "base/clock.h"
#include "netlink/nl_internal.h"

static int nl_enable_options(struct nl *nl)
{
	static const int options[] = { NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK };
	int on = 1;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (mnl_socket_setsockopt(nl->socket, options[i], &on, sizeof(on)) < 0)
			return -errno;
	return 0;
}

static void nl_prepare_headers(struct nl *nl)
{
	for (size_t i = 0; i < NL_BATCH; i++) {
		nl->iov[i].iov_base = nl->buffers + i * NL_DATAGRAM;
		nl->iov[i].iov_len = NL_DATAGRAM;
		nl->headers[i].msg_hdr.msg_iov = &nl->iov[i];
		nl->headers[i].msg_hdr.msg_iovlen = 1;
		nl->headers[i].msg_hdr.msg_name = &nl->from[i];
	}
}

int nl_open(int protocol, struct nl **ret_nl)
{
	_cleanup_(nl_closep) struct nl *nl = calloc(1, sizeof(*nl));
	int r;

	if (!nl)
		return -ENOMEM;
	nl->buffers = malloc((size_t)NL_BATCH * NL_DATAGRAM);
	if (!nl->buffers)
		return -ENOMEM;
	nl->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!nl->socket)
		return -errno;
	r = nl_enable_options(nl);
	if (r < 0)
		return r;
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	/* Answers are matched by number: a start that differs per socket keeps a reused port id
	 * from matching. */
	nl->seq = (uint32_t)clock_now_ms();
	nl_prepare_headers(nl);
	*ret_nl = TAKE_PTR(nl);
	return 0;
}

struct nl *nl_close(struct nl *nl)
{
	if (!nl)
		return NULL;
	if (nl->socket)
		mnl_socket_close(nl->socket);
	free(nl->buffers);
	free(nl);
	return NULL;
}

int nl_fd(const struct nl *nl)
{
	return mnl_socket_get_fd(nl->socket);
}

uint32_t nl_portid(const struct nl *nl)
{
	return mnl_socket_get_portid(nl->socket);
}

uint32_t nl_next_seq(struct nl *nl)
{
	return ++nl->seq;
}

static int nl_membership(struct nl *nl, int option, unsigned group)
{
	int value = (int)group;

	return mnl_socket_setsockopt(nl->socket, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int nl_join(struct nl *nl, unsigned group)
{
	return nl_membership(nl, NETLINK_ADD_MEMBERSHIP, group);
}

int nl_leave(struct nl *nl, unsigned group)
{
	return nl_membership(nl, NETLINK_DROP_MEMBERSHIP, group);
}

static int nl_set_buffer(struct nl *nl, int force, int plain, uint32_t bytes, uint32_t *ret_bytes)
{
	int value = bytes > INT_MAX / 2 ? INT_MAX / 2 : (int)bytes;
	int now = 0;
	socklen_t len = sizeof(now);

	if (setsockopt(nl_fd(nl), SOL_SOCKET, force, &value, sizeof(value)) < 0 &&
	    setsockopt(nl_fd(nl), SOL_SOCKET, plain, &value, sizeof(value)) < 0)
		return -errno;
	if (getsockopt(nl_fd(nl), SOL_SOCKET, plain, &now, &len) < 0)
		return -errno;
	if (ret_bytes)
		*ret_bytes = (uint32_t)now;
	return 0;
}

int nl_set_receive_buffer(struct nl *nl, uint32_t bytes, uint32_t *ret_bytes)
{
	return nl_set_buffer(nl, SO_RCVBUFFORCE, SO_RCVBUF, bytes, ret_bytes);
}

int nl_set_send_buffer(struct nl *nl, uint32_t bytes, uint32_t *ret_bytes)
{
	return nl_set_buffer(nl, SO_SNDBUFFORCE, SO_SNDBUF, bytes, ret_bytes);
}

int nl_send(struct nl *nl, const void *data, size_t len)
{
	ssize_t n;

	do
		n = mnl_socket_sendto(nl->socket, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int nl_wait(struct nl *nl, uint64_t deadline_ms)
{
	struct pollfd p = { .fd = nl_fd(nl), .events = POLLIN };

	for (;;) {
		uint64_t now = clock_now_ms();
		int n = poll(&p, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0);

		if (n > 0)
			return 0; /* POLLERR too: the next read tells which error */
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int nl_walk_datagram(const struct nl *nl, unsigned i, nl_message_fn fn, void *arg)
{
	const struct msghdr *h = &nl->headers[i].msg_hdr;
	const struct nlmsghdr *nlh = nl->iov[i].iov_base;
	int len = (int)nl->headers[i].msg_len;

	if (h->msg_namelen != sizeof(nl->from[i]) || nl->from[i].nl_pid != 0)
		return 0;
	if (h->msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	while (mnl_nlmsg_ok(nlh, len)) {
		int r;

		/* libmnl takes a length of 2 GiB and more for a negative number, which fits. */
		if (nlh->nlmsg_len > (uint32_t)len)
			return -EBADMSG;
		r = nlh->nlmsg_type == NLMSG_NOOP ? 0 : fn(nlh, arg);
		if (r < 0)
			return r;
		nlh = mnl_nlmsg_next(nlh, &len);
	}
	return len > 0 ? -EBADMSG : 0;
}

static int nl_receive_batch(struct nl *nl, unsigned want)
{
	int n;

	for (unsigned i = 0; i < want; i++)
		nl->headers[i].msg_hdr.msg_namelen = sizeof(nl->from[i]);
	do
		n = recvmmsg(nl_fd(nl), nl->headers, want, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	return n;
}

int nl_receive(struct nl *nl, unsigned max_datagrams, nl_message_fn fn, void *arg)
{
	unsigned total = 0;
	int lost = 0; /* what could not be walked; said after the rest was */

	while (total < max_datagrams) {
		unsigned want = max_datagrams - total < NL_BATCH ? max_datagrams - total : NL_BATCH;
		int n = nl_receive_batch(nl, want);

		if (n < 0)
			return n;
		for (unsigned i = 0; i < (unsigned)n; i++) {
			int r = nl_walk_datagram(nl, i, fn, arg);

			if (r == -EMSGSIZE)
				lost = r;
			else if (r < 0)
				return r;
		}
		total += (unsigned)n;
		if (lost < 0)
			return lost;
		if ((unsigned)n < want)
			break;
	}
	return (int)total;
}
