// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "netlink/nl.h"
#include "netlink/nl_internal.h"

#define PACKET_BYTES 32768
#define PACKET_REQUESTS 64
/* What the receive buffer is charged for the answers to one request: the ACK and a data message,
 * each with the kernel's bookkeeping. All answers to a packet are queued before its sendmsg(2)
 * returns. */
#define ANSWER_CHARGE 3072

struct nl_pipeline {
	struct nl *nl;
	uint8_t *data; /* the requests, each aligned */
	size_t len, cap, count;
	size_t room, packet_requests;
	nl_part_fn part;
	uint8_t *answer; /* a data message that waits for its ACK; NL_DATAGRAM bytes */
};

/* One packet on its way. */
struct packet {
	struct nl_pipeline *p;
	nl_answer_fn fn;
	void *arg;
	size_t first;	/* index of its first request */
	size_t n;	/* requests in it */
	size_t answered;
	uint32_t seq;	/* of its first request */
	bool has_data;	/* p->answer belongs to the request that is answered next */
	bool done;
};

static size_t at_least_one(size_t n)
{
	return n > 0 ? n : 1;
}

int nl_pipeline_new(struct nl *nl, struct nl_pipeline **ret_pipeline)
{
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *p = calloc(1, sizeof(*p));
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	if (!p)
		return -ENOMEM;
	p->answer = malloc(NL_DATAGRAM);
	if (!p->answer)
		return -ENOMEM;
	if (getsockopt(nl_fd(nl), SOL_SOCKET, SO_RCVBUF, &bytes, &len) < 0)
		return -errno;
	p->nl = nl;
	p->room = at_least_one((size_t)bytes / ANSWER_CHARGE);
	nl_pipeline_set_parts(p, 1, NULL);
	*ret_pipeline = TAKE_PTR(p);
	return 0;
}

void nl_pipeline_set_parts(struct nl_pipeline *p, size_t most, nl_part_fn part)
{
	size_t requests = at_least_one(p->room / most);

	p->packet_requests = requests < PACKET_REQUESTS ? requests : PACKET_REQUESTS;
	p->part = part;
}

size_t nl_pipeline_room(const struct nl_pipeline *p)
{
	return p->room;
}

struct nl_pipeline *nl_pipeline_free(struct nl_pipeline *p)
{
	if (!p)
		return NULL;
	free(p->answer);
	free(p->data);
	free(p);
	return NULL;
}

size_t nl_pipeline_count(const struct nl_pipeline *p)
{
	return p->count;
}

int nl_pipeline_add(struct nl_pipeline *p, const struct nlmsghdr *nlh)
{
	size_t size;

	if (!nlh)
		return -ENOMEM;
	if (nlh->nlmsg_len < NLMSG_HDRLEN)
		return -EINVAL;
	size = NLMSG_ALIGN((size_t)nlh->nlmsg_len);
	if (size > PACKET_BYTES)
		return -EMSGSIZE;
	if (p->cap - p->len < size) {
		size_t cap = p->cap > 0 ? 2 * p->cap : 2 * PACKET_BYTES;
		uint8_t *data = realloc(p->data, cap);

		if (!data)
			return -ENOMEM;
		p->data = data;
		p->cap = cap;
	}
	memcpy(p->data + p->len, nlh, nlh->nlmsg_len);
	memset(p->data + p->len + nlh->nlmsg_len, 0, size - nlh->nlmsg_len);
	p->len += size;
	p->count++;
	return 0;
}

static void packet_answer(struct packet *k, int code, const struct err *e)
{
	const struct nlmsghdr *data = k->has_data ? (const struct nlmsghdr *)k->p->answer : NULL;
	size_t index = k->first + k->answered;

	k->has_data = false;
	k->answered++;
	k->done = k->answered == k->n;
	k->fn(index, data, code, e, k->arg);
}

/* Answers the requests before `until` whose own answer did not come. */
static void packet_fail(struct packet *k, size_t until, int code)
{
	struct err e = { 0 };

	err_set(&e, code, "the answer to a netlink request was lost: %s", strerror(-code));
	while (k->answered < until) {
		k->has_data = false;
		packet_answer(k, code, &e);
	}
}

static int packet_message(const struct nlmsghdr *nlh, void *arg)
{
	struct packet *k = arg;
	uint32_t i = nlh->nlmsg_seq - k->seq;

	if (nlh->nlmsg_pid != nl_portid(k->p->nl) || i >= k->n || i < k->answered)
		return 0;
	packet_fail(k, i, -ENOBUFS);
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		struct err e = { 0 };
		int code = nl_ack_error(nlh, &e);

		packet_answer(k, code, &e);
	} else if (nlh->nlmsg_type == NLMSG_DONE) {
		return 0;
	} else if (k->p->part) {
		k->p->part(k->first + i, nlh, k->arg);
	} else if (!k->has_data) {
		/* The buffer that it is in may be used again before its ACK is read. */
		memcpy(k->p->answer, nlh, nlh->nlmsg_len);
		k->has_data = true;
	}
	return 0;
}

/* Numbers the requests of the packet that begins at `at` and returns its size in bytes. */
static size_t packet_fill(struct packet *k, uint8_t *at, const uint8_t *end)
{
	uint8_t *begin = at;

	while (at < end && k->n < k->p->packet_requests) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)at;
		size_t size = NLMSG_ALIGN((size_t)nlh->nlmsg_len);

		if ((size_t)(at - begin) + size > PACKET_BYTES)
			break;
		nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
		nlh->nlmsg_pid = nl_portid(k->p->nl);
		nlh->nlmsg_seq = nl_next_seq(k->p->nl);
		if (k->n++ == 0)
			k->seq = nlh->nlmsg_seq;
		at += size;
	}
	return (size_t)(at - begin);
}

int nl_pipeline_run(struct nl_pipeline *p, nl_answer_fn answer, void *arg, struct err *e)
{
	size_t first = 0, len = p->len;
	int failed = 0;

	p->count = 0;
	p->len = 0;
	for (size_t at = 0; at < len;) {
		struct packet k = { .p = p, .fn = answer, .arg = arg, .first = first };
		size_t size = packet_fill(&k, p->data + at, p->data + len);
		int r = failed;

		if (r == 0)
			r = nl_send(p->nl, p->data + at, size);
		if (r == 0)
			r = nl_collect(p->nl, packet_message, &k, &k.done);
		if (r < 0) {
			packet_fail(&k, k.n, r);
			/* What the kernel answered late or not at all says nothing about the next
			 * packet, unless it is the socket that is broken. */
			if (r != -ENOBUFS)
				failed = r;
		}
		at += size;
		first += k.n;
	}
	if (failed < 0)
		return err_set(e, failed, "netlink requests failed: %s", strerror(-failed));
	return 0;
}
