// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/rib_internal.h"

#include <errno.h>
#include <string.h>
#include "base/vec.h"

static int prefix_compare(const struct ip_prefix *a, const struct ip_prefix *b)
{
	int r = ip_addr_compare(&a->addr, &b->addr);

	return r != 0 ? r : a->len - b->len;
}

static int watch_compare(const void *pa, const void *pb)
{
	const struct rib_watch *a = pa, *b = pb;

	return prefix_compare(&a->prefix, &b->prefix);
}

int rib_watches_new(struct rib *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->set->n; i++)
		n += r->set->list[i].n_prefixes;
	r->watches = calloc(n ? n : 1, sizeof(*r->watches));
	if (!r->watches)
		return -ENOMEM;
	for (size_t i = 0; i < r->set->n; i++) {
		const struct service *s = &r->set->list[i];

		for (size_t k = 0; k < s->n_prefixes; k++) {
			r->watches[r->n_watches++] =
				(struct rib_watch){ s->prefixes[k], (uint16_t)i };
			r->watch_lengths[rib_family_index(s->prefixes[k].addr.family)]
					[s->prefixes[k].len] = true;
		}
	}
	qsort(r->watches, n, sizeof(*r->watches), watch_compare);
	return 0;
}

/* Index of the first watch that is not before p. All watches inside p follow there, one after
 * another: one that starts inside p but is shorter starts where p does, and stands before it. */
