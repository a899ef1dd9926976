/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/err.h"

/* Gives up every capability for good: effective, permitted, inheritable and ambient ones, and
 * no_new_privs; then reads all of it back from the kernel. The bounding set is emptied too where
 * that is allowed (it takes CAP_SETPCAP); elsewhere it is what the service manager left, and
 * without permitted capabilities it gives nothing. What is open stays usable. Does not block.
 * -EPERM when something is left, or what capset(2) and prctl(2) say. The process must not go on
 * then. */
int privilege_drop(struct err *e) _must_check_;
