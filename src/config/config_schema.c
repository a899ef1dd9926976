// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/config_internal.h"

#include <stddef.h>
#include <string.h>
#include "base/strbuf.h"

static int set_sentinel(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value);

#define AT(member)	   .offset = offsetof(struct config, member)
#define SERVICE_AT(member) .offset = offsetof(struct service, member)
#define SWITCH_AT(member)  .offset = offsetof(struct switch_config, member)
#define SWITCH_TEXT_AT(member)                                                                     \
	SWITCH_AT(member), .max = sizeof(((struct switch_config *)0)->member) - 1
#define MIRROR_AT(member) .offset = offsetof(struct switch_mirror, member)
#define DAY_MS		  86400000u

/* Every setting there is. Times are in milliseconds here. */
static const struct config_option options[] = {
	{ "root", CONFIG_SENTINEL, set_sentinel, .list = false },
	{ "root", "state-dir", config_set_directory, AT(state_dir), .max = 255 },
	{ "root", "instance", config_set_instance, .list = false },
	{ "service", "prefix", config_set_prefix, .list = true },
	{ "service", "protocol", config_set_protocol, .list = true },
	{ "service", "port", config_set_port, .list = true },
	{ "service", "idle-timeout", config_set_timeout, SERVICE_AT(idle_timeout_s), 1000,
	  7 * DAY_MS },
	{ "service", "syn-timeout", config_set_timeout, SERVICE_AT(syn_timeout_s), 1000, 600000 },
	{ "service", "on-withdraw", config_set_withdraw, .list = false },
	{ "service", "drain-timeout", config_set_timeout, SERVICE_AT(drain_timeout_s), 1000,
	  7 * DAY_MS },
	{ "nexthop", "id", config_set_id, .min = 1, .max = 255 },
	{ "liveness", "probe-interval", config_set_duration, AT(liveness.probe_interval_ms), 200,
	  60000 },
	{ "liveness", "dead-after", config_set_number, AT(liveness.dead_after), 1, 100 },
	{ "liveness", "outage-window", config_set_duration, AT(liveness.outage_window_ms), 100,
	  600000 },
	{ "liveness", "outage-hold", config_set_duration, AT(liveness.outage_hold_ms), 0, DAY_MS },
	{ "liveness", "carrier-hold", config_set_duration, AT(liveness.carrier_hold_ms), 0,
	  600000 },
	{ "limits", "max-flows", config_set_size, AT(limits.max_flows), 1, 1u << 27 },
	{ "limits", "max-pins", config_set_size, AT(limits.max_pins), 1, 1u << 27 },
	{ "limits", "receive-buffer", config_set_size, AT(limits.receive_buffer), 4096, 1u << 30 },
	{ "limits", "max-flows-per-source", config_set_size, AT(limits.max_flows_per_source), 0,
	  1u << 27 },
	{ "limits", "source-share", config_set_number, AT(limits.source_share), 1, 100 },
	{ "limits", "source-prefix-ipv4", config_set_number, AT(limits.source_prefix4), 8, 32 },
	{ "limits", "source-prefix-ipv6", config_set_number, AT(limits.source_prefix6), 16, 64 },
	{ "numbers", "mark-mask", config_set_mask, AT(numbers.mark_mask) },
	/* Tables 253 to 255 are the kernel's; table-base .. table-base + 511 are ours. */
	{ "numbers", "table-base", config_set_number, AT(numbers.table_base), 256,
	  UINT32_MAX - 511 },
	{ "numbers", "rule-priority", config_set_number, AT(numbers.rule_priority), 1, 20000 },
	{ "control", "admin-group", config_set_group, AT(control.admin_group), .max = 32 },
	{ "control", "max-clients", config_set_number, AT(control.max_clients), 1, 1024 },
	{ "control", "max-clients-per-uid", config_set_number, AT(control.max_clients_per_uid), 1,
	  1024 },
	{ "switch", "eapi", config_switch_url, SWITCH_TEXT_AT(url) },
	{ "switch", "username", config_switch_text, SWITCH_TEXT_AT(username) },
	{ "switch", "password-file", config_switch_text, SWITCH_TEXT_AT(password_file), .min = 1 },
	{ "switch", "enable-password-file", config_switch_text,
	  SWITCH_TEXT_AT(enable_password_file), .min = 1 },
	{ "switch", "ca-file", config_switch_text, SWITCH_TEXT_AT(ca_file), .min = 1 },
	{ "switch", "tls-pin", config_switch_text, SWITCH_TEXT_AT(tls_pin), .min = 1 },
	{ "switch", "allow-http", config_switch_bool, SWITCH_AT(allow_http) },
	{ "switch", "auth", config_switch_word, SWITCH_AT(auth) },
	{ "switch", "api-version", config_switch_text, SWITCH_TEXT_AT(api_version), .min = 1 },
	{ "switch", "api-timestamps", config_switch_bool, SWITCH_AT(api_timestamps) },
	{ "switch", "connect-timeout", config_switch_duration, SWITCH_AT(connect_timeout_ms), 100,
	  60000 },
	{ "switch", "request-timeout", config_switch_duration, SWITCH_AT(request_timeout_ms), 200,
	  600000 },
	{ "switch", "login-retry", config_switch_duration, SWITCH_AT(login_retry_ms), 1000,
	  3600000 },
	{ "switch", "answer-max", config_switch_size, SWITCH_AT(answer_max), 65536, 64u << 20 },
	{ "switch", "place", config_switch_word, SWITCH_AT(place) },
	{ "switch", "group", config_switch_name, SWITCH_TEXT_AT(group) },
	{ "switch", "max-flows", config_switch_size, SWITCH_AT(max_flows), 1, 100000 },
	{ "switch", "reserve", config_switch_size, SWITCH_AT(reserve), 0, 100000 },
	{ "switch", "min-age", config_switch_duration, SWITCH_AT(min_age_ms), 0, DAY_MS },
	{ "switch", "heavy-interval", config_switch_duration, SWITCH_AT(heavy_interval_ms), 1000,
	  3600000 },
	{ "switch", "idle-timeout", config_switch_duration, SWITCH_AT(idle_timeout_ms), 1000,
	  7 * DAY_MS },
	{ "switch", "poll-interval", config_switch_duration, SWITCH_AT(poll_interval_ms), 200,
	  600000 },
	{ "switch", "dry-run", config_switch_bool, SWITCH_AT(dry_run) },
	{ "switch", "expiry", config_switch_word, SWITCH_AT(expiry) },
	{ "switch", "action-ipv4", config_switch_word, SWITCH_AT(action4) },
	{ "switch", "action-ipv6", config_switch_word, SWITCH_AT(action6) },
	{ "switch", "nexthop-commands", config_switch_lines, SWITCH_AT(nexthop_lines),
	  .list = true },
	{ "switch", "l2-commands", config_switch_lines, SWITCH_AT(l2_lines), .list = true },
	{ "switch", "priority", config_switch_size, SWITCH_AT(priority), 0, 65535 },
	{ "switch", "match-ingress", config_switch_bool, SWITCH_AT(match_ingress) },
	{ "switch", "no-shutdown", config_switch_bool, SWITCH_AT(no_shutdown) },
	{ "switch", "configure-command", config_switch_text, SWITCH_TEXT_AT(configure_command),
	  .min = 1 },
	{ "switch", "batch-flows", config_switch_size, SWITCH_AT(batch_flows), 1, 1000 },
	{ "switch", "batch-commands", config_switch_size, SWITCH_AT(batch_commands), 20, 10000 },
	{ "switch", "pace-commands", config_switch_size, SWITCH_AT(pace_commands), 0, 1000000 },
	{ "switch", "attempts", config_switch_size, SWITCH_AT(attempts), 1, 1000 },
	{ "switch", "room-retry", config_switch_duration, SWITCH_AT(room_retry_ms), 1000, 600000 },
	{ "switch", "status-source", config_switch_word, SWITCH_AT(status) },
	{ "switch", "status-programmed", config_switch_lines, SWITCH_AT(status_programmed),
	  .list = true },
	{ "switch", "status-pending", config_switch_lines, SWITCH_AT(status_pending),
	  .list = true },
	{ "switch", "status-rejected", config_switch_lines, SWITCH_AT(status_rejected),
	  .list = true },
	{ "switch", "status-inactive", config_switch_lines, SWITCH_AT(status_inactive),
	  .list = true },
	{ "switch", "tcam-command", config_switch_text, SWITCH_TEXT_AT(tcam_command) },
	{ "switch", "capacity", config_switch_size, SWITCH_AT(capacity), 0, 1000000 },
	{ "switch", "ipv6-entries", config_switch_size, SWITCH_AT(ipv6_entries), 1, 8 },
	{ "switch", "text-interval", config_switch_duration, SWITCH_AT(text_interval_ms), 200,
	  3600000 },
	{ "switch", "tcam-interval", config_switch_duration, SWITCH_AT(tcam_interval_ms), 200,
	  3600000 },
	{ "switch", "lookup", config_switch_bool, SWITCH_AT(lookup) },
	{ "switch", "ingress-interface", config_switch_text, SWITCH_TEXT_AT(ingress_interface),
	  .min = 1 },
	{ "switch", "vrf", config_switch_text, SWITCH_TEXT_AT(vrf), .min = 1 },
	{ "switch", "lookup-prefix", config_switch_lines, SWITCH_AT(lookup_prefix), .list = true },
	{ "switch", "lookup-ipv4", config_switch_text, SWITCH_TEXT_AT(lookup4), .min = 1 },
	{ "switch", "lookup-ipv6", config_switch_text, SWITCH_TEXT_AT(lookup6), .min = 1 },
	{ "switch", "lookup-key", config_switch_text, SWITCH_TEXT_AT(lookup_key), .min = 1 },
	{ "switch", "lookup-failure", config_switch_text, SWITCH_TEXT_AT(lookup_failure),
	  .min = 1 },
	{ "switch", "lookup-batch", config_switch_size, SWITCH_AT(lookup_batch), 1, 500 },
	{ "mirror", "source", config_switch_addr, MIRROR_AT(source) },
	{ "mirror", "destination", config_switch_addr, MIRROR_AT(destination) },
	{ "mirror", "interface", config_switch_text, MIRROR_AT(ifname), 1, 15 },
	{ "mirror", "key", config_switch_key, .list = false },
	{ "mirror", "protocol", config_switch_protocol, .list = false },
	{ "mirror", "payload", config_switch_payload, .list = false },
	{ "mirror", "zone", config_switch_zone, .list = false },
	{ "mirror", "max-flows", config_switch_size, MIRROR_AT(max_flows), 1, 10000000 },
	{ "mirror", "max-flows-per-source", config_switch_size, MIRROR_AT(max_flows_per_source), 1,
	  10000000 },
};

