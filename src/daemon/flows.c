// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/flows.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/events.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "daemon/witness.h"

#define DATAGRAMS_PER_CALL 128
#define CATCH_UP_CALLS	   1000 /* a flood must not keep flowpind from everything else */
#define REST_BELOW	   16
#define REST_US		   1000
#define REST_BUFFER	   (1U << 20) /* a smaller one may be full before the rest is over */

void flows_counts(struct daemon *d, uint8_t id, int delta, bool one_way)
{
	d->id_flows[id] += (uint32_t)delta;
	if (one_way)
		d->id_one_way[id] += (uint32_t)delta;
	registry_flow_count(d->registry, id, delta, clock_now_ms());
	if (delta > 0 && d->id_flows[id] == (uint32_t)delta && !registry_binding(d->registry, id))
		sync_soon(d); /* carried_adopt() */
}

void flows_end(struct daemon *d, struct flow *f, const char *why)
{
	if (!(f->flags & FLOW_GRAVE))
		switches_flow_end(d, f, why);
	if (d->flow_subscribers)
		events_flow(d, f, why);
	if (!(f->flags & FLOW_GRAVE))
		flows_counts(d, f->binding, -1, f->flags & FLOW_PIN);
	flow_table_remove(d->flows, f);
}

void flows_move(struct daemon *d, struct flow *f, uint8_t id, uint64_t now_ms)
{
	flows_counts(d, f->binding, -1, f->flags & FLOW_PIN);
	f->binding = id;
	f->since_ms = now_ms;
	flows_counts(d, id, 1, f->flags & FLOW_PIN);
	if (f->list)
		flow_list_append(d->flows, id, f);
	switches_flow(d, f, now_ms);
	if (d->flow_subscribers)
		events_flow(d, f, "moved");
}

void flows_generation_next(struct daemon *d)
{
	uint32_t cursor = 0;
	struct flow *f;

	if (d->generation == UINT8_MAX) {
		while ((f = flow_table_next(d->flows, &cursor)))
			f->mark = 0;
		d->generation = 0;
	}
	d->generation++;
}

static uint8_t flags_of(const struct ct_entry *entry, uint8_t before)
{
	uint8_t flags = FLOW_CT | (before & (FLOW_REPLIED | FLOW_ASSURED | FLOW_CARRIED));

	if (entry->by_program)
		flags |= FLOW_CARRIED;

	if (entry->status & IPS_SEEN_REPLY)
		flags |= FLOW_REPLIED;
	if (entry->status & IPS_ASSURED)
		flags |= FLOW_ASSURED;
	if (entry->nat)
		flags |= FLOW_NAT;
	return flags;
}

/* A reset is believed where every packet passed here, in both directions: else conntrack does not
 * know which sequence numbers are the connection's. A message without a state says nothing new. */
static bool is_closed(const struct daemon *d, const struct ct_entry *entry, bool before)
{
	if (entry->tuple.proto != IPPROTO_TCP)
		return false;
	before = before && entry->event != CT_EVENT_NEW;
	switch (entry->tcp_state) {
	case TCP_CONNTRACK_NONE:
		return before;
	case TCP_CONNTRACK_TIME_WAIT:
		return true;
	case TCP_CONNTRACK_CLOSE:
		return before ||
		       ((entry->status & IPS_SEEN_REPLY) && !switches_carry(d, &entry->tuple));
	}
	return false;
}

static void not_listed(struct daemon *d, const struct tuple *t, uint8_t id, int r, uint64_t now_ms)
{
	char net[IP_PREFIX_TEXT];
	struct ip_prefix prefix;
	uint32_t dropped;

	d->id_unlisted[id] = true;
	if (r != -EDQUOT) {
		d->stats.flows_refused++;
		if (log_limit_pass(&d->limit_full, now_ms, &dropped))
			log_warning("the flow table is full (%u flows): flows are pinned by the "
				    "kernel, but not listed",
				    flow_table_capacity(d->flows));
		return;
	}
	d->stats.flows_over_source++;
	if (!log_limit_pass(&d->limit_source, now_ms, &dropped))
		return;
	prefix = flow_table_source(d->flows, t);
	log_warning("%s has %u flows (max-flows-per-source): further ones are pinned by the "
		    "kernel, but not listed (%llu so far, of all sources)",
		    ip_prefix_format(&prefix, net), d->config->limits.max_flows_per_source,
		    (unsigned long long)d->stats.flows_over_source);
}

