// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/flow_line.h"

#include <string.h>
#include "base/parse.h"

#define CELL_MAX 72

/* In the order in which flowpind writes them: see key_find. */
enum key {
	KEY_PROTOCOL,
	KEY_SRC,
	KEY_SPORT,
	KEY_DST,
	KEY_DPORT,
	KEY_ZONE,
	KEY_SERVICE,
	KEY_NEXTHOP,
	KEY_STATE,
	KEY_WITNESS,
	KEY_AGE,
	KEY_COUNT,
};

#define NAME(text)                     \
	{                              \
		text, sizeof(text) - 1 \
	}
static const struct slice keys[KEY_COUNT] = {
	[KEY_PROTOCOL] = NAME("protocol"), [KEY_SRC] = NAME("src"),
	[KEY_SPORT] = NAME("sport"),	   [KEY_DST] = NAME("dst"),
	[KEY_DPORT] = NAME("dport"),	   [KEY_ZONE] = NAME("zone"),
	[KEY_SERVICE] = NAME("service"),   [KEY_NEXTHOP] = NAME("nexthop"),
	[KEY_STATE] = NAME("state"),	   [KEY_WITNESS] = NAME("witness"),
	[KEY_AGE] = NAME("age_ms"),
};
#undef NAME

/* The least widths keep the lines of later pieces in place. */
static const struct {
	const char *title;
	bool right;
	size_t least;
} columns[FLOW_COLUMNS] = {
	{ "PROTO", false, 0 },	 { "SOURCE", false, 0 },  { "DESTINATION", false, 0 },
	{ "SERVICE", false, 0 }, { "NEXTHOP", false, 0 }, { "STATE", false, 8 },
	{ "AGE", true, 7 },	 { "WITNESS", false, 0 },
};

/* One line's cells. */
struct row {
	char text[FLOW_COLUMNS][CELL_MAX];
	size_t len[FLOW_COLUMNS];
};

/* Adds to a cell what is left of its room, fit for a terminal. */
static void cell_add(struct row *r, size_t c, const char *p, size_t len)
{
	for (size_t i = 0; i < len && r->len[c] < CELL_MAX; i++)
		r->text[c][r->len[c]++] = (char)(p[i] >= 0x20 && p[i] < 0x7f ? p[i] : '?');
}

static void cell_text(struct row *r, size_t c, struct slice s)
{
	cell_add(r, c, s.p, s.len);
}

static void cell_endpoint(struct row *r, size_t c, struct slice addr, struct slice port)
{
	bool v6 = addr.len > 0 && memchr(addr.p, ':', addr.len);

	cell_add(r, c, "[", v6);
	cell_text(r, c, addr);
	cell_add(r, c, "]", v6);
	cell_add(r, c, ":", 1);
	cell_text(r, c, port);
}

static uint64_t number(struct slice s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.len && s.p[i] >= '0' && s.p[i] <= '9' && n < UINT64_MAX / 16; i++)
		n = n * 10 + (uint64_t)(s.p[i] - '0');
	return n;
}

/* The number of a key, KEY_COUNT for one that is not shown. Looks first where the one before it
 * ends. */
static size_t key_find(struct slice key, size_t guess)
{
	for (size_t n = 0; n < KEY_COUNT; n++) {
		size_t k = (guess + n) % KEY_COUNT;

		if (keys[k].len == key.len && memcmp(keys[k].p, key.p, key.len) == 0)
			return k;
	}
	return KEY_COUNT;
}

/* Takes the next object of an array's inside. */
static bool row_read(struct slice *rest, struct row *r)
{
	struct slice key, value, v[KEY_COUNT] = { 0 };
	char age[DURATION_TEXT];
	size_t guess = 0, k;

	if (!slice_enter(rest))
		return false;
	while (slice_member(rest, &key, &value)) {
		k = key_find(key, guess);
		if (k == KEY_COUNT)
			continue;
		v[k] = slice_text(value);
		guess = k + 1;
	}
	if (!slice_leave(rest))
		return false;
	memset(r->len, 0, sizeof(r->len));
	cell_text(r, 0, v[KEY_PROTOCOL]);
	cell_endpoint(r, 1, v[KEY_SRC], v[KEY_SPORT]);
	cell_endpoint(r, 2, v[KEY_DST], v[KEY_DPORT]);
	cell_text(r, 3, v[KEY_SERVICE]);
	cell_text(r, 4, v[KEY_NEXTHOP]);
	cell_text(r, 5, v[KEY_STATE]);
	duration_format(number(v[KEY_AGE]), age);
	cell_add(r, 6, age, strlen(age));
	cell_text(r, 7, v[KEY_WITNESS]);
	if (number(v[KEY_ZONE]) > 0) {
		cell_add(r, 7, " zone ", 6);
		cell_text(r, 7, v[KEY_ZONE]);
	}
	return true;
}

static void widen(struct flow_lines *l, const struct row *r)
{
	for (size_t c = 0; c < FLOW_COLUMNS; c++)
		if (r->len[c] > l->widths[c])
			l->widths[c] = r->len[c];
}

static void pad(struct strbuf *b, size_t n)
{
	static const char blanks[] =
		"                                                                        ";

	strbuf_add(b, blanks, n < sizeof(blanks) ? n : sizeof(blanks) - 1);
}

static void row_write(struct flow_lines *l, const struct row *r)
{
	for (size_t c = 0; c < FLOW_COLUMNS; c++) {
		size_t room = l->widths[c] - r->len[c];
		bool last = c + 1 == FLOW_COLUMNS;

		if (columns[c].right)
			pad(&l->out, room);
		strbuf_add(&l->out, r->text[c], r->len[c]);
		if (!columns[c].right && !last)
			pad(&l->out, room);
		strbuf_add(&l->out, last ? "\n" : "  ", last ? 1 : 2);
	}
}

/* Widths from all flows of the first piece, then the titles. */
static void begin(struct flow_lines *l, struct slice inside)
{
	struct row r;

	for (size_t c = 0; c < FLOW_COLUMNS; c++)
		l->widths[c] = columns[c].least;
	while (row_read(&inside, &r))
		widen(l, &r);
	memset(r.len, 0, sizeof(r.len));
	for (size_t c = 0; c < FLOW_COLUMNS; c++)
		cell_add(&r, c, columns[c].title, strlen(columns[c].title));
	widen(l, &r);
	if (l->colour)
		strbuf_adds(&l->out, "\033[1m");
	row_write(l, &r);
	if (l->colour)
		strbuf_adds(&l->out, "\033[0m");
	l->begun = true;
}

void flow_lines_print(struct flow_lines *l, struct slice *inside, FILE *to)
{
	struct slice rest = *inside;
	struct row r;

	if (!l->begun && inside->len > 0)
		begin(l, *inside);
	while (row_read(&rest, &r)) {
		*inside = rest;
		widen(l, &r);
		row_write(l, &r);
	}
	if (l->out.failed)
		fputs("(out of memory)\n", stderr);
	else if (l->out.len > 0)
		fwrite(l->out.data, 1, l->out.len, to);
	strbuf_reset(&l->out);
}

void flow_lines_clear(struct flow_lines *l)
{
	strbuf_free(&l->out);
}
