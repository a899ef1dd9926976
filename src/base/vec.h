/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/macros.h"

/* Makes room for one more element in a growing array `data` (`len` used, `*cap` allocated, `size`
 * bytes each), doubling. Returns the array, perhaps moved, with *cap updated, or NULL without
 * memory (the old array is then still valid). */
void *vec_reserve(void *data, size_t len, size_t *cap, size_t size) _must_check_;
