// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/oneshot.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "daemon/conntrack.h"
#include "daemon/instance.h"
#include "flowpin/flowpin.h"
#include "pin/policy.h"
#include "pin/ruleset.h"

struct marked {
	struct tuple_list found;
	uint32_t mask;
};

static int on_marked(const struct nlmsghdr *nlh, void *arg)
{
	struct marked *m = arg;
	struct ct_entry entry;

	if (ct_decode(nlh, &entry) < 0 || !(entry.mark & m->mask))
		return 0;
	return tuple_list_add(&m->found, &entry.tuple, SIZE_MAX);
}

static void restart(void *arg)
{
	((struct marked *)arg)->found.n = 0;
}

int oneshot_clear_marks(struct nl *nl, uint32_t mask, struct err *e)
{
	char buf[NL_REQUEST_MAX];
	struct marked m = { .mask = mask };
	int r;

	r = nl_dump(nl, ct_request_dump(buf, 0, 0), on_marked, restart, &m, e);
	if (r == 0)
		r = conntrack_mark(nl, mask, m.found.list, NULL, m.found.n, e);
	tuple_list_clear(&m.found);
	return r;
}

static int marks_remove(uint32_t mask, struct err *e)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	int r = nl_open(NETLINK_NETFILTER, &nl);

	return r < 0 ? r : oneshot_clear_marks(nl, mask, e);
}

int oneshot_remove(const struct config *config, bool overrides_only)
{
	_cleanup_(ruleset_freep) struct ruleset *ruleset = NULL;
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(closep) int claim = -1;
	/* None: what stands may have been made with others than those that the configuration has
	 * now. */
	const struct policy_model numbers = { 0 };
	struct err e = { 0 };
	size_t removed = 0;
	int r;

	r = instance_claim(&claim);
	if (r < 0 && r != -EADDRINUSE) {
		log_error("whether flowpind is running here cannot be told: %s", strerror(-r));
		return FLOWPIN_EXIT_FAILED;
	}
	if (r < 0) {
		log_error("flowpind is running here: %s",
			  overrides_only ? "it looks after its overrides itself"
					 : "use `flowpin teardown`, or stop it first");
		return FLOWPIN_EXIT_FAILED;
	}
	/* The packet path first: no mark must lead to a table that is gone. */
	if (!overrides_only) {
		r = ruleset_new(NULL, &ruleset, &e);
		if (r == 0)
			r = ruleset_remove(ruleset, &e);
		if (r == 0 && config)
			r = marks_remove(config->numbers.mark_mask, &e);
		if (r < 0)
			goto failed;
	}
	r = policy_new(&policy, &e);
	if (r == 0)
		r = policy_remove(policy, &numbers, overrides_only, &removed, &e);
	if (r < 0)
		goto failed;
	log_info("%zu rules and routes removed", removed);
	return FLOWPIN_EXIT_OK;
failed:
	log_error("not everything could be removed: %s", e.text[0] ? e.text : strerror(-r));
	return FLOWPIN_EXIT_FAILED;
}
