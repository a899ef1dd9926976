// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include "base/log.h"

enum { OPT_LOG_LEVEL = 256, OPT_VERSION, OPT_HELP, OPT_ROW };

static void print_row(const char *name, const char *arg, const char *help, const char *initial)
{
	char left[32];

	snprintf(left, sizeof(left), "--%s%s%s", name, arg ? " " : "", arg ? arg : "");
	printf("  %-18s %s", left, help);
	if (initial)
		printf(" (%s)", initial);
	putchar('\n');
}

static void print_help(const struct option_table *t)
{
	printf("Usage: %s [OPTION...]\n%s Runs in the foreground.\n\n", t->program, t->about);
	for (size_t i = 0; i < t->n; i++)
		print_row(t->rows[i].name, t->rows[i].arg, t->rows[i].help,
			  t->rows[i].text ? *t->rows[i].text : NULL);
	print_row("log-level", "LEVEL", "error, warning, notice, info or debug", "info");
	print_row("version", NULL, "print the version, and end", NULL);
	print_row("help", NULL, "this text", NULL);
}

static int set_log_level(const struct option_table *t, const char *word)
{
	enum log_level level;

	if (log_level_parse(word, &level) < 0) {
		fprintf(stderr, "%s: %s is no log level (error, warning, notice, info, debug)\n",
			t->program, word);
		return -EINVAL;
	}
	log_set_level(level);
	return 0;
}

static void fill(const struct option_table *t, struct option *ret_long)
{
	size_t n = 0;

	ret_long[n++] = (struct option){ "log-level", required_argument, NULL, OPT_LOG_LEVEL };
	ret_long[n++] = (struct option){ "version", no_argument, NULL, OPT_VERSION };
	ret_long[n++] = (struct option){ "help", no_argument, NULL, OPT_HELP };
	for (size_t i = 0; i < t->n && i < OPTION_ROWS_MAX; i++)
		ret_long[n++] = (struct option){ t->rows[i].name,
						 t->rows[i].text ? required_argument : no_argument,
						 NULL, OPT_ROW + (int)i };
	ret_long[n] = (struct option){ 0 };
}

/* One option. As options_parse(). */
static int take(const struct option_table *t, int c)
{
	const struct option_row *row;

	switch (c) {
	case OPT_LOG_LEVEL:
		return set_log_level(t, optarg);
	case OPT_VERSION:
		printf("%s %s\n", t->program, t->version);
		return 1;
	case OPT_HELP:
		print_help(t);
		return 1;
	case '?':
		fprintf(stderr, "%s: see %s --help\n", t->program, t->program);
		return -EINVAL;
	}
	row = &t->rows[c - OPT_ROW];
	if (row->text)
		*row->text = optarg;
	else
		*row->flag = true;
	return 0;
}

int options_parse(const struct option_table *t, int argc, char **argv)
{
	struct option options[OPTION_ROWS_MAX + 4];
	int c, r;

	fill(t, options);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = take(t, c);
		if (r != 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "%s: %s is not an option; see %s --help\n", t->program,
			argv[optind], t->program);
		return -EINVAL;
	}
	return 0;
}
