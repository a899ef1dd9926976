// SPDX-License-Identifier: GPL-2.0-or-later
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

/* Policy routing against the kernel, in a network namespace of its own: two links, 10.1/16 and fd01::/64 on v0, 10.2/16 and
 * fd02::/64 on v1; main sends the service through 10.2.0.9 / fd02::9. */

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

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static char *output_of(const char *command)
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

static char *all_rules(void)
{
	return output_of("ip rule; ip -6 rule");
}

static char *all_routes(void)
{
	/* A link that was down and up again has its own routes in another order, or not yet. */
	return output_of("{ ip route show table all; ip -6 route show table all; } | grep -v 'proto kernel' | sort");
}

static struct ip_addr addr(const char *text)
{
	struct ip_addr a;

	assert_int_equal(ip_addr_parse(text, &a), 0);
	return a;
}

static struct ip_prefix prefix(const char *text)
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

static int on_lookup(const struct nlmsghdr *nlh, void *arg)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct lookup *l = arg;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct rtmsg)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == RTA_OIF)
			l->oif = mnl_attr_get_u32(attr);
		if (type == RTA_VIA) {
			const struct rtvia *via = mnl_attr_get_payload(attr);

			l->gateway.family = (uint8_t)via->rtvia_family;
			memcpy(l->gateway.bytes, via->rtvia_addr, mnl_attr_get_payload_len(attr) - sizeof(*via));
		}
		if (type == RTA_GATEWAY) {
			l->gateway.family = rtm->rtm_family;
			memcpy(l->gateway.bytes, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
		}
	}
	return 0;
}

static struct lookup lookup(struct fixture *f, const char *to, uint32_t mark, uint8_t proto, uint16_t dport)
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

static void assert_via(struct fixture *f, const char *to, uint32_t mark, uint8_t proto, uint16_t dport, const char *gateway)
{
	struct lookup l = lookup(f, to, mark, proto, dport);
	char text[IP_ADDR_TEXT];

	if (l.error != 0)
		fail_msg("%s mark 0x%x port %u: %s", to, mark, dport, strerror(-l.error));
	assert_string_equal(ip_addr_format(&l.gateway, text), gateway);
}

static size_t sync_now(struct fixture *f)
{
	size_t changes = 0, failed = 0;
	struct err e = { 0 };

	if (policy_sync(f->policy, &f->model, &changes, &failed, &e) != 0 || failed != 0)
		fail_msg("sync: %zu failed: %s", failed, e.text);
	return changes;
}

static void restart(struct fixture *f)
{
	struct err e;

	policy_free(f->policy);
	assert_int_equal(policy_new(&f->policy, &e), 0);
}

static void on_difference(const char *sentence, void *arg)
{
	size_t *n = arg;

	print_message("  difference: %s\n", sentence);
	(*n)++;
}

