// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/netfilter/nf_tables.h>
#include <stdarg.h>
#include <string.h>
#include "base/log.h"
#include "base/parse.h"
#include "daemon/daemon.h"
#include "netlink/nft.h"

/* A host that is set up against us is told so: one warning each, with the command that mends it. */

struct look {
	struct daemon *d;
	struct warning_list found;
};

static void warn(struct look *look, const char *code, const char *command, const char *fmt, ...) _printf_(4, 5);
static void warn(struct look *look, const char *code, const char *command, const char *fmt, ...)
{
	struct warning *w;
	va_list ap;

	if (look->found.n == ARRAY_SIZE(look->found.list))
		return;
	w = &look->found.list[look->found.n++];
	snprintf(w->code, sizeof(w->code), "%s", code);
	snprintf(w->command, sizeof(w->command), "%s", command);
	va_start(ap, fmt);
	vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
}

/* -1 when it cannot be read. */
static int sysctl_read(const char *family, const char *ifname, const char *key)
{
	char path[128], text[16];
	_cleanup_(closep) int fd = -1;
	uint32_t value;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, ifname, key);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return parse_u32(text, 0, INT32_MAX, &value) < 0 ? -1 : (int)value;
}

static int max(int a, int b)
{
	return a > b ? a : b;
}

