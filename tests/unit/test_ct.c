// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "netlink/ct.h"

#define MESSAGE_MAX 1024

/* A recorded message, or one made of it. */
struct message {
	uint8_t bytes[MESSAGE_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	size_t len;
};

static void message_load(const char *name, struct message *m)
{
	_cleanup_(fclosep) FILE *f = NULL;
	char path[128], line[256];

	assert_true(snprintf(path, sizeof(path), "tests/fixtures/ct/%s.hex", name) <
		    (int)sizeof(path));
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	m->len = 0;
	while (fgets(line, sizeof(line), f)) {
		char *at = line, *end;

		while (line[0] != '#') {
			unsigned long byte = strtoul(at, &end, 16);

			if (end == at)
				break;
			assert_true(m->len < sizeof(m->bytes) && byte <= 0xff);
			m->bytes[m->len++] = (uint8_t)byte;
			at = end;
		}
	}
	assert_int_equal(m->len, ((struct nlmsghdr *)m->bytes)->nlmsg_len);
}

/* Decodes a heap copy of just these bytes, so that a sanitizer sees a read behind them. */
static int decode(const struct message *m, size_t len, struct ct_entry *ret_entry)
{
	_cleanup_(freep) uint8_t *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, m->bytes, len);
	((struct nlmsghdr *)copy)->nlmsg_len = (uint32_t)len;
	return ct_decode((struct nlmsghdr *)copy, ret_entry);
}

struct recorded {
	const char *name;
	int code;
	const char *tuple;
	struct ct_entry e; /* without its tuple */
};

#define UNREPLIED (IPS_CONFIRMED | IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE)
#define ESTABLISHED (UNREPLIED | IPS_SEEN_REPLY | IPS_ASSURED)

static const struct recorded recorded[] = {
	{ "tcp-new", 0, "tcp 127.0.0.1:40001 -> 127.0.0.1:8080",
	  { .event = CT_EVENT_NEW, .mark = 0x01000000, .status = UNREPLIED, .id = 0x1ea265a3,
	    .timeout_s = 120, .tcp_state = TCP_CONNTRACK_SYN_SENT, .has_status = true,
	    .has_timeout = true } },
	{ "tcp-update", 0, "tcp 127.0.0.1:40001 -> 127.0.0.1:8080",
	  { .event = CT_EVENT_UPDATE, .mark = 0x01000000, .status = ESTABLISHED, .id = 0x1ea265a3,
	    .timeout_s = 432000, .tcp_state = TCP_CONNTRACK_ESTABLISHED, .has_status = true,
	    .has_timeout = true } },
	{ "tcp-destroy", 0, "tcp 127.0.0.1:40001 -> 127.0.0.1:8080",
	  { .event = CT_EVENT_DESTROY, .mark = 0x01000000, .status = ESTABLISHED | IPS_DYING,
	    .id = 0x1ea265a3, .timeout_s = 59, .tcp_state = TCP_CONNTRACK_CLOSE_WAIT,
	    .has_status = true, .has_timeout = true, .packets = 5, .bytes = 276 } },
	{ "nat-new", 0, "tcp 127.0.0.1:40002 -> 127.0.0.1:8081",
	  { .event = CT_EVENT_NEW, .mark = 0x01000000, .status = UNREPLIED | IPS_DST_NAT,
	    .id = 0xe65a4a63, .timeout_s = 120, .tcp_state = TCP_CONNTRACK_SYN_SENT, .nat = true,
	    .has_status = true, .has_timeout = true } },
	{ "nat-dump", 0, "tcp 127.0.0.1:40002 -> 127.0.0.1:8081",
	  { .event = CT_EVENT_DUMP, .mark = 0x01000000, .status = ESTABLISHED | IPS_DST_NAT,
	    .id = 0xe65a4a63, .timeout_s = 59, .tcp_state = TCP_CONNTRACK_CLOSE_WAIT, .nat = true,
	    .has_status = true, .has_timeout = true, .packets = 5, .bytes = 276 } },
	{ "udp6-new", 0, "udp [::1]:50001 -> [::1]:53",
	  { .event = CT_EVENT_NEW, .mark = 0x02000000, .status = IPS_CONFIRMED, .id = 0x8705b0ff,
	    .timeout_s = 30, .has_status = true, .has_timeout = true } },
	{ "udp6-zone-new", 0, "udp [::1]:50002 -> [::1]:5353 zone 101",
	  { .event = CT_EVENT_NEW, .mark = 0x02000000, .status = IPS_CONFIRMED, .id = 0x10954065,
	    .timeout_s = 30, .has_status = true, .has_timeout = true } },
	{ "udp6-original-zone-new", 0, "udp [::1]:50003 -> [::1]:5354 zone 102",
	  { .event = CT_EVENT_NEW, .mark = 0x02000000, .status = IPS_CONFIRMED, .id = 0x9a6ba3e4,
	    .timeout_s = 30, .has_status = true, .has_timeout = true } },
	{ "udp6-zone-mark", 0, "udp [::1]:50002 -> [::1]:5353 zone 101",
	  { .event = CT_EVENT_UPDATE, .mark = 0x05000000, .status = IPS_CONFIRMED,
	    .id = 0x10954065, .timeout_s = 29, .has_status = true, .has_timeout = true } },
	{ "udp6-zone-get", 0, "udp [::1]:50002 -> [::1]:5353 zone 101",
	  { .event = CT_EVENT_DUMP, .mark = 0x02000000, .status = IPS_CONFIRMED, .id = 0x10954065,
	    .timeout_s = 29, .has_status = true, .has_timeout = true, .packets = 1,
	    .bytes = 49 } },
	{ "udp6-unmarked-new", 0, "udp [::1]:50004 -> [::1]:99",
	  { .event = CT_EVENT_NEW, .status = IPS_CONFIRMED, .id = 0x9b7c6eec, .timeout_s = 30,
	    .has_status = true, .has_timeout = true } },
	{ "icmp-new", -EPROTONOSUPPORT, NULL, { 0 } },
};

