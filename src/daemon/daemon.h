/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include <limits.h>
#include <json-c/json.h>
#include "base/log.h"
#include "base/notify.h"
#include "config/config.h"
#include "control/server.h"
#include "core/flow.h"
#include "core/override.h"
#include "core/registry.h"
#include "core/rib.h"
#include "netlink/ct.h"
#include "netlink/rt.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

/* flowpind's wiring: one struct that owns everything, and one file per job that it does with it.
 * Everything runs on one event loop; a job never waits for anything but the kernel. */

/* Event priorities: what is asked for goes before what is streamed. */
enum { PRIORITY_SIGNAL, PRIORITY_WORK, PRIORITY_STREAM, PRIORITY_COUNT };

struct daemon_options {
	const char *config_path;
	const char *socket_path;
	bool no_owner; /* for tests: as on a kernel without table ownership */
};

/* Flags of struct flow that only the daemon uses, above those of core/flow.h. */
enum {
	FLOW_GRAVE =
		1 << 7, /* ended while a dump runs: an older dump message must not bring it back */
};

struct link_cache {
	struct link *list;
	size_t n, cap;
};

struct address_cache {
	struct address *list;
	size_t n, cap;
};

struct neighbour_cache { /* only entries of nexthops */
	struct neighbour *list;
	size_t n, cap;
};

struct rule_cache { /* those of others */
	struct rule *list;
	size_t n, cap;
	uint32_t tables[64]; /* that they look up, without `local` */
	size_t n_tables;
};

struct warning {
	char code[24];
	char text[256];
	char command[128];
};

struct warning_list {
	struct warning list[64];
	size_t n;
};

struct drain_wish { /* an operator's wish, as kept on disk */
	char service[SERVICE_NAME_MAX];
	struct nexthop_spec nexthop;
	struct drain_intent intent;
	bool released;
	bool refused; /* it could not be taken up, and that was said */
};

struct intent {
	struct drain_wish *list;
	size_t n, cap;
};

enum repair { REPAIR_RULESET, REPAIR_POLICY };

struct stats {
	uint64_t events_received, events_new, events_update, events_destroy;
	uint64_t overruns, resyncs, undecodable;
	uint64_t flows_refused, flows_unpinned;
	uint64_t flows_over_source; /* max-flows-per-source */
	uint64_t ruleset_changes, policy_changes;
	uint64_t repairs_ruleset, repairs_policy;
	uint32_t policy_failed;
	uint64_t lost_pins;
	uint32_t receive_buffer;
};

struct dump_job; /* a conntrack dump in steps (flows_dump.c) */
struct verify_job;
struct waiter;
struct subscriber;
struct switches; /* switches.h */

struct daemon {
	struct daemon_options options;
	struct config *config;
	struct event_base *base;
	uint64_t started_ms, config_ms;
	char instance[33];
	bool ready;
	bool tearing_down; /* teardown.c: the switches are being emptied */
	int exit_code;

	struct rib *rib;
	uint64_t *rib_versions; /* per service: what members_apply() saw last */
	struct registry *registry;
	uint64_t registry_synced;
	struct flow_table *flows;
	uint32_t id_flows[256], id_one_way[256]; /* by mark, whether or not a binding has it */
	bool id_unlisted[256]; /* the flow table had no room for a flow with this mark */
	bool id_withheld[256]; /* not given out: its mark stands somewhere without a binding */
	uint8_t generation;    /* of marks and sweeps over the flow table */

	struct link_cache links;
	struct address_cache addresses;
	struct neighbour_cache neighbours;
	struct rule_cache rules;

	struct ruleset *ruleset;
	struct policy *policy;
	struct override *overrides;
	size_t n_overrides;
	bool ruleset_foreign, policy_foreign, sync_retry;

	struct nl *rt_monitor, *rt_request, *rt_probe, *ct_events, *ct_request;
	bool updates_joined, unmarked_possible, buffer_grown;
	bool graves; /* flows that ended while conntrack was read are still in the table */
	uint64_t unmarked_check_ms, unmarked_backoff_ms;
	uint64_t last_overrun_ms, first_overrun_ms;
	uint64_t resync_backoff_ms, last_resync_ms, resync_took_ms;

	struct dump_job *dump;
	struct verify_job *verify;
	bool pins_dumping;
	uint8_t witness_list; /* witness.c: the list that was asked last */
	struct waiter *waiters;
	struct switches *switches; /* NULL: no switch is configured */
	struct subscriber *subscribers;
	uint32_t flow_subscribers;

	struct intent intent;
	struct warning_list warnings;
	struct {
		uint64_t packets, since_ms;
	} still[256]; /* chain counters of bindings that may be retired */
	uint64_t counters_read_ms;
	uint64_t evict_ms; /* drain.c: not before */
	struct log_limit limit_full, limit_source, limit_decode, limit_overrun, limit_repair[2],
		limit_kernel, limit_lost;

