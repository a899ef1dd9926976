// SPDX-License-Identifier: GPL-2.0-or-later
/* The TCAM in nftables. A flow that matches exactly one 5-tuple is an element of a map with a
 * counter; others are rules. Rules and maps stand in the order of priority: flows between two
 * priorities that have rules share one pair of maps (a band). */
#include <net/if.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plane.h"
#include "sim.h"

/* One exact match. Where several flows have the same, one wins. */
struct slot {
	char key[200]; /* BAND|FAMILY|src . dst . proto . sport . dport */
	struct flow *flow;
	unsigned mark, installed_mark;
	bool installed;
	uint64_t generation, serial, installed_serial;
	uint64_t packets, bytes;
};

struct bands {
	long above[64]; /* priorities that have rules, highest first: band i holds what is not below
			   above[i] */
	size_t n;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct slot *)a)->key, ((const struct slot *)b)->key);
}

static bool whole(const struct flow_host *h)
{
	static const uint8_t ones[16] = { 255, 255, 255, 255, 255, 255, 255, 255,
					  255, 255, 255, 255, 255, 255, 255, 255 };

	return h->family && memcmp(h->mask, ones, h->family == AF_INET ? 4 : 16) == 0;
}

static bool is_exact(const struct flow_spec *s)
{
	return whole(&s->src) && whole(&s->dst) && s->src.family == s->dst.family &&
	       (s->protocol == 6 || s->protocol == 17) && s->sport >= 0 && s->dport >= 0 &&
	       s->vlan < 0 && s->inputs.n == 0;
}

static size_t band_of(const struct bands *b, long priority)
{
	size_t i = 0;

	while (i < b->n && priority < b->above[i])
		i++;
	return i;
}

static void find_bands(const struct flow_table *t, struct bands *ret)
{
	ret->n = 0;
	for (const struct flow *f = t->first; f; f = f->next) {
		size_t i;

		if (!f->in_hardware || is_exact(&f->hardware))
			continue;
		i = band_of(ret, f->hardware.priority);
		if ((i > 0 && ret->above[i - 1] == f->hardware.priority) ||
		    (i < ret->n && ret->above[i] == f->hardware.priority) ||
		    ret->n == ARRAY_LENGTH(ret->above))
			continue;
		memmove(&ret->above[i + 1], &ret->above[i], (ret->n - i) * sizeof(long));
		ret->above[i] = f->hardware.priority;
		ret->n++;
	}
}

static void make_key(const struct flow_spec *s, size_t band, char *ret, size_t size)
{
	char src[NAME_SIZE], dst[NAME_SIZE];

	address_text(s->src.family, s->src.address, src);
	address_text(s->dst.family, s->dst.address, dst);
	snprintf(ret, size, "%zu|%d|%s . %s . %s . %ld . %ld", band,
		 s->src.family == AF_INET ? 4 : 6, src, dst, s->protocol == 6 ? "tcp" : "udp",
		 s->sport, s->dport);
}

static bool beats(const struct sim *sim, const struct flow *a, const struct flow *b)
{
	if (a->hardware.priority != b->hardware.priority)
		return a->hardware.priority > b->hardware.priority;
	return sim->knobs.tie == TIE_OLDEST ? a->serial < b->serial : a->serial > b->serial;
}

static void want_slot(struct dataplane *dp, struct flow *f, const struct bands *b)
{
	struct slot probe, *e, **found;

	make_key(&f->hardware, band_of(b, f->hardware.priority), probe.key, sizeof(probe.key));
	found = tfind(&probe, &dp->slots, by_key);
	if (found) {
		e = *found;
	} else {
		e = need(calloc(1, sizeof(*e)));
		set_text(e->key, sizeof(e->key), probe.key);
		need(tsearch(e, &dp->slots, by_key));
	}
	if (e->generation == dp->generation && e->flow && !beats(dp->sim, f, e->flow)) {
		f->plane = NULL;
		return;
	}
	if (e->generation == dp->generation && e->flow)
		e->flow->plane = NULL;
	e->generation = dp->generation;
	e->flow = f;
	e->mark = action_mark(dp, &f->hardware);
	e->serial = f->serial;
	f->plane = e;
}

