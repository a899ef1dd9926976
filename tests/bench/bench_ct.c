// SPDX-License-Identifier: GPL-2.0-or-later
/* What flowpin's handling of conntrack is compared with, without any of its code.
 *   listen [CPU]   reads and discards NEW and DESTROY events, one recv(2) each; SIGUSR1 prints
 *                  `seen EVENTS OVERRUNS`
 *   dump           each line on stdin is one dump, discarded: `dump BYTES NS CPU-NS`
 *   create ZONE N  makes N entries, one request and its answer after another: `created N NS`
 *   batch ZONE N   the same, 64 requests at once and no answers
 *   mirror ZONE N  a mirror's receive loop with one recv(2), one decode and one request a packet;
 *                  ends by itself after 2 quiet seconds: `mirrored N NS CPU-NS` */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BUFFER	       (1 << 16)
#define BATCH	       64	 /* requests in one datagram */
#define RECEIVE_BUFFER (1 << 26) /* flowpind's own default */

static volatile sig_atomic_t asked;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_signal(int number)
{
	(void)number;
	asked = 1;
}

static int netlink_open(uint32_t groups, int *ret_fd)
{
	struct sockaddr_nl here = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	int bytes = RECEIVE_BUFFER;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int run_listen(void)
{
	static char buf[BUFFER];
	struct sigaction action = { .sa_handler = on_signal };
	/* A signal just before recv(2) is seen that much later. */
	struct timeval look = { .tv_usec = 50000 };
	uint64_t events = 0, overruns = 0;
	int fd;

	if (sigaction(SIGUSR1, &action, NULL) < 0 ||
	    netlink_open(1u << (NFNLGRP_CONNTRACK_NEW - 1) | 1u << (NFNLGRP_CONNTRACK_DESTROY - 1),
			 &fd) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof(look)) < 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		events += n > 0;
		overruns += n < 0 && errno == ENOBUFS;
		if (n < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN)
			return 1;
		if (asked) {
			asked = 0;
			printf("seen %llu %llu\n", (unsigned long long)events,
			       (unsigned long long)overruns);
			fflush(stdout);
		}
	}
}

static int dump_once(int fd, char *buf, uint64_t *ret_bytes)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} request = { .h = { .nlmsg_len = sizeof(request),
			     .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
			     .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	bool done = false;

	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	while (!done) {
		ssize_t n = recv(fd, buf, BUFFER, 0);
		const struct nlmsghdr *h = (const struct nlmsghdr *)buf;

		if (n < 0)
			return -errno;
		/* The end stands in a datagram of its own or behind entries. */
		*ret_bytes += (uint64_t)n;
		for (ssize_t left = n; left >= (ssize_t)sizeof(*h) && h->nlmsg_len >= sizeof(*h);) {
			ssize_t step = NLMSG_ALIGN(h->nlmsg_len);

			done = h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
			left -= step;
			h = (const struct nlmsghdr *)((const char *)h + step);
		}
	}
	return 0;
}

static int run_dump(void)
{
	static char buf[BUFFER];
	char line[16];
	int fd;

	if (netlink_open(0, &fd) < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		uint64_t began = now_ns(CLOCK_MONOTONIC), bytes = 0;
		uint64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);

		if (dump_once(fd, buf, &bytes) < 0)
			return 1;
		printf("dump %llu %llu %llu\n", (unsigned long long)bytes,
		       (unsigned long long)(now_ns(CLOCK_MONOTONIC) - began),
		       (unsigned long long)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu));
		fflush(stdout);
	}
	return 0;
}

static struct nf_conntrack *entry_new(uint16_t zone, uint32_t src, uint32_t dst, uint16_t sport,
				      uint16_t dport)
{
	struct nf_conntrack *ct = nfct_new();

	if (!ct)
		return NULL;
	nfct_set_attr_u8(ct, ATTR_L3PROTO, AF_INET);
	nfct_set_attr_u32(ct, ATTR_IPV4_SRC, src);
	nfct_set_attr_u32(ct, ATTR_IPV4_DST, dst);
	nfct_set_attr_u8(ct, ATTR_L4PROTO, IPPROTO_TCP);
	nfct_set_attr_u16(ct, ATTR_PORT_SRC, sport);
	nfct_set_attr_u16(ct, ATTR_PORT_DST, dport);
	nfct_setobjopt(ct, NFCT_SOPT_SETUP_REPLY);
	nfct_set_attr_u8(ct, ATTR_TCP_STATE, TCP_CONNTRACK_SYN_SENT);
	nfct_set_attr_u16(ct, ATTR_ZONE, zone);
	nfct_set_attr_u32(ct, ATTR_TIMEOUT, 3600);
	return ct;
}

