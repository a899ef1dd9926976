// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/flows.h"
#include "daemon/switches.h"

/* For `place = heavy`: conntrack's accounting, read in steps once an interval. */

#define DATAGRAMS_PER_STEP 16
#define RECEIVE_BUFFER	   (4 * 1024 * 1024)

struct heavy_job {
	struct switches *w;
	struct nl *nl;
	struct event *ev;
	bool for_switch[SWITCHES_MAX];
	uint64_t now_ms;
};

static struct heavy_job *job_free(struct heavy_job *job)
{
	if (!job)
		return NULL;
	if (job->ev)
		event_free(job->ev);
	nl_close(job->nl);
	free(job);
	return NULL;
}
DEFINE_FREEP(struct heavy_job, job_free)

void switch_heavy_cancel(struct switches *w)
{
	w->heavy = job_free(w->heavy);
}

bool switch_heavy_wanted(const struct daemon *d)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		if (d->switches->list[i]->config->place == SWITCH_PLACE_HEAVY)
			return true;
	return false;
}

static int on_entry(const struct nlmsghdr *nlh, void *arg)
{
	struct heavy_job *job = arg;
	struct daemon *d = job->w->d;
	struct ct_entry entry;
	struct flow *f;

	if (ct_decode(nlh, &entry) < 0 || id_of(d, entry.mark) == 0)
		return 0;
	for (size_t i = 0; i < job->w->n; i++) {
		struct placement *p = job->w->list[i]->placement;

		if (!job->for_switch[i] ||
		    placement_account(p, &entry.tuple, entry.bytes, job->now_ms) != -ENOENT)
			continue;
		/* It was too small to be remembered, or is not known yet. */
		f = flow_table_get(d->flows, &entry.tuple);
		if (f && !(f->flags & FLOW_GRAVE)) {
			switches_flow(d, f, job->now_ms);
			(void)placement_account(p, &entry.tuple, entry.bytes, job->now_ms);
		}
	}
	return 0;
}

static void on_step(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct heavy_job *job = arg;
	struct switches *w = job->w;
	uint64_t now = clock_now_ms();
	int r;

	job->now_ms = now;
	r = nl_dump_step(job->nl, DATAGRAMS_PER_STEP, on_entry, job);
	if (r == 1 || r == -EAGAIN)
		return;
	if (r < 0 && r != -EINTR)
		log_error("conntrack's accounting cannot be read: %s", strerror(-r));
	for (size_t i = 0; i < w->n; i++)
		if (job->for_switch[i])
			placement_interval(w->list[i]->placement, now);
	w->heavy = job_free(w->heavy);
	switches_soon(w->d);
}

static int job_begin(struct switches *w, struct heavy_job *job)
{
	char buf[NL_REQUEST_MAX];
	uint32_t bytes;
	int r;

	job->w = w;
	r = nl_open(NETLINK_NETFILTER, &job->nl);
	if (r < 0)
		return r;
	nl_set_receive_buffer(job->nl, RECEIVE_BUFFER, &bytes);
	r = nl_dump_begin(job->nl, ct_request_dump(buf, 0, 0));
	if (r < 0)
		return r;
	job->ev = event_new(w->d->base, nl_fd(job->nl), EV_READ | EV_PERSIST, on_step, job);
	if (!job->ev)
		return -ENOMEM;
	event_priority_set(job->ev, PRIORITY_STREAM);
	event_add(job->ev, NULL);
	return 0;
}

void switch_heavy_tick(struct switches *w, uint64_t now_ms)
{
	_cleanup_(job_freep) struct heavy_job *job = NULL;
	bool due[SWITCHES_MAX] = { false }, any = false;

	if (w->heavy || w->d->dump)
		return;
	for (size_t i = 0; i < w->n; i++) {
		struct switch_state *s = w->list[i];

		due[i] = s->config->place == SWITCH_PLACE_HEAVY &&
			 now_ms - s->heavy_ms >= s->config->heavy_interval_ms;
		if (due[i])
			s->heavy_ms = now_ms;
		any = any || due[i];
	}
	if (!any)
		return;
	job = calloc(1, sizeof(*job));
	if (!job)
		return;
	memcpy(job->for_switch, due, sizeof(due));
	if (job_begin(w, job) == 0)
		w->heavy = TAKE_PTR(job);
}
