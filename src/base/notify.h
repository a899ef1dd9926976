/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>

/* Tells the service manager text ("READY=1"): sd_notify(3) by hand. Never fails and never blocks:
 * what finds no room in its queue is lost. Does nothing without NOTIFY_SOCKET. */
void notify_send(const char *text);
/* Microseconds within which the service manager wants to hear "WATCHDOG=1" from this process; 0: it
 * does not, or WATCHDOG_USEC is not within 1,000 .. 2^32 - 1. */
uint64_t notify_watchdog_us(void);
