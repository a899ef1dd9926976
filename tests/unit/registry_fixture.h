/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the tests of the registry share; include it after <cmocka.h>. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/registry.h"

#define NOW 1000000

static const struct service WEB _unused_ = { .name = "web" };
static const struct service DNS _unused_ = { .name = "dns", .on_withdraw = SERVICE_RELEASE };
static const struct nexthop_attributes IPV4 _unused_ = { .families = 1 };
static const struct drain_intent INTENT _unused_ = {
	.since_s = 10, .deadline_s = 20, .release_s = 30, .uid = 1000
};

static inline struct ip_addr addr(unsigned n)
{
	struct ip_addr a = { .family = AF_INET, .bytes = { 10, 1, (uint8_t)(n >> 8), (uint8_t)n } };

	return a;
}

static inline struct registry *new_registry(uint8_t max_id)
{
	struct registry_limits limits = { .max_id = max_id,
					  .dead_after = 3,
					  .outage_window_ms = 5000,
					  .outage_hold_ms = 30000,
					  .carrier_hold_ms = 1000,
					  .probe_interval_ms = 1000 };
	struct registry *r = NULL;

	assert_int_equal(registry_new(&limits, &r), 0);
	return r;
}

/* Names 10.1.x.n%eth1 and returns the id, or the negative errno. */
static inline int name_fixed(struct registry *r, const struct service *s, unsigned n, uint8_t fixed)
{
	struct ip_addr a = addr(n);
	uint8_t id = 0;
	int code = registry_name(r, s, &a, 1, "eth1", &IPV4, fixed, NOW, &id);

	return code < 0 ? code : id;
}

static inline int name(struct registry *r, const struct service *s, unsigned n)
{
	return name_fixed(r, s, n, 0);
}

static inline void unname(struct registry *r, const struct service *s, unsigned n, uint64_t now_ms)
{
	struct ip_addr a = addr(n);

	registry_unname(r, s->name, &a, 1, now_ms);
}

static inline void observe(struct registry *r, unsigned n, enum nexthop_event event,
			   uint64_t now_ms)
{
	struct ip_addr a = addr(n);

	registry_observe(r, &a, 1, event, now_ms);
}