	struct stats stats;
	struct control_server *server;
	struct event *ev_rt, *ev_ct, *ev_ct_rest, *ev_nft, *ev_tick, *ev_probe, *ev_sync;
	struct event *ev_redump, *ev_watchdog, *ev_resync, *ev_witness, *ev_registry, *ev_pins;
	struct event *ev_signals[3];
};

static inline unsigned mark_shift(const struct daemon *d)
{
	return (unsigned)__builtin_ctz(d->config->numbers.mark_mask);
}

static inline uint32_t mark_of(const struct daemon *d, uint8_t id)
{
	return (uint32_t)id << mark_shift(d);
}

static inline uint8_t id_of(const struct daemon *d, uint32_t mark)
{
	return (uint8_t)((mark & d->config->numbers.mark_mask) >> mark_shift(d));
}

/* daemon.c: builds everything in order, runs the loop, takes everything down in reverse order.
 * Returns an exit code. */
int daemon_run(const struct daemon_options *options, struct config *config);
struct registry_limits daemon_limits(const struct config *c);
struct source_share_prefixes daemon_source_prefixes(const struct config *c);
void daemon_lost_pins_look(struct daemon *d); /* logs once when the pin map is full */
/* Ends the loop with this exit code. */
/* The group of admin-group. -ENOENT: there is no such group. */
int daemon_admin_group(const struct config *config, bool *ret_has, gid_t *ret_group, struct err *e);
void daemon_quit(struct daemon *d, int exit_code);
/* What happens once conntrack has been read for the first time: nexthops get ids, the kernel is
 * brought in line, READY. */
void daemon_conntrack_known(struct daemon *d);

/* oneshot.c: --relax and --teardown, without a daemon. `config` may be NULL. Exit code. */
int oneshot_remove(const struct config *config, bool overrides_only);
/* Takes our bits off every conntrack entry that carries them. 0, or negative errno. */
int oneshot_clear_marks(struct nl *nl, uint32_t mask, struct err *e);

/* instance.c: one flowpind per network namespace. -EADDRINUSE when there is one. The descriptor
 * holds the claim. */
int instance_claim(int *ret_fd);

/* netstate.c: what rtnetlink says of links, addresses, rules and neighbours, kept as small arrays.
 */
int netstate_apply(struct daemon *d,
		   const struct nlmsghdr *nlh); /* 1 when a cache changed in a way that matters */
const struct link *netstate_link(const struct daemon *d, uint32_t ifindex);
const struct link *netstate_link_by_name(const struct daemon *d, const char *name);
const struct neighbour *netstate_neighbour(const struct daemon *d, uint32_t ifindex,
					   const struct ip_addr *addr);
void netstate_rules_derive(struct daemon *d); /* which tables forward */
bool netstate_table_forwards(const struct daemon *d, uint32_t table);
void netstate_free(struct daemon *d);

/* routes.c: routes and nexthop objects into the rib, the rib's members into the registry. */
int routes_open(struct daemon *d, struct err *e);
int routes_dump(
	struct daemon *d,
	struct err *e); /* everything anew: links, addresses, rules, neighbours, objects, routes */
void routes_redump_soon(struct daemon *d);
void members_apply(struct daemon *d, bool all);

/* carried.c: ids fixed by configuration whose marks stand in conntrack before a route names them.
 */
void carried_adopt(struct daemon *d);
void carried_count(struct daemon *d, uint8_t id); /* a binding was made: the flows that it has */

/* liveness.c: probes, and what the neighbour table answers. */
int liveness_open(struct daemon *d, struct err *e);
void liveness_neighbour(struct daemon *d, const struct neighbour *n, bool gone);
void liveness_link(struct daemon *d, const struct link *l);
void liveness_new_nexthop(struct daemon *d, const struct ip_addr *gateway, uint32_t ifindex);

/* flows.c: conntrack events into the flow table. */
int flows_open(struct daemon *d, struct err *e);
/* Entries on their way into the flow table, whose places are loaded meanwhile. Each is decoded into
 * entry[n] and pushed; they are applied in their order. */
#define FLOWS_QUEUE 16
struct flows_queue {
	struct daemon *d;
	uint64_t now_ms;
	unsigned n;
	uint32_t handle[FLOWS_QUEUE];
	struct ct_entry entry[FLOWS_QUEUE];
};
static inline void flows_queue_begin(struct flows_queue *q, struct daemon *d, uint64_t now_ms)
{
	q->d = d;
	q->now_ms = now_ms;
	q->n = 0;
}
void flows_queue_push(struct flows_queue *q);
void flows_queue_flush(struct flows_queue *q);
void flows_end(struct daemon *d, struct flow *f, const char *why);
void flows_move(struct daemon *d, struct flow *f, uint8_t id, uint64_t now_ms);
void flows_updates_judge(struct daemon *d);
void flows_counts(struct daemon *d, uint8_t id, int delta, bool one_way);

