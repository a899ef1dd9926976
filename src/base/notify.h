/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* sd_notify(3) by hand. Never fails and never blocks; does nothing without NOTIFY_SOCKET. */
void notify_send(const char *text);
/* Microseconds within which the service manager wants to hear "WATCHDOG=1" from this process; 0: it
 * does not. */
uint64_t notify_watchdog_us(void);
