// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/parse.h"
#include "daemon/conntrack.h"
#include "daemon/flows.h"
#include "daemon/switches.h"
#include "pin/ruleset.h"

/* Life and end of the flows that a switch holds, by its counters. */

#define LIFE_EVERY_MS	1000
#define IDLE_AT_ONCE	4096
#define EXPIRED_WAIT_MS 5000 /* how long a pin may outlive the switch's entry: late counters */
#define TCP_ESTABLISHED "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"

struct life {
	struct switch_state *s;
	uint64_t now_ms;
	struct tuple_list idle;
};

static void flow_alive(struct daemon *d, struct flow *f, uint64_t now_ms)
{
	const struct binding *b = registry_binding(d->registry, f->binding);
	const struct service *service = mirror_service(d, &f->tuple);
	struct switch_state *from = switch_of(d, f);
	struct tuple plain = f->tuple;

	if (!service)
		return;
	if (from && from->mirror && f->slot)
		mirror_alive(from->mirror, f, now_ms);
	else if (f->tuple.proto != IPPROTO_TCP && (f->flags & FLOW_CT))
		entry_write(d, ENTRY_TOUCH, &f->tuple, 0, service->idle_timeout_s);
	plain.zone = 0;
	if (b)
		pin_write(d, &plain, b->id, service->idle_timeout_s);
}

static void on_alive(const struct placement_view *v, void *arg)
{
	struct life *l = arg;

	for (size_t i = 0; i < v->n_zones; i++) {
		struct tuple t = v->tuple;
		struct flow *f;

		t.zone = v->zones[i];
		f = flow_table_get(l->s->d->flows, &t);
		if (f && !(f->flags & FLOW_GRAVE))
			flow_alive(l->s->d, f, l->now_ms);
	}
}

static void on_idle(const struct placement_view *v, void *arg)
{
	struct life *l = arg;

	tuple_list_add(&l->idle, &v->tuple, IDLE_AT_ONCE);
}

/* Every zone's flow of this tuple ends, with its entry and its pin. */
static void end_everywhere(struct switch_state *s, const struct tuple *t, uint64_t now_ms)
{
	struct placement_view v;
	uint16_t zones[8];
	size_t n = 0;

	if (placement_get(s->placement, t, &v) < 0)
		return;
	for (; n < v.n_zones && n < ARRAY_SIZE(zones); n++)
		zones[n] = v.zones[n];
	for (size_t i = 0; i < n; i++) {
		struct tuple zoned = *t;
		struct flow *f;

		zoned.zone = zones[i];
		f = flow_table_get(s->d->flows, &zoned);
		if (f && !(f->flags & FLOW_GRAVE)) {
			if (!f->slot) {
				entry_write(s->d, ENTRY_DELETE, &f->tuple, 0, 0);
				pin_write(s->d, t, 0, 0);
			}
			flows_end(s->d, f, "end");
		}
		placement_withdraw(s->placement, &zoned, PLACEMENT_ENDED, now_ms);
	}
}

/* Seconds that an answered TCP connection's entry stays after its last packet, 0 not known. */
static uint32_t established_s(void)
{
	_cleanup_(closep) int fd = open(TCP_ESTABLISHED, O_RDONLY | O_CLOEXEC);
	char text[16];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	uint32_t value;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return parse_u32(text, 1, UINT32_MAX, &value) < 0 ? 0 : value;
}

/* Whether the gateway may have seen packets of a flow within the idle timeout, by its conntrack
 * entry. TCP's stays for days, so it is asked for its age; what cannot be told counts as seen. */
static bool seen_here(struct daemon *d, const struct flow *f, uint32_t idle_s)
{
	struct ct_entry entry;
	uint32_t stays_s;
	int r;

	r = conntrack_get(d->ct_request, &f->tuple, &entry);
	if (r < 0)
		return r != -ENOENT;
	if (f->tuple.proto != IPPROTO_TCP)
		return true; /* its own timeout is short, and ends it */
	stays_s = established_s();
	return !entry.has_timeout || entry.timeout_s > stays_s ||
	       stays_s - entry.timeout_s + 1 < idle_s;
}

enum verdict {
	VERDICT_OVER,	 /* nobody sees packets of it */
	VERDICT_WAIT,	 /* not to be told yet */
	VERDICT_ALIVE,	 /* the gateway carries it */
	VERDICT_LEAVING, /* it ends by its conntrack entry, and soon */
};

/* The pin tells of the client's packets, the conntrack entry of both directions where conntrack
 * could follow, and where the pin map had no room. The pin of a flow that the switch has counted
 * may be ours; it falls soon after the switch's own entry if so. */
static enum verdict judge(struct switch_state *s, const struct placement_view *v, bool pinned,
			  uint64_t now_ms)
{
	const struct flow *f = flow_table_get(s->d->flows, &v->tuple);
	bool here =
		f && (f->flags & FLOW_CT) && seen_here(s->d, f, s->config->idle_timeout_ms / 1000);
	bool young = now_ms - v->state_ms < s->config->poll_interval_ms * 2 + EXPIRED_WAIT_MS;

	if (here && f->tuple.proto == IPPROTO_TCP)
		return VERDICT_ALIVE;
	if (pinned)
		return v->expired && v->packets && young ? VERDICT_WAIT : VERDICT_ALIVE;
	return here ? VERDICT_LEAVING : VERDICT_OVER;
}

static void judge_all(struct switch_state *s, const struct tuple_list *idle, uint64_t now_ms)
{
	_cleanup_(freep) uint8_t *ids = calloc(idle->n, 1);
	struct placement_view v;

	if (!ids || ruleset_pins_get(s->d->ruleset, idle->list, idle->n, ids, NULL) < 0)
		return;
	for (size_t i = 0; i < idle->n; i++) {
		if (placement_get(s->placement, &idle->list[i], &v) < 0 || !v.present)
			continue;
		switch (judge(s, &v, ids[i] != 0, now_ms)) {
		case VERDICT_OVER:
			end_everywhere(s, &idle->list[i], now_ms);
			break;
		case VERDICT_ALIVE:
			placement_renew(s->placement, &idle->list[i], now_ms);
			break;
		case VERDICT_LEAVING:
			if (v.expired)
				placement_withdraw(s->placement, &idle->list[i], PLACEMENT_ENDED,
						   now_ms);
			break;
		case VERDICT_WAIT:
			break;
		}
	}
	switches_soon(s->d);
}

void switch_life(struct switch_state *s, uint64_t now_ms)
{
	struct life l = { .s = s, .now_ms = now_ms };

	if (now_ms - s->life_ms < LIFE_EVERY_MS)
		return;
	s->life_ms = now_ms;
	placement_idle(s->placement, now_ms, on_idle, on_alive, &l);
	if (l.idle.n)
		judge_all(s, &l.idle, now_ms);
	tuple_list_clear(&l.idle);
}
