/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* How the host is set up against us. */

/* Looks, and keeps at most 64 warnings in d->warnings in place of those before. New ones are told
 * to monitors and logged, but for full tables, which are logged when it happens. Does nothing
 * before d->ready. Waits for the kernel only (/proc/sys, flowtables). */
void hostcheck_run(struct daemon *d);
