// SPDX-License-Identifier: GPL-2.0-or-later
#include <limits.h>
#include "fuzz/fuzz.h"

static char directory[] = "/tmp/fuzz-flowpind-XXXXXX";

static void directory_remove(void)
{
	static const char *const names[] = { "drains.json", "drains.json.new", "control.sock",
					     "daemon.sock", "mirror.sock" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

const char *fuzz_directory(void)
{
	static bool made;

	if (!made) {
		FUZZ_CHECK(mkdtemp(directory));
		atexit(directory_remove);
		made = true;
	}
	return directory;
}
