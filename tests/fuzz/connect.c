// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/socket.h>
#include "fuzz/fuzz.h"

/* The other side of a unix socket, for clients that block. */

static struct {
	const void *data;
	size_t size;
	int peer;
} side = { .peer = -1 };

void fuzz_connect(const void *data, size_t size)
{
	side.data = data;
	side.size = size;
	closep(&side.peer);
	side.peer = -1;
}

int __real_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int pair[2], size = 1 << 20;

	if (!side.data)
		return __real_connect(fd, addr, len);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	FUZZ_CHECK(dup2(pair[0], fd) >= 0);
	close(pair[0]);
	closep(&side.peer);
	side.peer = pair[1];
	FUZZ_CHECK(send(side.peer, side.data, side.size, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		   (ssize_t)side.size);
	FUZZ_CHECK(shutdown(side.peer, SHUT_WR) == 0);
	return 0;
}
