/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/service.h"
#include "netlink/tuple.h"

/* `table inet flowpin`: what should be in it (a model), what is in it (read from the kernel), and
 * the difference, written as few transactions as the kernel's limits allow. Owns its own netlink
 * sockets. The layout is explained in nft/flowpin.nft and README. */

struct ruleset_binding {
	uint8_t id;
	uint16_t service;	/* index in the model's services */
	struct ip_addr gateway; /* family 0: on-link */
	uint32_t ifindex;
	char label[NEXTHOP_TEXT]; /* "10.1.0.2%eth1": chain comment is "<service> <label>", and
				     adoption reads it back */
	bool learn_by_nexthop;	  /* has an element in nexthop4_/nexthop6_<service> */
	bool learn_by_link;	  /* has an element in link_<service> */
	bool carry;		  /* has an element in `marks` */
	bool fresh;		  /* has an element in `fresh` */
};

struct ruleset_connected {
	uint32_t ifindex;
	struct ip_prefix prefix;
};

struct ruleset_model {
	const struct service_set *services;
	const struct ruleset_binding *bindings;
	size_t n_bindings;
	/* Connected prefixes of the interfaces with a learn_by_link binding. */
	const struct ruleset_connected *connected;
	size_t n_connected;
	uint32_t mark_mask;
	uint32_t table_base; /* kept in the table's userdata with mark_mask and rule_priority */
	uint32_t rule_priority;
	uint32_t max_pins;
};

struct ruleset_options {
	bool no_owner; /* as if the kernel had no OWNER and PERSIST flags (tests) */
};

struct ruleset;

/* Opens the sockets and probes the kernel (OWNER and PERSIST). Nothing is written. `options` may be
 * NULL and is not kept. -ENOMEM; -EPERM, -ENOBUFS: nf_tables cannot be written; as of nl_open() and
 * nl_join(); with a sentence. Waits for the kernel's work only. */
int ruleset_new(const struct ruleset_options *options, struct ruleset **ret_ruleset,
		struct err *e) _must_check_;
struct ruleset *ruleset_free(struct ruleset *r);
DEFINE_FREEP(struct ruleset, ruleset_free)

/* A binding found in the kernel: its id, and the service and label of its chain's comment. */
struct ruleset_found {
	uint8_t id;
	char service[SERVICE_NAME_MAX];
	char label[NEXTHOP_TEXT];
};

/* Reads the table back without its pins, becoming its owner where that is possible. *ret_present
 * tells whether it was there; *ret_found (the caller frees it) lists the bindings that its chains
 * name. -EEXIST: it was made with other numbers (mark mask, table base, rule priority) or by
 * somebody else; -EPROTO: with a newer layout; -EPERM: another process owns it; each with the
 * sentence that tells what to do. -EINTR: it changed during each reading; -EBADMSG, -ENOMEM, the
 * kernel's errno. Waits for the kernel's work only. */
int ruleset_read(struct ruleset *r, const struct ruleset_model *numbers, bool *ret_present,
		 struct ruleset_found **ret_found, size_t *ret_n, struct err *e) _must_check_;

/* Writes the difference between what was read (or written last) and the model. Without a table:
 * tables, maps and chains first, then `refill` (may be NULL) is called for pins that must be back
 * before any packet passes (a full map ends that and is no error), base chains last. An existing
 * table is changed without a packet seeing a state between. *ret_changes: objects written; 0 when
 * the kernel held all of it. Errno of the kernel with its extended ACK text; -EINVAL: no mark mask;
 * as of service_set_compile(), and of ruleset_read() where it reads first. After a failure the next
 * call reads the table again first. Waits for the kernel's work only. */
struct ruleset_pin {
	struct tuple tuple;
	uint8_t binding;
	uint32_t timeout_s;
};
typedef bool (*ruleset_refill_fn)(struct ruleset_pin *ret_pin, void *arg); /* false at the end */
int ruleset_sync(struct ruleset *r, const struct ruleset_model *m, ruleset_refill_fn refill,
		 void *arg, size_t *ret_changes, struct err *e) _must_check_;

