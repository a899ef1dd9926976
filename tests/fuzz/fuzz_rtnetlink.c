// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "fuzz/fuzz.h"
#include "netlink/rt.h"

/* Messages of rtnetlink: what a socket receives (kernel.c). Routes, nexthop objects, links,
 * addresses, neighbours, rules. What was read can be written, and reads the same. */

static void check_failure(int r)
{
	FUZZ_CHECK(r == -EBADMSG || r == -ENOMSG || r == -ENOMEM);
}

/* One nexthop without gateway and interface: the kernel has no such route. */
static bool leads_nowhere(const struct route *r)
{
	return r->n_nexthops == 1 && r->nexthops[0].ifindex == 0 &&
	       r->nexthops[0].gateway.family == 0;
}

static void check_route(const struct nlmsghdr *nlh)
{
	uint8_t buf[NL_REQUEST_MAX];
	struct nlmsghdr *again;
	struct route r, s;
	int x;

	FUZZ_POISON(r);
	x = rt_decode_route(nlh, &r);
	if (x < 0) {
		check_failure(x);
		FUZZ_UNTOUCHED(r);
		return;
	}
	again = rt_request_route(buf, sizeof(buf), RTM_NEWROUTE, NLM_F_CREATE, &r);
	if (again) {
		FUZZ_CHECK(rt_decode_route(again, &s) == 0);
		FUZZ_CHECK(memcmp(&r.key.prefix.addr, &s.key.prefix.addr, sizeof(struct ip_addr)) ==
			   0);
		FUZZ_CHECK(r.key.table == s.key.table && r.key.metric == s.key.metric);
		FUZZ_CHECK(r.nh_id != 0 || r.n_nexthops == s.n_nexthops || leads_nowhere(&r));
		route_clear(&s);
	}
	route_clear(&r);
}

static void check_nexthop(const struct nlmsghdr *nlh)
{
	struct nexthop_object o;
	int x;

	FUZZ_POISON(o);
	x = rt_decode_nexthop(nlh, &o);
	if (x < 0) {
		check_failure(x);
		FUZZ_UNTOUCHED(o);
		return;
	}
	for (size_t i = 0; i < o.n_members; i++)
		FUZZ_CHECK(o.members[i].weight > 0);
	nexthop_object_clear(&o);
}

static void check_link(const struct nlmsghdr *nlh)
{
	struct link l;
	int x;

	FUZZ_POISON(l);
	x = rt_decode_link(nlh, &l);
	if (x < 0) {
		check_failure(x);
		FUZZ_UNTOUCHED(l);
		return;
	}
	FUZZ_CHECK(memchr(l.name, '\0', sizeof(l.name)));
}

static void check_address(const struct nlmsghdr *nlh)
{
	struct address a;
	int x;

	FUZZ_POISON(a);
	x = rt_decode_address(nlh, &a);
	if (x < 0) {
		check_failure(x);
		FUZZ_UNTOUCHED(a);
		return;
	}
	FUZZ_CHECK(a.prefix.len <= ip_family_bits(a.prefix.addr.family));
}

static void check_neighbour(const struct nlmsghdr *nlh)
{
	uint8_t buf[NL_REQUEST_MAX];
	struct neighbour n, m;
	int x;

	FUZZ_POISON(n);
	x = rt_decode_neighbour(nlh, &n);
	if (x < 0) {
		check_failure(x);
		FUZZ_UNTOUCHED(n);
		return;
	}
	FUZZ_CHECK(n.lladdr_len <= sizeof(n.lladdr));
	if (neighbour_probeable(&n)) {
		FUZZ_CHECK(rt_decode_neighbour(rt_request_neighbour_probe(buf, &n), &m) == 0);
		FUZZ_CHECK(n.ifindex == m.ifindex && ip_addr_equal(&n.addr, &m.addr));
	}
	FUZZ_CHECK(rt_request_neighbour_use(buf, n.ifindex, &n.addr));
}

static void check_rule(const struct nlmsghdr *nlh)
{
	uint8_t buf[NL_REQUEST_MAX];
	struct nlmsghdr *again;
	struct rule r, s;
	int x;

	FUZZ_POISON(r);
	x = rt_decode_rule(nlh, &r);
	if (x < 0) {
		check_failure(x);
		FUZZ_UNTOUCHED(r);
		return;
	}
	FUZZ_CHECK(memchr(r.iif, '\0', sizeof(r.iif)) && memchr(r.oif, '\0', sizeof(r.oif)));
	again = rt_request_rule(buf, RTM_NEWRULE, NLM_F_CREATE, &r);
	if (!again)
		return;
	FUZZ_CHECK(rt_decode_rule(again, &s) == 0);
	FUZZ_CHECK(r.priority == s.priority && r.action == s.action && r.has_mark == s.has_mark);
	FUZZ_CHECK(!r.has_mark || (r.mark == s.mark && r.mark_mask == s.mark_mask));
	FUZZ_CHECK(strcmp(r.iif, s.iif) == 0 && strcmp(r.oif, s.oif) == 0);
}

static int check(const struct nlmsghdr *nlh, void *arg _unused_)
{
	check_route(nlh);
	check_nexthop(nlh);
	check_link(nlh);
	check_address(nlh);
	check_neighbour(nlh);
	check_rule(nlh);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nl *nl = fuzz_kernel(data, size);

	while (nl_receive(nl, 64, check, NULL) > 0)
		;
	return 0;
}
