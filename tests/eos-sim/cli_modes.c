// SPDX-License-Identifier: GPL-2.0-or-later
/* Modes, configuration sessions, and the rest of the configuration that is kept as text. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 5

static void run_enable(struct cli *c, const struct cli_row *row)
{
	const char *password = c->sim->knobs.enable_password;

	(void)row;
	if (*password && c->mode == MODE_EXEC && (!c->input || strcmp(c->input, password) != 0)) {
		cli_fail(c, 1000, "%% Bad secret");
		return;
	}
	if (c->mode < MODE_ENABLE)
		c->mode = MODE_ENABLE;
}

static void run_disable(struct cli *c, const struct cli_row *row)
{
	(void)row;
	cli_leave_flow(c, MODE_EXEC);
}

static void run_configure(struct cli *c, const struct cli_row *row)
{
	const char *holder = c->sim->lock_holder;

	(void)row;
	if (*holder && strcmp(holder, c->user) != 0) {
		cli_fail(c, 1000, "Configuration session exclusive lock is held by '%s'", holder);
		return;
	}
	c->session = NULL;
	cli_leave_flow(c, MODE_CONFIG);
}

static struct config_session *session_find(struct sim *sim, const char *name)
{
	struct config_session *s = sim->config_sessions;

	while (s && strcmp(s->name, name) != 0)
		s = s->next;
	return s;
}

static void session_remove(struct sim *sim, struct config_session *s)
{
	struct config_session **link = &sim->config_sessions;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	for (size_t i = 0; i < s->n; i++)
		free(s->lines[i]);
	free(s->lines);
	free(s);
}

static void run_configure_session(struct cli *c, const struct cli_row *row)
{
	struct config_session *s = session_find(c->sim, c->args[0]);
	size_t pending = 0;

	(void)row;
	for (const struct config_session *p = c->sim->config_sessions; p; p = p->next)
		pending += p->pending;
	if (!s && pending >= SESSIONS_MAX) {
		cli_fail(c, 1000,
			 "Maximum number of pending sessions has been reached. Please commit or "
			 "abort previous sessions "
			 "before creating a new one.");
		return;
	}
	if (!s) {
		s = need(calloc(1, sizeof(*s)));
		set_text(s->name, sizeof(s->name), c->args[0]);
		s->pending = true;
		s->next = c->sim->config_sessions;
		c->sim->config_sessions = s;
	}
	cli_leave_flow(c, MODE_CONFIG);
	c->session = s;
}

static void run_session_abort(struct cli *c, const struct cli_row *row)
{
	struct config_session *s = c->n_args ? session_find(c->sim, c->args[0]) : c->session;

	(void)row;
	if (!s && !c->n_args) {
		cli_invalid(c, 0);
		return;
	}
	if (s)
		session_remove(c->sim, s);
	c->session = NULL;
	cli_leave_flow(c, MODE_ENABLE);
}

static void run_session_commit(struct cli *c, const struct cli_row *row)
{
	struct config_session *s = c->session;
	struct cli inner;

	(void)row;
	if (!s) {
		cli_invalid(c, 0);
		return;
	}
	cli_init(&inner, c->sim, c->user, false);
	inner.request = c->request;
	inner.mode = MODE_CONFIG;
	for (size_t i = 0; i < s->n; i++) {
		cli_run(&inner, s->lines[i], NULL);
		free(inner.error);
		free(inner.output);
		json_object_put(inner.model);
	}
	cli_end(&inner, false);
	session_remove(c->sim, s);
	c->session = NULL;
	c->mode = MODE_ENABLE;
}

static void run_end(struct cli *c, const struct cli_row *row)
{
	(void)row;
	cli_leave_flow(c, MODE_ENABLE);
	c->session = NULL;
}

static void run_exit(struct cli *c, const struct cli_row *row)
{
	cli_leave_flow(c, row->mode == MODE_FLOW    ? MODE_DIRECTFLOW
			  : row->mode > MODE_CONFIG ? MODE_CONFIG
						    : MODE_ENABLE);
	if (c->mode == MODE_ENABLE)
		c->session = NULL;
}

static void run_directflow(struct cli *c, const struct cli_row *row)
{
	(void)row;
	if (cli_supported(c, c->sim->knobs.directflow, 0))
		c->mode = MODE_DIRECTFLOW;
}

static void run_no_directflow(struct cli *c, const struct cli_row *row)
{
	(void)row;
	if (!cli_supported(c, c->sim->knobs.directflow, 1) || c->session)
		return;
	table_clear(c->sim, false);
	table_set_shut(c->sim, true);
}

static void run_write_memory(struct cli *c, const struct cli_row *row)
{
	(void)row;
	c->sim->startup.shut = c->sim->table.shut;
	if (!c->json)
		c->output = copy_text("Copy completed successfully.\n");
	else
		c->model = json_tokener_parse("{\"messages\":[\"Copy completed successfully.\"]}");
}

/* Configuration that the simulator only remembers: monitor sessions, access lists, interfaces. */
static void run_keep(struct cli *c, const struct cli_row *row)
{
	char *before = c->sim->running_extra;
	struct text text;

	if (c->session)
		return;
	text_open(&text);
	fprintf(text.out, "%s%s", before ? before : "", row->field ? "   " : "");
	for (size_t i = 0; i < c->words.n; i++)
		fprintf(text.out, "%s%s", i ? " " : "", c->words.v[i]);
	fputc('\n', text.out);
	free(before);
	c->sim->running_extra = text_close(&text);
	if (strncmp(row->pattern, "monitor", 7) != 0 && !row->field)
		c->mode = MODE_OTHER;
}

