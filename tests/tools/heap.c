// SPDX-License-Identifier: GPL-2.0-or-later

/* Preloaded into a daemon, tells how many bytes it has from malloc() at this moment. Its resident
 * size cannot: what the C library keeps of freed memory depends on what was freed when. With
 * HEAP_DIR set, a file there that is named by the process id has the count, 8 bytes of the host's
 * order; without it nothing is told. */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The allocator itself (glibc malloc/malloc.c). */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static _Atomic uint64_t before_main;
static _Atomic uint64_t *in_use = &before_main;

static void *count(void *p)
{
	if (p)
		atomic_fetch_add(in_use, malloc_usable_size(p));
	return p;
}

void *malloc(size_t size)
{
	return count(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return count(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *moved = __libc_realloc(p, size);

	if (moved || !size)
		atomic_fetch_sub(in_use, had);
	return count(moved);
}

void *memalign(size_t alignment, size_t size)
{
	return count(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **ret_p, size_t alignment, size_t size)
{
	void *p = memalign(alignment, size);

	if (!p)
		return ENOMEM;
	*ret_p = p;
	return 0;
}

void free(void *p)
{
	if (p)
		atomic_fetch_sub(in_use, malloc_usable_size(p));
	__libc_free(p);
}

static void __attribute__((constructor)) heap_show(void)
{
	const char *dir = getenv("HEAP_DIR");
	_Atomic uint64_t *shown;
	char path[256];
	int fd;

	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/%d", dir, getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*shown)) < 0)
		abort();
	shown = mmap(NULL, sizeof(*shown), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shown == MAP_FAILED)
		abort();
	close(fd);
	atomic_store(shown, atomic_load(in_use));
	in_use = shown;
}
