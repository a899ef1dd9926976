// SPDX-License-Identifier: GPL-2.0-or-later
#include "flows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane.h"
#include "sim.h"

#define LONG_MS 20

void flow_spec_init(struct flow_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->persistent = true;
	spec->ethertype = spec->protocol = spec->sport = spec->dport = spec->vlan = -1;
	spec->set_vlan = spec->set_cos = spec->set_tos = -1;
}

static size_t bucket_of(const char *name)
{
	uint32_t hash = 2166136261;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619;
	return hash % FLOW_BUCKETS;
}

struct flow *table_find(const struct flow_table *t, const char *name)
{
	struct flow *f = t->buckets[bucket_of(name)];

	while (f && strcmp(f->name, name) != 0)
		f = f->chain;
	return f;
}

struct flow *table_enter(struct sim *sim, const char *name)
{
	struct flow_table *t = &sim->table;
	struct flow *f = table_find(t, name);
	struct flow **bucket = &t->buckets[bucket_of(name)];

	if (f)
		return f;
	f = need(calloc(1, sizeof(*f)));
	set_text(f->name, sizeof(f->name), name);
	flow_spec_init(&f->config);
	f->serial = ++t->serials;
	f->chain = *bucket;
	*bucket = f;
	f->previous = t->last;
	*(t->last ? &t->last->next : &t->first) = f;
	t->last = f;
	t->n++;
	return f;
}

size_t flow_cost(const struct sim *sim, const struct flow_spec *spec)
{
	bool ipv6 = spec->ethertype == 0x86dd || spec->src.family == AF_INET6 ||
		    spec->dst.family == AF_INET6;

	return ipv6 ? (size_t)sim->knobs.ipv6_entries : 1;
}

long table_room(const struct sim *sim)
{
	return sim->knobs.capacity - sim->knobs.reserved - (long)sim->table.foreign -
	       (long)sim->table.used;
}

static void take_out(struct sim *sim, struct flow *f)
{
	if (!f->in_hardware)
		return;
	dataplane_remove(sim->dataplane, f);
	sim->table.used -= flow_cost(sim, &f->hardware);
	f->in_hardware = false;
	sim->table.changed = true;
}

void table_remove(struct sim *sim, struct flow *f)
{
	struct flow_table *t = &sim->table;
	struct flow **link = &t->buckets[bucket_of(f->name)];

	take_out(sim, f);
	while (*link != f)
		link = &(*link)->chain;
	*link = f->chain;
	*(f->previous ? &f->previous->next : &t->first) = f->next;
	*(f->next ? &f->next->previous : &t->last) = f->previous;
	t->n--;
	free(f);
}

void table_clear(struct sim *sim, bool keep_persistent)
{
	struct flow *f, *next;

	for (f = sim->table.first; f; f = next) {
		next = f->next;
		if (!keep_persistent || !f->config.persistent)
			table_remove(sim, f);
	}
}

static void make_pending(struct sim *sim, struct flow *f)
{
	f->state = f->config.has_action ? FLOW_PENDING : FLOW_INCOMPLETE;
	f->due = clock_ms() + sim->knobs.program_ms;
}

void table_update(struct sim *sim, struct flow *f, const struct flow_spec *spec)
{
	bool same = memcmp(&f->config, spec, sizeof(*spec)) == 0;

	f->config = *spec;
	if (same && f->state == FLOW_EXPIRED && !sim->knobs.rearms)
		return;
	if (same && f->state == FLOW_PROGRAMMED)
		return;
	make_pending(sim, f);
}

void table_empty_hardware(struct sim *sim)
{
	for (struct flow *f = sim->table.first; f; f = f->next) {
		take_out(sim, f);
		if (f->state != FLOW_EXPIRED)
			make_pending(sim, f);
	}
}

void table_set_shut(struct sim *sim, bool shut)
{
	if (shut == sim->table.shut)
		return;
	sim->table.shut = shut;
	table_empty_hardware(sim);
}

bool table_agent_runs(const struct sim *sim)
{
	return clock_ms() >= sim->table.agent_back_at;
}

static bool refused_by_hardware(const struct sim *sim, const struct flow_spec *s)
{
	const struct knobs *k = &sim->knobs;
	bool six = s->nexthops.n > 0 && strchr(s->nexthops.v[0], ':');

	return (s->nexthops.n > 0 && (six ? k->nexthop6 : k->nexthop4) == SUPPORT_REJECT) ||
	       ((s->idle || s->hard) && k->timeouts == SUPPORT_REJECT) ||
	       (s->outputs.n > 0 && k->output_interface == SUPPORT_REJECT) ||
	       (*s->set_dmac && k->set_mac == SUPPORT_REJECT) ||
	       (s->set_vlan >= 0 && k->set_vlan == SUPPORT_REJECT);
}

static bool nexthops_resolved(const struct sim *sim, const struct flow_spec *s)
{
	for (size_t i = 0; sim->knobs.nexthop_needs_arp && i < s->nexthops.n; i++) {
		if (!tables_resolved(sim, s->nexthops.v[i]))
			return false;
	}
	return true;
}