static size_t differences(struct fixture *f)
{
	struct err e;
	size_t n = 0;

	assert_int_equal(policy_verify(f->policy, &f->model, on_difference, &n, &e), 0);
	return n;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	*state = f;
	if (geteuid() != 0)
		return 0;
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	run("ip link set lo up && sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
	run("for i in 0 1; do ip link add v$i type veth peer name p$i && ip link set p$i up && ip link set v$i up &&"
	    " ip addr add 10.$((i+1)).255.1/16 dev v$i && ip addr add fd0$((i+1))::ffff/64 dev v$i nodad || exit 1; done");
	run("ip route add 1.1.1.1 via " MAIN_GATEWAY " && ip -6 route add 2001:db8::1 via " MAIN_GATEWAY6);
	f->v0 = if_nametoindex("v0");
	f->v1 = if_nametoindex("v1");
	assert_int_equal(nl_open(NETLINK_ROUTE, &f->nl), 0);
	assert_int_equal(policy_new(&f->policy, &e), 0);
	f->prefixes[0] = prefix("1.1.1.1/32");
	f->prefixes[1] = prefix("2001:db8::1/128");
	f->service = (struct service){ .name = "web", .prefixes = f->prefixes, .n_prefixes = 2 };
	f->model = (struct policy_model){ .bindings = f->bindings, .mark_mask = MASK, .table_base = BASE,
					  .rule_priority = PRIORITY };
	f->rules_before = all_rules();
	f->routes_before = all_routes();
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	policy_free(f->policy);
	nl_close(f->nl);
	free(f->rules_before);
	free(f->routes_before);
	free(f);
	return 0;
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
}

/* Binding `id` goes through 10.1.0.<id> for IPv4; IPv6 has its own with `v6`. */
static void add_binding(struct fixture *f, uint8_t id, bool v6)
{
	struct policy_binding *b = &f->bindings[f->model.n_bindings++];
	char text[IP_ADDR_TEXT];

	snprintf(text, sizeof(text), v6 ? "fd01::%x" : "10.1.0.%u", id);
	*b = (struct policy_binding){ .id = id, .service = &f->service, .gateway = addr(text), .ifindex = f->v0,
				      .families = v6 ? 3 : 1, .mtu = id % 2 ? 1400 : 0, .link_up = true };
}

static void add_all(struct fixture *f)
{
	f->model.n_bindings = 0;
	for (unsigned id = 1; id <= 255; id++)
		add_binding(f, (uint8_t)id, id > 200);
}

static void assert_clean(struct fixture *f)
{
	char *rules = all_rules(), *routes = all_routes();

	assert_string_equal(rules, f->rules_before);
	assert_string_equal(routes, f->routes_before);
	free(rules);
	free(routes);
}

static void remove_all(struct fixture *f)
{
	size_t removed;
	struct err e = { 0 };

	if (policy_remove(f->policy, &f->model, false, &removed, &e) != 0)
		fail_msg("%s", e.text);
	f->model.n_bindings = f->model.n_overrides = 0;
	assert_clean(f);
}

static void test_marks_lead_to_their_nexthops(void **state)
{
	struct fixture *f = *state;
	struct policy_found *found;
	char text[IP_ADDR_TEXT];
	struct err e = { 0 };
	size_t n;

	need_root();
	add_all(f);
	/* Tree: 3 and 16 x 3 and 255 per family; 255 routes and blackholes for IPv4, 55 of each for IPv6. */
	assert_int_equal(sync_now(f), 2 * (3 + 48 + 255) + 2 * 255 + 2 * 55);
	assert_int_equal(sync_now(f), 0);
	assert_int_equal(differences(f), 0);
	for (unsigned id = 1; id <= 255; id++) {
		snprintf(text, sizeof(text), id > 200 ? "fd01::%x" : "10.1.0.%u", id);
		assert_via(f, "1.1.1.1", id << SHIFT | 0x1234, 0, 0, text);
		assert_via(f, "2001:db8::1", id << SHIFT | 0x1234, 0, 0, id > 200 ? text : MAIN_GATEWAY6);
	}
	assert_via(f, "1.1.1.1", 0x1234, 0, 0, MAIN_GATEWAY);
	assert_via(f, "2001:db8::1", 0, 0, 0, MAIN_GATEWAY6);
	/* After a restart nothing is touched, and what stands is told. */
	restart(f);
	assert_int_equal(policy_read(f->policy, &f->model, &found, &n, &e), 0);
	assert_int_equal(n, 255);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(found[i].id, i + 1);
		assert_true(ip_addr_equal(&found[i].gateway, &f->bindings[i].gateway));
		assert_int_equal(found[i].ifindex, f->v0);
		assert_int_equal(found[i].mtu, f->bindings[i].mtu);
		assert_int_equal(found[i].families, f->bindings[i].families);
	}
	free(found);
	assert_int_equal(sync_now(f), 0);
	/* Half of them go: their leaves and tables, but no group. */
	f->model.n_bindings = 100;
	assert_int_equal(sync_now(f), 2 * 155 + 2 * 155 + 2 * 55);
	assert_via(f, "1.1.1.1", 100u << SHIFT, 0, 0, "10.1.0.100");
	assert_via(f, "1.1.1.1", 101u << SHIFT, 0, 0, MAIN_GATEWAY);
	restart(f);
	assert_int_equal(sync_now(f), 0);
	remove_all(f);
}

static void test_small_mask(void **state)
{
	struct fixture *f = *state;
	size_t changes, failed;
	struct err e = { 0 };
	char text[IP_ADDR_TEXT];

	need_root();
	f->model.mark_mask = 0x00000f00;
	for (uint8_t id = 1; id <= 15; id++)
		add_binding(f, id, false);
	assert_int_equal(sync_now(f), 2 * (3 + 3 + 15) + 2 * 15);
	assert_int_equal(sync_now(f), 0);
	for (unsigned id = 1; id <= 15; id++) {
		snprintf(text, sizeof(text), "10.1.0.%u", id);
		assert_via(f, "1.1.1.1", id << 8 | 0xff0000ff, 0, 0, text);
	}
	assert_via(f, "1.1.1.1", 0xfffff0ff, 0, 0, MAIN_GATEWAY);
	add_binding(f, 16, false);
	assert_int_equal(policy_sync(f->policy, &f->model, &changes, &failed, &e), -EINVAL);
	remove_all(f);
	f->model.mark_mask = 0x00f0f000;
	assert_int_equal(policy_sync(f->policy, &f->model, &changes, &failed, &e), -EINVAL);
	f->model.mark_mask = MASK;
}

