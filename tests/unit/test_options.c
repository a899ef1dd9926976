// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <getopt.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/log.h"
#include "base/options.h"

struct given {
	const char *config;
	bool check, relax;
};

/* Parses words up to the first NULL. */
static int parse(struct given *g, const char *const words[])
{
	const struct option_row rows[] = {
		{ "config", "FILE", "a file", &g->config, NULL },
		{ "check", NULL, "a flag", NULL, &g->check },
		{ "relax", NULL, "another", NULL, &g->relax },
	};
	const struct option_table table = { "tested", "9.9", "Does it.", rows, ARRAY_SIZE(rows) };
	char *argv[8] = { (char *)"tested" };
	int argc = 1;

	while (words[argc - 1]) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	*g = (struct given){ .config = "default" };
	optind = 0;
	return options_parse(&table, argc, argv);
}

static void test_values(void **state _unused_)
{
	struct given g;

	assert_int_equal(parse(&g, (const char *[]){ NULL }), 0);
	assert_string_equal(g.config, "default");
	assert_false(g.check || g.relax);
	assert_int_equal(parse(&g, (const char *[]){ "--config", "x", "--relax", NULL }), 0);
	assert_string_equal(g.config, "x");
	assert_true(g.relax && !g.check);
	assert_int_equal(parse(&g, (const char *[]){ "--check", "--config=y", NULL }), 0);
	assert_string_equal(g.config, "y");
	assert_true(g.check && !g.relax);
}

/* Whether a line of the debug level is written. */
static bool debugs(void)
{
	int before = dup(STDERR_FILENO), file = memfd_create("stderr", 0);
	off_t size;

	assert_true(before >= 0 && file >= 0);
	assert_true(dup2(file, STDERR_FILENO) >= 0);
	log_debug("a line");
	assert_true(dup2(before, STDERR_FILENO) >= 0);
	size = lseek(file, 0, SEEK_END);
	close(before);
	close(file);
	return size > 0;
}

static void test_log_level(void **state _unused_)
{
	struct given g;

	assert_false(debugs());
	assert_int_equal(parse(&g, (const char *[]){ "--log-level", "loud", NULL }), -EINVAL);
	assert_false(debugs());
	assert_int_equal(parse(&g, (const char *[]){ "--log-level", "debug", NULL }), 0);
	assert_true(debugs());
	log_set_level(LOG_LEVEL_INFO);
}

static void test_ends(void **state _unused_)
{
	struct given g;

	assert_int_equal(parse(&g, (const char *[]){ "--help", NULL }), 1);
	assert_int_equal(parse(&g, (const char *[]){ "--version", "--config", NULL }), 1);
}

static void test_refused(void **state _unused_)
{
	static const char *const lines[][3] = {
		{ "--config" },	   { "--check=1" },  { "--nonsense" },
		{ "word" },	   { "--", "word" }, { "--check", "word" },
		{ "--c" }, /* --config or --check */
		{ "--log-level" }, { "-x" },
	};
	struct given g;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(parse(&g, lines[i]), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
