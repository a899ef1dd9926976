// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/daemon.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "control/server.h"
#include "core/override.h"
#include "core/rib.h"
#include "daemon/drain.h"
#include "daemon/flows.h"
#include "daemon/hostcheck.h"
#include "daemon/instance.h"
#include "daemon/intent.h"
#include "daemon/liveness.h"
#include "daemon/methods.h"
#include "daemon/netstate.h"
#include "daemon/reload.h"
#include "daemon/retire.h"
#include "daemon/routes.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "daemon/witness.h"
#include "flowpin/flowpin.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

#define TICK_MS		   250
#define LOST_PINS_EVERY_MS 2000
#define HOSTCHECK_EVERY_MS 10000
#define CLIENT_IDLE_MS	   60000

static const char varlink_interface[] =
#include "varlink.h"
	;

struct registry_limits daemon_limits(const struct config *c)
{
	return (struct registry_limits){
		.max_id = (uint8_t)(c->numbers.mark_mask >> __builtin_ctz(c->numbers.mark_mask)),
		.dead_after = c->liveness.dead_after,
		.outage_window_ms = c->liveness.outage_window_ms,
		.outage_hold_ms = c->liveness.outage_hold_ms,
		.carrier_hold_ms = c->liveness.carrier_hold_ms,
		.probe_interval_ms = c->liveness.probe_interval_ms,
	};
}

struct source_share_prefixes daemon_source_prefixes(const struct config *c)
{
	return (struct source_share_prefixes){ .len4 = (uint8_t)c->limits.source_prefix4,
					       .len6 = (uint8_t)c->limits.source_prefix6 };
}

void daemon_quit(struct daemon *d, int exit_code)
{
	/* A moment for the last replies to leave. */
	struct timeval tv = { .tv_usec = 50000 };

	d->exit_code = exit_code;
	event_base_loopexit(d->base, &tv);
}

void daemon_conntrack_known(struct daemon *d)
{
	bool adopted = registry_version(d->registry) > 0;

	d->ready = true;
	/* Drains first: what was adopted is drained before a route can make it look active. */
	intent_apply(d, clock_now_ms());
	members_apply(d, true);
	intent_apply(d, clock_now_ms());
	sync_now(d);
	flows_updates_judge(d);
	hostcheck_run(d);
	if (adopted)
		witness_adopt_begin(d);
	log_info("ready: %zu services, %u flows known%s", d->config->services.n,
		 flow_table_count(d->flows),
		 ruleset_owned(d->ruleset) ? "" : ", table without owner (kernel before 6.9)");
	notify_send("READY=1");
	if (d->reload_wanted)
		reload(d);
}

void daemon_lost_pins_look(struct daemon *d)
{
	uint32_t dropped;
	uint64_t lost;

	if (ruleset_lost_pins_read(d->ruleset, &lost, NULL) < 0)
		return;
	if (lost > d->stats.lost_pins && log_limit_pass(&d->limit_lost, clock_now_ms(), &dropped))
		log_warning("the pin map is full (max-pins %u): flows hold by their conntrack "
			    "entry only",
			    d->config->limits.max_pins);
	d->stats.lost_pins = lost;
}

static void on_tick(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct daemon *d = arg;
	uint64_t now = clock_now_ms();

	if (!d->ready)
		return;
	witness_tick(d, now);
	drain_tick(d, now);
	intent_apply(d, now);
	retire_tick(d, now);
	flows_unmarked_check(d, now);
	flows_updates_judge(d);
	switches_tick(d, now);
	if (now >= d->lost_pins_ms) {
		d->lost_pins_ms = now + LOST_PINS_EVERY_MS;
		daemon_lost_pins_look(d);
	}
	if (now >= d->hostcheck_ms) {
		d->hostcheck_ms = now + HOSTCHECK_EVERY_MS;
		hostcheck_run(d);
	}
}

static void on_watchdog(evutil_socket_t fd _unused_, short what _unused_, void *arg _unused_)
{
	notify_send("WATCHDOG=1");
}

static void on_signal(evutil_socket_t number, short what _unused_, void *arg)
{
	struct daemon *d = arg;

	if (number == SIGHUP) {
		reload(d);
		return;
	}
	log_info("ending on signal %d: pins stay in the kernel", (int)number);
	event_base_loopbreak(d->base);
}

static const int signal_numbers[] = { SIGTERM, SIGINT, SIGHUP };

