// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/conntrack.h"
#include "daemon/daemon.h"
#include "daemon/flows.h"
#include "daemon/params.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "daemon/witness.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

/* Cross-checks the flow table against conntrack, the pin map, the rules and routes. Both sides go
 * on changing meanwhile, so what differs at first sight is only a suspect; it is looked at again,
 * by itself, once the events have caught up. */

#define DATAGRAMS_PER_STEP    16
#define SUSPECTS_MAX	      20000
#define PINS_PER_STEP	      2048
#define SETTLE_MS	      300
#define LOOKS		      4	 /* at a suspect, SETTLE_MS apart, before it counts */
#define WAIT_MS		      100
#define WAITS		      90 /* WAIT_MS each, for the pin map's answers and for resyncs */
#define DIFFERENCES_PER_REPLY 64

enum verify_phase {
	VERIFY_WAIT,
	VERIFY_DUMP,
	VERIFY_SWEEP,
	VERIFY_PINS,
	VERIFY_SETTLE,
	VERIFY_KERNEL,
	VERIFY_DONE
};

struct verify_job {
	struct daemon *d;
	struct control_call *call; /* NULL once the client is gone */
	struct nl *nl;
	struct event *ev_dump, *ev_step;
	enum verify_phase phase;
	uint64_t begin_ms, overruns;
	uint32_t cursor;
	struct tuple_list suspects;
	bool crowded; /* there were more than that */
	unsigned looks, waits;
	uint64_t conntrack, pins;
	struct json_object *differences, *unread;
	uint64_t n_differences;
};

static struct verify_job *job_free(struct verify_job *job)
{
	if (!job)
		return NULL;
	if (job->ev_dump)
		event_free(job->ev_dump);
	if (job->ev_step)
		event_free(job->ev_step);
	nl_close(job->nl);
	json_object_put(job->differences);
	json_object_put(job->unread);
	tuple_list_clear(&job->suspects);
	free(job);
	return NULL;
}
DEFINE_FREEP(struct verify_job, job_free)

static void step_soon(struct verify_job *job, unsigned ms)
{
	struct timeval tv = { .tv_usec = (suseconds_t)ms * 1000 };

	event_add(job->ev_step, &tv);
}

static struct json_object *reply(struct verify_job *job, bool done)
{
	struct json_object *o = json_object_new_object();
	bool clean = done && job->n_differences == 0 && json_object_array_length(job->unread) == 0;

	json_object_object_add(o, "done", json_object_new_boolean(done));
	json_object_object_add(o, "clean", json_object_new_boolean(clean));
	json_object_object_add(o, "differences", TAKE_PTR(job->differences));
	json_object_object_add(o, "unread", json_object_get(job->unread));
	json_object_object_add(o, "flows", json_object_new_int64(flow_table_count(job->d->flows)));
	json_object_object_add(o, "conntrack", json_object_new_int64((int64_t)job->conntrack));
	json_object_object_add(o, "pins", json_object_new_int64((int64_t)job->pins));
	job->differences = json_object_new_array();
	return o;
}

static void difference(struct verify_job *job, const char *plane, const char *subject,
		       const char *fmt, ...) _printf_(4, 5);
static void difference(struct verify_job *job, const char *plane, const char *subject,
		       const char *fmt, ...)
{
	struct json_object *o = json_object_new_object();
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_object_add(o, "plane", json_object_new_string(plane));
	json_object_object_add(o, "subject", json_object_new_string(subject));
	json_object_object_add(o, "text", json_object_new_string(text));
	json_object_array_add(job->differences, o);
	job->n_differences++;
	if (json_object_array_length(job->differences) >= DIFFERENCES_PER_REPLY &&
	    control_call_more(job->call))
		control_continue(job->call, reply(job, false));
}

static void unread(struct verify_job *job, const char *plane)
{
	json_object_array_add(job->unread, json_object_new_string(plane));
}

static void suspect(struct verify_job *job, const struct tuple *t)
{
	if (tuple_list_add(&job->suspects, t, SUSPECTS_MAX) < 0)
		job->crowded = true;
}

