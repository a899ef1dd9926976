/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

/* A netlink socket on top of libmnl: extended ACK text in errors, strict checking, forced buffers,
 * many datagrams a call. */
struct nl;

/* Bytes of a buffer to build a request in. (MNL_SOCKET_BUFFER_SIZE is not a constant.) */
#define NL_REQUEST_MAX 8192

/* What is called for each message. A negative return stops the walk and is handed on. */
typedef int (*nl_message_fn)(const struct nlmsghdr *nlh, void *arg);

/* Opens a non-blocking, close-on-exec socket of a protocol (NETLINK_ROUTE, NETLINK_NETFILTER),
 * bound, with NETLINK_EXT_ACK, NETLINK_CAP_ACK and NETLINK_GET_STRICT_CHK. -ENOMEM; errno of
 * socket(2), setsockopt(2) or bind(2). */
int nl_open(int protocol, struct nl **ret_nl) _must_check_;
struct nl *nl_close(struct nl *nl);
DEFINE_FREEP(struct nl, nl_close)

/* Its descriptor, which it owns, to wait for; its port id. */
int nl_fd(const struct nl *nl);
uint32_t nl_portid(const struct nl *nl);

/* The next sequence number: for a caller that sends by itself (nf_tables batches). */
uint32_t nl_next_seq(struct nl *nl);

/* Reads an NLMSG_ERROR message: 0 for an ACK, else the kernel's errno with its sentence (extended
 * ACK, else strerror) in *e, which may be NULL. -EBADMSG when it is none or malformed. Source:
 * Documentation/userspace-api/netlink/intro.rst. */
int nl_ack_error(const struct nlmsghdr *nlh, struct err *e);

/* Join or leave a multicast group (RTNLGRP_*, NFNLGRP_*). Errno of setsockopt(2). */
int nl_join(struct nl *nl, unsigned group) _must_check_;
int nl_leave(struct nl *nl, unsigned group);

/* Asks for buffers of `bytes` (at most 1 GiB) by SO_RCVBUFFORCE / SO_SNDBUFFORCE, else by the plain
 * option. *ret_bytes (may be NULL) is what the kernel reports afterwards (its bookkeeping doubles
 * what was asked). Errno of setsockopt(2) or getsockopt(2). */
int nl_set_receive_buffer(struct nl *nl, uint32_t bytes, uint32_t *ret_bytes);
int nl_set_send_buffer(struct nl *nl, uint32_t bytes, uint32_t *ret_bytes);

/* Receives what is there, at most `max_datagrams` (recvmmsg), and calls fn for each message; fn
 * must not use the same nl. Never blocks. Returns the number of datagrams read (0: nothing there),
 * -ENOBUFS when the kernel dropped messages for us, -EMSGSIZE for a truncated datagram (those read
 * with it were walked), -EBADMSG for a malformed one, what fn returned (what was read with that
 * message is gone), or another errno. Datagrams whose sender is not the kernel are dropped. */
int nl_receive(struct nl *nl, unsigned max_datagrams, nl_message_fn fn, void *arg);

/* Sends one request (NULL, a builder's failure: -ENOMEM; sequence number and port are filled in,
 * NLM_F_ACK added) and waits for its answer: fn (may be NULL) sees each message of it. The kernel
 * answers such requests while they are sent, so this waits for the kernel's work and for nothing
 * else, and at most 5 s: -ETIMEDOUT. On failure *e holds the kernel's own sentence (extended ACK)
 * or strerror's. Must not be used on a socket that has joined a group. Returns 0, the errno of the
 * kernel, or fn's (the answer is read to its end). */
int nl_request(struct nl *nl, struct nlmsghdr *nlh, nl_message_fn fn, void *arg, struct err *e);

/* A whole dump at once: NLM_F_DUMP is added; interrupted dumps (NLM_F_DUMP_INTR) are repeated up to
 * 3 times, with fn called again from the start (`restart`, may be NULL, is called before each
 * repetition). -EINTR when all were interrupted. Errors as of nl_request(); after fn's the dump is
 * read to its end, and it is not repeated. */
int nl_dump(struct nl *nl, struct nlmsghdr *nlh, nl_message_fn fn, void (*restart)(void *arg),
	    void *arg, struct err *e);

