// SPDX-License-Identifier: GPL-2.0-or-later

/* Sends the first packet of many flows, fast: raw IPv4 or IPv6 packets, routed by the namespace it
 * runs in. Bounded by --flows times --repeat packets; ends by itself. */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	   64
#define PAYLOAD	   8 /* bytes of a UDP packet */
#define PACKET_MAX (sizeof(struct ip6_hdr) + sizeof(struct tcphdr) + PAYLOAD)
#define FLOWS_MAX  4000000

enum kind { KIND_UDP, KIND_SYN, KIND_ACK };

struct options {
	enum kind kind;
	int family;
	uint8_t to[16], from[16];
	uint16_t dport, sport_low, sport_high;
	uint32_t flows, rate, repeat;
};

struct batch {
	uint8_t bytes[BATCH][PACKET_MAX];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];
	struct sockaddr_storage to;
	unsigned int n;
};

static uint32_t sum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len % 2)
		sum += (uint32_t)p[len - 1] << 8;
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static size_t address_size(const struct options *o)
{
	return o->family == AF_INET ? 4 : 16;
}

/* The source address of a flow: `from` plus n, in the last four bytes. */
static void source_address(const struct options *o, uint32_t n, uint8_t *ret_address)
{
	size_t size = address_size(o);
	uint32_t low;

	memcpy(ret_address, o->from, size);
	memcpy(&low, ret_address + size - 4, 4);
	low = htonl(ntohl(low) + n);
	memcpy(ret_address + size - 4, &low, 4);
}

static uint32_t pseudo_header(const struct options *o, const uint8_t *src, uint8_t proto,
			      size_t len)
{
	uint32_t sum = proto + (uint32_t)len;

	sum = sum_add(sum, src, address_size(o));
	return sum_add(sum, o->to, address_size(o));
}

static size_t put_transport(const struct options *o, const uint8_t *src, uint16_t sport, uint8_t *p)
{
	uint32_t sum;

	if (o->kind == KIND_UDP) {
		size_t len = sizeof(struct udphdr) + PAYLOAD;
		struct udphdr udp = {
			.source = htons(sport),
			.dest = htons(o->dport),
			.len = htons((uint16_t)len),
		};

		memset(p, 0, len);
		memcpy(p, &udp, sizeof(udp));
		udp.check = sum_fold(sum_add(pseudo_header(o, src, IPPROTO_UDP, len), p, len));
		memcpy(p, &udp, sizeof(udp));
		return len;
	}

	struct tcphdr tcp = {
		.source = htons(sport),
		.dest = htons(o->dport),
		.seq = htonl(1000),
		.doff = sizeof(tcp) / 4,
		.window = htons(65535),
	};

	if (o->kind == KIND_SYN) {
		tcp.syn = 1;
	} else {
		tcp.seq = htonl(1001);
		tcp.ack_seq = htonl(2001);
		tcp.ack = 1;
	}
	memcpy(p, &tcp, sizeof(tcp));
	sum = pseudo_header(o, src, IPPROTO_TCP, sizeof(tcp));
	tcp.check = sum_fold(sum_add(sum, p, sizeof(tcp)));
	memcpy(p, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

static size_t put_packet(const struct options *o, uint32_t flow, uint8_t *p)
{
	uint32_t ports = (uint32_t)o->sport_high - o->sport_low + 1;
	uint8_t src[16], proto = o->kind == KIND_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	uint16_t sport = (uint16_t)(o->sport_low + flow % ports);
	size_t header = o->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ip6_hdr), len;

	source_address(o, 1 + flow / ports, src);
	len = put_transport(o, src, sport, p + header);
	if (o->family == AF_INET) {
		struct iphdr ip = {
			.version = 4,
			.ihl = sizeof(ip) / 4,
			.ttl = 64,
			.protocol = proto,
			.tot_len = htons((uint16_t)(header + len)),
		};

		memcpy(&ip.saddr, src, 4);
		memcpy(&ip.daddr, o->to, 4);
		memcpy(p, &ip, sizeof(ip)); /* the kernel fills in id and checksum */
	} else {
		struct ip6_hdr ip = {
			.ip6_flow = htonl(6u << 28),
			.ip6_plen = htons((uint16_t)len),
			.ip6_nxt = proto,
			.ip6_hlim = 64,
		};

		memcpy(&ip.ip6_src, src, 16);
		memcpy(&ip.ip6_dst, o->to, 16);
		memcpy(p, &ip, sizeof(ip));
	}
	return header + len;
}

static int flush(int fd, struct batch *b, uint64_t *sent)
{
	unsigned int done = 0, refused = 0;

	while (done < b->n) {
		int r = sendmmsg(fd, b->messages + done, b->n - done, 0);

		if (r > 0) {
			done += (unsigned int)r;
			*sent += (uint64_t)r;
			refused = 0;
		} else if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
			return -errno;
		} else if (++refused >= 10000) {
			return -ETIMEDOUT;
		} else {
			usleep(100); /* the queue of a device is full: it drains by itself */
		}
	}
	b->n = 0;
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void keep_rate(const struct options *o, uint64_t began, uint64_t sent)
{
	uint64_t due = o->rate ? began + sent * 1000000000u / o->rate : 0, now = now_ns();

	if (due > now)
		usleep((useconds_t)((due - now) / 1000));
}

static void batch_init(struct batch *b, const struct options *o)
{
	size_t len = sizeof(struct sockaddr_in6);

	if (o->family == AF_INET) {
		struct sockaddr_in to = { .sin_family = AF_INET };

		memcpy(&to.sin_addr, o->to, 4);
		memcpy(&b->to, &to, sizeof(to));
		len = sizeof(to);
	} else {
		struct sockaddr_in6 to = { .sin6_family = AF_INET6 };

		memcpy(&to.sin6_addr, o->to, 16);
		memcpy(&b->to, &to, sizeof(to));
	}
	for (size_t i = 0; i < BATCH; i++) {
		b->iov[i].iov_base = b->bytes[i];
		b->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &b->to,
			.msg_namelen = (socklen_t)len,
			.msg_iov = &b->iov[i],
			.msg_iovlen = 1,
		};
	}
}

