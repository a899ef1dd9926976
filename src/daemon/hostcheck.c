// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/hostcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/netfilter/nf_tables.h>
#include <stdarg.h>
#include <string.h>
#include "base/log.h"
#include "base/parse.h"
#include "daemon/events.h"
#include "daemon/switches.h"
#include "netlink/nft.h"

/* A host that is set up against us is told so: one warning each, with the command that mends it. */

struct look {
	struct daemon *d;
	struct warning_list found;
};

static void warn(struct look *look, const char *code, const char *command, const char *fmt, ...)
	_printf_(4, 5);
static void warn(struct look *look, const char *code, const char *command, const char *fmt, ...)
{
	struct warning w = { 0 };
	va_list ap;

	snprintf(w.code, sizeof(w.code), "%s", code);
	snprintf(w.command, sizeof(w.command), "%s", command);
	va_start(ap, fmt);
	vsnprintf(w.text, sizeof(w.text), fmt, ap);
	va_end(ap);
	/* What concerns two families or all interfaces is told once. */
	for (size_t i = 0; i < look->found.n; i++)
		if (strcmp(look->found.list[i].text, w.text) == 0)
			return;
	if (look->found.n < ARRAY_SIZE(look->found.list))
		look->found.list[look->found.n++] = w;
}

/* -1 when it cannot be read. */
static int number_read(const char *path)
{
	_cleanup_(closep) int fd = -1;
	uint32_t value;
	char text[16];
	ssize_t n;

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

static int sysctl_read(const char *family, const char *ifname, const char *key)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, ifname, key);
	return number_read(path);
}

static int max(int a, int b)
{
	return a > b ? a : b;
}

static bool serves_family(const struct daemon *d, uint8_t family)
{
	for (size_t i = 0; i < d->config->services.n; i++) {
		const struct service *s = &d->config->services.list[i];

		for (size_t k = 0; k < s->n_prefixes; k++)
			if (s->prefixes[k].addr.family == family)
				return true;
	}
	return false;
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

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (serves_family(look->d, families[i].family) &&
		    sysctl_read(families[i].name, "all", "forwarding") == 0)
			warn(look, "forwarding", families[i].command,
			     "%s forwarding is off: this host forwards no packet",
			     families[i].label);
}

static void check_events(struct look *look)
{
	if (number_read("/proc/sys/net/netfilter/nf_conntrack_events") == 0)
		warn(look, "events", "sysctl -w net.netfilter.nf_conntrack_events=1",
		     "conntrack events are off: flows are pinned, but flowpind does not hear of "
		     "their end");
}

