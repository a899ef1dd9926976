// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/vec.h"

struct message {
	size_t offset, len;
	size_t operations;
	bool cut; /* a transaction may end behind it */
};

struct nft_batch {
	uint8_t *data;
	size_t len, cap;
	struct message *messages;
	size_t n, messages_cap;
	bool failed;
};

int nft_batch_new(struct nft_batch **ret_batch)
{
	struct nft_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	*ret_batch = b;
	return 0;
}

struct nft_batch *nft_batch_free(struct nft_batch *b)
{
	if (b) {
		free(b->data);
		free(b->messages);
		free(b);
	}
	return NULL;
}

static void batch_clear(struct nft_batch *b)
{
	b->len = 0;
	b->n = 0;
	b->failed = false;
}

static bool batch_reserve(struct nft_batch *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 4 * (size_t)NFT_MESSAGE_MAX;
	uint8_t *data;

	if (b->cap - b->len >= more)
		return true;
	while (cap - b->len < more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

static struct nlmsghdr *put_header(void *buf, uint16_t type, uint16_t flags, uint16_t family,
				   uint16_t res_id, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	nfg->nfgen_family = (uint8_t)family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(res_id);
	return nlh;
}

struct nlmsghdr *nft_request(void *buf, uint16_t type, uint16_t family)
{
	return put_header(buf, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), 0, family, 0, 0);
}

struct nlmsghdr *nft_batch_begin(struct nft_batch *b, uint16_t type, uint16_t flags,
				 uint16_t family)
{
	void *messages = vec_reserve(b->messages, b->n, &b->messages_cap, sizeof(*b->messages));

	if (messages)
		b->messages = messages;
	if (b->failed || !messages || !batch_reserve(b, NFT_MESSAGE_MAX)) {
		b->failed = true;
		return NULL;
	}
	return put_header(b->data + b->len, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
			  family, 0, 0);
}

void nft_batch_end(struct nft_batch *b, struct nlmsghdr *nlh, size_t operations)
{
	if (b->failed || !nlh)
		return;
	b->messages[b->n++] = (struct message){ .offset = b->len,
						.len = nlh->nlmsg_len,
						.operations = operations };
	b->len += MNL_ALIGN(nlh->nlmsg_len);
}

void nft_batch_fail(struct nft_batch *b)
{
	b->failed = true;
}

void nft_batch_cut(struct nft_batch *b)
{
	if (b->n)
		b->messages[b->n - 1].cut = true;
}

/* The index behind the last message of the transaction that begins at `from`: the last cut that
 * keeps the limits, or the first one when what lies before it is too long by itself. */
static size_t transaction_end(const struct nft_batch *b, size_t from)
{
	size_t operations = 0, bytes = 0, end = from;

	for (size_t i = from; i < b->n; i++) {
		operations += b->messages[i].operations;
		bytes += MNL_ALIGN(b->messages[i].len);
		if (end > from &&
		    (operations > NFT_TRANSACTION_OPERATIONS || bytes > NFT_TRANSACTION_BYTES))
			return end;
		if (b->messages[i].cut || i + 1 == b->n)
			end = i + 1;
	}
	return end;
}

struct outcome {
	uint32_t first_seq,
		n; /* of the transaction's messages; its begin and end are numbered around them */
	bool done;
	nft_refused_fn refused;
	size_t base; /* index of the message with first_seq */
	void *arg;
	struct err err;
};

static int outcome_message(const struct nlmsghdr *nlh, void *arg)
{
	struct outcome *o = arg;
	uint32_t place = nlh->nlmsg_seq - o->first_seq; /* UINT32_MAX is the begin, n the end */
	struct err e = { 0 };
	int r;

	if (nlh->nlmsg_type != NLMSG_ERROR || (place > o->n && place != UINT32_MAX))
		return 0;
	if (place + 1 == o->n)
		o->done = true;
	r = nl_ack_error(nlh, &e);
	if (r == 0)
		return 0;
	if (o->err.code == 0)
		o->err = e;
	if (o->refused && place < o->n)
		o->refused(o->base + place, r, o->arg);
	return 0;
}

/* The kernel has answered when sendmsg() returns: everything is in the queue. */
static int outcome_read(struct nl *nl, struct outcome *o)
{
	bool overrun = false;
	int r;

	do {
		r = nl_receive(nl, 32, outcome_message, o);
		/* Hundreds of refusals may not fit into the queue; the first of them do. */
		if (r == -ENOBUFS && !overrun) {
			overrun = true;
			r = 1;
		}
	} while (r > 0);
	if (r < 0 && o->err.code == 0)
		return err_set(&o->err, r, "the kernel's answer to a transaction was lost: %s",
			       strerror(-r));
	return 0;
}

static int transaction_send(struct nl *nl, struct iovec *iov, size_t n_iov, size_t bytes)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct msghdr mh = { .msg_name = &kernel,
			     .msg_namelen = sizeof(kernel),
			     .msg_iov = iov,
			     .msg_iovlen = n_iov };
	uint32_t got;
	ssize_t n;

	/* One sendmsg() is one transaction, and it must fit into the send buffer. */
	if (bytes > 64u << 10)
		nl_set_send_buffer(nl, (uint32_t)bytes * 2, &got);
	do {
		n = sendmsg(nl_fd(nl), &mh, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int transaction_write(struct nl *nl, struct nft_batch *b, size_t from, size_t to,
			     struct outcome *o)
{
	uint8_t head[MNL_NLMSG_HDRLEN + sizeof(struct nfgenmsg)], tail[sizeof(head)];
	const struct message *last = &b->messages[to - 1];
	size_t begin = b->messages[from].offset,
	       bytes = last->offset + MNL_ALIGN(last->len) - begin;
	struct iovec iov[3];
	int r;

	put_header(head, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, nl_next_seq(nl));
	o->base = from;
	o->n = (uint32_t)(to - from);
	o->done = false;
	for (size_t i = from; i < to; i++) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)(b->data + b->messages[i].offset);

		nlh->nlmsg_seq = nl_next_seq(nl);
		if (i == from)
			o->first_seq = nlh->nlmsg_seq;
		/* One acknowledgement a transaction is enough: each more would only fill the
		 * queue. */
		if (i + 1 == to)
			nlh->nlmsg_flags |= NLM_F_ACK;
	}
	put_header(tail, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, nl_next_seq(nl));
	iov[0] = (struct iovec){ .iov_base = head, .iov_len = sizeof(head) };
	iov[1] = (struct iovec){ .iov_base = b->data + begin, .iov_len = bytes };
	iov[2] = (struct iovec){ .iov_base = tail, .iov_len = sizeof(tail) };
	r = transaction_send(nl, iov, ARRAY_SIZE(iov), bytes + 2 * sizeof(head));
	if (r < 0)
		return err_set(&o->err, r, "a transaction could not be sent: %s", strerror(-r));
	r = outcome_read(nl, o);
	if (r < 0)
		return r;
	if (o->err.code == 0 && !o->done)
		return err_set(&o->err, -EINTR, "the kernel did not confirm the transaction");
	return o->err.code;
}

int nft_batch_commit(struct nl *nl, struct nft_batch *b, nft_refused_fn refused, void *arg,
		     struct err *e)
{
	struct outcome o = { .refused = refused, .arg = arg };
	int r = b->failed ? err_set(&o.err, -ENOMEM, "out of memory") : 0;

	for (size_t from = 0; r == 0 && from < b->n;) {
		size_t to = transaction_end(b, from);

		r = transaction_write(nl, b, from, to, &o);
		from = to;
	}
	batch_clear(b);
	if (r < 0 && e)
		*e = o.err;
	return r;
}

const void *nft_userdata_find(const void *data, size_t size, uint8_t type, size_t len,
			      size_t *ret_len)
{
	const uint8_t *p = data;

	while (size >= 2 && (size_t)p[1] + 2 <= size) {
		size_t n = p[1];

		if (p[0] == type) {
			if (len && n != len)
				return NULL;
			if (ret_len)
				*ret_len = n;
			return p + 2;
		}
		p += n + 2;
		size -= n + 2;
	}
	return NULL;
}

bool nft_userdata_put(void *buf, size_t size, size_t *len, uint8_t type, const void *value,
		      size_t value_len)
{
	uint8_t *p = (uint8_t *)buf + *len;

	if (value_len > UINT8_MAX || size - *len < value_len + 2)
		return false;
	p[0] = type;
	p[1] = (uint8_t)value_len;
	memcpy(p + 2, value, value_len);
	*len += value_len + 2;
	return true;
}