/* A dump in steps, for large tables in an event loop: begin sends the request (-EBUSY while one
 * runs; errno of sendto(2)); each step reads at most `max_datagrams` and calls fn. Step returns 1:
 * more to come (call again when the socket is readable), 0: complete, -EINTR: complete, but
 * interrupted, or an errno: it is over (-EINVAL: none runs). After an error of fn the rest of the
 * dump is still read, since the kernel runs one dump per socket: steps return 1 meanwhile and that
 * error at the end. */
int nl_dump_begin(struct nl *nl, struct nlmsghdr *nlh) _must_check_;
int nl_dump_step(struct nl *nl, unsigned max_datagrams, nl_message_fn fn, void *arg);

/* Many independent requests in few system calls. nl_pipeline_add copies a complete request (NULL, a
 * builder's failure: -ENOMEM; shorter than its header: -EINVAL; at most 32 KiB: -EMSGSIZE);
 * nl_pipeline_run sends them in packets and calls `answer` exactly once for each, in the order of
 * adding: `index` counts from 0, `nlh` is the first data message of the answer or NULL, `code` 0 or
 * the kernel's errno with its sentence in *e; -ENOBUFS: its answer was lost. Waits for the kernel's
 * work only. Returns 0 whatever the codes; an errno when the socket failed, which is then also the
 * code of the requests left. It is empty afterwards. `answer` must use neither the pipeline nor its
 * socket. For requests that are answered with an ACK, with or without one data message (no dumps).
 * Borrows nl. */
struct nl_pipeline;
typedef void (*nl_answer_fn)(size_t index, const struct nlmsghdr *nlh, int code,
			     const struct err *e, void *arg);
/* As many requests are under way at once as the receive buffer, as it is now, holds answers for.
 * -ENOMEM; errno of getsockopt(2). */
int nl_pipeline_new(struct nl *nl, struct nl_pipeline **ret_pipeline) _must_check_;
struct nl_pipeline *nl_pipeline_free(struct nl_pipeline *p);
DEFINE_FREEP(struct nl_pipeline, nl_pipeline_free)
int nl_pipeline_add(struct nl_pipeline *p, const struct nlmsghdr *nlh) _must_check_;
size_t nl_pipeline_count(const struct nl_pipeline *p);
int nl_pipeline_run(struct nl_pipeline *p, nl_answer_fn answer, void *arg, struct err *e);
/* For requests that are answered with up to `most` (at least 1) data messages each: from here on
 * `part` sees each as it comes, in order, and `answer`, behind the last of its request, gets none.
 * `part` must use neither the pipeline nor its socket. */
typedef void (*nl_part_fn)(size_t index, const struct nlmsghdr *nlh, void *arg);
void nl_pipeline_set_parts(struct nl_pipeline *p, size_t most, nl_part_fn part);
/* Data messages that the receive buffer holds at once, at least 1: the answer to one request that
 * has more may be lost. */
size_t nl_pipeline_room(const struct nl_pipeline *p);

/* The attribute policy: what each attribute of a message must look like. */
enum nl_attr_kind {
	NL_ATTR_NONE,
	NL_ATTR_U8,
	NL_ATTR_U16,
	NL_ATTR_U32,
	NL_ATTR_U64,
	NL_ATTR_STRING, /* ends with a NUL inside the payload */
	NL_ATTR_BINARY,
	NL_ATTR_NESTED,
	NL_ATTR_FLAG, /* no payload */
};

struct nl_attr_policy {
	enum nl_attr_kind kind; /* NL_ATTR_NONE: ignored */
	uint16_t max;		/* bytes, of STRING (with its NUL) and BINARY; 0: any */
	uint16_t min;		/* bytes, of BINARY */
};

/* Sorts the attributes of a payload into tb[0..n-1] by type (NLA_F_NESTED masked off); those that
 * the policy does not name are ignored, of repeated ones the last counts. tb is all NULL first.
 * -EBADMSG when one breaks its policy or the payload is malformed (also by bytes left over); tb is
 * then useless. */
int nl_attr_parse(const void *payload, size_t len, const struct nl_attr_policy *policy,
		  const struct nlattr **tb, size_t n) _must_check_;
