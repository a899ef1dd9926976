// SPDX-License-Identifier: GPL-2.0-or-later
#include <getopt.h>
#include <string.h>
#include "base/utf8.h"
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

/* No control characters; ASCII, or in JSON UTF-8. */
static void check_output(const char *text, size_t len, bool json)
{
	for (size_t i = 0, n; i < len; i += n) {
		unsigned char c = (unsigned char)text[i];

		n = c < 0x80 ? 1 : json ? utf8_sequence(text + i, len - i) : 0;
		FUZZ_CHECK(n > 0);
		FUZZ_CHECK(c == '\n' || (c >= 0x20 && c != 0x7f));
		FUZZ_CHECK(c != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	const char *const *command = commands[fuzz_number(&in, 1) % ARRAY_SIZE(commands)];
	char program[] = "flowpin", *argv[ARGUMENTS + 2] = { program };
	FILE *out = stdout, *err = stderr, *caught;
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	bool json = false;
	int argc = 1, code;

	while (argc <= ARGUMENTS && command[argc - 1]) {
		json |= strcmp(command[argc - 1], "--json") == 0;
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
	check_output(text, len, json);
	while (argc > 1)
		free(argv[--argc]);
	return 0;
}
