/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/macros.h"
#include "netlink/nl.h"

/* What the fuzz targets share. Each fuzz_X.c defines the one function below and nothing else that
 * is visible; libFuzzer calls it (`make fuzz`), or replay.c does with each file of its corpus. */

/* The name is libFuzzer's. `data` is memory of exactly `size` bytes. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input. */
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Outputs stay untouched on failure: FUZZ_POISON() before the call, FUZZ_UNTOUCHED() after it. */
#define FUZZ_POISON(object)    memset(&(object), 0xa5, sizeof(object))
#define FUZZ_UNTOUCHED(object) FUZZ_CHECK(fuzz_is_poison(&(object), sizeof(object)))

static inline bool fuzz_is_poison(const void *object, size_t size)
{
	const uint8_t *p = object;

	for (size_t i = 0; i < size; i++)
		if (p[i] != 0xa5)
			return false;
	return true;
}

/* What is left of the input. Numbers are little endian, and 0 where the input is over. */
struct fuzz_input {
	const uint8_t *data;
	size_t size;
};

static inline uint32_t fuzz_number(struct fuzz_input *in, size_t bytes)
{
	uint32_t value = 0;

	for (size_t i = 0; i < bytes && in->size > 0; i++) {
		value |= (uint32_t)*in->data++ << 8 * i;
		in->size--;
	}
	return value;
}

/* The bytes up to the next `end`, or all that are left, as a text with its NUL, which the caller
 * frees; *ret_len counts without the NUL. */
static inline char *fuzz_text(struct fuzz_input *in, uint8_t end, size_t *ret_len)
{
	const uint8_t *at = in->size ? memchr(in->data, end, in->size) : NULL;
	size_t len = at ? (size_t)(at - in->data) : in->size;
	char *text = malloc(len + 1);

	FUZZ_CHECK(text);
	if (len)
		memcpy(text, in->data, len);
	text[len] = '\0';
	in->data += at ? len + 1 : len;
	in->size -= at ? len + 1 : len;
	if (ret_len)
		*ret_len = len;
	return text;
}

/* guard.c: a copy that ends where memory ends that can be read, so that a step behind it is seen
 * with any compiler. `align` (1 or 4) is of its beginning: of the last align - 1 bytes a step may
 * go unseen. Of each slot (below GUARD_SLOTS) there is one at a time; the caller may write to it.
 */
#define GUARD_SLOTS 40
#define GUARD_SIZE  (1u << 20)
void *fuzz_guard(unsigned slot, const void *data, size_t size, size_t align);

/* kernel.c: a netlink socket whose other side is the input: datagrams, each behind a byte of flags
 * and its length in two bytes. Every message's sequence number and port are made to answer the last
 * request, unless the flags say otherwise; when the input is over the kernel acknowledges, and
 * dumps end. There is one socket; it is not to be closed. */
struct nl *fuzz_kernel(const uint8_t *data, size_t size);

/* connect.c: until it is called with NULL, every connect(2) of the product succeeds and finds these
 * bytes there, and behind them the end. */
void fuzz_connect(const void *data, size_t size);

/* directory.c: one of the process, which is removed with what flowpin's programs put there when the
 * process ends. */
const char *fuzz_directory(void);