static void test_repairs_what_others_touched(void **state)
{
	struct fixture *f = *state;

	need_root();
	for (uint8_t id = 1; id <= 20; id++)
		add_binding(f, id, true);
	sync_now(f);
	/* A leaf, an anchor, a route, an IPv6 blackhole; a wrong leaf and a strange route of "ours"; others' rule at our priority. */
	run("ip rule del priority 10022 && ip rule del priority 10020 && ip route del 1.1.1.1 table 17005 metric 1024 &&"
	    " ip -6 route del 2001:db8::1 table 17007 metric 4294967295");
	run("ip rule del priority 10025 && ip rule add priority 10025 fwmark 0x4000000/0xff000000 lookup 17009 protocol 157");
	run("ip route add 9.9.9.9 via 10.1.0.1 table 17009 proto 157 && ip rule add priority 10023 fwmark 99 lookup main");
	assert_int_equal(differences(f), 7);
	assert_int_equal(sync_now(f), 0); /* not told yet */
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 7);
	assert_int_equal(differences(f), 0);
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, "fd01::1");
	assert_via(f, "1.1.1.1", 4u << SHIFT, 0, 0, "fd01::4");
	run("ip rule del priority 10023 fwmark 99 lookup main");
	/* A flush takes all rules but `local`; main and default are put back by hand as its user would. */
	run("ip rule flush && ip rule add priority 32766 lookup main && ip rule add priority 32767 lookup default");
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, MAIN_GATEWAY);
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 3 + 2 * 3 + 20);
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, "fd01::1");
	remove_all(f);
}

static void test_link_down_holds(void **state)
{
	struct fixture *f = *state;
	size_t changes = 0, failed = 0;
	struct err e = { 0 };

	need_root();
	for (uint8_t id = 1; id <= 3; id++)
		add_binding(f, id, true);
	sync_now(f);
	run("ip link set v0 down");
	assert_int_equal(lookup(f, "1.1.1.1", 1u << SHIFT, 0, 0).error, -EINVAL);
	assert_int_equal(lookup(f, "2001:db8::1", 1u << SHIFT, 0, 0).error, -EINVAL);
	/* Not told: the routes are refused, counted, and tried again. */
	policy_invalidate(f->policy);
	assert_int_equal(policy_sync(f->policy, &f->model, &changes, &failed, &e), 0);
	assert_int_equal(changes, 0);
	assert_int_equal(failed, 6);
	print_message("  refused with: %s\n", e.text);
	for (size_t i = 0; i < 3; i++)
		f->bindings[i].link_up = false;
	assert_int_equal(sync_now(f), 0);
	run("ip link set v0 up && ip -6 addr add fd01::ffff/64 dev v0 nodad");
	for (size_t i = 0; i < 3; i++)
		f->bindings[i].link_up = true;
	assert_int_equal(sync_now(f), 6);
	assert_via(f, "1.1.1.1", 1u << SHIFT, 0, 0, "fd01::1");
	assert_via(f, "2001:db8::1", 3u << SHIFT, 0, 0, "fd01::3");
	remove_all(f);
}

