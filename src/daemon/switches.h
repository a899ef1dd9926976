/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "control/server.h"
#include "core/placement.h"
#include "daemon/daemon.h"
#include "daemon/mirror.h"

/* The switches beside this gateway: which flows each should hold, who writes them there
 * (flowpin-eapi, over daemon.sock), what it says of them, and the flows that its mirror shows
 * (mirror.h). Without a `switch` section nothing of this exists. */

#define SWITCH_NEXTHOPS_MAX 1024
#define SWITCH_VERSION_MAX  64
#define SWITCH_SENTENCE_MAX 256

struct switch_nexthop {
	struct ip_addr addr;
	char ifname[64];
	bool alive;	 /* by the last word of the switch */
	bool dead;	 /* judged: silent for long enough, and others are not */
	uint32_t silent; /* words in a row that it was not alive */
	uint64_t silent_ms;
	char (*named)[SERVICE_NAME_MAX]; /* services whose routes name it */
	size_t n_named;
};

/* What its flowpin-eapi said last. capacity, free and boot are -1 where they were not given, the
 * other numbers 0. */
struct switch_health {
	bool known, reachable;
	uint64_t told_ms, reached_ms;
	char sentence[SWITCH_SENTENCE_MAX], version[SWITCH_VERSION_MAX], model[SWITCH_VERSION_MAX];
	int64_t programmed, pending, rejected, foreign, capacity, free, requests, commands, lag_ms,
		boot;
};

struct switch_state {
	struct daemon *d;
	const struct switch_config *config; /* of d->config */
	char digest[SWITCH_DIGEST];
	uint8_t number; /* from 1, as in struct flow */
	struct placement *placement;

	uint64_t connection; /* that attached; 0 nobody */
	uid_t uid;
	pid_t pid;
	uint64_t attached_ms;
	struct control_call *desired, *ask;

	struct switch_health health;
	struct switch_nexthop
		*nexthops; /* never taken out of the list: flows name them by their place */
	size_t n_nexthops, cap_nexthops;

	struct mirror *mirror;	   /* NULL: it has none */
	struct question *question; /* mirror_ask.c */
	uint64_t questions;

	uint64_t observed_ms; /* the last complete reading */
	uint64_t life_ms, heavy_ms;
	uint64_t unknown;    /* what was named and is not ours to be named */
	uint64_t left_alone; /* flows with our prefix that could not be adopted */
	char last_error[SWITCH_SENTENCE_MAX];
};

struct heavy_job; /* switch_heavy.c */

struct switches {
	struct daemon *d;
	struct switch_state *list[SWITCHES_MAX];
	size_t n;
	struct control_server *server;
	struct mirror_socket *socket;
	struct event *ev_work;
	struct entry_writes *writes;
	struct heavy_job *heavy;
	uint64_t services;	  /* digest of them, as the attached ones know them */
	bool about_to_drain[256]; /* bindings whose flows are placed first */
	struct log_limit limit_refused;
};

/* --- what the rest of flowpind calls; each does nothing without a switch --- */

/* switches.c: makes d->switches, which switches_close() frees, also after a failure: -ENOMEM, as of
 * placement_new(), mirror_new(), control_server_new() and mirror_socket_new(), -ENAMETOOLONG; with
 * a sentence. Blocks on the group database. */
int switches_open(struct daemon *d, struct err *e);
void switches_close(struct daemon *d);
/* At each tick of the daemon: mirrors, life, accounting, and what is to be written and told. Waits
 * for the kernel only. */
void switches_tick(struct daemon *d, uint64_t now_ms);
/* Before d->config is replaced, and after. Switches that are gone, or have another mirror, are let
 * go, and their mirror's flows end as "unpinned"; new ones are taken up. Failures are logged. */
void switches_reload_begin(struct daemon *d, const struct config *new);
void switches_reload(struct daemon *d);
/* Sends what is due, in 5 ms. There must be a switch. */
void switches_soon(struct daemon *d);

/* switch_flows.c */
/* A flow was learned, moved, or something about it changed: offered to each switch that may take
 * it. */
void switches_flow(struct daemon *d, struct flow *f, uint64_t now_ms);
/* It is about to be removed; `why` as in flows_end(). */
void switches_flow_end(struct daemon *d, struct flow *f, const char *why);
/* A switch holds it, by its own word: its conntrack entry's end is not its own. */
bool switches_hold(const struct daemon *d, const struct tuple *t);
/* A switch has counted packets of it, or may have. */
bool switches_carry(const struct daemon *d, const struct tuple *t);
/* The conntrack entry of a flow is gone. True: a switch holds the flow, which stays. */
bool switches_keep(struct daemon *d, struct flow *f);
/* For a teardown: all wishes are taken back; how many flows the attached switches still hold or are
 * to be told of; and offered anew. Linear. */
void switches_withdraw_all(struct daemon *d);
uint32_t switches_left(const struct daemon *d);
void switches_offer_again(struct daemon *d);
/* One places flows that were answered: it has to be heard when that is so. */
bool switches_want_updates(const struct daemon *d);
/* Its flows are offered as they are now; those that are dead with it end. Linear. */
void switches_binding_changed(struct daemon *d, const struct binding_change *c);