static int close_once(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt);

static const struct section {
	const char *name, *parent;
	cfg_flag_t flags;
	int (*close)(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt);
} sections[] = {
	/* An inner section stands before the one that it is in. */
	{ "nexthop", "service", CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES,
	  config_close_nexthop },
	{ "service", "root", CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES, config_close_service },
	{ "mirror", "switch", CFGF_NONE, config_close_mirror },
	{ "switch", "root", CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES, config_close_switch },
	{ "liveness", "root", CFGF_NONE, close_once },
	{ "limits", "root", CFGF_NONE, close_once },
	{ "numbers", "root", CFGF_NONE, close_once },
	{ "control", "root", CFGF_NONE, close_once },
};

/* Our own bit among the flags of an option of libconfuse: it was given already. */
#define SEEN (1 << 24)

/* libconfuse hands nothing of ours to its callbacks. So the first option of each section is a
 * function that nobody can call (parentheses are refused by config_scan), and its user pointer
 * leads to the reader. */
#define READER "__reader"

static int reader_call(cfg_t *cfg _unused_, cfg_opt_t *opt _unused_, int argc _unused_,
		       const char **argv _unused_)
{
	return -1;
}

static struct config_reader *reader_of(const cfg_t *cfg)
{
	return (void *)cfg->opts[0].simple_value.ptr;
}

