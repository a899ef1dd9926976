// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include "cli/cli.h"
#include "cli/filter.h"

static const struct option_row {
	enum cli_option bit;
	const char *name, *arg, *help;
} option_rows[] = {
	{ CLI_JSON, "json", NULL, "print JSON" },
	{ CLI_WAIT, "wait", NULL, "wait until the last flow has ended" },
	{ CLI_DEADLINE, "deadline", "T", "wait no longer than this (30s, 10m, 2h)" },
	{ CLI_RELEASE_AT, "release-at", "T",
	  "then let the flows that are left go: in 2h, at 03:30, or @SECONDS since 1970" },
	{ CLI_FLOWS, "flows", NULL, "flows that begin and end, too" },
	{ CLI_YES, "yes", NULL, "do not ask" },
	{ CLI_PEER, "peer", "FILE", "compare with what another gateway printed (- is stdin)" },
	{ CLI_HELP, "help", NULL, "say what the command takes" },
};

static void complain(const char *fmt, va_list ap)
{
	fflush(stdout);
	fputs("flowpin: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int cli_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	return FLOWPIN_EXIT_FAILED;
}

int cli_refuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	return FLOWPIN_EXIT_REFUSED;
}

static const struct cli_command *command_find(const char *name)
{
	const struct cli_command *c = cli_commands();

	while (c->name && strcmp(c->name, name) != 0)
		c++;
	return c->name ? c : NULL;
}

static void print_usage(const struct cli_command *c)
{
	printf("Usage: flowpin %s", c->name);
	for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
		const struct option_row *o = &option_rows[i];

		if (c->options & o->bit)
			printf(" [--%s%s%s]", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	}
	printf("%s%s\n\nflowpin %s: %s.\n", *c->args ? " " : "", c->args, c->name, c->help);
}

static void print_command_help(const struct cli_command *c)
{
	char name[32];

	print_usage(c);
	if (c->more)
		printf("\n%s", c->more);
	if (strstr(c->args, "FILTER"))
		printf("\n%s", filter_help());
	if (c->options == 0)
		return;
	printf("\n");
	for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++) {
		const struct option_row *o = &option_rows[i];

		snprintf(name, sizeof(name), "--%s%s%s", o->name, o->arg ? " " : "",
			 o->arg ? o->arg : "");
		if (c->options & o->bit)
			printf("  %-16s  %s\n", name, o->help);
	}
}

static void print_help(void)
{
	char left[40];

	printf("Usage: flowpin [--socket PATH] [COMMAND [ARGUMENT ...]]\n\n"
	       "Asks and steers flowpind, which keeps flows on the ECMP nexthop that they started "
	       "on.\n"
	       "Without a command: status.\n\n");
	for (const struct cli_command *c = cli_commands(); c->name; c++) {
		snprintf(left, sizeof(left), "%s %s", c->name, c->args);
		printf("  %-26s %s\n", left, c->help);
	}
	printf("\n`flowpin COMMAND --help` says more. With --json status, nexthops and show print "
	       "one object; flows,\n"
	       "verify and monitor one object per line. --socket: default " FLOWPIN_CONTROL_PATH
	       ".\n"
	       "Exit status: 0; 1 differences found, or refused; 2 could not be done; 3 a drain's "
	       "deadline came.\n");
}

int cmd_help(struct cli *cli _unused_, int argc, char **argv)
{
	const struct cli_command *c = argc > 0 ? command_find(argv[0]) : NULL;

	if (argc > 0 && !c)
		return cli_fail("there is no command \"%s\" (see flowpin help)", argv[0]);
	if (c)
		print_command_help(c);
	else
		print_help();
	return FLOWPIN_EXIT_OK;
}

/* Reads the options of a subcommand; argv[0] is its name. Returns the index of its first argument,
 * or -1 with the sentence said. */
static int command_options(struct cli *cli, int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(option_rows) + 1] = { 0 };
	int n = 0, o, index = 0;

	for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++)
		if ((cli->command->options | CLI_HELP) & option_rows[i].bit)
			longs[n++] =
				(struct option){ option_rows[i].name, option_rows[i].arg ? 1 : 0,
						 NULL, (int)option_rows[i].bit };
	opterr = 0;
	optind = 0;
	while ((o = getopt_long(argc, argv, ":h", longs, &index)) != -1) {
		if (o == '?' || o == ':') {
			cli_fail("flowpin %s %s (see flowpin %s --help)", cli->command->name,
				 o == ':' ? "misses the value of its last option"
					  : "does not take that option",
				 cli->command->name);
			return -1;
		}
		cli->given |= o == 'h' ? CLI_HELP : (uint32_t)o;
		if (o == CLI_DEADLINE)
			cli->deadline = optarg;
		if (o == CLI_RELEASE_AT)
			cli->release_at = optarg;
		if (o == CLI_PEER)
			cli->peer = optarg;
	}
	return optind;
}

/* A pasted flow has an arrow in it, which getopt would take for an option. */
static int arrows_remove(int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "->") != 0)
			argv[n++] = argv[i];
	return n;
}

static int command_run(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *c = cli->command;
	int first, n, r;

	argc = arrows_remove(argc, argv);
	first = command_options(cli, argc, argv);
	if (first < 0)
		return CLI_EXIT_USAGE;
	if (cli->given & CLI_HELP) {
		print_command_help(c);
		return FLOWPIN_EXIT_OK;
	}
	n = argc - first;
	if (n < c->min_args || (c->max_args >= 0 && n > c->max_args))
		return cli_fail("usage: flowpin %s%s%s (see flowpin %s --help)", c->name,
				*c->args ? " " : "", c->args, c->name);
	r = c->fn(cli, n, argv + first);
	if (fflush(stdout) != 0 && r == FLOWPIN_EXIT_OK)
		return cli_fail("cannot write: %s", strerror(errno));
	return r;
}

static void terminal_ask(struct cli *cli)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize ws;

	if (!isatty(STDOUT_FILENO))
		return;
	cli->colour = !(none && *none) && !(term && strcmp(term, "dumb") == 0);
	cli->width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 ? ws.ws_col : 80;
}

int cli_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	char word[] = "status", *status[] = { word, NULL };
	struct cli cli = { .socket_path = FLOWPIN_CONTROL_PATH };
	int o;

	opterr = 0;
	while ((o = getopt_long(argc, argv, "+:hV", longs, NULL)) != -1) {
		switch (o) {
		case 's':
			cli.socket_path = optarg;
			break;
		case 'h':
			print_help();
			return FLOWPIN_EXIT_OK;
		case 'V':
			printf("flowpin %s\n", FLOWPIN_VERSION);
			return FLOWPIN_EXIT_OK;
		case ':':
			return cli_fail("--socket needs a path");
		default:
			return cli_fail("%s is no option of flowpin (see flowpin --help)",
					argv[optind - 1]);
		}
	}
	terminal_ask(&cli);
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		argc = 1;
		argv = status;
	}
	cli.command = command_find(argv[0]);
	if (!cli.command)
		return cli_fail("there is no command \"%s\" (see flowpin help)", argv[0]);
	return command_run(&cli, argc, argv);
}
