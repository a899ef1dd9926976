// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/source.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "mirror/receive.h"

#define RECEIVE_BUFFER	 (16 * 1024 * 1024)
#define READS_PER_WAKEUP (MIRROR_RECORDS_MAX / RECEIVE_VECTOR)
#define TOLD_EVERY_MS	 60000
/* After a wakeup the next packets are left to gather, so that flowpind gets few messages with many
 * records. */
#define GATHER_US 1000
/* Foreign packets cost at most 256 in that time, whoever sends them. */
#define FOREIGN_PAUSE_US 10000

struct source {
	struct source_options options;
	struct mirror_receiver *receiver;
	struct event *ev_packets, *ev_foreign;
	struct event *ev_gather, *ev_pause;    /* timers that listen to the two again */
	struct mirror_counters counters, told; /* told: when the log spoke of them last */
	struct log_limit limit_told, limit_error;
	bool missing_told; /* that there is no such interface */
};

/* Says once a minute what was dropped for a reason that a person should look at. */
static void drops_tell(struct source *s)
{
	static const enum mirror_drop notable[] = { MIRROR_DROP_FOREIGN, MIRROR_DROP_KEY,
						    MIRROR_DROP_GRE,	 MIRROR_DROP_PROTOCOL,
						    MIRROR_DROP_ERSPAN,	 MIRROR_DROP_TRUNCATED,
						    MIRROR_DROP_OVERRUN, MIRROR_DROP_HANDOFF };
	_cleanup_(strbuf_free) struct strbuf text = { 0 };
	uint32_t dropped;

	for (size_t i = 0; i < ARRAY_SIZE(notable); i++) {
		uint64_t n = s->counters.dropped[notable[i]] - s->told.dropped[notable[i]];

		if (n > 0)
			strbuf_addf(&text, "%s%llu %s", text.len ? ", " : "", (unsigned long long)n,
				    mirror_drop_name(notable[i]));
	}
	if (text.len == 0 || text.failed ||
	    !log_limit_pass(&s->limit_told, clock_now_ms(), &dropped))
		return;
	s->told = s->counters;
	log_warning("mirror of %s: dropped since this was last said: %s", s->options.own->name,
		    text.data);
}

static void listen_later(struct event *timer, suseconds_t us)
{
	struct timeval tv = { .tv_usec = us };

	event_add(timer, &tv);
}

static void on_listen(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	event_add(arg, NULL);
}

static void receive_failed(struct source *s, int code)
{
	uint32_t dropped;

	if (code < 0 && log_limit_pass(&s->limit_error, clock_now_ms(), &dropped))
		log_warning("mirror of %s: %s", s->options.own->name, strerror(-code));
}

static void on_packets(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct source *s = arg;
	struct batch *b = s->options.batch;
	int n = RECEIVE_VECTOR;

	batch_reset(b);
	for (int i = 0; i < READS_PER_WAKEUP && n == RECEIVE_VECTOR; i++)
		n = mirror_receiver_read(s->receiver, b, &s->counters);
	receive_failed(s, n);
	if (b->n > 0)
		handoff_flows(s->options.handoff, s->options.own->name, b->records, b->n,
			      &s->counters);
	if (n == RECEIVE_VECTOR)
		event_add(s->ev_packets, NULL);
	else
		listen_later(s->ev_gather, GATHER_US);
}

static void on_foreign(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct source *s = arg;
	int n = RECEIVE_VECTOR;

	for (int i = 0; i < READS_PER_WAKEUP && n == RECEIVE_VECTOR; i++)
		n = mirror_receiver_foreign_read(s->receiver, &s->counters);
	receive_failed(s, n);
	listen_later(s->ev_pause, FOREIGN_PAUSE_US);
}

/* 0, also while the interface is missing; -ESTALE when only a new process can go on. */
static int source_bind(struct source *s, bool at_start)
{
	const struct switch_mirror *config = &s->options.own->mirror;
	char from[IP_ADDR_TEXT], to[IP_ADDR_TEXT];
	struct err e = { 0 };
	bool begins = at_start || s->missing_told;
	int r = mirror_receiver_bind(s->receiver, &e);

	if (r == 0 && begins)
		log_info("mirror of %s: receiving on %s from %s to %s, buffer %u KiB",
			 s->options.own->name, config->ifname,
			 ip_addr_format(&config->source, from),
			 ip_addr_format(&config->destination, to),
			 mirror_receiver_buffer(s->receiver) / 1024);
	else if (r < 0 && (r == -ESTALE || !s->missing_told))
		log_warning("mirror of %s: %s", s->options.own->name, e.text);
	s->missing_told = r < 0;
	return r == -ESTALE ? r : 0;
}