static int send_all(int fd, const struct options *o, uint64_t *ret_sent)
{
	static struct batch b;
	uint64_t began = now_ns(), sent = 0;
	int r;

	batch_init(&b, o);
	for (uint32_t round = 0; round < o->repeat; round++) {
		for (uint32_t flow = 0; flow < o->flows; flow++) {
			b.iov[b.n].iov_len = put_packet(o, flow, b.bytes[b.n]);
			if (++b.n < BATCH)
				continue;
			r = flush(fd, &b, &sent);
			if (r < 0)
				return r;
			keep_rate(o, began, sent);
		}
	}
	r = flush(fd, &b, &sent);
	if (r < 0)
		return r;
	*ret_sent = sent;
	return 0;
}

static int number(const char *text, uint32_t max, uint32_t *ret_number)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || value > max)
		return -EINVAL;
	*ret_number = (uint32_t)value;
	return 0;
}

static int parse_kind(const char *text, enum kind *ret_kind)
{
	static const char *const names[] = {
		[KIND_UDP] = "udp",
		[KIND_SYN] = "syn",
		[KIND_ACK] = "ack",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], text) == 0) {
			*ret_kind = (enum kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_ports(char *text, uint16_t *ret_low, uint16_t *ret_high)
{
	char *dash = strchr(text, '-');
	uint32_t low, high;

	if (dash)
		*dash = '\0';
	if (number(text, 65535, &low) < 0)
		return -EINVAL;
	if (number(dash ? dash + 1 : text, 65535, &high) < 0 || low > high)
		return -EINVAL;
	*ret_low = (uint16_t)low;
	*ret_high = (uint16_t)high;
	return 0;
}

static int parse_option(int c, char *text, struct options *o)
{
	uint32_t value;
	int family, r;

	switch (c) {
	case 'k':
		return parse_kind(text, &o->kind);
	case 'n':
		return number(text, FLOWS_MAX, &o->flows);
	case 'r':
		return number(text, 10000000, &o->rate);
	case 'R':
		return number(text, 100, &o->repeat);
	case 't':
		o->family = strchr(text, ':') ? AF_INET6 : AF_INET;
		return inet_pton(o->family, text, o->to) == 1 ? 0 : -EINVAL;
	case 'f':
		family = strchr(text, ':') ? AF_INET6 : AF_INET;
		return inet_pton(family, text, o->from) == 1 ? 0 : -EINVAL;
	case 's':
		return parse_ports(text, &o->sport_low, &o->sport_high);
	case 'd':
		r = number(text, 65535, &value);
		if (r == 0)
			o->dport = (uint16_t)value;
		return r;
	}
	return -EINVAL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kind", required_argument, NULL, 'k' },
		{ "flows", required_argument, NULL, 'n' },
		{ "rate", required_argument, NULL, 'r' },
		{ "repeat", required_argument, NULL, 'R' },
		{ "to", required_argument, NULL, 't' },
		{ "from", required_argument, NULL, 'f' },
		{ "sport", required_argument, NULL, 's' },
		{ "dport", required_argument, NULL, 'd' },
		{ 0 },
	};
	struct options o = {
		.dport = 80,
		.sport_low = 1024,
		.sport_high = 65535,
		.flows = 1000,
		.repeat = 1,
	};
	uint64_t sent = 0;
	int c, fd, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?' || parse_option(c, optarg, &o) < 0) {
			fprintf(stderr, "usage: flood --to ADDRESS --from ADDRESS [--kind "
					"udp|syn|ack] [--flows N]\n"
					"             [--dport PORT] [--sport LOW-HIGH] [--rate "
					"PACKETS-PER-SECOND]\n"
					"             [--repeat N]\n");
			return 2;
		}
	}
	if (!o.family) {
		fprintf(stderr, "flood: --to is missing\n");
		return 2;
	}

	fd = socket(o.family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0) {
		perror("flood: socket");
		return 1;
	}
	r = send_all(fd, &o, &sent);
	close(fd);
	if (r < 0) {
		fprintf(stderr, "flood: %s\n", strerror(-r));
		return 1;
	}
	printf("sent %llu\n", (unsigned long long)sent);
	return 0;
}
