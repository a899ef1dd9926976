// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/ingress.h"

#include <stdio.h>

static struct ingress_network *find(struct ingress *g, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < g->n; i++)
		if (ip_prefix_equal(&g->known[i].prefix, prefix))
			return &g->known[i];
	return NULL;
}

static struct ingress_network *take(struct ingress *g)
{
	struct ingress_network *oldest = &g->known[g->next];

	if (g->n < INGRESS_NETWORKS)
		return &g->known[g->n++];
	g->next = (g->next + 1) % INGRESS_NETWORKS;
	return oldest;
}

void ingress_note(struct ingress *g, const struct ip_prefix *prefix, const char *interface)
{
	struct ingress_network *k = find(g, prefix);

	if (!k)
		k = take(g);
	k->prefix = *prefix;
	snprintf(k->interface, sizeof(k->interface), "%s", interface);
}

const char *ingress_guess(const struct ingress *g, const struct ip_addr *a)
{
	const struct ingress_network *best = NULL;

	for (size_t i = 0; i < g->n; i++) {
		const struct ingress_network *k = &g->known[i];

		if (ip_prefix_contains_addr(&k->prefix, a) &&
		    (!best || k->prefix.len > best->prefix.len))
			best = k;
	}
	return best ? best->interface : NULL;
}
