// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>
#include <sys/socket.h>
#include "netlink/ct.h"

#define ZONES_MAX 64

/* Where the attributes of a ctnetlink message begin. */
#define ATTRIBUTES (NLMSG_HDRLEN + sizeof(struct nfgenmsg))

#define DROP BPF_STMT(BPF_RET | BPF_K, 0)
#define PASS BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)

/* Leaves in A the offset of the attribute of this type, or 0. The kernel searches from offset A for
 * type X, and with NLATTR_NEST inside the attribute at offset A (net/core/filter.c). */
#define FIND(type)                                \
	BPF_STMT(BPF_LD | BPF_IMM, ATTRIBUTES),   \
	BPF_STMT(BPF_LDX | BPF_IMM, (type)),      \
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_NLATTR)
#define FIND_INSIDE(type)                         \
	BPF_STMT(BPF_LDX | BPF_IMM, (type)),      \
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_NLATTR_NEST)

/* Loads the payload of the attribute at offset A: big endian there, host order in A. */
#define LOAD(size)                                \
	BPF_STMT(BPF_MISC | BPF_TAX, 0),          \
	BPF_STMT(BPF_LD | (size) | BPF_IND, NLA_HDRLEN)

int ct_filter_events(struct nl *nl, uint32_t mark_mask, const uint16_t *zones, size_t n_zones)
{
	/* Ends with the zone in A. Jumps count from the instruction after them. */
	const struct sock_filter head[] = {
		FIND(CTA_MARK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		DROP,
		LOAD(BPF_W),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mark_mask, 1, 0),
		DROP,
		FIND(CTA_ZONE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 8), /* found: to LOAD(BPF_H) */
		FIND(CTA_TUPLE_ORIG), /* a zone of the original direction only stands in there */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		DROP,
		FIND_INSIDE(CTA_TUPLE_ZONE),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0), /* not found: A is zone 0 */
		LOAD(BPF_H),
	};
	static const struct sock_filter tail[] = { DROP, PASS };
	struct sock_filter program[ARRAY_SIZE(head) + ZONES_MAX + ARRAY_SIZE(tail)];
	struct sock_fprog f = { .filter = program };
	size_t n = ARRAY_SIZE(head);

	if (n_zones > ZONES_MAX)
		return -E2BIG;
	memcpy(program, head, sizeof(head));
	for (size_t i = 0; i < n_zones; i++)
		program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, zones[i],
							    (uint8_t)(n_zones - i), 0);
	/* Without a list every zone passes: only PASS is left of the tail. */
	if (n_zones == 0) {
		program[n++] = tail[1];
		f.len = (unsigned short)n;
	} else {
		memcpy(&program[n], tail, sizeof(tail));
		f.len = (unsigned short)(n + ARRAY_SIZE(tail));
	}
	if (setsockopt(nl_fd(nl), SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof(f)) < 0)
		return -errno;
	return 0;
}
