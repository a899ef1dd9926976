// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/resync.h"

#define QUIET_MS	 500  /* a resync begins this long after the last overrun ... */
#define PATIENCE_MS	 5000 /* ... but no later than this after the first ... */
#define SHARE		 10   /* ... or so many times what the last one took */
#define BACKOFF_FIRST_MS 1000 /* between two resyncs; it doubles to SHARE times as well ... */
#define BACKOFF_MAX_MS	 60000 /* ... but no further than this */

static uint64_t within(uint64_t ms, uint64_t least, uint64_t most)
{
	return ms < least ? least : ms > most ? most : ms;
}

static uint64_t backoff_clip(const struct resync *r, uint64_t ms)
{
	uint64_t most = within(r->took_ms * SHARE, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);

	return within(ms, BACKOFF_FIRST_MS, most);
}

/* A flood's table was larger than what is left of it: what the last one took says how much. */
static bool is_held_back(const struct resync *r, bool awaited, uint64_t now_ms)
{
	uint64_t ms = awaited ? BACKOFF_FIRST_MS : backoff_clip(r, r->backoff_ms);

	return r->began_ms && now_ms - r->began_ms < ms;
}

static bool is_quiet(const struct resync *r, uint64_t now_ms)
{
	return now_ms - r->last_lost_ms >= QUIET_MS;
}

/* How long losses may go on before the table is read amid them. */
static uint64_t patience_ms(const struct resync *r)
{
	return within(r->took_ms * SHARE, QUIET_MS, PATIENCE_MS);
}

void resync_lose(struct resync *r, bool reading, uint64_t now_ms)
{
	r->last_lost_ms = now_ms;
	r->lost |= reading && r->quiet;
	if (!r->first_lost_ms)
		r->first_lost_ms = now_ms;
}

bool resync_is_due(const struct resync *r, bool awaited, uint64_t now_ms)
{
	bool quiet = is_quiet(r, now_ms);

	return (quiet || now_ms - r->first_lost_ms >= patience_ms(r)) &&
	       !is_held_back(r, awaited && quiet, now_ms);
}

/* Events that are lost because conntrack is read would have it read for ever: then it is left more
 * and more time, but not more than reading costs, since flows are missing meanwhile. A flood that
 * went on all the same is not reading's doing. */
void resync_begin(struct resync *r, uint64_t now_ms)
{
	r->backoff_ms = backoff_clip(r, r->lost ? r->backoff_ms * 2 : BACKOFF_FIRST_MS);
	r->quiet = is_quiet(r, now_ms);
	r->lost = false;
	r->first_lost_ms = 0;
}

void resync_read_begin(struct resync *r, uint64_t now_ms)
{
	r->began_ms = now_ms;
}

void resync_read_end(struct resync *r, uint64_t now_ms)
{
	r->took_ms = now_ms - r->began_ms;
}
