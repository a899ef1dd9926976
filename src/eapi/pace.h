/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* When the next request may go out, and how large it may be. Pure: time and random bits are passed
 * in. */

/* Waits that double from `base` to `max`, each shortened at random by up to half so that many do
 * not come back together. */
struct backoff {
	uint64_t base_ms, max_ms;
	uint32_t failures;
};
/* Counts a failure and returns how long to wait. */
uint64_t backoff_fail(struct backoff *b, uint64_t random);
/* It worked: the next wait is the first again. */
void backoff_reset(struct backoff *b);

/* Writes: a switch that answers slowly gets smaller batches and rests half as long as it worked, so
 * that others are served too; one that usually answers at once hardly rests, now and then a slow
 * answer or not. */
struct pace {
	uint32_t flows_max;    /* configured */
	uint32_t flows;	       /* now */
	uint32_t commands_max; /* a second; 0: no such limit */
	double command_ms;     /* smoothed time of one command; 0: not known */
	uint64_t next_ms;
};
/* Full batches at first. */
void pace_init(struct pace *p, uint32_t flows_max, uint32_t commands_max);
/* A request of so many commands was answered: how large the next is, and when. */
void pace_answered(struct pace *p, uint32_t commands, uint64_t took_ms, uint64_t now_ms);
/* A request failed as a whole: the next one is half as large. */
void pace_failed(struct pace *p);
