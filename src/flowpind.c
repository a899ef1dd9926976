// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include "base/log.h"
#include "base/options.h"
#include "daemon/daemon.h"
#include "daemon/oneshot.h"
#include "flowpin/flowpin.h"

int main(int argc, char **argv)
{
	struct daemon_options o = { .config_path = FLOWPIN_CONFIG_PATH,
				    .socket_path = FLOWPIN_CONTROL_PATH };
	bool check = false, relax = false, teardown = false;
	const struct option_row rows[] = {
		{ "config", "FILE", "the configuration", &o.config_path, NULL },
		{ "socket", "PATH", "the control socket", &o.socket_path, NULL },
		{ "check", NULL, "read and check the configuration, and end", NULL, &check },
		{ "relax", NULL,
		  "remove overrides and blackholes of a daemon that is gone, and end", NULL,
		  &relax },
		{ "teardown", NULL,
		  "remove everything of ours from the kernel, without a daemon, and end", NULL,
		  &teardown },
		{ "no-owner", NULL, "do without table ownership, as on kernels before 6.9", NULL,
		  &o.no_owner },
	};
	const struct option_table table = {
		"flowpind", FLOWPIN_VERSION,
		"Keeps every flow on the ECMP nexthop that it started on.", rows, ARRAY_SIZE(rows)
	};
	_cleanup_(config_freep) struct config *config = NULL;
	struct err e = { 0 };
	int r;

	r = options_parse(&table, argc, argv);
	if (r != 0)
		return r < 0 ? FLOWPIN_EXIT_FAILED : FLOWPIN_EXIT_OK;
	if (check + relax + teardown > 1) {
		fputs("flowpind: --check, --relax and --teardown exclude each other\n", stderr);
		return FLOWPIN_EXIT_FAILED;
	}
	r = config_load(o.config_path, &config, &e);
	/* These work without a valid configuration. */
	if (relax || teardown)
		return oneshot_remove(config, relax);
	if (r < 0) {
		log_error("%s", e.text);
		return check ? FLOWPIN_EXIT_REFUSED : FLOWPIN_EXIT_FAILED;
	}
	if (!check)
		return daemon_run(&o, TAKE_PTR(config));
	printf("%s: %zu services, in order\n", o.config_path, config->services.n);
	return FLOWPIN_EXIT_OK;
}