static void check_forwarding(struct look *look)
{
	static const struct {
		uint8_t family;
		const char *name, *label, *command;
	} families[] = {
		{ AF_INET, "ipv4", "IPv4", "sysctl -w net.ipv4.ip_forward=1" },
		{ AF_INET6, "ipv6", "IPv6", "sysctl -w net.ipv6.conf.all.forwarding=1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		bool wanted = false;

		for (size_t k = 0; k < look->d->config->services.n; k++) {
			const struct service *s = &look->d->config->services.list[k];

			for (size_t m = 0; m < s->n_prefixes; m++)
				wanted |= s->prefixes[m].addr.family == families[i].family;
		}
		if (wanted && sysctl_read(families[i].name, "all", "forwarding") == 0)
			warn(look, "forwarding", families[i].command, "%s forwarding is off: this host forwards no packet",
			     families[i].label);
	}
}

/* The kernel takes the larger of `all` and the interface's own value. */
static bool strict(const char *ifname)
{
	return max(sysctl_read("ipv4", "all", "rp_filter"), sysctl_read("ipv4", ifname, "rp_filter")) == 1;
}

static bool carries_nexthop(const struct daemon *d, uint32_t ifindex)
{
	const struct nexthop *nh;
	size_t cursor = 0;

	while ((nh = registry_nexthop_next(d->registry, &cursor)))
		if (nh->ifindex == ifindex)
			return true;
	return false;
}

static void check_rp_filter(struct look *look)
{
	struct daemon *d = look->d;
	char command[128];

	for (size_t i = 0; i < d->links.n; i++) {
		const struct link *l = &d->links.list[i];

		if (l->loopback || !strict(l->name))
			continue;
		if (carries_nexthop(d, l->ifindex)) {
			snprintf(command, sizeof(command), "sysctl -w net.ipv4.conf.%s.rp_filter=2", l->name);
			warn(look, "rp-filter", command,
			     "strict rp_filter on %s drops the answers of a nexthop there once it is drained or withdrawn",
			     l->name);
		} else if (max(sysctl_read("ipv4", "all", "src_valid_mark"), sysctl_read("ipv4", l->name, "src_valid_mark")) == 1) {
			snprintf(command, sizeof(command), "sysctl -w net.ipv4.conf.%s.rp_filter=2", l->name);
			warn(look, "src-valid-mark", command,
			     "src_valid_mark with strict rp_filter on %s: pinned packets that arrive there may be dropped",
			     l->name);
		}
	}
}

static void check_rules(struct look *look)
{
	struct daemon *d = look->d;
	uint32_t mask = d->config->numbers.mark_mask, first = d->config->numbers.rule_priority;

	for (size_t i = 0; i < d->rules.n; i++) {
		const struct rule *r = &d->rules.list[i];

		if (r->has_mark && (r->mark_mask & mask))
			warn(look, "mark-overlap", "set numbers { mark-mask = ... } in flowpin.conf to bits that nobody uses",
			     "the rule at priority %u matches mark 0x%x/0x%x, which overlaps our mark-mask 0x%08x", r->priority,
			     r->mark, r->mark_mask, mask);
		if (r->action == FR_ACT_TO_TBL && r->table == RT_TABLE_LOCAL && r->priority >= first)
			warn(look, "local-rule", r->family == AF_INET ? "ip rule add priority 0 lookup local" :
									   "ip -6 rule add priority 0 lookup local",
			     "the rule for table local stands at priority %u, behind ours at %u: packets to this host may be "
			     "forwarded",
			     r->priority, first);
	}
}

static void check_marks(struct look *look)
{
	struct daemon *d = look->d;

	for (unsigned id = 1; id <= BINDING_ID_MAX; id++)
		if (d->id_flows[id] && !registry_binding(d->registry, (uint8_t)id))
			warn(look, "foreign-mark", "",
			     "%u conntrack entries carry mark 0x%08x, which is no nexthop of ours: that id is not given out while "
			     "they stand",
			     d->id_flows[id], mark_of(d, (uint8_t)id));
}

static void check_blind(struct look *look)
{
	const struct binding *b;
	uint8_t cursor = 0;

	while ((b = registry_binding_next(look->d->registry, &cursor))) {
		struct nexthop_spec spec = binding_spec(b);
		char text[NEXTHOP_TEXT];

		if (b->blind)
			warn(look, "blind", "",
			     "service %s: %s cannot be told apart from another nexthop on %s, so its flows are not pinned",
			     b->service, nexthop_spec_format(&spec, text), b->nexthop->ifname);
	}
}

static void check_translated(struct look *look)
{
	uint32_t cursor = 0, seen = 0;
	const struct flow *f;

	/* A look at the first flows is enough: translation concerns whole services. */
	while (seen++ < 4096 && (f = flow_table_next(look->d->flows, &cursor))) {
		if (!(f->flags & FLOW_NAT) || service_set_match(&look->d->config->services, &f->tuple) < 0)
			continue;
		for (size_t i = 0; i < look->d->config->services.n; i++)
			for (size_t k = 0; k < look->d->config->services.list[i].n_prefixes; k++)
				if (look->d->config->services.list[i].prefixes[k].len == 0)
					return; /* masquerading uplinks: that is what such a service is for */
		warn(look, "translated", "",
		     "flows of a service are translated on this gateway: pins follow the addresses before translation");
		return;
	}
}

static int on_flowtable(const struct nlmsghdr *nlh _unused_, void *arg)
{
	(*(size_t *)arg)++;
	return 0;
}

/* Packets of a flow that a flowtable carries pass neither our chains nor policy routing. */
static void check_flowtables(struct look *look)
{
	char buf[NL_REQUEST_MAX];
	size_t n = 0;

	if (nl_dump(look->d->ct_request, nft_request(buf, NFT_MSG_GETFLOWTABLE, AF_UNSPEC), on_flowtable, NULL, &n, NULL) == 0 &&
	    n > 0)
		warn(look, "flowtable", "nft list flowtables",
		     "%zu nftables flowtables: flows that they carry do not follow a pin; leave the services' traffic out of them", n);
}

static void check_counts(struct look *look)
{
	struct daemon *d = look->d;

	if (d->stats.lost_pins)
		warn(look, "pins-full", "raise limits { max-pins = ... } in flowpin.conf and reload",
		     "the pin map was full %llu times: such flows hold by their conntrack entry only",
		     (unsigned long long)d->stats.lost_pins);
	if (d->stats.flows_refused)
		warn(look, "flows-full", "raise limits { max-flows = ... } in flowpin.conf and restart flowpind",
		     "the flow table was full %llu times: such flows are pinned, but not listed",
		     (unsigned long long)d->stats.flows_refused);
}

static bool known_before(const struct warning_list *before, const struct warning *w)
{
	for (size_t i = 0; i < before->n; i++)
		if (strcmp(before->list[i].code, w->code) == 0 &&
		    (strcmp(before->list[i].text, w->text) == 0 || strstr(w->code, "full") || strcmp(w->code, "foreign-mark") == 0))
			return true;
	return false;
}

void hostcheck_run(struct daemon *d)
{
	static void (*const checks[])(struct look *look) = { check_forwarding, check_rp_filter,	 check_rules,  check_marks,
							     check_blind,      check_translated, check_flowtables,
							     check_counts };
	struct look look = { .d = d };

	if (!d->ready)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i](&look);
	for (size_t i = 0; i < look.found.n; i++) {
		const struct warning *w = &look.found.list[i];

		if (known_before(&d->warnings, w))
			continue;
		log_warning("%s%s%s", w->text, w->command[0] ? "; to mend it: " : "", w->command);
		events_report(d, &(struct event_report){ .kind = "warning" }, "%s", w->text);
	}
	d->warnings = look.found;
}
