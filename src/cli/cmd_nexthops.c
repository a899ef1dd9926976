// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"

/* The colour of a word in a table of them. */
static const char *colour_of(const char *word, const char *const (*rows)[2])
{
	for (; (*rows)[0]; rows++)
		if (strcmp((*rows)[0], word) == 0)
			return (*rows)[1];
	return NULL;
}

static const char *const state_colours[][2] = {
	{ "active", "32" }, { "draining", "33" }, { "unreachable", "35" },
	{ "dead", "31" },   { NULL, NULL },
};

static const char *const health_colours[][2] = {
	{ "suspect", "33" },
	{ "failed", "31" },
	{ "link-down", "31" },
	{ NULL, NULL },
};

static void add_row(struct table *t, struct json_object *b)
{
	const char *state = js_text(b, "state"), *health = js_text(b, "health");
	char n[TEXT_NUMBER], d[DURATION_TEXT];

	table_add(t, "%s", js_text(b, "service"));
	table_add(t, "%s", js_text(b, "nexthop"));
	table_add(t, "%" PRId64, js_int(b, "id"));
	table_add_colour(t, colour_of(state, state_colours), "%s", state);
	table_add(t, "%s", duration_format((uint64_t)js_int(b, "state_ms"), d));
	table_add(t, "%s", text_number(js_int(b, "flows"), n));
	table_add(t, "%s", text_number(js_int(b, "one_way"), n));
	table_add(t, "%s", text_short(js_int(b, "packets"), n));
	table_add(t, "%s", text_short(js_int(b, "bytes"), n));
	table_add_colour(t, colour_of(health, health_colours), "%s", health);
	table_add(t, "%s%s", js_text(b, "reason"), js_bool(b, "pinned") ? "" : "; not pinned");
}

static void print_drain(struct json_object *b)
{
	struct json_object *d = js_object(b, "drain");
	char t[TEXT_TIME];

	if (!d)
		return;
	printf("%s of %s: drained by uid %" PRId64 " since %s", js_text(b, "nexthop"),
	       js_text(b, "service"), js_int(d, "uid"), text_time(js_int(d, "since"), t));
	if (js_int(d, "deadline"))
		printf(", deadline %s", text_time(js_int(d, "deadline"), t));
	if (js_int(d, "release_at"))
		printf(", released %s", text_time(js_int(d, "release_at"), t));
	putchar('\n');
}

void cli_print_bindings(const struct cli *cli, struct json_object *o, const char *key)
{
	static const struct table_column columns[] = {
		{ "SERVICE", false, 0 }, { "NEXTHOP", false, 15 }, { "ID", true, 0 },
		{ "STATE", false, 0 },	 { "SINCE", true, 0 },	   { "FLOWS", true, 0 },
		{ "ONE-WAY", true, 0 },	 { "PACKETS", true, 0 },   { "BYTES", true, 0 },
		{ "HEALTH", false, 0 },	 { "REASON", false, 8 },
	};
	_cleanup_(table_clear) struct table t = { .columns = columns, .n = ARRAY_SIZE(columns) };
	_cleanup_(strbuf_free) struct strbuf b = { 0 };

	for (size_t i = 0; i < js_len(o, key); i++)
		add_row(&t, js_at(o, key, i));
	table_format(&t, 0, cli->width, cli->colour, &b);
	if (b.failed) {
		cli_fail("out of memory");
		return;
	}
	if (b.data)
		fputs(b.data, stdout);
	for (size_t i = 0; i < js_len(o, key); i++)
		print_drain(js_at(o, key, i));
}

static void print_nexthops(const struct cli *cli, const struct cli_reply *reply, void *arg _unused_)
{
	if (js_len(reply->json, "nexthops") == 0)
		puts("no nexthops: no route names one for a service");
	cli_print_bindings(cli, reply->json, "nexthops");
}

int cmd_nexthops(struct cli *cli, int argc, char **argv)
{
	struct json_object *params = json_object_new_object();

	js_add_text(params, "service", argc > 0 ? argv[0] : NULL);
	return cli_call(cli, "Nexthops", params, 0,
			cli->given & CLI_JSON ? cli_print_json : print_nexthops, NULL);
}