/* Outside of a flow a comment says nothing. */
static void run_comment(struct cli *c, const struct cli_row *row)
{
	(void)row;
	if (!c->input)
		cli_fail(c, 1000, "Comment needs its text as input");
}

static void run_interactive(struct cli *c, const struct cli_row *row)
{
	(void)row;
	cli_fail(c, 1004, "Command is not permitted: it needs a terminal");
}

const struct cli_row cli_row_other = { MODE_OTHER, "<word> <rest>", run_keep, 1 };

const struct cli_row cli_rows_modes[] = {
	{ MODE_EXEC, "enable", run_enable, 0 },
	{ MODE_EXEC, "disable", run_disable, 0 },
	{ MODE_ENABLE, "configure", run_configure, 0 },
	{ MODE_ENABLE, "configure terminal", run_configure, 0 },
	{ MODE_ENABLE, "configure session <word>", run_configure_session, 0 },
	{ MODE_ENABLE, "configure session <word> abort", run_session_abort, 0 },
	{ MODE_ENABLE, "no configure session <word>", run_session_abort, 0 },
	{ MODE_ENABLE, "write memory", run_write_memory, 0 },
	{ MODE_ENABLE, "copy running-config startup-config", run_write_memory, 0 },
	{ MODE_ENABLE, "reload", run_interactive, 0 },
	{ MODE_ENABLE, "bash", run_interactive, 0 },
	{ MODE_CONFIG, "commit", run_session_commit, 0 },
	{ MODE_CONFIG, "abort", run_session_abort, 0 },
	{ MODE_CONFIG, "end", run_end, 0 },
	{ MODE_CONFIG, "exit", run_exit, 0 },
	{ MODE_OTHER, "exit", run_exit, 0 },
	{ MODE_DIRECTFLOW, "exit", run_exit, 0 },
	{ MODE_FLOW, "exit", run_exit, 0 },
	{ MODE_CONFIG, "comment", run_comment, 0 },
	{ MODE_CONFIG, "directflow", run_directflow, 0 },
	{ MODE_CONFIG, "no directflow", run_no_directflow, 0 },
	{ MODE_CONFIG, "default directflow", run_no_directflow, 0 },
	{ MODE_CONFIG, "monitor session <rest>", run_keep, 0 },
	{ MODE_CONFIG, "ip access-list <word>", run_keep, 0 },
	{ MODE_CONFIG, "interface <interface>", run_keep, 0 },
	{ MODE_CONFIG, "router bgp <1-4294967295>", run_keep, 0 },
	{ MODE_EXEC, NULL, NULL, 0 },
};
