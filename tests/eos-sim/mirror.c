// SPDX-License-Identifier: GPL-2.0-or-later
#include "mirror.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gre.h"

#define FRAME_MAX 9216

enum wanted { WANT_SYN = 1, WANT_FIN = 2, WANT_RST = 4, WANT_UDP = 8, WANT_ALL = 16 };

struct mirror {
	struct mirror *next;
	char name[NAME_SIZE];
	struct gre_format format;
	unsigned wanted;
	long sample;
	int capture, output;
	pthread_t thread;
	volatile bool stop;
	uint64_t seen, sent, failed;
};

/* The transport header of an IP packet, and its protocol; 0 when it has none (a later fragment,
 * something cut off). */
static size_t transport_offset(const uint8_t *ip, size_t size, uint8_t *ret_protocol)
{
	size_t at;
	uint8_t next;

	if (size >= 20 && ip[0] >> 4 == 4) {
		*ret_protocol = ip[9];
		return (ip[6] & 0x1f) || ip[7] ? 0 : (size_t)(ip[0] & 15) * 4;
	}
	if (size < 40 || ip[0] >> 4 != 6)
		return 0;
	next = ip[6];
	for (at = 40; at + 8 <= size && (next == 0 || next == 43 || next == 44 || next == 60);) {
		if (next == 44 && ((ip[at + 2] << 8 | ip[at + 3]) & 0xfff8))
			return 0;
		size_t length = next == 44 ? 8 : 8 * ((size_t)ip[at + 1] + 1);

		next = ip[at];
		at += length;
	}
	*ret_protocol = next;
	return at;
}

static bool is_wanted(const struct mirror *m, const uint8_t *frame, size_t size)
{
	uint16_t ethertype;
	uint8_t protocol = 0, flags;
	size_t ip = frame_ip_offset(frame, size, &ethertype), l4;

	if (!ip)
		return false;
	if (m->wanted & WANT_ALL)
		return true;
	l4 = transport_offset(frame + ip, size - ip, &protocol);
	if (!l4)
		return false;
	if (protocol == 17)
		return m->wanted & WANT_UDP;
	if (protocol != 6 || ip + l4 + 14 > size)
		return false;
	flags = frame[ip + l4 + 13];
	return ((m->wanted & WANT_SYN) && (flags & 0x12) == 0x02) ||
	       ((m->wanted & WANT_FIN) && flags & 0x01) || ((m->wanted & WANT_RST) && flags & 0x04);
}

/* The kernel takes the outer tag off; the wire had it. */
static size_t put_tag_back(uint8_t *frame, size_t size, const struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR((struct msghdr *)h, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID) || size < 12)
			continue;
		memmove(frame + 16, frame + 12, size - 12);
		uint16_t tpid =
			aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : 0x8100;
		uint16_t tag[2] = { htons(tpid), htons(aux.tp_vlan_tci) };

		memcpy(frame + 12, tag, sizeof(tag));
		return size + 4;
	}
	return size;
}

static void mirror_frame(struct mirror *m, const uint8_t *frame, size_t size)
{
	uint8_t packet[FRAME_MAX + GRE_OVERHEAD];
	struct sockaddr_in to = { .sin_family = AF_INET };
	size_t n;

	if (!is_wanted(m, frame, size) || m->seen++ % (uint64_t)m->sample != 0)
		return;
	n = gre_encode(&m->format, (uint32_t)m->sent, frame, size, packet);
	memcpy(&to.sin_addr, m->format.destination, 4);
	if (n > 0 &&
	    sendto(m->output, packet, n, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)n)
		m->sent++;
	else
		m->failed++;
}

static void *mirror_loop(void *p)
{
	struct mirror *m = p;
	uint8_t frame[FRAME_MAX];
	_Alignas(struct cmsghdr) char control[256];

	while (!m->stop) {
		struct pollfd ready = { m->capture, POLLIN, 0 };

		if (poll(&ready, 1, 50) <= 0)
			continue;
		for (int i = 0; i < 256; i++) {
			struct sockaddr_ll from;
			struct iovec v = { frame, sizeof(frame) - 4 };
			struct msghdr h = { .msg_name = &from,
					    .msg_namelen = sizeof(from),
					    .msg_iov = &v,
					    .msg_iovlen = 1,
					    .msg_control = control,
					    .msg_controllen = sizeof(control) };
			ssize_t n = recvmsg(m->capture, &h, MSG_DONTWAIT);

			if (n < 0)
				break;
			if (from.sll_pkttype != PACKET_OUTGOING)
				mirror_frame(m, frame, put_tag_back(frame, (size_t)n, &h));
		}
	}
	return NULL;
}