static void test_kinds_of_nexthops(void **state)
{
	struct fixture *f = *state;
	struct policy_binding *b = f->bindings;

	need_root();
	add_binding(f, 1, true);
	add_binding(f, 2, true);
	add_binding(f, 3, true);
	/* One link-local address behind two interfaces, and an on-link nexthop. */
	b[0].gateway = b[1].gateway = addr("fe80::77");
	b[1].ifindex = f->v1;
	b[2].gateway = (struct ip_addr){ 0 };
	sync_now(f);
	assert_int_equal(differences(f), 0);
	assert_via(f, "2001:db8::1", 1u << SHIFT, 0, 0, "fe80::77");
	assert_via(f, "1.1.1.1", 2u << SHIFT, 0, 0, "fe80::77");
	assert_int_equal(lookup(f, "2001:db8::1", 1u << SHIFT, 0, 0).oif, f->v0);
	assert_int_equal(lookup(f, "1.1.1.1", 1u << SHIFT, 0, 0).oif, f->v0);
	assert_int_equal(lookup(f, "2001:db8::1", 2u << SHIFT, 0, 0).oif, f->v1);
	assert_int_equal(lookup(f, "1.1.1.1", 3u << SHIFT, 0, 0).oif, f->v0);
	assert_via(f, "2001:db8::1", 3u << SHIFT, 0, 0, "");
	/* The id is reused by a nexthop of another kind: replaced, not doubled. */
	b[2].gateway = addr("fd01::5");
	b[0].gateway = (struct ip_addr){ 0 };
	assert_int_equal(sync_now(f), 4);
	assert_int_equal(differences(f), 0);
	assert_via(f, "2001:db8::1", 3u << SHIFT, 0, 0, "fd01::5");
	assert_via(f, "2001:db8::1", 1u << SHIFT, 0, 0, "");
	remove_all(f);
}

static struct route_nexthop hop(const char *gateway, uint32_t ifindex, uint16_t weight)
{
	return (struct route_nexthop){ .gateway = addr(gateway), .ifindex = ifindex, .weight = weight };
}

/* The gateway's view of `0.0.0.0/0`: two uplinks of which the first is off, port 80 and 443 only. */
static void test_override(void **state)
{
	struct fixture *f = *state;
	struct route_nexthop rest = hop("10.2.0.2", f->v1, 1);
	struct route route = { .key = { .prefix = prefix("0.0.0.0/0") }, .type = RTN_UNICAST, .nexthops = &rest,
			       .n_nexthops = 1, .mtu = 1300 };
	struct override_selector selectors[] = {
		{ .to = prefix("0.0.0.0/0"), .proto = IPPROTO_TCP, .ports = { 80, 80 } },
		{ .to = prefix("0.0.0.0/0"), .proto = IPPROTO_TCP, .ports = { 60000, 65535 } },
		{ .to = prefix("0.0.0.0/0"), .proto = IPPROTO_TCP, .ports = { 65535, 65535 } },
	};
	struct override_selector shield = { .to = prefix("8.8.4.0/24"), .proto = IPPROTO_TCP, .ports = { 80, 80 } };
	struct override o[2] = { { .service = "inet", .to = prefix("0.0.0.0/0"), .selectors = selectors, .n_selectors = 3,
				   .shields = &shield, .n_shields = 1, .source_table = RT_TABLE_MAIN, .routes = &route,
				   .n_routes = 1 } };
	struct override_place place, again;
	struct override second;
	struct err e = { 0 };
	size_t removed;

	need_root();
	run("ip route add default proto bird nexthop via 10.1.0.2 dev v0 nexthop via 10.2.0.2 dev v1 &&"
	    " ip route add 5.0.0.0/8 via 10.1.0.5");
	add_binding(f, 1, false);
	sync_now(f);
	f->model.overrides = o;
	f->model.n_overrides = 1;
	assert_int_equal(sync_now(f), 1 + 2 * 2 + 1 + 1);
	assert_int_equal(sync_now(f), 0);
	assert_int_equal(differences(f), 0);
	assert_int_equal(policy_override_place(f->policy, 0, &place), 0);
	assert_int_equal(policy_override_place(f->policy, 1, &again), -ENOENT);
	assert_in_range(place.table, BASE + 256, BASE + 511);
	for (unsigned i = 1; i < 40; i++) {
		char to[IP_ADDR_TEXT];

		snprintf(to, sizeof(to), "8.8.%u.8", 8 + i);
		assert_via(f, to, 0, IPPROTO_TCP, 80, "10.2.0.2");
		assert_via(f, to, 0, IPPROTO_TCP, 65534, "10.2.0.2");
	}
	/* The LAN, a more specific route, a pinned flow and the shielded service stay as they were. */
	assert_via(f, "10.1.0.77", 0, IPPROTO_TCP, 80, "");
	assert_via(f, "5.1.1.1", 0, IPPROTO_TCP, 80, "10.1.0.5");
	assert_via(f, "1.1.1.1", 1u << SHIFT, IPPROTO_TCP, 80, "10.1.0.1");
	/* Other ports, protocols and the shielded network see the multipath route: both uplinks over a few destinations. */
	for (int kind = 0; kind < 3; kind++) {
		unsigned seen = 0;

		for (unsigned i = 1; i < 60; i++) {
			char to[IP_ADDR_TEXT];
			struct lookup l;

			snprintf(to, sizeof(to), kind == 2 ? "8.8.4.%u" : "8.8.%u.8", kind == 2 ? i : 10 + i);
			l = lookup(f, to, 0, kind == 1 ? IPPROTO_UDP : IPPROTO_TCP, kind == 0 ? 81 : 80);
			seen |= l.oif == f->v0 ? 1 : 2;
		}
		assert_int_equal(seen, 3);
	}
	/* The route changes: the table and the rules stay. */
	rest = hop("10.2.0.3", f->v1, 1);
	assert_int_equal(sync_now(f), 1);
	assert_via(f, "8.8.9.8", 0, IPPROTO_TCP, 80, "10.2.0.3");
	/* A restarted daemon finds it. */
	restart(f);
	assert_int_equal(sync_now(f), 0);
	assert_int_equal(policy_override_place(f->policy, 0, &again), 0);
	assert_int_equal(again.table, place.table);
	/* Another one before it moves nothing. */
	second = o[0];
	second.to = prefix("7.0.0.0/8");
	second.len = 8;
	second.n_selectors = 1;
	struct override_selector narrow = { .to = second.to, .proto = IPPROTO_TCP, .ports = { 0, 65535 } };
	struct route_nexthop rest2 = hop("10.1.0.8", f->v0, 1);
	struct route route2 = route;

	route2.key.prefix = second.to;
	route2.nexthops = &rest2;
	second.selectors = &narrow;
	second.n_shields = 0;
	second.routes = &route2;
	o[1] = o[0];
	o[0] = second;
	f->model.n_overrides = 2;
	assert_int_equal(sync_now(f), 3);
	assert_via(f, "7.1.1.1", 0, IPPROTO_TCP, 80, "10.1.0.8");
	assert_via(f, "8.8.9.8", 0, IPPROTO_TCP, 80, "10.2.0.3");
	assert_int_equal(policy_override_place(f->policy, 1, &again), 0);
	assert_int_equal(again.table, place.table);
	/* And away again; then --relax takes the other, the anchor and the blackhole, and leaves the tree. */
	o[0] = o[1];
	f->model.n_overrides = 1;
	assert_int_equal(sync_now(f), 3);
	assert_int_equal(policy_remove(f->policy, &f->model, true, &removed, &e), 0);
	assert_int_equal(removed, 1 + 2 * 2 + 1 + 1 + 1);
	f->model.n_overrides = 0;
	assert_via(f, "1.1.1.1", 1u << SHIFT, IPPROTO_TCP, 80, "10.1.0.1");
	assert_int_equal(sync_now(f), 1);
	run("ip route del default && ip route del 5.0.0.0/8");
	remove_all(f);
}

