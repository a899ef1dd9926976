/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "base/addr.h"
#include "base/err.h"
#include "mirror/batch.h"
#include "mirror/decode.h"

/* The mirror of one switch: a raw GRE socket on one interface, filtered in the kernel by the outer
 * addresses. Each switch has a receive buffer of its own: one that floods does not silence another.
 */

struct mirror_pair {
	struct ip_addr source, destination; /* of one family */
};

struct mirror_receiver_options {
	const char *ifname; /* borrowed */
	struct mirror_pair pair;
	const struct mirror_pair *neighbours; /* all mirrors on this interface; borrowed until
						 mirror_receiver_new returns */
	size_t n_neighbours;
	struct mirror_format format;
	uint32_t receive_buffer; /* bytes; what net.core.rmem_max leaves of it without CAP_NET_ADMIN
				  */
};

struct mirror_receiver;

/* Opens the sockets, which takes CAP_NET_RAW and is the last thing that does; nothing is received
 * before mirror_receiver_bind(). What socket(2) and setsockopt(2) say; -EINVAL: no name of an
 * interface; -E2BIG: too many neighbours; -ENOMEM; with a sentence. Does not wait. */
int mirror_receiver_new(const struct mirror_receiver_options *options,
			struct mirror_receiver **ret_receiver, struct err *e) _must_check_;
struct mirror_receiver *mirror_receiver_free(struct mirror_receiver *r);
DEFINE_FREEP(struct mirror_receiver, mirror_receiver_free)

/* Binds to the interface, which needs no privilege the first time (Linux 5.7), and begins to
 * receive. To be called again every second or so: 0 while the interface is the one that it is bound
 * to; -ENODEV when there is none of that name (yet, or any more); -ESTALE when another one has
 * taken the name, or binding failed half way: then only new sockets can be bound. Else what
 * setsockopt(2) says. */
int mirror_receiver_bind(struct mirror_receiver *r, struct err *e) _must_check_;

/* Readable when there are packets. */
int mirror_receiver_fd(const struct mirror_receiver *r);

#define RECEIVE_VECTOR 64
/* Takes at most RECEIVE_VECTOR packets by one call and adds their records to b, which must have
 * room for as many; counts in c. Never blocks. Returns how many packets there were, 0 for none, or
 * a negative errno of recvmmsg(2). */
int mirror_receiver_read(struct mirror_receiver *r, struct batch *b,
			 struct mirror_counters *c) _must_check_;

/* The same for packets from the mirror's source to another destination, or to its destination from
 * another source, that belong to no mirror on the interface: they are counted and thrown away. */
int mirror_receiver_foreign_fd(const struct mirror_receiver *r);
int mirror_receiver_foreign_read(struct mirror_receiver *r, struct mirror_counters *c) _must_check_;

/* Adds to c what had no room in the two receive buffers since the last call. Newer kernels look at
 * the room before the filter, so while a buffer is full packets are counted that the filter would
 * have refused. */
void mirror_receiver_count(struct mirror_receiver *r, struct mirror_counters *c);

/* The size of the receive buffer that the kernel granted. */
uint32_t mirror_receiver_buffer(const struct mirror_receiver *r);
