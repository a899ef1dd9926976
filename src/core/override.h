/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "core/registry.h"
#include "core/rib.h"
#include "core/service.h"

/* Overrides: new flows of a service keep off a nexthop that a route still names (drained or dead).
 * Pure.
 *
 * One group per service prefix P, source table SRC and route length LEN, longest LEN first. Traffic
 * to P (with the service's protocols and ports) first looks into SRC with everything of length <=
 * LEN suppressed, so more specific routes stay as they were, then into a table of copies of exactly
 * those routes of length LEN that name such a nexthop, without it. Services that are more specific
 * than this one inside P are sent past the group (`shields`). */
struct override_selector {
	struct ip_prefix to;
	uint8_t proto; /* 0 any */
	struct port_range ports; /* 0-65535: any */
};

struct override {
	char service[SERVICE_NAME_MAX];
	struct ip_prefix to; /* P */
	/* Protocols x port ranges of the service; `to` is P in each. Where another service has the
	 * same prefix there is one override per range, so that they can be put in order. */
	struct override_selector *selectors;
	size_t n_selectors;
	struct override_selector *shields;
	size_t n_shields;
	uint32_t source_table;
	uint8_t len;
	/* Copies, nexthops resolved, table 0 (the writer numbers it), those nexthops left out,
	 * weights scaled to what a multipath route can hold (256). */
	struct route *routes;
	size_t n_routes;
	struct nexthop_spec *without;
	size_t n_without;
};

/* All overrides that the present routes and bindings call for, those of longer service prefixes
 * first. A route that would be left without a nexthop, or with one whose encapsulation was too long
 * to be kept, is not overridden. The caller releases with
 * override_list_free(). -ENOMEM. */
int override_list_build(const struct service_set *services, const struct rib *rib,
			const struct registry *registry, struct override **ret_list,
			size_t *ret_n) _must_check_;
/* Frees a list of override_list_build(), and what its overrides own. */
void override_list_free(struct override *list, size_t n);
