/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>
#include "base/macros.h"

/* Reads a decimal or 0x-hexadecimal number that fills the whole text. -EINVAL for bad text, -ERANGE
 * outside min..max. */
int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value) _must_check_;

/* Reads a duration, "500ms", "20s", "5m", "2h", "1d" (a plain number is seconds), into
 * milliseconds. -EINVAL for bad text, -ERANGE when it exceeds 365 days. */
int parse_duration_ms(const char *text, uint64_t *ret_ms) _must_check_;

/* Reads a size, "1000", "20k", "1M" (decimal multiples). -EINVAL, -ERANGE outside 1..4294967295. */
int parse_size(const char *text, uint32_t *ret_size) _must_check_;

#define DURATION_TEXT 24
/* Writes a duration in its largest whole units ("5m", "1h 3m", "20s", "500ms") into buf
 * (DURATION_TEXT bytes), returns it. */
const char *duration_format(uint64_t ms, char *buf);
