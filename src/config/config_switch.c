// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/parse.h"
#include "base/vec.h"

/* One answer holds the whole table, other users' flows included; a flow takes about 800 bytes. */
#define ANSWER_MIN	4194304
#define ANSWER_MAX	67108864
#define ANSWER_PER_FLOW 2048

static const struct switch_config defaults = {
	.auth = SWITCH_AUTH_BASIC,
	.api_version = "1",
	.connect_timeout_ms = 5000,
	.request_timeout_ms = 30000,
	.login_retry_ms = 60000,
	.max_flows = 1000,
	.min_age_ms = 5000,
	.heavy_interval_ms = 30000,
	.idle_timeout_ms = 300000,
	.poll_interval_ms = 5000,
	.expiry = SWITCH_EXPIRY_SWITCH,
	.action4 = SWITCH_ACTION_NEXTHOP,
	.action6 = SWITCH_ACTION_L2,
	.nexthop_lines = { .n = 1, .line = { "action output nexthop {nexthop}" } },
	.l2_lines = { .n = 3,
		      .line = { "action set destination mac {mac}", "action set vlan {vlan}",
				"action output interface {interface}" } },
	.priority = 100,
	.no_shutdown = true,
	.configure_command = "configure",
	.batch_flows = 20,
	.batch_commands = 500,
	.attempts = 3,
	.room_retry_ms = 15000,
	.status = SWITCH_STATUS_BOTH,
	/* Looked for in this order: inactive, rejected, pending, programmed. */
	.status_inactive = { .n = 1, .line = { "not programmed" } },
	.status_rejected = { .n = 3, .line = { "rejected", "insufficient", "resource" } },
	.status_pending = { .n = 2, .line = { "waiting", "pending" } },
	.status_programmed = { .n = 1, .line = { "programmed" } },
	.tcam_command = "show platform trident tcam",
	.ipv6_entries = 2,
	.text_interval_ms = 60000,
	.tcam_interval_ms = 60000,
	.lookup = true,
	.vrf = "default",
	.lookup_prefix = { .n = 1, .line = { "enable" } },
	.lookup4 = "show load-balance destination ip ingress-interface {ingress} src-ipv4-address "
		   "{src} "
		   "dst-ipv4-address {dst} ip-protocol {proto} src-l4-port {sport} dst-l4-port "
		   "{dport}",
	.lookup6 = "show load-balance destination ip ingress-interface {ingress} src-ipv6-address "
		   "{src} "
		   "dst-ipv6-address {dst} ip-protocol {proto} src-l4-port {sport} dst-l4-port "
		   "{dport}",
	.lookup_key = "outputIntf",
	.lookup_failure = "unable",
	.lookup_batch = 50,
};

static bool name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= SWITCH_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i]))
			return false;
	return true;
}

static uint32_t answer_default(uint32_t flows)
{
	uint64_t bytes = (uint64_t)flows * ANSWER_PER_FLOW;

	return bytes < ANSWER_MIN ? ANSWER_MIN : bytes > ANSWER_MAX ? ANSWER_MAX : (uint32_t)bytes;
}

/* The switch that this section describes; it is made at the section's first setting. */
static struct switch_config *switch_of(struct config_reader *rd, const cfg_t *section)
{
	struct config *c = rd->config;
	struct switch_config *list;

	if (rd->section == section)
		return &c->switches[c->n_switches - 1];
	if (!name_valid(section->title)) {
		config_fail(rd, section->line,
			    "'%.60s' is no name for a switch (1 to %d letters, digits, '_', '.' "
			    "and '-')",
			    section->title, SWITCH_NAME_MAX - 1);
		return NULL;
	}
	if (c->n_switches == SWITCHES_MAX) {
		config_fail(rd, section->line, "more than %d switches", SWITCHES_MAX);
		return NULL;
	}
	list = vec_reserve(c->switches, c->n_switches, &rd->cap_switches, sizeof(*list));
	if (!list)
		return NULL;
	c->switches = list;
	rd->section = section;
	/* Byte for byte, so that padding is the same in every program: the digest needs that. */
	memcpy(&list[c->n_switches], &defaults, sizeof(defaults));
	memcpy(list[c->n_switches].name, section->title, strlen(section->title));
	return &list[c->n_switches++];
}

/* Where this option's value belongs. A mirror's settings are read before the section around it is
 * closed. */
static void *target_of(struct config_reader *rd, const cfg_t *cfg, const struct config_option *o)
{
	char *base;

	if (strcmp(o->section, "mirror") == 0)
		base = (char *)&rd->mirror;
	else
		base = (char *)switch_of(rd, cfg);
	return base ? base + o->offset : NULL;
}

int config_switch_duration(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			   const char *value)
{
	uint32_t *at = target_of(rd, cfg, o);

	return at ? config_read_duration(rd, cfg, o, value, at) : -1;
}

