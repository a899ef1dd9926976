// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/config_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* libconfuse's scanner keeps its state in globals and is left in the middle of a quoted word by an
 * error there; it counts lines wrongly around comments, takes no comments in lists, and drops
 * characters that it does not know. So it gets to see neither comments nor anything of the kind. */

#define DEPTH_MAX 8 /* the schema needs three */

struct scan {
	struct config_reader *rd;
	char *text; /* writable, NUL behind the end */
	size_t at, len;
	int line;
	struct {
		size_t at;
		int line;
	} open[DEPTH_MAX];
	size_t depth;
};

static void blank(struct scan *s)
{
	if (s->text[s->at] == '\n')
		s->line++;
	else
		s->text[s->at] = ' ';
	s->at++;
}

/* What is wrong with a byte wherever it stands, comments excepted. */
static int check_byte(struct scan *s)
{
	unsigned char c = (unsigned char)s->text[s->at];

	if (c == '$' && s->text[s->at + 1] == '{')
		return config_fail(s->rd, s->line,
				   "'${' is not allowed: environment variables are not expanded");
	if (c == '\\' || c == '|')
		return config_fail(s->rd, s->line, "'%c' is not allowed", c);
	if ((c < 0x20 && c != '\t') || c >= 0x7f)
		return config_fail(s->rd, s->line, "byte 0x%02x is not allowed outside comments",
				   c);
	return 0;
}

static int scan_quoted(struct scan *s)
{
	char quote = s->text[s->at];

	for (s->at++; s->at < s->len && s->text[s->at] != quote; s->at++) {
		if (s->text[s->at] == '\n')
			break;
		if (check_byte(s) < 0)
			return -1;
	}
	if (s->at == s->len || s->text[s->at] != quote)
		return config_fail(s->rd, s->line,
				   "the quote that begins in this line is not closed in it");
	s->at++;
	return 0;
}

static int scan_comment(struct scan *s)
{
	int line = s->line;

	if (s->text[s->at] != '/' || s->text[s->at + 1] != '*') {
		while (s->at < s->len && s->text[s->at] != '\n')
			blank(s);
		return 0;
	}
	blank(s);
	for (blank(s); s->at < s->len; blank(s)) {
		if (s->text[s->at] == '*' && s->text[s->at + 1] == '/') {
			blank(s);
			blank(s);
			return 0;
		}
	}
	return config_fail(s->rd, line, "the comment that begins in this line is not closed");
}

static int scan_brace(struct scan *s)
{
	if (s->text[s->at] == '}') {
		if (s->depth == 0)
			return config_fail(s->rd, s->line,
					   "'}' closes nothing: no section is open here");
		s->depth--;
	} else {
		if (s->depth == DEPTH_MAX)
			return config_fail(s->rd, s->line, "more than %d braces inside each other",
					   DEPTH_MAX);
		s->open[s->depth].at = s->at;
		s->open[s->depth++].line = s->line;
	}
	s->at++;
	return 0;
}

static int scan_next(struct scan *s)
{
	char c = s->text[s->at], next = s->text[s->at + 1];

	if (c == '#' || (c == '/' && (next == '/' || next == '*')))
		return scan_comment(s);
	if (c == '"' || c == '\'')
		return scan_quoted(s);
	if (c == '{' || c == '}')
		return scan_brace(s);
	if (c == '\n' || (c == '\r' && next == '\n')) {
		blank(s);
		return 0;
	}
	if (c != '\0' && strchr("*+()", c))
		return config_fail(s->rd, s->line, "'%c' is not allowed outside quotes", c);
	if (check_byte(s) < 0)
		return -1;
	s->at++;
	return 0;
}

/* Names what stands before an open brace in its line: "service web", "port =". */
static int fail_open(struct scan *s)
{
	size_t end = s->open[s->depth - 1].at, begin = end;
	int line = s->open[s->depth - 1].line;

	while (begin > 0 && !strchr("\n{},", s->text[begin - 1]))
		begin--;
	while (begin < end && isspace((unsigned char)s->text[begin]))
		begin++;
	while (end > begin && (isspace((unsigned char)s->text[end - 1]) || s->text[end - 1] == '='))
		end--;
	if (begin == end)
		return config_fail(s->rd, line,
				   "the '{' in this line is not closed: '}' is missing");
	return config_fail(s->rd, line, "'%.*s' begins here and is not closed: '}' is missing",
			   (int)(end - begin > 60 ? 60 : end - begin), s->text + begin);
}

int config_scan(struct config_reader *rd, const char *text, size_t len, char **ret_clean)
{
	static const char sentinel[] = "\n" CONFIG_SENTINEL " = true\n";
	_cleanup_(freep) char *clean = malloc(len + sizeof(sentinel));
	struct scan s = { .rd = rd, .text = clean, .len = len, .line = 1 };

	if (!clean)
		return -1;
	if (len > 0)
		memcpy(clean, text, len);
	memcpy(clean + len, sentinel, sizeof(sentinel));
	while (s.at < s.len)
		if (scan_next(&s) < 0)
			return -1;
	if (s.depth > 0)
		return fail_open(&s);
	rd->last_line = s.line + 1;
	*ret_clean = TAKE_PTR(clean);
	return 0;
}
