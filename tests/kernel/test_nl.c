// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <linux/nexthop.h>
#include <sys/socket.h>

#include "netns.h"

static struct nlmsghdr *get_link(void *buf, int ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *link;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	link = mnl_nlmsg_put_extra_header(nlh, sizeof(*link));
	link->ifi_index = ifindex;
	return nlh;
}

/* A nexthop object that drops packets: the cheapest thing of which the kernel keeps many. */
static struct nlmsghdr *put_nexthop(void *buf, uint16_t type, uint32_t id)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nhmsg *h;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | (type == RTM_NEWNEXTHOP ? NLM_F_CREATE | NLM_F_EXCL : 0);
	h = mnl_nlmsg_put_extra_header(nlh, sizeof(*h));
	if (id != 0)
		mnl_attr_put_u32(nlh, NHA_ID, id);
	if (type == RTM_NEWNEXTHOP) {
		h->nh_family = AF_INET;
		mnl_attr_put(nlh, NHA_BLACKHOLE, 0, NULL);
	}
	return nlh;
}

static int count_message(const struct nlmsghdr *nlh, void *arg)
{
	(void)nlh;
	++*(unsigned *)arg;
	return 0;
}

static void expect_no_answer(size_t index, const struct nlmsghdr *nlh, int code,
			     const struct err *e, void *arg)
{
	if (code != 0 || nlh)
		fail_msg("request %zu: %d %s", index, code, e->text);
	++*(unsigned *)arg;
}

static void change_nexthops(struct nl *nl, uint16_t type, uint32_t first, uint32_t n)
{
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *p = NULL;
	uint8_t buf[NL_REQUEST_MAX];
	unsigned answered = 0;

	assert_int_equal(nl_pipeline_new(nl, &p), 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(nl_pipeline_add(p, put_nexthop(buf, type, first + i)), 0);
	assert_int_equal(nl_pipeline_run(p, expect_no_answer, &answered, NULL), 0);
	assert_int_equal(answered, n);
}

static void test_request(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	uint8_t buf[NL_REQUEST_MAX];
	unsigned messages = 0;
	struct nlmsghdr *nlh;
	struct rtmsg *route;
	struct err e = { 0 };

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(nl_request(nl, get_link(buf, 1), count_message, &messages, &e), 0);
	assert_int_equal(messages, 1);
	assert_int_equal(e.code, 0);

	assert_int_equal(nl_request(nl, get_link(buf, 4711), count_message, &messages, &e),
			 -ENODEV);
	assert_int_equal(messages, 1);
	assert_int_equal(e.code, -ENODEV);
	assert_string_equal(e.text, "No such device");

	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_DELROUTE;
	route = mnl_nlmsg_put_extra_header(nlh, sizeof(*route));
	route->rtm_family = AF_INET;
	route->rtm_dst_len = 33;
	assert_int_equal(nl_request(nl, nlh, NULL, NULL, &e), -EINVAL);
	assert_string_equal(e.text, "Invalid prefix length");

	/* An attribute of a wrong size: a sentence and an offset. */
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_GETNEXTHOP;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct nhmsg));
	mnl_attr_put_u8(nlh, NHA_ID, 1);
	assert_true(nl_request(nl, nlh, NULL, NULL, &e) < 0);
	assert_string_equal(e.text, "invalid attribute length");
}

static int refuse(const struct nlmsghdr *nlh, void *arg)
{
	(void)nlh;
	++*(unsigned *)arg;
	return -ECANCELED;
}

/* What fn refuses and what was asked before do not leak into the next answer. */
static void test_request_strays(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	uint8_t buf[NL_REQUEST_MAX];
	unsigned messages = 0, refused = 0;
	struct err e = { 0 };

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	for (int i = 0; i < 10; i++) {
		struct nlmsghdr *nlh = get_link(buf, i % 2 ? 1 : 4711);

		nlh->nlmsg_seq = nl_next_seq(nl);
		assert_true(send(nl_fd(nl), nlh, nlh->nlmsg_len, 0) > 0);
	}
	assert_int_equal(nl_request(nl, get_link(buf, 1), count_message, &messages, &e), 0);
	assert_int_equal(messages, 1);

	assert_int_equal(nl_request(nl, get_link(buf, 1), refuse, &refused, &e), -ECANCELED);
	assert_int_equal(refused, 1);
	assert_int_equal(nl_request(nl, get_link(buf, 1), count_message, &messages, &e), 0);
	assert_int_equal(messages, 2);
}

