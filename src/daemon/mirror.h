/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/strbuf.h"
#include "daemon/daemon.h"
#include "flowpin/mirror.h"
#include "netlink/ct.h"

/* Flows that a switch's mirror shows: records from flowpin-mirror become entries of conntrack in
 * the switch's zone and flows of the flow table. Their life is kept here. */

struct switch_state;

/* Why a record made no flow. */
enum mirror_refusal {
	MIRROR_REFUSED_SERVICE,	  /* outside the services */
	MIRROR_REFUSED_LIMIT,	  /* mirror { max-flows } */
	MIRROR_REFUSED_SOURCE,	  /* mirror { max-flows-per-source } */
	MIRROR_REFUSED_TABLE,	  /* the flow table is full */
	MIRROR_REFUSED_END,	  /* the end of a flow that is not known */
	MIRROR_REFUSED_RECORD,	  /* not a record */
	MIRROR_REFUSED_CONNTRACK, /* the kernel refused the entry */
	MIRROR_REFUSED_COUNT,
};
/* As in Switches: "service", "max-flows", ... */
const char *mirror_refusal_name(enum mirror_refusal r);

enum mirror_state {
	MIRROR_ASKING, /* its nexthop is to be asked for */
	MIRROR_ASKED,
	MIRROR_KNOWN,
	MIRROR_UNCERTAIN, /* the switch could not tell: left alone */
};

struct mirror_slot {
	struct flow *flow; /* NULL: free */
	uint32_t source;   /* of source_share_take() */
	uint32_t next;	   /* of the free ones */
	uint32_t seen_s, fin_s, touched_s;
	uint32_t idle_s;
	uint64_t packet_ms; /* when the packet came whose way is asked for; 0 nobody knows */
	uint8_t state;	    /* enum mirror_state */
	uint8_t tries;	    /* questions that the switch could not be asked */
	bool again;	    /* uncertain only since then */
	char why[64];	    /* uncertain */
};

struct mirror {
	struct switch_state *sw;
	struct mirror_slot *slots;
	uint32_t n_slots, first_free, used;
	uint32_t asking, asked, uncertain; /* slots in that state */
	uint32_t cursor;		   /* of asking */
	bool again;			   /* there may be flows to be asked for again */
	struct source_share *sources;	   /* so that one flood does not take all the room */

	uint64_t records, learned, ended, reused;
	uint64_t uncertain_total;
	uint64_t refused[MIRROR_REFUSED_COUNT];
	struct mirror_counters counters; /* flowpin-mirror's own */
	uint64_t counters_ms;		 /* 0: none came */
};

/* mirror_flows.c: room for mirror { max-flows }; s is borrowed. -ENOMEM. */
int mirror_new(struct switch_state *s, struct mirror **ret_mirror);
/* Its flows are ended before. */
struct mirror *mirror_free(struct mirror *m);
/* Ends all of its flows; `why` as in flows_end(). Linear. */
void mirror_end_all(struct mirror *m, const char *why);
/* A record whose packet came at now_ms. Refusals are counted. */
void mirror_record(struct mirror *m, const struct mirror_record *r, uint64_t now_ms);
/* An adopted flow. Its nexthop is known. NULL: no room. */
struct flow *mirror_adopt(struct mirror *m, const struct tuple *t, const char *service,
			  uint16_t nexthop, uint64_t now_ms);
/* The flow goes: its slot, its conntrack entry and its pin. Called by switches_flow_end(). */
void mirror_flow_gone(struct mirror *m, struct flow *f);
/* NULL: no flow of this mirror. */
struct mirror_slot *mirror_slot_of(const struct mirror *m, const struct flow *f);
/* A counter in a switch moved. */
void mirror_alive(struct mirror *m, struct flow *f, uint64_t now_ms);
/* Its nexthop is known, and gets no new flows: by the switch's routes, or by its binding. */
bool mirror_takes_no_new(const struct mirror *m, const struct flow *f);
/* After a reload: its flows take over the idle timeouts of their services. */
void mirror_services_changed(struct mirror *m);
/* Ends the flows that are over ("end"). Linear. */
void mirror_tick(struct mirror *m, uint64_t now_ms);
/* True: the entry is in a switch's zone, and nobody else's business. */
bool switches_conntrack(struct daemon *d, const struct ct_entry *entry, uint64_t now_ms);
/* The service of a tuple, NULL: none. Borrowed until the next reload. */
const struct service *mirror_service(const struct daemon *d, const struct tuple *t);

/* mirror_ask.c: which nexthop the switch chose: to be asked for. */
void mirror_resolve(struct mirror *m, struct flow *f);
/* The switch is reached: what could not be asked is to be asked again. */
void mirror_ask_again(struct mirror *m);
/* The next question into *b as JSON. False: there is none, or one is open. */
bool mirror_question(struct mirror *m, uint64_t now_ms, struct strbuf *b);
/* Nobody will answer it: asked again. */
void mirror_question_drop(struct switch_state *s);
/* -ENOENT: no such question; -EINVAL: it was not asked for, or is answered. One that came too late
 * is passed over. again: without a nexthop, since the switch could not be asked. */
int mirror_answer(struct mirror *m, uint64_t number, const struct tuple *t,
		  const struct ip_addr *nexthop, const char *why, bool again, uint64_t now_ms);
/* Its nexthop (place in the switch's list, from 1) is known: entry and pin are written, and it is
 * offered. */
void mirror_known(struct mirror *m, struct flow *f, uint16_t nexthop, uint64_t now_ms);

/* mirror_entries.c: what is written into conntrack and the pin map for them, in batches: 5 ms
 * later, or at 1,000 at once, which waits for the kernel. What finds no memory is lost. */
enum entry_write { ENTRY_CREATE, ENTRY_TOUCH, ENTRY_DELETE };
/* NULL without memory. Borrows d. */
struct entry_writes *entry_writes_new(struct daemon *d);
struct entry_writes *entry_writes_free(struct entry_writes *w);
/* There must be a switch. `mark` in host order, within the mark mask; both are for ENTRY_CREATE,
 * the timeout for ENTRY_TOUCH too. */
void entry_write(struct daemon *d, enum entry_write kind, const struct tuple *t, uint32_t mark,
		 uint32_t timeout_s);
/* Binding 0: deleted. */
void pin_write(struct daemon *d, const struct tuple *t, uint8_t binding, uint32_t timeout_s);
/* Writes them now; failures are logged. Waits for the kernel only. */
void entry_writes_flush(struct daemon *d);

/* mirror_socket.c */
struct mirror_socket;
/* Binds mirror.sock (path is copied), in place of a socket that stands there; nobody is let in yet.
 * -ENOMEM, -ENAMETOOLONG; -EEXIST: what stands there is no socket; errno of socket(2), bind(2) or
 * listen(2); with a sentence. Blocks on the group database. */
int mirror_socket_new(struct daemon *d, const char *path, struct mirror_socket **ret_socket,
		      struct err *e);
/* Lets flowpin-mirror in: once flowpind knows what is known already. */
void mirror_socket_listen(struct mirror_socket *s);
/* Closes all connections and removes the socket. NULL is fine. */
struct mirror_socket *mirror_socket_free(struct mirror_socket *s);
