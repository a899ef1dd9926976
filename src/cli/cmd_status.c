// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <string.h>
#include "base/parse.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"

static void print_table(const struct cli *cli, const struct table *t, size_t indent)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };

	table_format(t, indent, cli->width, cli->colour, &b);
	if (b.failed)
		cli_fail("out of memory");
	else if (b.data)
		fputs(b.data, stdout);
}

/* The texts of an array with commas between them. */
static void join(struct json_object *o, const char *key, struct strbuf *b)
{
	for (size_t i = 0; i < js_len(o, key); i++) {
		const char *text = json_object_get_string(js_at(o, key, i));

		strbuf_addf(b, "%s%s", i ? "," : "", text ? text : "");
	}
	if (b->len == 0)
		strbuf_adds(b, "-");
}

/* What is worth a number only when there is one: ", 2 dead". */
static void count_print(struct json_object *o, const char *key)
{
	char n[TEXT_NUMBER];

	if (js_int(o, key) > 0)
		printf(", %s %s", text_number(js_int(o, key), n), key);
}

static void print_verdict(const struct cli *cli, struct json_object *o)
{
	struct json_object *b = js_object(o, "bindings"), *f = js_object(o, "flows");
	size_t warnings = js_len(o, "warnings");
	int64_t active = js_int(b, "active");
	char n[TEXT_NUMBER];

	if (cli->colour)
		printf("\033[1;%sm",
		       warnings || js_int(b, "dead") || js_int(b, "unreachable") ? "33" : "32");
	printf("%s, %s nexthop%s active", js_text(o, "state"), text_number(active, n),
	       text_plural(active));
	count_print(b, "draining");
	count_print(b, "dead");
	count_print(b, "unreachable");
	printf(", %s flow%s", text_number(js_int(f, "count"), n), text_plural(js_int(f, "count")));
	if (warnings)
		printf(", %zu warning%s", warnings, text_plural((int64_t)warnings));
	puts(cli->colour ? "\033[0m" : "");
}

static void print_numbers(struct json_object *o)
{
	struct json_object *f = js_object(o, "flows"), *p = js_object(o, "pins"),
			   *b = js_object(o, "bindings");
	struct json_object *e = js_object(o, "events"), *r = js_object(o, "repairs"),
			   *c = js_object(o, "clients");
	char n[4][TEXT_NUMBER], d[2][DURATION_TEXT];

	printf("\nflowpind %s, pid %" PRId64 ", up %s; %s, read %s ago\n", js_text(o, "version"),
	       js_int(o, "pid"), duration_format((uint64_t)js_int(o, "uptime_ms"), d[0]),
	       js_text(o, "config"), duration_format((uint64_t)js_int(o, "config_age_ms"), d[1]));
	printf("  flows     %s of %s (%s by conntrack, %s by their pin alone)",
	       text_number(js_int(f, "count"), n[0]), text_number(js_int(f, "max"), n[1]),
	       text_number(js_int(f, "tracked"), n[2]), text_number(js_int(f, "one_way"), n[3]));
	if (js_int(f, "refused"))
		printf(", %s not listed: the table is full",
		       text_number(js_int(f, "refused"), n[0]));
	if (js_int(f, "over_source"))
		printf(", %s not listed: their source has its share",
		       text_number(js_int(f, "over_source"), n[0]));
	printf("\n  pins      room for %s", text_number(js_int(p, "max"), n[0]));
	if (js_int(p, "lost"))
		printf(", %s lost: the map is full", text_number(js_int(p, "lost"), n[0]));
	printf("\n  ids       %s of %s in use\n", text_number(js_int(b, "used"), n[0]),
	       text_number(js_int(b, "max"), n[1]));
	printf("  events    %s (%s overruns, %s resyncs)\n",
	       text_number(js_int(e, "received"), n[0]), text_number(js_int(e, "overruns"), n[1]),
	       text_number(js_int(e, "resyncs"), n[2]));
	printf("  repairs   %s of the ruleset, %s of rules and routes\n",
	       text_number(js_int(r, "ruleset"), n[0]), text_number(js_int(r, "policy"), n[1]));
	printf("  clients   %s connected, %s requests, %s refused\n",
	       text_number(js_int(c, "connected"), n[0]), text_number(js_int(c, "requests"), n[1]),
	       text_number(js_int(c, "refused"), n[2]));
	if (js_int(o, "unpinned_flows"))
		printf("  unpinned  %s flows of services without a pin\n",
		       text_number(js_int(o, "unpinned_flows"), n[0]));
}

