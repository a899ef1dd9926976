// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/socket.h>
#include <sys/un.h>
#include "base/clock.h"
#include "fuzz/daemon_world.h"

/* mirror.sock, flowpind's side: packets of flowpin-mirror, each behind its length in two bytes. */

static int connect_to(const struct world *w)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/mirror.sock", fuzz_directory());
	FUZZ_CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	event_base_loop(w->d.base, EVLOOP_NONBLOCK);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct fuzz_input in = { data, size };
	const struct mirror *m;
	uint64_t now;
	int fd;

	world_begin(&w);
	m = w.d.switches->list[0]->mirror;
	fd = connect_to(&w);
	while (in.size > 0) {
		size_t len = fuzz_number(&in, 2);

		if (len > in.size)
			len = in.size;
		(void)!send(fd, in.data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		in.data += len;
		in.size -= len;
		event_base_loop(w.d.base, EVLOOP_NONBLOCK);
	}
	FUZZ_CHECK(m->used <= w.d.config->switches[0].mirror.max_flows);
	now = clock_now_ms();
	for (uint64_t i = 1; i <= 3; i++) {
		switches_tick(&w.d, now + i * 40000);
		world_run(&w);
	}
	close(fd);
	world_end(&w);
	return 0;
}
