// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/parse.h"
#include "base/vec.h"

/* Lower case, so that it cannot be taken for another name in different case; letters, digits, '_'
 * and '-' go into the names of nft chains and maps as they are. */
static bool name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= SERVICE_NAME_MAX || !islower((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
		    name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

/* The service that this section describes; it is made at the section's first setting. NULL with the
 * sentence set. */
static struct service *service_of(struct config_reader *rd, const cfg_t *section)
{
	struct service_set *set = &rd->config->services;
	struct service *list;

	if (rd->section == section)
		return &set->list[set->n - 1];
	if (!name_valid(section->title)) {
		config_fail(rd, section->line,
			    "'%.60s' is no name for a service "
			    "(1 to %d of a-z, 0-9, '_' and '-', a letter first)",
			    section->title, SERVICE_NAME_MAX - 1);
		return NULL;
	}
	if (set->n == CONFIG_SERVICES_MAX) {
		config_fail(rd, section->line, "more than %d services", CONFIG_SERVICES_MAX);
		return NULL;
	}
	list = vec_reserve(set->list, set->n, &rd->cap_services, sizeof(*list));
	if (!list)
		return NULL;
	set->list = list;
	rd->section = section;
	rd->cap_prefixes = rd->cap_ports = rd->cap_ids = 0;
	list[set->n] = (struct service){ .idle_timeout_s = 300, .syn_timeout_s = 20 };
	memcpy(list[set->n].name, section->title, strlen(section->title));
	return &list[set->n++];
}

int config_set_prefix(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		      const char *value)
{
	struct service *s = service_of(rd, cfg);
	struct ip_prefix p, *prefixes;
	int r;

	if (!s)
		return -1;
	r = ip_prefix_parse(value, &p);
	if (r == -EADDRNOTAVAIL)
		return config_fail(rd, cfg->line, "%s: '%.60s' has bits set behind its length",
				   o->name, value);
	if (r < 0)
		return config_fail(rd, cfg->line,
				   "%s: '%.60s' is not a prefix (ADDRESS or ADDRESS/LENGTH)",
				   o->name, value);
	for (size_t i = 0; i < s->n_prefixes; i++)
		if (ip_prefix_equal(&s->prefixes[i], &p))
			return config_fail(rd, cfg->line, "%s: '%.60s' is there twice", o->name,
					   value);
	if (s->n_prefixes == CONFIG_PREFIXES_MAX)
		return config_fail(rd, cfg->line, "%s: more than %d in service '%s'", o->name,
				   CONFIG_PREFIXES_MAX, s->name);
	prefixes = vec_reserve(s->prefixes, s->n_prefixes, &rd->cap_prefixes, sizeof(p));
	if (!prefixes)
		return config_no_memory();
	s->prefixes = prefixes;
	prefixes[s->n_prefixes++] = p;
	return 0;
}

int config_set_protocol(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value)
{
	struct service *s = service_of(rd, cfg);
	uint8_t proto = proto_parse(value);

	if (!s)
		return -1;
	if (proto == 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not one of tcp, udp and sctp",
				   o->name, value);
	if (memchr(s->protos, proto, s->n_protos))
		return config_fail(rd, cfg->line, "%s: '%s' is there twice", o->name, value);
	s->protos[s->n_protos++] = proto;
	return 0;
}

static int port_parse(const char *text, struct port_range *ret_range)
{
	const char *dash = strchr(text, '-');
	uint32_t first, last;
	char word[8];
	size_t n = dash ? (size_t)(dash - text) : strlen(text);

	if (n >= sizeof(word))
		return -EINVAL;
	memcpy(word, text, n);
	word[n] = '\0';
	if (parse_u32(word, 1, UINT16_MAX, &first) < 0)
		return -EINVAL;
	last = first;
	if (dash && parse_u32(dash + 1, 1, UINT16_MAX, &last) < 0)
		return -EINVAL;
	if (first > last)
		return -ERANGE;
	*ret_range = (struct port_range){ (uint16_t)first, (uint16_t)last };
	return 0;
}

int config_set_port(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		    const char *value)
{
	struct service *s = service_of(rd, cfg);
	struct port_range p, *ports;
	int r;

	if (!s)
		return -1;
	r = port_parse(value, &p);
	if (r == -ERANGE)
		return config_fail(rd, cfg->line, "%s: '%.60s' ends before it begins", o->name,
				   value);
	if (r < 0)
		return config_fail(rd, cfg->line,
				   "%s: '%.60s' is not a port or a range of ports (1 to 65535)",
				   o->name, value);
	for (size_t i = 0; i < s->n_ports; i++)
		if (p.first <= s->ports[i].last && s->ports[i].first <= p.last)
			return config_fail(rd, cfg->line,
					   "%s: '%.60s' overlaps another of service '%s'", o->name,
					   value, s->name);
	if (s->n_ports == CONFIG_RANGES_MAX)
		return config_fail(rd, cfg->line, "%s: more than %d in service '%s'", o->name,
				   CONFIG_RANGES_MAX, s->name);
	ports = vec_reserve(s->ports, s->n_ports, &rd->cap_ports, sizeof(p));
	if (!ports)
		return config_no_memory();
	s->ports = ports;
	ports[s->n_ports++] = p;
	return 0;
}

int config_set_timeout(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		       const char *value)
{
	struct service *s = service_of(rd, cfg);
	uint32_t ms;

	if (!s || config_read_duration(rd, cfg, o, value, &ms) < 0)
		return -1;
	if (ms % 1000 != 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not a whole number of seconds",
				   o->name, value);
	*(uint32_t *)((char *)s + o->offset) = ms / 1000;
	return 0;
}

int config_set_withdraw(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
			const char *value)
{
	static const char *const words[] = {
		[SERVICE_HOLD] = "hold", [SERVICE_RELEASE] = "release"
	};
	struct service *s = service_of(rd, cfg);

	if (!s)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i], value) == 0) {
			s->on_withdraw = (enum service_on_withdraw)i;
			return 0;
		}
	}
	return config_fail(rd, cfg->line, "%s: '%.60s' is neither hold nor release", o->name,
			   value);
}

