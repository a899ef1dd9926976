/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <confuse.h>
#include "config/config.h"

/* What the files of the configuration share: text -> config_scan -> libconfuse with the schema ->
 * struct config. */

#define CONFIG_SERVICES_MAX 64
#define CONFIG_PREFIXES_MAX 256 /* per service */
#define CONFIG_RANGES_MAX   64	/* port ranges per service */

/* The setting that is put behind the text; it is found at the top level only when everything before
 * it was complete. */
#define CONFIG_SENTINEL "__eof"

/* One reading of one file. */
struct config_reader {
	const char *name; /* of the file, for messages */
	struct err *err;
	bool failed; /* *err is set: the first sentence stays */
	int last_line; /* the sentinel's */
	bool complete; /* the sentinel was found where it belongs */
	struct config *config;
	const cfg_t *section; /* the service or switch section being read */
	size_t cap_services, cap_prefixes, cap_ports, cap_ids, cap_switches;
	struct switch_mirror mirror; /* the mirror section being read */
	uint32_t id;		     /* of the nexthop section being read, 0 none yet */
	int id_lines[256];	     /* where each id was given, 0 nowhere */
};

/* -1 without a sentence: config_parse() takes that for a lack of memory. */
static inline int config_no_memory(void)
{
	return -1;
}

/* Sets "NAME:LINE: sentence" unless there is one already. Returns -1, for libconfuse. */
int config_fail(struct config_reader *rd, int line, const char *fmt, ...) _printf_(3, 4);

/* Refuses what libconfuse would take in a way nobody expects (environment variables, unclosed
 * sections and quotes, NUL bytes, escapes, stray characters), blanks out comments and adds the
 * sentinel. The caller frees *ret_clean. 0, or -1 with the sentence in *rd, or without one for lack
 * of memory. */
int config_scan(struct config_reader *rd, const char *text, size_t len, char **ret_clean);

/* Makes the parser for the schema, which borrows rd; the caller frees it by cfg_free(). NULL for
 * lack of memory. */
cfg_t *config_schema_new(struct config_reader *rd);

/* config_service.c: what stands in a service. Each takes one setting's text, or (close) checks and
 * completes the section that just ended. They return 0, or -1 with the sentence in *rd, or without
 * one for lack of memory; so do those of the other files. */
struct config_option;
int config_set_prefix(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value);
int config_set_protocol(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value);
int config_set_port(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		    const char *value);
int config_set_timeout(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_set_withdraw(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value);
int config_set_id(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		  const char *value);
int config_close_service(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt);
int config_close_nexthop(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt);

/* config_switch.c: what stands in a switch and its mirror; o->offset is within struct switch_config
 * or switch_mirror. */
int config_switch_duration(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			   const char *value);
int config_switch_size(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_switch_bool(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_switch_text(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_switch_name(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_switch_lines(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value);
int config_switch_word(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_switch_addr(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_switch_key(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value);
int config_switch_zone(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value);
int config_switch_protocol(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			   const char *value);
int config_switch_payload(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			  const char *value);
int config_switch_url(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value);
int config_set_instance(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value);
int config_close_mirror(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt);
int config_close_switch(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt);

/* config_value.c: single values. They are written at o->offset of struct config. */
int config_set_duration(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value);
int config_set_size(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		    const char *value);
int config_set_number(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value);
int config_set_mask(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		    const char *value);
int config_set_group(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		     const char *value);
int config_set_directory(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			 const char *value);
/* Reads a size within o->min .. o->max. 0, or -1 with the sentence. */
int config_read_size(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		     const char *value, uint32_t *ret_size);
/* Reads a duration within o->min .. o->max milliseconds. 0, or -1 with the sentence. */
int config_read_duration(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			 const char *value, uint32_t *ret_ms);

/* One setting of the schema. */
struct config_option {
	const char *section; /* libconfuse calls the top level "root" */
	const char *name;
	int (*set)(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		   const char *value);
	size_t offset;
	uint32_t min, max;
	bool list;
};
