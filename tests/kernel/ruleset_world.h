/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "kernel/netns.h"
#include "pin/ruleset.h"

/* A gateway (this process's own network namespace) between a client and two servers, each in a
 * namespace of its own, and the model of two services for it. */

#define WORLD_TEXT (256u << 10)
#define WORLD_DEADLINE_MS 5000

/* Ids of the model's bindings. */
enum { WEB_1 = 1, WEB_2 = 2, WEB_6 = 3, DNS_LINK = 4 };

struct world {
	char client[32], server[2][32]; /* names of namespaces */
	int home;			/* the gateway's */
	struct ip_prefix web_prefixes[2], dns_prefixes[2];
	struct port_range web_ports[2], dns_ports[1];
	struct service services[2];
	struct service_set set;
	struct ruleset_binding bindings[4];
	struct ruleset_connected connected[1];
	struct ruleset_model model;
};

/* Runs a command of the shell; its output goes into text (WORLD_TEXT bytes; may be NULL). Returns
 * its exit code. */
static inline _unused_ _printf_(2, 3) int world_run(char *text, const char *fmt, ...)
{
	char command[1024], line[1024];
	size_t len = 0;
	va_list ap;
	int status;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (text)
		text[0] = '\0';
	f = popen(command, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (text && len + strlen(line) < WORLD_TEXT)
			len += (size_t)snprintf(text + len, WORLD_TEXT - len, "%s", line);
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline bool world_shell(const char *const *lines, size_t n, const struct world *w)
{
	for (size_t i = 0; i < n; i++) {
		if (world_run(NULL, "C=%s; S1=%s; S2=%s; %s", w->client, w->server[0], w->server[1],
			      lines[i]) == 0)
			continue;
		printf("# cannot do: %s\n", lines[i]);
		return false;
	}
	return true;
}

static inline void world_end_namespaces(const struct world *w)
{
	world_run(NULL, "for n in %s %s %s; do ip netns del $n; done 2>/dev/null", w->client,
		  w->server[0], w->server[1]);
}

/* 12.12.12.0/24 client, 10.1.0.0/24 and 10.2.0.0/24 servers, the same in fd00:12::, fd00:1::,
 * fd00:2::. The VIPs are 1.1.1.1 and 2001:db8::1. Nobody resolves a neighbour: they are permanent,
 * so that the first packet passes at once. */
static inline bool world_network(struct world *w)
{
	static const char *const lines[] = {
		"ip netns add $C && ip netns add $S1 && ip netns add $S2",
		"ip link add c0 address 02:00:00:00:0c:01 type veth peer name e0 address "
		"02:00:00:00:0c:02 netns $C",
		"ip link add s1 address 02:00:00:00:01:01 type veth peer name e0 address "
		"02:00:00:00:01:02 netns $S1",
		"ip link add s2 address 02:00:00:00:02:01 type veth peer name e0 address "
		"02:00:00:00:02:02 netns $S2",
		"for d in c0 s1 s2; do ip link set $d up; done",
		"for n in $C $S1 $S2; do ip -n $n link set lo up; ip -n $n link set e0 up; done",
		"ip addr add 12.12.12.1/24 dev c0; ip addr add 10.1.0.1/24 dev s1; ip addr add "
		"10.2.0.1/24 dev s2",
		"ip -6 addr add fd00:12::1/64 dev c0 nodad; ip -6 addr add fd00:1::1/64 dev s1 "
		"nodad",
		"ip -n $C addr add 12.12.12.2/24 dev e0; ip -n $C -6 addr add fd00:12::2/64 dev e0 "
		"nodad",
		"ip -n $C route add default via 12.12.12.1; ip -n $C -6 route add default via "
		"fd00:12::1",
		"ip -n $C neigh replace 12.12.12.1 lladdr 02:00:00:00:0c:01 dev e0",
		"ip -n $C neigh replace fd00:12::1 lladdr 02:00:00:00:0c:01 dev e0",
		"ip neigh replace 10.1.0.2 lladdr 02:00:00:00:01:02 dev s1",
		"ip neigh replace 10.2.0.2 lladdr 02:00:00:00:02:02 dev s2",
		"ip neigh replace fd00:1::2 lladdr 02:00:00:00:01:02 dev s1",
		"echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 "
		">/proc/sys/net/ipv6/conf/all/forwarding",
		"ip route add 1.1.1.1/32 via 10.1.0.2; ip -6 route add 2001:db8::1/128 via "
		"fd00:1::2",
	};

	snprintf(w->client, sizeof(w->client), "fprs%d-c", (int)getpid());
	snprintf(w->server[0], sizeof(w->server[0]), "fprs%d-s1", (int)getpid());
	snprintf(w->server[1], sizeof(w->server[1]), "fprs%d-s2", (int)getpid());
	return world_shell(lines, ARRAY_SIZE(lines), w);
}

static inline struct ip_prefix world_prefix(const char *text)
{
	struct ip_prefix p = { 0 };

	if (ip_prefix_parse(text, &p) < 0)
		abort();
	return p;
}

static inline void world_binding(struct world *w, uint8_t id, uint16_t service, const char *gateway,
				 const char *ifname)
{
	struct ruleset_binding *b = &w->bindings[id - 1];

	b->id = id;
	b->service = service;
	b->ifindex = if_nametoindex(ifname);
	b->carry = b->fresh = true;
	b->learn_by_link = !gateway;
	b->learn_by_nexthop = gateway;
	if (gateway)
		b->gateway = world_prefix(gateway).addr;
	snprintf(b->label, sizeof(b->label), "%s%%%s", gateway ? gateway : "", ifname);
}

static inline _unused_ void world_model(struct world *w)
{
	w->web_prefixes[0] = world_prefix("1.1.1.1/32");
	w->web_prefixes[1] = world_prefix("2001:db8::/32");
	w->dns_prefixes[0] = world_prefix("1.1.1.0/24");
	w->dns_prefixes[1] = world_prefix("10.53.0.0/16");
	w->web_ports[0] = (struct port_range){ 80, 80 };
	w->web_ports[1] = (struct port_range){ 8000, 8100 };
	w->dns_ports[0] = (struct port_range){ 53, 53 };
	w->services[0] = (struct service){ .name = "web",
					   .prefixes = w->web_prefixes,
					   .n_prefixes = 2,
					   .protos = { IPPROTO_TCP },
					   .n_protos = 1,
					   .ports = w->web_ports,
					   .n_ports = 2,
					   .idle_timeout_s = 300,
					   .syn_timeout_s = 20 };
	w->services[1] = (struct service){ .name = "dns",
					   .prefixes = w->dns_prefixes,
					   .n_prefixes = 2,
					   .protos = { IPPROTO_UDP, IPPROTO_TCP },
					   .n_protos = 2,
					   .ports = w->dns_ports,
					   .n_ports = 1,
					   .idle_timeout_s = 30,
					   .syn_timeout_s = 20 };
	w->set = (struct service_set){ .list = w->services, .n = 2 };
	world_binding(w, WEB_1, 0, "10.1.0.2", "s1");
	world_binding(w, WEB_2, 0, "10.2.0.2", "s2");
	world_binding(w, WEB_6, 0, "fd00:1::2", "s1");
	world_binding(w, DNS_LINK, 1, NULL, "s1");
	w->connected[0] =
		(struct ruleset_connected){ w->bindings[0].ifindex, world_prefix("10.1.0.0/24") };
	w->model = (struct ruleset_model){ .services = &w->set,
					   .bindings = w->bindings,
					   .n_bindings = 4,
					   .connected = w->connected,
					   .n_connected = 1,
					   .mark_mask = 0xff000000,
					   .table_base = 17000,
					   .rule_priority = 10000,
					   .max_pins = 1000 };
}

/* Needs root. False, and why, when this machine cannot do it. */
static inline _unused_ bool world_build(struct world *w)
{
	*w = (struct world){ .home = -1 };
	if (geteuid() != 0 || !netns_enter())
		return false;
	w->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (w->home < 0 || !world_network(w)) {
		world_end_namespaces(w);
		return false;
	}
	world_model(w);
	return true;
}

static inline _unused_ void world_destroy(struct world *w)
{
	world_end_namespaces(w);
	close(w->home);
}

/* A non-blocking socket of the client with a source port of its own; type SOCK_STREAM or
 * SOCK_DGRAM. SOCK_RAW: `port` is the protocol. */
static inline _unused_ int world_client(const struct world *w, int family, int type, uint16_t port)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	char path[64];
	int one = 1, fd = -1;

	snprintf(path, sizeof(path), "/run/netns/%s", w->client);
	_cleanup_(closep) int ns = open(path, O_RDONLY | O_CLOEXEC);

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		return -1;
	fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, type == SOCK_RAW ? port : 0);
	if (setns(w->home, CLONE_NEWNET) < 0)
		abort();
	if (type == SOCK_RAW)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, family == AF_INET ? (void *)&a4 : (void *)&a6,
		 family == AF_INET ? sizeof(a4) : sizeof(a6)) < 0)
		return -1;
	return fd;
}

/* What begins a flow: a SYN (nobody answers), or a datagram. To 1.1.1.1 or 2001:db8::1. */
static inline _unused_ void world_send(int fd, int family, int type, uint16_t port)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	inet_pton(AF_INET, "1.1.1.1", &a4.sin_addr);
	inet_pton(AF_INET6, "2001:db8::1", &a6.sin6_addr);
	(void)connect(fd, family == AF_INET ? (void *)&a4 : (void *)&a6,
		      family == AF_INET ? sizeof(a4) : sizeof(a6));
	if (type == SOCK_DGRAM)
		(void)send(fd, "x", 1, 0);
}

static inline _unused_ struct tuple world_tuple(const char *src, uint16_t sport, const char *dst,
						uint16_t dport, uint8_t proto)
{
	struct ip_addr s = world_prefix(src).addr, d = world_prefix(dst).addr;
	struct tuple t = { .sport = sport, .dport = dport, .family = s.family, .proto = proto };

	memcpy(t.src, s.bytes, sizeof(t.src));
	memcpy(t.dst, d.bytes, sizeof(t.dst));
	return t;
}
