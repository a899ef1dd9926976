// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli.h"
#include "control.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static const struct cli_row *const tables_of_rows[] = { cli_rows_modes, cli_rows_flow,
							cli_rows_show, cli_rows_directflow_show };

/* How far a row got along the words. */
enum match { MATCH_WHOLE, MATCH_INCOMPLETE, MATCH_INVALID, MATCH_SHORT_WORD };

struct attempt {
	enum match match;
	size_t token;
};

void cli_init(struct cli *c, struct sim *sim, const char *user, bool json)
{
	memset(c, 0, sizeof(*c));
	c->sim = sim;
	c->user = user;
	c->json = json;
	c->mode = sim->knobs.starts_privileged ? MODE_ENABLE : MODE_EXEC;
}

void cli_fail(struct cli *c, int code, const char *format, ...)
{
	va_list args;
	char text[512];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	free(c->error);
	c->error = copy_text(text);
	c->code = code;
}

void cli_invalid(struct cli *c, size_t token)
{
	cli_fail(c, 1002, "Invalid input (at token %zu: '%s')", token,
		 token < c->words.n ? c->words.v[token] : "");
}

bool cli_supported(struct cli *c, long support, size_t token)
{
	if (support == SUPPORT_PLATFORM)
		cli_fail(c, 1002, "Unavailable command (not supported on this hardware platform)");
	else if (support == SUPPORT_PARSER)
		cli_invalid(c, token);
	return support == SUPPORT_YES || support == SUPPORT_REJECT;
}

bool cli_text_only(struct cli *c)
{
	if (c->json)
		cli_fail(c, 1003,
			 "Command cannot be used over the API at this time. To see ASCII output, "
			 "set format='text' in your "
			 "request");
	return !c->json;
}

static bool is_name(const struct cli *c, const char *word)
{
	size_t n =
		strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:-");

	return word[n] == '\0' && n > 0 && (long)n <= c->sim->knobs.name_max && n < FLOW_NAME_SIZE;
}

static bool are_interfaces(const char *word)
{
	char part[NAME_SIZE], name[NAME_SIZE];

	for (;;) {
		size_t n = strcspn(word, ",");

		set_text(part, MIN_OF(sizeof(part), n + 1), word);
		if (!interface_full_name(part, name))
			return false;
		if (!word[n])
			return true;
		word += n + 1;
	}
}

static bool is_protocol(const char *word)
{
	long number;

	return strcasecmp(word, "tcp") == 0 || strcasecmp(word, "udp") == 0 ||
	       strcasecmp(word, "icmp") == 0 || parse_number(word, 0, 255, &number);
}

static bool is_ethertype(const struct cli *c, const char *word)
{
	long number;

	return strcmp(word, "ip") == 0 || strcmp(word, "arp") == 0 ||
	       (strcmp(word, "ipv6") == 0 && c->sim->knobs.ipv6_keyword) ||
	       parse_number(word, 1536, 65535, &number);
}

/* Whether a word is a value of the kind that the pattern's word names. */
static bool value_fits(const struct cli *c, const char *kind, const char *word)
{
	uint8_t bytes[16];
	char name[NAME_SIZE];
	long low, high, number;

	if (strcmp(kind, "<name>") == 0)
		return is_name(c, word);
	if (strcmp(kind, "<word>") == 0)
		return true;
	if (strcmp(kind, "<ip4>") == 0)
		return address_parse(word, bytes) == AF_INET;
	if (strcmp(kind, "<ip6>") == 0)
		return address_parse(word, bytes) == AF_INET6;
	if (strcmp(kind, "<ip>") == 0)
		return address_parse(word, bytes) != 0;
	if (strcmp(kind, "<prefix>") == 0)
		return strchr(word, '/') && tables_prefix(word, &(struct route){ 0 });
	if (strcmp(kind, "<mac>") == 0)
		return mac_parse(word, bytes);
	if (strcmp(kind, "<interface>") == 0)
		return interface_full_name(word, name);
	if (strcmp(kind, "<interfaces>") == 0)
		return are_interfaces(word);
	if (strcmp(kind, "<protocol>") == 0)
		return is_protocol(word);
	if (strcmp(kind, "<ethertype>") == 0)
		return is_ethertype(c, word);
	return sscanf(kind, "<%ld-%ld>", &low, &high) == 2 &&
	       parse_number(word, low, high, &number);
}