static bool open_sockets(struct mirror *m, const char *dev)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex(dev) };
	int one = 1, size = 32 << 20;

	m->capture = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	m->output = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (m->capture < 0 || m->output < 0 || !at.sll_ifindex)
		return false;
	setsockopt(m->capture, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(m->output, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(m->capture, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one));
	return bind(m->capture, (struct sockaddr *)&at, sizeof(at)) == 0;
}

static void mirror_free(struct mirror *m, bool started)
{
	m->stop = true;
	if (started)
		pthread_join(m->thread, NULL);
	if (m->capture >= 0)
		close(m->capture);
	if (m->output >= 0)
		close(m->output);
	free(m);
}

static bool parse_wanted(struct json_object *what, unsigned *ret)
{
	static const char *const words[] = { "syn", "fin", "rst", "udp", "all" };
	size_t n = json_object_is_type(what, json_type_array) ? json_object_array_length(what) : 0;

	*ret = n ? 0 : WANT_SYN;
	for (size_t i = 0; i < n; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(what, i));
		unsigned bit = 0;

		for (size_t k = 0; word && k < ARRAY_LENGTH(words); k++)
			bit |= strcmp(words[k], word) == 0 ? 1u << k : 0;
		if (!bit)
			return false;
		*ret |= bit;
	}
	return true;
}

static const char *parse_format(struct json_object *o, struct gre_format *ret)
{
	static const char *const types[] = { "1", "2", "3", "teb", "ip" };
	struct json_object *type = json_child(o, "type");
	const char *word = type ? json_object_get_string(type) : "1";
	size_t i = 0;

	while (i < ARRAY_LENGTH(types) && strcmp(types[i], word) != 0)
		i++;
	if (i == ARRAY_LENGTH(types))
		return "type is 1, 2, 3, teb or ip";
	*ret = (struct gre_format){
		.type = (enum gre_type)i,
		.ttl = (uint8_t)json_number(o, "ttl", 64),
		.protocol = json_number(o, "protocol", -1),
		.key = json_number(o, "key", -1),
		.sequence = json_flag(o, "sequence", false),
		.checksum = json_flag(o, "checksum", false),
		.subheader = json_flag(o, "subheader", false),
		.timestamp = json_flag(o, "timestamp", false),
		.session = json_number(o, "session", 1),
		.vlan = json_number(o, "vlan", 0),
		.truncate = json_number(o, "truncate", 0),
	};
	if (inet_pton(AF_INET, json_text(o, "source", ""), ret->source) != 1 ||
	    inet_pton(AF_INET, json_text(o, "destination", ""), ret->destination) != 1)
		return "source and destination are IPv4 addresses";
	return NULL;
}

static const char *start(struct sim *sim, struct json_object *o, const char *name)
{
	const struct interface *i = interface_find(&sim->tables, json_text(o, "interface", ""));
	const char *dev = i && *i->dev ? i->dev : json_text(o, "interface", ""), *wrong;
	struct mirror *m = need(calloc(1, sizeof(*m)));

	m->capture = m->output = -1;
	m->sample = json_number(o, "sample", 1);
	set_text(m->name, sizeof(m->name), name);
	wrong = parse_format(o, &m->format);
	if (!wrong && (!parse_wanted(json_child(o, "what"), &m->wanted) || m->sample < 1))
		wrong = "what is a list of syn, fin, rst, udp, all; sample is at least 1";
	if (!wrong && !open_sockets(m, dev))
		wrong = "cannot open sockets on this interface";
	if (wrong || pthread_create(&m->thread, NULL, mirror_loop, m) != 0) {
		mirror_free(m, false);
		return wrong ? wrong : "cannot start";
	}
	m->next = sim->mirrors;
	sim->mirrors = m;
	return NULL;
}

const char *mirror_operate(struct sim *sim, struct json_object *o, struct json_object *ret)
{
	const char *name = json_text(o, "name", "mirror");

	(void)ret;
	for (struct mirror **link = &sim->mirrors; *link; link = &(*link)->next) {
		struct mirror *m = *link;

		if (strcmp(m->name, name) == 0) {
			*link = m->next;
			mirror_free(m, true);
			break;
		}
	}
	return json_flag(o, "remove", false) ? NULL : start(sim, o, name);
}

struct json_object *mirror_state(const struct sim *sim)
{
	struct json_object *all = json_object_new_object();

	for (const struct mirror *m = sim->mirrors; m; m = m->next) {
		struct json_object *one = json_object_new_object();

		json_put_number(one, "seen", (int64_t)m->seen);
		json_put_number(one, "sent", (int64_t)m->sent);
		json_put_number(one, "failed", (int64_t)m->failed);
		json_object_object_add(all, m->name, one);
	}
	return all;
}

void mirror_stop(struct sim *sim)
{
	while (sim->mirrors) {
		struct mirror *m = sim->mirrors;

		sim->mirrors = m->next;
		mirror_free(m, true);
	}
}