static void learn(struct daemon *d, const struct ct_entry *entry, uint8_t id, uint64_t now_ms)
{
	static const uint8_t sources[] = { [CT_EVENT_NEW] = FLOW_SOURCE_NEW,
					   [CT_EVENT_UPDATE] = FLOW_SOURCE_UPDATE,
					   [CT_EVENT_DESTROY] = FLOW_SOURCE_UPDATE,
					   [CT_EVENT_DUMP] = FLOW_SOURCE_DUMP };
	struct flow *f;
	int r;

	r = flow_table_add(d->flows, &entry->tuple, &f);
	if (r < 0) {
		not_listed(d, &entry->tuple, id, r, now_ms);
		return;
	}
	if (r == 0 && (f->flags & FLOW_GRAVE)) {
		if (entry->event == CT_EVENT_DUMP)
			return;
		r = 1;
	}
	/* Its end was told of after the dump had passed the entry. */
	if (r == 0 && entry->event == CT_EVENT_DUMP && (f->flags & FLOW_PIN) &&
	    f->mark == d->generation)
		return;
	f->mark = d->generation;
	if (r == 1) {
		f->since_ms = now_ms;
		f->source = sources[entry->event];
		f->binding = id;
		f->flags = flags_of(entry, 0);
		f->closed = is_closed(d, entry, false);
		flows_counts(d, id, 1, false);
		if (!(f->flags & FLOW_REPLIED))
			witness_watch_young(d, f, now_ms);
		switches_flow(d, f, now_ms);
		if (d->flow_subscribers)
			events_flow(d, f, "new");
		return;
	}
	if (f->flags & FLOW_PIN)
		d->id_one_way[f->binding]--;
	f->flags = flags_of(entry, f->flags);
	f->closed = is_closed(d, entry, f->closed);
	if (f->binding != id)
		flows_move(d, f, id, now_ms);
	if (f->flags & FLOW_REPLIED)
		flow_list_remove(d->flows, f);
	else if (f->list != id || entry->event == CT_EVENT_NEW)
		witness_watch_young(d, f, now_ms);
	switches_flow(d, f, now_ms);
}

/* An entry that conntrack gave up in the ordinary way has answered and run out or been closed. Any
 * other end (one-way traffic that conntrack cannot follow, or somebody's `conntrack -F`) says
 * nothing about the flow: its pin does. */
static bool ended_for_good(const struct ct_entry *entry)
{
	if (!(entry->status & IPS_SEEN_REPLY))
		return false;
	if (entry->tuple.proto == IPPROTO_TCP && entry->tcp_state)
		return entry->tcp_state > TCP_CONNTRACK_ESTABLISHED;
	return !entry->has_timeout || entry->timeout_s == 0;
}

static void bury(struct daemon *d, struct flow *f)
{
	switches_flow_end(d, f, "end");
	if (d->flow_subscribers)
		events_flow(d, f, "end");
	flows_counts(d, f->binding, -1, f->flags & FLOW_PIN);
	flow_list_remove(d->flows, f);
	f->flags = FLOW_GRAVE;
	d->graves = true;
}

void flows_end_told(struct daemon *d, struct flow *f)
{
	if (d->dump)
		bury(d, f);
	else
		flows_end(d, f, "end");
}

static void destroyed(struct daemon *d, const struct ct_entry *entry)
{
	struct flow *f = flow_table_get(d->flows, &entry->tuple);

	if (!f && d->dump && flow_table_add(d->flows, &entry->tuple, &f) == 1) {
		f->flags = FLOW_GRAVE;
		d->graves = true;
		return;
	}
	if (!f || (f->flags & FLOW_GRAVE))
		return;
	f->mark = d->generation;
	f->closed = is_closed(d, entry, f->closed);
	if (!f->closed && switches_keep(d, f))
		witness_watch(d, f, false); /* in hardware: nothing ended */
	else if (!f->closed && !ended_for_good(entry) && f->tuple.zone == 0)
		witness_watch(d, f, true);
	else
		flows_end_told(d, f);
}

static void apply(struct daemon *d, const struct ct_entry *entry, uint64_t now_ms)
{
	uint8_t id = id_of(d, entry->mark);

	if (id == 0 || switches_conntrack(d, entry, now_ms))
		return;
	if (entry->event == CT_EVENT_DESTROY)
		destroyed(d, entry);
	else
		learn(d, entry, id, now_ms);
}

void flows_queue_flush(struct flows_queue *q)
{
	for (unsigned i = 0; i < q->n; i++)
		flow_table_prefetch_flow(q->d->flows, q->handle[i]);
	for (unsigned i = 0; i < q->n; i++)
		apply(q->d, &q->entry[i], q->now_ms);
	q->n = 0;
}

void flows_queue_push(struct flows_queue *q)
{
	q->handle[q->n] = flow_table_prefetch(q->d->flows, &q->entry[q->n].tuple);
	if (++q->n == FLOWS_QUEUE)
		flows_queue_flush(q);
}