/* How many flows may go into the hardware now. */
static bool take_credit(struct sim *sim, int64_t now)
{
	struct flow_table *t = &sim->table;
	double rate = (double)sim->knobs.program_rate;

	if (rate <= 0)
		return true;
	t->program_credit += rate * (double)(now - t->program_credit_at) / 1000;
	t->program_credit_at = now;
	if (t->program_credit > rate / 10 + 1)
		t->program_credit = rate / 10 + 1;
	if (t->program_credit < 1)
		return false;
	t->program_credit -= 1;
	return true;
}

/* Puts the configured definition into the hardware, in place of the one that is there. */
static void program(struct sim *sim, struct flow *f, int64_t now)
{
	struct flow_table *t = &sim->table;
	bool kept_count = f->in_hardware && !sim->knobs.edit_resets;
	size_t cost = flow_cost(sim, &f->config);
	long room = table_room(sim) + (f->in_hardware ? (long)flow_cost(sim, &f->hardware) : 0);

	if (refused_by_hardware(sim, &f->config)) {
		take_out(sim, f);
		f->state = FLOW_REFUSED;
		return;
	}
	if (!nexthops_resolved(sim, &f->config)) {
		f->due = now + 100;
		return;
	}
	if ((long)cost > room) {
		take_out(sim, f);
		f->state = FLOW_NO_ROOM;
		return;
	}
	if (!take_credit(sim, now))
		return;
	take_out(sim, f);
	if (!kept_count)
		f->packets = f->bytes = f->seen_packets = f->shown_packets = f->shown_bytes = 0;
	f->hardware = f->config;
	f->in_hardware = true;
	f->state = FLOW_PROGRAMMED;
	f->installed = f->moved = now;
	t->used += cost;
	if (t->used_max < t->used)
		t->used_max = t->used;
	t->programmed_total++;
	t->changed = true;
	dataplane_add(sim->dataplane, f);
}

static void expire(struct sim *sim, struct flow *f)
{
	take_out(sim, f);
	if (sim->knobs.expiry == EXPIRY_NEW && !f->config.persistent)
		table_remove(sim, f);
	else
		f->state = FLOW_EXPIRED;
}

/* Reads the counters and ends flows whose time is over. Returns whether the flow is still there. */
static void count_one(struct sim *sim, struct flow *f, int64_t now)
{
	if (!f->in_hardware)
		return;
	if (f->packets != f->seen_packets)
		f->moved = now;
	f->seen_packets = f->shown_packets = f->packets;
	f->shown_bytes = f->bytes;
	if (f->state != FLOW_PROGRAMMED)
		return;
	if ((f->hardware.idle && now - f->moved >= f->hardware.idle * 1000) ||
	    (f->hardware.hard && now - f->installed >= f->hardware.hard * 1000))
		expire(sim, f);
}

/* A table that became smaller than what it holds loses the newest of the lowest priority. */
static void shrink(struct sim *sim)
{
	while (table_room(sim) < 0) {
		struct flow *victim = NULL;

		for (struct flow *f = sim->table.first; f; f = f->next) {
			if (f->in_hardware &&
			    (!victim || f->hardware.priority <= victim->hardware.priority))
				victim = f;
		}
		if (!victim)
			return;
		take_out(sim, victim);
		victim->state = FLOW_NO_ROOM;
	}
}

/* A switch takes commands while it writes its hardware. Writing a large table takes this machine so
 * long that requests would hardly have their turn all the same: then what follows is gathered. */
static void write_hardware(struct sim *sim)
{
	int64_t began = clock_ms(), took;
	char *changes = dataplane_changes(sim->dataplane, &sim->table);

	sim->table.changed = false;
	sim->writing = true;
	pthread_mutex_unlock(&sim->lock);
	dataplane_write(changes);
	pthread_mutex_lock(&sim->lock);
	sim->writing = false;
	pthread_cond_broadcast(&sim->written);
	took = clock_ms() - began;
	if (took > LONG_MS)
		sim->table.rests_until = began + took * 4;
}

void table_tick(struct sim *sim, int64_t now)
{
	struct flow_table *t = &sim->table;
	struct flow *f, *next;
	bool counts;

	sim_settle(sim);
	counts = now >= t->next_count;
	if (now < t->agent_back_at || now < t->rests_until)
		return;
	if (counts) {
		t->next_count = now + sim->knobs.counter_ms;
		dataplane_read_counters(sim->dataplane, t);
	}
	for (f = t->first; counts && f; f = next) {
		next = f->next;
		count_one(sim, f, now);
	}
	shrink(sim);
	for (f = t->first; f && !t->shut && sim->knobs.directflow == SUPPORT_YES; f = f->next) {
		bool retry = f->state == FLOW_NO_ROOM && sim->knobs.full_retries &&
			     (long)flow_cost(sim, &f->config) <= table_room(sim);

		if ((f->state == FLOW_PENDING && now >= f->due) || retry)
			program(sim, f, now);
	}
	if (t->changed)
		write_hardware(sim);
}

const char *flow_status(const struct sim *sim, const struct flow *f)
{
	switch (f->state) {
	case FLOW_PROGRAMMED:
		return "Flow programmed";
	case FLOW_NO_ROOM:
		return sim->knobs.full_shows == FULL_STATUS
			       ? "Flow rejected due to insufficient resources"
			       : "Waiting for a resource to be allocated";
	case FLOW_REFUSED:
		return sim->knobs.reject_status;
	case FLOW_PENDING:
		return sim->knobs.pending_status;
	case FLOW_INCOMPLETE:
	case FLOW_EXPIRED:
		break;
	}
	return "Flow not programmed";
}
