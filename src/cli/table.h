/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include "base/strbuf.h"

/* Aligned columns of text. Cells hold printable ASCII. */
struct table_column {
	const char *title;
	bool right;    /* numbers */
	size_t shrink; /* may be cut down to this width on a narrow terminal; 0: never */
};

struct table_cell {
	char *text;
	const char *colour; /* SGR parameters ("31") or NULL; borrowed */
};

/* Zero-initialised but for columns and n. Cells are added row by row. */
struct table {
	const struct table_column *columns;
	size_t n;
	struct table_cell *cells;
	size_t n_cells, cap;
	bool failed; /* without memory */
};

/* Adds one cell. Without memory `failed` is set, and the cell is missing. */
void table_add(struct table *t, const char *fmt, ...) _printf_(2, 3);
/* The same in a colour. */
void table_add_colour(struct table *t, const char *colour, const char *fmt, ...) _printf_(3, 4);

/* Header and rows. `indent` blanks in front; `width` is the terminal's, 0 for no limit; columns
 * that may shrink are cut (with a ~) until the rows fit. Without rows nothing at all is written.
 * b->failed: no memory, or more columns than 16. */
void table_format(const struct table *t, size_t indent, unsigned width, bool colour,
		  struct strbuf *b);
/* Frees the cells; there are none then. */
void table_clear(struct table *t);
