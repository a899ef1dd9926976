/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3 of `len` bytes under a 128-bit key. Remote hosts choose what we hash, so every table
 * is keyed from getrandom(2) at start. Source: Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF". */
uint64_t siphash13(const void *data, size_t len, const uint64_t key[2]);
