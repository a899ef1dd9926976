// SPDX-License-Identifier: GPL-2.0-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include "fuzz/fuzz.h"

/* Runs every file of a corpus through a target, without clang: fuzz_X [FILE or DIRECTORY ...];
 * without arguments tests/fuzz/corpus/X. Prints a point per file, which is named before it is run.
 * An empty corpus is a failure. */

/* The last of the guard's slots: targets use the first ones. */
#define SLOT (GUARD_SLOTS - 1)

static int run_file(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) uint8_t *data = malloc(GUARD_SIZE);
	struct stat st;
	ssize_t size;

	if (fd < 0 || !data || fstat(fd, &st) < 0 || st.st_size > GUARD_SIZE) {
		printf("# %s\n", fd < 0 ? strerror(errno) : "too large");
		return -1;
	}
	size = read(fd, data, GUARD_SIZE);
	if (size != st.st_size)
		return -1;
	LLVMFuzzerTestOneInput(fuzz_guard(SLOT, data, (size_t)size, 1), (size_t)size);
	return 0;
}

struct run {
	unsigned n;
	bool failed;
};

static void run_point(struct run *run, const char *path)
{
	printf("# %s\n", path);
	fflush(stdout);
	if (run_file(path) == 0) {
		printf("ok %u - %s\n", ++run->n, path);
	} else {
		printf("not ok %u - %s\n", ++run->n, path);
		run->failed = true;
	}
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run_path(struct run *run, const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, visible, alphasort);

	if (n < 0) {
		run_point(run, path);
		return;
	}
	for (int i = 0; i < n; i++) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
		run_point(run, file);
		free(list[i]);
	}
	free(list);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	struct run run = { 0 };
	char corpus[PATH_MAX];

	name = name ? name + 1 : argv[0];
	snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s",
		 strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name);
	for (int i = 1; i < argc; i++)
		run_path(&run, argv[i]);
	if (argc < 2)
		run_path(&run, corpus);
	if (run.n == 0)
		printf("not ok 1 - %s is empty\n", corpus);
	printf("1..%u\n", run.n ? run.n : 1);
	return run.n == 0 || run.failed;
}