int config_set_id(struct config_reader *rd, cfg_t *cfg, const struct config_option *o,
		  const char *value)
{
	uint32_t id;

	if (parse_u32(value, o->min, o->max, &id) < 0)
		return config_fail(rd, cfg->line, "%s: '%.60s' is not a number from %u to %u",
				   o->name, value, o->min, o->max);
	if (rd->id_lines[id] != 0)
		return config_fail(rd, cfg->line, "%s: %u is given in line %d already", o->name, id,
				   rd->id_lines[id]);
	rd->id_lines[id] = cfg->line;
	rd->id = id;
	return 0;
}

int config_close_nexthop(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt)
{
	const char *title = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1)->title;
	struct service *s = service_of(rd, cfg);
	struct service_id *ids, entry = { .id = (uint8_t)rd->id };

	if (!s)
		return -1;
	if (nexthop_spec_parse(title, &entry.nexthop) < 0)
		return config_fail(
			rd, cfg->line,
			"'%.60s' is not a nexthop (ADDRESS, ADDRESS%%INTERFACE or %%INTERFACE)",
			title);
	if (rd->id == 0)
		return config_fail(rd, cfg->line, "nexthop '%s' needs an id", title);
	for (size_t i = 0; i < s->n_ids; i++) {
		char other[NEXTHOP_TEXT];

		if (nexthop_spec_matches(&s->ids[i].nexthop, &entry.nexthop) ||
		    nexthop_spec_matches(&entry.nexthop, &s->ids[i].nexthop))
			return config_fail(rd, cfg->line,
					   "nexthop '%s' may be the same as '%s' of this service",
					   title, nexthop_spec_format(&s->ids[i].nexthop, other));
	}
	ids = vec_reserve(s->ids, s->n_ids, &rd->cap_ids, sizeof(*ids));
	if (!ids)
		return config_no_memory();
	s->ids = ids;
	ids[s->n_ids++] = entry;
	rd->id = 0;
	return 0;
}

static int port_compare(const void *a, const void *b)
{
	return ((const struct port_range *)a)->first - ((const struct port_range *)b)->first;
}

/* Sorts the ranges and joins those that touch; none at all stands for every port. */
static int ports_finish(struct service *s)
{
	size_t n = 0;

	if (s->n_ports == 0) {
		s->ports = malloc(sizeof(*s->ports));
		if (!s->ports)
			return config_no_memory();
		s->ports[s->n_ports++] = (struct port_range){ 0, UINT16_MAX };
		return 0;
	}
	qsort(s->ports, s->n_ports, sizeof(*s->ports), port_compare);
	for (size_t i = 1; i < s->n_ports; i++) {
		if (s->ports[n].last + 1 == s->ports[i].first)
			s->ports[n].last = s->ports[i].last;
		else
			s->ports[++n] = s->ports[i];
	}
	s->n_ports = n + 1;
	return 0;
}

int config_close_service(struct config_reader *rd, cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	struct service *s = service_of(rd, section);
	struct err e = { 0 };
	int r;

	if (!s)
		return -1;
	if (s->n_prefixes == 0)
		return config_fail(rd, cfg->line, "service '%s' has no prefix", s->name);
	if (s->n_protos == 0)
		s->protos[s->n_protos++] = IPPROTO_TCP;
	if (cfg_size(section, "on-withdraw") == 0)
		s->on_withdraw = memchr(s->protos, IPPROTO_TCP, s->n_protos) ? SERVICE_HOLD
									     : SERVICE_RELEASE;
	if (ports_finish(s) < 0)
		return -1;
	r = service_set_check(&rd->config->services, &e);
	if (r == -ENOMEM)
		return config_no_memory();
	return r < 0 ? config_fail(rd, cfg->line, "%s", e.text) : 0;
}
