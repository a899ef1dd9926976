// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "base/siphash.h"
#include "daemon/mirror.h"

/* How many flows each source network (/24, /64) has, so that one flood does not take all the room:
 * a chained hash over a slab. */

struct mirror_source {
	struct ip_prefix net;
	uint32_t flows;
	uint32_t next; /* in its bucket, or of the free ones; index + 1 */
};

int mirror_sources_new(struct mirror *m)
{
	m->n_buckets = 1;
	while (m->n_buckets < m->n_slots)
		m->n_buckets *= 2;
	m->sources = calloc(m->n_slots, sizeof(*m->sources));
	m->buckets = calloc(m->n_buckets, sizeof(*m->buckets));
	if (!m->sources || !m->buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n_slots; i++)
		m->sources[i].next = i + 1 < m->n_slots ? i + 2 : 0;
	m->free_source = 1;
	return 0;
}

void mirror_sources_free(struct mirror *m)
{
	free(m->sources);
	free(m->buckets);
}

static uint32_t *bucket_of(const struct mirror *m, const struct ip_prefix *net)
{
	return &m->buckets[siphash13(net, sizeof(*net), m->key) & (m->n_buckets - 1)];
}

uint32_t mirror_source_take(struct mirror *m, const struct tuple *t, uint32_t max)
{
	struct ip_addr src = tuple_src(t);
	struct ip_prefix net = ip_prefix_make(&src, src.family == AF_INET ? 24 : 64);
	uint32_t *bucket = bucket_of(m, &net), i = *bucket;

	while (i && !ip_prefix_equal(&m->sources[i - 1].net, &net))
		i = m->sources[i - 1].next;
	if (!i) {
		i = m->free_source;
		if (!i)
			return 0;
		m->free_source = m->sources[i - 1].next;
		m->sources[i - 1] = (struct mirror_source){ .net = net, .next = *bucket };
		*bucket = i;
	}
	if (m->sources[i - 1].flows >= max)
		return 0;
	m->sources[i - 1].flows++;
	return i;
}

void mirror_source_put(struct mirror *m, uint32_t source)
{
	uint32_t *p;

	if (!source || --m->sources[source - 1].flows > 0)
		return;
	p = bucket_of(m, &m->sources[source - 1].net);
	while (*p != source)
		p = &m->sources[*p - 1].next;
	*p = m->sources[source - 1].next;
	m->sources[source - 1].next = m->free_source;
	m->free_source = source;
}
