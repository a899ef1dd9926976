/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <sched.h>
#include <string.h>
#include "netlink/rt.h"
#include "pin/policy.h"

/* Policy routing against the kernel, in a network namespace of its own: two links, 10.1/16 and
 * fd01::/64 on v0, 10.2/16 and fd02::/64 on v1; main sends the service through 10.2.0.9 / fd02::9.
 */

#define MASK 0xff000000u
#define SHIFT 24
#define BASE 17000
#define PRIORITY 10000
#define MAIN_GATEWAY "10.2.0.9"
#define MAIN_GATEWAY6 "fd02::9"

struct fixture {
	struct nl *nl;
	struct policy *policy;
	uint32_t v0, v1;
	struct ip_prefix prefixes[2];
	struct service service;
	struct policy_binding bindings[255];
	struct policy_model model;
	char *rules_before, *routes_before;
};

static inline void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline char *output_of(const char *command)
{
	FILE *f = popen(command, "re");
	char *text = NULL;
	size_t size = 0;

	assert_non_null(f);
	if (getdelim(&text, &size, '\0', f) < 0 && text)
		text[0] = '\0';
	pclose(f);
	return text;
}

static inline char *all_rules(void)
{
	return output_of("ip rule; ip -6 rule");
}

static inline char *all_routes(void)
{
	/* A link that was down and up again has its own routes in another order, or not yet. */
	return output_of("{ ip route show table all; ip -6 route show table all; } | grep -v "
			 "'proto kernel' | sort");
}

static inline struct ip_addr addr(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_addr_parse(text, &a), 0);
	return a;
}

static inline struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;

	assert_int_equal(ip_prefix_parse(text, &p), 0);
	return p;
}

/* What the kernel would do with a packet. */
struct lookup {
	struct ip_addr gateway; /* family 0: none */
	uint32_t oif;
	int error;
};

static inline int on_lookup(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct lookup *l = arg;
	const struct nlattr *attr;

	mnl_attr_for_each (attr, nlh, sizeof(struct rtmsg)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == RTA_OIF)
			l->oif = mnl_attr_get_u32(attr);
		if (type == RTA_VIA) {
			const struct rtvia *via = mnl_attr_get_payload(attr);

			l->gateway.family = (uint8_t)via->rtvia_family;
			memcpy(l->gateway.bytes, via->rtvia_addr,
			       mnl_attr_get_payload_len(attr) - sizeof(*via));
		}
		if (type == RTA_GATEWAY) {
			l->gateway.family = rtm->rtm_family;
			memcpy(l->gateway.bytes, mnl_attr_get_payload(attr),
			       mnl_attr_get_payload_len(attr));
		}
	}
	return 0;
}

static inline struct lookup lookup(struct fixture *f, const char *to, uint32_t mark, uint8_t proto,
				   uint16_t dport)
{
	char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ip_addr dst = addr(to);
	struct lookup l = { 0 };
	struct rtmsg *rtm;
	struct err e = { 0 };

	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = dst.family;
	rtm->rtm_dst_len = ip_family_bits(dst.family);
	mnl_attr_put(nlh, RTA_DST, ip_addr_size(&dst), dst.bytes);
	mnl_attr_put_u32(nlh, RTA_MARK, mark);
	if (proto) {
		mnl_attr_put_u8(nlh, RTA_IP_PROTO, proto);
		mnl_attr_put_u16(nlh, RTA_DPORT, htons(dport));
	}
	l.error = nl_request(f->nl, nlh, on_lookup, &l, &e);
	return l;
}

static inline void assert_via(struct fixture *f, const char *to, uint32_t mark, uint8_t proto,
			      uint16_t dport, const char *gateway)
{
	struct lookup l = lookup(f, to, mark, proto, dport);
	char text[IP_ADDR_TEXT];

	if (l.error != 0)
		fail_msg("%s mark 0x%x port %u: %s", to, mark, dport, strerror(-l.error));
	assert_string_equal(ip_addr_format(&l.gateway, text), gateway);
}

