/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/macros.h"

/* An errno with the sentence that a person reads. Zero-initialised means no error. */
struct err {
	int code;	/* negative errno */
	char text[512]; /* one sentence without a final full stop or newline */
};

/* Fills *e (which may be NULL) and returns code, so that a caller can `return err_set(e, -EINVAL,
 * ...)`. Text that does not fit is cut. Never fails, never blocks. */
int err_set(struct err *e, int code, const char *fmt, ...) _printf_(3, 4);

/* Puts "<formatted text>: " in front of the text that *e holds and returns e->code; with an empty
 * text the sentence of strerror() follows. For naming what was being done on the way up. e must not
 * be NULL; what does not fit is cut. */
int err_wrap(struct err *e, const char *fmt, ...) _printf_(2, 3);
