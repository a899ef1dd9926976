// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/witness.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/conntrack.h"
#include "daemon/drain.h"
#include "daemon/flows.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "pin/ruleset.h"

/* Flows whose conntrack entry is gone, or has seen no answer, live as long as their element in the
 * pin map. nf_tables reports no expiry and no change of an element, so the daemon asks: every half
 * idle timeout, every second where a drain waits, and about as often where the nexthop died, since
 * their next packet takes them elsewhere. */

#define COLLECT_MS	   20 /* ends come in crowds: they are asked for together */
#define OF_DEAD_PER_SECOND 20000
#define NEXT_TURN_MS	   1
/* Of a dump of the pin map: the kernel walks a hash from its beginning for each, which takes
 * milliseconds with 100,000 pins. */
#define DATAGRAMS_PER_STEP 1

static void soon(struct daemon *d, unsigned ms)
{
	struct timeval tv = { .tv_usec = (suseconds_t)ms * 1000 };

	if (d->ev_witness && !event_pending(d->ev_witness, EV_TIMEOUT, NULL))
		event_add(d->ev_witness, &tv);
}

static uint32_t seconds(uint64_t ms)
{
	return (uint32_t)(ms / 1000);
}

void witness_watch_young(struct daemon *d, struct flow *f, uint64_t now_ms)
{
	if (f->tuple.zone != 0)
		return; /* the pin map knows zone 0 only */
	f->checked_s = seconds(now_ms);
	flow_list_append(d->flows, f->binding, f);
}

void witness_watch(struct daemon *d, struct flow *f, bool at_once)
{
	if (!(f->flags & FLOW_PIN))
		d->id_one_way[f->binding]++;
	f->flags = (uint8_t)((f->flags & ~FLOW_CT) | FLOW_PIN);
	if (at_once) {
		witness_ask(d, f);
		return;
	}
	f->checked_s = seconds(clock_now_ms());
	flow_list_append(d->flows, f->binding, f);
}

void witness_ask(struct daemon *d, struct flow *f)
{
	f->checked_s = 0;
	/* The list is in the order of asking: the one asked for longest ago stands first. */
	flow_list_prepend(d->flows, f->binding, f);
	soon(d, COLLECT_MS);
}

bool witness_is_asking(const struct flow *f)
{
	return f->list && f->checked_s == 0;
}

static uint32_t interval_s(const struct daemon *d, uint8_t id)
{
	const struct binding *b = registry_binding(d->registry, id);
	const struct service *s = b ? daemon_service(d, b->service) : NULL;
	uint32_t half = s ? s->idle_timeout_s / 2 : 30, wait = half ? half : 1;
	uint32_t moving = 1 + flow_list_count(d->flows, id) / OF_DEAD_PER_SECOND;

	if (drain_waits_for(d, id))
		return 1;
	return b && b->state == BINDING_DEAD && moving < wait ? moving : wait;
}

/* A batch of flows that are due. */
struct batch {
	struct daemon *d;
	uint64_t now_ms;
	struct tuple tuples[WITNESS_AT_ONCE];
	uint8_t ids[WITNESS_AT_ONCE];
	size_t n;
	/* With a conntrack entry that had no answer when it was last seen. */
	struct tuple young[WITNESS_AT_ONCE];
	size_t n_young;
	/* Whose entry has a mark that is not true any more, and the one that is. */
	struct tuple marked[WITNESS_AT_ONCE];
	uint32_t marks[WITNESS_AT_ONCE];
	size_t n_marked;
};

static void on_young(size_t index, const struct nlmsghdr *nlh, int code,
		     const struct err *e _unused_, void *arg)
{
	struct batch *b = arg;
	struct flow *f = flow_table_get(b->d->flows, &b->young[index]);
	struct ct_entry entry;

	if (!f || !(f->flags & FLOW_CT) || (code != 0 && code != -ENOENT))
		return;
	if (code == 0 && nlh && ct_decode(nlh, &entry) == 0 && (entry.status & IPS_SEEN_REPLY)) {
		f->flags |= FLOW_REPLIED; /* conntrack is its witness from here on */
		flow_list_remove(b->d->flows, f);
		return;
	}
	if (code == -ENOENT) {
		f->mark = b->d->generation;
		witness_watch(b->d, f, false);
	}
	b->tuples[b->n++] = b->young[index];
}