/* The kernel takes the larger of `all` and the interface's own value. */
static bool strict(const char *ifname)
{
	return max(sysctl_read("ipv4", "all", "rp_filter"),
		   sysctl_read("ipv4", ifname, "rp_filter")) == 1;
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

/* As sysctl(8) wants it: a dot in an interface's name is written as a slash. */
static void rp_filter_command(const char *ifname, char *ret, size_t size)
{
	int n = snprintf(ret, size, "sysctl -w net.ipv4.conf.%s.rp_filter=2", ifname);
	char *name = ret + strlen("sysctl -w net.ipv4.conf."),
	     *end = ret + n - strlen(".rp_filter=2");

	for (; name < end; name++)
		if (*name == '.')
			*name = '/';
}

static void check_rp_filter(struct look *look)
{
	bool everywhere = sysctl_read("ipv4", "all", "rp_filter") == 1,
	     marks = sysctl_read("ipv4", "all", "src_valid_mark") == 1;
	struct daemon *d = look->d;
	char command[128];

	for (size_t i = 0; i < d->links.n; i++) {
		const struct link *l = &d->links.list[i];
		const char *where = everywhere ? "all" : l->name;

		if (l->loopback || !strict(l->name))
			continue;
		rp_filter_command(where, command, sizeof(command));
		if (carries_nexthop(d, l->ifindex))
			warn(look, "rp-filter", command,
			     "strict rp_filter on %s drops the answers of a nexthop there once it "
			     "is drained or withdrawn",
			     where);
		else if (marks || sysctl_read("ipv4", l->name, "src_valid_mark") == 1)
			warn(look, "src-valid-mark", command,
			     "src_valid_mark with strict rp_filter on %s: pinned packets that "
			     "arrive there may be dropped",
			     where);
	}
}

/* Whether it stands before ours and takes every packet. */
static bool is_early_local(const struct daemon *d, const struct rule *r, uint8_t family)
{
	return r->family == family && r->action == FR_ACT_TO_TBL && r->table == RT_TABLE_LOCAL &&
	       r->priority < d->config->numbers.rule_priority && !r->has_mark &&
	       !r->src.addr.family && !r->dst.addr.family && !r->ip_proto && !r->dport_last &&
	       !r->iif[0] && !r->oif[0] && !r->other;
}

static void check_local_rule(struct look *look)
{
	static const struct {
		uint8_t family;
		const char *label, *ip;
	} families[] = { { AF_INET, "IPv4", "ip" }, { AF_INET6, "IPv6", "ip -6" } };
	struct daemon *d = look->d;
	uint32_t first = d->config->numbers.rule_priority;
	char command[128];

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		bool early = false;

		for (size_t k = 0; k < d->rules.n && !early; k++)
			early = is_early_local(d, &d->rules.list[k], families[i].family);
		if (early || !serves_family(d, families[i].family))
			continue;
		/* Right before ours, and behind whatever others want to come first (l3mdev). */
		snprintf(command, sizeof(command), "%s rule add priority %u lookup local",
			 families[i].ip, first - 1);
		warn(look, "local-rule", command,
		     "%s has no rule for table local before ours at priority %u: packets to this "
		     "host may be forwarded",
		     families[i].label, first);
	}
}

static const char other_bits[] =
	"set numbers { mark-mask = ... } in flowpin.conf to bits that nobody uses";

static void check_rules(struct look *look)
{
	struct daemon *d = look->d;
	uint32_t mask = d->config->numbers.mark_mask;

	for (size_t i = 0; i < d->rules.n; i++) {
		const struct rule *r = &d->rules.list[i];

		if (r->has_mark && (r->mark_mask & mask))
			warn(look, "mark-overlap", other_bits,
			     "the rule at priority %u matches mark 0x%x/0x%x, which overlaps our "
			     "mark-mask 0x%08x",
			     r->priority, r->mark, r->mark_mask, mask);
	}
}

static void check_marks(struct look *look)
{
	struct daemon *d = look->d;
	unsigned entries = 0, ids = 0;
	uint8_t first = 0;

	for (unsigned id = BINDING_ID_MAX; id > 0; id--) {
		if (!d->id_flows[id] || registry_binding(d->registry, (uint8_t)id))
			continue;
		entries += d->id_flows[id];
		first = (uint8_t)id;
		ids++;
	}
	if (ids)
		warn(look, "foreign-mark", other_bits,
		     "%u conntrack entries carry mark 0x%08x%s, which is no nexthop of ours: ids "
		     "are not given out while their "
		     "marks stand (conntrack -L shows whose they are)",
		     entries, mark_of(d, first), ids > 1 ? " or another one" : "");
}

/* One warning for each service and interface. */
static void check_blind(struct look *look)
{
	const struct binding *b;
	uint8_t cursor = 0;

	while ((b = registry_binding_next(look->d->registry, &cursor)))
		if (b->blind)
			warn(look, "blind",
			     "give each an interface (a VLAN) of its own, or an IPv4 address as "
			     "gateway",
			     "service %s: several nexthops on %s cannot be told apart (on-link, or "
			     "IPv6 gateways of IPv4 routes), "
			     "so their flows are not pinned",
			     b->service, b->nexthop->ifname);
}

