// SPDX-License-Identifier: GPL-2.0-or-later
/* The namespace, and what flows do with packets. The TCAM itself is in tcam.c. */
#include <net/if.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plane.h"
#include "sim.h"

static void write_sysctl(const char *path, const char *value)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "/proc/sys/net/%s", path);
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fprintf(stderr, "eos-sim: %s: %s\n", full, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* A hash of addresses, protocol and ports (not of the socket buffer's own), so that a look-up tells
 * where a packet goes. That holds for IPv4; see asic6.c for IPv6. */
static void set_sysctls(void)
{
	static const char *const values[][2] = {
		{ "ipv4/ip_forward", "1" },
		{ "ipv6/conf/all/forwarding", "1" },
		{ "ipv4/fib_multipath_hash_policy", "3" },
		{ "ipv4/fib_multipath_hash_fields", "55" },
		{ "ipv6/fib_multipath_hash_policy", "3" },
		{ "ipv6/fib_multipath_hash_fields", "55" },
		{ "ipv4/conf/all/rp_filter", "0" },
		{ "ipv4/conf/default/rp_filter", "0" },
		{ "ipv4/conf/all/send_redirects", "0" },
		{ "ipv4/conf/default/send_redirects", "0" },
	};
	struct if_nameindex *all = if_nameindex();
	char path[128];

	for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
		write_sysctl(values[i][0], values[i][1]);
	for (struct if_nameindex *i = all; i && i->if_name; i++) {
		snprintf(path, sizeof(path), "ipv4/conf/%s/rp_filter", i->if_name);
		write_sysctl(path, "0");
		snprintf(path, sizeof(path), "ipv4/conf/%s/send_redirects", i->if_name);
		write_sysctl(path, "0");
	}
	if_freenameindex(all);
}

bool nft_run(const char *script)
{
	const char *const argv[] = { "nft", "-f", "-", NULL };
	int status = run_program(argv, script, NULL);

	if (status != 0)
		fprintf(stderr, "eos-sim: nft: status %d for\n%.2000s\n", status, script);
	return status == 0;
}

/* Lines that begin with -4 or -6, each family with an ip of its own. */
void ip_batch(const char *lines)
{
	for (int family = 4; family <= 6; family += 2) {
		const char *const argv[] = { "ip",     family == 4 ? "-4" : "-6",
					     "-force", "-batch",
					     "-",      NULL };
		struct text text;
		char *own;

		text_open(&text);
		for (const char *line = lines; *line; line += strcspn(line, "\n") + 1) {
			if (line[1] == '0' + family)
				fprintf(text.out, "%.*s\n", (int)strcspn(line, "\n") - 3, line + 3);
		}
		own = text_close(&text);
		if (*own)
			run_program(argv, own, NULL);
		free(own);
	}
}

struct dataplane *dataplane_new(struct sim *sim)
{
	struct dataplane *dp = need(calloc(1, sizeof(*dp)));

	dp->sim = sim;
	dp->rules = copy_text("not yet written");
	set_sysctls();
	if (kernel_open(dp) < 0) {
		perror("eos-sim: netlink");
		free(dp->rules);
		free(dp);
		return NULL;
	}
	dataplane_set_forwarding(dp, true); /* one that was killed may have left it off */
	dataplane_sync(dp, &sim->table);
	return dp;
}

void dataplane_set_forwarding(struct dataplane *dp, bool forwards)
{
	if (!dp)
		return;
	nft_run(forwards ? "add table inet eos_sim_off\ndelete table inet eos_sim_off\n"
			 : "add table inet eos_sim_off\n"
			   "add chain inet eos_sim_off off { type filter hook forward priority "
			   "-310; policy drop; }\n");
}

/* The lines that set an action up; repeating them changes nothing. */
static void print_action(const struct dataplane *dp, FILE *out, size_t index)
{
	char kind[16], address[NAME_SIZE], dev[NAME_SIZE], mac[NAME_SIZE];
	const char *text = dp->actions[index].text;
	unsigned mark = MARK_BASE + (unsigned)index, table = ROUTING_TABLE_BASE + (unsigned)index;
	bool six;

	if (sscanf(text, "%15s %63s %63s %63s", kind, address, dev, mac) == 2) {
		fprintf(out, "-%d route replace default via %s table %u\n",
			strchr(address, ':') ? 6 : 4, address, table);
		return;
	}
	six = strcmp(kind, "l2-6") == 0;
	if (six)
		snprintf(address, sizeof(address), "fe80::e05:%x", mark);
	else
		snprintf(address, sizeof(address), "169.254.%u.%u", 200 + (mark >> 8) % 50,
			 mark & 255);
	fprintf(out, "-%d neigh replace %s lladdr %s nud permanent dev %s\n", six ? 6 : 4, address,
		mac, dev);
	fprintf(out, "-%d route replace default via %s dev %s onlink table %u\n", six ? 6 : 4,
		address, dev, table);
}

static const char *dev_of(const struct dataplane *dp, const char *interface)
{
	const struct interface *i = interface_find(&dp->sim->tables, interface);

	return i && *i->dev ? i->dev : interface;
}

/* "nexthop 10.1.1.2", "l2-4 - eth1 02:..." or nothing. */
static bool action_text(const struct dataplane *dp, const struct flow_spec *s, char ret[256])
{
	char vlan[NAME_SIZE];
	const char *interface;

	if (s->nexthops.n > 0) {
		snprintf(ret, 256, "nexthop %s", s->nexthops.v[0]);
		return true;
	}
	if (s->outputs.n == 0)
		return false;
	interface = s->outputs.v[0];
	snprintf(vlan, sizeof(vlan), "Vlan%ld", s->set_vlan);
	if (s->set_vlan >= 0 && interface_find(&dp->sim->tables, vlan))
		interface = vlan;
	snprintf(ret, 256, "l2-%d - %s %s", s->ethertype == 0x86dd ? 6 : 4, dev_of(dp, interface),
		 *s->set_dmac ? s->set_dmac : "02:00:00:00:00:02");
	return true;
}

unsigned action_mark(struct dataplane *dp, const struct flow_spec *s)
{
	char text[256];
	struct text lines;
	char *batch;
	size_t i;

	if (s->drop)
		return MARK_DROP;
	if (!action_text(dp, s, text))
		return MARK_NORMAL;
	for (i = 0; i < dp->n_actions; i++) {
		if (strcmp(dp->actions[i].text, text) == 0)
			return MARK_BASE + (unsigned)i;
	}
	if (i == ACTIONS_MAX)
		return MARK_NORMAL;
	dp->n_actions++;
	set_text(dp->actions[i].text, sizeof(dp->actions[i].text), text);
	text_open(&lines);
	for (int family = 4; family <= 6; family += 2)
		fprintf(lines.out, "-%d rule add fwmark %zu lookup %zu pref 100\n", family,
			MARK_BASE + i, ROUTING_TABLE_BASE + i);
	print_action(dp, lines.out, i);
	batch = text_close(&lines);
	ip_batch(batch);
	free(batch);
	return MARK_BASE + (unsigned)i;
}

void actions_restore(struct dataplane *dp)
{
	struct text lines;
	char *batch;

	if (clock_ms() < dp->actions_at || dp->n_actions == 0)
		return;
	dp->actions_at = clock_ms() + 1000;
	text_open(&lines);
	for (size_t i = 0; i < dp->n_actions; i++)
		print_action(dp, lines.out, i);
	batch = text_close(&lines);
	ip_batch(batch);
	free(batch);
}

void dataplane_set_route(struct dataplane *dp, const struct route *r, bool present)
{
	struct text line;
	char *batch;

	if (!dp)
		return;
	text_open(&line);
	fprintf(line.out, "-%d route %s %s proto 186", r->family == AF_INET ? 4 : 6,
		present ? "replace" : "del", r->prefix);
	for (size_t i = 0; present && i < r->n; i++) {
		const struct via *v = &r->vias[i];

		fprintf(line.out, "%s", r->n > 1 ? " nexthop" : "");
		if (*v->nexthop)
			fprintf(line.out, " via %s", v->nexthop);
		if (*v->interface)
			fprintf(line.out, " dev %s", dev_of(dp, v->interface));
		if (r->n > 1)
			fprintf(line.out, " weight %ld", v->weight);
	}
	fputc('\n', line.out);
	if (r->family == AF_INET6)
		asic6_set_route(dp, r, present);
	batch = text_close(&line);
	ip_batch(batch);
	free(batch);
}

bool dataplane_lookup(struct dataplane *dp, int family, const uint8_t address[16],
		      struct route *ret_route)
{
	return kernel_route(dp, family, address, ret_route) == 0;
}

bool dataplane_path(struct dataplane *dp, const struct path_query *query, struct via *ret_via)
{
	return (query->family == AF_INET6 && asic6_path(dp, query, ret_via)) ||
	       kernel_path(dp, query, ret_via) == 0;
}

static void read_links(struct tables *t)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (struct interface *i = t->interfaces; fd >= 0 && i; i = i->next) {
		struct ifreq r = { 0 };

		if (!*i->dev)
			continue;
		set_text(r.ifr_name, sizeof(r.ifr_name), i->dev);
		if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
			r.ifr_flags = 0;
		set_text(i->link, sizeof(i->link),
			 !(r.ifr_flags & IFF_UP)     ? "disabled"
			 : r.ifr_flags & IFF_RUNNING ? "connected"
						     : "notconnect");
	}
	if (fd >= 0)
		close(fd);
}

void dataplane_read_tables(struct dataplane *dp, struct tables *t)
{
	read_links(t);
	kernel_read_neighbours(dp, t);
	kernel_read_macs(dp, t);
	actions_restore(dp);
}

void dataplane_ask_neighbour(struct dataplane *dp, const char *address)
{
	uint8_t bytes[16];
	struct asked *a = NULL;
	int family;

	if (!dp)
		return;
	for (size_t i = 0; i < dp->n_asked; i++) {
		if (strcmp(dp->asked[i].address, address) == 0)
			a = &dp->asked[i];
	}
	if (!a)
		a = &dp->asked[dp->n_asked < ARRAY_LENGTH(dp->asked) ? dp->n_asked++ : 0];
	if (strcmp(a->address, address) == 0 && clock_ms() < a->at + 1000)
		return;
	set_text(a->address, sizeof(a->address), address);
	a->at = clock_ms();
	family = address_parse(address, bytes);
	if (family)
		kernel_use_neighbour(dp, family, bytes);
}
