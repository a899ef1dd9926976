/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/config.h"
#include "netlink/nl.h"

/* --relax and --teardown, without a daemon, and what `flowpin teardown` has in common with them. */

/* Removes our overrides and blackholes, or everything of ours; without `config` (NULL) conntrack's
 * marks stay, whose mask is not known then. Returns FLOWPIN_EXIT_OK, also when nothing stood there,
 * or FLOWPIN_EXIT_FAILED, which is logged: flowpind runs here, or something could not be removed
 * (what comes behind it stays). Waits for the kernel only. */
int oneshot_remove(const struct config *config, bool overrides_only);

/* Clears the bits of `mask` in the marks of all conntrack entries that have one of them. `nl` is a
 * NETLINK_NETFILTER socket without a group. Errors as of nl_dump(), with its sentence, and of
 * conntrack_mark(); a single refusal is none. Waits for the kernel only, for the whole table. */
int oneshot_clear_marks(struct nl *nl, uint32_t mask, struct err *e) _must_check_;
