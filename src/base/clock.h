/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>
#include <time.h>

/* Milliseconds of CLOCK_BOOTTIME: goes on during suspend, never steps. */
static inline uint64_t clock_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Seconds since 1970, for what a person reads and for what must outlive a reboot. */
static inline uint64_t clock_wall_s(void)
{
	return (uint64_t)time(NULL);
}
