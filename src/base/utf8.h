/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

#define UTF8_MAX 4 /* bytes of a sequence */

/* Bytes of the well-formed UTF-8 sequence of more than one byte with which these `len` bytes begin;
 * 0: none does (RFC 3629: neither overlong, nor a surrogate, nor above U+10FFFF). */
size_t utf8_sequence(const char *text, size_t len);
