/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "netlink/nl.h"

/* nf_tables transactions. A batch is a list of messages that are built with libnftnl; it is written
 * as few transactions as the limits below allow, cut only where the caller said that a cut does no
 * harm. */

/* The kernel holds a mutex while it commits, and packets of a half-committed state must never exist
 * for long. */
#define NFT_TRANSACTION_OPERATIONS 1000
#define NFT_TRANSACTION_BYTES (4u << 20)
/* A nested attribute's length has 16 bits: no message of ours grows beyond this. */
#define NFT_MESSAGE_MAX (60u << 10)

struct nft_batch;

/* -ENOMEM. */
int nft_batch_new(struct nft_batch **ret_batch) _must_check_;
struct nft_batch *nft_batch_free(struct nft_batch *b);
DEFINE_FREEP(struct nft_batch, nft_batch_free)

/* Starts a message (NFT_MSG_*, NLM_F_* besides NLM_F_REQUEST, NFPROTO_*) with room for
 * NFT_MESSAGE_MAX bytes and returns its header, to be filled by libnftnl or libmnl. NULL without
 * memory: the batch is then failed, what follows is ignored, and nft_batch_commit() returns
 * -ENOMEM, so that callers check once. The pointer is good until nft_batch_end(). */
struct nlmsghdr *nft_batch_begin(struct nft_batch *b, uint16_t type, uint16_t flags,
				 uint16_t family);
/* Ends the message. `operations` is what it counts for: 1, or its number of elements. */
void nft_batch_end(struct nft_batch *b, struct nlmsghdr *nlh, size_t operations);
/* Marks the batch as failed for want of memory (an object that could not be built). */
void nft_batch_fail(struct nft_batch *b);
/* A transaction may end here. */
void nft_batch_cut(struct nft_batch *b);

/* Which messages the kernel refused: `index` counts messages from 0 in the order of adding. */
typedef void (*nft_refused_fn)(size_t index, int code, void *arg);

/* Writes the batch and empties it, whatever comes out. Every transaction is all or nothing; after a
 * refused one the rest is not tried. *e: the first refusal with the kernel's extended ACK text.
 * `refused` (may be NULL) hears of each refused message of that transaction. Waits for the kernel's
 * work only. -ENOMEM; -EINTR when a signal ended the kernel's work; errno of sendmsg(2) and of the
 * kernel. Must not be used on a socket that has joined a group. */
int nft_batch_commit(struct nl *nl, struct nft_batch *b, nft_refused_fn refused, void *arg,
		     struct err *e);

/* The header of a request outside a batch (NFT_MSG_*, NFPROTO_*), at the beginning of buf, which
 * must have room for the attributes, too. */
struct nlmsghdr *nft_request(void *buf, uint16_t type, uint16_t family);

/* Userdata as nft(8) writes it: bytes of type, length, value. Returns the value of `type`, or NULL
 * when it is not there or not of `len` bytes (0: any; *ret_len, may be NULL, tells). */
const void *nft_userdata_find(const void *data, size_t size, uint8_t type, size_t len,
			      size_t *ret_len);
/* Appends one to buf (`size` bytes, *len used). False when it does not fit. */
bool nft_userdata_put(void *buf, size_t size, size_t *len, uint8_t type, const void *value,
		      size_t value_len);
