// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/clock.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/text.h"
#include "core/service.h"

/* drain, undrain and release: what is done to the nexthop of one service or of all. */

static int nexthop_params(int argc, char **argv, struct json_object **ret_params)
{
	struct nexthop_spec spec;
	char buf[NEXTHOP_TEXT];

	if (nexthop_spec_parse(argv[0], &spec) < 0)
		return cli_fail("\"%s\" is no nexthop (ADDRESS, ADDRESS%%INTERFACE or %%INTERFACE)",
				argv[0]);
	*ret_params = json_object_new_object();
	js_add_text(*ret_params, "nexthop", nexthop_spec_format(&spec, buf));
	js_add_text(*ret_params, "service", argc > 1 ? argv[1] : NULL);
	return 0;
}

/* A drain as its replies tell it. */
struct progress {
	uint64_t begin_ms;
	bool live; /* a line on the terminal is rewritten */
	int64_t flows;
	char outcome[32];
};

static void on_drain(const struct cli *cli, const struct cli_reply *reply, void *arg)
{
	struct progress *p = arg;
	char d[DURATION_TEXT], n[TEXT_NUMBER];

	p->flows = js_int(reply->json, "flows");
	if (reply->last)
		snprintf(p->outcome, sizeof(p->outcome), "%s", js_text(reply->json, "outcome"));
	if (p->live)
		fprintf(stderr, "\r\033[K%s", reply->last ? "" : "draining: ");
	if (p->live && !reply->last)
		fprintf(stderr, "%s flow%s left, %s", text_number(p->flows, n),
			text_plural(p->flows),
			duration_format((clock_now_ms() - p->begin_ms) / 1000 * 1000, d));
	if (cli->given & CLI_JSON)
		cli_print_json(cli, reply, NULL);
	else if (reply->last && !(cli->given & CLI_WAIT))
		cli_print_bindings(cli, reply->json, "bindings");
}

static int drain_params(const struct cli *cli, struct json_object *params)
{
	uint64_t ms;
	int64_t at;

	if (cli->deadline) {
		if (parse_duration_ms(cli->deadline, &ms) < 0)
			return cli_fail("--deadline \"%s\" is no duration (30s, 10m, 2h)",
					cli->deadline);
		json_object_object_add(params, "deadline_ms", json_object_new_int64((int64_t)ms));
	}
	if (cli->release_at) {
		if (text_time_parse(cli->release_at, (time_t)clock_wall_s(), &at) < 0)
			return cli_fail("--release-at \"%s\" is no time (2h, 03:30, @SECONDS)",
					cli->release_at);
		json_object_object_add(params, "release_at", json_object_new_int64(at));
	}
	if (cli->given & CLI_WAIT)
		json_object_object_add(params, "wait", json_object_new_boolean(1));
	return 0;
}

static int drain_end(const struct cli *cli, const struct progress *p, int argc, char **argv)
{
	struct json_object *filter;
	char d[DURATION_TEXT], n[TEXT_NUMBER];
	uint64_t s;
	int r;

	if (strcmp(p->outcome, "deadline") == 0) {
		cli_fail("the deadline came with %s flow%s left", text_number(p->flows, n),
			 text_plural(p->flows));
		if (cli->given & CLI_JSON)
			return FLOWPIN_EXIT_DEADLINE;
		r = nexthop_params(argc, argv, &filter);
		if (r == 0)
			r = cli_list_flows(cli, filter);
		return r == 0 ? FLOWPIN_EXIT_DEADLINE : r;
	}
	if (strcmp(p->outcome, "undrained") == 0)
		return cli_fail("the drain was taken back while %s flow%s were left",
				text_number(p->flows, n), text_plural(p->flows));
	if ((cli->given & CLI_JSON) || !(cli->given & CLI_WAIT))
		return FLOWPIN_EXIT_OK;
	s = (clock_now_ms() - p->begin_ms) / 1000;
	if (s > 0)
		printf("%s is empty after %s\n", argv[0], duration_format(s * 1000, d));
	else
		printf("%s is empty\n", argv[0]);
	return FLOWPIN_EXIT_OK;
}

int cmd_drain(struct cli *cli, int argc, char **argv)
{
	struct progress p = { .begin_ms = clock_now_ms() };
	bool wait = cli->given & CLI_WAIT;
	struct json_object *params;
	int r;

	r = nexthop_params(argc, argv, &params);
	if (r != 0)
		return r;
	r = drain_params(cli, params);
	if (r != 0) {
		json_object_put(params);
		return r;
	}
	p.live = wait && isatty(STDERR_FILENO) && !(cli->given & CLI_JSON);
	r = cli_call(cli, "Drain", params, wait ? CLI_CALL_MORE : 0, on_drain, &p);
	return r == 0 ? drain_end(cli, &p, argc, argv) : r;
}

static void print_changed(const struct cli *cli, const struct cli_reply *reply, void *arg)
{
	char n[TEXT_NUMBER];

	if (cli->given & CLI_JSON) {
		cli_print_json(cli, reply, arg);
		return;
	}
	if (js_has(reply->json, "flows"))
		printf("%s flow%s released\n", text_number(js_int(reply->json, "flows"), n),
		       text_plural(js_int(reply->json, "flows")));
	cli_print_bindings(cli, reply->json, "bindings");
}

static int nexthop_call(struct cli *cli, const char *method, int argc, char **argv)
{
	struct json_object *params;
	int r;

	r = nexthop_params(argc, argv, &params);
	return r == 0 ? cli_call(cli, method, params, 0, print_changed, NULL) : r;
}

int cmd_undrain(struct cli *cli, int argc, char **argv)
{
	return nexthop_call(cli, "Undrain", argc, argv);
}

int cmd_release(struct cli *cli, int argc, char **argv)
{
	return nexthop_call(cli, "Release", argc, argv);
}
