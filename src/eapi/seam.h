/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "eapi/agent.h"

/* One switch's side of io.flowpin.Switch: tells its agent what flowpind wishes, and flowpind what
 * the agent saw. Reconnects by itself. */

struct seam;

/* `path` and `agent` are borrowed; the agent's callbacks are the seam's. -ENOMEM. */
int seam_new(struct event_base *base, const char *path, struct agent *agent,
	     struct seam **ret_seam) _must_check_;
struct seam *seam_free(struct seam *s);
DEFINE_FREEP(struct seam, seam_free)
