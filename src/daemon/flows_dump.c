// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/flows.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/conntrack.h"
#include "daemon/events.h"
#include "daemon/switches.h"
#include "daemon/verify.h"
#include "daemon/witness.h"

#define DATAGRAMS_PER_STEP 16
#define RESYNC_POLL_MS	   125
#define SILENT_MAX	   100000
#define UNMARKED_FIRST_MS  1000
#define UNMARKED_MAX_MS	   3600000

/* One dump of the conntrack table in steps. Flows that the dump or an event has shown carry the
 * generation of the dump; those that were known before and were not shown are gone. */
struct dump_job {
	struct daemon *d;
	struct nl *nl;
	struct event *ev;
	uint64_t begin_ms;
	bool first, again;
	bool looking;  /* for marks that no event told of: not because events were lost */
	bool unmarked; /* an entry without our bits inside a service was seen */
	struct flows_queue queue;
	struct tuple_list silent; /* those of them without an answer: with direct server return only
				     the pin knows them */
};

static struct dump_job *dump_job_free(struct dump_job *job)
{
	if (!job)
		return NULL;
	if (job->ev)
		event_free(job->ev);
	nl_close(job->nl);
	tuple_list_clear(&job->silent);
	free(job);
	return NULL;
}
DEFINE_FREEP(struct dump_job, dump_job_free)

static int on_entry(const struct nlmsghdr *nlh, void *arg)
{
	struct dump_job *job = arg;
	struct daemon *d = job->d;
	struct ct_entry *entry = &job->queue.entry[job->queue.n];

	if (ct_decode(nlh, entry) < 0)
		return 0;
	entry->event = CT_EVENT_DUMP;
	if (id_of(d, entry->mark)) {
		flows_queue_push(&job->queue);
		return 0;
	}
	if (switches_conntrack(d, entry, job->begin_ms))
		return 0;
	if (service_set_match(&d->config->services, &entry->tuple) >= 0) {
		job->unmarked = true;
		if (!(entry->status & IPS_SEEN_REPLY) && entry->tuple.zone == 0)
			tuple_list_add(&job->silent, &entry->tuple, SILENT_MAX);
	}
	return 0;
}

/* What a whole dump did not show has ended, unless its pin says otherwise, which stays for long
 * after a connection was closed. One that broke off ends nothing. */
static void sweep(struct daemon *d, bool whole)
{
	uint32_t cursor = 0;
	struct flow *f;

	while ((f = flow_table_next(d->flows, &cursor))) {
		if (f->flags & FLOW_GRAVE)
			flow_table_remove(d->flows, f);
		else if (whole && (f->flags & FLOW_CT) && f->mark != d->generation) {
			if (f->tuple.zone == 0 && !f->closed)
				witness_watch(d, f, true);
			else
				flows_end(d, f, "end");
		}
	}
}

static void finish(struct daemon *d, struct dump_job *job, bool whole)
{
	bool first = job->first, looking = job->looking;

	resync_read_end(&d->resync, clock_now_ms());
	/* At start nothing was known before. */
	if (!first || d->graves)
		sweep(d, whole);
	d->graves = false;
	witness_adopt(d, job->silent.list, job->silent.n);
	d->unmarked_possible = job->unmarked || !whole;
	if (!looking) {
		d->unmarked_backoff_ms = 0;
		d->unmarked_check_ms = clock_now_ms() + UNMARKED_FIRST_MS;
	}
	d->dump = dump_job_free(job);
	if (first) {
		daemon_conntrack_known(d);
		return;
	}
	flows_updates_judge(d);
	if (looking)
		return;
	d->stats.resyncs++;
	events_report(d, &(struct event_report){ .kind = "resync" },
		      "conntrack was read again: %u flows", flow_table_count(d->flows));
	log_info("conntrack was read again: %u flows", flow_table_count(d->flows));
}

