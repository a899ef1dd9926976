/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The command line `flowpin`. main.c reads the options and finds the subcommand in the table of
 * commands.c; the cmd_*.c files hold the subcommands; client.c talks to flowpind. */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "cli/slice.h"
#include "flowpin/flowpin.h"

#define CLI_EXIT_USAGE FLOWPIN_EXIT_FAILED

enum cli_option {
	CLI_JSON = 1 << 0,
	CLI_WAIT = 1 << 1,
	CLI_DEADLINE = 1 << 2,
	CLI_RELEASE_AT = 1 << 3,
	CLI_FLOWS = 1 << 4,
	CLI_YES = 1 << 5,
	CLI_HELP = 1 << 6,
	CLI_PEER = 1 << 7,
};

struct cli {
	const char *socket_path;
	const struct cli_command *command;
	uint32_t given;			   /* enum cli_option */
	const char *deadline, *release_at; /* as written; NULL */
	const char *peer;		   /* a path; NULL */
	bool colour;			   /* of stdout */
	unsigned width;			   /* of the terminal that stdout is, 0 when it is none */
};

struct cli_command {
	const char *name;
	const char *args;	/* for the usage line */
	const char *help;	/* one line */
	const char *more;	/* further lines for `flowpin COMMAND --help`, or NULL */
	uint32_t options;	/* enum cli_option that it takes */
	int min_args, max_args; /* -1: any number */
	/* Returns an exit code (enum flowpin_exit). */
	int (*fn)(struct cli *cli, int argc, char **argv);
};
/* Ends with a row without name. */
const struct cli_command *cli_commands(void);

/* The whole program; returns its exit code. */
int cli_main(int argc, char **argv);

/* "flowpin: <text>" on stderr. cli_fail returns FLOWPIN_EXIT_FAILED, cli_refuse
 * FLOWPIN_EXIT_REFUSED. */
int cli_fail(const char *fmt, ...) _printf_(1, 2);
int cli_refuse(const char *fmt, ...) _printf_(1, 2);

/* A message from flowpind that is not an error. */
struct cli_reply {
	struct slice params;	  /* the text of its parameters, as it came */
	struct json_object *json; /* the same, parsed, every string printable ASCII; NULL where raw
				     was asked for */
	bool last;
};
enum cli_call_flags {
	CLI_CALL_MORE = 1 << 0, /* ask for several replies */
	CLI_CALL_RAW = 1 << 1,	/* do not parse them */
};
/* Connects, calls "io.flowpin.<method>" with `params` (consumed; NULL for none) and hands each
 * reply to fn. Errors are printed. Blocks until the last reply has come, and returns
 * FLOWPIN_EXIT_OK then, else the exit code that is due. */
int cli_call(const struct cli *cli, const char *method, struct json_object *params, uint32_t flags,
	     void (*fn)(const struct cli *cli, const struct cli_reply *reply, void *arg),
	     void *arg);
/* For `fn` above: prints the parameters as one line of JSON. */
void cli_print_json(const struct cli *cli, const struct cli_reply *reply, void *arg);
/* One JSON value as it came, in one line that is fit for a terminal. */
void cli_print_json_value(struct slice value);

/* Members of a JSON object; "" / 0 / false / an empty array where they are missing or of another
 * type. Borrowed. */
const char *js_text(struct json_object *o, const char *key);
int64_t js_int(struct json_object *o, const char *key);
bool js_has(struct json_object *o, const char *key);
bool js_bool(struct json_object *o, const char *key);
size_t js_len(struct json_object *o, const char *key);
struct json_object *js_at(struct json_object *o, const char *key, size_t i);
struct json_object *js_object(struct json_object *o, const char *key);
/* Adds a text unless it is NULL. */
void js_add_text(struct json_object *o, const char *key, const char *text);
static inline void js_putp(struct json_object **o)
{
	json_object_put(*o);
}

/* Prints the flows that match a filter (consumed). Returns an exit code. */
int cli_list_flows(const struct cli *cli, struct json_object *filter);
/* Prints nexthops (the array `key` of o) as a table, the same for every command. */
void cli_print_bindings(const struct cli *cli, struct json_object *o, const char *key);

/* Subcommands, as `fn` of struct cli_command; what goes wrong is said on stderr. */
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_nexthops(struct cli *cli, int argc, char **argv);
int cmd_flows(struct cli *cli, int argc, char **argv);
int cmd_show(struct cli *cli, int argc, char **argv);
int cmd_switches(struct cli *cli, int argc, char **argv);
int cmd_drain(struct cli *cli, int argc, char **argv);
int cmd_undrain(struct cli *cli, int argc, char **argv);
int cmd_release(struct cli *cli, int argc, char **argv);
int cmd_verify(struct cli *cli, int argc, char **argv);
int cmd_monitor(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_teardown(struct cli *cli, int argc, char **argv);
int cmd_help(struct cli *cli, int argc, char **argv);
