// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/reload.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "control/server.h"
#include "core/override.h"
#include "core/rib.h"
#include "daemon/conntrack.h"
#include "daemon/events.h"
#include "daemon/flows.h"
#include "daemon/hostcheck.h"
#include "daemon/routes.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "pin/ruleset.h"

#define BATCH 1000

/* What cannot change while flows stand on it: the sentence tells how it can. */
static int numbers_check(const struct config *old, const struct config *new, const char *path,
			 struct err *e)
{
	if (memcmp(&old->numbers, &new->numbers, sizeof(old->numbers)) == 0)
		return 0;
	return err_set(
		e, -EINVAL,
		"%s: the numbers section differs from the one that the kernel's marks, tables and "
		"rules were made with: run "
		"`flowpin teardown` first, which unpins every flow, then start flowpind anew",
		path);
}

static int rib_replace(struct daemon *d, const struct config *config, struct err *e)
{
	_cleanup_(rib_freep) struct rib *rib = NULL;
	_cleanup_(freep) uint64_t *versions = calloc(config->services.n, sizeof(*versions));
	struct rib *old;
	int r;

	if (!versions)
		return err_set(e, -ENOMEM, "out of memory");
	r = rib_new(&config->services, &rib);
	if (r < 0)
		return err_set(e, r, "out of memory");
	old = d->rib;
	d->rib = rib;
	r = routes_dump(d, e);
	if (r < 0) {
		d->rib = old;
		/* What it had read by then is no whole. */
		routes_redump_soon(d);
		return r;
	}
	rib_free(old);
	rib = NULL;
	free(d->rib_versions);
	d->rib_versions = TAKE_PTR(versions);
	return 0;
}

static void services_remove(struct daemon *d, const struct config *new)
{
	const struct service_set *old = &d->config->services;

	for (size_t i = 0; i < old->n; i++) {
		bool kept = false;

		for (size_t k = 0; k < new->services.n && !kept; k++)
			kept = strcmp(old->list[i].name, new->services.list[k].name) == 0;
		if (!kept) {
			log_notice("service %s was removed from the configuration",
				   old->list[i].name);
			registry_service_remove(d->registry, old->list[i].name, clock_now_ms());
		}
	}
}

static void unpin_in_kernel(struct daemon *d, const struct tuple *list, size_t n)
{
	struct err e = { 0 };
	int r;

	r = conntrack_mark(d->ct_request, d->config->numbers.mark_mask, list, NULL, n, &e);
	if (r == 0)
		r = ruleset_pins_delete(d->ruleset, list, n, &e);
	if (r < 0)
		log_warning("some flows could not be unpinned: %s",
			    e.text[0] ? e.text : strerror(-r));
}

/* Flows whose prefix, port or service is gone are not ours any more: their marks and pins go too.
 */
static void flows_release_foreign(struct daemon *d)
{
	_cleanup_(freep) struct tuple *list = calloc(BATCH, sizeof(*list));
	uint32_t cursor = 0;
	uint64_t before = d->stats.flows_unpinned;
	struct flow *f;
	size_t n = 0;

	if (!list)
		return;
	/* Nobody marks them any more, but what was told of them since still waits to be read. */
	flows_catch_up(d);
	while ((f = flow_table_next(d->flows, &cursor))) {
		const struct binding *b = registry_binding(d->registry, f->binding);
		int i = service_set_match(&d->config->services, &f->tuple);

		if (f->flags & FLOW_GRAVE)
			continue;
		if (i >= 0 && !b &&
		    (f->flags & FLOW_MIRRORED)) /* only the switch reaches its nexthop, or it is not
						   known yet */
			continue;
		if (i >= 0 && b && strcmp(d->config->services.list[i].name, b->service) == 0)
			continue;
		list[n++] = f->tuple;
		d->stats.flows_unpinned++;
		flows_end(d, f, "unpinned");
		if (n == BATCH) {
			unpin_in_kernel(d, list, n);
			n = 0;
		}
	}
	if (n)
		unpin_in_kernel(d, list, n);
	flows_dump_renew(d);
	if (d->stats.flows_unpinned != before)
		log_notice("%llu flows are outside the services now: unpinned",
			   (unsigned long long)(d->stats.flows_unpinned - before));
}

static void keep_capacity(struct daemon *d, struct config *new)
{
	if (new->limits.max_flows != d->config->limits.max_flows)
		log_warning("max-flows stays at %u until flowpind is started anew",
			    d->config->limits.max_flows);
	new->limits.max_flows = d->config->limits.max_flows;
	if (flow_table_source_limit(d->flows, new->limits.max_flows_per_source,
				    daemon_source_prefixes(new)) < 0)
		log_warning("max-flows-per-source stays as it was: out of memory");
}

static int take_over(struct daemon *d, struct config **config, struct err *e)
{
	struct registry_limits limits;
	struct config *old;
	bool has_admins;
	gid_t admins;
	int r;

	r = daemon_admin_group(*config, &has_admins, &admins, e);
	if (r == 0)
		r = rib_replace(d, *config, e);
	if (r < 0)
		return r;
	switches_reload_begin(d, *config);
	services_remove(d, *config);
	keep_capacity(d, *config);
	/* The old services stay until nothing borrows them. */
	override_list_free(d->overrides, d->n_overrides);
	d->overrides = NULL;
	d->n_overrides = 0;
	old = d->config;
	d->config = TAKE_PTR(*config);
	limits = daemon_limits(d->config);
	registry_limits_set(d->registry, &limits);
	control_server_limits_set(
		d->server, &(struct control_limits){ .max_clients = d->config->control.max_clients,
						     .max_clients_per_uid =
							     d->config->control.max_clients_per_uid,
						     .idle_timeout_ms = 60000 });
	control_server_admin_set(d->server, has_admins ? &admins : NULL);
	switches_reload(d);
	config_free(old);
	return 0;
}

void reload(struct daemon *d)
{
	_cleanup_(config_freep) struct config *config = NULL;
	struct err e = { 0 };
	int r;

	d->reload_wanted = !d->ready;
	if (!d->ready)
		return;
	notify_send("RELOADING=1");
	r = config_load(d->options.config_path, &config, &e);
	if (r == 0)
		r = numbers_check(d->config, config, d->options.config_path, &e);
	if (r == 0)
		r = take_over(d, &config, &e);
	if (r < 0) {
		log_error("reload refused, the running configuration stays: %s", e.text);
		events_report(d, &(struct event_report){ .kind = "reload", .change = "refused" },
			      "reload refused: %s", e.text);
		notify_send("READY=1");
		return;
	}
	d->config_ms = clock_now_ms();
	d->unmarked_possible = true; /* flows of a prefix that is new */
	d->unmarked_check_ms = 0;
	d->unmarked_backoff_ms = 0;
	members_apply(d, true);
	sync_now(d);
	flows_release_foreign(d);
	hostcheck_run(d);
	log_notice("configuration read again: %zu services", d->config->services.n);
	events_report(d, &(struct event_report){ .kind = "reload", .change = "done" },
		      "configuration read again");
	notify_send("READY=1");
}
