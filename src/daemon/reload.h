/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* The configuration, read again. */

/* SIGHUP: goes over to what the file says now, and unpins flows outside its services; or logs why
 * not, and goes on with the one that runs (`numbers` cannot change). max-flows stays until a
 * restart. Monitors are told. Does nothing before d->ready. Waits for the kernel and the disk. */
void reload(struct daemon *d);
