// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/vec.h"

/* Flattening, one family and protocol at a time: a sweep over the addresses where some prefix
 * begins or ends. Between two such addresses the same prefixes apply, from the least to the most
 * specific one (they are nested, so a stack holds them); their port ranges are painted over each
 * other in that order. What comes out alike in neighbouring stretches is one cell. */

#define CELLS_MAX 65536

struct claim {
	struct ip_prefix prefix;
	uint16_t service;
};

struct paint {
	struct port_range ports;
	uint8_t len; /* of the prefix that brought it */
	uint16_t service;
};

/* Ports that belong to one service in the present stretch; `cell` is what it became part of. */
struct segment {
	struct port_range ports;
	uint16_t service;
	size_t cell;
};

struct segments {
	struct segment *list;
	size_t n, cap;
};

struct sweep {
	const struct service_set *set;
	uint8_t proto;
	struct claim *claims; /* sorted: an outer prefix before those inside it */
	size_t n_claims, next;
	const struct claim **stack;
	size_t depth;
	struct ip_addr *points; /* where stretches begin, ascending */
	size_t n_points;
	struct paint *paints;
	size_t n_paints, cap_paints;
	uint32_t *bounds; /* where port segments begin, ascending; 65536 ends the last one */
	size_t cap_bounds;
	int32_t *owners; /* service from bounds[i] on, -1 none */
	struct segments before, now;
	struct service_cell *cells;
	size_t n_cells, cap_cells;
};

static int claim_compare(const void *pa, const void *pb)
{
	const struct claim *a = pa, *b = pb;
	int r = ip_addr_compare(&a->prefix.addr, &b->prefix.addr);

	return r != 0 ? r : a->prefix.len - b->prefix.len;
}

static int point_compare(const void *a, const void *b)
{
	return ip_addr_compare(a, b);
}

static int paint_compare(const void *pa, const void *pb)
{
	const struct paint *a = pa, *b = pb;
	int width_a = a->ports.last - a->ports.first, width_b = b->ports.last - b->ports.first;

	return a->len != b->len ? a->len - b->len : width_b - width_a;
}

