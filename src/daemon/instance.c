// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/instance.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

int instance_claim(int *ret_fd)
{
	/* An abstract address belongs to the network namespace, as the rules, routes and the table
	 * do, and it goes with the process, however that ends. */
	static const char name[] = "\0flowpind";
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(name) - 1; i++)
		sa.sun_path[i] = name[i];
	if (bind(fd, (struct sockaddr *)&sa,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name) - 1)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
