// SPDX-License-Identifier: GPL-2.0-or-later
/* A hose for packets of many flows: Ethernet frames written on one processor, so that the kernel
 * does the whole way of a packet within the call that sends it and its cost is this thread's CPU
 * time. Each line on stdin, `KIND FIRST FLOWS COUNT RATE`, is one burst; its answer is `sent
 * PACKETS CPU-NS WALL-NS`. A burst visits its flows in scattered order, each once before any twice.
 * KIND: udp, syn, ack, rst towards --to; answer, synack from there. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	    64
#define FRAME_MAX   160
#define PAYLOAD	    8
#define SCATTER	    2654435761u /* a prime: it visits all numbers below any smaller one */
#define FLOWS_MAX   8000000
#define REFUSED_MAX 100000

struct options {
	struct ether_header ether;
	uint32_t from, to; /* host order */
	uint16_t dport, low, high;
	int cpu;
	bool gre;
	uint32_t outer_from, outer_to;
	const char *dev;
};

struct burst {
	bool tcp, back;
	uint8_t flags;
	uint32_t first, flows, count, rate;
};

struct hose {
	int fd;
	struct sockaddr_ll to;
	uint8_t bytes[BATCH][FRAME_MAX];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t sum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static size_t put_ip(uint8_t *p, uint32_t src, uint32_t dst, uint8_t proto, size_t payload)
{
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .ttl = 64,
			    .protocol = proto,
			    .tot_len = htons((uint16_t)(sizeof(ip) + payload)),
			    .saddr = htonl(src),
			    .daddr = htonl(dst) };

	ip.check = sum_fold(sum_add(0, &ip, sizeof(ip)));
	memcpy(p, &ip, sizeof(ip));
	return sizeof(ip);
}