/* One that is asked for meanwhile is put right, on the list or not. */
static void suspect_asked(struct verify_job *job, const struct tuple *t)
{
	(void)!tuple_list_add(&job->suspects, t, SUSPECTS_MAX);
}

static int on_entry(const struct nlmsghdr *nlh, void *arg)
{
	struct verify_job *job = arg;
	struct daemon *d = job->d;
	struct ct_entry entry;
	struct flow *f;
	uint8_t id;

	if (ct_decode(nlh, &entry) < 0)
		return 0;
	id = id_of(d, entry.mark);
	if (!id)
		return 0;
	/* A mirrored flow has its entry, but does not live by it. */
	job->conntrack++;
	f = flow_table_get(d->flows, &entry.tuple);
	if (!f ? !flow_table_source_over(d->flows, &entry.tuple)
	       : !(f->flags & (FLOW_CT | FLOW_MIRRORED)) || f->binding != id)
		suspect(job, &entry.tuple);
	if (f)
		f->mark = d->generation;
	return 0;
}

static void on_dump(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct verify_job *job = arg;
	int r = nl_dump_step(job->nl, DATAGRAMS_PER_STEP, on_entry, job);

	if (r == 1 || r == -EAGAIN)
		return;
	if (r < 0 && r != -EINTR)
		unread(job, "conntrack");
	event_free(job->ev_dump);
	job->ev_dump = NULL;
	job->phase = VERIFY_SWEEP;
	step_soon(job, 0);
}

/* Flows that say they have a conntrack entry, and the dump had none. */
static void step_sweep(struct verify_job *job)
{
	struct flow *f = NULL;

	for (unsigned i = 0; i < 20000 && (f = flow_table_next(job->d->flows, &job->cursor)); i++)
		if ((f->flags & FLOW_CT) && f->mark != job->d->generation &&
		    f->since_ms < job->begin_ms)
			suspect(job, &f->tuple);
	if (!f) {
		job->cursor = 0;
		job->phase = VERIFY_PINS;
	}
	step_soon(job, 0);
}

static void ask_now(struct daemon *d, struct flow *f)
{
	if (f && f->list)
		witness_ask(d, f);
}

/* False: there are no more, or they cannot be read. */
static bool compare_pins(struct verify_job *job)
{
	struct daemon *d = job->d;
	struct tuple tuples[WITNESS_AT_ONCE];
	uint8_t ids[WITNESS_AT_ONCE];
	struct flow *f = NULL;
	size_t n = 0;

	while (n < WITNESS_AT_ONCE && (f = flow_table_next(d->flows, &job->cursor)))
		if (f->tuple.zone == 0 && !(f->flags & FLOW_GRAVE))
			tuples[n++] = f->tuple;
	if (n && ruleset_pins_get(d->ruleset, tuples, n, ids, NULL) < 0) {
		unread(job, "pins");
		return false;
	}
	/* A one-way flow whose pin ran out or moved is found by asking, in its turn. This is its
	 * turn. */
	witness_told(d, tuples, ids, n);
	for (size_t i = 0; i < n; i++) {
		struct flow *known = flow_table_get(d->flows, &tuples[i]);

		job->pins += ids[i] != 0;
		/* A flow with a conntrack entry may be silent for longer than its pin lives. */
		if (known && (ids[i] ? ids[i] != known->binding : !!(known->flags & FLOW_PIN)))
			(known->list ? suspect_asked : suspect)(job, &tuples[i]);
		/* Of the others the witness has just been told. */
		if (known && (known->flags & FLOW_CT) && ids[i] != known->binding)
			ask_now(d, known);
	}
	return f;
}

static void step_pins(struct verify_job *job)
{
	for (unsigned i = 0; i < PINS_PER_STEP / WITNESS_AT_ONCE; i++) {
		if (compare_pins(job))
			continue;
		job->phase = VERIFY_SETTLE;
		step_soon(job, job->suspects.n ? SETTLE_MS : 0);
		return;
	}
	step_soon(job, 0);
}