static int create(struct nfct_handle *h, uint16_t zone, uint32_t src, uint32_t dst, uint16_t sport,
		  uint16_t dport)
{
	struct nf_conntrack *ct = entry_new(zone, src, dst, sport, dport);
	int r;

	if (!ct)
		return -1;
	r = nfct_query(h, NFCT_Q_CREATE, ct);
	nfct_destroy(ct);
	return r < 0 && errno != EEXIST ? -1 : 0;
}

static struct nf_conntrack *entry_number(uint16_t zone, uint32_t i)
{
	return entry_new(zone, htonl(0x0a640000 + i / 60000), htonl(0x01010101),
			 htons((uint16_t)(1024 + i % 60000)), htons(80));
}

/* What the kernel itself takes: nothing but errors is answered. */
static int run_batch(uint16_t zone, uint32_t n)
{
	static char buf[BATCH * 512];
	uint64_t began = now_ns(CLOCK_MONOTONIC);
	size_t len = 0;
	int fd;

	if (netlink_open(0, &fd) < 0)
		return 1;
	for (uint32_t i = 0; i < n; i++) {
		struct nf_conntrack *ct = entry_number(zone, i);
		struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf + len);
		struct nfgenmsg *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));

		nlh->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
		nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
		g->nfgen_family = AF_INET;
		if (!ct || nfct_nlmsg_build(nlh, ct) < 0)
			return 1;
		nfct_destroy(ct);
		len += NLMSG_ALIGN(nlh->nlmsg_len);
		if ((i + 1) % BATCH != 0 && i + 1 < n)
			continue;
		if (send(fd, buf, len, 0) < 0)
			return 1;
		len = 0;
	}
	printf("created %u %llu\n", n, (unsigned long long)(now_ns(CLOCK_MONOTONIC) - began));
	return 0;
}

static int run_create(uint16_t zone, uint32_t n)
{
	struct nfct_handle *h = nfct_open(CONNTRACK, 0);
	uint64_t began = now_ns(CLOCK_MONOTONIC);

	if (!h)
		return 1;
	for (uint32_t i = 0; i < n; i++)
		if (create(h, zone, htonl(0x0a640000 + i / 60000), htonl(0x01010101),
			   htons((uint16_t)(1024 + i % 60000)), htons(80)) < 0) {
			perror("bench_ct: create");
			return 1;
		}
	printf("created %u %llu\n", n, (unsigned long long)(now_ns(CLOCK_MONOTONIC) - began));
	return 0;
}

/* Outer IP, GRE without options, Ethernet, IP, TCP: as little as is needed to find the tuple. */
static int mirror_one(struct nfct_handle *h, uint16_t zone, const uint8_t *p, ssize_t n)
{
	size_t at = (p[0] & 15u) * 4 + 4 + 14;
	uint32_t src, dst;
	uint16_t sport, dport;

	if (n < (ssize_t)at + 40 || p[at] >> 4 != 4 || p[at + 9] != IPPROTO_TCP)
		return 0;
	memcpy(&src, p + at + 12, 4);
	memcpy(&dst, p + at + 16, 4);
	at += (p[at] & 15u) * 4;
	memcpy(&sport, p + at, 2);
	memcpy(&dport, p + at + 2, 2);
	return create(h, zone, src, dst, sport, dport);
}

static int run_mirror(uint16_t zone, uint32_t n)
{
	struct nfct_handle *h = nfct_open(CONNTRACK, 0);
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_GRE), bytes = RECEIVE_BUFFER;
	struct timeval quiet = { .tv_sec = 2 };
	static uint8_t buf[BUFFER];
	uint64_t first = 0, last = 0, cpu = 0;
	uint32_t done = 0;

	if (!h || fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	while (done < n) {
		ssize_t len = recv(fd, buf, sizeof(buf), 0);

		if (len < 0)
			break;
		if (!first) {
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet));
			first = now_ns(CLOCK_MONOTONIC);
			cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
		}
		if (mirror_one(h, zone, buf, len) < 0)
			return 1;
		done++;
		last = now_ns(CLOCK_MONOTONIC);
	}
	printf("mirrored %u %llu %llu\n", done, (unsigned long long)(last - first),
	       (unsigned long long)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu));
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	unsigned long zone = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	unsigned long n = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;

	if (strcmp(mode, "listen") == 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(zone, &set);
		if (argc > 2 && sched_setaffinity(0, sizeof(set), &set) < 0)
			return 2;
		return run_listen();
	}
	if (strcmp(mode, "dump") == 0)
		return run_dump();
	if (strcmp(mode, "create") == 0)
		return run_create((uint16_t)zone, (uint32_t)n);
	if (strcmp(mode, "batch") == 0)
		return run_batch((uint16_t)zone, (uint32_t)n);
	if (strcmp(mode, "mirror") == 0)
		return run_mirror((uint16_t)zone, (uint32_t)n);
	fprintf(stderr, "usage: bench_ct listen [CPU] | dump | create ZONE N | batch ZONE N | "
			"mirror ZONE N\n");
	return 2;
}
