/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>
#include <time.h>
#include "base/err.h"

#define TEXT_NUMBER 32
/* "12,345" into buf (TEXT_NUMBER bytes), returned. */
const char *text_number(int64_t n, char *buf);
/* "512", "1.5k", "12M", "3.0G" in powers of 1000; same buffer. */
const char *text_short(int64_t n, char *buf);

/* "s" unless n is 1. */
const char *text_plural(int64_t n);

/* Seconds since 1970 from "90s", "2h" (from now on), "HH:MM" (the next one by the local clock) or
 * "@SECONDS". -EINVAL. */
int text_time_parse(const char *text, time_t now, int64_t *ret_time) _must_check_;

#define TEXT_TIME 24
/* "2026-05-01 14:03:05" by the local clock, into buf (TEXT_TIME bytes), returned. */
const char *text_time(int64_t seconds, char *buf);