static inline size_t sync_now(struct fixture *f)
{
	size_t changes = 0, failed = 0;
	struct err e = { 0 };

	if (policy_sync(f->policy, &f->model, &changes, &failed, &e) != 0 || failed != 0)
		fail_msg("sync: %zu failed: %s", failed, e.text);
	return changes;
}

static inline void restart(struct fixture *f)
{
	struct err e;

	policy_free(f->policy);
	assert_int_equal(policy_new(&f->policy, &e), 0);
}

static inline void on_difference(const char *sentence, void *arg)
{
	size_t *n = arg;

	print_message("  difference: %s\n", sentence);
	(*n)++;
}

static inline size_t differences(struct fixture *f)
{
	struct err e;
	size_t n = 0;

	assert_int_equal(policy_verify(f->policy, &f->model, on_difference, &n, &e), 0);
	return n;
}

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	*state = f;
	if (unshare(CLONE_NEWNET) < 0)
		return 0; /* every test says so and is skipped */
	run("ip link set lo up && sysctl -qw net.ipv6.conf.all.accept_dad=0 "
	    "net.ipv6.conf.default.accept_dad=0");
	run("for i in 0 1; do ip link add v$i type veth peer name p$i && ip link set p$i up && ip "
	    "link set v$i up &&"
	    " ip addr add 10.$((i+1)).255.1/16 dev v$i && ip addr add fd0$((i+1))::ffff/64 dev v$i "
	    "nodad || exit 1; done");
	run("ip route add 1.1.1.1 via " MAIN_GATEWAY
	    " && ip -6 route add 2001:db8::1 via " MAIN_GATEWAY6);
	f->v0 = if_nametoindex("v0");
	f->v1 = if_nametoindex("v1");
	assert_int_equal(nl_open(NETLINK_ROUTE, &f->nl), 0);
	assert_int_equal(policy_new(&f->policy, &e), 0);
	f->prefixes[0] = prefix("1.1.1.1/32");
	f->prefixes[1] = prefix("2001:db8::1/128");
	f->service = (struct service){ .name = "web", .prefixes = f->prefixes, .n_prefixes = 2 };
	f->model = (struct policy_model){ .bindings = f->bindings,
					  .mark_mask = MASK,
					  .table_base = BASE,
					  .rule_priority = PRIORITY };
	f->rules_before = all_rules();
	f->routes_before = all_routes();
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	policy_free(f->policy);
	nl_close(f->nl);
	free(f->rules_before);
	free(f->routes_before);
	free(f);
	return 0;
}

static inline void need_world(const struct fixture *f)
{
	if (!f->policy) {
		print_message("  needs root: no network namespace\n");
		skip();
	}
}

/* Binding `id` goes through 10.1.0.<id> for IPv4; IPv6 has its own with `v6`. */
static inline void add_binding(struct fixture *f, uint8_t id, bool v6)
{
	struct policy_binding *b = &f->bindings[f->model.n_bindings++];
	char text[IP_ADDR_TEXT];

	snprintf(text, sizeof(text), v6 ? "fd01::%x" : "10.1.0.%u", id);
	*b = (struct policy_binding){ .id = id,
				      .service = &f->service,
				      .gateway = addr(text),
				      .ifindex = f->v0,
				      .families = v6 ? 3 : 1,
				      .mtu = id % 2 ? 1400 : 0,
				      .link_up = true };
}

static inline void assert_clean(struct fixture *f)
{
	char *rules = all_rules(), *routes = all_routes();

	assert_string_equal(rules, f->rules_before);
	assert_string_equal(routes, f->routes_before);
	free(rules);
	free(routes);
}

static inline void remove_all(struct fixture *f)
{
	size_t removed;
	struct err e = { 0 };

	if (policy_remove(f->policy, &f->model, false, &removed, &e) != 0)
		fail_msg("%s", e.text);
	f->model.n_bindings = f->model.n_overrides = 0;
	assert_clean(f);
}
