// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/teardown.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/oneshot.h"
#include "daemon/params.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "flowpin/flowpin.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

/* `flowpin teardown`: first the switches are emptied of our flows, as far as they answer, then the
 * kernel of everything of ours. */

#define LOOK_EVERY_MS	     100
#define SWITCHES_PATIENCE_MS 15000

struct teardown {
	struct daemon *d;
	struct control_call *call;
	struct event *ev;
	uint64_t deadline_ms;
};

static void gone(struct control_call *call _unused_, void *data)
{
	struct teardown *t = data;

	if (t->ev)
		event_free(t->ev);
	t->d->tearing_down = false;
	/* Whoever asked went away before it was done: all is as it was. */
	if (t->d->ready)
		switches_offer_again(t->d);
	free(t);
}

static int kernel_clear(struct daemon *d, struct err *e)
{
	struct policy_model numbers = { .mark_mask = d->config->numbers.mark_mask,
					.table_base = d->config->numbers.table_base,
					.rule_priority = d->config->numbers.rule_priority };
	size_t removed = 0;
	int r;

	/* The packet path first: no mark must lead to a table that is gone. */
	r = ruleset_remove(d->ruleset, e);
	if (r == 0)
		r = policy_remove(d->policy, &numbers, false, &removed, e);
	if (r == 0)
		r = oneshot_clear_marks(d->ct_request, d->config->numbers.mark_mask, e);
	return r;
}

static void finish(struct teardown *t)
{
	struct daemon *d = t->d;
	struct err e = { 0 };

	d->ready = false; /* nothing is put back from here on */
	if (kernel_clear(d, &e) < 0) {
		log_error("teardown failed: %s", e.text);
		control_error(t->call, "Failed", "not everything could be removed: %s", e.text);
		d->ready = true;
		d->ruleset_foreign = d->policy_foreign = true;
		sync_soon(d);
		return;
	}
	control_reply(t->call, NULL);
	daemon_quit(d, FLOWPIN_EXIT_TORN_DOWN);
}

static void on_look(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct teardown *t = arg;
	struct timeval tv = { .tv_usec = LOOK_EVERY_MS * 1000 };
	uint32_t left = switches_left(t->d);

	if (left && clock_now_ms() < t->deadline_ms) {
		event_add(t->ev, &tv);
		return;
	}
	if (left)
		log_warning("teardown: %u flows may stay in switches that do not answer; their "
			    "idle timeout ends them",
			    left);
	event_del(t->ev);
	finish(t);
}

void teardown_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	struct teardown *t;

	if (!params_check(call, params, NULL))
		return;
	if (d->tearing_down) {
		control_error(call, "Busy", "a teardown is under way");
		return;
	}
	t = calloc(1, sizeof(*t));
	if (t)
		t->ev = event_new(d->base, -1, 0, on_look, t);
	if (!t || !t->ev) {
		free(t);
		control_error(call, "Failed", "out of memory");
		return;
	}
	log_notice("teardown asked for by uid %u (pid %d)", control_call_uid(call),
		   (int)control_call_pid(call));
	t->d = d;
	t->call = call;
	t->deadline_ms = clock_now_ms() + SWITCHES_PATIENCE_MS;
	event_priority_set(t->ev, PRIORITY_WORK);
	d->tearing_down = true; /* nothing is placed from here on */
	switches_withdraw_all(d);
	control_call_stream(call, NULL, gone, t);
	on_look(-1, 0, t);
}
