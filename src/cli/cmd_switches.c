// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"

static void add_row(struct table *t, struct json_object *s)
{
	static const char *const counts[] = { "desired", "programmed", "pending",   "rejected",
					      "adopted", "foreign",    "uncertain", "not_placed" };
	bool reachable = js_bool(s, "reachable");
	char n[TEXT_NUMBER], d[DURATION_TEXT];

	table_add(t, "%s", js_text(s, "name"));
	table_add_colour(t, reachable ? "32" : "31", "%s",
			 reachable		  ? "yes"
			 : js_bool(s, "attached") ? "no"
						  : "no daemon");
	table_add(t, "%s", js_text(s, "model"));
	table_add(t, "%s", js_text(s, "version"));
	table_add(t, "%s%s", js_text(s, "place"), js_bool(s, "dry_run") ? " (dry run)" : "");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		table_add(t, "%s", text_number(js_int(s, counts[i]), n));
	table_add(t, "%s", js_has(s, "capacity") ? text_number(js_int(s, "capacity"), n) : "-");
	table_add(t, "%s", duration_format((uint64_t)js_int(s, "lag_ms"), d));
}

static void print_reasons(struct json_object *o, const char *key, const char *title)
{
	if (js_len(o, key) == 0)
		return;
	printf("  %s", title);
	for (size_t i = 0; i < js_len(o, key); i++) {
		struct json_object *r = js_at(o, key, i);

		printf("%s %s %" PRId64, i ? "," : "", js_text(r, "reason"), js_int(r, "count"));
	}
	putchar('\n');
}

static void print_details(struct json_object *s)
{
	struct json_object *m = js_object(s, "mirror");

	printf("\n%s\n", js_text(s, "name"));
	if (*js_text(s, "sentence"))
		printf("  %s\n", js_text(s, "sentence"));
	if (*js_text(s, "last_error") &&
	    strcmp(js_text(s, "last_error"), js_text(s, "sentence")) != 0)
		printf("  last error: %s\n", js_text(s, "last_error"));
	for (size_t i = 0; i < js_len(s, "nexthops"); i++) {
		struct json_object *n = js_at(s, "nexthops", i);

		printf("  nexthop %s %s%s%s\n", js_text(n, "address"), js_text(n, "interface"),
		       *js_text(n, "interface") ? " " : "",
		       js_bool(n, "dead")    ? "dead"
		       : js_bool(n, "alive") ? "alive"
					     : "silent");
	}
	print_reasons(s, "removed", "deleted so far:");
	print_reasons(s, "rejections", "rejected so far:");
	if (js_int(s, "over_share") || js_int(s, "yielded"))
		printf("  %" PRId64 " wait because their source network has its share, %" PRId64
		       " gave way to others\n",
		       js_int(s, "over_share"), js_int(s, "yielded"));
	if (!m)
		return;
	printf("  mirror: zone %" PRId64 ", %" PRId64 " of %" PRId64 " flows, %" PRId64
	       " records, %" PRId64 " waiting for their nexthop%s\n",
	       js_int(m, "zone"), js_int(m, "flows"), js_int(m, "max_flows"), js_int(m, "records"),
	       js_int(m, "asking"),
	       js_bool(m, "connected") ? "" : "; flowpin-mirror is not connected");
	print_reasons(m, "dropped", "mirrored packets that became no flow:");
}

static void print_switches(const struct cli *cli, const struct cli_reply *reply, void *arg _unused_)
{
	static const struct table_column columns[] = {
		{ "SWITCH", false, 0 },	   { "REACHABLE", false, 0 }, { "MODEL", false, 8 },
		{ "VERSION", false, 8 },   { "PLACE", false, 0 },     { "DESIRED", true, 0 },
		{ "PROGRAMMED", true, 0 }, { "PENDING", true, 0 },    { "REJECTED", true, 0 },
		{ "ADOPTED", true, 0 },	   { "FOREIGN", true, 0 },    { "UNCERTAIN", true, 0 },
		{ "NOT PLACED", true, 0 }, { "CAPACITY", true, 0 },   { "LAG", true, 0 },
	};
	_cleanup_(table_clear) struct table t = { .columns = columns, .n = ARRAY_SIZE(columns) };
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct json_object *o = reply->json;

	if (js_len(o, "switches") == 0)
		puts("no switches: the configuration has none");
	for (size_t i = 0; i < js_len(o, "switches"); i++)
		add_row(&t, js_at(o, "switches", i));
	table_format(&t, 0, cli->width, cli->colour, &b);
	if (b.failed) {
		cli_fail("out of memory");
		return;
	}
	if (b.data)
		fputs(b.data, stdout);
	for (size_t i = 0; i < js_len(o, "switches"); i++)
		print_details(js_at(o, "switches", i));
}

int cmd_switches(struct cli *cli, int argc _unused_, char **argv _unused_)
{
	return cli_call(cli, "Switches", NULL, 0,
			cli->given & CLI_JSON ? cli_print_json : print_switches, NULL);
}