int config_switch_size(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	uint32_t *at = target_of(rd, cfg, o);

	return at ? config_read_size(rd, cfg, o, value, at) : -1;
}

int config_switch_bool(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	bool *at = target_of(rd, cfg, o);

	if (!at)
		return -1;
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is neither yes nor no", o->name,
				   value);
	*at = strcmp(value, "yes") == 0;
	return 0;
}

int config_switch_text(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	char *at = target_of(rd, cfg, o);
	size_t n = strlen(value);

	if (!at)
		return -1;
	if (n < o->min || n > o->max)
		return config_fail(rd, cfg->line,
				   "%s: the text has %zu characters, it must have %u to %u",
				   o->name, n, o->min, o->max);
	memset(at, 0, o->max + 1);
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): its NUL is there already */
	memcpy(at, value, n);
	return 0;
}

int config_switch_name(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	if (!name_valid(value))
		return config_fail(
			rd, cfg->line,
			"%s: '%.60s' is no name (1 to %d letters, digits, '_', '.' and '-')",
			o->name, value, SWITCH_NAME_MAX - 1);
	return config_switch_text(rd, cfg, o, value);
}

int config_switch_lines(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value)
{
	struct switch_lines *at = target_of(rd, cfg, o);
	size_t n = strlen(value);

	if (!at)
		return -1;
	if (!at->set) {
		memset(at, 0, sizeof(*at));
		at->set = true;
	}
	if (n == 0) /* "" alone: none */
		return 0;
	if (at->n == SWITCH_LINES)
		return config_fail(rd, cfg->line, "%s: more than %d", o->name, SWITCH_LINES);
	if (n >= SWITCH_LINE)
		return config_fail(rd, cfg->line, "%s: a text is longer than %d characters",
				   o->name, SWITCH_LINE - 1);
	memcpy(at->line[at->n++], value, n + 1);
	return 0;
}

static const struct {
	const char *option;
	const char *words[8]; /* by the enum's value */
} words[] = {
	{ "place", { "none", "all", "established", "heavy", "draining" } },
	{ "expiry", { "switch", "flowpin" } },
	{ "auth", { "basic", "session" } },
	{ "action-ipv4", { "nexthop", "l2-rewrite", "none" } },
	{ "action-ipv6", { "nexthop", "l2-rewrite", "none" } },
	{ "status-source", { "both", "json", "text" } },
};
_Static_assert(sizeof(enum switch_place) == sizeof(uint32_t), "enums are written as numbers");

int config_switch_word(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	struct switch_config *s = switch_of(rd, cfg);
	uint32_t *at = target_of(rd, cfg, o);

	if (!s || !at)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].option, o->name) != 0)
			continue;
		for (uint32_t k = 0; k < ARRAY_SIZE(words[i].words) && words[i].words[k]; k++) {
			if (strcmp(words[i].words[k], value) == 0) {
				*at = k;
				s->place_set |= i == 0;
				return 0;
			}
		}
		return config_fail(rd, cfg->line, "%s: '%.60s' is not one of its words (%s, %s%s)",
				   o->name, value, words[i].words[0], words[i].words[1],
				   words[i].words[2] ? ", ..." : "");
	}
	return -1;
}

int config_switch_addr(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	struct ip_addr *at = target_of(rd, cfg, o);

	if (!at || ip_addr_parse(value, at) < 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not an address", o->name, value);
	return 0;
}

int config_switch_key(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value)
{
	if (parse_u32(value, 0, UINT32_MAX, &rd->mirror.key) < 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not a number of 32 bits", o->name,
				   value);
	rd->mirror.has_key = true;
	return 0;
}

int config_switch_zone(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	uint32_t zone;

	if (parse_u32(value, 1, UINT16_MAX, &zone) < 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not a number from 1 to %u",
				   o->name, value, UINT16_MAX);
	rd->mirror.zone = (uint16_t)zone;
	return 0;
}

int config_switch_protocol(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			   const char *value)
{
	uint32_t protocol;

	if (parse_u32(value, 1, UINT16_MAX, &protocol) < 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not a number from 1 to 0xffff",
				   o->name, value);
	rd->mirror.protocol = (uint16_t)protocol;
	return 0;
}

int config_switch_payload(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			  const char *value)
{
	static const char *const payloads[] = { [SWITCH_PAYLOAD_AUTO] = "auto",
						[SWITCH_PAYLOAD_ETHERNET] = "ethernet",
						[SWITCH_PAYLOAD_IP] = "ip" };

	for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
		if (strcmp(payloads[i], value) == 0) {
			rd->mirror.payload = (enum switch_payload)i;
			return 0;
		}
	}
	return config_fail(rd, cfg->line, "%s: '%.60s' is none of auto, ethernet and ip", o->name,
			   value);
}