static void print_host_match(FILE *out, const char *which, const struct flow_host *h)
{
	char address[NAME_SIZE], mask[NAME_SIZE];

	if (!h->family)
		return;
	address_text(h->family, h->address, address);
	address_text(h->family, h->mask, mask);
	fprintf(out, "%s %s & %s == %s ", h->family == AF_INET ? "ip" : "ip6", which, mask,
		address);
}

static void print_rule(struct dataplane *dp, FILE *out, const struct flow *f)
{
	const struct flow_spec *s = &f->hardware;

	fprintf(out, "add counter inet " TCAM_TABLE " w%llu\n", (unsigned long long)f->serial);
	fprintf(out, "add rule inet " TCAM_TABLE " tcam ");
	for (size_t i = 0; i < s->inputs.n; i++) {
		const struct interface *in = interface_find(&dp->sim->tables, s->inputs.v[i]);

		fprintf(out, "%s\"%s\"%s", i ? ", " : "iifname { ",
			in && *in->dev ? in->dev : s->inputs.v[i],
			i + 1 == s->inputs.n ? " } " : "");
	}
	if (s->ethertype == 0x0800 || s->ethertype == 0x86dd)
		fprintf(out, "meta nfproto ipv%d ", s->ethertype == 0x0800 ? 4 : 6);
	print_host_match(out, "saddr", &s->src);
	print_host_match(out, "daddr", &s->dst);
	if (s->protocol >= 0)
		fprintf(out, "meta l4proto %ld ", s->protocol);
	if (s->sport >= 0)
		fprintf(out, "th sport %ld ", s->sport);
	if (s->dport >= 0)
		fprintf(out, "th dport %ld ", s->dport);
	fprintf(out, "counter name w%llu meta mark set %u goto done\n",
		(unsigned long long)f->serial, action_mark(dp, s));
}

static void print_maps(FILE *out, size_t band)
{
	static const struct {
		const char *ip, *family;
	} families[] = { { "ip", "4" }, { "ip6", "6" } };

	for (size_t i = 0; i < 2; i++) {
		fprintf(out,
			"add map inet " TCAM_TABLE " exact%s_%zu { typeof %s saddr . %s daddr . "
			"meta l4proto . th sport . th dport : "
			"meta mark; counter; }\n",
			families[i].family, band, families[i].ip, families[i].ip);
		fprintf(out,
			"add rule inet " TCAM_TABLE
			" tcam meta l4proto { tcp, udp } meta mark set %s saddr . %s daddr . "
			"meta l4proto . th sport . th dport map @exact%s_%zu\n",
			families[i].ip, families[i].ip, families[i].family, band);
	}
	fprintf(out, "add rule inet " TCAM_TABLE " tcam meta mark != 0 goto done\n");
}

/* Everything but the elements of the maps. */
static char *make_rules(struct dataplane *dp, const struct flow_table *t, const struct bands *b)
{
	struct text text;

	text_open(&text);
	fprintf(text.out,
		"add table inet " TCAM_TABLE "\ndelete table inet " TCAM_TABLE
		"\nadd table inet " TCAM_TABLE "\n"
		"add chain inet " TCAM_TABLE " done\nadd rule inet " TCAM_TABLE
		" done meta mark %d drop\n"
		"add chain inet " TCAM_TABLE
		" tcam { type filter hook prerouting priority raw; policy accept; }\n",
		MARK_DROP);
	for (size_t i = 0; i <= b->n; i++) {
		print_maps(text.out, i);
		for (const struct flow *f = t->first; i < b->n && f; f = f->next) {
			if (f->in_hardware && !is_exact(&f->hardware) &&
			    f->hardware.priority == b->above[i])
				print_rule(dp, text.out, f);
		}
	}
	asic6_print(dp, text.out);
	return text_close(&text);
}

