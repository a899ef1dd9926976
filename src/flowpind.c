// SPDX-License-Identifier: GPL-2.0-or-later
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "daemon/daemon.h"
#include "flowpin/flowpin.h"

enum mode { MODE_RUN, MODE_CHECK, MODE_RELAX, MODE_TEARDOWN };

enum {
	OPT_CONFIG = 256,
	OPT_SOCKET,
	OPT_LOG_LEVEL,
	OPT_CHECK,
	OPT_RELAX,
	OPT_TEARDOWN,
	OPT_NO_OWNER,
	OPT_HELP,
	OPT_VERSION
};

static const struct option options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "relax", no_argument, NULL, OPT_RELAX },
	{ "teardown", no_argument, NULL, OPT_TEARDOWN },
	{ "no-owner", no_argument, NULL, OPT_NO_OWNER },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static const char usage[] =
	"Usage: flowpind [OPTION...]\n"
	"Keeps every flow on the ECMP nexthop that it started on. Runs in the foreground.\n\n"
	"  --config FILE      the configuration (" FLOWPIN_CONFIG_PATH ")\n"
	"  --socket PATH      the control socket (" FLOWPIN_CONTROL_PATH ")\n"
	"  --log-level LEVEL  error, warning, notice, info or debug (info)\n"
	"  --check            read and check the configuration, and end\n"
	"  --relax            remove overrides and blackholes of a daemon that is gone, and end\n"
	"  --teardown         remove everything of ours from the kernel, without a daemon, and "
	"end\n"
	"  --no-owner         do without table ownership, as on kernels before 6.9\n"
	"  --version          print the version, and end\n"
	"  --help             this text\n";

struct arguments {
	struct daemon_options daemon;
	enum mode mode;
};

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct arguments *a)
{
	enum log_level level;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case OPT_CONFIG:
			a->daemon.config_path = optarg;
			break;
		case OPT_SOCKET:
			a->daemon.socket_path = optarg;
			break;
		case OPT_LOG_LEVEL:
			if (log_level_parse(optarg, &level) < 0) {
				fprintf(stderr,
					"flowpind: %s is no log level (error, warning, notice, "
					"info, debug)\n",
					optarg);
				return FLOWPIN_EXIT_FAILED;
			}
			log_set_level(level);
			break;
		case OPT_CHECK:
			a->mode = MODE_CHECK;
			break;
		case OPT_RELAX:
			a->mode = MODE_RELAX;
			break;
		case OPT_TEARDOWN:
			a->mode = MODE_TEARDOWN;
			break;
		case OPT_NO_OWNER:
			a->daemon.no_owner = true;
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			return FLOWPIN_EXIT_OK;
		case OPT_VERSION:
			puts("flowpind " FLOWPIN_VERSION);
			return FLOWPIN_EXIT_OK;
		default:
			fputs("flowpind: see flowpind --help\n", stderr);
			return FLOWPIN_EXIT_FAILED;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "flowpind: %s is not an option; see flowpind --help\n",
			argv[optind]);
		return FLOWPIN_EXIT_FAILED;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct arguments a = { .daemon = { .config_path = FLOWPIN_CONFIG_PATH,
					   .socket_path = FLOWPIN_CONTROL_PATH } };
	_cleanup_(config_freep) struct config *config = NULL;
	struct err e = { 0 };
	int r;

	r = parse(argc, argv, &a);
	if (r >= 0)
		return r;
	r = config_load(a.daemon.config_path, &config, &e);
	switch (a.mode) {
	case MODE_CHECK:
		if (r < 0)
			break;
		printf("%s: %zu services, in order\n", a.daemon.config_path, config->services.n);
		return FLOWPIN_EXIT_OK;
	case MODE_RELAX:
	case MODE_TEARDOWN:
		/* These work without a valid configuration. */
		return oneshot_remove(config, a.mode == MODE_RELAX);
	case MODE_RUN:
		if (r < 0)
			break;
		return daemon_run(&a.daemon, TAKE_PTR(config));
	}
	log_error("%s", e.text);
	return a.mode == MODE_CHECK ? FLOWPIN_EXIT_REFUSED : FLOWPIN_EXIT_FAILED;
}
