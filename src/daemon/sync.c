// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/sync.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "core/override.h"
#include "daemon/carried.h"
#include "daemon/events.h"
#include "daemon/flows.h"
#include "daemon/switches.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

#define RETRY_MS 1000

struct nexthop_spec binding_spec(const struct binding *b)
{
	struct nexthop_spec s = { .addr = b->nexthop->gateway };

	snprintf(s.ifname, sizeof(s.ifname), "%s", b->nexthop->ifname);
	return s;
}

const struct service *daemon_service(const struct daemon *d, const char *name)
{
	for (size_t i = 0; i < d->config->services.n; i++)
		if (strcmp(d->config->services.list[i].name, name) == 0)
			return &d->config->services.list[i];
	return NULL;
}

static size_t bindings_count(const struct daemon *d)
{
	uint8_t cursor = 0;
	size_t n = 0;

	while (registry_binding_next(d->registry, &cursor))
		n++;
	return n;
}

int sync_policy_model(struct daemon *d, struct policy_model *ret_model,
		      struct policy_binding **ret_own)
{
	struct policy_binding *list = calloc(bindings_count(d) + 1, sizeof(*list));
	const struct binding *b;
	uint8_t cursor = 0;
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	while ((b = registry_binding_next(d->registry, &cursor))) {
		struct policy_binding *p = &list[n];

		p->service = daemon_service(d, b->service);
		if (!p->service)
			continue;
		p->id = b->id;
		p->gateway = b->nexthop->gateway;
		p->ifindex = b->nexthop->ifindex;
		p->families = b->families;
		p->mtu = b->mtu;
		p->link_up = b->nexthop->link_up;
		p->onlink = b->onlink;
		p->encap_type = b->encap_type;
		p->encap_len = b->encap_len;
		memcpy(p->encap, b->encap, sizeof(p->encap));
		n++;
	}
	*ret_model = (struct policy_model){
		.bindings = list,
		.n_bindings = n,
		.overrides = d->overrides,
		.n_overrides = d->n_overrides,
		.mark_mask = d->config->numbers.mark_mask,
		.table_base = d->config->numbers.table_base,
		.rule_priority = d->config->numbers.rule_priority,
	};
	*ret_own = list;
	return 0;
}

/* `rt nexthop` names an IPv4 gateway for IPv4 traffic and an IPv6 one for IPv6 traffic; the rest is
 * learned by interface. */
static bool named_by_nexthop(const struct binding *b)
{
	if (b->nexthop->gateway.family == AF_INET)
		return true;
	return b->nexthop->gateway.family == AF_INET6 && (b->families & 2);
}

static size_t connected_of(const struct daemon *d, const struct ruleset_binding *list, size_t n,
			   struct ruleset_connected *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < d->addresses.n; i++) {
		const struct address *a = &d->addresses.list[i];
		bool wanted = false;

		for (size_t k = 0; k < n && !wanted; k++)
			wanted = list[k].learn_by_link && list[k].ifindex == a->ifindex;
		for (size_t k = 0; k < count && wanted; k++)
			wanted = ret[k].ifindex != a->ifindex ||
				 !ip_prefix_equal(&ret[k].prefix, &a->prefix);
		if (wanted)
			ret[count++] = (struct ruleset_connected){ .ifindex = a->ifindex,
								   .prefix = a->prefix };
	}
	return count;
}

int sync_ruleset_model(struct daemon *d, struct ruleset_model *ret_model,
		       struct ruleset_binding **ret_own, struct ruleset_connected **ret_connected)
{
	_cleanup_(freep) struct ruleset_binding *list =
		calloc(bindings_count(d) + 1, sizeof(*list));
	_cleanup_(freep) struct ruleset_connected *connected =
		calloc(d->addresses.n + 1, sizeof(*connected));
	const struct binding *b;
	uint8_t cursor = 0;
	size_t n = 0;

