// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/filter.h"
#include "cli/flow_line.h"
#include "cli/text.h"

#define LISTING_NICE 10

/* What the replies of a listing leave behind. */
struct listing {
	struct flow_lines lines;
	bool bad; /* a reply was not understood */
};

/* The inside of the array "flows", which is all that the reply holds. */
static bool flows_open(struct slice params, struct slice *ret_inside)
{
	static const char head[] = "{\"flows\":[", tail[] = "]}";
	const size_t front = sizeof(head) - 1, end = sizeof(tail) - 1;
	struct slice array;

	/* As flowpind writes it: it need not be walked through to find its end. */
	if (params.len >= front + end && memcmp(params.p, head, front) == 0 &&
	    memcmp(params.p + params.len - end, tail, end) == 0) {
		*ret_inside = (struct slice){ params.p + front, params.len - front - end };
		return true;
	}
	return slice_find(params, "flows", &array) && slice_open(array, '[', ret_inside);
}

static void on_flows(const struct cli *cli, const struct cli_reply *reply, void *arg)
{
	struct listing *l = arg;
	struct slice inside, flow;

	if (!flows_open(reply->params, &inside)) {
		l->bad = true;
		return;
	}
	if (cli->given & CLI_JSON)
		while (slice_item(&inside, &flow))
			cli_print_json_value(flow);
	else
		flow_lines_print(&l->lines, &inside, stdout);
	if (inside.len > 0)
		l->bad = true;
}

int cli_list_flows(const struct cli *cli, struct json_object *filter)
{
	struct listing l = { .lines.colour = cli->colour };
	struct json_object *params = json_object_new_object();
	int r;

	json_object_object_add(params, "filter", filter);
	/* Replies of 32 flows each: without this every one of them is a write. And a long listing
	 * is in no hurry: whoever asks flowpind something meanwhile goes first. */
	setvbuf(stdout, NULL, _IOFBF, 256 * 1024);
	if (nice(LISTING_NICE) < 0)
		errno = 0;
	r = cli_call(cli, "Flows", params, CLI_CALL_MORE | CLI_CALL_RAW, on_flows, &l);
	flow_lines_clear(&l.lines);
	return r == 0 && l.bad ? cli_fail("flowpind's reply is not understood") : r;
}

int cmd_flows(struct cli *cli, int argc, char **argv)
{
	struct json_object *filter;
	struct err e = { 0 };

	if (filter_parse(argc, argv, &filter, &e) < 0)
		return cli_fail("%s", e.text);
	return cli_list_flows(cli, filter);
}

static void print_flow(struct json_object *f)
{
	bool v6 = strchr(js_text(f, "src"), ':') != NULL;
	const char *left = v6 ? "[" : "", *right = v6 ? "]" : "";
	char d[DURATION_TEXT];

	printf("%s %s%s%s:%" PRId64 " -> %s%s%s:%" PRId64, js_text(f, "protocol"), left,
	       js_text(f, "src"), right, js_int(f, "sport"), left, js_text(f, "dst"), right,
	       js_int(f, "dport"));
	if (js_int(f, "zone"))
		printf(" zone %" PRId64, js_int(f, "zone"));
	printf("\n\n  service    %s\n  nexthop    %s (id %" PRId64 ", mark %s)\n",
	       js_text(f, "service"), js_text(f, "nexthop"), js_int(f, "id"), js_text(f, "mark"));
	printf("  learned    %s ago (%s)\n  witness    %s%s\n",
	       duration_format((uint64_t)js_int(f, "age_ms"), d), js_text(f, "learned"),
	       js_text(f, "witness"), js_bool(f, "closed") ? ", closed" : "");
	for (size_t i = 0; i < js_len(f, "switches"); i++) {
		struct json_object *s = js_at(f, "switches", i);

		printf("  switch     %s: %s%s%s", js_text(s, "name"), js_text(s, "state"),
		       *js_text(s, "text") ? ", " : "", js_text(s, "text"));
		if (js_has(s, "packets"))
			printf(", %" PRId64 " packets, %" PRId64 " bytes", js_int(s, "packets"),
			       js_int(s, "bytes"));
		putchar('\n');
	}
}

static void print_show(const struct cli *cli, const struct cli_reply *reply, void *arg _unused_)
{
	struct json_object *o = reply->json, *ct = js_object(o, "conntrack"),
			   *pin = js_object(o, "pin");
	struct json_object *list = json_object_new_array(), *one = json_object_new_object();

	print_flow(js_object(o, "flow"));
	if (js_bool(ct, "present")) {
		printf("  conntrack  mark %s, %" PRId64 "s left",
		       *js_text(ct, "mark") ? js_text(ct, "mark") : "none", js_int(ct, "timeout"));
		puts(js_bool(ct, "assured")   ? ", assured"
		     : js_bool(ct, "replied") ? ", answered"
					      : ", unanswered");
	} else {
		puts("  conntrack  no entry");
	}
	if (js_bool(pin, "present"))
		printf("  pin        %s (id %" PRId64 ")\n", js_text(pin, "nexthop"),
		       js_int(pin, "id"));
	else
		puts("  pin        none");
	if (!js_object(o, "binding")) {
		json_object_put(list);
		json_object_put(one);
		return;
	}
	putchar('\n');
	json_object_array_add(list, json_object_get(js_object(o, "binding")));
	json_object_object_add(one, "list", list);
	cli_print_bindings(cli, one, "list");
	json_object_put(one);
}

int cmd_show(struct cli *cli, int argc, char **argv)
{
	struct json_object *filter, *params = NULL;
	struct err e = { 0 };

	if (filter_parse(argc, argv, &filter, &e) < 0)
		return cli_fail("%s", e.text);
	params = json_object_new_object();
	json_object_object_add(params, "filter", filter);
	return cli_call(cli, "Show", params, 0, cli->given & CLI_JSON ? cli_print_json : print_show,
			NULL);
}
