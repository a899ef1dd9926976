// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "netlink/nl.h"
#include "netlink/nl_internal.h"

/* How often an interrupted dump is made again. */
#define DUMP_REPEATS 3
/* Datagrams a turn; waiting goes on in between. */
#define TURN 64

static const struct nl_attr_policy ack_policy[] = {
	[NLMSGERR_ATTR_MSG] = { NL_ATTR_STRING, 0, 0 },
	[NLMSGERR_ATTR_OFFS] = { NL_ATTR_U32, 0, 0 },
	[NLMSGERR_ATTR_MISS_TYPE] = { NL_ATTR_U32, 0, 0 },
};

/* The kernel's sentences end as their authors liked; ours have no full stop. */
static int err_set_sentence(struct err *e, int code, const char *text)
{
	size_t len = strlen(text);

	while (len > 0 && strchr(". \n", text[len - 1]))
		len--;
	return err_set(e, code, "%.*s", (int)len, text);
}

/* Attributes of an extended ACK into *e. */
static int ack_explain(const void *attrs, size_t len, int code, struct err *e)
{
	const struct nlattr *tb[ARRAY_SIZE(ack_policy)];

	if (nl_attr_parse(attrs, len, ack_policy, tb, ARRAY_SIZE(tb)) < 0)
		return err_set(e, code, "%s", strerror(-code));
	if (tb[NLMSGERR_ATTR_MSG])
		return err_set_sentence(e, code, mnl_attr_get_str(tb[NLMSGERR_ATTR_MSG]));
	if (tb[NLMSGERR_ATTR_MISS_TYPE])
		return err_set(e, code, "%s (attribute %u is missing)", strerror(-code),
			       mnl_attr_get_u32(tb[NLMSGERR_ATTR_MISS_TYPE]));
	if (tb[NLMSGERR_ATTR_OFFS])
		return err_set(e, code, "%s (at attribute offset %u)", strerror(-code),
			       mnl_attr_get_u32(tb[NLMSGERR_ATTR_OFFS]));
	return err_set(e, code, "%s", strerror(-code));
}

static int ack_explain_at(const struct nlmsghdr *nlh, size_t offset, int code, struct err *e)
{
	size_t len = mnl_nlmsg_get_payload_len(nlh);
	const uint8_t *payload = mnl_nlmsg_get_payload(nlh);

	if (code < -4095 || code > 0) /* MAX_ERRNO */
		return err_set(e, -EBADMSG, "the kernel answered with the impossible code %d",
			       code);
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || offset > len)
		return err_set(e, code, "%s", strerror(-code));
	return ack_explain(payload + offset, len - offset, code, e);
}

int nl_ack_error(const struct nlmsghdr *nlh, struct err *e)
{
	const struct nlmsgerr *ack = mnl_nlmsg_get_payload(nlh);
	size_t offset = MNL_ALIGN(sizeof(*ack));

	if (nlh->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ack))
		return err_set(e, -EBADMSG, "the kernel's answer is malformed");
	if (ack->error == 0)
		return 0;
	/* Without NLM_F_CAPPED the request's payload stands between. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && ack->msg.nlmsg_len > NLMSG_HDRLEN)
		offset += MNL_ALIGN((size_t)ack->msg.nlmsg_len - NLMSG_HDRLEN);
	return ack_explain_at(nlh, offset, ack->error, e);
}

static void request_number(struct nl *nl, struct nlmsghdr *nlh, uint16_t flags)
{
	nlh->nlmsg_flags |= NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = nl_next_seq(nl);
	nlh->nlmsg_pid = nl_portid(nl);
}

static bool is_answer(const struct nl *nl, const struct nlmsghdr *nlh, uint32_t seq)
{
	return nlh->nlmsg_seq == seq && nlh->nlmsg_pid == nl_portid(nl);
}

struct request {
	const struct nl *nl;
	uint32_t seq;
	nl_message_fn fn;
	void *arg;
	struct err *e;
	bool done;
	int code; /* of the kernel */
	int stopped; /* what fn returned, once negative */
};

static int request_message(const struct nlmsghdr *nlh, void *arg)
{
	struct request *q = arg;

	if (q->done || !is_answer(q->nl, nlh, q->seq))
		return 0;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		q->code = nl_ack_error(nlh, q->e);
		q->done = true;
	} else if (q->fn && q->stopped == 0) {
		int r = q->fn(nlh, q->arg);

		if (r < 0)
			q->stopped = r;
	}
	return 0;
}

int nl_collect(struct nl *nl, nl_message_fn fn, void *arg, const bool *done)
{
	uint64_t deadline = clock_now_ms() + NL_DEADLINE_MS;
	bool overrun = false;

	while (!*done) {
		int r = overrun ? 0 : nl_wait(nl, deadline);

		if (r == 0)
			r = nl_receive(nl, TURN, fn, arg);
		/* An overrun is reported once and before what is queued, and it may be an old one:
		 * what we wait for may still be there, and if it is, then now. */
		if (r == -ENOBUFS)
			overrun = true;
		else if (r < 0)
			return r;
		else if (r == 0 && overrun)
			return -ENOBUFS;
	}
	return 0;
}