/* An answer makes conntrack the witness for good; it is asked for once in a flow's life, since
 * UPDATE events cost too much. */
static void ask_conntrack(struct batch *b)
{
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *pipeline = NULL;
	char buf[NL_REQUEST_MAX];

	if (b->n_young == 0 || nl_pipeline_new(b->d->ct_request, &pipeline) < 0)
		return;
	for (size_t i = 0; i < b->n_young; i++)
		if (nl_pipeline_add(pipeline, ct_request_get(buf, &b->young[i])) < 0)
			return;
	nl_pipeline_run(pipeline, on_young, b, NULL);
}

/* Of a gateway that waits no packet has made a pin; the entry's own end is the flow's. */
static bool is_carried(const struct flow *f)
{
	return (f->flags & FLOW_CARRIED) && (f->flags & FLOW_CT);
}

/* The kernel cannot: to conntrack the later packets of such a flow belong to no entry. */
static void correct(struct batch *b, const struct flow *f, uint32_t mark)
{
	if (!(f->flags & FLOW_CT))
		return;
	b->marked[b->n_marked] = f->tuple;
	b->marks[b->n_marked++] = mark;
}

/* What the pin map said. An ended flow's entry may stand for minutes without an answer: it is not
 * ours any more then. */
static void judge(struct batch *b)
{
	struct daemon *d = b->d;

	for (size_t i = 0; i < b->n; i++) {
		struct flow *f = flow_table_get(d->flows, &b->tuples[i]);

		if (!f || !f->list)
			continue;
		if (b->ids[i] == 0 && !is_carried(f) && !switches_keep(d, f)) {
			correct(b, f, 0);
			flows_end_told(d, f);
			continue;
		}
		if (b->ids[i] && b->ids[i] != f->binding) {
			flows_move(d, f, b->ids[i], b->now_ms);
			correct(b, f, mark_of(d, f->binding));
		}
		f->checked_s = seconds(b->now_ms);
		flow_list_append(d->flows, f->binding, f);
	}
	/* Best effort: an entry that keeps its mark is told by verify. */
	(void)!conntrack_mark(d->ct_request, d->config->numbers.mark_mask, b->marked, b->marks,
			      b->n_marked, NULL);
}

void witness_told(struct daemon *d, const struct tuple *list, const uint8_t *ids, size_t n)
{
	_cleanup_(freep) struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return;
	b->d = d;
	b->now_ms = clock_now_ms();
	for (size_t i = 0; i < n; i++) {
		struct flow *f = flow_table_get(d->flows, &list[i]);

		if (!f || !f->list || (f->flags & FLOW_CT))
			continue;
		b->tuples[b->n] = list[i];
		b->ids[b->n++] = ids[i];
	}
	judge(b);
}

/* Asks for a batch of flows of one list, in the order in which they were asked for last. Returns
 * how many. */
static int ask(struct daemon *d, uint8_t list, uint32_t due_s, uint64_t now_ms)
{
	_cleanup_(freep) struct batch *b = calloc(1, sizeof(*b));
	struct flow *f;
	int n = 0;

	if (!b)
		return 0;
	b->d = d;
	b->now_ms = now_ms;
	while (n < WITNESS_AT_ONCE && (f = flow_list_first(d->flows, list)) &&
	       f->checked_s <= due_s) {
		if (f->flags & FLOW_CT)
			b->young[b->n_young++] = f->tuple;
		else
			b->tuples[b->n++] = f->tuple;
		n++;
		/* To the end now, so that the walk goes on; should the question fail it is asked
		 * again in its turn. */
		f->checked_s = seconds(now_ms);
		flow_list_append(d->flows, list, f);
	}
	ask_conntrack(b);
	/* What cannot be read ends nothing. */
	if (b->n && ruleset_pins_get(d->ruleset, b->tuples, b->n, b->ids, NULL) == 0)
		judge(b);
	return n;
}

