/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Show commands that stand in files of their own. */
#pragma once

#include "cli.h"

/* The lines of a flow, and of the whole section, as the configuration has them. */
void show_flow_config(FILE *out, const struct flow *f);
void show_directflow_config(const struct sim *sim, FILE *out);

cli_function show_running_config, show_active, show_load_balance, show_route,
	show_routes;
