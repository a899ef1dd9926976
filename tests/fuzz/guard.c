// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/mman.h>
#include "fuzz/fuzz.h"

void *fuzz_guard(unsigned slot, const void *data, size_t size, size_t align)
{
	static uint8_t *end[GUARD_SLOTS];
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *begin;

	FUZZ_CHECK(slot < GUARD_SLOTS && size <= GUARD_SIZE);
	if (!end[slot]) {
		begin = mmap(NULL, GUARD_SIZE + page, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		FUZZ_CHECK(begin != MAP_FAILED);
		end[slot] = begin + GUARD_SIZE;
		FUZZ_CHECK(mprotect(end[slot], page, PROT_NONE) == 0);
	}
	begin = end[slot] - (size + align - 1) / align * align;
	if (size)
		memcpy(begin, data, size);
	return begin;
}
