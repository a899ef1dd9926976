/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The life of a binding, as tables of what happens and what follows. test_registry.c plays them. */

#include "core/registry.h"

enum op {
	NAME,	 /* a route names it */
	UNNAME,
	ANSWER,	 /* probed, and confirmed in the same millisecond */
	PROBED,
	SILENT,	 /* the kernel says FAILED */
	DOWN,
	UP,
	TICK,
	DRAIN,
	UNDRAIN,
	RELEASE,
};

/* At `ms`, `op` befalls each nexthop of `who` ("AC"); then the states of A, B, ... are `states`:
 * a active, d draining, x dead, u unreachable, - none. `reason` is that of the first of `who`. */
struct step {
	uint32_t ms;
	enum op op;
	const char *who, *states;
	enum binding_reason reason;
};

struct scenario {
	const char *title;
	const char *interfaces; /* the ifindex of A, B, ... */
	bool on_link;		/* no gateway: cannot be probed */
	enum service_on_withdraw on_withdraw;
	uint32_t dead_after; /* 0: 3 */
	struct step steps[32];
};

static const struct scenario routes_and_wishes[] = {
	{ .title = "withdrawn and back", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 10, UNNAME, "A", "da", REASON_WITHDRAWN },
		{ 20, NAME, "A", "aa", REASON_ROUTE },
		{ 30, UNNAME, "AB", "dd", REASON_WITHDRAWN },
	} },
	{ .title = "on-withdraw = release",
	  .interfaces = "12", .on_withdraw = SERVICE_RELEASE, .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 10, UNNAME, "A", "xa", REASON_WITHDRAWN },
		{ 20, UNNAME, "B", "xd", REASON_WITHDRAWN }, /* nobody is left to take its flows */
		{ 30, NAME, "A", "ax", REASON_ROUTE },
		{ 40, NAME, "B", "aa", REASON_ROUTE },
	} },
	{ .title = "on-withdraw = release waits for another one to be active", .interfaces = "12",
	  .on_withdraw = SERVICE_RELEASE, .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 10, UNNAME, "B", "ax", REASON_WITHDRAWN },
		{ 20, UNNAME, "A", "dx", REASON_WITHDRAWN },
		{ 30, NAME, "B", "xa", REASON_ROUTE },
	} },
	{ .title = "on-withdraw = release: one that has failed is not active", .interfaces = "12",
	  .on_withdraw = SERVICE_RELEASE, .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, PROBED, "AB", "aa", REASON_ROUTE },
		{ 4000, SILENT, "B", "aa", REASON_ROUTE },
		{ 4010, UNNAME, "A", "du", REASON_WITHDRAWN },
		{ 5000, ANSWER, "B", "xa", REASON_ROUTE },
	} },
	{ .title = "drained, withdrawn, back: still drained", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 10, DRAIN, "A", "da", REASON_DRAIN },
		{ 20, UNNAME, "A", "da", REASON_DRAIN },
		{ 30, NAME, "A", "da", REASON_DRAIN },
		{ 40, UNDRAIN, "A", "aa", REASON_ROUTE },
	} },
	{ .title = "undrained while withdrawn", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 10, UNNAME, "A", "da", REASON_WITHDRAWN },
		{ 20, DRAIN, "A", "da", REASON_DRAIN },
		{ 30, UNDRAIN, "A", "da", REASON_WITHDRAWN },
	} },
	{ .title = "released", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 10, RELEASE, "A", "xa", REASON_RELEASE },
		{ 20, ANSWER, "A", "xa", REASON_RELEASE },
		{ 30, NAME, "A", "xa", REASON_RELEASE }, /* it was named all the time */
		{ 40, UNDRAIN, "A", "aa", REASON_ROUTE },
		{ 50, RELEASE, "A", "xa", REASON_RELEASE },
		{ 60, UNNAME, "A", "xa", REASON_RELEASE },
		{ 70, NAME, "A", "aa", REASON_ROUTE },
		{ 80, DRAIN, "A", "da", REASON_DRAIN },
		{ 90, RELEASE, "A", "xa", REASON_RELEASE },
		{ 100, UNNAME, "A", "xa", REASON_RELEASE },
		{ 110, NAME, "A", "da", REASON_DRAIN }, /* the drain outlives the release */
		{ 120, RELEASE, "B", "dx", REASON_RELEASE }, /* not refused */
	} },
};

