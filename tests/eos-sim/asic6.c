// SPDX-License-Identifier: GPL-2.0-or-later
/* ECMP of IPv6. The kernel's own choice cannot be asked for: since its hash of a packet mixes in a
 * second one (of an inner packet, absent or not) and its hash of a look-up does not, a look-up
 * names another nexthop. So the choice is made by nftables' jhash, which is known, and computed
 * here a second time. It covers the IPv6 routes that came through the control channel. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "plane.h"
#include "sim.h"

#define SEED 0x4a31f00du

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word << bits | word >> (32 - bits);
}

/* Bob Jenkins's lookup3 over a number of whole words, as the kernel has it on a little-endian
 * machine. */
static uint32_t lookup3(const uint32_t *k, uint32_t words, uint32_t seed)
{
	static const uint8_t mix[6] = { 4, 6, 8, 16, 19, 4 },
			     final[7] = { 14, 11, 25, 16, 4, 14, 24 };
	uint32_t s[3];

	s[0] = s[1] = s[2] = 0xdeadbeef + words * 4 + seed;
	for (; words > 3; words -= 3, k += 3) {
		for (unsigned i = 0; i < 3; i++)
			s[i] += k[i];
		for (unsigned i = 0; i < 6; i++) { /* a -= c, a ^= rol(c, n), c += b; then around */
			uint32_t *a = &s[i % 3], *b = &s[(i + 1) % 3], *c = &s[(i + 2) % 3];

			*a -= *c;
			*a ^= rotate(*c, mix[i]);
			*c += *b;
		}
	}
	for (unsigned i = 0; i < words; i++)
		s[i] += k[i];
	for (unsigned i = 0; i < 7; i++) { /* c ^= b, c -= rol(b, n); then around */
		uint32_t *c = &s[(i + 2) % 3], *b = &s[(i + 1) % 3];

		*c ^= *b;
		*c -= rotate(*b, final[i]);
	}
	return s[2];
}

static long total_weight(const struct route *r)
{
	long total = 0;

	for (size_t i = 0; i < r->n; i++)
		total += r->vias[i].weight;
	return total;
}

static size_t via_at(const struct route *r, long point)
{
	size_t i = 0;

	while (i + 1 < r->n && point >= r->vias[i].weight)
		point -= r->vias[i++].weight;
	return i;
}

void asic6_set_route(struct dataplane *dp, const struct route *route, bool present)
{
	struct route **link = &dp->routes6, *r;

	while (*link && strcmp((*link)->prefix, route->prefix) != 0)
		link = &(*link)->next;
	r = *link;
	if (r) {
		*link = r->next;
		free(r);
	}
	if (present) {
		r = need(malloc(sizeof(*r)));
		*r = *route;
		/* Longest first. */
		for (link = &dp->routes6; *link && (*link)->length >= r->length;)
			link = &(*link)->next;
		r->next = *link;
		*link = r;
	}
	dp->sim->table.changed = true;
}

void asic6_free(struct dataplane *dp)
{
	while (dp->routes6) {
		struct route *r = dp->routes6;

		dp->routes6 = r->next;
		free(r);
	}
}

void asic6_print(struct dataplane *dp, FILE *out)
{
	for (const struct route *r = dp->routes6; r; r = r->next) {
		long total = total_weight(r);

		fprintf(out,
			"add rule inet " TCAM_TABLE " tcam ip6 daddr %s meta l4proto { tcp, udp } ",
			r->prefix);
		if (r->n < 2) {
			fprintf(out, "goto done\n");
			continue;
		}
		fprintf(out,
			"meta mark set jhash ip6 saddr . ip6 daddr . meta l4proto . th sport . th "
			"dport mod %ld seed 0x%x map { ",
			total, SEED);
		for (long i = 0; i < total; i++) {
			struct flow_spec spec;

			flow_spec_init(&spec);
			spec.nexthops.n = 1;
			set_text(spec.nexthops.v[0], sizeof(spec.nexthops.v[0]),
				 r->vias[via_at(r, i)].nexthop);
			fprintf(out, "%s%ld : %u", i ? ", " : "", i, action_mark(dp, &spec));
		}
		fprintf(out, " } goto done\n");
	}
}

bool asic6_path(struct dataplane *dp, const struct path_query *q, struct via *ret_via)
{
	const struct route *r = dp->routes6;
	const struct interface *i;
	struct route *now = need(calloc(1, sizeof(*now)));
	uint32_t key[11] = { 0 };
	bool whole, carries;

	whole = kernel_route(dp, AF_INET6, q->dst, now) == 0;
	while (whole && r && strcmp(r->prefix, now->prefix) != 0)
		r = r->next;
	free(now);
	if (!whole || !r || r->n < 2 || (q->protocol != 6 && q->protocol != 17))
		return false;
	memcpy(key, q->src, 16);
	memcpy(key + 4, q->dst, 16);
	key[8] = (uint32_t)q->protocol;
	key[9] = htons((uint16_t)q->sport);
	key[10] = htons((uint16_t)q->dport);
	*ret_via = r->vias[via_at(
		r, (long)((uint64_t)lookup3(key, 11, SEED) * (uint64_t)total_weight(r) >> 32))];
	/* With its link down the mark's table is empty, and the kernel's route decides. */
	i = interface_find(&dp->sim->tables, ret_via->interface);
	carries = !i || !*i->dev || strcmp(i->link, "connected") == 0;
	return carries;
}