static void check_translated(struct look *look)
{
	uint32_t cursor = 0, seen = 0;
	const struct flow *f;

	/* A look at the first flows is enough: translation concerns whole services. */
	while (seen++ < 4096 && (f = flow_table_next(look->d->flows, &cursor))) {
		if (!(f->flags & FLOW_NAT) ||
		    service_set_match(&look->d->config->services, &f->tuple) < 0)
			continue;
		for (size_t i = 0; i < look->d->config->services.n; i++)
			for (size_t k = 0; k < look->d->config->services.list[i].n_prefixes; k++)
				if (look->d->config->services.list[i].prefixes[k].len == 0)
					return; /* masquerading uplinks: that is what such a service
						   is for */
		warn(look, "translated", "",
		     "flows of a service are translated on this gateway: pins follow the addresses "
		     "before translation");
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

	if (nl_dump(look->d->ct_request, nft_request(buf, NFT_MSG_GETFLOWTABLE, AF_UNSPEC),
		    on_flowtable, NULL, &n, NULL) == 0 &&
	    n > 0)
		warn(look, "flowtable", "nft list flowtables",
		     "%zu nftables flowtables: flows that they carry do not follow a pin; leave "
		     "the services' traffic out of them",
		     n);
}

static void check_counts(struct look *look)
{
	struct daemon *d = look->d;

	if (d->stats.lost_pins)
		warn(look, "pins-full",
		     "raise limits { max-pins = ... } in flowpin.conf and reload",
		     "the pin map was full %llu times: such flows hold by their conntrack entry "
		     "only",
		     (unsigned long long)d->stats.lost_pins);
	if (d->stats.flows_over_source)
		warn(look, "source-full",
		     "see who it is, or raise limits { max-flows-per-source = ... } and reload",
		     "source networks have more flows than they may %llu times: such flows are "
		     "pinned, but not listed",
		     (unsigned long long)d->stats.flows_over_source);
	if (d->stats.flows_refused)
		warn(look, "flows-full",
		     "raise limits { max-flows = ... } in flowpin.conf and restart flowpind",
		     "the flow table was full %llu times: such flows are pinned, but not listed",
		     (unsigned long long)d->stats.flows_refused);
}

/* `place = heavy` chooses by conntrack's accounting. */
static void check_accounting(struct look *look)
{
	if (switch_heavy_wanted(look->d) &&
	    number_read("/proc/sys/net/netfilter/nf_conntrack_acct") == 0)
		warn(look, "no-accounting", "sysctl -w net.netfilter.nf_conntrack_acct=1",
		     "conntrack does not count bytes: `place = heavy` does not know which flows "
		     "are large");
}

static bool known_before(const struct warning_list *before, const struct warning *w)
{
	for (size_t i = 0; i < before->n; i++)
		if (strcmp(before->list[i].code, w->code) == 0 &&
		    (strcmp(before->list[i].text, w->text) == 0 || strstr(w->code, "full") ||
		     strcmp(w->code, "foreign-mark") == 0))
			return true;
	return false;
}

void hostcheck_run(struct daemon *d)
{
	static void (*const checks[])(struct look * look) = {
		check_forwarding, check_events, check_rp_filter, check_local_rule,
		check_rules,	  check_marks,	check_blind,	 check_translated,
		check_flowtables, check_counts, check_accounting
	};
	struct look look = { .d = d };

	if (!d->ready)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i](&look);
	for (size_t i = 0; i < look.found.n; i++) {
		const struct warning *w = &look.found.list[i];

		if (known_before(&d->warnings, w))
			continue;
		if (!strstr(w->code, "full")) /* that was logged when it happened */
			log_warning("%s%s%s", w->text, w->command[0] ? "; to mend it: " : "",
				    w->command);
		events_report(d, &(struct event_report){ .kind = "warning" }, "%s", w->text);
	}
	d->warnings = look.found;
}
