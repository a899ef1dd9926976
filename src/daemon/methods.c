// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/methods.h"

#include <string.h>
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/drain.h"
#include "daemon/events.h"
#include "daemon/params.h"
#include "daemon/report.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "daemon/teardown.h"
#include "daemon/verify.h"
#include "flowpin/flowpin.h"
#include "pin/ruleset.h"

static void nexthops_method(struct control_call *call, struct json_object *params, void *arg)
{
	struct daemon *d = arg;
	_cleanup_(freep) struct ruleset_counters *counters = calloc(1, sizeof(*counters));
	const char *service = param_string(params, "service");
	struct json_object *o, *list;
	const struct binding *b;
	struct err e = { 0 };
	uint8_t cursor = 0;

	if (!params_check(call, params, "service", NULL))
		return;
	if (service && !daemon_service(d, service)) {
		control_error(call, "NotFound", "there is no service %s", service);
		return;
	}
	if (!counters || ruleset_counters_read(d->ruleset, counters, &e) < 0) {
		control_error(call, "Failed", "the counters cannot be read: %s", e.text);
		return;
	}
	list = json_object_new_array();
	while ((b = registry_binding_next(d->registry, &cursor)))
		if (!service || strcmp(service, b->service) == 0)
			json_object_array_add(list, report_binding(d, b, counters));
	o = json_object_new_object();
	json_object_object_add(o, "nexthops", list);
	control_reply(call, o);
}

static void monitor_method(struct control_call *call, struct json_object *params, void *arg)
{
	if (!params_check(call, params, "flows", NULL))
		return;
	if (!control_call_more(call)) {
		control_error(call, "Refused", "Monitor is called with \"more\"");
		return;
	}
	events_subscribe(arg, call, param_bool(params, "flows"));
}

const struct control_method *methods_table(void)
{
	static const struct control_method methods[] = {
		{ "io.flowpin.Status", CONTROL_READ, false, status_method },
		{ "io.flowpin.Nexthops", CONTROL_READ, false, nexthops_method },
		{ "io.flowpin.Switches", CONTROL_READ, false, switches_method },
		{ "io.flowpin.Flows", CONTROL_READ, true, flows_method },
		{ "io.flowpin.Show", CONTROL_READ, false, show_method },
		{ "io.flowpin.Verify", CONTROL_READ, true, verify_method },
		{ "io.flowpin.Monitor", CONTROL_READ, true, monitor_method },
		{ "io.flowpin.Drain", CONTROL_ADMIN, true, drain_method },
		{ "io.flowpin.Undrain", CONTROL_ADMIN, false, undrain_method },
		{ "io.flowpin.Release", CONTROL_ADMIN, false, release_method },
		{ "io.flowpin.Teardown", CONTROL_ADMIN, false, teardown_method },
		{ 0 },
	};

	return methods;
}