/* The same without numbers: what a program does that has no configuration. */
static void test_remove_without_numbers(void **state)
{
	struct fixture *f = *state;
	struct route_nexthop rest = hop("10.2.0.2", f->v1, 1);
	struct route route = { .key = { .prefix = f->prefixes[0] }, .type = RTN_UNICAST, .nexthops = &rest, .n_nexthops = 1 };
	struct override_selector selector = { .to = f->prefixes[0], .proto = IPPROTO_TCP, .ports = { 0, 65535 } };
	struct override_selector shield = { .to = f->prefixes[0], .proto = IPPROTO_TCP, .ports = { 443, 443 } };
	struct override o = { .to = f->prefixes[0], .selectors = &selector, .n_selectors = 1, .shields = &shield,
			      .n_shields = 1, .source_table = RT_TABLE_MAIN, .len = 32, .routes = &route, .n_routes = 1 };
	const struct policy_model nothing = { 0 };
	struct err e = { 0 };
	size_t removed = 0;

	need_root();
	for (uint8_t id = 1; id <= 20; id++)
		add_binding(f, id, false);
	f->model.overrides = &o;
	f->model.n_overrides = 1;
	sync_now(f);
	assert_via(f, "1.1.1.1", 0, IPPROTO_TCP, 80, "10.2.0.2");
	assert_via(f, "1.1.1.1", 0, IPPROTO_TCP, 443, MAIN_GATEWAY);
	assert_int_equal(policy_remove(f->policy, &nothing, true, &removed, &e), 0);
	assert_int_equal(removed, 5 + 20);
	assert_via(f, "1.1.1.1", 0, IPPROTO_TCP, 80, MAIN_GATEWAY);
	assert_via(f, "1.1.1.1", 20u << SHIFT, IPPROTO_TCP, 80, "10.1.0.20");
	assert_int_equal(policy_remove(f->policy, &nothing, false, &removed, &e), 0);
	f->model.n_bindings = f->model.n_overrides = 0;
	assert_clean(f);
	assert_int_equal(policy_remove(f->policy, &nothing, false, &removed, &e), 0);
	assert_int_equal(removed, 0);
}