static enum match word_match(const struct cli *c, const char *pattern, const char *word)
{
	if (*pattern == '<')
		return value_fits(c, pattern, word) ? MATCH_WHOLE : MATCH_INVALID;
	if (strcasecmp(pattern, word) == 0)
		return MATCH_WHOLE;
	if (strncasecmp(pattern, word, strlen(word)) != 0)
		return MATCH_INVALID;
	return c->auto_complete || c->sim->knobs.auto_complete ? MATCH_WHOLE : MATCH_SHORT_WORD;
}

/* Tries one row; fills c->args only when it fits whole. */
static struct attempt try_row(struct cli *c, const struct cli_row *row)
{
	struct words pattern = words_split(row->pattern);
	struct attempt a = { MATCH_WHOLE, 0 };
	const char *args[CLI_ARGS_MAX];
	size_t n_args = 0, rest = 0, i;

	for (i = 0; i < pattern.n && a.match == MATCH_WHOLE; i++) {
		a.token = i;
		if (strcmp(pattern.v[i], "<rest>") == 0) {
			rest = i;
			break;
		}
		a.match = i < c->words.n ? word_match(c, pattern.v[i], c->words.v[i])
					 : MATCH_INCOMPLETE;
		if (a.match == MATCH_WHOLE && *pattern.v[i] == '<')
			args[n_args++] = c->words.v[i];
	}
	if (a.match == MATCH_WHOLE && !rest && c->words.n > pattern.n)
		a = (struct attempt){ MATCH_INVALID, pattern.n };
	if (a.match == MATCH_WHOLE) {
		memcpy(c->args, args, n_args * sizeof(args[0]));
		c->n_args = n_args;
		c->rest = rest;
	}
	words_free(&pattern);
	return a;
}

/* Whether a row may be reached from where the request is: show commands from everywhere, those of
 * the configuration from their mode and from those below it, since the parser climbs back by
 * itself. */
static bool reachable(const struct cli *c, const struct cli_row *row)
{
	if (row->mode <= MODE_ENABLE)
		return true;
	if (c->mode < MODE_CONFIG)
		return false;
	return row->mode == MODE_CONFIG || row->mode == c->mode ||
	       (row->mode == MODE_DIRECTFLOW && c->mode == MODE_FLOW);
}

static const struct cli_row *find_row(struct cli *c, struct attempt *ret_best)
{
	const struct cli_row *found = NULL;

	*ret_best = (struct attempt){ MATCH_INVALID, 0 };
	for (size_t t = 0; t < ARRAY_LENGTH(tables_of_rows); t++) {
		for (const struct cli_row *row = tables_of_rows[t]; row->pattern; row++) {
			struct attempt a;

			if (c->words.n == 0 ||
			    tolower((unsigned char)*c->words.v[0]) != *row->pattern ||
			    !reachable(c, row) || (found && row->mode <= found->mode))
				continue;
			a = try_row(c, row);
			if (a.match == MATCH_WHOLE)
				found = row;
			else if (a.token > ret_best->token ||
				 (a.token == ret_best->token && a.match == MATCH_SHORT_WORD))
				*ret_best = a;
		}
	}
	if (!found && c->mode == MODE_OTHER && c->words.n > 0)
		found = &cli_row_other;
	if (found)
		try_row(c, found);
	return found;
}

static void explain(struct cli *c, struct attempt a)
{
	size_t last = c->words.n ? c->words.n - 1 : 0;

	if (a.match == MATCH_INCOMPLETE)
		cli_fail(c, 1002, "Incomplete command (at token %zu: '%s')", last,
			 c->words.n ? c->words.v[last] : "");
	else if (a.match == MATCH_SHORT_WORD)
		cli_fail(c, 1002, "Incomplete token (at token %zu: '%s')", a.token,
			 c->words.v[a.token]);
	else
		cli_invalid(c, a.token);
}