static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	struct flows_queue *q = arg;
	struct ct_entry *entry = &q->entry[q->n];
	struct stats *stats = &q->d->stats;
	uint32_t dropped;
	int r;

	r = ct_decode(nlh, entry);
	if (r == -EBADMSG) {
		stats->undecodable++;
		if (log_limit_pass(&q->d->limit_decode, q->now_ms, &dropped))
			log_warning("a conntrack event could not be decoded (%u more since)",
				    dropped);
	}
	if (r < 0)
		return 0;
	stats->events_received++;
	stats->events_new += entry->event == CT_EVENT_NEW;
	stats->events_update += entry->event == CT_EVENT_UPDATE;
	stats->events_destroy += entry->event == CT_EVENT_DESTROY;
	flows_queue_push(q);
	return 0;
}

static void grow_buffer(struct daemon *d)
{
	if (d->buffer_grown)
		return;
	d->buffer_grown = true;
	nl_set_receive_buffer(d->ct_events, d->config->limits.receive_buffer * 2,
			      &d->stats.receive_buffer);
}

static int read_events(struct daemon *d)
{
	struct flows_queue q;
	uint32_t dropped;
	int r;

	flows_queue_begin(&q, d, clock_now_ms());
	r = nl_receive(d->ct_events, DATAGRAMS_PER_CALL, on_message, &q);
	flows_queue_flush(&q);
	if (r == -ENOBUFS) {
		d->stats.overruns++;
		if (log_limit_pass(&d->limit_overrun, q.now_ms, &dropped))
			log_warning("conntrack events were lost (receive buffer %u bytes): reading "
				    "the table again",
				    d->stats.receive_buffer);
		events_report(d, &(struct event_report){ .kind = "overrun" },
			      "conntrack events were lost");
		grow_buffer(d);
		flows_resync_soon(d, q.now_ms);
	} else if (r < 0) {
		log_error("conntrack events cannot be read: %s", strerror(-r));
	}
	return r;
}

void flows_catch_up(struct daemon *d)
{
	for (unsigned i = 0; i < CATCH_UP_CALLS && read_events(d) > 0; i++)
		;
}

/* To be woken for each event costs more than to handle it, and the kernel has pinned the flow
 * already. So where a reading finds only a few the next ones are gathered for a moment, and the
 * timer alone wakes. */
static void on_events(evutil_socket_t fd _unused_, short what, void *arg)
{
	const struct timeval rest = { .tv_usec = REST_US };
	struct daemon *d = arg;
	int n = read_events(d);

	if (!(what & EV_READ)) {
		event_add(d->ev_ct, NULL);
	} else if (n > 0 && n < REST_BELOW && d->stats.receive_buffer >= REST_BUFFER) {
		event_del(d->ev_ct);
		event_add(d->ev_ct_rest, &rest);
	}
}

/* UPDATE events outnumber NEW several times over. They are needed while a mark may be set on an
 * entry that exists already: on one from before our rules, or on one whose binding takes no new
 * flows. */
void flows_updates_judge(struct daemon *d)
{
	bool wanted = d->unmarked_possible || switches_want_updates(d);
	const struct binding *b;
	uint8_t cursor = 0;

	while (!wanted && (b = registry_binding_next(d->registry, &cursor)))
		wanted = !binding_fresh(b) && b->flows > 0;
	if (wanted == d->updates_joined)
		return;
	if (wanted ? nl_join(d->ct_events, NFNLGRP_CONNTRACK_UPDATE) < 0
		   : nl_leave(d->ct_events, NFNLGRP_CONNTRACK_UPDATE) < 0)
		return;
	d->updates_joined = wanted;
}

int flows_open(struct daemon *d, struct err *e)
{
	static const unsigned groups[] = { NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY,
					   NFNLGRP_CONNTRACK_UPDATE };
	int r;

	r = nl_open(NETLINK_NETFILTER, &d->ct_events);
	if (r == 0)
		r = nl_open(NETLINK_NETFILTER, &d->ct_request);
	if (r < 0)
		return err_set(e, r, "ctnetlink socket: %s", strerror(-r));
	nl_set_receive_buffer(d->ct_events, d->config->limits.receive_buffer,
			      &d->stats.receive_buffer);
	/* The filter stands before the first group is joined: nothing foreign is ever queued. */
	r = ct_filter_events(d->ct_events, d->config->numbers.mark_mask, NULL, 0);
	if (r < 0)
		return err_set(e, r, "conntrack event filter: %s", strerror(-r));
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		r = nl_join(d->ct_events, groups[i]);
		if (r < 0)
			return err_set(e, r, "conntrack events: %s (is CAP_NET_ADMIN there?)",
				       strerror(-r));
	}
	d->updates_joined = d->unmarked_possible = true;
	d->ev_ct = event_new(d->base, nl_fd(d->ct_events), EV_READ | EV_PERSIST, on_events, d);
	d->ev_ct_rest = event_new(d->base, -1, 0, on_events, d);
	if (!d->ev_ct || !d->ev_ct_rest)
		return err_set(e, -ENOMEM, "out of memory");
	event_priority_set(d->ev_ct, PRIORITY_WORK);
	event_priority_set(d->ev_ct_rest, PRIORITY_WORK);
	event_add(d->ev_ct, NULL);
	return 0;
}
