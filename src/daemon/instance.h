/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/macros.h"

/* One flowpind in a network namespace. */

/* Claims the namespace of this process. The caller owns *ret_fd, which holds the claim until it is
 * closed, at the latest with the process. -EADDRINUSE: it is claimed already, by whomever; errno of
 * socket(2) or bind(2). Does not wait. */
int instance_claim(int *ret_fd) _must_check_;