static int bound_compare(const void *pa, const void *pb)
{
	const uint32_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static int cell_compare(const void *pa, const void *pb)
{
	const struct service_cell *a = pa, *b = pb;
	int r = ip_addr_compare(&a->first, &b->first);

	if (r != 0)
		return r;
	return a->proto != b->proto ? a->proto - b->proto : a->ports.first - b->ports.first;
}

static struct ip_addr addr_before(struct ip_addr a)
{
	for (size_t i = ip_addr_size(&a); i-- > 0;)
		if (a.bytes[i]-- != 0)
			break;
	return a;
}

/* Sorts and removes doubles; returns how many are left. */
static size_t sort_unique(void *data, size_t n, size_t size,
			  int (*compare)(const void *, const void *))
{
	char *p = data;
	size_t kept = 0;

	if (n == 0)
		return 0;
	qsort(data, n, size, compare);
	for (size_t i = 1; i < n; i++)
		if (compare(p + kept * size, p + i * size) != 0)
			memmove(p + ++kept * size, p + i * size, size);
	return kept + 1;
}

/* Collects the prefixes of one family whose services have the protocol, and the addresses where
 * they begin and end. */
static void sweep_begin(struct sweep *w, uint8_t family, uint8_t proto)
{
	w->proto = proto;
	w->n_claims = w->n_points = w->next = w->depth = 0;
	w->before.n = 0;
	for (size_t i = 0; i < w->set->n; i++) {
		const struct service *s = &w->set->list[i];

		if (!memchr(s->protos, proto, s->n_protos))
			continue;
		for (size_t j = 0; j < s->n_prefixes; j++) {
			struct ip_addr end = ip_prefix_last(&s->prefixes[j]);

			if (s->prefixes[j].addr.family != family)
				continue;
			w->claims[w->n_claims++] = (struct claim){ s->prefixes[j], (uint16_t)i };
			w->points[w->n_points++] = s->prefixes[j].addr;
			if (ip_addr_increment(&end))
				w->points[w->n_points++] = end;
		}
	}
	qsort(w->claims, w->n_claims, sizeof(*w->claims), claim_compare);
	w->n_points = sort_unique(w->points, w->n_points, sizeof(*w->points), point_compare);
}

/* Leaves on the stack the prefixes that contain the address, outermost first. */
static void sweep_move(struct sweep *w, const struct ip_addr *to)
{
	while (w->depth > 0 && !ip_prefix_contains_addr(&w->stack[w->depth - 1]->prefix, to))
		w->depth--;
	while (w->next < w->n_claims && ip_addr_equal(&w->claims[w->next].prefix.addr, to))
		w->stack[w->depth++] = &w->claims[w->next++];
}

/* The port ranges of the prefixes on the stack, in the order in which they are painted. */
static int sweep_paints(struct sweep *w)
{
	w->n_paints = 0;
	for (size_t i = 0; i < w->depth; i++) {
		const struct service *s = &w->set->list[w->stack[i]->service];

		for (size_t j = 0; j < s->n_ports; j++) {
			struct paint *p =
				vec_reserve(w->paints, w->n_paints, &w->cap_paints, sizeof(*p));

			if (!p)
				return -ENOMEM;
			w->paints = p;
			w->paints[w->n_paints++] =
				(struct paint){ s->ports[j], w->stack[i]->prefix.len,
						w->stack[i]->service };
		}
	}
	if (w->n_paints) /* else there may be no array */
		qsort(w->paints, w->n_paints, sizeof(*w->paints), paint_compare);
	return 0;
}

static int bounds_reserve(struct sweep *w, size_t n)
{
	uint32_t *bounds;
	int32_t *owners;

	if (n <= w->cap_bounds)
		return 0;
	bounds = reallocarray(w->bounds, n, sizeof(*bounds));
	if (!bounds)
		return -ENOMEM;
	w->bounds = bounds;
	owners = reallocarray(w->owners, n, sizeof(*owners));
	if (!owners)
		return -ENOMEM;
	w->owners = owners;
	w->cap_bounds = n;
	return 0;
}

static int segment_add(struct segments *s, uint32_t first, uint32_t end, int32_t owner)
{
	struct segment *list;

	if (owner < 0)
		return 0;
	if (s->n > 0 && s->list[s->n - 1].service == owner &&
	    s->list[s->n - 1].ports.last + 1u == first) {
		s->list[s->n - 1].ports.last = (uint16_t)(end - 1);
		return 0;
	}
	list = vec_reserve(s->list, s->n, &s->cap, sizeof(*list));
	if (!list)
		return -ENOMEM;
	s->list = list;
	list[s->n++] =
		(struct segment){ { (uint16_t)first, (uint16_t)(end - 1) }, (uint16_t)owner, 0 };
	return 0;
}

/* Paints the ranges over each other and leaves what is seen in w->now. */
static int sweep_segments(struct sweep *w)
{
	size_t n = 0;
	int r = bounds_reserve(w, 2 * w->n_paints + 1);

	if (r < 0)
		return r;
	for (size_t i = 0; i < w->n_paints; i++) {
		w->bounds[n++] = w->paints[i].ports.first;
		w->bounds[n++] = w->paints[i].ports.last + 1u;
	}
	n = sort_unique(w->bounds, n, sizeof(*w->bounds), bound_compare);
	for (size_t i = 0; i < n; i++)
		w->owners[i] = -1;
	for (size_t i = 0; i < w->n_paints; i++) {
		uint32_t first = w->paints[i].ports.first;
		uint32_t *at = bsearch(&first, w->bounds, n, sizeof(*at), bound_compare);

		for (size_t k = (size_t)(at - w->bounds); w->bounds[k] <= w->paints[i].ports.last;
		     k++)
			w->owners[k] = w->paints[i].service;
	}
	w->now.n = 0;
	for (size_t i = 0; r == 0 && i + 1 < n; i++)
		r = segment_add(&w->now, w->bounds[i], w->bounds[i + 1], w->owners[i]);
	return r;
}

static int cell_add(struct sweep *w, const struct segment *s, const struct ip_addr *first,
		    const struct ip_addr *last)
{
	struct service_cell *cells;

	if (w->n_cells == CELLS_MAX)
		return -E2BIG;
	cells = vec_reserve(w->cells, w->n_cells, &w->cap_cells, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	w->cells = cells;
	cells[w->n_cells++] =
		(struct service_cell){ *first, *last, w->proto, s->ports, s->service };
	return 0;
}

/* Turns w->now into cells for the stretch first..last. A segment that the stretch before had too
 * (stretches touch each other, so that one ends just before `first`) makes its cell longer. */
static int sweep_emit(struct sweep *w, const struct ip_addr *first, const struct ip_addr *last)
{
	struct segments swap;
	size_t k = 0;
	int r;

	for (size_t i = 0; i < w->now.n; i++) {
		struct segment *s = &w->now.list[i];

		while (k < w->before.n && w->before.list[k].ports.first < s->ports.first)
			k++;
		if (k < w->before.n && w->before.list[k].ports.first == s->ports.first &&
		    w->before.list[k].ports.last == s->ports.last &&
		    w->before.list[k].service == s->service) {
			s->cell = w->before.list[k].cell;
			w->cells[s->cell].last = *last;
			continue;
		}
		s->cell = w->n_cells;
		r = cell_add(w, s, first, last);
		if (r < 0)
			return r;
	}
	swap = w->before;
	w->before = w->now;
	w->now = swap;
	return 0;
}

static int sweep_run(struct sweep *w, uint8_t family, uint8_t proto)
{
	struct ip_prefix all = { .addr = { .family = family } };
	int r;

	sweep_begin(w, family, proto);
	for (size_t i = 0; i < w->n_points; i++) {
		struct ip_addr last =
			i + 1 < w->n_points ? addr_before(w->points[i + 1]) : ip_prefix_last(&all);

		sweep_move(w, &w->points[i]);
		r = sweep_paints(w);
		if (r == 0)
			r = sweep_segments(w);
		if (r == 0)
			r = sweep_emit(w, &w->points[i], &last);
		if (r < 0)
			return r;
	}
	return 0;
}

static void sweep_clear(struct sweep *w)
{
	free(w->claims);
	free(w->stack);
	free(w->points);
	free(w->paints);
	free(w->bounds);
	free(w->owners);
	free(w->before.list);
	free(w->now.list);
	free(w->cells);
}

int service_set_compile(const struct service_set *s, struct service_cell **ret_cells, size_t *ret_n)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	_cleanup_(sweep_clear) struct sweep w = { .set = s };
	size_t n = 1;
	int r = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->list[i].n_prefixes;
	w.claims = calloc(n, sizeof(*w.claims));
	w.stack = calloc(n, sizeof(*w.stack));
	w.points = calloc(2 * n, sizeof(*w.points));
	if (!w.claims || !w.stack || !w.points)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++)
		for (size_t k = 0; r == 0 && k < ARRAY_SIZE(protos); k++)
			r = sweep_run(&w, families[i], protos[k]);
	if (r < 0)
		return r;
	if (w.n_cells > 0)
		qsort(w.cells, w.n_cells, sizeof(*w.cells), cell_compare);
	*ret_cells = TAKE_PTR(w.cells);
	*ret_n = w.n_cells;
	return 0;
}
