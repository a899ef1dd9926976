/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/server.h"
#include "daemon/daemon.h"

/* `flowpin monitor`. Who reads slowly loses what goes beyond 256 KiB, and is told how much that
 * was. Nothing here waits. */

/* Type Event of io.flowpin; texts are borrowed for the call. */
struct event_report {
	const char *kind;	       /* one of those that io.flowpin names */
	const char *service, *nexthop; /* NULL: none */
	uint8_t id;		       /* 0: none, and no flows either */
	const char *from, *to, *reason;
	uint32_t flows;
	const struct flow *flow; /* only for those who asked for flows */
	const char *change;
};
/* Tells everybody who subscribed. A sentence of more than 511 bytes is cut; without memory the
 * event is dropped. */
void events_report(struct daemon *d, const struct event_report *report, const char *fmt, ...)
	_printf_(3, 4);
/* The same of a flow: it is "new", "moved", or why it ended. Not cheap: callers look first whether
 * d->flow_subscribers is 0. */
void events_flow(struct daemon *d, const struct flow *f, const char *change);

/* Makes the call, one with "more", a stream of events until its client goes; `flows`: also those of
 * flows. Its first reply has none. Without memory it is answered with Failed. */
void events_subscribe(struct daemon *d, struct control_call *call, bool flows);