struct answers {
	size_t next, data, failed, lost;
};

/* Even requests are for lo, odd ones for an interface that does not exist. */
static void check_answer(size_t index, const struct nlmsghdr *nlh, int code, const struct err *e,
			 void *arg)
{
	struct answers *a = arg;

	assert_int_equal(index, a->next++);
	if (code == -ENOBUFS) {
		assert_null(nlh);
		assert_string_equal(e->text, "the answer to a netlink request was lost: "
					     "No buffer space available");
		a->lost++;
	} else if (index % 2 == 0) {
		const struct ifinfomsg *link = mnl_nlmsg_get_payload(nlh);

		assert_int_equal(code, 0);
		assert_int_equal(nlh->nlmsg_type, RTM_NEWLINK);
		assert_int_equal(link->ifi_index, 1);
		a->data++;
	} else {
		assert_int_equal(code, -ENODEV);
		assert_string_equal(e->text, "No such device");
		assert_null(nlh);
		a->failed++;
	}
}

static void add_links(struct nl_pipeline *p, size_t n)
{
	uint8_t buf[NL_REQUEST_MAX];

	for (size_t i = 0; i < n; i++)
		assert_int_equal(nl_pipeline_add(p, get_link(buf, i % 2 ? 4711 : 1)), 0);
	assert_int_equal(nl_pipeline_count(p), n);
}

static void test_pipeline(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *p = NULL;
	_cleanup_(freep) uint8_t *big = NULL;
	struct err e = { 0 };

	NETNS_OR_SKIP(state);
	big = calloc(1, 65536);
	assert_non_null(big);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(nl_pipeline_new(nl, &p), 0);
	for (size_t n = 0; n < 300; n += 43) {
		struct answers a = { 0 };

		add_links(p, n);
		assert_int_equal(nl_pipeline_run(p, check_answer, &a, &e), 0);
		assert_int_equal(nl_pipeline_count(p), 0);
		assert_int_equal(a.data + a.failed, n);
	}
	((struct nlmsghdr *)big)->nlmsg_len = 32769;
	assert_int_equal(nl_pipeline_add(p, (struct nlmsghdr *)big), -EMSGSIZE);
	assert_int_equal(nl_pipeline_add(p, NULL), -ENOMEM);
	((struct nlmsghdr *)big)->nlmsg_len = 15;
	assert_int_equal(nl_pipeline_add(p, (struct nlmsghdr *)big), -EINVAL);
	assert_int_equal(nl_pipeline_count(p), 0);
}

/* Answers for which there is no room are told as lost, each once; a pipeline that knows the room
 * loses none. */
static void test_pipeline_overrun(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *p = NULL, *careful = NULL;
	struct answers a = { 0 }, b = { 0 }, c = { 0 };
	struct err e = { 0 };

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(nl_pipeline_new(nl, &p), 0);
	assert_int_equal(nl_set_receive_buffer(nl, 2304, NULL), 0);
	add_links(p, 256);
	assert_int_equal(nl_pipeline_run(p, check_answer, &a, &e), 0);
	assert_int_equal(a.next, 256);
	assert_true(a.lost > 0);

	assert_int_equal(nl_pipeline_new(nl, &careful), 0);
	assert_int_equal(nl_set_receive_buffer(nl, 16384, NULL), 0);
	add_links(careful, 256);
	assert_int_equal(nl_pipeline_run(careful, check_answer, &b, &e), 0);
	assert_int_equal(b.data + b.failed, 256);

	assert_int_equal(nl_set_receive_buffer(nl, 212992, NULL), 0);
	add_links(p, 256);
	assert_int_equal(nl_pipeline_run(p, check_answer, &c, &e), 0);
	assert_int_equal(c.data + c.failed, 256);
}