static size_t watch_from(const struct rib *r, const struct ip_prefix *p)
{
	size_t low = 0, high = r->n_watches;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (prefix_compare(&r->watches[mid].prefix, p) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool watch_inside(const struct rib *r, size_t i, const struct ip_prefix *p)
{
	return i < r->n_watches && ip_prefix_contains(p, &r->watches[i].prefix);
}

/* The first watch that is exactly p cut to `len` bits, or n_watches. */
static size_t watch_above(const struct rib *r, const struct ip_prefix *p, unsigned len)
{
	struct ip_prefix outer = ip_prefix_make(&p->addr, (uint8_t)len);
	size_t i = watch_from(r, &outer);

	return i < r->n_watches && ip_prefix_equal(&r->watches[i].prefix, &outer) ? i
										  : r->n_watches;
}

enum rib_standing rib_standing_of(const struct rib *r, const struct ip_prefix *p)
{
	const bool *lengths = r->watch_lengths[rib_family_index(p->addr.family)];

	if (watch_inside(r, watch_from(r, p), p))
		return RIB_STANDING_FULL;
	for (unsigned len = p->len; len-- > 1;)
		if (lengths[len] && watch_above(r, p, len) < r->n_watches)
			return RIB_STANDING_FULL;
	return lengths[0] ? RIB_STANDING_INSIDE_ALL : RIB_STANDING_NONE;
}

static int relevance_get(struct rib_slot *s, uint16_t service, struct rib_relevance **ret_relevance)
{
	struct rib_relevance *v = rib_relevance_find(s, service);

	if (!v) {
		v = vec_reserve(s->relevances, s->n_relevances, &s->cap_relevances, sizeof(*v));
		if (!v)
			return -ENOMEM;
		s->relevances = v;
		v = &s->relevances[s->n_relevances++];
		*v = (struct rib_relevance){ .service = service };
	}
	*ret_relevance = v;
	return 0;
}

/* Brings one relevance in line with its counts; it is gone afterwards when they are zero. */
static int relevance_settle(struct rib *r, struct rib_slot *s, struct rib_relevance *v)
{
	if (v->covers > 0 || v->inside > 0)
		return rib_relevance_activate(r, s, v);
	rib_relevance_deactivate(r, s, v);
	*v = s->relevances[--s->n_relevances];
	return 0;
}

static int cover_gain(struct rib *r, struct rib_slot *s, uint16_t service)
{
	struct rib_relevance *v;
	int ret = relevance_get(s, service, &v);

	if (ret < 0)
		return ret;
	v->covers++;
	return relevance_settle(r, s, v);
}

static int cover_lose(struct rib *r, struct rib_slot *s, uint16_t service)
{
	struct rib_relevance *v = rib_relevance_find(s, service);

	if (!v)
		return 0;
	v->covers--;
	return relevance_settle(r, s, v);
}

int rib_covers_take(struct rib *r, struct rib_slot *s)
{
	int ret = 0;

	for (size_t i = watch_from(r, &s->prefix); ret == 0 && watch_inside(r, i, &s->prefix);
	     i++) {
		struct rib_slot *old = s->table->covers[i];

		if (old && old->prefix.len >= s->prefix.len)
			continue;
		s->table->covers[i] = s;
		if (old)
			ret = cover_lose(r, old, r->watches[i].service);
		if (ret == 0)
			ret = cover_gain(r, s, r->watches[i].service);
	}
	return ret;
}

static struct rib_slot *cover_below(const struct rib *r, const struct rib_slot *s,
				    const struct ip_prefix *watch)
{
	const uint32_t *lengths = s->table->lengths[rib_family_index(watch->addr.family)];

	for (unsigned len = s->prefix.len; len-- > 0;) {
		struct ip_prefix p;
		struct rib_slot *found;

		if (lengths[len] == 0)
			continue;
		p = ip_prefix_make(&watch->addr, (uint8_t)len);
		found = rib_slot_find(r, s->table, &p);
		if (found)
			return found;
	}
	return NULL;
}

int rib_covers_leave(struct rib *r, struct rib_slot *s)
{
	int ret = 0;

	for (size_t i = watch_from(r, &s->prefix); watch_inside(r, i, &s->prefix); i++) {
		struct rib_slot *heir;
		int step;

		if (s->table->covers[i] != s)
			continue;
		heir = cover_below(r, s, &r->watches[i].prefix);
		s->table->covers[i] = heir;
		step = cover_lose(r, s, r->watches[i].service);
		if (step == 0 && heir)
			step = cover_gain(r, heir, r->watches[i].service);
		if (ret == 0)
			ret = step;
	}
	return ret;
}

/* What of a more specific route concerns a service: that it sends traffic to gateways, or spreads
 * it. Connected networks inside the prefix do neither; and below 0.0.0.0/0 a single gateway leaves
 * nothing to pin. */
static bool inside_counts(const struct rib_slot *s, unsigned watch_len)
{
	if (s->n_resolved > 1)
		return true;
	return watch_len > 0 && s->n_resolved == 1 && s->resolved[0].gateway.family != 0;
}

static int inside_recount(struct rib *r, struct rib_slot *s)
{
	const bool *lengths = r->watch_lengths[rib_family_index(s->prefix.addr.family)];

	for (size_t i = 0; i < s->n_relevances; i++)
		s->relevances[i].inside = 0;
	for (unsigned len = s->prefix.len; len-- > 0;) {
		struct ip_prefix outer = ip_prefix_make(&s->prefix.addr, (uint8_t)len);

		if (!lengths[len] || !inside_counts(s, len))
			continue;
		for (size_t i = watch_above(r, &s->prefix, len);
		     i < r->n_watches && ip_prefix_equal(&r->watches[i].prefix, &outer); i++) {
			struct rib_relevance *v;
			int ret = relevance_get(s, r->watches[i].service, &v);

			if (ret < 0)
				return ret;
			v->inside++;
		}
	}
	return 0;
}

int rib_slot_resolve(struct rib *r, struct rib_slot *s, struct route_nexthop *resolved, size_t n,
		     uint32_t mtu, uint32_t metric)
{
	int ret;

	if (s->mtu == mtu && s->metric == metric &&
	    rib_nexthops_equal(s->resolved, s->n_resolved, resolved, n)) {
		free(resolved);
		return 0;
	}
	for (size_t i = 0; i < s->n_relevances; i++)
		rib_relevance_deactivate(r, s, &s->relevances[i]);
	free(s->resolved);
	s->resolved = resolved;
	s->n_resolved = n;
	s->mtu = mtu;
	s->metric = metric;
	ret = inside_recount(r, s);
	/* From the end: one that is gone is replaced by the last, which has been settled. */
	for (size_t i = s->n_relevances; i-- > 0;) {
		int step = relevance_settle(r, s, &s->relevances[i]);

		if (ret == 0)
			ret = step;
	}
	return ret;
}

void rib_relevances_free(struct rib *r, struct rib_slot *s)
{
	for (size_t i = 0; i < s->n_relevances; i++)
		rib_relevance_deactivate(r, s, &s->relevances[i]);
	free(s->relevances);
	s->relevances = NULL;
	s->n_relevances = s->cap_relevances = 0;
}