static int unknown(cfg_t *cfg, const char *word)
{
	struct config_reader *rd = reader_of(cfg);
	struct strbuf allowed = { 0 };

	for (size_t i = 0; cfg->opts[i].name; i++)
		if (strncmp(cfg->opts[i].name, "__", 2) != 0)
			strbuf_addf(&allowed, "%s%s", allowed.len ? ", " : "", cfg->opts[i].name);
	if (strcmp(cfg->name, "root") == 0)
		config_fail(rd, cfg->line, "'%.60s' is not known here (there are: %s)", word,
			    allowed.failed ? "" : allowed.data);
	else
		config_fail(rd, cfg->line, "'%.60s' is not known in section '%s' (there are: %s)",
			    word, cfg->name, allowed.failed ? "" : allowed.data);
	strbuf_free(&allowed);
	return -1;
}

static int set_sentinel(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value _unused_)
{
	if (cfg->line != rd->last_line)
		return unknown(cfg, o->name);
	rd->complete = true;
	return 0;
}

static int set_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *ret_string)
{
	struct config_reader *rd = reader_of(cfg);

	/* A first value: libconfuse would quietly forget those of an earlier assignment. */
	if (opt->nvalues == 1 && (opt->flags & SEEN))
		return config_fail(rd, cfg->line, "'%s' is given twice", opt->name);
	opt->flags |= SEEN;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (strcmp(options[i].section, cfg->name) != 0 ||
		    strcmp(options[i].name, opt->name) != 0)
			continue;
		*(const char **)ret_string = value;
		return options[i].set(rd, cfg, &options[i], value);
	}
	return unknown(cfg, opt->name);
}

