/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "eapi/topology.h"

/* Where packets come in: the interface towards each network of sources that a question had to read.
 * The next question need not wait for that. It is a guess: the route back is read along with the
 * path, and only where it says the same does the path count. Pure. */

#define INGRESS_NETWORKS 64

struct ingress_network {
	struct ip_prefix prefix;
	char interface[INTERFACE_NAME];
};

/* Zeroed: nothing is known. */
struct ingress {
	struct ingress_network known[INGRESS_NETWORKS];
	size_t n, next; /* next: the oldest, which gives way when all are taken */
};

/* The route back to this network goes over this interface (copied, its normalized name). */
void ingress_note(struct ingress *g, const struct ip_prefix *prefix, const char *interface);
/* The interface of the most specific network that holds the address, owned by g and good until the
 * next note; NULL: none is known. */
const char *ingress_guess(const struct ingress *g, const struct ip_addr *a);
