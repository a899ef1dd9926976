// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <sys/socket.h>
#include "fuzz/fuzz.h"
#include "netlink/nl_internal.h"

/* The kernel's side of a netlink socket, for targets that read through one. The functions
 * that reach the kernel are replaced by the linker (--wrap); everything between them and the
 * decoders is the product's. */

enum datagram_flags {
	DATAGRAM_FOREIGN = 1 << 0, /* not sent by the kernel */
	DATAGRAM_CUT = 1 << 1,	   /* longer than the buffer */
	DATAGRAM_AS_IS = 1 << 2,   /* sequence numbers and ports are the input's */
	DATAGRAM_OVERRUN = 1 << 3, /* first -ENOBUFS */
	DATAGRAM_LAST = 1 << 4,	   /* of this answer: its end follows at once */
};

static struct {
	struct nl *nl;
	struct fuzz_input in;
	uint32_t port, first_seq, n_requests; /* of what was sent last */
	bool dump, overran;
	unsigned idle; /* times in a row that there was nothing */
} kernel;

static void socket_begin(void)
{
	int pair[2];

	/* Nothing that a target writes must reach the real kernel. */
	FUZZ_CHECK(nl_open(NETLINK_NETFILTER, &kernel.nl) == 0);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	FUZZ_CHECK(dup2(pair[0], nl_fd(kernel.nl)) >= 0);
	close(pair[0]);
	close(pair[1]);
}

struct nl *fuzz_kernel(const uint8_t *data, size_t size)
{
	if (!kernel.nl)
		socket_begin();
	kernel.in = (struct fuzz_input){ data, size };
	kernel.port = nl_portid(kernel.nl);
	kernel.n_requests = 0;
	kernel.overran = false;
	kernel.idle = 0;
	kernel.first_seq = 1000;
	kernel.nl->seq = 1000;
	memset(&kernel.nl->dump, 0, sizeof(kernel.nl->dump));
	return kernel.nl;
}

/* Remembers what is to be answered. */
static void request(uint32_t port, const void *data, size_t len)
{
	const struct nlmsghdr *nlh = data;
	int left = (int)len;

	kernel.port = port;
	kernel.n_requests = 0;
	kernel.dump = (nlh->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	kernel.first_seq = nlh->nlmsg_seq;
	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		kernel.n_requests++;
	FUZZ_CHECK(kernel.n_requests > 0 && left == 0);
}

int __wrap_nl_send(struct nl *nl, const void *data, size_t len);
int __wrap_nl_send(struct nl *nl, const void *data, size_t len)
{
	request(nl_portid(nl), data, len);
	return 0;
}

/* A transaction of nf_tables: its begin, its messages, its end. */
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
	const struct sockaddr_nl *to = m->msg_name;

	if (m->msg_namelen != sizeof(*to) || to->nl_family != AF_NETLINK)
		return __real_sendmsg(fd, m, flags);
	request(0, m->msg_iov[1].iov_base, m->msg_iov[1].iov_len);
	return (ssize_t)m->msg_iov[1].iov_len;
}

int __wrap_nl_wait(struct nl *nl, uint64_t deadline_ms);
int __wrap_nl_wait(struct nl *nl _unused_, uint64_t deadline_ms _unused_)
{
	return kernel.idle > 2 ? -ETIMEDOUT : 0;
}

/* Makes the messages of a datagram answer the last request. */
static void answer(uint8_t *data, size_t size)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)data;
	int left = (int)size;

	for (; mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
	     nlh = mnl_nlmsg_next(nlh, &left)) {
		nlh->nlmsg_pid = kernel.port;
		nlh->nlmsg_seq = kernel.first_seq +
				 (kernel.n_requests ? nlh->nlmsg_seq % kernel.n_requests : 0);
	}
}

static void deliver(struct mmsghdr *h, unsigned i, const void *data, size_t size, uint8_t flags)
{
	struct sockaddr_nl *from = h->msg_hdr.msg_name;

	uint8_t *copy = fuzz_guard(i, data, size, 4);

	if (!(flags & DATAGRAM_AS_IS))
		answer(copy, size);
	h->msg_hdr.msg_iov->iov_base = copy;
	h->msg_hdr.msg_flags = flags & DATAGRAM_CUT ? MSG_TRUNC : 0;
	h->msg_len = (unsigned)size;
	*from = (struct sockaddr_nl){ .nl_family = AF_NETLINK,
				      .nl_pid = flags & DATAGRAM_FOREIGN ? 7 : 0 };
}

/* What the kernel says when all is said: a dump ends, every other request is acknowledged. */
static unsigned deliver_end(struct mmsghdr *headers, unsigned from, unsigned max)
{
	unsigned n = from;

	for (; kernel.n_requests > 0 && n < max; n++) {
		struct {
			struct nlmsghdr nlh;
			struct nlmsgerr error;
		} m = { .nlh = { .nlmsg_len = sizeof(m), .nlmsg_type = NLMSG_ERROR } };

		if (kernel.dump)
			m.nlh.nlmsg_type = NLMSG_DONE;
		m.nlh.nlmsg_pid = kernel.port;
		m.nlh.nlmsg_seq = kernel.first_seq++;
		kernel.n_requests--;
		deliver(&headers[n], n, &m, sizeof(m), DATAGRAM_AS_IS);
	}
	return n - from;
}

static int nothing(void)
{
	kernel.idle++;
	errno = EAGAIN;
	return -1;
}

int __wrap_recvmmsg(int fd, struct mmsghdr *headers, unsigned max, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd _unused_, struct mmsghdr *headers, unsigned max, int flags _unused_,
		    struct timespec *t _unused_)
{
	unsigned n = 0;
	uint8_t what = 0;

	while (n < max && kernel.in.size > 0) {
		size_t size;

		what = kernel.in.data[0];
		if (what & DATAGRAM_OVERRUN && !kernel.overran) {
			kernel.overran = true;
			if (n > 0)
				break;
			errno = ENOBUFS;
			return -1;
		}
		kernel.overran = false;
		fuzz_number(&kernel.in, 1);
		size = fuzz_number(&kernel.in, 2) % NL_DATAGRAM;
		if (size > kernel.in.size)
			size = kernel.in.size;
		deliver(&headers[n], n, kernel.in.data, size, what);
		kernel.in.data += size;
		kernel.in.size -= size;
		n++;
		if (what & DATAGRAM_LAST)
			break;
	}
	if (kernel.in.size == 0 || what & DATAGRAM_LAST)
		n += deliver_end(headers, n, max);
	if (n == 0)
		return nothing();
	kernel.idle = 0;
	return (int)n;
}