static const struct scenario deaths[] = {
	{ .title = "a server dies alone on its own link", .interfaces = "123", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 100, ANSWER, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aaa", REASON_ROUTE },
		{ 3100, ANSWER, "BC", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "A", "xaa", REASON_NEIGHBOUR },
		{ 5000, PROBED, "A", "xaa", REASON_NEIGHBOUR },
		{ 9000, SILENT, "A", "xaa", REASON_NEIGHBOUR },
		{ 9500, ANSWER, "A", "aaa", REASON_ROUTE },
	} },
	{ .title = "alone on a segment", .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aaa", REASON_ROUTE },
		{ 3100, ANSWER, "BC", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "A", "xaa", REASON_NEIGHBOUR },
	} },
	{ .title = "nobody vouches: a proof from before the fault, or too old",
	  .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, ANSWER, "B", "aa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aa", REASON_ROUTE },
		{ 1400, SILENT, "A", "aa", REASON_ROUTE },
		{ 1500, ANSWER, "A", "aa", REASON_ROUTE },
		{ 2000, PROBED, "A", "aa", REASON_ROUTE },
		{ 2100, ANSWER, "B", "aa", REASON_ROUTE },
		{ 4601, SILENT, "A", "aa", REASON_ROUTE },
		{ 4700, ANSWER, "B", "xa", REASON_ROUTE },
	} },
	{ .title = "waits while a neighbour on the segment is undecided",
	  .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "ABC", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "A", "aaa", REASON_ROUTE },
		{ 4050, ANSWER, "B", "aaa", REASON_ROUTE },
		{ 4100, ANSWER, "C", "xaa", REASON_ROUTE },
	} },
	{ .title = "but not for ever", .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "AC", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "A", "aaa", REASON_ROUTE },
		{ 7900, ANSWER, "B", "aaa", REASON_ROUTE },
		{ 8000, TICK, "A", "aaa", REASON_ROUTE },
		{ 8001, TICK, "A", "xaa", REASON_NEIGHBOUR },
	} },
	{ .title = "one after the other is no outage", .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aaa", REASON_ROUTE },
		{ 4000, ANSWER, "BC", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "A", "xaa", REASON_NEIGHBOUR },
		{ 6001, PROBED, "B", "xaa", REASON_ROUTE },
		{ 9000, ANSWER, "C", "xaa", REASON_ROUTE },
		{ 9001, SILENT, "B", "xxa", REASON_NEIGHBOUR },
	} },
	{ .title = "dead-after = 5", .interfaces = "12", .dead_after = 5, .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aa", REASON_ROUTE },
		{ 4000, ANSWER, "B", "aa", REASON_ROUTE },
		{ 4000, SILENT, "A", "aa", REASON_ROUTE },
		{ 5000, PROBED, "A", "aa", REASON_ROUTE },
		{ 5500, SILENT, "A", "aa", REASON_ROUTE },
		{ 6000, SILENT, "A", "xa", REASON_NEIGHBOUR },
	} },
	{ .title = "link down", .interfaces = "123", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 100, ANSWER, "ABC", "aaa", REASON_ROUTE },
		{ 1000, DOWN, "A", "aaa", REASON_ROUTE },
		{ 1100, ANSWER, "BC", "aaa", REASON_ROUTE },
		{ 1999, TICK, "A", "aaa", REASON_ROUTE },
		{ 2000, TICK, "A", "xaa", REASON_LINK },
		{ 3000, UP, "A", "xaa", REASON_LINK }, /* it must answer first */
		{ 3100, PROBED, "A", "xaa", REASON_LINK },
		{ 3101, ANSWER, "A", "aaa", REASON_ROUTE },
	} },
	{ .title = "link down is found by any later event", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, DOWN, "A", "aa", REASON_ROUTE },
		{ 2100, ANSWER, "B", "xa", REASON_ROUTE },
	} },
	{ .title = "a link flap shorter than carrier-hold", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 100, ANSWER, "AB", "aa", REASON_ROUTE },
		{ 1000, DOWN, "A", "aa", REASON_ROUTE },
		{ 1999, UP, "A", "aa", REASON_ROUTE },
		{ 2500, TICK, "A", "aa", REASON_ROUTE },
		{ 2600, DOWN, "A", "aa", REASON_ROUTE },
		{ 3200, TICK, "A", "aa", REASON_ROUTE },
	} },
	{ .title = "the link returns, the neighbour had failed too", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, DOWN, "A", "aa", REASON_ROUTE },
		{ 1900, ANSWER, "B", "aa", REASON_ROUTE },
		{ 2000, SILENT, "A", "xa", REASON_LINK },
		{ 3000, UP, "A", "xa", REASON_LINK },
		{ 3100, TICK, "A", "xa", REASON_LINK },
		{ 3200, ANSWER, "A", "aa", REASON_ROUTE },
	} },
	{ .title = "point-to-point: carrier is all there is",
	  .interfaces = "12", .on_link = true, .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, DOWN, "A", "aa", REASON_ROUTE },
		{ 2000, TICK, "A", "xa", REASON_LINK },
		{ 3000, UP, "A", "aa", REASON_ROUTE },
	} },
	{ .title = "draining ones die by the same rule", .interfaces = "123", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 50, ANSWER, "ABC", "aaa", REASON_ROUTE },
		{ 100, UNNAME, "A", "daa", REASON_WITHDRAWN },
		{ 200, DRAIN, "B", "dda", REASON_DRAIN },
		{ 1000, PROBED, "AB", "dda", REASON_WITHDRAWN },
		{ 3900, SILENT, "B", "dda", REASON_DRAIN },
		{ 4000, ANSWER, "C", "dxa", REASON_ROUTE },
		{ 4000, SILENT, "A", "xxa", REASON_NEIGHBOUR },
		{ 5000, ANSWER, "AB", "dda", REASON_WITHDRAWN },
	} },
	{ .title = "dead, withdrawn, named again: dead until it answers",
	  .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aa", REASON_ROUTE },
		{ 3900, ANSWER, "B", "aa", REASON_ROUTE },
		{ 4000, SILENT, "A", "xa", REASON_NEIGHBOUR },
		{ 5000, UNNAME, "A", "xa", REASON_NEIGHBOUR },
		{ 6000, NAME, "A", "xa", REASON_NEIGHBOUR },
		{ 6500, RELEASE, "A", "xa", REASON_RELEASE },
		{ 6600, UNDRAIN, "A", "xa", REASON_NEIGHBOUR },
		{ 7000, ANSWER, "A", "aa", REASON_ROUTE },
	} },
	{ .title = "half of them behind one interface is no outage",
	  .interfaces = "1122", .steps = {
		{ 0, NAME, "ABCD", "aaaa", REASON_ROUTE },
		{ 1000, PROBED, "AB", "aaaa", REASON_ROUTE },
		{ 3900, ANSWER, "CD", "aaaa", REASON_ROUTE },
		{ 4000, SILENT, "A", "aaaa", REASON_ROUTE },
		{ 4010, SILENT, "B", "xxaa", REASON_NEIGHBOUR },
	} },
	{ .title = "most of them, behind different interfaces, is no outage",
	  .interfaces = "123", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "AB", "aaa", REASON_ROUTE },
		{ 3900, ANSWER, "C", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "AB", "xxa", REASON_NEIGHBOUR },
	} },
	{ .title = "one that cannot be probed vouches for another interface only",
	  .interfaces = "11", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aa", REASON_ROUTE },
		{ 4000, SILENT, "A", "aa", REASON_ROUTE },
		{ 9000, TICK, "A", "aa", REASON_ROUTE },
		{ 9100, ANSWER, "B", "xa", REASON_ROUTE },
	} },
	{ .title = "one that no route names does not vouch", .interfaces = "123", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 10, UNNAME, "B", "ada", REASON_WITHDRAWN },
		{ 1000, PROBED, "AC", "ada", REASON_ROUTE },
		{ 3900, ANSWER, "B", "ada", REASON_WITHDRAWN },
		{ 4000, SILENT, "A", "ada", REASON_ROUTE },
		{ 4100, ANSWER, "C", "xda", REASON_ROUTE },
	} },
	{ .title = "one that no route names is not waited for", .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 10, UNNAME, "C", "aad", REASON_WITHDRAWN },
		{ 1000, PROBED, "AC", "aad", REASON_ROUTE },
		{ 3900, ANSWER, "B", "aad", REASON_ROUTE },
		{ 4000, SILENT, "A", "xad", REASON_NEIGHBOUR },
	} },
	{ .title = "half behind one interface and one elsewhere is no outage",
	  .interfaces = "1123", .steps = {
		{ 0, NAME, "ABCD", "aaaa", REASON_ROUTE },
		{ 1000, PROBED, "ABC", "aaaa", REASON_ROUTE },
		{ 4000, ANSWER, "D", "aaaa", REASON_ROUTE },
		{ 4000, SILENT, "CAB", "xxxa", REASON_NEIGHBOUR },
	} },
};

