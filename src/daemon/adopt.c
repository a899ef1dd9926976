// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/sync.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "daemon/liveness.h"
#include "daemon/netstate.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

/* What an earlier run left in the kernel, taken over: the chains of the table name the bindings,
 * their routing tables tell interface and MTU. */

static const struct policy_found *table_of(const struct policy_found *list, size_t n, uint8_t id)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].id == id)
			return &list[i];
	return NULL;
}

static void adopt_one(struct daemon *d, const struct ruleset_found *f,
		      const struct policy_found *table)
{
	const struct service *s = daemon_service(d, f->service);
	struct nexthop_attributes a = { .mtu = table ? table->mtu : 0,
					.families = table ? table->families : 0 };
	const struct link *link;
	struct nexthop_spec spec;
	uint32_t ifindex;
	int r;

	if (!s) {
		log_notice("id %u belonged to service %s, which is not configured any more: its "
			   "flows are no longer pinned",
			   f->id, f->service);
		return;
	}
	if (nexthop_spec_parse(f->label, &spec) < 0) {
		log_warning("id %u in the kernel names a nexthop that cannot be read", f->id);
		return;
	}
	link = netstate_link_by_name(d, spec.ifname);
	ifindex = link ? link->ifindex : table ? table->ifindex : 0;
	if (!ifindex) {
		log_notice("service %s: %s is not taken over, its interface is gone", f->service,
			   f->label);
		return;
	}
	if (!a.families)
		a.families = spec.addr.family == AF_INET6 ? 2 : 1;
	r = registry_adopt(d->registry, s, &spec.addr, ifindex, spec.ifname, &a, f->id,
			   clock_now_ms());
	if (r < 0)
		log_warning("service %s: %s (id %u) is not taken over: %s", f->service, f->label,
			    f->id, strerror(-r));
	else
		liveness_new_nexthop(d, &spec.addr, ifindex);
}

int sync_adopt(struct daemon *d, struct err *e)
{
	_cleanup_(freep) struct ruleset_found *found = NULL;
	_cleanup_(freep) struct policy_found *tables = NULL;
	struct ruleset_model numbers = { .services = &d->config->services,
					 .mark_mask = d->config->numbers.mark_mask,
					 .table_base = d->config->numbers.table_base,
					 .rule_priority = d->config->numbers.rule_priority,
					 .max_pins = d->config->limits.max_pins };
	struct policy_model policy_numbers = { .mark_mask = numbers.mark_mask,
					       .table_base = numbers.table_base,
					       .rule_priority = numbers.rule_priority };
	size_t n_found = 0, n_tables = 0;
	bool present;
	int r;

	r = ruleset_read(d->ruleset, &numbers, &present, &found, &n_found, e);
	if (r < 0)
		return r;
	r = policy_read(d->policy, &policy_numbers, &tables, &n_tables, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_found; i++)
		adopt_one(d, &found[i], table_of(tables, n_tables, found[i].id));
	if (present)
		log_info("%zu nexthops were taken over from the kernel", n_found);
	return present;
}