/* Forgets what was read: the next ruleset_sync() reads first. For when a notification says that
 * somebody else wrote. */
void ruleset_invalidate(struct ruleset *r);

/* Lists what differs between the kernel and the model without writing: one sentence each (borrowed
 * for the call). For `flowpin verify`. 0 also with differences; that the table is one which
 * ruleset_read() refuses is the only one then. Errors as of ruleset_sync(). Waits for the kernel's
 * work only. */
typedef void (*ruleset_difference_fn)(const char *sentence, void *arg);
int ruleset_verify(struct ruleset *r, const struct ruleset_model *m, ruleset_difference_fn fn,
		   void *arg, struct err *e) _must_check_;

/* Deletes the table. 0 also when there is none; -EPERM: another process owns it; -ENOMEM, the
 * kernel's errno; with a sentence. Waits for the kernel's work only. */
int ruleset_remove(struct ruleset *r, struct err *e) _must_check_;

/* Readable when nf_tables changed; ruleset_monitor_read() drains it and tells whether somebody else
 * touched our table (deleted it, flushed it, changed anything in it): our own writes are told apart
 * by their port id. -ENOBUFS counts as touched. Another errno of nl_receive(): *ret_foreign is
 * untouched, and what was read is lost. Never waits. */
int ruleset_monitor_fd(const struct ruleset *r);
int ruleset_monitor_read(struct ruleset *r, bool *ret_foreign);

/* Whether the table has the OWNER flag. */
bool ruleset_owned(const struct ruleset *r);

/* Asks for single pins, many a call: ret_bindings[i] is the id of tuple i's pin, 0 when there is
 * none, or no table. The first errno of the kernel, or -ENOMEM, with a sentence: ret_bindings is
 * not complete then. Waits for the kernel's work only. */
int ruleset_pins_get(struct ruleset *r, const struct tuple *tuples, size_t n, uint8_t *ret_bindings,
		     struct err *e) _must_check_;
/* Deletes and adds pins, transactions of at most 1,000 operations; one that is gone is fine, one
 * that stands is replaced. Tuples of a zone, of protocols without ports and bindings of 0 are
 * passed over. -ENFILE: the map is full (what went before stays); -EINVAL: added before
 * ruleset_read() or ruleset_sync(); -ENOMEM, the kernel's errno; with a sentence. Wait for the
 * kernel's work only. */
int ruleset_pins_delete(struct ruleset *r, const struct tuple *tuples, size_t n,
			struct err *e) _must_check_;
int ruleset_pins_add(struct ruleset *r, const struct ruleset_pin *pins, size_t n,
		     struct err *e) _must_check_;

/* Walks both pin maps in steps, for adoption at start: begin, then step until it returns 0. Step
 * returns 1 for more, calls fn for each pin, reads at most `max_datagrams`, waits for nothing but
 * the kernel. A map that packets write to meanwhile is never walked exactly: a pin may come twice
 * or be missed. -EBUSY from begin while one runs; errno of sendto(2), and of nl_dump_step(): it is
 * over. A table that is gone has no pins. */
typedef void (*ruleset_pin_fn)(const struct tuple *t, uint8_t binding, void *arg);
int ruleset_pins_dump_begin(struct ruleset *r) _must_check_;
int ruleset_pins_dump_step(struct ruleset *r, unsigned max_datagrams, ruleset_pin_fn fn, void *arg);
int ruleset_pins_dump_fd(const struct ruleset *r);

/* Counters of the binding chains and of lost pins (map full). A chain whose rules change (another
 * timeout) counts from 0 again. */
struct ruleset_counters {
	struct {
		uint64_t first_packets, later_packets, later_bytes;
	} binding[256];
	uint64_t lost_pins;
};
/* Just the lost pins: one object, whatever the number of bindings. Both: without the table all is
 * 0. The kernel's errno or -EBADMSG, with a sentence. Wait for the kernel's work only. */
int ruleset_lost_pins_read(struct ruleset *r, uint64_t *ret_lost, struct err *e) _must_check_;
int ruleset_counters_read(struct ruleset *r, struct ruleset_counters *ret_counters,
			  struct err *e) _must_check_;