/* flows_dump.c: conntrack read whole, at start and after an overrun. */
int flows_dump_begin(struct daemon *d);
void flows_dump_cancel(struct daemon *d);
void flows_resync_soon(struct daemon *d, uint64_t now_ms);
void flows_unmarked_check(struct daemon *d, uint64_t now_ms);

/* witness.c: one-way flows, whose witness is their element of the pin map. */
void witness_watch(struct daemon *d, struct flow *f,
		   bool at_once); /* its conntrack entry is gone */
void witness_watch_young(struct daemon *d, struct flow *f,
			 uint64_t now_ms); /* its entry has no answer yet */
void witness_ask(struct daemon *d,
		 struct flow *f); /* one that is watched: at once, not in its turn */
bool witness_is_asking(const struct daemon *d); /* some are still to be asked for at once */
void witness_tick(struct daemon *d, uint64_t now_ms);
void witness_adopt(struct daemon *d, const struct tuple *list,
		   size_t n);		    /* those of them that have a pin */
void witness_adopt_begin(struct daemon *d); /* all of the pin map, in steps */
int witness_open(struct daemon *d);

/* sync.c: the model into the kernel, and repair. */
int sync_open(struct daemon *d, struct err *e);
int sync_adopt(struct daemon *d, struct err *e);
void sync_soon(struct daemon *d);
void sync_now(struct daemon *d);
int sync_policy_model(struct daemon *d, struct policy_model *ret_model,
		      struct policy_binding **ret_own);
int sync_ruleset_model(struct daemon *d, struct ruleset_model *ret_model,
		       struct ruleset_binding **ret_own, struct ruleset_connected **ret_connected);
void sync_changes_report(struct daemon *d);

/* retire.c: ids of bindings that ended. */
void retire_tick(struct daemon *d, uint64_t now_ms);
bool retire_mark_stands(
	struct daemon *d,
	uint8_t id); /* in any conntrack entry; asks the kernel where no flow is known */

/* intent.c: what the operator wants, over restarts. */
int intent_load(struct daemon *d, struct err *e);
int intent_save(struct daemon *d, struct err *e);
struct drain_wish *intent_find(struct daemon *d, const char *service,
			       const struct nexthop_spec *nexthop);
int intent_set(struct daemon *d, const struct drain_wish *wish, struct err *e);
void intent_remove(struct daemon *d, const char *service, const struct nexthop_spec *nexthop,
		   struct err *e);
void intent_apply(
	struct daemon *d,
	uint64_t now_ms); /* to bindings that do not follow it yet; and what is due by the clock */

/* events.c: `flowpin monitor`. */
struct event_report {
	const char *kind;
	const char *service, *nexthop; /* NULL: none */
	uint8_t id;
	const char *from, *to, *reason;
	uint32_t flows;
	const struct flow *flow;
	const char *change;
};
void events_report(struct daemon *d, const struct event_report *report, const char *fmt, ...)
	_printf_(3, 4);
void events_flow(struct daemon *d, const struct flow *f, const char *change);
void events_subscribe(struct daemon *d, struct control_call *call, bool flows);

/* hostcheck.c: how the host is set up against us. */
void hostcheck_run(struct daemon *d);

/* drain.c: the operator's commands and who waits for them. */
void drain_method(struct control_call *call, struct json_object *params, void *arg);
void undrain_method(struct control_call *call, struct json_object *params, void *arg);
void release_method(struct control_call *call, struct json_object *params, void *arg);
void drain_tick(struct daemon *d, uint64_t now_ms);
bool drain_waits_for(const struct daemon *d, uint8_t id);

/* verify.c */
void verify_method(struct control_call *call, struct json_object *params, void *arg);

/* reload.c */
void reload(struct daemon *d);

/* teardown.c */
void teardown_method(struct control_call *call, struct json_object *params, void *arg);

/* methods.c, methods_flows.c, methods_status.c, report.c */
const struct control_method *methods_table(void);
void flows_method(struct control_call *call, struct json_object *params, void *arg);
void show_method(struct control_call *call, struct json_object *params, void *arg);
void status_method(struct control_call *call, struct json_object *params, void *arg);
struct json_object *report_binding(struct daemon *d, const struct binding *b,
				   const struct ruleset_counters *counters);
void report_flow_text(struct daemon *d, const struct flow *f, uint64_t now_ms, struct strbuf *out);
struct nexthop_spec binding_spec(const struct binding *b);
const struct service *daemon_service(const struct daemon *d, const char *name);

/* params.c: reading parameters. */
/* Whether all parameters are among the keys given (NULL ends them) and of the right type; replies
 * with InvalidParameter else. One that is not known must not be passed over: without its "service"
 * a drain is one of all services. */
bool params_check(struct control_call *call, struct json_object *params, ...)
	__attribute__((sentinel));
const char *param_string(struct json_object *params, const char *key); /* NULL: absent */
bool param_bool(struct json_object *params, const char *key);
/* 1: there, 0: absent, -EINVAL: of another type or outside min..max. */
int param_int(struct json_object *params, const char *key, int64_t min, int64_t max,
	      int64_t *ret_value);
