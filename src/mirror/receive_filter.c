// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror/receive_filter.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Offsets of the addresses in the IP header. They are counted from SKF_NET_OFF: a raw IPv6 socket's
 * packets begin behind that header. */
#define IP4_SOURCE 12
#define IP4_DESTINATION 16
#define IP6_SOURCE 8
#define IP6_DESTINATION 24

struct word {
	uint32_t offset, value;
};

static void add(struct filter *f, uint16_t code, uint8_t miss, uint32_t k)
{
	f->list[f->n++] = (struct sock_filter){ .code = code, .jf = miss, .k = k };
}

/* If all words are in the packet, it ends here. */
static void add_return_if(struct filter *f, const struct word *words, size_t n, uint32_t verdict)
{
	for (size_t i = 0; i < n; i++) {
		add(f, BPF_LD | BPF_W | BPF_ABS, 0, words[i].offset);
		add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(2 * (n - 1 - i) + 1), words[i].value);
	}
	add(f, BPF_RET | BPF_K, 0, verdict);
}

static size_t words_of(const struct ip_addr *a, bool source, struct word *words)
{
	uint32_t offset = a->family == AF_INET ? (source ? IP4_SOURCE : IP4_DESTINATION)
					       : (source ? IP6_SOURCE : IP6_DESTINATION);
	size_t n = ip_addr_size(a) / 4;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *b = a->bytes + 4 * i;

		words[i].offset = (uint32_t)SKF_NET_OFF + offset + 4 * (uint32_t)i;
		words[i].value =
			(uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	}
	return n;
}

static void add_pair(struct filter *f, const struct mirror_pair *p, uint32_t verdict)
{
	struct word words[8];
	size_t n = words_of(&p->source, true, words);

	n += words_of(&p->destination, false, words + n);
	add_return_if(f, words, n, verdict);
}

void filter_nothing(struct filter *ret_filter)
{
	ret_filter->n = 0;
	add(ret_filter, BPF_RET | BPF_K, 0, 0);
}

void filter_pair(const struct mirror_pair *p, uint32_t snap, struct filter *ret_filter)
{
	ret_filter->n = 0;
	add_pair(ret_filter, p, snap);
	add(ret_filter, BPF_RET | BPF_K, 0, 0);
}

int filter_foreign(const struct mirror_pair *own, const struct mirror_pair *mirrors, size_t n,
		   struct filter *ret_filter)
{
	struct word words[4];

	if (n > FILTER_MIRRORS_MAX)
		return -E2BIG;
	ret_filter->n = 0;
	for (size_t i = 0; i < n; i++)
		if (mirrors[i].source.family == own->source.family)
			add_pair(ret_filter, &mirrors[i], 0);
	add_return_if(ret_filter, words, words_of(&own->destination, false, words), 1);
	add_return_if(ret_filter, words, words_of(&own->source, true, words), 1);
	add(ret_filter, BPF_RET | BPF_K, 0, 0);
	return 0;
}

int filter_attach(int fd, const struct filter *f)
{
	/* The kernel copies it. */
	const struct sock_fprog program = { .len = (unsigned short)f->n,
					    .filter = (struct sock_filter *)f->list };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}
