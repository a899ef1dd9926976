// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuzz/daemon_world.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/rtnetlink.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "core/override.h"
#include "core/rib.h"
#include "daemon/flows.h"
#include "daemon/methods.h"
#include "daemon/netstate.h"
#include "daemon/routes.h"
#include "pin/policy.h"

#define TURNS 200

static const char configuration[] =
	"state-dir = \"%s\"\n"
	"limits { max-flows = 2000 max-pins = 2000 }\n"
	"service web { prefix = {1.1.1.1/32, 2001:db8::1/128} port = {80, 443} }\n"
	"service dns { prefix = 1.1.1.1/32 protocol = udp port = 53 on-withdraw = release }\n"
	"switch s1 { eapi = \"https://h\" place = all max-flows = 20\n"
	"  mirror { source = 5.5.5.5 destination = 10.0.0.9 interface = eth9 zone = 101 "
	"max-flows = 50 } }\n"
	"switch s2 { eapi = \"https://h\" place = heavy expiry = flowpin capacity = 10 "
	"max-flows = 5 }\n";

static struct ip_addr address(const char *text)
{
	struct ip_addr a;

	FUZZ_CHECK(ip_addr_parse(text, &a) == 0);
	return a;
}

static void add_link(struct daemon *d, uint32_t ifindex, const char *name)
{
	struct link *l = &d->links.list[d->links.n++];

	*l = (struct link){ .ifindex = ifindex, .up = true, .carrier = true };
	snprintf(l->name, sizeof(l->name), "%s", name);
}

static void add_route(struct daemon *d, const char *prefix)
{
	struct route_nexthop hops[3] = {
		{ .gateway = address("10.1.1.2"), .ifindex = 11, .weight = 1 },
		{ .gateway = address("10.1.2.2"), .ifindex = 12, .weight = 1 },
		{ .gateway = address("10.1.3.2"), .ifindex = 13, .weight = 2 },
	};
	struct route r = { .key = { .table = RT_TABLE_MAIN },
			   .type = RTN_UNICAST,
			   .nexthops = hops,
			   .n_nexthops = ARRAY_SIZE(hops) };

	FUZZ_CHECK(ip_prefix_parse(prefix, &r.key.prefix) == 0);
	FUZZ_CHECK(rib_route_add(d->rib, &r, false) >= 0);
}

static void add_flow(struct daemon *d, uint16_t sport, uint8_t id, uint8_t proto)
{
	struct flows_queue q;
	struct ct_entry e = { .event = CT_EVENT_NEW,
			      .tuple = { .src = { 12, 12, 12, 1 },
					 .dst = { 1, 1, 1, 1 },
					 .sport = sport,
					 .family = AF_INET,
					 .proto = proto },
			      .mark = mark_of(d, id),
			      .status = IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED,
			      .has_status = true };

	e.tuple.dport = proto == IPPROTO_UDP ? 53 : 80;
	flows_queue_begin(&q, d, clock_now_ms());
	q.entry[0] = e;
	flows_queue_push(&q);
	flows_queue_flush(&q);
}

/* Sockets and libraries' objects that are the same for every input. */
static void kernel_side(struct daemon *d)
{
	static struct ruleset ruleset;
	struct nft_batch *batch = ruleset.batch;
	static struct policy *policy;
	struct nl *nl = fuzz_kernel(NULL, 0);
	struct err e;

	rs_image_clear(&ruleset.actual);
	if (!batch)
		FUZZ_CHECK(nft_batch_new(&batch) == 0);
	ruleset = (struct ruleset){ .nl = nl,
				    .monitor = nl,
				    .dump = nl,
				    .batch = batch,
				    .can_destroy = true,
				    .mark_mask = d->config->numbers.mark_mask };
	if (!policy)
		FUZZ_CHECK(policy_new(&policy, &e) == 0);
	policy_invalidate(policy);
	d->ruleset = &ruleset;
	d->policy = policy;
	d->ct_request = d->ct_events = d->rt_request = d->rt_probe = nl;
}

