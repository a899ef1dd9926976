// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/switches.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/siphash.h"
#include "flowpin/flowpin.h"

#define EAPI_GROUP     "flowpin-eapi"
#define CANDIDATES_MIN 65536u
#define TELL_AFTER_MS  5 /* so that what happens together is told together */
#define CLIENTS_MAX    (4 * SWITCHES_MAX)

static const char switch_interface[] =
#include "switch_varlink.h"
	;

struct switch_state *switch_by_name(const struct daemon *d, const char *name)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		if (strcmp(d->switches->list[i]->config->name, name) == 0)
			return d->switches->list[i];
	return NULL;
}

struct switch_state *switch_by_zone(const struct daemon *d, uint16_t zone)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++)
		if (d->switches->list[i]->mirror &&
		    d->switches->list[i]->config->mirror.zone == zone)
			return d->switches->list[i];
	return NULL;
}

static enum placement_policy policy_of(enum switch_place place)
{
	switch (place) {
	case SWITCH_PLACE_NONE:
		return PLACEMENT_POLICY_NONE;
	case SWITCH_PLACE_ALL:
		return PLACEMENT_POLICY_ALL;
	case SWITCH_PLACE_ESTABLISHED:
		return PLACEMENT_POLICY_ESTABLISHED;
	case SWITCH_PLACE_HEAVY:
		return PLACEMENT_POLICY_HEAVY;
	case SWITCH_PLACE_DRAINING:
		return PLACEMENT_POLICY_DRAINING;
	}
	return PLACEMENT_POLICY_NONE;
}

static struct placement_options options_of(const struct daemon *d, const struct switch_config *c)
{
	uint32_t candidates = c->max_flows > CANDIDATES_MIN / 4 ? c->max_flows * 4 : CANDIDATES_MIN;

	if (candidates > d->config->limits.max_flows)
		candidates = d->config->limits.max_flows;
	return (struct placement_options){ .policy = policy_of(c->place),
					   .max_flows = c->max_flows,
					   .max_candidates = candidates > c->max_flows
								     ? candidates
								     : c->max_flows,
					   .capacity = c->capacity,
					   .reserve = c->reserve,
					   .weight6 = (uint8_t)c->ipv6_entries,
					   .min_age_ms = c->min_age_ms,
					   .idle_timeout_ms = c->idle_timeout_ms,
					   .source_share = (uint8_t)d->config->limits.source_share,
					   .prefixes = daemon_source_prefixes(d->config),
					   .hysteresis = 20 };
}

static struct switch_state *state_free(struct switch_state *s)
{
	if (!s)
		return NULL;
	free(s->question);
	mirror_free(s->mirror);
	placement_free(s->placement);
	switch_nexthops_free(s);
	free(s);
	return NULL;
}
DEFINE_FREEP(struct switch_state, state_free)