static void expect_same(const char *name, const struct ct_entry *a, const struct ct_entry *b)
{
	if (a->event != b->event || a->mark != b->mark || a->status != b->status ||
	    a->id != b->id || a->timeout_s != b->timeout_s || a->tcp_state != b->tcp_state ||
	    a->nat != b->nat || a->has_status != b->has_status ||
	    a->has_timeout != b->has_timeout || a->packets != b->packets || a->bytes != b->bytes)
		fail_msg("%s: event %d mark 0x%x status 0x%x id 0x%x timeout %u state %u nat %d",
			 name, (int)a->event, a->mark, a->status, a->id, a->timeout_s,
			 a->tcp_state, a->nat);
}

static void test_recorded(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
		const struct recorded *c = &recorded[i];
		struct message m;
		struct ct_entry e = { 0 };
		char text[TUPLE_TEXT];
		int r;

		message_load(c->name, &m);
		r = decode(&m, m.len, &e);
		if (r != c->code)
			fail_msg("%s: %d", c->name, r);
		if (r < 0)
			continue;
		assert_string_equal(tuple_format(&e.tuple, text), c->tuple);
		expect_same(c->name, &e, &c->e);
	}
}

/* Offsets at which the message may end: between attributes once the original tuple is complete. */
static bool is_whole(const struct message *m, size_t len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)m->bytes;
	const struct nlattr *attr;
	bool tuple = false;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
	{
		size_t begin = (size_t)((const uint8_t *)attr - m->bytes);

		if (len == begin && tuple)
			return true;
		/* The padding of the last attribute may be missing. */
		tuple |= mnl_attr_get_type(attr) == CTA_TUPLE_ORIG;
		if (tuple && len >= begin + attr->nla_len &&
		    len <= begin + MNL_ALIGN((size_t)attr->nla_len))
			return true;
	}
	return false;
}

static void test_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
		struct message m;

		message_load(recorded[i].name, &m);
		for (size_t len = NLMSG_HDRLEN; len < m.len; len++) {
			struct ct_entry e, before;
			int r;

			memset(&e, 0xa5, sizeof(e));
			before = e;
			r = decode(&m, len, &e);
			if (recorded[i].code < 0 ? r >= 0 : r != (is_whole(&m, len) ? 0 : -EBADMSG))
				fail_msg("%s cut to %zu bytes: %d", recorded[i].name, len, r);
			if (r < 0)
				assert_memory_equal(&e, &before, sizeof(e));
		}
	}
}