/* Whether the suspect still differs; tells how when `report` is set. */
static bool differs(struct verify_job *job, const struct tuple *t, bool report)
{
	struct daemon *d = job->d;
	struct flow *f = flow_table_get(d->flows, t);
	char text[TUPLE_TEXT];
	struct ct_entry entry;
	uint8_t ct_id, pin = 0;

	/* One that the limit keeps out of the table is counted there. */
	if (!f && flow_table_source_over(d->flows, t))
		return false;
	ct_id = conntrack_get(d->ct_request, t, &entry) == 0 ? id_of(d, entry.mark) : 0;
	if (t->zone == 0 && ruleset_pins_get(d->ruleset, t, 1, &pin, NULL) < 0)
		return false;
	tuple_format(t, text);
	if (ct_id && (!f || !(f->flags & (FLOW_CT | FLOW_MIRRORED)) || f->binding != ct_id)) {
		if (report)
			difference(job, "conntrack", text,
				   "conntrack has mark 0x%08x, the flow table %s",
				   mark_of(d, ct_id),
				   !f			 ? "does not know the flow"
				   : f->binding != ct_id ? "another nexthop"
							 : "no conntrack entry");
		return true;
	}
	if (f && (f->flags & FLOW_CT) && !ct_id) {
		if (report)
			difference(job, "conntrack", text,
				   "the flow table has id %u, conntrack no such mark", f->binding);
		return true;
	}
	if (f && pin && pin != f->binding) {
		if (report)
			difference(job, "pins", text, "the pin map has id %u, the flow table %u",
				   pin, f->binding);
		return true;
	}
	if (f && (f->flags & FLOW_PIN) && !pin && !switches_hold(d, t)) {
		if (report)
			difference(job, "pins", text,
				   "the flow table lists it by its pin, which is gone");
		return true;
	}
	return false;
}

/* Has it wait for something, but not for ever; false once that is enough. */
static bool wait_on(struct verify_job *job)
{
	if (job->waits++ >= WAITS)
		return false;
	step_soon(job, WAIT_MS);
	return true;
}

static int read_begin(struct verify_job *job)
{
	struct daemon *d = job->d;
	int r = conntrack_dump_begin(d->base, PRIORITY_STREAM, on_dump, job, &job->nl,
				     &job->ev_dump);

	if (r < 0)
		return r;
	job->phase = VERIFY_DUMP;
	job->begin_ms = clock_now_ms();
	job->overruns = d->stats.overruns;
	flows_generation_next(d);
	return 0;
}

/* flowpind knows that it does not know all: what it has lost comes first. */
static void step_wait(struct verify_job *job)
{
	struct daemon *d = job->d;
	int r;

	flows_catch_up(d);
	if ((d->dump || flows_resync_pending(d)) && wait_on(job))
		return;
	if (d->dump) {
		control_error(job->call, "Busy", "conntrack is being read");
		return;
	}
	r = read_begin(job);
	if (r < 0)
		control_error(job->call, "Failed", "conntrack cannot be read: %s", strerror(-r));
}

/* More suspects than it can keep, since events were lost meanwhile. */
static bool begin_again(struct verify_job *job)
{
	if (!job->crowded || job->overruns == job->d->stats.overruns || job->waits >= WAITS)
		return false;
	tuple_list_clear(&job->suspects);
	job->nl = nl_close(job->nl);
	job->crowded = false;
	job->cursor = 0;
	job->conntrack = job->pins = 0;
	job->phase = VERIFY_WAIT;
	step_soon(job, 0);
	return true;
}

/* Those whose pins are gone are asked for first. Others end meanwhile and are asked for, too: in an
 * unending crowd it does not wait for them. */
static bool suspects_are_asked(const struct verify_job *job)
{
	for (size_t i = 0; i < job->suspects.n; i++) {
		const struct flow *f = flow_table_get(job->d->flows, &job->suspects.list[i]);

		if (f && witness_is_asking(f))
			return true;
	}
	return false;
}

