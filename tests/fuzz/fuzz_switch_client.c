// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/socket.h>
#include <sys/un.h>
#include "eapi/seam.h"
#include "fuzz/fuzz.h"
#include "fuzz/switch_fixture.h"

/* io.flowpin.Switch, flowpin-eapi's side: what flowpind says. A byte of flags (1: Attach is
 * answered well), then pieces, each behind a byte (which of the connections, in the order in which
 * they were made; bit 7: it is closed behind it) and its length in two bytes. There is no password,
 * so nothing is ever sent to the switch. */

#define CONNECTIONS 4
#define ATTACHED    "{\"parameters\":{\"instance\":\"0123\",\"prefix\":\"fp-1-\",\"services\":[]}}"

struct flowpind {
	struct event_base *base;
	int listener, fd[CONNECTIONS];
	size_t n;
};

static int listener_new(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	FUZZ_CHECK(strlen(path) < sizeof(sun.sun_path));
	memcpy(sun.sun_path, path, strlen(path));
	unlink(path);
	FUZZ_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	FUZZ_CHECK(listen(fd, CONNECTIONS) == 0);
	return fd;
}

static void turn(struct flowpind *f)
{
	char buf[65536];

	for (int i = 0; i < 6; i++) {
		int fd;

		event_base_loop(f->base, EVLOOP_NONBLOCK);
		fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0 && f->n < CONNECTIONS)
			f->fd[f->n++] = fd;
		else if (fd >= 0)
			close(fd);
		for (size_t k = 0; k < f->n; k++)
			while (f->fd[k] >= 0 && recv(f->fd[k], buf, sizeof(buf), MSG_DONTWAIT) > 0)
				;
	}
}

static void say(struct flowpind *f, size_t connection, const void *data, size_t size)
{
	if (connection < f->n && f->fd[connection] >= 0)
		(void)!send(f->fd[connection], data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	turn(f);
}

static void play(struct flowpind *f, struct fuzz_input in)
{
	if (fuzz_number(&in, 1) & 1)
		say(f, 0, ATTACHED, sizeof(ATTACHED));
	while (in.size > 0) {
		uint8_t what = (uint8_t)fuzz_number(&in, 1);
		size_t len = fuzz_number(&in, 2), connection = (what & 0x7f) % CONNECTIONS;

		if (len > in.size)
			len = in.size;
		say(f, connection, in.data, len);
		if (what & 0x80 && connection < f->n) {
			closep(&f->fd[connection]);
			f->fd[connection] = -1;
			turn(f);
		}
		in.data += len;
		in.size -= len;
	}
}

static const struct config *configuration(void)
{
	static const char text[] =
		"service web { prefix = {1.1.1.1, 2001:db8::1} }\n"
		"switch s1 { eapi = \"https://127.0.0.1\" username = u "
		"password-file = \"/nonexistent/p\" ingress-interface = Ethernet47 }\n";
	static struct config *config;

	return fuzz_config_once(text, &config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct config *c = configuration();
	struct flowpind f = { .base = event_base_new() };
	struct http *http = NULL;
	struct agent *agent = NULL;
	struct seam *seam = NULL;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct err e = { 0 };

	log_set_level((enum log_level)0);
	snprintf(path, sizeof(path), "%s/daemon.sock", fuzz_directory());
	f.listener = listener_new(path);
	FUZZ_CHECK(f.base && http_new(f.base, &http) == 0);
	FUZZ_CHECK(agent_new(f.base, http, c, c->switches, &agent, &e) == 0);
	FUZZ_CHECK(seam_new(f.base, path, agent, &seam) == 0);
	turn(&f);
	FUZZ_CHECK(f.n == 1);
	play(&f, (struct fuzz_input){ data, size });
	seam_free(seam);
	agent_free(agent);
	http_free(http);
	event_base_free(f.base);
	for (size_t i = 0; i < f.n; i++)
		closep(&f.fd[i]);
	close(f.listener);
	return 0;
}
