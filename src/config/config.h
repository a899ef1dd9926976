/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>
#include "base/err.h"
#include "config/switch_config.h"
#include "core/service.h"

#define CONFIG_FILE_MAX	    (1024 * 1024) /* bytes */
#define CONFIG_INSTANCE_MAX 12 /* with its NUL; so that names of flows stay within 64 characters   \
				*/
#define CONFIG_PREFIX_MAX (CONFIG_INSTANCE_MAX + 4)

/* The configuration of flowpind, as read: immutable after config_load(). */
struct config {
	struct service_set services;
	struct {
		uint32_t probe_interval_ms; /* 1000; 200 .. 60000 */
		uint32_t dead_after;	    /* 3 unanswered solicitations; 1 .. 100 */
		uint32_t outage_window_ms;  /* 5000 */
		uint32_t outage_hold_ms;    /* 30000 */
		uint32_t carrier_hold_ms;   /* 1000 */
	} liveness;
	struct {
		uint32_t max_flows;	 /* 1000000 */
		uint32_t max_pins;	 /* 1000000 */
		uint32_t receive_buffer; /* bytes, 64 MiB: of the conntrack event socket */
		uint32_t max_flows_per_source; /* 0: as many as there is room for */
		uint32_t source_share; /* per cent of a switch that a source network keeps when
					  others wait: 25; 1 .. 100 */
		uint32_t source_prefix4, source_prefix6; /* 24, 56: what a source network is */
	} limits;
	struct {
		uint32_t mark_mask;	/* 0xff000000: 4 to 8 bits in a row */
		uint32_t table_base;	/* 17000 */
		uint32_t rule_priority; /* 10000; at most 20000 */
	} numbers;
	struct {
		char admin_group[33];	      /* "" : only uid 0 */
		uint32_t max_clients;	      /* 64 */
		uint32_t max_clients_per_uid; /* 16 */
	} control;
	char state_dir[256]; /* /var/lib/flowpin */
	/* "1": what tells the flows of this gateway in a switch from those of others. */
	char instance[CONFIG_INSTANCE_MAX];
	struct switch_config *switches;
	size_t n_switches;
};

/* The switch of that name, borrowed from c, or NULL. */
const struct switch_config *config_switch(const struct config *c, const char *name);
/* What the names of our flows in switches begin with: "fp-<instance>-", in buf (CONFIG_PREFIX_MAX
 * bytes), which is returned. */
const char *config_flow_prefix(const struct config *c, char *buf);

/* Reads and checks a configuration file. On failure *e holds "FILE:LINE: reason" (FILE alone where
 * no line can be told) and *ret_config is untouched. Opens the file itself, reads at most
 * CONFIG_FILE_MAX bytes, may block on the file only. -ENOENT, -EACCES or what else open(2) and
 * read(2) give, -EFBIG, -EINVAL (anything wrong in it), -ENOMEM. Not from two threads at once:
 * libconfuse's scanner has globals. */
int config_load(const char *path, struct config **ret_config, struct err *e) _must_check_;
/* The same from memory; `name` stands for the file in messages. */
int config_parse(const char *name, const char *text, size_t len, struct config **ret_config,
		 struct err *e) _must_check_;
struct config *config_free(struct config *c);
DEFINE_FREEP(struct config, config_free)
