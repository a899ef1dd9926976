/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <sys/socket.h>
#include <linux/netlink.h>
#include "netlink/nl.h"

/* Shared by nl.c, nl_request.c and nl_pipeline.c only. */

#define NL_BATCH 32 /* datagrams a recvmmsg(2) */
/* The kernel sizes a dump's datagrams by the buffers it has seen, and stops at 32 KiB
 * (netlink_recvmsg()). */
#define NL_DATAGRAM 32768
#define NL_DEADLINE_MS 5000

struct nl {
	struct mnl_socket *socket;
	uint32_t seq;
	struct {
		uint32_t seq;
		bool running, interrupted;
		struct err error;
	} dump;
	struct mmsghdr headers[NL_BATCH];
	struct iovec iov[NL_BATCH];
	struct sockaddr_nl from[NL_BATCH];
	uint8_t *buffers; /* NL_BATCH times NL_DATAGRAM; what is never used is never touched */
};

/* Sends one buffer of messages to the kernel, which works on them before this returns. Errno of
 * sendto(2). */
int nl_send(struct nl *nl, const void *data, size_t len) _must_check_;

/* Waits until something can be read or `deadline_ms` (clock_now_ms()) has passed: -ETIMEDOUT. Errno
 * of poll(2). */
int nl_wait(struct nl *nl, uint64_t deadline_ms) _must_check_;

/* Reads and calls fn until *done, which fn sets. -ETIMEDOUT after NL_DEADLINE_MS, -ENOBUFS when
 * what was waited for is lost, else as of nl_wait() and nl_receive(). */
int nl_collect(struct nl *nl, nl_message_fn fn, void *arg, const bool *done) _must_check_;