/* Whoever was asked for before then is due. A clock that has not run for so long yet has nobody due
 * but those that are asked for at once (0). */
static uint32_t due_since(const struct daemon *d, uint8_t list, uint64_t now_ms)
{
	uint32_t now = seconds(now_ms), wait = interval_s(d, list);

	return now > wait ? now - wait : 0;
}

void witness_tick(struct daemon *d, uint64_t now_ms)
{
	int asked = 0;

	if (!d->ready)
		return;
	for (unsigned i = 0; i < BINDING_ID_MAX && asked < WITNESS_AT_ONCE; i++) {
		/* Every list has its turn, also while a drain has another one asked for all the
		 * time. */
		uint8_t list = (uint8_t)(d->witness_list % BINDING_ID_MAX + 1);

		d->witness_list = list;
		if (flow_list_count(d->flows, list))
			asked += ask(d, list, due_since(d, list, now_ms), now_ms);
	}
	if (asked >= WITNESS_AT_ONCE)
		soon(d, NEXT_TURN_MS);
}

static void on_witness(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	witness_tick(arg, clock_now_ms());
}

static void on_pin(const struct tuple *t, uint8_t id, void *arg)
{
	struct daemon *d = arg;
	struct flow *f;

	if (id == 0 || flow_table_add(d->flows, t, &f) != 1)
		return;
	f->binding = id;
	f->since_ms = clock_now_ms();
	f->source = FLOW_SOURCE_PIN_MAP;
	flows_counts(d, id, 1, false);
	switches_flow(d, f, f->since_ms);
	witness_watch(d, f, false);
}

void witness_adopt(struct daemon *d, const struct tuple *list, size_t n)
{
	uint8_t ids[WITNESS_AT_ONCE];

	for (size_t done = 0; done < n;) {
		size_t some = n - done < WITNESS_AT_ONCE ? n - done : WITNESS_AT_ONCE;

		if (ruleset_pins_get(d->ruleset, list + done, some, ids, NULL) < 0)
			return;
		for (size_t i = 0; i < some; i++)
			on_pin(&list[done + i], ids[i], d);
		done += some;
	}
}

static void pins_unread(int r)
{
	log_warning("the pin map could not be read whole (%s): one-way flows from before are "
		    "listed with their next conntrack event",
		    strerror(-r));
}

static void on_pins_step(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct daemon *d = arg;
	int r;

	r = ruleset_pins_dump_step(d->ruleset, DATAGRAMS_PER_STEP, on_pin, d);
	if (r == 1 || r == -EAGAIN)
		return;
	if (r < 0)
		pins_unread(r);
	event_free(d->ev_pins);
	d->ev_pins = NULL;
	flows_updates_judge(d);
}

void witness_adopt_begin(struct daemon *d)
{
	int r = ruleset_pins_dump_begin(d->ruleset);

	if (r < 0) {
		pins_unread(r);
		return;
	}
	d->ev_pins = event_new(d->base, ruleset_pins_dump_fd(d->ruleset), EV_READ | EV_PERSIST,
			       on_pins_step, d);
	if (!d->ev_pins) {
		pins_unread(-ENOMEM);
		return;
	}
	event_priority_set(d->ev_pins, PRIORITY_BACKGROUND);
	event_add(d->ev_pins, NULL);
}

int witness_open(struct daemon *d)
{
	d->ev_witness = event_new(d->base, -1, 0, on_witness, d);
	if (!d->ev_witness)
		return -ENOMEM;
	event_priority_set(d->ev_witness, PRIORITY_WORK);
	return 0;
}
