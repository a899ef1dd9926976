/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "daemon/daemon.h"

/* Tuples a request, and a turn of the loop: clients and new nexthops wait for no more than that,
 * were there a million of them to ask for. */
#define WITNESS_AT_ONCE 512

/* One-way flows, whose witness is their element of the pin map, and those that may become such. Who
 * is watched is on its binding's list of the flow table and asked for in its turn: every half idle
 * timeout, sooner where a drain waits for it or its nexthop died. */

/* Makes the timer by which flows are asked for at once. -ENOMEM. */
int witness_open(struct daemon *d) _must_check_;

/* Conntrack has no entry of the flow (any more): it lives by its pin from here on, which is asked
 * for in 20 ms (at_once) or in its turn. Fine for a flow that is watched. */
void witness_watch(struct daemon *d, struct flow *f, bool at_once);
/* Its conntrack entry has no answer yet: in its turn that is asked for, then the pin. A flow of a
 * zone has no pin and is left alone. */
void witness_watch_young(struct daemon *d, struct flow *f, uint64_t now_ms);
/* A flow that is watched is asked for in 20 ms, before the others of its binding. */
void witness_ask(struct daemon *d, struct flow *f);
/* Whether this flow is to be asked for at once and still waits for that. */
bool witness_is_asking(const struct flow *f);

/* The pin map has just said these ids (0: no pin) of these tuples: what witness_tick() would do
 * with the answers is done now. n is at most WITNESS_AT_ONCE. Only for flows that are watched and
 * have no conntrack entry; the others are left alone. Waits for the kernel only. */
void witness_told(struct daemon *d, const struct tuple *list, const uint8_t *ids, size_t n);

/* Asks for WITNESS_AT_ONCE of the flows that are due, and for more in 1 ms. One without a pin ends,
 * unless a switch holds it or its entry came from another gateway; one with another pin moves;
 * conntrack's mark follows. What cannot be read ends nothing. Does nothing before d->ready. Waits
 * for the kernel only. */
void witness_tick(struct daemon *d, uint64_t now_ms);

/* Those of these tuples that have a pin and are not in the flow table become watched flows, where
 * there is room. When pins cannot be read the rest is left out. Waits for the kernel only. */
void witness_adopt(struct daemon *d, const struct tuple *list, size_t n);
/* The same for the whole pin map, read by the loop: once, after start. One that cannot begin or
 * breaks off is logged. Does not wait. */
void witness_adopt_begin(struct daemon *d);
