/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <event2/event.h>
#include "base/log.h"
#include "config/config.h"
#include "core/flow.h"
#include "core/registry.h"
#include "daemon/resync.h"
#include "netlink/nl.h"
#include "netlink/route.h"

/* flowpind's wiring: one struct that owns everything, and one file for each job that it does with
 * it. Everything runs on one event loop: a job never waits for anything but the kernel, and for the
 * disk where its header says so.
 *
 * The header of a job has the name of its file. What does not fit into one file goes into others
 * with that name in front: flows_dump.c is in flows.h, switch_life.c in switches.h. */

/* Event priorities: what is asked for goes before what is streamed, and that before what nobody
 * waits for. */
enum { PRIORITY_SIGNAL, PRIORITY_WORK, PRIORITY_STREAM, PRIORITY_BACKGROUND, PRIORITY_COUNT };

struct daemon_options {
	const char *config_path;
	const char *socket_path;
	bool no_owner; /* for tests: as on a kernel without table ownership */
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

struct control_server;
struct override;
struct policy;
struct rib;
struct ruleset;
struct dump_job;   /* a conntrack dump in steps (flows_dump.c) */
struct verify_job; /* verify.c */
struct waiter;	   /* drain.c */
struct subscriber; /* events.c */
struct switches;   /* switches.h */

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
	uint8_t generation;    /* of marks and sweeps over the flow table; from 1 */

	struct link_cache links;
	struct address_cache addresses;
	struct neighbour_cache neighbours;
	struct rule_cache rules;

	struct ruleset *ruleset;
	struct policy *policy;
	struct override *overrides;
	size_t n_overrides;
	bool ruleset_foreign, policy_foreign;
	bool reload_wanted; /* SIGHUP came before d->ready */

	struct nl *rt_monitor, *rt_request, *rt_probe, *ct_events, *ct_request;
	bool updates_joined, unmarked_possible, buffer_grown;
	bool graves; /* flows that ended while conntrack was read are still in the table */
	uint64_t unmarked_check_ms, unmarked_backoff_ms;
	struct resync resync;

	struct dump_job *dump;
	struct verify_job *verify;
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
	uint64_t evict_ms;		     /* drain.c: not before */
	uint64_t lost_pins_ms, hostcheck_ms; /* daemon.c: the next look */
	struct log_limit limit_full, limit_source, limit_decode, limit_overrun, limit_repair[2],
		limit_kernel, limit_policy, limit_lost, limit_routes;

	struct stats stats;
	struct control_server *server;
	struct event *ev_rt, *ev_ct, *ev_ct_rest, *ev_nft, *ev_tick, *ev_probe, *ev_sync;
	struct event *ev_redump, *ev_watchdog, *ev_resync, *ev_witness, *ev_registry, *ev_pins;
	struct event *ev_signals[3];
};

/* Marks are in host order; an id stands in the bits of mark-mask, this far from bit 0. */
static inline unsigned mark_shift(const struct daemon *d)
{
	return (unsigned)__builtin_ctz(d->config->numbers.mark_mask);
}

/* The mark of a binding, without bits of others. */
static inline uint32_t mark_of(const struct daemon *d, uint8_t id)
{
	return (uint32_t)id << mark_shift(d);
}

/* The id in any mark; 0: it is none of ours. */
static inline uint8_t id_of(const struct daemon *d, uint32_t mark)
{
	return (uint8_t)((mark & d->config->numbers.mark_mask) >> mark_shift(d));
}

/* Runs flowpind until a signal or daemon_quit() ends it; pins stay in the kernel. Takes `config`
 * over, also on failure, and borrows the texts of `options`. Returns the exit code: that of
 * daemon_quit(), FLOWPIN_EXIT_OK after a signal, FLOWPIN_EXIT_FAILED, which is logged, when it
 * could not start. SIGTERM, SIGINT and SIGHUP are blocked afterwards. */
int daemon_run(const struct daemon_options *options, struct config *config);

/* Ends the loop in 50 ms, so that the last replies leave before. daemon_run() returns exit_code
 * then, that of the last call where there are several. */
void daemon_quit(struct daemon *d, int exit_code);

/* Conntrack has been read for the first time, or as far as it could be: nexthops get ids, the
 * kernel is brought in line, READY. Once. Waits for the kernel, and as intent_apply() does. */
void daemon_conntrack_known(struct daemon *d);

/* What the registry takes from the configuration. */
struct registry_limits daemon_limits(const struct config *c);
/* What one source network is, by the configuration. */
struct source_share_prefixes daemon_source_prefixes(const struct config *c);

/* The group of admin-group; without one *ret_has is false and *ret_group 0. -ENOENT, with a
 * sentence: no such group is found. Blocks on the group database. */
int daemon_admin_group(const struct config *config, bool *ret_has, gid_t *ret_group,
		       struct err *e) _must_check_;

/* Reads how many pins found no room in the pin map into stats.lost_pins, which stays when that
 * fails. That some did is logged once in the life of the process. Waits for the kernel only. */
void daemon_lost_pins_look(struct daemon *d);