struct walk {
	struct dataplane *dp;
	FILE *out;
	bool rewritten; /* the table was made anew: nothing is in it */
	struct slot *dead[4096];
	size_t n_dead;
};

/* Splits BAND|FAMILY|tuple. */
static const char *key_parts(const char *key, unsigned *ret_band, unsigned *ret_family)
{
	const char *tuple = strrchr(key, '|');

	return sscanf(key, "%u|%u|", ret_band, ret_family) == 2 && tuple ? tuple + 1 : "";
}

static void sync_slot(const void *node, VISIT visit, void *context)
{
	struct slot *e = *(struct slot *const *)node;
	struct walk *w = context;
	unsigned band, family;
	const char *tuple = key_parts(e->key, &band, &family);
	bool wanted = e->generation == w->dp->generation && e->flow, changed;

	if (visit != postorder && visit != leaf)
		return;
	if (w->rewritten)
		e->installed = false;
	changed = !wanted || e->mark != e->installed_mark || e->serial != e->installed_serial;
	if (e->installed && changed) {
		fprintf(w->out, "delete element inet " TCAM_TABLE " exact%u_%u { %s }\n", family,
			band, tuple);
		e->installed = false;
	}
	if (wanted && !e->installed) {
		fprintf(w->out, "add element inet " TCAM_TABLE " exact%u_%u { %s : %u }\n", family,
			band, tuple, e->mark);
		e->installed = true;
		e->installed_mark = e->mark;
		e->installed_serial = e->serial;
		e->packets = e->bytes = 0;
	}
	if (!wanted && w->n_dead < ARRAY_LENGTH(w->dead))
		w->dead[w->n_dead++] = e;
}

void dataplane_add(struct dataplane *dp, struct flow *f)
{
	(void)dp;
	f->plane = NULL; /* the next sync places it */
}

void dataplane_remove(struct dataplane *dp, struct flow *f)
{
	struct slot *e = f->plane;

	if (dp && e && e->flow == f)
		e->flow = NULL;
	f->plane = NULL;
}

static void add_counts(struct flow *f, uint64_t packets, uint64_t bytes, uint64_t *last_packets,
		       uint64_t *last_bytes)
{
	f->packets += packets >= *last_packets ? packets - *last_packets : packets;
	f->bytes += bytes >= *last_bytes ? bytes - *last_bytes : bytes;
	*last_packets = packets;
	*last_bytes = bytes;
}

