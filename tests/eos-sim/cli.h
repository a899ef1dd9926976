/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of one request: its mode, and what a command answered. The caller holds the
 * simulator's lock. */
#pragma once

#include "sim.h"

enum cli_mode { MODE_EXEC, MODE_ENABLE, MODE_CONFIG, MODE_OTHER, MODE_DIRECTFLOW, MODE_FLOW };

#define CLI_ARGS_MAX 8

struct cli;
struct cli_row;
typedef void cli_function(struct cli *c, const struct cli_row *row);

/* One command. Words in angle brackets take a value: <name> <word> <ip4> <ip6> <ip> <prefix> <mac>
 * <interface> <interfaces> <protocol> <ethertype> <N-M> <rest>. `field` is for functions that serve
 * several rows. */
struct cli_row {
	enum cli_mode mode;
	const char *pattern;
	cli_function *run;
	size_t field;
};

struct cli {
	struct sim *sim;
	const char *user;
	uint64_t request;
	enum cli_mode mode;
	bool json, auto_complete;
	/* the flow that is being edited */
	char flow[FLOW_NAME_SIZE];
	char comment[256];
	struct flow_spec edited;
	bool changed;
	struct config_session *session;
	/* the command that runs */
	struct words words;
	const char *input;
	const char *args[CLI_ARGS_MAX];
	size_t n_args, rest; /* rest: index of the first word that <rest> took */
	/* its answer: error NULL is success */
	int code;
	char *error;
	struct json_object *model;
	char *output;
};

void cli_init(struct cli *c, struct sim *sim, const char *user, bool json);
/* Runs one command. Returns 0 or the code of the error; the caller takes model, output and error
 * over (all may be NULL). */
int cli_run(struct cli *c, const char *command, const char *input);
/* The request ends: leaves the modes. */
void cli_end(struct cli *c, bool failed);
/* Whether a command changes anything (and waits for others that do). */
bool cli_writes(const char *command);

/* For the functions of rows. */
void cli_fail(struct cli *c, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void cli_invalid(struct cli *c, size_t token);
/* False, with the error set, when the knob says that this platform or parser does not have it. */
bool cli_supported(struct cli *c, long support, size_t token);
/* No model: fails with 1003 when JSON was asked for. */
bool cli_text_only(struct cli *c);
/* Commits what was edited in the flow, and goes to a mode above. */
void cli_leave_flow(struct cli *c, enum cli_mode mode);

/* Any line of a mode that is only remembered. */
extern const struct cli_row cli_row_other;
/* Tables of rows, each ended by one without a pattern. */
extern const struct cli_row cli_rows_modes[], cli_rows_flow[], cli_rows_show[],
	cli_rows_directflow_show[];
