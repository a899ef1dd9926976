/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/macros.h"

/* The command line of a daemon: long options, by a table. --log-level, --version and --help every
 * daemon has; they need no row. */

struct option_row {
	const char *name;
	const char *arg;   /* what --help calls its value; NULL: it takes none */
	const char *help;  /* a few words; the default of `text` is added */
	const char **text; /* where the value goes, borrowed of argv; holds the default */
	bool *flag; /* set to true when the option is given; exactly one of the two is there */
};
#define OPTION_ROWS_MAX 8

struct option_table {
	const char *program, *version;
	const char *about; /* one sentence, for --help */
	const struct option_row *rows;
	size_t n; /* at most OPTION_ROWS_MAX */
};

/* Reads the command line; --log-level takes effect at once. Returns 0 to go on, 1 when the text
 * that --version or --help ask for was printed; -EINVAL when it is not understood, which is said on
 * stderr in one sentence. Never blocks. */
int options_parse(const struct option_table *t, int argc, char **argv) _must_check_;
