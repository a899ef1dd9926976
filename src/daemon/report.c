// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/report.h"

#include <string.h>
#include "base/clock.h"
#include "daemon/switches.h"
#include "daemon/sync.h"
#include "pin/ruleset.h"

static const char *const sources[FLOW_SOURCE_COUNT] = {
	[FLOW_SOURCE_NEW] = "new",	 [FLOW_SOURCE_UPDATE] = "update",
	[FLOW_SOURCE_DUMP] = "dump",	 [FLOW_SOURCE_PIN_MAP] = "pin-map",
	[FLOW_SOURCE_MIRROR] = "mirror", [FLOW_SOURCE_SWITCH] = "switch"
};

static const char *health_name(const struct nexthop *nh)
{
	static const char *const names[] = { [HEALTH_UNKNOWN] = "unknown",
					     [HEALTH_ALIVE] = "alive",
					     [HEALTH_SUSPECT] = "suspect",
					     [HEALTH_FAILED] = "failed" };

	return nh->link_up ? names[nh->health] : "link-down";
}

static void add_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_int(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static struct json_object *drain_json(const struct binding *b)
{
	struct json_object *o = json_object_new_object();

	add_int(o, "since", b->drain_since_s);
	if (b->drain_deadline_s)
		add_int(o, "deadline", b->drain_deadline_s);
	if (b->drain_release_s)
		add_int(o, "release_at", b->drain_release_s);
	add_int(o, "uid", b->drain_uid);
	return o;
}

struct json_object *report_binding(struct daemon *d, const struct binding *b,
				   const struct ruleset_counters *counters)
{
	struct json_object *o = json_object_new_object();
	struct nexthop_spec spec = binding_spec(b);
	uint64_t now = clock_now_ms();
	char text[NEXTHOP_TEXT], mark[16];

	snprintf(mark, sizeof(mark), "0x%08x", mark_of(d, b->id));
	add_int(o, "id", b->id);
	add_text(o, "mark", mark);
	add_int(o, "table", d->config->numbers.table_base + b->id);
	add_text(o, "service", b->service);
	add_text(o, "nexthop", nexthop_spec_format(&spec, text));
	add_text(o, "state", binding_state_name(b->state));
	add_text(o, "reason", binding_reason_text(b->reason));
	add_int(o, "state_ms", now - b->state_ms);
	add_bool(o, "named", b->named);
	add_bool(o, "pinned", !b->blind);
	add_int(o, "flows", d->id_flows[b->id]);
	add_int(o, "one_way", d->id_one_way[b->id]);
	add_int(o, "first_packets", counters ? counters->binding[b->id].first_packets : 0);
	add_int(o, "packets", counters ? counters->binding[b->id].later_packets : 0);
	add_int(o, "bytes", counters ? counters->binding[b->id].later_bytes : 0);
	add_text(o, "health", health_name(b->nexthop));
	if (b->nexthop->confirmed_ms)
		add_int(o, "confirmed_ms", now - b->nexthop->confirmed_ms);
	if (b->drained)
		json_object_object_add(o, "drain", drain_json(b));
	return o;
}

/* By hand and not by json-c: a million of them are printed at a time. Every text in it is our own
 * (addresses, names from the configuration) or escaped (interface names). */
void report_flow_text(struct daemon *d, const struct flow *f, uint64_t now_ms, struct strbuf *out)
{
	const struct binding *b = registry_binding(d->registry, f->binding);
	char src[IP_ADDR_TEXT], dst[IP_ADDR_TEXT], text[NEXTHOP_TEXT] = "", number[8];
	const char *service = b ? b->service : "",
		   *state = b ? binding_state_name(b->state) : "unknown";
	struct ip_addr s = tuple_src(&f->tuple), t = tuple_dst(&f->tuple);
	const char *proto = proto_name(f->tuple.proto);

	if (!proto) {
		snprintf(number, sizeof(number), "%u", f->tuple.proto);
		proto = number;
	}
	if (b) {
		struct nexthop_spec spec = binding_spec(b);

		nexthop_spec_format(&spec, text);
	}
	switches_flow_words(d, f, &service, &state, text);
	strbuf_addf(out,
		    "{\"protocol\":\"%s\",\"src\":\"%s\",\"sport\":%u,\"dst\":\"%s\",\"dport\":%u,"
		    "\"zone\":%u,\"service\":\"%s\","
		    "\"nexthop\":",
		    proto, ip_addr_format(&s, src), f->tuple.sport, ip_addr_format(&t, dst),
		    f->tuple.dport, f->tuple.zone, service);
	strbuf_add_json(out, text);
	strbuf_addf(out,
		    ",\"id\":%u,\"mark\":\"0x%08x\",\"state\":\"%s\",\"witness\":\"%s\","
		    "\"learned\":\"%s\",\"age_ms\":%llu%s%s",
		    f->binding, mark_of(d, f->binding), state,
		    f->flags & FLOW_PIN ? "pin" : "conntrack", sources[f->source],
		    (unsigned long long)(now_ms - f->since_ms),
		    f->flags & FLOW_REPLIED ? ",\"replied\":true" : "",
		    f->closed ? ",\"closed\":true" : "");
	switches_flow_text(d, f, out);
	strbuf_adds(out, "}");
}
