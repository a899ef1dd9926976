// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/notify.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/macros.h"
#include "base/parse.h"

void notify_send(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = -1;
	size_t len;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sa,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

uint64_t notify_watchdog_us(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint32_t value;

	if (!usec || parse_u32(usec, 1000, UINT32_MAX, &value) < 0)
		return 0;
	if (pid) {
		uint32_t p;

		if (parse_u32(pid, 1, INT32_MAX, &p) < 0 || (pid_t)p != getpid())
			return 0;
	}
	return value;
}