/* Each 16-bit word replaced by values that lengths and types trip over: no read outside. */
static void test_corrupted(void **state)
{
	static const uint16_t values[] = { 0, 1, 3, 4, 5, 8, 0x7fff, 0x8000, 0xfffc, 0xffff };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
		struct message m, broken;

		message_load(recorded[i].name, &m);
		for (size_t at = NLMSG_HDRLEN; at + 2 <= m.len; at += 2)
			for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
				struct ct_entry e;
				int r;

				broken = m;
				memcpy(broken.bytes + at, &values[v], sizeof(values[v]));
				r = decode(&broken, broken.len, &e);
				assert_true(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT);
			}
	}
}

static struct nlattr *find(struct message *m, const uint16_t *path, size_t depth)
{
	size_t at = NLMSG_HDRLEN + sizeof(struct nfgenmsg), end = m->len;
	struct nlattr *attr = NULL;

	for (size_t i = 0; i < depth; i++) {
		while (at < end) {
			attr = (struct nlattr *)(m->bytes + at);
			if (mnl_attr_get_type(attr) == path[i])
				break;
			at += MNL_ALIGN((size_t)attr->nla_len);
		}
		assert_true(at < end);
		end = at + attr->nla_len;
		at += sizeof(*attr);
	}
	return attr;
}

struct change {
	const char *what, *name;
	uint16_t path[3];
	size_t depth;
	uint16_t len, type; /* what is put there; 0 keeps it */
	int code;
};

#define ORIG_IP { CTA_TUPLE_ORIG, CTA_TUPLE_IP, 0 }
#define ORIG_PROTO { CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, 0 }
#define ORIG(inner, leaf) { CTA_TUPLE_ORIG, inner, leaf }

static const struct change changes[] = {
	{ "mark one byte short", "tcp-new", { CTA_MARK }, 1, 7, 0, -EBADMSG },
	{ "mark of any other type", "tcp-new", { CTA_MARK }, 1, 0, 500, 0 },
	{ "no original tuple", "tcp-new", { CTA_TUPLE_ORIG }, 1, 0, 500, -EBADMSG },
	{ "no reply tuple", "tcp-new", { CTA_TUPLE_REPLY }, 1, 0, 500, 0 },
	{ "two original tuples: the last", "tcp-new", { CTA_TUPLE_REPLY }, 1, 0,
	  CTA_TUPLE_ORIG, 0 },
	{ "no addresses", "tcp-new", ORIG_IP, 2, 0, 500, -EBADMSG },
	{ "no protocol", "tcp-new", ORIG_PROTO, 2, 0, 500, -EBADMSG },
	{ "no source address", "tcp-new", ORIG(CTA_TUPLE_IP, CTA_IP_V4_SRC), 3, 0, 500, -EBADMSG },
	{ "address of three bytes", "tcp-new", ORIG(CTA_TUPLE_IP, CTA_IP_V4_SRC), 3, 7, 0,
	  -EBADMSG },
	{ "IPv6 address in an IPv4 entry", "tcp-new", ORIG(CTA_TUPLE_IP, CTA_IP_V4_SRC), 3, 0,
	  CTA_IP_V6_SRC, -EBADMSG },
	{ "IPv4 address in an IPv6 entry", "udp6-new", ORIG(CTA_TUPLE_IP, CTA_IP_V6_DST), 3, 0,
	  CTA_IP_V4_DST, -EBADMSG },
	{ "no source port", "tcp-new", ORIG(CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT), 3, 0, 500,
	  -EBADMSG },
	{ "port of one byte", "tcp-new", ORIG(CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT), 3, 5, 0,
	  -EBADMSG },
	{ "no protocol number", "tcp-new", ORIG(CTA_TUPLE_PROTO, CTA_PROTO_NUM), 3, 0, 500,
	  -EBADMSG },
	{ "zone of one byte", "udp6-zone-new", { CTA_ZONE }, 1, 5, 0, -EBADMSG },
	{ "status of three bytes", "tcp-new", { CTA_STATUS }, 1, 7, 0, -EBADMSG },
	{ "counters too long", "nat-dump", { CTA_COUNTERS_ORIG }, 1, 0xffff, 0, -EBADMSG },
	{ "packets of seven bytes", "nat-dump", { CTA_COUNTERS_ORIG, CTA_COUNTERS_PACKETS }, 2, 11,
	  0, -EBADMSG },
	{ "state of four bytes", "tcp-new",
	  { CTA_PROTOINFO, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE }, 3, 8, 0, -EBADMSG },
};