static void test_dump_errors(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	uint8_t buf[NL_REQUEST_MAX];
	unsigned messages = 0, refused = 0;
	struct nlmsghdr *nlh;
	struct rtmsg *route;
	struct err e = { 0 };

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_GETROUTE;
	route = mnl_nlmsg_put_extra_header(nlh, sizeof(*route));
	route->rtm_family = AF_INET;
	mnl_attr_put_u32(nlh, RTA_TABLE, 4711);
	assert_int_equal(nl_dump(nl, nlh, count_message, NULL, &messages, &e), -ENOENT);
	assert_string_equal(e.text, "ipv4: FIB table does not exist");
	assert_int_equal(messages, 0);

	assert_int_equal(nl_dump(nl, get_link(buf, 0), refuse, NULL, &refused, &e), -ECANCELED);
	assert_int_equal(refused, 1);
	assert_int_equal(nl_dump(nl, get_link(buf, 0), count_message, NULL, &messages, &e), 0);
	assert_true(messages > 0);
	assert_int_equal(nl_dump_step(nl, 1, count_message, &messages), -EINVAL);
}

struct disturbed {
	struct nl *other;
	unsigned changes; /* how many dumps are still to be disturbed */
	bool done; /* this one was */
	unsigned messages, restarts;
};

static int disturb(const struct nlmsghdr *nlh, void *arg)
{
	struct disturbed *d = arg;
	uint8_t buf[NL_REQUEST_MAX];

	(void)nlh;
	d->messages++;
	if (d->done || d->changes == 0)
		return 0;
	d->done = true;
	d->changes--;
	return nl_request(d->other, put_nexthop(buf, RTM_DELNEXTHOP, 1000000 + d->changes), NULL,
			  NULL, NULL);
}

static void disturb_again(void *arg)
{
	struct disturbed *d = arg;

	d->done = false;
	d->messages = 0;
	d->restarts++;
}

/* More nexthops than fit into what one recvmmsg(2) reads: the kernel then notices that they
 * changed. */
static void test_dump_interrupted(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL, *other = NULL;
	const uint32_t n = 40000, extra = 10;
	struct disturbed d = { 0 };
	uint8_t buf[NL_REQUEST_MAX];
	struct err e = { 0 };
	unsigned messages = 0;
	int r;

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(nl_open(NETLINK_ROUTE, &other), 0);
	change_nexthops(other, RTM_NEWNEXTHOP, 1, n);
	change_nexthops(other, RTM_NEWNEXTHOP, 1000000, extra);

	d = (struct disturbed){ .other = other, .changes = 2 };
	assert_int_equal(nl_dump(nl, put_nexthop(buf, RTM_GETNEXTHOP, 0), disturb, disturb_again,
				 &d, &e), 0);
	assert_int_equal(d.restarts, 2);
	assert_int_equal(d.messages, n + extra - 2);

	change_nexthops(other, RTM_NEWNEXTHOP, 1000000, 2);
	d = (struct disturbed){ .other = other, .changes = extra };
	assert_int_equal(nl_dump(nl, put_nexthop(buf, RTM_GETNEXTHOP, 0), disturb, disturb_again,
				 &d, &e), -EINTR);
	assert_int_equal(d.restarts, 3);
	assert_string_equal(e.text, "the table changed during each of 4 dumps");

	/* The same in steps. */
	assert_int_equal(nl_dump_begin(nl, put_nexthop(buf, RTM_GETNEXTHOP, 0)), 0);
	assert_int_equal(nl_dump_begin(nl, put_nexthop(buf, RTM_GETNEXTHOP, 0)), -EBUSY);
	assert_int_equal(nl_dump_step(nl, 1, count_message, &messages), 1);
	assert_true(messages > 0 && messages < n);
	change_nexthops(other, RTM_DELNEXTHOP, 1, n);
	do
		r = nl_dump_step(nl, 2, count_message, &messages);
	while (r > 0);
	assert_int_equal(r, -EINTR);
}

