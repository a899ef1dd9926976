// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/source_share.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/siphash.h"

#define SHARE_MAX (UINT32_C(1) << 27)

/* `key` is the network's first 64 bits. One of IPv4 has its 32 in the lower half: ::/32, which the
 * same keys would be of IPv6, is reserved and no source's. */
struct network {
	uint64_t key;
	uint32_t flows : 31;
	uint32_t refused : 1;
	uint32_t next; /* in its bucket, or of the free ones; from 1 */
};

struct source_share {
	struct network *slab;
	uint32_t *buckets;
	uint32_t max, bucket_mask, used, free_head;
	struct source_share_prefixes prefixes;
	uint64_t seed[2];
};

int source_share_new(uint32_t max, struct source_share_prefixes prefixes, const uint64_t seed[2],
		     struct source_share **ret_share)
{
	_cleanup_(source_share_freep) struct source_share *s = NULL;
	uint32_t n_buckets = 1;

	if (max == 0 || max > SHARE_MAX || prefixes.len4 < 1 || prefixes.len4 > 32 ||
	    prefixes.len6 < 1 || prefixes.len6 > 64)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	while (n_buckets < max)
		n_buckets *= 2;
	s->max = max;
	s->bucket_mask = n_buckets - 1;
	s->prefixes = prefixes;
	memcpy(s->seed, seed, sizeof(s->seed));
	s->slab = calloc(max, sizeof(*s->slab));
	s->buckets = calloc(n_buckets, sizeof(*s->buckets));
	if (!s->slab || !s->buckets)
		return -ENOMEM;
	*ret_share = TAKE_PTR(s);
	return 0;
}

struct source_share *source_share_free(struct source_share *s)
{
	if (!s)
		return NULL;
	free(s->slab);
	free(s->buckets);
	free(s);
	return NULL;
}

static uint64_t key_of(const struct source_share *s, const struct tuple *t)
{
	uint64_t first;
	uint32_t four;

	if (t->family == AF_INET) {
		memcpy(&four, t->src, sizeof(four));
		return be32toh(four) & (UINT32_MAX << (32 - s->prefixes.len4));
	}
	memcpy(&first, t->src, sizeof(first));
	return be64toh(first) & (UINT64_MAX << (64 - s->prefixes.len6));
}

static uint32_t *bucket_of(const struct source_share *s, uint64_t key)
{
	return &s->buckets[siphash13(&key, sizeof(key), s->seed) & s->bucket_mask];
}

static uint32_t find(const struct source_share *s, uint64_t key)
{
	uint32_t i = *bucket_of(s, key);

	while (i && s->slab[i - 1].key != key)
		i = s->slab[i - 1].next;
	return i;
}

uint32_t source_share_find(const struct source_share *s, const struct tuple *t)
{
	return find(s, key_of(s, t));
}

static uint32_t network_new(struct source_share *s, uint64_t key)
{
	uint32_t *bucket = bucket_of(s, key), i = s->free_head;

	if (i)
		s->free_head = s->slab[i - 1].next;
	else if (s->used < s->max)
		i = ++s->used;
	else
		return 0;
	s->slab[i - 1] = (struct network){ .key = key, .next = *bucket };
	*bucket = i;
	return i;
}

uint32_t source_share_take(struct source_share *s, const struct tuple *t)
{
	uint64_t key = key_of(s, t);
	uint32_t i = find(s, key);

	if (!i)
		i = network_new(s, key);
	if (i)
		s->slab[i - 1].flows++;
	return i;
}

void source_share_put(struct source_share *s, uint32_t network)
{
	uint32_t *p;

	if (!network || --s->slab[network - 1].flows > 0)
		return;
	p = bucket_of(s, s->slab[network - 1].key);
	while (*p != network)
		p = &s->slab[*p - 1].next;
	*p = s->slab[network - 1].next;
	s->slab[network - 1].next = s->free_head;
	s->free_head = network;
}

uint32_t source_share_count(const struct source_share *s, uint32_t network)
{
	return network ? s->slab[network - 1].flows : 0;
}

bool source_share_full(const struct source_share *s, const struct tuple *t, uint32_t max)
{
	return source_share_count(s, source_share_find(s, t)) >= max;
}

void source_share_refuse(struct source_share *s, uint32_t network)
{
	if (network)
		s->slab[network - 1].refused = 1;
}

bool source_share_refused(const struct source_share *s, uint32_t network)
{
	return network && s->slab[network - 1].refused;
}

uint32_t source_share_highest(const struct source_share *s)
{
	return s->used;
}

struct ip_prefix source_share_prefix(const struct source_share *s, const struct tuple *t)
{
	struct ip_addr src = tuple_src(t);

	return ip_prefix_make(&src, src.family == AF_INET ? s->prefixes.len4 : s->prefixes.len6);
}

size_t source_share_memory(const struct source_share *s)
{
	return sizeof(*s) + s->used * sizeof(*s->slab) +
	       ((size_t)s->bucket_mask + 1) * sizeof(*s->buckets);
}