static void test_many_override_routes(void **state)
{
	enum { N = 10000 };
	struct fixture *f = *state;
	struct route *routes = calloc(N, sizeof(*routes));
	struct route_nexthop rest[2] = { hop("10.2.0.2", f->v1, 3), hop("10.1.0.2", f->v0, 1) };
	struct override_selector selector = { .to = prefix("20.0.0.0/8"), .proto = IPPROTO_TCP, .ports = { 0, 65535 } };
	struct override o = { .to = prefix("20.0.0.0/8"), .selectors = &selector, .n_selectors = 1,
			      .source_table = RT_TABLE_MAIN, .len = 24, .routes = routes, .n_routes = N };

	need_root();
	for (size_t i = 0; i < N; i++) {
		routes[i] = (struct route){ .key.prefix = prefix("20.0.0.0/24"), .type = RTN_UNICAST, .nexthops = rest,
					    .n_nexthops = 2 };
		routes[i].key.prefix.addr.bytes[1] = (uint8_t)(i >> 8);
		routes[i].key.prefix.addr.bytes[2] = (uint8_t)i;
	}
	f->model.overrides = &o;
	f->model.n_overrides = 1;
	assert_int_equal(sync_now(f), 6 + 2 + N);
	assert_int_equal(sync_now(f), 0);
	restart(f);
	assert_int_equal(sync_now(f), 0);
	rest[1].weight = 2;
	assert_int_equal(sync_now(f), N);
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 0);
	free(routes);
	remove_all(f);
}

struct monitor {
	struct fixture *f;
	unsigned messages, foreign;
};

static int on_notification(const struct nlmsghdr *nlh, void *arg)
{
	struct monitor *m = arg;

	m->messages++;
	m->foreign += policy_is_foreign_change(m->f->policy, nlh);
	return 0;
}

static void test_tells_foreign_changes(void **state)
{
	static const unsigned groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE };
	static const struct {
		const char *command;
		unsigned foreign;
	} cases[] = {
		{ "ip rule del priority 10022", 1 },
		{ "ip -6 rule del priority 10022", 1 },
		{ "ip route del 1.1.1.1 table 17001 metric 1024", 1 },
		{ "ip -6 route del 2001:db8::1 table 17001 metric 1024", 1 },
		{ "ip route add 9.9.9.9 via 10.1.0.1 && ip rule add priority 10022 lookup main && ip route del 9.9.9.9 &&"
		  " ip rule del priority 10022", 0 },
	};
	struct fixture *f = *state;
	struct monitor m = { .f = f };
	struct nl *nl;

	need_root();
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		assert_int_equal(nl_join(nl, groups[i]), 0);
	add_binding(f, 1, true);
	sync_now(f);
	while (nl_receive(nl, 64, on_notification, &m) > 0)
		;
	/* 6 rules and a leaf, a route and a blackhole, per family. */
	assert_int_equal(m.messages, 2 * 9);
	assert_int_equal(m.foreign, 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		m.messages = m.foreign = 0;
		run(cases[i].command);
		while (nl_receive(nl, 64, on_notification, &m) > 0)
			;
		assert_true(m.messages > 0);
		assert_int_equal(m.foreign, cases[i].foreign);
	}
	policy_invalidate(f->policy);
	assert_int_equal(sync_now(f), 4);
	while (nl_receive(nl, 64, on_notification, &m) > 0)
		;
	assert_int_equal(m.foreign, 0);
	nl_close(nl);
	remove_all(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks_lead_to_their_nexthops),
		cmocka_unit_test(test_small_mask),
		cmocka_unit_test(test_repairs_what_others_touched),
		cmocka_unit_test(test_kinds_of_nexthops),
		cmocka_unit_test(test_override),
		cmocka_unit_test(test_remove_without_numbers),
		cmocka_unit_test(test_many_override_routes),
		cmocka_unit_test(test_tells_foreign_changes),
		cmocka_unit_test(test_link_down_holds),
	};

	return cmocka_run_group_tests_name("policy", tests, setup, teardown);
}