static void print_services(const struct cli *cli, struct json_object *o)
{
	static const struct table_column columns[] = {
		{ "SERVICE", false, 0 }, { "PREFIXES", false, 18 }, { "PROTOCOL", false, 8 },
		{ "PORTS", false, 10 },	 { "NEXTHOPS", true, 0 },   { "ACTIVE", true, 0 },
		{ "FLOWS", true, 0 },	 { "IDLE", true, 0 },	    { "WITHDRAWN", false, 0 },
	};
	_cleanup_(table_clear) struct table t = { .columns = columns, .n = ARRAY_SIZE(columns) };
	char n[TEXT_NUMBER], d[DURATION_TEXT];

	for (size_t i = 0; i < js_len(o, "services"); i++) {
		static const char *const lists[] = { "prefixes", "protocols", "ports" };
		struct json_object *s = js_at(o, "services", i);

		table_add(&t, "%s", js_text(s, "name"));
		for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
			_cleanup_(strbuf_free) struct strbuf b = { 0 };

			join(s, lists[k], &b);
			table_add(&t, "%s", b.data ? b.data : "");
		}
		table_add(&t, "%s", text_number(js_int(s, "nexthops"), n));
		table_add_colour(&t, js_int(s, "active") ? NULL : "31", "%s",
				 text_number(js_int(s, "active"), n));
		table_add(&t, "%s", text_number(js_int(s, "flows"), n));
		table_add(&t, "%s", duration_format((uint64_t)js_int(s, "idle_timeout_ms"), d));
		table_add(&t, "%s", js_text(s, "on_withdraw"));
	}
	if (t.n_cells)
		putchar('\n');
	print_table(cli, &t, 0);
}

static void print_overrides(const struct cli *cli, struct json_object *o)
{
	static const struct table_column columns[] = {
		{ "SERVICE", false, 0 }, { "PREFIX", false, 0 }, { "WITHOUT", false, 15 },
		{ "TABLE", true, 0 },	 { "ROUTES", true, 0 },	 { "AGE", true, 0 },
	};
	_cleanup_(table_clear) struct table t = { .columns = columns, .n = ARRAY_SIZE(columns) };
	char d[DURATION_TEXT];

	for (size_t i = 0; i < js_len(o, "overrides"); i++) {
		struct json_object *v = js_at(o, "overrides", i);
		_cleanup_(strbuf_free) struct strbuf b = { 0 };

		join(v, "without", &b);
		table_add(&t, "%s", js_text(v, "service"));
		table_add(&t, "%s", js_text(v, "prefix"));
		table_add(&t, "%s", b.data ? b.data : "");
		table_add(&t, "%" PRId64, js_int(v, "table"));
		table_add(&t, "%" PRId64, js_int(v, "routes"));
		table_add(&t, "%s", duration_format((uint64_t)js_int(v, "age_ms"), d));
	}
	if (t.n_cells)
		puts("\nOverrides: new flows keep off a nexthop that a route still names");
	print_table(cli, &t, 2);
}

static void print_unpinned(struct json_object *o)
{
	if (js_len(o, "unpinned"))
		puts("\nNot pinned: every id is in use");
	for (size_t i = 0; i < js_len(o, "unpinned"); i++) {
		struct json_object *u = js_at(o, "unpinned", i);

		printf("  %s of %s\n", js_text(u, "nexthop"), js_text(u, "service"));
	}
}

static void print_warnings(const struct cli *cli, struct json_object *o)
{
	if (js_len(o, "warnings"))
		puts("\nWarnings");
	for (size_t i = 0; i < js_len(o, "warnings"); i++) {
		struct json_object *w = js_at(o, "warnings", i);

		printf("  %s%s%s\n", cli->colour ? "\033[33m" : "", js_text(w, "text"),
		       cli->colour ? "\033[0m" : "");
		if (*js_text(w, "command"))
			printf("    mend it: %s\n", js_text(w, "command"));
	}
}

static void print_status(const struct cli *cli, const struct cli_reply *reply, void *arg _unused_)
{
	print_verdict(cli, reply->json);
	print_warnings(cli, reply->json);
	print_services(cli, reply->json);
	print_overrides(cli, reply->json);
	print_unpinned(reply->json);
	print_numbers(reply->json);
}

int cmd_status(struct cli *cli, int argc _unused_, char **argv _unused_)
{
	return cli_call(cli, "Status", NULL, 0,
			cli->given & CLI_JSON ? cli_print_json : print_status, NULL);
}