static int close_once(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt)
{
	if (opt->flags & SEEN)
		return config_fail(rd, cfg->line, "section '%s' is there twice", opt->name);
	opt->flags |= SEEN;
	return 0;
}

static int close_section(cfg_t *cfg, cfg_opt_t *opt)
{
	struct config_reader *rd = reader_of(cfg);
	const cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	/* "port = {}" says nothing, so it is not taken for the default. */
	for (size_t i = 0; section->opts[i].name; i++) {
		const cfg_opt_t *o = &section->opts[i];

		if (o->type == CFGT_STR && (o->flags & CFGF_MODIFIED) && o->nvalues == 0)
			return config_fail(rd, cfg->line, "%s: the list is empty", o->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (strcmp(sections[i].name, opt->name) == 0)
			return sections[i].close(rd, cfg, opt);
	return -1;
}

static const struct sentence {
	const char *theirs; /* libconfuse's format; each has one word at most */
	const char *before, *after;
} sentences[] = {
	{ "unexpected token '%s'", "'", "' is not expected here" },
	{ "missing equal sign after option '%s'", "'", "' must be followed by '=' and a value" },
	{ "missing opening brace for section '%s'", "section '", "' must go on with '{'" },
	{ "missing title for section '%s'", "'", "' must be followed by its name" },
	{ "found duplicate title '%s'", "'", "' is there twice" },
};

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct config_reader *rd = reader_of(cfg);
	char text[256];

	if (strcmp(fmt, "no such option '%s'") == 0 ||
	    strcmp(fmt, "missing parenthesis for function '%s'") == 0) {
		unknown(cfg, va_arg(ap, const char *));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sentences); i++) {
		if (strcmp(sentences[i].theirs, fmt) == 0) {
			config_fail(rd, cfg->line, "%s%.60s%s", sentences[i].before,
				    va_arg(ap, const char *), sentences[i].after);
			return;
		}
	}
	vsnprintf(text, sizeof(text), fmt, ap);
	config_fail(rd, cfg->line, "%s", text);
}

/* Writes the options of one section behind its reader; `ready` holds those of inner sections. */
static void fill(cfg_opt_t *opts, const char *section, struct config_reader *rd,
		 cfg_opt_t ready[][ARRAY_SIZE(options)])
{
	size_t n = 0;

	opts[n] = (cfg_opt_t)CFG_FUNC(READER, reader_call);
	opts[n++].simple_value.ptr = (void *)rd;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		cfg_flag_t flags = CFGF_NODEFAULT | (options[i].list ? CFGF_LIST : CFGF_NONE);

		if (strcmp(options[i].section, section) != 0)
			continue;
		opts[n] = (cfg_opt_t)CFG_STR(options[i].name, NULL, flags);
		opts[n++].parsecb = set_value;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		if (strcmp(sections[i].parent, section) != 0)
			continue;
		opts[n] = (cfg_opt_t)CFG_SEC(sections[i].name, ready[i], sections[i].flags);
		opts[n++].validcb = close_section;
	}
	opts[n] = (cfg_opt_t)CFG_END();
}

cfg_t *config_schema_new(struct config_reader *rd)
{
	cfg_opt_t opts[ARRAY_SIZE(sections)][ARRAY_SIZE(options)], root[ARRAY_SIZE(options)];
	cfg_t *cfg;

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		fill(opts[i], sections[i].name, rd, opts);
	fill(root, "root", rd, opts);
	cfg = cfg_init(root, CFGF_NONE);
	if (cfg)
		cfg_set_error_function(cfg, on_error);
	return cfg;
}