static void step_settle(struct verify_job *job)
{
	struct daemon *d = job->d;
	size_t kept = 0;
	bool last;

	if ((suspects_are_asked(job) || flows_resync_pending(d)) && wait_on(job))
		return;
	if (begin_again(job))
		return;
	last = ++job->looks >= LOOKS;
	for (size_t i = 0; i < job->suspects.n; i++)
		if (differs(job, &job->suspects.list[i], last))
			job->suspects.list[kept++] = job->suspects.list[i];
	job->suspects.n = kept;
	if (kept && !last) {
		for (size_t i = 0; i < kept; i++)
			ask_now(d, flow_table_get(d->flows, &job->suspects.list[i]));
		step_soon(job, SETTLE_MS);
		return;
	}
	job->phase = VERIFY_KERNEL;
	step_soon(job, 0);
}

static void on_ruleset_difference(const char *sentence, void *arg)
{
	difference(arg, "nftables", "table inet flowpin", "%s", sentence);
}

static void on_policy_difference(const char *sentence, void *arg)
{
	difference(arg, "routing", "rules and routes", "%s", sentence);
}

static void on_switch_difference(void *arg, const char *plane, const char *subject,
				 const char *text)
{
	difference(arg, plane, subject, "%s", text);
}

static void on_switch_unread(void *arg, const char *plane)
{
	unread(arg, plane);
}

static void step_kernel(struct verify_job *job)
{
	_cleanup_(freep) struct ruleset_connected *connected = NULL;
	_cleanup_(freep) struct ruleset_binding *bindings = NULL;
	_cleanup_(freep) struct policy_binding *routing = NULL;
	struct ruleset_model ruleset;
	struct policy_model policy;

	if (job->crowded)
		difference(job, "flow table", "all flows",
			   "more than %d differed at first sight: the others were not looked at "
			   "again",
			   SUSPECTS_MAX);
	if (sync_ruleset_model(job->d, &ruleset, &bindings, &connected) < 0 ||
	    ruleset_verify(job->d->ruleset, &ruleset, on_ruleset_difference, job, NULL) < 0)
		unread(job, "nftables");
	if (sync_policy_model(job->d, &policy, &routing) < 0 ||
	    policy_verify(job->d->policy, &policy, on_policy_difference, job, NULL) < 0)
		unread(job, "routing");
	switches_verify(job->d, on_switch_difference, on_switch_unread, job);
	job->phase = VERIFY_DONE;
	control_reply(job->call, reply(job, true));
}

static void on_step(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	static void (*const steps[])(struct verify_job * job) = {
		[VERIFY_WAIT] = step_wait,     [VERIFY_SWEEP] = step_sweep,
		[VERIFY_PINS] = step_pins,     [VERIFY_SETTLE] = step_settle,
		[VERIFY_KERNEL] = step_kernel,
	};
	struct verify_job *job = arg;

	steps[job->phase](job);
}

static void gone(struct control_call *call _unused_, void *data)
{
	struct verify_job *job = data;

	job->d->verify = NULL;
	job_free(job);
}

static int job_init(struct daemon *d, struct verify_job *job)
{
	job->d = d;
	job->differences = json_object_new_array();
	job->unread = json_object_new_array();
	job->ev_step = event_new(d->base, -1, 0, on_step, job);
	if (!job->differences || !job->unread || !job->ev_step)
		return -ENOMEM;
	event_priority_set(job->ev_step, PRIORITY_STREAM);
	return 0;
}

bool verify_is_reading(const struct daemon *d)
{
	return d->verify && (d->verify->phase == VERIFY_DUMP || d->verify->phase == VERIFY_SWEEP);
}

bool verify_waits(const struct daemon *d)
{
	return d->verify && (d->verify->phase == VERIFY_WAIT || d->verify->phase == VERIFY_SETTLE);
}

void verify_method(struct control_call *call, struct json_object *params, void *arg)
{
	_cleanup_(job_freep) struct verify_job *job = NULL;
	struct daemon *d = arg;

	if (!params_check(call, params, NULL))
		return;
	if (d->verify || !d->ready) {
		control_error(call, "Busy", "%s",
			      d->verify ? "another verify is under way"
					: "conntrack is being read");
		return;
	}
	job = calloc(1, sizeof(*job));
	if (!job || job_init(d, job) < 0) {
		control_error(call, "Failed", "out of memory");
		return;
	}
	step_soon(job, 0);
	job->call = call;
	d->verify = job;
	control_call_stream(call, NULL, gone, TAKE_PTR(job));
}
