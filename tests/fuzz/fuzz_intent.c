// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <limits.h>
#include "daemon/intent.h"
#include "fuzz/daemon_world.h"

/* The file in which drains outlive a restart. What was read can be written, and reads the same. */

static void file_write(const char *path, const uint8_t *data, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
}

static void check_again(struct daemon *d)
{
	struct daemon e = { .config = d->config };
	struct err err = { 0 };

	FUZZ_CHECK(intent_save(d, &err) == 0);
	FUZZ_CHECK(intent_load(&e, &err) == 0);
	FUZZ_CHECK(e.intent.n == d->intent.n);
	for (size_t i = 0; i < e.intent.n; i++) {
		const struct drain_wish *a = &d->intent.list[i], *b = &e.intent.list[i];

		FUZZ_CHECK(strcmp(a->service, b->service) == 0);
		FUZZ_CHECK(ip_addr_equal(&a->nexthop.addr, &b->nexthop.addr));
		FUZZ_CHECK(strcmp(a->nexthop.ifname, b->nexthop.ifname) == 0);
		FUZZ_CHECK(a->intent.since_s == b->intent.since_s && a->released == b->released);
		FUZZ_CHECK(a->intent.deadline_s == b->intent.deadline_s);
	}
	free(e.intent.list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	struct daemon d = { .config = &config };
	struct err e = { 0 };
	char path[PATH_MAX];

	snprintf(config.state_dir, sizeof(config.state_dir), "%s", fuzz_directory());
	snprintf(path, sizeof(path), "%s/drains.json", config.state_dir);
	file_write(path, data, size);
	if (intent_load(&d, &e) == 0)
		check_again(&d);
	else
		FUZZ_CHECK(e.text[0] != '\0');
	free(d.intent.list);
	return 0;
}
