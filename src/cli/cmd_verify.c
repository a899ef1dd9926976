// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include "cli/cli.h"
#include "cli/peer.h"
#include "cli/text.h"

struct verdict {
	size_t differences, unread;
	bool clean;
};

static void print_totals(struct json_object *o, const struct verdict *v)
{
	char n[3][TEXT_NUMBER];

	for (size_t i = 0; i < v->unread; i++)
		printf("not read: %s\n", json_object_get_string(js_at(o, "unread", i)));
	if (v->differences)
		printf("%zu difference%s", v->differences, text_plural((int64_t)v->differences));
	else
		fputs(v->clean ? "clean" : "no difference in what could be read", stdout);
	printf(": %s flows, %s conntrack entries, %s pins compared\n",
	       text_number(js_int(o, "flows"), n[0]), text_number(js_int(o, "conntrack"), n[1]),
	       text_number(js_int(o, "pins"), n[2]));
}

static void on_verify(const struct cli *cli, const struct cli_reply *reply, void *arg)
{
	struct json_object *o = reply->json;
	struct slice array, inside, one;
	struct verdict *v = arg;

	v->differences += js_len(o, "differences");
	v->unread = js_len(o, "unread");
	v->clean = js_bool(o, "clean");
	if (cli->given & CLI_JSON) {
		if (slice_find(reply->params, "differences", &array) &&
		    slice_open(array, '[', &inside))
			while (slice_item(&inside, &one))
				cli_print_json_value(one);
		if (reply->last)
			cli_print_json(cli, reply, NULL);
		return;
	}
	for (size_t i = 0; i < js_len(o, "differences"); i++) {
		struct json_object *d = js_at(o, "differences", i);

		printf("%s: %s: %s\n", js_text(d, "plane"), js_text(d, "subject"),
		       js_text(d, "text"));
	}
	if (reply->last)
		print_totals(o, v);
}

static void take_reply(const struct cli *cli _unused_, const struct cli_reply *reply, void *arg)
{
	*(struct json_object **)arg = json_object_get(reply->json);
}

static void print_difference(const char *subject, const char *text, void *arg)
{
	const struct cli *cli = arg;
	_cleanup_(js_putp) struct json_object *o = NULL;

	if (!(cli->given & CLI_JSON)) {
		printf("%s: %s\n", subject, text);
		return;
	}
	o = json_object_new_object();
	js_add_text(o, "plane", "peer");
	js_add_text(o, "subject", subject);
	js_add_text(o, "text", text);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

static int verify_peer(struct cli *cli)
{
	_cleanup_(peer_state_clear) struct peer_state here = { 0 }, there = { 0 };
	struct err e = { 0 };
	size_t n;
	int r;

	if (peer_read(cli->peer, &there, &e) < 0)
		return cli_fail("%s", e.text);
	r = cli_call(cli, "Status", NULL, 0, take_reply, &here.status);
	if (r == 0)
		r = cli_call(cli, "Nexthops", NULL, 0, take_reply, &here.nexthops);
	if (r != 0)
		return r;
	n = peer_compare(&here, &there, print_difference, cli);
	if (!(cli->given & CLI_JSON) && n > 0)
		printf("%zu difference%s: flows would not stay on their nexthops\n", n,
		       text_plural((int64_t)n));
	else if (!(cli->given & CLI_JSON))
		printf("clean: %zu nexthops here and %zu there\n",
		       js_len(here.nexthops, "nexthops"), js_len(there.nexthops, "nexthops"));
	return n > 0 ? FLOWPIN_EXIT_REFUSED : FLOWPIN_EXIT_OK;
}

int cmd_verify(struct cli *cli, int argc _unused_, char **argv _unused_)
{
	struct verdict v = { 0 };
	int r;

	if (cli->given & CLI_PEER)
		return verify_peer(cli);
	r = cli_call(cli, "Verify", NULL, CLI_CALL_MORE, on_verify, &v);
	if (r != 0)
		return r;
	if (v.unread > 0)
		return FLOWPIN_EXIT_FAILED;
	return v.differences == 0 && v.clean ? FLOWPIN_EXIT_OK : FLOWPIN_EXIT_REFUSED;
}