/* Held back while no handler stands for them: one that comes early is acted upon as soon as there
 * is a loop, and one that comes late must not end what is ending well. */
static void signals_hold(bool hold)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signal_numbers); i++)
		sigaddset(&set, signal_numbers[i]);
	sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static int signals_open(struct daemon *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(signal_numbers); i++) {
		d->ev_signals[i] = evsignal_new(d->base, signal_numbers[i], on_signal, d);
		if (!d->ev_signals[i])
			return -ENOMEM;
		event_priority_set(d->ev_signals[i], PRIORITY_SIGNAL);
		event_add(d->ev_signals[i], NULL);
	}
	signals_hold(false);
	return 0;
}

static int timers_open(struct daemon *d)
{
	struct timeval tick = { .tv_usec = TICK_MS * 1000 };
	uint64_t watchdog = notify_watchdog_us() / 3;
	struct timeval dog = { .tv_sec = (time_t)(watchdog / 1000000),
			       .tv_usec = (suseconds_t)(watchdog % 1000000) };

	d->ev_tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	if (!d->ev_tick)
		return -ENOMEM;
	event_priority_set(d->ev_tick, PRIORITY_WORK);
	event_add(d->ev_tick, &tick);
	if (!watchdog)
		return 0;
	d->ev_watchdog = event_new(d->base, -1, EV_PERSIST, on_watchdog, d);
	if (!d->ev_watchdog)
		return -ENOMEM;
	/* Behind the work on purpose: a loop that is stuck in work must not look alive. */
	event_priority_set(d->ev_watchdog, PRIORITY_WORK);
	event_add(d->ev_watchdog, &dog);
	return 0;
}

static int model_new(struct daemon *d, struct err *e)
{
	struct registry_limits limits = daemon_limits(d->config);
	uint64_t seed[2];
	uint8_t id[16];
	int r;

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed) ||
	    getrandom(id, sizeof(id), 0) != sizeof(id))
		return err_set(e, -EIO, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(id); i++)
		snprintf(d->instance + 2 * i, 3, "%02x", id[i]);
	d->rib_versions = calloc(d->config->services.n, sizeof(*d->rib_versions));
	r = d->rib_versions ? 0 : -ENOMEM;
	if (r == 0)
		r = rib_new(&d->config->services, &d->rib);
	if (r == 0)
		r = registry_new(&limits, &d->registry);
	if (r == 0)
		r = flow_table_new(d->config->limits.max_flows, seed, &d->flows);
	if (r == 0)
		r = flow_table_source_limit(d->flows, d->config->limits.max_flows_per_source,
					    daemon_source_prefixes(d->config));
	return r < 0 ? err_set(e, r, "the model cannot be made: %s", strerror(-r)) : 0;
}

int daemon_admin_group(const struct config *config, bool *ret_has, gid_t *ret_group, struct err *e)
{
	const char *name = config->control.admin_group;
	const struct group *group = name[0] ? getgrnam(name) : NULL;

	if (name[0] && !group)
		return err_set(e, -ENOENT, "admin-group: there is no group %s", name);
	*ret_has = group != NULL;
	*ret_group = group ? group->gr_gid : 0;
	return 0;
}

static int server_open(struct daemon *d, struct err *e)
{
	struct group *group = getgrnam(FLOWPIN_GROUP);
	struct control_options o = {
		.path = d->options.socket_path,
		.mode = 0660,
		.group = group ? group->gr_gid : (gid_t)-1,
		.methods = methods_table(),
		.interface = varlink_interface,
		.vendor = "flowpin",
		.product = "flowpind",
		.version = FLOWPIN_VERSION,
		.limits = { .max_clients = d->config->control.max_clients,
			    .max_clients_per_uid = d->config->control.max_clients_per_uid,
			    .idle_timeout_ms = CLIENT_IDLE_MS },
		.arg = d,
	};
	int r;

	r = daemon_admin_group(d->config, &o.has_admin_group, &o.admin_group, e);
	return r < 0 ? r : control_server_new(d->base, &o, &d->server, e);
}

static int base_open(struct daemon *d, struct err *e)
{
	d->base = event_base_new();
	if (!d->base || event_base_priority_init(d->base, PRIORITY_COUNT) < 0)
		return err_set(e, -ENOMEM, "the event loop cannot be made");
	return 0;
}

