// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "daemon/events.h"
#include "daemon/switches.h"

/* The nexthops that a switch has for the services, by its own routes, neighbours and interfaces. */

#define SILENT_WORDS 2 /* in a row: one may have been read in the middle of a change */

struct switch_nexthop *switch_nexthop_find(const struct switch_state *s, const struct ip_addr *addr)
{
	for (size_t i = 0; i < s->n_nexthops; i++)
		if (ip_addr_equal(&s->nexthops[i].addr, addr))
			return &s->nexthops[i];
	return NULL;
}

bool switch_nexthop_serves(const struct switch_nexthop *n, const char *service)
{
	for (size_t i = 0; i < n->n_named; i++)
		if (strcmp(n->named[i], service) == 0)
			return true;
	return false;
}

struct switch_nexthop *switch_nexthop_add(struct switch_state *s, const struct ip_addr *addr)
{
	struct switch_nexthop *n = switch_nexthop_find(s, addr);
	void *list;

	if (n)
		return n;
	if (s->n_nexthops == SWITCH_NEXTHOPS_MAX || addr->family == 0)
		return NULL;
	list = vec_reserve(s->nexthops, s->n_nexthops, &s->cap_nexthops, sizeof(*s->nexthops));
	if (!list)
		return NULL;
	s->nexthops = list;
	n = &s->nexthops[s->n_nexthops++];
	*n = (struct switch_nexthop){ .addr = *addr, .alive = true };
	return n;
}

struct switch_nexthop *switch_nexthop_of(const struct switch_state *s, const struct flow *f)
{
	return f->nexthop && f->nexthop <= s->n_nexthops ? &s->nexthops[f->nexthop - 1] : NULL;
}

void switch_nexthops_begin(struct switch_state *s)
{
	for (size_t i = 0; i < s->n_nexthops; i++) {
		struct switch_nexthop *n = &s->nexthops[i];

		free(n->named);
		n->named = NULL;
		n->n_named = 0;
	}
}

/* Whether a silent nexthop is proved to be silent by itself. All of a service at once, or most of
 * those behind one interface within the outage window, is a fault on the way: then nothing is
 * deleted until the outage-hold has passed. */
static bool is_dead(const struct switch_state *s, const struct switch_nexthop *n, uint64_t now_ms)
{
	const struct config *c = s->d->config;
	size_t alive = 0, silent = 0, together = 0, same = 0;

	if (n->alive || n->silent < SILENT_WORDS)
		return false;
	for (size_t i = 0; i < s->n_nexthops; i++) {
		const struct switch_nexthop *other = &s->nexthops[i];
		uint64_t apart = other->silent_ms > n->silent_ms ? other->silent_ms - n->silent_ms
								 : n->silent_ms - other->silent_ms;

		if (other->addr.family != n->addr.family ||
		    (other->n_named == 0 && n->n_named != 0))
			continue;
		alive += other->alive;
		silent += !other->alive;
		if (strcmp(other->ifname, n->ifname) != 0)
			continue;
		same++;
		together += !other->alive && apart <= c->liveness.outage_window_ms;
	}
	if (alive == 0 || silent == 0)
		return false;
	return together < 2 || together * 2 <= same ||
	       now_ms - n->silent_ms >= c->liveness.outage_hold_ms;
}

void switch_nexthops_end(struct switch_state *s, uint64_t now_ms)
{
	bool changed = false;
	char text[IP_ADDR_TEXT];

	for (size_t i = 0; i < s->n_nexthops; i++) {
		struct switch_nexthop *n = &s->nexthops[i];

		if (n->alive)
			n->silent = 0;
		else if (n->silent++ == 0)
			n->silent_ms = now_ms;
	}
	for (size_t i = 0; i < s->n_nexthops; i++) {
		struct switch_nexthop *n = &s->nexthops[i];
		bool dead = is_dead(s, n, now_ms);

		if (dead == n->dead)
			continue;
		n->dead = dead;
		changed = true;
		log_notice("switch %s: nexthop %s is %s", s->config->name,
			   ip_addr_format(&n->addr, text), dead ? "dead" : "back");
		events_report(s->d,
			      &(struct event_report){ .kind = "switch",
						      .nexthop = text,
						      .from = dead ? "active" : "dead",
						      .to = dead ? "dead" : "active",
						      .reason = "the switch does not reach it" },
			      "switch %s: nexthop %s is %s", s->config->name, text,
			      dead ? "dead" : "back");
	}
	if (changed)
		switch_offer_all(s, now_ms);
}

void switch_nexthops_free(struct switch_state *s)
{
	switch_nexthops_begin(s);
	free(s->nexthops);
	s->nexthops = NULL;
	s->n_nexthops = s->cap_nexthops = 0;
}