/* switch_drain.c: true while flows of these bindings are to be placed before the drain; `*ret_left`
 * are those left. False: no switch can take them now. Until the end they are placed like those of
 * draining bindings. Linear. */
bool switches_place_first(struct daemon *d, const uint8_t *ids, size_t n, uint32_t *ret_left);
void switches_place_first_end(struct daemon *d, const uint8_t *ids, size_t n);

/* switch_report.c: the method io.flowpin.Switches of control.sock. */
void switches_method(struct control_call *call, struct json_object *params, void *arg);
/* Adds ,"switches":[...] with a row for each switch that knows the flow. */
void switches_flow_text(const struct daemon *d, const struct flow *f, struct strbuf *b);
/* Of a flow whose nexthop only a switch reaches, or whose nexthop is not known. False: it is
 * another one. The nexthop goes into `nexthop` (NEXTHOP_TEXT bytes). */
bool switches_flow_words(const struct daemon *d, const struct flow *f, const char **ret_service,
			 const char **ret_state, char *nexthop);
typedef void switches_difference_fn(void *arg, const char *plane, const char *subject,
				    const char *text);
/* Differences between what each switch should hold and what it says; `unread` is called for those
 * that could not be read. */
void switches_verify(const struct daemon *d, switches_difference_fn *difference,
		     void (*unread)(void *arg, const char *plane), void *arg);

/* --- between the files of this job --- */

/* NULL: there is none. Borrowed until the next reload, as the next two. */
struct switch_state *switch_by_name(const struct daemon *d, const char *name);
/* By the zone of its mirror. */
struct switch_state *switch_by_zone(const struct daemon *d, uint16_t zone);
/* That mirrored it. */
struct switch_state *switch_of(const struct daemon *d, const struct flow *f);

/* switch_flows.c: offers each flow; those that it mirrored end whose nexthop is dead. Linear. */
void switch_offer_all(struct switch_state *s, uint64_t now_ms);
/* Found in the switch, and not known here: adopted, or left alone. */
void switch_adopt(struct switch_state *s, const struct tuple *t,
		  const struct placement_observation *o, uint64_t now_ms);
/* The binding of this service whose gateway has this address, NULL. Borrowed. */
const struct binding *switch_binding(const struct daemon *d, const char *service,
				     const struct ip_addr *gateway);

/* switch_life.c */
/* Refreshes what is alive in the switch, and ends what nobody sees packets of; once a second,
 * however often it is called. Linear. Waits for the kernel only. */
void switch_life(struct switch_state *s, uint64_t now_ms);

/* switch_nexthops.c: pointers are good until one is added. NULL: there is none. */
struct switch_nexthop *switch_nexthop_find(const struct switch_state *s,
					   const struct ip_addr *addr);
/* A route of this service names it. */
bool switch_nexthop_serves(const struct switch_nexthop *n, const char *service);
/* Finds or adds (alive, and named by no route). NULL: no room, no memory, or no address. */
struct switch_nexthop *switch_nexthop_add(struct switch_state *s, const struct ip_addr *addr);
/* Where this flow of the switch's mirror goes. NULL: not known. */
struct switch_nexthop *switch_nexthop_of(const struct switch_state *s, const struct flow *f);
/* One Health is read: begin, set each that it named, end. Those not named are named by no route,
 * and as alive as they were. End judges who is dead, and ends the flows there. */
void switch_nexthops_begin(struct switch_state *s);
void switch_nexthops_end(struct switch_state *s, uint64_t now_ms);
/* All of them; there are none then. */
void switch_nexthops_free(struct switch_state *s);

/* switch_server.c: those of daemon.sock; static. */
const struct control_method *switch_methods(void);
/* Its calls end with NotAttached and this sentence; it is not reachable then. */
void switch_detach(struct switch_state *s, const char *why);
/* What is due on Desired and Ask. Nothing before d->ready. */
void switch_tell(struct switch_state *s, uint64_t now_ms);
/* `closed` of struct control_options. */
void switch_connection_closed(uint64_t connection, void *arg);

/* switch_params.c */
/* 0, with zone 0, or -EINVAL. */
int switch_tuple_parse(struct json_object *o, struct tuple *ret_tuple);
/* Adds it as JSON, without its zone. */
void switch_tuple_text(const struct tuple *t, struct strbuf *b);
/* A member of this type, borrowed from o, or NULL. */
struct json_object *switch_param(struct json_object *o, const char *key, enum json_type type);
/* A whole number; `otherwise` where there is none. */
int64_t switch_param_int(struct json_object *o, const char *key, int64_t otherwise);

/* switch_heavy.c: begins a dump of conntrack's counters for the switches whose heavy-interval has
 * passed, unless a dump runs; the loop goes on with it. Without memory the interval is skipped. */
void switch_heavy_tick(struct switches *w, uint64_t now_ms);
/* Throws a dump away that is under way. */
void switch_heavy_cancel(struct switches *w);
/* A switch places the largest flows. */
bool switch_heavy_wanted(const struct daemon *d);
