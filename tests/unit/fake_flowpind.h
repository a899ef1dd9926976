/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A daemon with canned answers, on the real control server, for tests of the command line. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "control/server.h"

#define FLOWS 1000
#define BINDING(id, state)                                                                         \
	"{\"id\":" #id ",\"mark\":\"0x0" #id "000000\",\"table\":1700" #id ",\"service\":\"web\"," \
	"\"nexthop\":\"10.1.0." #id "%eth1\",\"state\":\"" state                                   \
	"\",\"reason\":\"a route names it\","                                                      \
	"\"state_ms\":200000,\"named\":true,\"pinned\":true,\"flows\":12345,\"one_way\":45,"       \
	"\"first_packets\":20000,\"packets\":1234567,\"bytes\":9876543210,\"health\":\"alive\"}"

struct stream {
	unsigned sent, all;
};

static void reply_text(struct control_call *c, const char *text)
{
	struct strbuf b = { 0 };

	strbuf_adds(&b, text);
	control_reply_text(c, &b);
	strbuf_free(&b);
}

static const char *text_of(struct json_object *o, const char *key)
{
	return js_text(o, key);
}

static void status(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	reply_text(c,
		   "{\"version\":\"0.1.0\",\"pid\":7,\"instance\":\"i\",\"uptime_ms\":11000000,"
		   "\"state\":\"running\","
		   "\"config\":\"/etc/x\\u001b[2J\\n\",\"config_age_ms\":1000,"
		   "\"flows\":{\"count\":12345,\"max\":1000000,\"tracked\":12300,\"one_way\":45,"
		   "\"refused\":0,\"memory\":1},"
		   "\"pins\":{\"max\":1000000,\"lost\":0},"
		   "\"bindings\":{\"used\":4,\"max\":255,\"active\":3,\"draining\":1,\"dead\":0,"
		   "\"unreachable\":0},"
		   "\"events\":{\"received\":5,\"new\":1,\"update\":2,\"destroy\":2,\"overruns\":0,"
		   "\"resyncs\":0,"
		   "\"updates_wanted\":false,\"receive_buffer\":1,\"undecodable\":0},"
		   "\"kernel\":{\"owner\":true,\"routes\":1,\"ruleset_changes\":1,\"policy_"
		   "changes\":1,\"policy_failed\":0},"
		   "\"repairs\":{\"ruleset\":0,\"policy\":0},\"unpinned_flows\":0,"
		   "\"clients\":{\"connected\":1,\"requests\":1,\"refused\":0},"
		   "\"services\":[{\"name\":\"web\",\"prefixes\":[\"1.1.1.1/32\",\"2001:db8::1/"
		   "128\"],\"protocols\":[\"tcp\"],"
		   "\"ports\":[\"80\",\"443\"],\"idle_timeout_ms\":300000,\"on_withdraw\":\"hold\","
		   "\"nexthops\":4,"
		   "\"active\":3,\"flows\":12345}],"
		   "\"overrides\":[{\"service\":\"web\",\"prefix\":\"1.1.1.1/"
		   "32\",\"source_table\":254,\"table\":18000,"
		   "\"length\":32,\"routes\":1,\"without\":[\"10.1.0.4%eth1\"],\"age_ms\":61000}],"
		   "\"unpinned\":[{\"service\":\"web\",\"nexthop\":\"10.1.0.9%eth3\"}],"
		   "\"warnings\":[{\"code\":\"rp-filter\",\"text\":\"strict rp_filter on eth1\","
		   "\"command\":\"sysctl -w net.ipv4.conf.eth1.rp_filter=2\"}]}");
}

static void nexthops(struct control_call *c, struct json_object *params, void *arg _unused_)
{
	if (*text_of(params, "service") && strcmp(text_of(params, "service"), "web") != 0)
		control_error(c, "NotFound", "there is no service %s", text_of(params, "service"));
	else
		reply_text(c,
			   "{\"nexthops\":[" BINDING(1, "active") "," BINDING(2, "draining") "]}");
}

static void flow_text(struct strbuf *b, unsigned i)
{
	strbuf_addf(b,
		    "{\"protocol\":\"tcp\",\"src\":\"12.12.%u.%u\",\"sport\":%u,\"dst\":\"1.1.1."
		    "1\",\"dport\":80,\"zone\":%u,"
		    "\"service\":\"web\",\"nexthop\":\"10.1.0.%u%%eth1\",\"id\":%u,\"mark\":"
		    "\"0x01000000\",\"state\":\"active\","
		    "\"replied\":true,\"witness\":\"conntrack\",\"learned\":\"new\",\"age_ms\":%u}",
		    i / 256 % 256, i % 256, 1024 + i % 60000, i % 2 ? 0 : 101, i % 3 + 1, i % 3 + 1,
		    i * 1000);
}

static void flows_pump(struct control_call *c, void *data)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	struct stream *s = data;

	strbuf_adds(&b, "{\"flows\":[");
	for (unsigned n = 0; n < 128 && s->sent < s->all; n++) {
		strbuf_adds(&b, n ? "," : "");
		flow_text(&b, s->sent++);
	}
	strbuf_adds(&b, "]}");
	if (s->sent == s->all)
		control_reply_text(c, &b);
	else
		control_continue_text(c, &b);
}

