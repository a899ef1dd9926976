/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _must_check_ __attribute__((warn_unused_result))
#define _unused_ __attribute__((unused))

/* Hand over what a _cleanup_ variable owns: yields the value and disarms the variable. */
#define TAKE_PTR(p)                             \
	({                                      \
		__typeof__(p) *take_p_ = &(p);  \
		__typeof__(p) take_v_ = *take_p_; \
		*take_p_ = NULL;                \
		take_v_;                        \
	})
#define TAKE_FD(fd)                \
	({                         \
		int *take_f_ = &(fd); \
		int take_v_ = *take_f_; \
		*take_f_ = -1;     \
		take_v_;           \
	})

/* Defines x_freep() for _cleanup_ from `type *x_free(type *)`. */
#define DEFINE_FREEP(type, free_fn)                        \
	static inline _unused_ void free_fn##p(type **p)   \
	{                                                  \
		*p = free_fn(*p);                          \
	}

/* For _cleanup_, with a pointer to the variable: frees what it points to. */
static inline void freep(void *p)
{
	free(*(void **)p);
}

/* Closes the descriptor unless it is negative; the variable keeps it. */
static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}