/* UDP goes without a checksum; TCP's is wanted by conntrack. */
static size_t put_transport(uint8_t *p, const struct burst *b, uint32_t src, uint32_t dst,
			    uint16_t sport, uint16_t dport)
{
	uint32_t pseudo[] = { htonl(src), htonl(dst), htonl(IPPROTO_TCP << 16 | 20) };
	struct udphdr udp = { .source = htons(sport),
			      .dest = htons(dport),
			      .len = htons(sizeof(udp) + PAYLOAD) };
	struct tcphdr tcp = { .th_sport = htons(sport),
			      .th_dport = htons(dport),
			      .th_seq = htonl(b->back ? 2000 : 1000 + !(b->flags & TH_SYN)),
			      .th_ack = b->flags & TH_ACK ? htonl(b->back ? 1001 : 2001) : 0,
			      .th_off = 5,
			      .th_flags = b->flags,
			      .th_win = htons(65535) };

	if (!b->tcp) {
		memset(p, 0, sizeof(udp) + PAYLOAD);
		memcpy(p, &udp, sizeof(udp));
		return sizeof(udp) + PAYLOAD;
	}
	tcp.th_sum = sum_fold(sum_add(sum_add(0, pseudo, sizeof(pseudo)), &tcp, sizeof(tcp)));
	memcpy(p, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

static size_t put_frame(uint8_t *p, const struct options *o, const struct burst *b, uint32_t flow)
{
	uint32_t ports = (uint32_t)o->high - o->low + 1;
	uint32_t far = o->from + 1 + flow / ports, src = b->back ? o->to : far;
	uint32_t dst = b->back ? far : o->to;
	uint16_t port = (uint16_t)(o->low + flow % ports);
	size_t inner = b->tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr) + PAYLOAD;
	uint8_t *at = p;

	memcpy(at, &o->ether, sizeof(o->ether));
	at += sizeof(o->ether);
	if (o->gre) {
		static const uint8_t gre[] = { 0, 0, 0x88, 0xbe };

		at += put_ip(at, o->outer_from, o->outer_to, IPPROTO_GRE,
			     sizeof(gre) + sizeof(o->ether) + sizeof(struct iphdr) + inner);
		memcpy(at, gre, sizeof(gre));
		memcpy(at + sizeof(gre), &o->ether, sizeof(o->ether));
		at += sizeof(gre) + sizeof(o->ether);
	}
	at += put_ip(at, src, dst, b->tcp ? IPPROTO_TCP : IPPROTO_UDP, inner);
	at += put_transport(at, b, src, dst, b->back ? o->dport : port, b->back ? port : o->dport);
	return (size_t)(at - p);
}

static int flush(struct hose *h, unsigned n)
{
	unsigned done = 0, refused = 0;

	while (done < n) {
		int r = sendmmsg(h->fd, h->messages + done, n - done, 0);

		if (r > 0)
			done += (unsigned)r;
		else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			return -errno;
		else if (++refused > REFUSED_MAX)
			return -ETIMEDOUT;
		else
			usleep(50);
	}
	return 0;
}

static int burst_send(struct hose *h, const struct options *o, const struct burst *b)
{
	uint64_t began = now_ns(CLOCK_MONOTONIC);
	uint32_t at = 0, step = SCATTER % b->flows;
	unsigned n = 0;

	for (uint32_t i = 0; i < b->count; i++) {
		h->iov[n].iov_len = put_frame(h->bytes[n], o, b, b->first + at);
		at += step;
		at -= at >= b->flows ? b->flows : 0;
		if (++n < BATCH && i + 1 < b->count)
			continue;
		if (flush(h, n) < 0)
			return -errno;
		n = 0;
		if (b->rate) {
			uint64_t due = began + (uint64_t)(i + 1) * 1000000000u / b->rate;
			uint64_t now = now_ns(CLOCK_MONOTONIC);

			if (due > now + 50000)
				usleep((useconds_t)((due - now) / 1000));
		}
	}
	return 0;
}

static int hose_open(struct hose *h, const struct options *o)
{
	struct sockaddr_ll here = { .sll_family = AF_PACKET };
	int on = 1;

	here.sll_ifindex = (int)if_nametoindex(o->dev);
	h->to = here;
	/* Protocol 0: it sends only. */
	h->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (here.sll_ifindex == 0 || h->fd < 0 ||
	    bind(h->fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
	    setsockopt(h->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0)
		return -errno;
	for (size_t i = 0; i < BATCH; i++) {
		h->iov[i].iov_base = h->bytes[i];
		h->messages[i].msg_hdr.msg_iov = &h->iov[i];
		h->messages[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

static bool burst_parse(const char *line, struct burst *ret)
{
	static const struct {
		const char *name;
		bool tcp, back;
		uint8_t flags;
	} kinds[] = { { "udp", false, false, 0 },     { "answer", false, true, 0 },
		      { "syn", true, false, TH_SYN }, { "synack", true, true, TH_SYN | TH_ACK },
		      { "ack", true, false, TH_ACK }, { "rst", true, false, TH_RST } };
	char name[16];
	struct burst b = { 0 };

	if (sscanf(line, "%15s %u %u %u %u", name, &b.first, &b.flows, &b.count, &b.rate) != 5 ||
	    b.flows < 1 || b.flows > FLOWS_MAX || b.count > 20 * FLOWS_MAX)
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) != 0)
			continue;
		b.tcp = kinds[i].tcp;
		b.back = kinds[i].back;
		b.flags = kinds[i].flags;
		*ret = b;
		return true;
	}
	return false;
}

static int serve(struct hose *h, const struct options *o)
{
	struct burst b;
	char line[128];

	while (fgets(line, sizeof(line), stdin)) {
		uint64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID), wall = now_ns(CLOCK_MONOTONIC);

		if (!burst_parse(line, &b) || burst_send(h, o, &b) < 0) {
			fprintf(stderr, "bench_stream: %s: %s", strerror(errno), line);
			return 1;
		}
		printf("sent %u %llu %llu\n", b.count,
		       (unsigned long long)(now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu),
		       (unsigned long long)(now_ns(CLOCK_MONOTONIC) - wall));
		fflush(stdout);
	}
	return 0;
}

static bool address(const char *text, uint32_t *ret)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

static bool option(int c, const char *text, struct options *o)
{
	unsigned low, high, dport;

	switch (c) {
	case 'd':
		o->dev = text;
		return true;
	case 'm':
		return ether_aton_r(text, (struct ether_addr *)o->ether.ether_dhost);
	case 'f':
		return address(text, &o->from);
	case 't':
		return address(text, &o->to);
	case 'F':
		o->gre = true;
		return address(text, &o->outer_from);
	case 'T':
		return address(text, &o->outer_to);
	case 'c':
		o->cpu = (int)strtol(text, NULL, 10);
		return true;
	case 'p':
		if (sscanf(text, "%u-%u:%u", &low, &high, &dport) != 3 || low > high ||
		    high > 65535 || dport > 65535)
			return false;
		o->low = (uint16_t)low;
		o->high = (uint16_t)high;
		o->dport = (uint16_t)dport;
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "mac", required_argument, NULL, 'm' },
		{ "from", required_argument, NULL, 'f' },
		{ "to", required_argument, NULL, 't' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "ports", required_argument, NULL, 'p' },
		{ "outer-from", required_argument, NULL, 'F' },
		{ "outer-to", required_argument, NULL, 'T' },
		{ 0 },
	};
	struct options o = { .dport = 80, .low = 1024, .high = 65535, .cpu = -1 };
	static struct hose h;
	cpu_set_t set;
	int c;

	o.ether.ether_type = htons(ETHERTYPE_IP);
	o.ether.ether_shost[0] = 2;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!option(c, optarg, &o))
			return 2;
	CPU_ZERO(&set);
	if (o.cpu >= 0) {
		CPU_SET(o.cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			return 2;
	}
	if (!o.dev || hose_open(&h, &o) < 0) {
		perror("bench_stream");
		return 1;
	}
	return serve(&h, &o);
}