	if (!list || !connected)
		return -ENOMEM;
	while ((b = registry_binding_next(d->registry, &cursor))) {
		const struct service *s = daemon_service(d, b->service);
		struct nexthop_spec spec = binding_spec(b);
		struct ruleset_binding *r = &list[n];

		if (!s)
			continue;
		r->id = b->id;
		r->service = (uint16_t)(s - d->config->services.list);
		r->gateway = b->nexthop->gateway;
		r->ifindex = b->nexthop->ifindex;
		nexthop_spec_format(&spec, r->label);
		r->learn_by_nexthop = named_by_nexthop(b);
		r->learn_by_link = binding_learns_by_link(b);
		r->carry = binding_carries(b);
		r->fresh = binding_fresh(b);
		n++;
	}
	*ret_model = (struct ruleset_model){
		.services = &d->config->services,
		.bindings = list,
		.n_bindings = n,
		.connected = connected,
		.n_connected = connected_of(d, list, n, connected),
		.mark_mask = d->config->numbers.mark_mask,
		.table_base = d->config->numbers.table_base,
		.rule_priority = d->config->numbers.rule_priority,
		.max_pins = d->config->limits.max_pins,
	};
	*ret_own = TAKE_PTR(list);
	*ret_connected = TAKE_PTR(connected);
	return 0;
}

static void sync_changes_report(struct daemon *d)
{
	struct binding_change c;

	while (registry_change_take(d->registry, &c)) {
		char nexthop[NEXTHOP_TEXT];
		const char *from = binding_state_name(c.from), *to = binding_state_name(c.to);

		nexthop_spec_format(&c.nexthop, nexthop);
		log_notice("service %s: %s (id %u) %s -> %s, %s, %u flows", c.service, nexthop,
			   c.id, from, to, binding_reason_text(c.reason), c.flows);
		events_report(d,
			      &(struct event_report){ .kind = "nexthop",
						      .service = c.service,
						      .nexthop = nexthop,
						      .id = c.id,
						      .from = from,
						      .to = to,
						      .reason = binding_reason_text(c.reason),
						      .flows = c.flows },
			      "%s %s: %s -> %s, %s", c.service, nexthop, from, to,
			      binding_reason_text(c.reason));
		switches_binding_changed(d, &c);
	}
}

static int overrides_build(struct daemon *d)
{
	struct override *list;
	size_t n;
	int r;

	r = override_list_build(&d->config->services, d->rib, d->registry, &list, &n);
	if (r < 0)
		return r;
	override_list_free(d->overrides, d->n_overrides);
	d->overrides = list;
	d->n_overrides = n;
	return 0;
}

static void repaired(struct daemon *d, enum repair kind, size_t changes)
{
	const char *what = kind == REPAIR_RULESET ? "nftables table" : "rules or routes";
	uint32_t dropped;

	*(kind == REPAIR_RULESET ? &d->stats.repairs_ruleset : &d->stats.repairs_policy) += 1;
	if (log_limit_pass(&d->limit_repair[kind], clock_now_ms(), &dropped))
		log_warning("somebody else changed our %s: %zu objects put back", what, changes);
	events_report(d, &(struct event_report){ .kind = "repair" },
		      "our %s was changed by somebody else: %zu objects put back", what, changes);
}

static int policy_write(struct daemon *d, struct err *e)
{
	_cleanup_(freep) struct policy_binding *own = NULL;
	struct policy_model model;
	size_t changes = 0, failed = 0;
	uint32_t dropped;
	bool foreign = d->policy_foreign;
	int r;

	r = overrides_build(d);
	if (r == 0)
		r = sync_policy_model(d, &model, &own);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (foreign)
		policy_invalidate(d->policy);
	d->policy_foreign = false;
	r = policy_sync(d->policy, &model, &changes, &failed, e);
	if (r < 0) {
		d->policy_foreign = foreign;
		return r;
	}
	d->stats.policy_changes += changes;
	if (failed &&
	    (!d->stats.policy_failed || log_limit_pass(&d->limit_kernel, clock_now_ms(), &dropped)))
		log_warning(
			"%zu rules or routes were refused by the kernel, and are tried again: %s",
			failed, e->text);
	d->stats.policy_failed = (uint32_t)failed;
	if (foreign && changes)
		repaired(d, REPAIR_POLICY, changes);
	return failed ? -EAGAIN : 0;
}

struct refill {
	struct daemon *d;
	uint32_t cursor;
};

