/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include "base/macros.h"

/* A growing string. Zero-initialised is empty. An allocation that fails sets `failed` and drops
 * what follows: check once at the end. */
struct strbuf {
	char *data; /* NUL-terminated once anything was added */
	size_t len, cap;
	bool failed;
};

/* Add a copy of these bytes, of a text, of a formatted text. */
void strbuf_add(struct strbuf *b, const char *data, size_t len);
void strbuf_adds(struct strbuf *b, const char *text);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) _printf_(2, 3);

/* Adds `text` as a JSON string with its quotes. Well-formed UTF-8 reads back as it was; control
 * characters are escaped, and so is each byte that is no UTF-8 (as \u00XX, which reads as another
 * text). */
void strbuf_add_json(struct strbuf *b, const char *text);

/* Empties it and keeps the memory; `failed` is false again. */
void strbuf_reset(struct strbuf *b);
/* Frees the memory; it is empty then. */
void strbuf_free(struct strbuf *b);
