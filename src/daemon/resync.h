/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* When conntrack is read again after events were lost. Times are clock_now_ms()'s; nothing here can
 * fail or wait. A zeroed struct is one that has not lost anything. */
struct resync {
	uint64_t first_lost_ms; /* since the last reading for it began; 0: nothing */
	uint64_t last_lost_ms;
	uint64_t backoff_ms;
	uint64_t began_ms, took_ms; /* the last reading, whatever for; 0: none yet */
	bool quiet, lost;	    /* nothing was lost when it began; but while it went on */
};

/* Events were lost; `reading`: while conntrack is read. */
void resync_lose(struct resync *r, bool reading, uint64_t now_ms);

/* Whether it is time: 500 ms without a further loss, or at most 5 s with them, and not too soon
 * after the last reading began: 1 to 60 s, the longer the more reading costs and the more often it
 * was the reading that had events lost. Somebody who awaits it has it after 1 s at most, once
 * nothing is lost any more. Only for a struct that has lost something. */
bool resync_is_due(const struct resync *r, bool awaited, uint64_t now_ms);

/* Conntrack is going to be read for what was lost. */
void resync_begin(struct resync *r, uint64_t now_ms);

/* A reading has begun, for whatever reason, and ended. */
void resync_read_begin(struct resync *r, uint64_t now_ms);
void resync_read_end(struct resync *r, uint64_t now_ms);