/* All mirrors on the same interface, for those packets that belong to none of them. */
static size_t neighbours_of(const struct config *c, const char *ifname,
			    struct mirror_pair *ret_pairs)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_switches && n < SWITCHES_MAX; i++) {
		const struct switch_mirror *s = &c->switches[i].mirror;

		if (s->present && strcmp(s->ifname, ifname) == 0)
			ret_pairs[n++] = (struct mirror_pair){ s->source, s->destination };
	}
	return n;
}

static int source_listen(struct source *s)
{
	struct event_base *base = s->options.base;

	s->ev_packets = event_new(base, mirror_receiver_fd(s->receiver), EV_READ, on_packets, s);
	s->ev_foreign =
		event_new(base, mirror_receiver_foreign_fd(s->receiver), EV_READ, on_foreign, s);
	if (!s->ev_packets || !s->ev_foreign)
		return -ENOMEM;
	s->ev_gather = evtimer_new(base, on_listen, s->ev_packets);
	s->ev_pause = evtimer_new(base, on_listen, s->ev_foreign);
	if (!s->ev_gather || !s->ev_pause)
		return -ENOMEM;
	event_priority_set(s->ev_packets, PRIORITY_RECEIVE);
	event_priority_set(s->ev_foreign, PRIORITY_FOREIGN);
	return event_add(s->ev_packets, NULL) < 0 || event_add(s->ev_foreign, NULL) < 0 ? -ENOMEM
											: 0;
}

static enum mirror_payload payload_of(enum switch_payload payload)
{
	switch (payload) {
	case SWITCH_PAYLOAD_AUTO:
		return MIRROR_PAYLOAD_AUTO;
	case SWITCH_PAYLOAD_ETHERNET:
		return MIRROR_PAYLOAD_ETHERNET;
	case SWITCH_PAYLOAD_IP:
		return MIRROR_PAYLOAD_IP;
	}
	return MIRROR_PAYLOAD_AUTO;
}

int source_new(const struct source_options *options, struct source **ret_source, struct err *e)
{
	_cleanup_(source_freep) struct source *s = calloc(1, sizeof(*s));
	const struct switch_mirror *c = &options->own->mirror;
	struct mirror_pair neighbours[SWITCHES_MAX];
	const struct mirror_receiver_options o = {
		.ifname = c->ifname,
		.pair = { c->source, c->destination },
		.neighbours = neighbours,
		.n_neighbours = neighbours_of(options->config, c->ifname, neighbours),
		.format = { .protocol = c->protocol,
			    .payload = payload_of(c->payload),
			    .has_key = c->has_key,
			    .key = c->key },
		.receive_buffer = RECEIVE_BUFFER,
	};
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->options = *options;
	s->limit_told = s->limit_error =
		(struct log_limit){ .interval_ms = TOLD_EVERY_MS, .burst = 1 };
	r = mirror_receiver_new(&o, &s->receiver, e);
	if (r < 0)
		return err_wrap(e, "mirror of %s", options->own->name);
	if (source_listen(s) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	*ret_source = TAKE_PTR(s);
	return 0;
}

struct source *source_free(struct source *s)
{
	if (s) {
		struct event *list[] = { s->ev_packets, s->ev_foreign, s->ev_gather, s->ev_pause };

		for (size_t i = 0; i < ARRAY_SIZE(list); i++)
			if (list[i])
				event_free(list[i]);
		mirror_receiver_free(s->receiver);
		free(s);
	}
	return NULL;
}

int source_begin(struct source *s)
{
	return source_bind(s, true);
}

int source_tick(struct source *s)
{
	int r = source_bind(s, false);

	if (r < 0)
		return r;
	mirror_receiver_count(s->receiver, &s->counters);
	handoff_counters(s->options.handoff, s->options.own->name, &s->counters);
	drops_tell(s);
	return 0;
}
