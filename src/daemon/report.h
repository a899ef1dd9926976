/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json.h>
#include "base/strbuf.h"
#include "daemon/daemon.h"

struct ruleset_counters;

/* Types of io.flowpin as JSON, for the methods and for `flowpin monitor`. */

/* A Binding; the caller owns it. Packets and bytes are 0 without `counters` (NULL). */
struct json_object *report_binding(struct daemon *d, const struct binding *b,
				   const struct ruleset_counters *counters);
/* Adds a Flow as text, its age as of now_ms. Without memory out->failed is set. */
void report_flow_text(struct daemon *d, const struct flow *f, uint64_t now_ms, struct strbuf *out);
