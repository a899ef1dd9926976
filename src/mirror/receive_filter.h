/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <linux/filter.h>
#include "mirror/receive.h"

/* Socket filters (classic BPF) that look at the outer addresses. */

#define FILTER_MIRRORS_MAX 32
/* Per mirror eight words to compare and a return; two destinations and sources alone; one return.
 */
#define FILTER_MAX ((FILTER_MIRRORS_MAX + 2) * (2 * 8 + 1) + 1)

struct filter {
	struct sock_filter list[FILTER_MAX];
	size_t n;
};

/* Nothing passes. */
void filter_nothing(struct filter *ret_filter);
/* `snap` bytes of packets with these addresses pass. */
void filter_pair(const struct mirror_pair *p, uint32_t snap, struct filter *ret_filter);
/* One byte of packets passes that have one address of `own`, and belong to none of the mirrors.
 * -E2BIG for more than FILTER_MIRRORS_MAX mirrors. */
int filter_foreign(const struct mirror_pair *own, const struct mirror_pair *mirrors, size_t n,
		   struct filter *ret_filter) _must_check_;

/* setsockopt(2)'s negative errno. */
int filter_attach(int fd, const struct filter *f) _must_check_;
