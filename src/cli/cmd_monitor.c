// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include "cli/cli.h"
#include "cli/text.h"

static const char *kind_colour(const char *kind)
{
	static const struct {
		const char *kind, *colour;
	} rows[] = { { "nexthop", "36" },
		     { "drain", "33" },
		     { "repair", "35" },
		     { "overrun", "31" },
		     { "warning", "33" } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].kind, kind) == 0)
			return rows[i].colour;
	return NULL;
}

static void print_event(const struct cli *cli, struct json_object *e)
{
	const char *colour = cli->colour ? kind_colour(js_text(e, "kind")) : NULL;
	char t[TEXT_TIME];

	printf("%s  ", text_time(js_int(e, "time"), t));
	if (colour)
		printf("\033[%sm", colour);
	printf("%-8s", js_text(e, "kind"));
	printf("%s  %s\n", colour ? "\033[0m" : "", js_text(e, "text"));
}

static void on_events(const struct cli *cli, const struct cli_reply *reply, void *arg _unused_)
{
	struct slice array, inside, one;

	if (cli->given & CLI_JSON) {
		if (slice_find(reply->params, "events", &array) && slice_open(array, '[', &inside))
			while (slice_item(&inside, &one))
				cli_print_json_value(one);
	} else {
		for (size_t i = 0; i < js_len(reply->json, "events"); i++)
			print_event(cli, js_at(reply->json, "events", i));
	}
	/* Somebody is watching: a line that waits in a buffer is none. */
	fflush(stdout);
}

int cmd_monitor(struct cli *cli, int argc _unused_, char **argv _unused_)
{
	struct json_object *params = json_object_new_object();

	if (cli->given & CLI_FLOWS)
		json_object_object_add(params, "flows", json_object_new_boolean(1));
	return cli_call(cli, "Monitor", params, CLI_CALL_MORE, on_events, NULL);
}