static void on_step(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct dump_job *job = arg;
	struct daemon *d = job->d;
	char buf[NL_REQUEST_MAX];
	int r;

	r = nl_dump_step(job->nl, DATAGRAMS_PER_STEP, on_entry, job);
	flows_queue_flush(&job->queue);
	if (r == 1 || r == -EAGAIN)
		return;
	if (r == -EINTR && !job->again) {
		job->again = true;
		if (nl_dump_begin(job->nl, ct_request_dump(buf, 0, 0)) == 0)
			return;
	}
	if (r < 0 && r != -EINTR)
		log_error("conntrack cannot be read: %s", strerror(-r));
	finish(d, job, r == 0);
	if (r < 0)
		flows_resync_soon(d, clock_now_ms());
}

int flows_dump_begin(struct daemon *d)
{
	_cleanup_(dump_job_freep) struct dump_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	job->d = d;
	job->begin_ms = clock_now_ms();
	flows_queue_begin(&job->queue, d, job->begin_ms);
	job->first = !d->ready;
	r = conntrack_dump_begin(d->base, PRIORITY_WORK, on_step, job, &job->nl, &job->ev);
	if (r < 0)
		return r;
	flows_generation_next(d);
	resync_read_begin(&d->resync, job->begin_ms);
	d->dump = TAKE_PTR(job);
	return 0;
}

void flows_dump_cancel(struct daemon *d)
{
	d->dump = dump_job_free(d->dump);
}

void flows_dump_renew(struct daemon *d)
{
	bool looking;

	if (!d->dump)
		return;
	looking = d->dump->looking;
	flows_dump_cancel(d);
	if (flows_dump_begin(d) < 0)
		flows_resync_soon(d, clock_now_ms());
	else
		d->dump->looking = looking;
}

static void on_resync(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct daemon *d = arg;
	uint64_t now = clock_now_ms();
	struct timeval tv = { .tv_usec = RESYNC_POLL_MS * 1000 };

	if (!resync_is_due(&d->resync, verify_waits(d), now) || d->dump || verify_is_reading(d)) {
		event_add(d->ev_resync, &tv);
		return;
	}
	resync_begin(&d->resync, now);
	if (flows_dump_begin(d) < 0)
		event_add(d->ev_resync, &tv);
}

void flows_resync_soon(struct daemon *d, uint64_t now_ms)
{
	struct timeval tv = { .tv_usec = RESYNC_POLL_MS * 1000 };

	resync_lose(&d->resync, d->dump, now_ms);
	if (!d->ev_resync)
		d->ev_resync = event_new(d->base, -1, 0, on_resync, d);
	if (!d->ev_resync)
		log_error("out of memory: conntrack is not read again until more events are lost");
	else if (!event_pending(d->ev_resync, EV_TIMEOUT, NULL))
		event_add(d->ev_resync, &tv);
}

bool flows_resync_pending(const struct daemon *d)
{
	return (d->dump && !d->dump->looking) ||
	       (d->ev_resync && event_pending(d->ev_resync, EV_TIMEOUT, NULL));
}

/* Entries from before our rules may have been made without room for events: that they got a mark is
 * only seen by reading the table again, now and then, for as long as there are any without one. */
void flows_unmarked_check(struct daemon *d, uint64_t now_ms)
{
	if (!d->unmarked_possible || !d->ready || d->dump || verify_is_reading(d) ||
	    now_ms < d->unmarked_check_ms)
		return;
	d->unmarked_backoff_ms =
		d->unmarked_backoff_ms ? d->unmarked_backoff_ms * 2 : UNMARKED_FIRST_MS;
	if (d->unmarked_backoff_ms > UNMARKED_MAX_MS)
		d->unmarked_backoff_ms = UNMARKED_MAX_MS;
	d->unmarked_check_ms = now_ms + d->unmarked_backoff_ms;
	if (flows_dump_begin(d) == 0)
		d->dump->looking = true;
}
