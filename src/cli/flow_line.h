/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/strbuf.h"
#include "cli/slice.h"

#define FLOW_COLUMNS 8

/* A listing of flows, which come in pieces and may be a million: columns are as wide as the flows
 * of the first piece need, and grow when a later flow needs more. Zero-initialised but for
 * `colour`. */
struct flow_lines {
	bool colour;
	bool begun;
	size_t widths[FLOW_COLUMNS];
	struct strbuf out;
};

/* Prints the objects of an array's inside, one line each, the header before the first. What was
 * understood is taken from `inside`: text that is left over was malformed. */
void flow_lines_print(struct flow_lines *l, struct slice *inside, FILE *to);
/* Frees its buffer. */
void flow_lines_clear(struct flow_lines *l);
