// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line of flowpin: see src/cli. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
