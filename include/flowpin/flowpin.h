/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What flowpin's programs share. */

#ifndef FLOWPIN_VERSION
#define FLOWPIN_VERSION "0.1.0"
#endif

#define FLOWPIN_CONFIG_PATH "/etc/flowpin/flowpin.conf"
#define FLOWPIN_CONTROL_PATH "/run/flowpin/control.sock"
#define FLOWPIN_DAEMON_PATH "/run/flowpin/daemon.sock"
#define FLOWPIN_GROUP "flowpin"

/* Exit codes, the same in every program. */
enum flowpin_exit {
	FLOWPIN_EXIT_OK = 0,
	FLOWPIN_EXIT_REFUSED = 1,  /* differences found, or refused */
	FLOWPIN_EXIT_FAILED = 2,   /* could not be done */
	FLOWPIN_EXIT_DEADLINE = 3, /* drain --wait: deadline with flows left */
	FLOWPIN_EXIT_TORN_DOWN = 4, /* flowpind ended by `flowpin teardown`: not to be restarted */
};