static const struct scenario outages[] = {
	{ .title = "the whole segment fails; one does not come back",
	  .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 100, ANSWER, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "ABC", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "A", "aaa", REASON_ROUTE },
		{ 4010, SILENT, "B", "uua", REASON_OUTAGE },
		{ 4020, SILENT, "C", "uuu", REASON_OUTAGE },
		{ 9000, ANSWER, "A", "auu", REASON_ROUTE },
		{ 9010, ANSWER, "B", "aau", REASON_ROUTE },
		{ 29000, SILENT, "C", "aau", REASON_OUTAGE },
		{ 30900, ANSWER, "AB", "aau", REASON_ROUTE },
		{ 30999, TICK, "C", "aau", REASON_OUTAGE },
		{ 31000, TICK, "C", "aax", REASON_OUTAGE },
		{ 32000, ANSWER, "C", "aaa", REASON_ROUTE },
	} },
	{ .title = "all come back", .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 1000, PROBED, "ABC", "aaa", REASON_ROUTE },
		{ 4000, SILENT, "ABC", "uuu", REASON_OUTAGE },
		{ 9000, ANSWER, "ABC", "aaa", REASON_ROUTE },
		{ 60000, TICK, "A", "aaa", REASON_ROUTE },
	} },
	{ .title = "the interface of all goes down; nobody moves when it returns",
	  .interfaces = "111", .steps = {
		{ 0, NAME, "ABC", "aaa", REASON_ROUTE },
		{ 100, ANSWER, "ABC", "aaa", REASON_ROUTE },
		{ 1000, DOWN, "A", "aaa", REASON_ROUTE },
		{ 2000, TICK, "A", "uuu", REASON_OUTAGE },
		{ 6000, UP, "A", "uuu", REASON_OUTAGE },
		{ 6010, ANSWER, "AB", "aau", REASON_ROUTE },
		{ 6020, PROBED, "C", "aau", REASON_OUTAGE },
		{ 9000, ANSWER, "AB", "aau", REASON_ROUTE },
		/* still the same outage, though its link is up */
		{ 9020, SILENT, "C", "aau", REASON_OUTAGE },
		{ 30900, ANSWER, "AB", "aau", REASON_ROUTE },
		{ 31000, TICK, "C", "aax", REASON_OUTAGE },
	} },
	{ .title = "most behind one interface, another lives elsewhere",
	  .interfaces = "1112", .steps = {
		{ 0, NAME, "ABCD", "aaaa", REASON_ROUTE },
		{ 1000, PROBED, "ABC", "aaaa", REASON_ROUTE },
		{ 3900, ANSWER, "D", "aaaa", REASON_ROUTE },
		{ 4000, SILENT, "AB", "aaaa", REASON_ROUTE }, /* C is undecided */
		{ 4010, SILENT, "C", "uuua", REASON_OUTAGE },
		{ 30990, ANSWER, "D", "uuua", REASON_ROUTE },
		{ 31000, TICK, "A", "xxxa", REASON_OUTAGE },
	} },
	{ .title = "two uplinks, one after the other", .interfaces = "12", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, PROBED, "A", "aa", REASON_ROUTE },
		{ 3900, ANSWER, "B", "aa", REASON_ROUTE },
		{ 4000, SILENT, "A", "xa", REASON_NEIGHBOUR },
		{ 60000, PROBED, "B", "xa", REASON_ROUTE },
		{ 63000, SILENT, "B", "xu", REASON_OUTAGE },
		{ 100000, TICK, "B", "xu", REASON_OUTAGE }, /* held while nobody is alive */
		{ 110000, ANSWER, "A", "ax", REASON_ROUTE },
		{ 120000, ANSWER, "B", "aa", REASON_ROUTE },
	} },
	{ .title = "a single nexthop", .interfaces = "1", .steps = {
		{ 0, NAME, "A", "a", REASON_ROUTE },
		{ 1000, PROBED, "A", "a", REASON_ROUTE },
		{ 4000, SILENT, "A", "u", REASON_OUTAGE },
		{ 90000, TICK, "A", "u", REASON_OUTAGE },
		{ 91000, UNNAME, "A", "u", REASON_OUTAGE },
		{ 92000, ANSWER, "A", "d", REASON_WITHDRAWN },
	} },
	{ .title = "draining ones are held through an outage", .interfaces = "1111", .steps = {
		{ 0, NAME, "ABCD", "aaaa", REASON_ROUTE },
		{ 100, UNNAME, "A", "daaa", REASON_WITHDRAWN },
		{ 200, DRAIN, "B", "ddaa", REASON_DRAIN },
		{ 1000, PROBED, "ABCD", "ddaa", REASON_WITHDRAWN },
		{ 4000, SILENT, "AB", "ddaa", REASON_WITHDRAWN },
		{ 4010, SILENT, "CD", "uuuu", REASON_OUTAGE },
		{ 9000, ANSWER, "C", "uuau", REASON_ROUTE },
		{ 9010, ANSWER, "ABD", "ddaa", REASON_WITHDRAWN },
	} },
	{ .title = "released in an outage", .interfaces = "11", .steps = {
		{ 0, NAME, "AB", "aa", REASON_ROUTE },
		{ 1000, PROBED, "AB", "aa", REASON_ROUTE },
		{ 4000, SILENT, "AB", "uu", REASON_OUTAGE },
		{ 5000, RELEASE, "A", "xu", REASON_RELEASE },
	} },
};
