// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "cli/cli.h"
#include "cli/filter.h"
#include "control/json.h"
#include "control/server.h"
#include "daemon/filter.h"
#include "fuzz/fuzz.h"

/* Filter expressions of the command line, an argument a line, and the same filter where flowpind
 * reads it: what the one makes the other takes. */

#define ARGUMENTS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct json_object *filter = NULL, *sent = NULL;
	char *argv[ARGUMENTS];
	int argc = 0;
	struct err e = { 0 };
	const char *key = NULL, *text;
	struct flow_filter f;

	while (in.size > 0 && argc < ARGUMENTS)
		argv[argc++] = fuzz_text(&in, '\n', NULL);
	if (filter_parse(argc, argv, &filter, &e) == 0) {
		text = json_object_to_json_string_ext(filter, JSON_C_TO_STRING_PLAIN);
		/* A service's name may be any text here; what cannot be sent is not. */
		if (control_json_parse(text, strlen(text), CONTROL_DEPTH_MAX, &sent) == 0) {
			FUZZ_CHECK(flow_filter_parse(sent, &f, &key) == 0);
			json_object_put(sent);
		}
		json_object_put(filter);
	} else {
		FUZZ_CHECK(!filter && e.code == -EINVAL && e.text[0] != '\0');
	}
	while (argc > 0)
		free(argv[--argc]);
	return 0;
}
