/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "kernel/ruleset_world.h"

/* What the tests of the ruleset do again and again. */

/* The world of the group with its model as world_model() makes it; without one the test is
 * skipped. */
#define WORLD_OR_SKIP(state)                                                                       \
	struct world *w = *(state);                                                                \
	if (!w)                                                                                    \
		skip();                                                                            \
	world_model(w)

static inline _unused_ struct ruleset *open_ruleset(bool no_owner)
{
	struct ruleset_options options = { .no_owner = no_owner };
	struct ruleset *r = NULL;
	struct err e = { 0 };
	int code = ruleset_new(&options, &r, &e);

	if (code < 0)
		print_message("ruleset_new: %s\n", e.text);
	assert_int_equal(code, 0);
	return r;
}

static inline _unused_ size_t sync_ok(struct ruleset *r, const struct ruleset_model *m)
{
	struct err e = { 0 };
	size_t n = 0;
	int code = ruleset_sync(r, m, NULL, NULL, &n, &e);

	if (code < 0)
		print_message("ruleset_sync: %s\n", e.text);
	assert_int_equal(code, 0);
	return n;
}

static inline _unused_ void must_list(const char *listing, const char *text)
{
	if (!strstr(listing, text))
		print_message("not listed: %s\n%s", text, listing);
	assert_non_null(strstr(listing, text));
}

static inline _unused_ void count_difference(const char *sentence, void *arg)
{
	(void)sentence;
	(*(size_t *)arg)++;
}

static inline _unused_ size_t differences(struct ruleset *r, const struct ruleset_model *m)
{
	struct err e = { 0 };
	size_t n = 0;

	assert_int_equal(ruleset_verify(r, m, count_difference, &n, &e), 0);
	return n;
}

static inline _unused_ int remove_table(void **state)
{
	struct ruleset *r;

	if (!*state)
		return 0;
	r = open_ruleset(false);
	world_run(NULL, "nft delete table ip others 2>/dev/null; conntrack -F 2>/dev/null");
	if (ruleset_remove(r, NULL) < 0)
		return -1;
	ruleset_free(r);
	return 0;
}

static inline _unused_ int build_world(void **state)
{
	static struct world w;

	*state = world_build(&w) ? &w : NULL;
	return 0;
}

static inline _unused_ int destroy_world(void **state)
{
	if (*state)
		world_destroy(*state);
	return 0;
}