static int step_timers(struct daemon *d, struct err *e)
{
	int r = signals_open(d);

	if (r == 0)
		r = timers_open(d);
	if (r == 0)
		r = witness_open(d);
	return r < 0 ? err_set(e, r, "out of memory") : 0;
}

static int step_adopt(struct daemon *d, struct err *e)
{
	int r = sync_adopt(d, e);

	return r < 0 ? r : 0;
}

static int step_conntrack(struct daemon *d, struct err *e)
{
	int r = flows_dump_begin(d);

	return r < 0 ? err_set(e, r, "conntrack cannot be read: %s", strerror(-r)) : 0;
}

/* In this order; sockets that hear of changes are open before the first look at what changes. */
static int start(struct daemon *d, struct err *e)
{
	static int (*const steps[])(struct daemon * d, struct err * e) = {
		base_open,     model_new,     step_timers,    sync_open,  routes_open,
		liveness_open, routes_dump,   intent_load,    step_adopt, flows_open,
		server_open,   switches_open, step_conntrack,
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i](d, e);

		if (r < 0)
			return r;
	}
	return 0;
}

static void events_free(struct daemon *d)
{
	struct event **all[] = { &d->ev_rt,	   &d->ev_ct,	      &d->ev_ct_rest,
				 &d->ev_nft,	   &d->ev_tick,	      &d->ev_probe,
				 &d->ev_sync,	   &d->ev_redump,     &d->ev_watchdog,
				 &d->ev_resync,	   &d->ev_witness,    &d->ev_registry,
				 &d->ev_pins,	   &d->ev_signals[0], &d->ev_signals[1],
				 &d->ev_signals[2] };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (*all[i])
			event_free(*all[i]);
}

static void stop(struct daemon *d)
{
	/* The server first: its calls hold jobs and subscribers that use all the rest. */
	control_server_free(d->server);
	switches_close(d);
	if (d->base) {
		flows_dump_cancel(d);
		events_free(d);
	}
	nl_close(d->rt_monitor);
	nl_close(d->rt_request);
	nl_close(d->rt_probe);
	nl_close(d->ct_events);
	nl_close(d->ct_request);
	override_list_free(d->overrides, d->n_overrides);
	policy_free(d->policy);
	ruleset_free(d->ruleset);
	flow_table_free(d->flows);
	rib_free(d->rib);
	registry_free(d->registry);
	free(d->rib_versions);
	free(d->intent.list);
	netstate_free(d);
	if (d->base)
		event_base_free(d->base);
	config_free(d->config);
}

static void limits_init(struct daemon *d)
{
	const struct {
		struct log_limit *limit;
		uint64_t interval_ms;
	} rows[] = {
		{ &d->limit_full, 60000 },
		{ &d->limit_source, 60000 },
		{ &d->limit_decode, 60000 },
		{ &d->limit_kernel, 60000 },
		{ &d->limit_policy, 60000 },
		{ &d->limit_repair[REPAIR_RULESET], 1000 },
		{ &d->limit_repair[REPAIR_POLICY], 1000 },
		{ &d->limit_routes, 1000 },
		/* A flood goes on for a while; status counts each. */
		{ &d->limit_overrun, 10000 },
		/* The pin map being full is told once; status counts on. */
		{ &d->limit_lost, UINT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		*rows[i].limit =
			(struct log_limit){ .interval_ms = rows[i].interval_ms, .burst = 1 };
}

int daemon_run(const struct daemon_options *options, struct config *config)
{
	_cleanup_(freep) struct daemon *d = calloc(1, sizeof(*d));
	_cleanup_(closep) int claim = -1;
	struct err e = { 0 };
	int r;

	if (!d) {
		config_free(config);
		return FLOWPIN_EXIT_FAILED;
	}
	d->options = *options;
	d->config = config;
	d->started_ms = d->config_ms = clock_now_ms();
	limits_init(d);
	signals_hold(true);
	r = instance_claim(&claim);
	if (r < 0)
		err_set(&e, r,
			r == -EADDRINUSE ? "flowpind is running here already (one instance in a "
					   "network namespace)"
					 : "the instance cannot be claimed: %s",
			strerror(-r));
	else
		r = start(d, &e);
	if (r == 0) {
		event_base_dispatch(d->base);
		notify_send("STOPPING=1");
		r = d->exit_code;
	} else {
		log_error("%s", e.text[0] ? e.text : strerror(-r));
		r = FLOWPIN_EXIT_FAILED;
	}
	signals_hold(true);
	stop(d);
	return r;
}