static int state_add(struct switches *w, const struct switch_config *c, struct err *e)
{
	_cleanup_(state_freep) struct switch_state *s = calloc(1, sizeof(*s));
	struct placement_options options = options_of(w->d, c);
	uint64_t seed[2];
	int r;

	if (!s || getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return err_set(e, -ENOMEM, "switch %s: out of memory", c->name);
	s->d = w->d;
	s->config = c;
	s->number = (uint8_t)(w->n + 1);
	switch_config_digest(c, s->digest);
	r = placement_new(&options, seed, &s->placement);
	if (r == 0 && c->mirror.present)
		r = mirror_new(s, &s->mirror);
	if (r < 0)
		return err_set(e, r, "switch %s: %s", c->name, strerror(-r));
	w->list[w->n++] = TAKE_PTR(s);
	return 0;
}

static void on_work(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct daemon *d = arg;
	uint64_t now = clock_now_ms();

	if (!d->switches || !d->ready)
		return;
	entry_writes_flush(d);
	for (size_t i = 0; i < d->switches->n; i++)
		switch_tell(d->switches->list[i], now);
}

void switches_soon(struct daemon *d)
{
	const struct timeval tv = { .tv_usec = TELL_AFTER_MS * 1000 };

	if (d->switches->ev_work && !event_pending(d->switches->ev_work, EV_TIMEOUT, NULL))
		event_add(d->switches->ev_work, &tv);
}

/* Beside the control socket. */
static int path_beside(const struct daemon *d, const char *name, char *buf, size_t size)
{
	const char *slash = strrchr(d->options.socket_path, '/');
	int dir = slash ? (int)(slash - d->options.socket_path + 1) : 0;
	int n = snprintf(buf, size, "%.*s%s", dir, d->options.socket_path, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int sockets_open(struct switches *w, struct err *e)
{
	struct daemon *d = w->d;
	const struct group *group = getgrnam(EAPI_GROUP);
	char path[PATH_MAX];
	struct control_options o = {
		.path = path,
		.mode = group ? 0660 : 0600,
		.group = group ? group->gr_gid : (gid_t)-1,
		.has_admin_group = group != NULL,
		.admin_group = group ? group->gr_gid : 0,
		.own_is_admin = true,
		.methods = switch_methods(),
		.interface = switch_interface,
		.vendor = "flowpin",
		.product = "flowpind",
		.version = FLOWPIN_VERSION,
		.limits = { .max_clients = CLIENTS_MAX, .max_clients_per_uid = CLIENTS_MAX },
		.closed = switch_connection_closed,
		.arg = d,
	};
	int r;

	r = path_beside(d, "daemon.sock", path, sizeof(path));
	if (r == 0)
		r = control_server_new(d->base, &o, &w->server, e);
	if (r == -EPERM && group) {
		/* flowpind's own user is no member: then only that user and root get in. */
		log_warning("%s; only root and flowpind's own user may use it", e->text);
		o.group = (gid_t)-1;
		o.mode = 0600;
		e->text[0] = '\0';
		r = control_server_new(d->base, &o, &w->server, e);
	}
	if (r == 0)
		r = path_beside(d, "mirror.sock", path, sizeof(path));
	if (r == 0)
		r = mirror_socket_new(d, path, &w->socket, e);
	return r < 0 && !e->text[0] ? err_set(e, r, "daemon.sock: %s", strerror(-r)) : r;
}

/* Of what the attached ones were told of the services. */
static uint64_t services_digest(const struct daemon *d)
{
	static const uint64_t key[2] = { 0x73657276, 1 };
	uint64_t sum = 0;

	for (size_t i = 0; i < d->config->services.n; i++) {
		const struct service *s = &d->config->services.list[i];

		sum = sum * 31 + siphash13(s->name, strlen(s->name), key);
		sum = sum * 31 + siphash13(s->prefixes, s->n_prefixes * sizeof(*s->prefixes), key);
		sum = sum * 31 + siphash13(s->ports, s->n_ports * sizeof(*s->ports), key);
		sum = sum * 31 + siphash13(s->protos, s->n_protos, key);
	}
	return sum;
}

int switches_open(struct daemon *d, struct err *e)
{
	struct switches *w;
	int r = 0;

	if (d->config->n_switches == 0)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "out of memory");
	w->d = d;
	d->switches = w;
	w->services = services_digest(d);
	w->limit_refused = (struct log_limit){ .interval_ms = 60000, .burst = 1 };
	w->writes = entry_writes_new(d);
	w->ev_work = event_new(d->base, -1, 0, on_work, d);
	if (!w->writes || !w->ev_work)
		return err_set(e, -ENOMEM, "out of memory");
	event_priority_set(w->ev_work, PRIORITY_WORK);
	for (size_t i = 0; i < d->config->n_switches && r == 0; i++)
		r = state_add(w, &d->config->switches[i], e);
	return r < 0 ? r : sockets_open(w, e);
}

void switches_close(struct daemon *d)
{
	struct switches *w = d->switches;

	if (!w)
		return;
	control_server_free(w->server);
	mirror_socket_free(w->socket);
	switch_heavy_cancel(w);
	if (w->ev_work)
		event_free(w->ev_work);
	for (size_t i = 0; i < w->n; i++)
		state_free(w->list[i]);
	entry_writes_free(w->writes);
	free(w);
	d->switches = NULL;
}

void switches_tick(struct daemon *d, uint64_t now_ms)
{
	for (size_t i = 0; d->switches && i < d->switches->n; i++) {
		struct switch_state *s = d->switches->list[i];

		if (s->mirror)
			mirror_tick(s->mirror, now_ms);
		switch_life(s, now_ms);
	}
	if (!d->switches)
		return;
	mirror_socket_listen(d->switches->socket);
	switch_heavy_tick(d->switches, now_ms);
	on_work(-1, 0, d);
}

/* --- reload */

static bool same_mirror(const struct switch_config *a, const struct switch_config *b)
{
	return a->mirror.present == b->mirror.present && a->mirror.zone == b->mirror.zone &&
	       a->mirror.max_flows == b->mirror.max_flows;
}

static void state_update(struct switch_state *s, const struct switch_config *c,
			 bool services_changed, uint64_t now_ms)
{
	struct placement_options options = options_of(s->d, c);
	char digest[SWITCH_DIGEST];

	switch_config_digest(c, digest);
	if (strcmp(digest, s->digest) != 0 || services_changed)
		switch_detach(s, "the configuration was read again");
	s->config = c;
	memcpy(s->digest, digest, sizeof(s->digest));
	if (placement_options_set(s->placement, &options, now_ms) < 0)
		log_warning("switch %s: its new limits could not be taken over", c->name);
}

/* The states as the new configuration has them; a switch keeps its number, since flows name it by
 * that. */
void switches_reload(struct daemon *d)
{
	bool services_changed;
	uint64_t now = clock_now_ms();
	struct err e = { 0 };

	if (!d->switches && switches_open(d, &e) < 0) {
		log_error("the switches cannot be taken up: %s", e.text);
		switches_close(d);
	}
	if (!d->switches)
		return;
	services_changed = d->switches->services != services_digest(d);
	d->switches->services = services_digest(d);
	for (size_t i = 0; i < d->config->n_switches; i++) {
		const struct switch_config *c = &d->config->switches[i];
		struct switch_state *s = switch_by_name(d, c->name);

		if (s)
			state_update(s, c, services_changed, now);
		else if (d->switches->n == SWITCHES_MAX)
			log_error("switch %s: no room for it until flowpind is started anew",
				  c->name);
		else if (state_add(d->switches, c, &e) < 0)
			log_error("%s", e.text);
	}
	for (size_t i = 0; i < d->switches->n; i++)
		if (d->switches->list[i]->mirror)
			mirror_services_changed(d->switches->list[i]->mirror);
	for (size_t i = 0; i < d->switches->n; i++)
		switch_offer_all(d->switches->list[i], now);
}

/* Closes the gaps of those that are gone: the numbers of those behind change, and so do those in
 * their flows. */
static void compact(struct switches *w, const bool *gone)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct switch_state *s = w->list[i];

		if (gone[i]) {
			state_free(s);
			continue;
		}
		for (uint32_t k = 0; s->mirror && s->number != n + 1 && k < s->mirror->n_slots; k++)
			if (s->mirror->slots[k].flow)
				s->mirror->slots[k].flow->sw = (uint8_t)(n + 1);
		s->number = (uint8_t)(n + 1);
		w->list[n++] = s;
	}
	w->n = n;
}

/* What the new configuration does not have, or has with another mirror, lets go. What stands in the
 * switch stays there. */
void switches_reload_begin(struct daemon *d, const struct config *new)
{
	struct switches *w = d->switches;
	bool gone[SWITCHES_MAX] = { false };

	for (size_t i = 0; w && i < w->n; i++) {
		struct switch_state *s = w->list[i];
		const struct switch_config *c = config_switch(new, s->config->name);

		gone[i] = !c || !same_mirror(c, s->config);
		if (!gone[i])
			continue;
		log_notice("switch %s: %s", s->config->name,
			   c ? "its mirror changed" : "removed from the configuration");
		switch_detach(s, "the configuration was read again");
		if (s->mirror)
			mirror_end_all(s->mirror, "unpinned");
	}
	if (!w)
		return;
	entry_writes_flush(d);
	compact(w, gone);
	if (new->n_switches == 0)
		switches_close(d);
}