static void stream_gone(struct control_call *c _unused_, void *data)
{
	free(data);
}

static void flows(struct control_call *c, struct json_object *params, void *arg)
{
	struct stream *s = calloc(1, sizeof(*s));
	bool one = *js_text(js_object(params, "filter"), "nexthop");

	s->all = one ? 2 : *(unsigned *)arg;
	control_call_stream(c, flows_pump, stream_gone, s);
}

static void show(struct control_call *c, struct json_object *params, void *arg _unused_)
{
	_cleanup_(strbuf_free) struct strbuf b = { 0 };

	if (js_int(js_object(params, "filter"), "sport") != 30001) {
		control_error(c, "NotFound", "no such flow is known");
		return;
	}
	strbuf_adds(&b, "{\"flow\":");
	flow_text(&b, 1);
	strbuf_adds(&b, ",\"conntrack\":{\"present\":true,\"mark\":\"0x01000000\",\"timeout\":100,"
			"\"assured\":true},"
			"\"pin\":{\"present\":false},\"binding\":" BINDING(1, "active") "}");
	control_reply_text(c, &b);
}

/* Three replies, then the outcome that the nexthop's last digit stands for. */
static void drain_pump(struct control_call *c, void *data)
{
	struct stream *s = data;
	_cleanup_(strbuf_free) struct strbuf b = { 0 };
	bool last = s->sent == 2;

	strbuf_addf(&b, "{\"done\":%s,\"outcome\":\"%s\",\"flows\":%u,\"bindings\":[]}",
		    last ? "true" : "false",
		    !last    ? "draining"
		    : s->all ? "deadline"
			     : "empty",
		    last ? s->all : 9);
	s->sent++;
	if (last)
		control_reply_text(c, &b);
	else
		control_continue_text(c, &b);
}

static void drain(struct control_call *c, struct json_object *params, void *arg _unused_)
{
	struct stream *s;

	if (strcmp(text_of(params, "nexthop"), "10.1.0.9") == 0) {
		control_error(c, "Refused", "it is the last nexthop of web");
	} else if (!js_bool(params, "wait")) {
		reply_text(c, "{\"done\":true,\"outcome\":\"draining\",\"flows\":12345,"
			      "\"bindings\":[" BINDING(2, "draining") "]}");
	} else {
		s = calloc(1, sizeof(*s));
		s->all = js_has(params, "deadline_ms") ? 2 : 0;
		control_call_stream(c, drain_pump, stream_gone, s);
	}
}

static void release(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	reply_text(c, "{\"flows\":1,\"bindings\":[" BINDING(2, "dead") "]}");
}

/* What verify finds goes by how many clients asked before. */
static void verify(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	if (control_call_uid(c) != getuid())
		return;
	reply_text(c, "{\"done\":true,\"clean\":false,\"differences\":[{\"plane\":\"pins\","
		      "\"subject\":\"tcp x\","
		      "\"text\":\"missing\"}],\"unread\":[],\"flows\":1000,\"conntrack\":1001,"
		      "\"pins\":999}");
}

static void monitor(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	reply_text(c, "{\"events\":[{\"time\":0,\"kind\":\"nexthop\",\"text\":\"10.1.0.2%eth1 of "
		      "web: active -> dead\"}]}");
}

static void nothing(struct control_call *c, struct json_object *params _unused_, void *arg _unused_)
{
	control_reply(c, NULL);
}

static const struct control_method methods[] = {
	{ "io.flowpin.Status", CONTROL_READ, false, status },
	{ "io.flowpin.Nexthops", CONTROL_READ, false, nexthops },
	{ "io.flowpin.Flows", CONTROL_READ, true, flows },
	{ "io.flowpin.Show", CONTROL_READ, false, show },
	{ "io.flowpin.Drain", CONTROL_ADMIN, true, drain },
	{ "io.flowpin.Release", CONTROL_ADMIN, false, release },
	{ "io.flowpin.Verify", CONTROL_READ, true, verify },
	{ "io.flowpin.Monitor", CONTROL_READ, true, monitor },
	{ "io.flowpin.Teardown", CONTROL_ADMIN, false, nothing },
	{ NULL, CONTROL_READ, false, NULL },
};

static int serve(const char *path, unsigned n)
{
	static const char interface[] =
#include "varlink.h"
		;
	struct control_options o = {
		.path = path,
		.mode = 0600,
		.group = (gid_t)-1,
		.methods = methods,
		.interface = interface,
		.vendor = "t",
		.product = "t",
		.version = "0",
		.limits = { .max_clients = 64, .max_clients_per_uid = 64 },
		.arg = &n,
	};
	struct event_base *base = event_base_new();
	struct control_server *s;
	struct err e = { 0 };

	if (!base || event_base_priority_init(base, 3) < 0 ||
	    control_server_new(base, &o, &s, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	event_base_dispatch(base);
	return 0;
}
