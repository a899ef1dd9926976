// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/cli.h"

#define NEXTHOP_HELP                                                                               \
	"NEXTHOP is ADDRESS, ADDRESS%INTERFACE or %INTERFACE, as `flowpin nexthops` shows it; "    \
	"without\n"                                                                                \
	"SERVICE it is meant in every service that has it.\n"

static const struct cli_command commands[] = {
	{ "status", "", "what runs, how much, and what needs a person",
	  "With --json: one object.\n", CLI_JSON, 0, 0, cmd_status },
	{ "nexthops", "[SERVICE]", "the nexthops of the services, their state and flows",
	  "With --json: one object with the array \"nexthops\".\n", CLI_JSON, 0, 1, cmd_nexthops },
	{ "flows", "[FILTER]", "the flows that are pinned",
	  "With --json: one object per line, one line per flow.\n", CLI_JSON, 0, -1, cmd_flows },
	{ "show", "FLOW|FILTER", "one flow, with its conntrack entry, its pin and its nexthop",
	  "With --json: one object.\n", CLI_JSON, 1, -1, cmd_show },
	{ "switches", "", "the switches, and what each of them really holds",
	  "With --json: one object with the array \"switches\".\n", CLI_JSON, 0, 0, cmd_switches },
	{ "drain", "NEXTHOP [SERVICE]", "keep new flows off a nexthop; the flows that it has stay",
	  NEXTHOP_HELP "--wait ends with 0 when the last flow has ended, or with 3 at the "
		       "deadline, with the flows that\n"
		       "are left printed. Interrupting it ends the waiting, not the drain.\n",
	  CLI_JSON | CLI_WAIT | CLI_DEADLINE | CLI_RELEASE_AT, 1, 2, cmd_drain },
	{ "undrain", "NEXTHOP [SERVICE]", "take a drain or a release back", NEXTHOP_HELP, CLI_JSON,
	  1, 2, cmd_undrain },
	{ "release", "NEXTHOP [SERVICE]", "let the flows of a nexthop go: ECMP decides anew",
	  NEXTHOP_HELP, CLI_JSON, 1, 2, cmd_release },
	{ "verify", "", "compare what flowpind knows with what the kernel holds",
	  "Exit status 0: no difference; 1: differences; 2: not everything could be read.\n"
	  "With --json: one object per line: the differences, then the reply with the totals.\n"
	  "--peer FILE compares nothing but the numbers of nexthops, with another gateway's: FILE "
	  "is "
	  "what\n"
	  "`flowpin status --json` and `flowpin nexthops --json` print there, one after the "
	  "other.\n",
	  CLI_JSON | CLI_PEER, 0, 0, cmd_verify },
	{ "monitor", "", "print what happens, until interrupted",
	  "With --json: one object per line, one line per event.\n", CLI_JSON | CLI_FLOWS, 0, 0,
	  cmd_monitor },
	{ "check", "[FILE]", "read a configuration file and say what is wrong with it",
	  "Asks nobody: flowpind need not run. Exit status 1: refused; 2: it could not be read.\n",
	  0, 0, 1, cmd_check },
	{ "teardown", "", "remove everything of flowpin from the kernel and end flowpind", NULL,
	  CLI_YES, 0, 0, cmd_teardown },
	{ "help", "[COMMAND]", "this list, or what a command takes", NULL, 0, 0, 1, cmd_help },
	{ .name = NULL },
};

const struct cli_command *cli_commands(void)
{
	return commands;
}
