// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/pace.h"

#define REST_MAX_MS	  2000
#define BRISK_MS	  100  /* who usually answers within this is not kept from others */
#define REQUEST_MS	  3000 /* a request that takes longer keeps others out for too long */
#define COMMANDS_PER_FLOW 13
#define OUTLIER		  4 /* times the usual: more than that has waited for another request */

uint64_t backoff_fail(struct backoff *b, uint64_t random)
{
	uint64_t wait = b->base_ms;

	for (uint32_t i = 0; i < b->failures && wait < b->max_ms; i++)
		wait *= 2;
	if (wait > b->max_ms)
		wait = b->max_ms;
	b->failures++;
	return wait - wait / 2 * (random % 1024) / 1024;
}

void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}

void pace_init(struct pace *p, uint32_t flows_max, uint32_t commands_max)
{
	*p = (struct pace){ .flows_max = flows_max,
			    .flows = flows_max,
			    .commands_max = commands_max };
}

void pace_answered(struct pace *p, uint32_t commands, uint64_t took_ms, uint64_t now_ms)
{
	double each = commands ? (double)took_ms / commands : 0;
	uint64_t usual, rest;

	if (p->command_ms > 0 && each > p->command_ms * OUTLIER)
		each = p->command_ms * OUTLIER;
	p->command_ms = p->command_ms > 0 ? p->command_ms * 0.75 + each * 0.25 : each;
	usual = (uint64_t)(p->command_ms * commands);
	rest = usual <= BRISK_MS ? usual / 16 : took_ms / 2;
	if (took_ms > REQUEST_MS && p->flows > 1)
		p->flows -= (p->flows + 3) / 4;
	else if (p->flows < p->flows_max &&
		 p->command_ms * COMMANDS_PER_FLOW * (p->flows + 1) < REQUEST_MS)
		p->flows++;
	if (rest > REST_MAX_MS)
		rest = REST_MAX_MS;
	if (p->commands_max > 0) {
		uint64_t due = (uint64_t)commands * 1000 / p->commands_max;

		if (due > took_ms && due - took_ms > rest)
			rest = due - took_ms;
	}
	p->next_ms = now_ms + rest;
}

void pace_failed(struct pace *p)
{
	p->flows = (p->flows + 1) / 2;
}