/* One element of the JSON: [{"elem": {"val": {"concat": [...]}, "counter": {...}}}, mark]. */
static void count_element(struct dataplane *dp, const char *prefix, struct json_object *pair)
{
	struct json_object *elem = json_child(json_object_array_get_idx(pair, 0), "elem");
	struct json_object *parts = json_child(json_child(elem, "val"), "concat"),
			   *counter = json_child(elem, "counter");
	struct slot probe, **found;
	size_t n = (size_t)snprintf(probe.key, sizeof(probe.key), "%s", prefix);

	if (!json_object_is_type(parts, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(parts) && n < sizeof(probe.key); i++)
		n += (size_t)snprintf(probe.key + n, sizeof(probe.key) - n, "%s%s", i ? " . " : "",
				      json_object_get_string(json_object_array_get_idx(parts, i)));
	found = tfind(&probe, &dp->slots, by_key);
	if (found && (*found)->flow)
		add_counts((*found)->flow, (uint64_t)json_number(counter, "packets", 0),
			   (uint64_t)json_number(counter, "bytes", 0), &(*found)->packets,
			   &(*found)->bytes);
}

static void count_rule(struct flow_table *t, struct json_object *counter)
{
	unsigned long long serial;
	uint64_t packets = (uint64_t)json_number(counter, "packets", 0),
		 bytes = (uint64_t)json_number(counter, "bytes", 0);

	if (sscanf(json_text(counter, "name", ""), "w%llu", &serial) != 1)
		return;
	for (struct flow *f = t->first; f; f = f->next) {
		if (f->serial == serial && f->in_hardware)
			add_counts(f, packets, bytes, &f->rule_packets, &f->rule_bytes);
	}
}

void dataplane_read_counters(struct dataplane *dp, struct flow_table *t)
{
	const char *const argv[] = { "nft", "-j", "list", "table", "inet", TCAM_TABLE, NULL };
	struct json_object *all, *objects;
	char *output, prefix[32];

	if (!dp || t->used == 0)
		return;
	if (run_program(argv, NULL, &output) != 0) {
		free(output);
		return;
	}
	all = json_tokener_parse(output);
	free(output);
	objects = json_child(all, "nftables");
	for (size_t i = 0;
	     json_object_is_type(objects, json_type_array) && i < json_object_array_length(objects);
	     i++) {
		struct json_object *o = json_object_array_get_idx(objects, i),
				   *map = json_child(o, "map"), *elements;
		unsigned family, band;

		if (json_child(o, "counter"))
			count_rule(t, json_child(o, "counter"));
		elements = json_child(map, "elem");
		if (!elements ||
		    sscanf(json_text(map, "name", ""), "exact%u_%u", &family, &band) != 2)
			continue;
		snprintf(prefix, sizeof(prefix), "%u|%u|", band, family);
		for (size_t e = 0; e < json_object_array_length(elements); e++)
			count_element(dp, prefix, json_object_array_get_idx(elements, e));
	}
	json_object_put(all);
}

char *dataplane_changes(struct dataplane *dp, struct flow_table *t)
{
	struct walk *w;
	struct bands bands;
	struct text script;
	char *rules, *changes;

	if (!dp)
		return NULL;
	dp->generation++;
	find_bands(t, &bands);
	rules = make_rules(dp, t, &bands);
	for (struct flow *f = t->first; f; f = f->next) {
		if (f->in_hardware && is_exact(&f->hardware))
			want_slot(dp, f, &bands);
	}
	w = need(calloc(1, sizeof(*w)));
	w->dp = dp;
	w->out = text_open(&script);
	w->rewritten = strcmp(rules, dp->rules) != 0;
	if (w->rewritten) {
		dataplane_read_counters(dp, t);
		for (struct flow *f = t->first; f; f = f->next)
			f->rule_packets = f->rule_bytes = 0;
		fputs(rules, w->out);
	}
	twalk_r(dp->slots, sync_slot, w);
	changes = text_close(&script);
	for (size_t i = 0; i < w->n_dead; i++) {
		tdelete(w->dead[i], &dp->slots, by_key);
		free(w->dead[i]);
	}
	free(w);
	free(dp->rules);
	dp->rules = rules;
	return changes;
}

void dataplane_write(char *changes)
{
	if (changes && *changes)
		nft_run(changes);
	free(changes);
}

void dataplane_sync(struct dataplane *dp, struct flow_table *t)
{
	dataplane_write(dataplane_changes(dp, t));
}

void dataplane_free(struct dataplane *dp)
{
	struct text text;
	char *lines;

	if (!dp)
		return;
	nft_run("add table inet " TCAM_TABLE "\ndelete table inet " TCAM_TABLE "\n"
		"add table inet eos_sim_off\ndelete table inet eos_sim_off\n");
	text_open(&text);
	for (size_t i = 0; i < dp->n_actions; i++) {
		for (int family = 4; family <= 6; family += 2)
			fprintf(text.out,
				"-%d rule del fwmark %zu lookup %zu pref 100\n-%d route flush "
				"table %zu\n",
				family, MARK_BASE + i, ROUTING_TABLE_BASE + i, family,
				ROUTING_TABLE_BASE + i);
	}
	lines = text_close(&text);
	ip_batch(lines);
	free(lines);
	tdestroy(dp->slots, free);
	asic6_free(dp);
	close(dp->netlink);
	free(dp->rules);
	free(dp);
}