/* libcurl would take more: user names, other protocols, fragments. */
int config_switch_url(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value)
{
	static const char *const schemes[] = { "https://", "http://" };
	const char *host = NULL;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(schemes) && !host; i++)
		if (strncmp(value, schemes[i], strlen(schemes[i])) == 0)
			host = value + strlen(schemes[i]);
	n = host ? strcspn(host, "/") : 0;
	if (n == 0 || strpbrk(value, "@#? \t\"'<>\\^`{|}"))
		return config_fail(rd, cfg->line, "%s: '%.60s' is not https://HOST[:PORT]/PATH",
				   o->name, value);
	if (host[n] == '\0') {
		char whole[SWITCH_TEXT];

		snprintf(whole, sizeof(whole), "%.230s/command-api", value);
		return config_switch_text(rd, cfg, o, whole);
	}
	return config_switch_text(rd, cfg, o, value);
}

int config_set_instance(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value)
{
	size_t n = strlen(value);
	bool good = n > 0 && n < CONFIG_INSTANCE_MAX;

	/* No '-': it ends the prefix, so that "a" and "a-b" never own each other's flows. */
	for (size_t i = 0; good && i < n; i++)
		good = isalnum((unsigned char)value[i]) || value[i] == '_';
	if (!good)
		return config_fail(rd, cfg->line,
				   "%s: '%.60s' is no name (1 to %d letters, digits and '_')",
				   o->name, value, CONFIG_INSTANCE_MAX - 1);
	memset(rd->config->instance, 0, sizeof(rd->config->instance));
	memcpy(rd->config->instance, value, n);
	return 0;
}

/* Whether a packet could be of both. */
static bool mirror_same(const struct switch_mirror *a, const struct switch_mirror *b)
{
	return ip_addr_equal(&a->source, &b->source) &&
	       ip_addr_equal(&a->destination, &b->destination) &&
	       strcmp(a->ifname, b->ifname) == 0 && !(a->has_key && b->has_key && a->key != b->key);
}

int config_close_mirror(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt)
{
	struct switch_config *s = switch_of(rd, cfg);
	struct switch_mirror *m = &rd->mirror;
	const char *missing = NULL;

	if (!s)
		return -1;
	if (cfg_opt_size(opt) > 1 || s->mirror.present)
		return config_fail(rd, cfg->line, "section 'mirror' is there twice");
	if (m->zone == 0)
		missing = "zone";
	if (m->ifname[0] == '\0')
		missing = "interface";
	if (m->destination.family == 0)
		missing = "destination";
	if (m->source.family == 0)
		missing = "source";
	if (missing)
		return config_fail(rd, cfg->line, "mirror of switch '%s' has no %s", s->name,
				   missing);
	if (m->source.family != m->destination.family)
		return config_fail(rd, cfg->line,
				   "mirror of switch '%s': one address is IPv4, the other IPv6",
				   s->name);
	for (size_t i = 0; i + 1 < rd->config->n_switches; i++) {
		const struct switch_mirror *other = &rd->config->switches[i].mirror;

		if (other->present && other->zone == m->zone)
			return config_fail(rd, cfg->line, "zone: %u is that of switch '%s' already",
					   m->zone, rd->config->switches[i].name);
		if (other->present && mirror_same(other, m))
			return config_fail(
				rd, cfg->line,
				"the mirrors of switches '%s' and '%s' cannot be told apart",
				rd->config->switches[i].name, s->name);
	}
	m->present = true;
	if (m->max_flows == 0)
		m->max_flows = 20000;
	if (m->max_flows_per_source == 0)
		m->max_flows_per_source = 1000;
	s->mirror = *m;
	memset(m, 0, sizeof(*m));
	return 0;
}

int config_close_switch(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	struct switch_config *s = switch_of(rd, section);

	if (!s)
		return -1;
	if (s->url[0] == '\0')
		return config_fail(rd, cfg->line, "switch '%s' has no eapi", s->name);
	if (strncmp(s->url, "http://", 7) == 0 && !s->allow_http)
		return config_fail(rd, cfg->line,
				   "switch '%s': http:// shows the password to the network; it "
				   "needs allow-http = yes",
				   s->name);
	if (strchr(s->username, ':'))
		return config_fail(rd, cfg->line, "username: it must not contain ':'");
	if ((s->username[0] == '\0') != (s->password_file[0] == '\0'))
		return config_fail(rd, cfg->line,
				   "switch '%s' needs username and password-file, or neither",
				   s->name);
	if (s->tls_pin[0] && strncmp(s->tls_pin, "sha256//", 8) != 0)
		return config_fail(rd, cfg->line, "tls-pin: '%.60s' does not begin with sha256//",
				   s->tls_pin);
	if (s->reserve > s->max_flows)
		return config_fail(rd, cfg->line, "switch '%s': reserve is above max-flows",
				   s->name);
	if (s->match_ingress && s->ingress_interface[0] == '\0')
		return config_fail(rd, cfg->line,
				   "switch '%s': match-ingress needs ingress-interface", s->name);
	if (s->answer_max == 0)
		s->answer_max = answer_default(s->max_flows);
	return 0;
}
