// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/vec.h"

void *vec_reserve(void *data, size_t len, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 8;
	void *p;

	if (len < *cap)
		return data;
	p = reallocarray(data, want, size);
	if (p)
		*cap = want;
	return p;
}