/* Events that find no room: said once, and the socket works on. */
static void test_receive_overrun(void **state)
{
	_cleanup_(nl_closep) struct nl *events = NULL, *nl = NULL;
	unsigned messages = 0;
	uint32_t bytes = 0;
	int r;

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &events), 0);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(nl_set_receive_buffer(events, 4096, &bytes), 0);
	assert_int_equal(bytes, 8192);
	assert_int_equal(nl_join(events, RTNLGRP_NEXTHOP), 0);
	change_nexthops(nl, RTM_NEWNEXTHOP, 1, 200);
	assert_int_equal(nl_receive(events, 1000, count_message, &messages), -ENOBUFS);
	r = nl_receive(events, 1000, count_message, &messages);
	assert_true(r > 0 && r < 200);
	assert_int_equal(r, messages);
	assert_int_equal(nl_receive(events, 1000, count_message, &messages), 0);

	change_nexthops(nl, RTM_DELNEXTHOP, 1, 1);
	assert_int_equal(nl_receive(events, 1000, count_message, &messages), 1);
	assert_int_equal(nl_leave(events, RTNLGRP_NEXTHOP), 0);
	change_nexthops(nl, RTM_DELNEXTHOP, 2, 199);
	assert_int_equal(nl_receive(events, 1000, count_message, &messages), 0);
}

static void test_receive_bounded(void **state)
{
	_cleanup_(nl_closep) struct nl *events = NULL, *nl = NULL;
	unsigned messages = 0, refused = 0;

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &events), 0);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(nl_join(events, RTNLGRP_NEXTHOP), 0);
	change_nexthops(nl, RTM_NEWNEXTHOP, 1, 100);
	assert_int_equal(nl_receive(events, 1, count_message, &messages), 1);
	assert_int_equal(nl_receive(events, 33, count_message, &messages), 33);
	assert_int_equal(messages, 34);
	assert_int_equal(nl_receive(events, 1, refuse, &refused), -ECANCELED);
	assert_int_equal(refused, 1);
	assert_int_equal(nl_receive(events, 1000, count_message, &messages), 65);
	change_nexthops(nl, RTM_DELNEXTHOP, 1, 100);
}

/* An error message that quotes a request of 40 KiB does not fit into one of our buffers. */
static void test_receive_truncated(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	const size_t size = 40960;
	_cleanup_(freep) struct nlmsghdr *nlh = NULL;
	unsigned messages = 0;
	int off = 0;

	NETNS_OR_SKIP(state);
	nlh = calloc(1, size);
	assert_non_null(nlh);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(setsockopt(nl_fd(nl), SOL_NETLINK, NETLINK_CAP_ACK, &off, sizeof(off)), 0);
	nlh->nlmsg_len = (uint32_t)size;
	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	((struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index = 4711;
	assert_int_equal(send(nl_fd(nl), nlh, size, 0), (ssize_t)size);
	assert_int_equal(nl_receive(nl, 10, count_message, &messages), -EMSGSIZE);
	assert_int_equal(messages, 0);
	assert_int_equal(nl_receive(nl, 10, count_message, &messages), 0);
}

/* Another process may send to our socket; only the kernel is believed. */
static void test_receive_foreign(void **state)
{
	_cleanup_(nl_closep) struct nl *nl = NULL, *liar = NULL;
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	uint8_t buf[NL_REQUEST_MAX];
	struct nlmsghdr *nlh = get_link(buf, 1);
	unsigned messages = 0;

	NETNS_OR_SKIP(state);
	assert_int_equal(nl_open(NETLINK_ROUTE, &nl), 0);
	assert_int_equal(nl_open(NETLINK_ROUTE, &liar), 0);
	to.nl_pid = nl_portid(nl);
	assert_true(sendto(nl_fd(liar), nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&to,
			   sizeof(to)) > 0);
	assert_int_equal(nl_receive(nl, 10, count_message, &messages), 1);
	assert_int_equal(messages, 0);
}

static int enter(void **state)
{
	static const char entered[] = "entered";

	*state = netns_enter() ? (void *)(uintptr_t)entered : NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_strays),
		cmocka_unit_test(test_pipeline),
		cmocka_unit_test(test_pipeline_overrun),
		cmocka_unit_test(test_dump_errors),
		cmocka_unit_test(test_dump_interrupted),
		cmocka_unit_test(test_receive_overrun),
		cmocka_unit_test(test_receive_bounded),
		cmocka_unit_test(test_receive_truncated),
		cmocka_unit_test(test_receive_foreign),
	};

	return cmocka_run_group_tests_name("nl", tests, enter, NULL);
}