void cli_leave_flow(struct cli *c, enum cli_mode mode)
{
	if (c->mode == MODE_FLOW && c->changed && !c->session && c->sim->knobs.edit != EDIT_LINE) {
		struct flow *f = table_enter(c->sim, c->flow);

		table_update(c->sim, f, &c->edited);
		set_text(f->comment, sizeof(f->comment), c->comment);
	}
	c->changed = false;
	c->mode = mode;
}

static void remember_in_session(struct cli *c, const char *command)
{
	struct config_session *s = c->session;

	s->lines = need(realloc(s->lines, (s->n + 1) * sizeof(char *)));
	s->lines[s->n++] = copy_text(command);
}

/* Something else happens at this very moment: an operation, or a list of them. */
static void run_beside(struct sim *sim, struct json_object *operations)
{
	size_t n = json_object_is_type(operations, json_type_array)
			   ? json_object_array_length(operations)
			   : 0;

	if (n == 0)
		json_object_put(control_operate_locked(sim, operations));
	for (size_t i = 0; i < n; i++)
		json_object_put(
			control_operate_locked(sim, json_object_array_get_idx(operations, i)));
}

static bool canned_answer(struct cli *c, const char *command)
{
	for (struct canned **link = &c->sim->canned; *link; link = &(*link)->next) {
		struct canned *r = *link;

		if (r->count == 0 || regexec(&r->command, command, 0, NULL, 0) != 0)
			continue;
		if (r->skip > 0) {
			r->skip--;
			continue;
		}
		if (r->count > 0)
			r->count--;
		if (json_child(r->reply, "do")) {
			run_beside(c->sim, json_child(r->reply, "do"));
			continue;
		}
		if (json_child(r->reply, "error"))
			cli_fail(c, (int)json_number(r->reply, "code", 1000), "%s",
				 json_text(r->reply, "error", ""));
		if (json_child(r->reply, "model"))
			c->model = json_object_get(json_child(r->reply, "model"));
		c->output = copy_text(json_text(r->reply, "text", ""));
		return true;
	}
	return false;
}

static bool denied(struct cli *c, const char *command)
{
	regex_t regex;
	bool hit;

	if (!*c->sim->knobs.deny ||
	    regcomp(&regex, c->sim->knobs.deny, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	hit = regexec(&regex, command, 0, NULL, 0) == 0;
	regfree(&regex);
	if (hit)
		cli_fail(c, 1005, "Authorization denied for command '%s'", command);
	return hit;
}

int cli_run(struct cli *c, const char *command, const char *input)
{
	const struct cli_row *row;
	struct attempt best;

	c->code = 0;
	c->error = NULL;
	c->model = NULL;
	c->output = NULL;
	c->input = input;
	c->words = words_split(command);
	if (!denied(c, command) && !canned_answer(c, command)) {
		row = find_row(c, &best);
		if (!row) {
			explain(c, best);
		} else if (row->mode == MODE_ENABLE && c->mode == MODE_EXEC) {
			cli_fail(c, 1002, "Invalid input (privileged mode required)");
		} else {
			if (row->mode >= MODE_CONFIG && row->mode < c->mode && c->mode == MODE_FLOW)
				cli_leave_flow(c, row->mode);
			if (row->mode >= MODE_CONFIG)
				c->mode = row->mode;
			row->run(c, row);
			if (!c->error && row->mode >= MODE_CONFIG && c->session)
				remember_in_session(c, command);
		}
	}
	words_free(&c->words);
	journal_add(c->sim, c->request, c->user, command, c->code);
	return c->code;
}

void cli_end(struct cli *c, bool failed)
{
	if (failed && c->sim->knobs.edit == EDIT_EXIT_DROP)
		c->changed = false;
	cli_leave_flow(c, MODE_EXEC);
}

bool cli_writes(const char *command)
{
	return strncmp(command, "show ", 5) != 0 && strcmp(command, "enable") != 0;
}