/* The flow table's pins go back before the base chains when somebody deleted the table. */
static bool refill_next(struct ruleset_pin *ret_pin, void *arg)
{
	struct refill *x = arg;
	struct flow *f;

	while ((f = flow_table_next(x->d->flows, &x->cursor))) {
		const struct binding *b = registry_binding(x->d->registry, f->binding);
		const struct service *s = b ? daemon_service(x->d, b->service) : NULL;

		if (!s || (f->tuple.zone != 0 && !(f->flags & FLOW_MIRRORED)) ||
		    (f->flags & FLOW_GRAVE))
			continue;
		*ret_pin = (struct ruleset_pin){ .tuple = f->tuple,
						 .binding = f->binding,
						 .timeout_s = s->idle_timeout_s };
		ret_pin->tuple.zone = 0;
		return true;
	}
	return false;
}

static int ruleset_write(struct daemon *d, struct err *e)
{
	_cleanup_(freep) struct ruleset_connected *connected = NULL;
	_cleanup_(freep) struct ruleset_binding *own = NULL;
	struct refill refill = { .d = d };
	struct ruleset_model model;
	size_t changes = 0;
	bool foreign = d->ruleset_foreign;
	int r;

	r = sync_ruleset_model(d, &model, &own, &connected);
	if (r < 0)
		return err_set(e, r, "out of memory");
	if (foreign)
		ruleset_invalidate(d->ruleset);
	d->ruleset_foreign = false;
	r = ruleset_sync(d->ruleset, &model, refill_next, &refill, &changes, e);
	if (r < 0) {
		d->ruleset_foreign = foreign;
		return r;
	}
	d->stats.ruleset_changes += changes;
	if (foreign && changes) {
		repaired(d, REPAIR_RULESET, changes);
		d->unmarked_possible =
			true; /* packets that passed meanwhile left entries without a mark */
		d->unmarked_check_ms = clock_now_ms() + RETRY_MS;
	}
	return 0;
}

void sync_now(struct daemon *d)
{
	struct timeval retry = { .tv_sec = RETRY_MS / 1000 };
	struct err e = { 0 };
	uint64_t version;
	uint32_t dropped;
	int r, r2;

	if (!d->ready)
		return;
	carried_adopt(d);
	version = registry_version(d->registry);
	sync_changes_report(d);
	/* Events of flows that are about to be learned anew must not be missed. */
	flows_updates_judge(d);
	/* Tables and rules stand before a mark leads to them. */
	r = policy_write(d, &e);
	if (r < 0 && r != -EAGAIN && log_limit_pass(&d->limit_policy, clock_now_ms(), &dropped))
		log_error("policy routing cannot be written: %s", e.text);
	e.text[0] = '\0';
	r2 = ruleset_write(d, &e);
	if (r2 < 0 && log_limit_pass(&d->limit_kernel, clock_now_ms(), &dropped))
		log_error("the nftables table cannot be written: %s", e.text);
	d->registry_synced = version;
	if (r < 0 || r2 < 0)
		event_add(d->ev_sync, &retry);
	else if (registry_version(d->registry) != version)
		sync_soon(d);
}

static void on_sync(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	sync_now(arg);
}

void sync_soon(struct daemon *d)
{
	if (d->ev_sync)
		event_active(d->ev_sync, EV_TIMEOUT, 0);
}

static void on_nft(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct daemon *d = arg;
	bool foreign = false;
	int r = ruleset_monitor_read(d->ruleset, &foreign);

	if (r < 0)
		log_error("nf_tables notifications cannot be read: %s", strerror(-r));
	if (foreign) {
		d->ruleset_foreign = true;
		sync_soon(d);
	}
}

int sync_open(struct daemon *d, struct err *e)
{
	struct ruleset_options options = { .no_owner = d->options.no_owner };
	int r;

	r = ruleset_new(&options, &d->ruleset, e);
	if (r == 0)
		r = policy_new(&d->policy, e);
	if (r < 0)
		return r;
	d->ev_sync = event_new(d->base, -1, 0, on_sync, d);
	d->ev_nft =
		event_new(d->base, ruleset_monitor_fd(d->ruleset), EV_READ | EV_PERSIST, on_nft, d);
	if (!d->ev_sync || !d->ev_nft)
		return err_set(e, -ENOMEM, "out of memory");
	event_priority_set(d->ev_sync, PRIORITY_WORK);
	event_priority_set(d->ev_nft, PRIORITY_WORK);
	event_add(d->ev_nft, NULL);
	return 0;
}