int nl_request(struct nl *nl, struct nlmsghdr *nlh, nl_message_fn fn, void *arg, struct err *e)
{
	struct request q = { .nl = nl, .fn = fn, .arg = arg, .e = e };
	int r;

	if (!nlh)
		return err_set(e, -ENOMEM, "a netlink request could not be made");
	request_number(nl, nlh, NLM_F_ACK);
	q.seq = nlh->nlmsg_seq;
	r = nl_send(nl, nlh, nlh->nlmsg_len);
	if (r < 0)
		return err_set(e, r, "a netlink request could not be sent: %s", strerror(-r));
	r = nl_collect(nl, request_message, &q, &q.done);
	if (r < 0)
		return err_set(e, r, "the answer to a netlink request did not arrive: %s",
			       strerror(-r));
	if (q.code < 0)
		return q.code;
	return q.stopped < 0 ? err_set(e, q.stopped, "%s", strerror(-q.stopped)) : 0;
}

int nl_dump_begin(struct nl *nl, struct nlmsghdr *nlh)
{
	int r;

	if (nl->dump.running)
		return -EBUSY;
	request_number(nl, nlh, NLM_F_DUMP);
	r = nl_send(nl, nlh, nlh->nlmsg_len);
	if (r < 0)
		return r;
	memset(&nl->dump, 0, sizeof(nl->dump));
	nl->dump.seq = nlh->nlmsg_seq;
	nl->dump.running = true;
	return 0;
}

struct dump_walk {
	struct nl *nl;
	nl_message_fn fn;
	void *arg;
};

/* NLMSG_DONE carries the errno of the dump, and the extended ACK behind it. */
static void dump_done(struct nl *nl, const struct nlmsghdr *nlh)
{
	int code = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	if (code != 0 && nl->dump.error.code == 0)
		(void)ack_explain_at(nlh, MNL_ALIGN(sizeof(code)), code, &nl->dump.error);
	nl->dump.running = false;
}

static int dump_message(const struct nlmsghdr *nlh, void *arg)
{
	struct dump_walk *w = arg;
	struct nl *nl = w->nl;

	if (!nl->dump.running || !is_answer(nl, nlh, nl->dump.seq))
		return 0;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		nl->dump.interrupted = true;
	if (nlh->nlmsg_type == NLMSG_DONE) {
		dump_done(nl, nlh);
	} else if (nlh->nlmsg_type == NLMSG_ERROR) {
		(void)nl_ack_error(nlh, &nl->dump.error);
		nl->dump.running = false;
	} else if (nl->dump.error.code == 0) {
		/* The kernel refuses a second dump while one runs: a failed one is read to its end.
		 * */
		int r = w->fn(nlh, w->arg);

		if (r < 0)
			err_set(&nl->dump.error, r, "%s", strerror(-r));
	}
	return 0;
}

int nl_dump_step(struct nl *nl, unsigned max_datagrams, nl_message_fn fn, void *arg)
{
	struct dump_walk w = { .nl = nl, .fn = fn, .arg = arg };
	int r;

	if (!nl->dump.running)
		return -EINVAL;
	r = nl_receive(nl, max_datagrams, dump_message, &w);
	if (r < 0 && nl->dump.error.code == 0)
		err_set(&nl->dump.error, r, "%s", strerror(-r));
	/* After these two the end of the dump can still be read. */
	if (r < 0 && r != -EMSGSIZE && r != -ENOBUFS)
		nl->dump.running = false;
	if (nl->dump.running)
		return 1;
	if (nl->dump.error.code < 0)
		return nl->dump.error.code;
	return nl->dump.interrupted ? -EINTR : 0;
}

static int dump_once(struct nl *nl, struct nlmsghdr *nlh, nl_message_fn fn, void *arg)
{
	int r = nl_dump_begin(nl, nlh);

	if (r < 0)
		return r;
	do {
		r = nl_wait(nl, clock_now_ms() + NL_DEADLINE_MS);
		if (r == 0)
			r = nl_dump_step(nl, TURN, fn, arg);
	} while (r > 0);
	nl->dump.running = false;
	return r;
}

int nl_dump(struct nl *nl, struct nlmsghdr *nlh, nl_message_fn fn, void (*restart)(void *arg),
	    void *arg, struct err *e)
{
	int r = dump_once(nl, nlh, fn, arg);

	for (int i = 0; i < DUMP_REPEATS && r == -EINTR && nl->dump.error.code == 0; i++) {
		if (restart)
			restart(arg);
		r = dump_once(nl, nlh, fn, arg);
	}
	if (r < 0 && nl->dump.error.code == r)
		return err_set(e, r, "%s", nl->dump.error.text);
	if (r == -EINTR)
		return err_set(e, r, "the table changed during each of %d dumps", DUMP_REPEATS + 1);
	if (r < 0)
		return err_set(e, r, "a netlink dump failed: %s", strerror(-r));
	return 0;
}
