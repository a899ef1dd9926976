// SPDX-License-Identifier: GPL-2.0-or-later
#include <getopt.h>
#include "cli/cli.h"
#include "fuzz/fuzz.h"

/* What flowpind answers to the command line: a byte chooses the command, the rest is what comes
 * from the socket. What is printed is printable. */

#define ARGUMENTS 6

static const char *const commands[][ARGUMENTS] = {
	{ "status" },
	{ "status", "--json" },
	{ "nexthops" },
	{ "nexthops", "--json" },
	{ "flows" },
	{ "flows", "--json", "dst", "1.1.1.1" },
	{ "show", "tcp", "12.12.12.1:30001", "1.1.1.1:80" },
	{ "show", "--json", "tcp", "12.12.12.1:30001", "1.1.1.1:80" },
	{ "switches" },
	{ "switches", "--json" },
	{ "drain", "10.1.1.2" },
	{ "drain", "10.1.1.2", "--wait", "--deadline", "1s" },
	{ "undrain", "10.1.1.2" },
	{ "release", "10.1.1.2", "--yes" },
	{ "verify" },
	{ "verify", "--json" },
	{ "monitor" },
	{ "monitor", "--json", "--flows" },
	{ "teardown", "--yes" },
};

static void check_output(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(text[i] == '\n' ||
			   ((unsigned char)text[i] >= 0x20 && (unsigned char)text[i] < 0x7f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	const char *const *command = commands[fuzz_number(&in, 1) % ARRAY_SIZE(commands)];
	char program[] = "flowpin", *argv[ARGUMENTS + 2] = { program };
	FILE *out = stdout, *err = stderr, *caught;
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int argc = 1, code;

	while (argc <= ARGUMENTS && command[argc - 1]) {
		argv[argc] = strdup(command[argc - 1]);
		FUZZ_CHECK(argv[argc++]);
	}
	fflush(stdout);
	caught = open_memstream(&text, &len);
	FUZZ_CHECK(caught);
	fuzz_connect(in.data ? in.data : (const uint8_t *)"", in.size);
	stdout = stderr = caught;
	optind = 0; /* getopt begins anew */
	code = cli_main(argc, argv);
	stdout = out;
	stderr = err;
	fuzz_connect(NULL, 0);
	fclose(caught);
	FUZZ_CHECK(code >= FLOWPIN_EXIT_OK && code <= FLOWPIN_EXIT_DEADLINE);
	check_output(text, len);
	while (argc > 1)
		free(argv[--argc]);
	return 0;
}
