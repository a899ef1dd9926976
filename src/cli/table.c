// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/table.h"

#include <stdarg.h>
#include <string.h>
#include "base/vec.h"

#define COLUMNS_MAX 16
#define GAP 2 /* blanks between columns */

static void add(struct table *t, const char *colour, const char *fmt, va_list ap)
{
	struct table_cell *cells = vec_reserve(t->cells, t->n_cells, &t->cap, sizeof(*cells));
	char *text;

	if (cells)
		t->cells = cells;
	if (!cells || vasprintf(&text, fmt, ap) < 0) {
		t->failed = true;
		return;
	}
	cells[t->n_cells++] = (struct table_cell){ .text = text, .colour = colour };
}

void table_add(struct table *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(t, NULL, fmt, ap);
	va_end(ap);
}

void table_add_colour(struct table *t, const char *colour, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(t, colour, fmt, ap);
	va_end(ap);
}

static void widths_of(const struct table *t, size_t *widths)
{
	for (size_t i = 0; i < t->n; i++)
		widths[i] = strlen(t->columns[i].title);
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t len = strlen(t->cells[i].text);

		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a table with cells has columns */
		if (len > widths[i % t->n])
			widths[i % t->n] = len;
	}
}

/* Takes from the widest column that may give, until everything fits or nobody may. */
static void widths_shrink(const struct table *t, size_t indent, size_t limit, size_t *widths)
{
	size_t total = indent + GAP * (t->n - 1);

	for (size_t i = 0; i < t->n; i++)
		total += widths[i];
	while (total > limit) {
		size_t widest = t->n;

		for (size_t i = 0; i < t->n; i++)
			if (t->columns[i].shrink && widths[i] > t->columns[i].shrink &&
			    (widest == t->n || widths[i] > widths[widest]))
				widest = i;
		if (widest == t->n)
			return;
		widths[widest]--;
		total--;
	}
}

static void blanks(struct strbuf *b, size_t n)
{
	while (n-- > 0)
		strbuf_add(b, " ", 1);
}

static void cell_format(struct strbuf *b, const char *text, size_t width, bool right, bool last,
			const char *colour)
{
	size_t len = strlen(text);
	bool cut = len > width;
	size_t pad = cut ? 0 : width - len;

	if (right)
		blanks(b, pad);
	if (colour)
		strbuf_addf(b, "\033[%sm", colour);
	strbuf_add(b, text, cut ? width - 1 : len);
	if (cut)
		strbuf_adds(b, "~");
	if (colour)
		strbuf_adds(b, "\033[0m");
	if (!right && !last)
		blanks(b, pad);
	if (!last)
		blanks(b, GAP);
}

void table_format(const struct table *t, size_t indent, unsigned width, bool colour,
		  struct strbuf *b)
{
	size_t widths[COLUMNS_MAX];

	if (t->failed || t->n > COLUMNS_MAX)
		b->failed = true;
	if (b->failed || t->n_cells == 0)
		return;
	widths_of(t, widths);
	if (width > 0)
		widths_shrink(t, indent, width, widths);
	for (size_t i = 0; i < t->n + t->n_cells; i++) {
		size_t c = i % t->n;
		const struct table_cell *cell = i < t->n ? NULL : &t->cells[i - t->n];
		const char *sgr = cell ? cell->colour : "1";

		if (c == 0)
			blanks(b, indent);
		cell_format(b, cell ? cell->text : t->columns[c].title, widths[c],
			    t->columns[c].right, c + 1 == t->n, colour ? sgr : NULL);
		if (c + 1 == t->n)
			strbuf_adds(b, "\n");
	}
}

void table_clear(struct table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i].text);
	free(t->cells);
	t->cells = NULL;
	t->n_cells = t->cap = 0;
}
