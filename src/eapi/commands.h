/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/strbuf.h"

/* The commands of one request, in order. Zero-initialised is empty. */
struct commands {
	struct strbuf text; /* each with its NUL */
	size_t *at;	    /* where each begins */
	size_t n, cap;
	bool failed; /* out of memory: check once at the end */
};

/* Adds one command. A control character in it drops the command and sets `failed`: nothing that was
 * put into a template may begin another command. */
void commands_add(struct commands *c, const char *command);
/* i < n. Borrowed until the next one is added. */
const char *commands_get(const struct commands *c, size_t i);
/* Empties it and keeps the memory; `failed` is false again. */
void commands_reset(struct commands *c);
/* Frees the memory; it is empty then. */
void commands_free(struct commands *c);

/* What a template's {key} stands for; a value of NULL leaves the whole command out. */
struct command_word {
	const char *key, *value;
};

/* Fills a template in and adds it. An unknown {key} stays as it is, for EOS to refuse. False: a
 * value is missing. */
bool commands_add_template(struct commands *c, const char *template,
			   const struct command_word *words, size_t n);
