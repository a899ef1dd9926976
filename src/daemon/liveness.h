/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* Whether nexthops live, for the registry to judge: probes, and what neighbour entries and links
 * say. Where that changes the registry, a sync is asked for. */

/* Probes every nexthop with a gateway from here on, when the loop begins and then every
 * probe-interval. Errors as of nl_open(), with a sentence; -ENOMEM. Struct daemon owns what was
 * opened, also after a failure. Does not wait. */
int liveness_open(struct daemon *d, struct err *e) _must_check_;

/* A neighbour entry is as in *n, or is `gone`. That says nothing, nor do STALE and DELAY. Does not
 * wait. */
void liveness_neighbour(struct daemon *d, const struct neighbour *n, bool gone);

/* A link is as in *l: up (with carrier) or down, for every nexthop behind it. Does not wait. */
void liveness_link(struct daemon *d, const struct link *l);

/* The registry has a nexthop that it had not: tells it of the link, and reads the neighbour entries
 * of the gateway's family into netstate.h (family 0, on-link: none). A failure is passed over, for
 * the probes follow. Waits for the kernel only. */
void liveness_new_nexthop(struct daemon *d, const struct ip_addr *gateway, uint32_t ifindex);
