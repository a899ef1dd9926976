// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/text.h"
#include "config/config.h"

int cmd_check(struct cli *cli _unused_, int argc, char **argv)
{
	const char *path = argc > 0 ? argv[0] : FLOWPIN_CONFIG_PATH;
	_cleanup_(config_freep) struct config *c = NULL;
	size_t prefixes = 0, n;
	struct err e = { 0 };
	int r;

	r = config_load(path, &c, &e);
	if (r == -EINVAL || r == -EFBIG)
		return cli_refuse("%s", e.text);
	if (r < 0)
		return cli_fail("%s", e.text);
	n = c->services.n;
	for (size_t i = 0; i < n; i++)
		prefixes += c->services.list[i].n_prefixes;
	printf("%s: %zu service%s, %zu prefix%s, ok\n", path, n, text_plural((int64_t)n), prefixes,
	       prefixes == 1 ? "" : "es");
	return FLOWPIN_EXIT_OK;
}

static void count_flows(const struct cli *cli _unused_, const struct cli_reply *reply, void *arg)
{
	int64_t *flows = arg;

	*flows = js_int(js_object(reply->json, "flows"), "count");
}

/* Asks whoever sits there. 0 for yes, else the exit code. */
static int teardown_ask(const struct cli *cli)
{
	char line[16] = "", n[TEXT_NUMBER];
	int64_t flows = 0;
	int r;

	if (!isatty(STDIN_FILENO))
		return cli_refuse(
			"teardown asks first, and there is no terminal to ask on: use --yes");
	r = cli_call(cli, "Status", NULL, 0, count_flows, &flows);
	if (r != 0)
		return r;
	fprintf(stderr,
		"This unpins %s flow%s, removes everything of flowpin from the kernel and ends "
		"flowpind.\n"
		"Go on? [y/N] ",
		text_number(flows, n), text_plural(flows));
	if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y'))
		return 0;
	return cli_refuse("nothing was removed");
}

static void print_done(const struct cli *cli _unused_, const struct cli_reply *reply _unused_,
		       void *arg _unused_)
{
	puts("everything of flowpin is removed; flowpind has ended");
}

int cmd_teardown(struct cli *cli, int argc _unused_, char **argv _unused_)
{
	int r = cli->given & CLI_YES ? 0 : teardown_ask(cli);

	return r == 0 ? cli_call(cli, "Teardown", NULL, 0, print_done, NULL) : r;
}