static void model(struct daemon *d)
{
	static const uint64_t seed[2] = { 1, 2 };
	struct registry_limits limits = daemon_limits(d->config);

	d->rib_versions = calloc(d->config->services.n, sizeof(*d->rib_versions));
	d->links.list = calloc(4, sizeof(*d->links.list));
	d->links.cap = 4;
	FUZZ_CHECK(d->rib_versions && d->links.list);
	FUZZ_CHECK(rib_new(&d->config->services, &d->rib) == 0);
	FUZZ_CHECK(registry_new(&limits, &d->registry) == 0);
	FUZZ_CHECK(flow_table_new(d->config->limits.max_flows, seed, &d->flows) == 0);
	add_link(d, 11, "eth1");
	add_link(d, 12, "eth2");
	add_link(d, 13, "eth3");
	add_route(d, "1.1.1.1/32");
	d->ready = true;
	members_apply(d, true);
	for (uint16_t i = 0; i < 12; i++)
		add_flow(d, (uint16_t)(30000 + i), (uint8_t)(i % 6 + 1),
			 i % 2 ? IPPROTO_UDP : IPPROTO_TCP);
}

static void no_work(evutil_socket_t fd _unused_, short what _unused_, void *arg _unused_)
{
}

static void servers(struct daemon *d)
{
	static char path[PATH_MAX];
	struct control_options o = { .path = path,
				     .mode = 0600,
				     .group = (gid_t)-1,
				     .methods = methods_table(),
				     .interface = "interface io.flowpin\n",
				     .vendor = "fuzz",
				     .product = "fuzz",
				     .version = "0",
				     .limits = { .max_clients = 8, .max_clients_per_uid = 8 },
				     .arg = d };
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/control.sock", fuzz_directory());
	d->options.socket_path = path;
	d->options.config_path = "/nonexistent/flowpin.conf";
	FUZZ_CHECK(control_server_new(d->base, &o, &d->server, &e) == 0);
	FUZZ_CHECK(switches_open(d, &e) == 0);
	mirror_socket_listen(d->switches->socket);
	/* What it would write has been fuzzed as a reading of the kernel's. */
	d->ev_sync = event_new(d->base, -1, 0, no_work, NULL);
	FUZZ_CHECK(d->ev_sync);
}

void world_begin(struct world *w)
{
	struct daemon *d = &w->d;
	char text[sizeof(configuration) + PATH_MAX];
	struct err e = { 0 };

	log_set_level((enum log_level)0);
	memset(w, 0, offsetof(struct world, out));
	w->n_out = 0;
	w->received = 0;
	w->fd = -1;
	snprintf(text, sizeof(text), configuration, fuzz_directory());
	if (config_parse("fuzz", text, strlen(text), &d->config, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	d->started_ms = d->config_ms = clock_now_ms();
	d->base = event_base_new();
	FUZZ_CHECK(d->base && event_base_priority_init(d->base, PRIORITY_COUNT) == 0);
	kernel_side(d);
	servers(d);
	model(d);
}

void world_end(struct world *w)
{
	struct daemon *d = &w->d;

	if (w->fd >= 0)
		close(w->fd);
	world_run(w);
	control_server_free(d->server);
	switches_close(d);
	flows_dump_cancel(d);
	event_free(d->ev_sync);
	override_list_free(d->overrides, d->n_overrides);
	flow_table_free(d->flows);
	rib_free(d->rib);
	registry_free(d->registry);
	free(d->rib_versions);
	free(d->intent.list);
	netstate_free(d);
	event_base_free(d->base);
	config_free(d->config);
}

void world_connect(struct world *w, struct control_server *server)
{
	struct control_client *client;
	int pair[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	FUZZ_CHECK(client_new(server, pair[1], 0, getpid(), true, &client) == 0);
	w->server = server;
	w->fd = pair[0];
}

/* Returns whether anything came. */
static bool drain_replies(struct world *w)
{
	bool any = false;
	ssize_t n;

	while (w->fd >= 0 && (n = recv(w->fd, w->out, sizeof(w->out), MSG_DONTWAIT)) > 0) {
		w->n_out = (size_t)n;
		w->received += (uint64_t)n;
		any = true;
	}
	return any;
}

void world_run(struct world *w)
{
	/* A timer of 0 is due in the next turn only. */
	for (int i = 0, quiet = 0; i < TURNS && quiet < 3; i++) {
		event_base_loop(w->d.base, EVLOOP_NONBLOCK);
		quiet = drain_replies(w) ? 0 : quiet + 1;
	}
}

void world_send(struct world *w, const void *data, size_t size)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = send(w->fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			break;
		p += n;
		size -= (size_t)n;
		world_run(w);
	}
	world_run(w);
}
