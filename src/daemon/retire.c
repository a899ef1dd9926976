// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/retire.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/routes.h"
#include "daemon/sync.h"
#include "netlink/ct.h"
#include "pin/ruleset.h"

#define COUNTERS_EVERY_MS 1000

static int on_entry(const struct nlmsghdr *nlh _unused_, void *arg)
{
	(*(size_t *)arg)++;
	return 0;
}

/* The mark may stand where the flow table cannot see it: in another zone, or in an entry whose
 * event was lost. */
bool retire_mark_stands(struct daemon *d, uint8_t id)
{
	char buf[NL_REQUEST_MAX];
	size_t n = 0;

	if (d->id_flows[id])
		return true;
	return nl_dump(d->ct_request,
		       ct_request_dump(buf, mark_of(d, id), d->config->numbers.mark_mask), on_entry,
		       NULL, &n, NULL) < 0 ||
	       n > 0;
}

/* A pin that the packet path holds outlives the last packet by the idle timeout: the counters must
 * have stood that long. */
static bool counters_stood(struct daemon *d, uint8_t id, const struct ruleset_counters *c,
			   uint64_t idle_ms, uint64_t now_ms)
{
	uint64_t packets = c->binding[id].first_packets + c->binding[id].later_packets;

	if (!d->still[id].since_ms || d->still[id].packets != packets) {
		d->still[id].packets = packets;
		d->still[id].since_ms = now_ms;
	}
	return now_ms - d->still[id].since_ms >= idle_ms;
}

/* Whether a nexthop waits for an id while one that was held back is carried by nobody any more. */
static bool withheld_freed(const struct daemon *d)
{
	size_t n;

	registry_unpinned(d->registry, &n);
	for (unsigned id = 1; n > 0 && id <= BINDING_ID_MAX; id++)
		if (d->id_withheld[id] && !d->id_flows[id] && !d->id_unlisted[id])
			return true;
	return false;
}

void retire_tick(struct daemon *d, uint64_t now_ms)
{
	struct ruleset_counters *counters = NULL;
	bool freed = withheld_freed(d);
	uint8_t cursor = 0, id;

	if (now_ms - d->counters_read_ms < COUNTERS_EVERY_MS || d->dump)
		return;
	while ((id = registry_quiet_next(d->registry, &cursor))) {
		const struct binding *b = registry_binding(d->registry, id);
		const struct service *s = daemon_service(d, b->service);
		/* The pin of a SYN may outlive a shorter idle timeout. */
		uint32_t longest = !s					  ? 0
				   : s->idle_timeout_s > s->syn_timeout_s ? s->idle_timeout_s
									  : s->syn_timeout_s;
		uint64_t idle_ms = (uint64_t)longest * 1000;

		if (!counters) {
			counters = calloc(1, sizeof(*counters));
			if (!counters || ruleset_counters_read(d->ruleset, counters, NULL) < 0)
				break;
			d->counters_read_ms = now_ms;
		}
		if (!counters_stood(d, id, counters, idle_ms, now_ms) ||
		    now_ms - b->quiet_ms < idle_ms || retire_mark_stands(d, id))
			continue;
		d->still[id].since_ms = 0;
		d->id_unlisted[id] = false;
		registry_retire(d->registry, id, now_ms);
		freed = true;
	}
	free(counters);
	if (freed) {
		members_apply(d, true); /* a nexthop without an id may have one now */
		sync_soon(d);
	}
}