static void test_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		const struct change *c = &changes[i];
		struct message m;
		struct ct_entry e;
		struct nlattr *attr;
		int r;

		message_load(c->name, &m);
		attr = find(&m, c->path, c->depth);
		if (c->len != 0)
			attr->nla_len = c->len;
		if (c->type != 0)
			attr->nla_type = c->type;
		r = decode(&m, m.len, &e);
		if (r != c->code)
			fail_msg("%s: %d instead of %d", c->what, r, c->code);
	}
}

static void test_other_messages(void **state)
{
	static const struct {
		uint16_t type;
		uint8_t family;
		int code;
	} others[] = {
		{ NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS, AF_INET, -ENOMSG },
		{ NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_EXP_NEW, AF_INET, -ENOMSG },
		{ NFNL_SUBSYS_NFTABLES << 8, AF_INET, -ENOMSG },
		{ NLMSG_ERROR, AF_INET, -ENOMSG },
		{ NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, AF_UNSPEC, -EPROTONOSUPPORT },
		{ NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, AF_BRIDGE, -EPROTONOSUPPORT },
		{ NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, AF_INET6, -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct message m;
		struct ct_entry e;

		message_load("tcp-new", &m);
		((struct nlmsghdr *)m.bytes)->nlmsg_type = others[i].type;
		m.bytes[NLMSG_HDRLEN] = others[i].family;
		assert_int_equal(decode(&m, m.len, &e), others[i].code);
	}
}

static void test_ports_of_protocols(void **state)
{
	const uint16_t path[] = ORIG(CTA_TUPLE_PROTO, CTA_PROTO_NUM);
	static const uint16_t reply[] = { CTA_TUPLE_REPLY, CTA_TUPLE_PROTO, CTA_PROTO_NUM };
	struct message m;

	(void)state;
	message_load("tcp-new", &m);
	for (unsigned proto = 0; proto < 256; proto++) {
		bool ports = proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
			     proto == IPPROTO_SCTP || proto == IPPROTO_DCCP ||
			     proto == IPPROTO_UDPLITE;
		struct ct_entry e;

		*(uint8_t *)mnl_attr_get_payload(find(&m, path, 3)) = (uint8_t)proto;
		*(uint8_t *)mnl_attr_get_payload(find(&m, reply, 3)) = (uint8_t)proto;
		assert_int_equal(decode(&m, m.len, &e), ports ? 0 : -EPROTONOSUPPORT);
		if (ports)
			assert_int_equal(e.tuple.proto, proto);
	}
}

/* What we ask with must read back as what we meant, since the kernel uses the same attributes. */
static void test_requests(void **state)
{
	struct nlmsghdr *(*const requests[])(void *, const struct tuple *) = { ct_request_get,
									      ct_request_delete };
	uint8_t buf[NL_REQUEST_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
		struct message m;
		struct ct_entry e;

		if (recorded[i].code < 0)
			continue;
		message_load(recorded[i].name, &m);
		assert_int_equal(decode(&m, m.len, &e), 0);
		for (size_t k = 0; k < ARRAY_SIZE(requests); k++) {
			struct nlmsghdr *nlh = requests[k](buf, &e.tuple);
			struct ct_entry again;

			assert_non_null(nlh);
			nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
			assert_int_equal(ct_decode(nlh, &again), 0);
			assert_memory_equal(&again.tuple, &e.tuple, sizeof(e.tuple));
			assert_false(again.has_status || again.has_timeout || again.mark != 0);
		}
		assert_non_null(ct_request_set_mark(buf, &e.tuple, 0x05ffffff, 0xff000000));
		assert_int_equal(ct_decode((struct nlmsghdr *)buf, &e), 0);
		assert_int_equal(e.mark, 0x05000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_corrupted),      cmocka_unit_test(test_changes),
		cmocka_unit_test(test_other_messages), cmocka_unit_test(test_ports_of_protocols),
		cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests_name("ct", tests, NULL, NULL);
}
