// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/parse.h"
#include "base/siphash.h"
#include "eapi/agent_internal.h"

static bool resolve(void *arg, struct flow_target *t)
{
	struct agent *a = arg;
	const struct neighbour *n = topology_neighbour(&a->topology, &t->nexthop);
	const char *place = n ? topology_place(&a->topology, n) : NULL;

	if (!place)
		return false;
	snprintf(t->interface, sizeof(t->interface), "%s", place);
	snprintf(t->mac, sizeof(t->mac), "%s", n->mac);
	t->vlan = interface_vlan(n->interface);
	return true;
}

static bool nexthop_of(void *arg, uint8_t family, const char *mac, const char *interface,
		       struct ip_addr *ret_nexthop)
{
	struct agent *a = arg;
	char name[INTERFACE_NAME];
	const struct neighbour *n = topology_neighbour_by_mac(&a->topology, family, mac,
							      interface_normalize(interface, name));

	if (!n)
		return false;
	*ret_nexthop = n->addr;
	return true;
}

uint64_t agent_random(struct agent *a)
{
	a->random++;
	return siphash13(&a->random, sizeof(a->random), a->key);
}

/* Looks for what is due in so many milliseconds, in place of what was set before. */
static void arm(struct agent *a, uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
			      .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	evtimer_add(a->timer, &tv);
}

void agent_kick(struct agent *a)
{
	arm(a, 0);
}

void agent_tell_health(struct agent *a)
{
	if (a->cb.health)
		a->cb.health(a->cb.arg);
}

static uint64_t wait_of(struct agent *a, enum http_outcome outcome)
{
	switch (outcome) {
	case HTTP_REFUSED:
		return backoff_fail(&a->login, 0);
	case HTTP_WRONG:
	case HTTP_UNTRUSTED:
	case HTTP_TOO_LARGE:
		return backoff_fail(&a->refused, agent_random(a));
	case HTTP_ANSWERED: /* with something that is no answer */
	case HTTP_BUSY:
	case HTTP_UNREACHABLE:
	case HTTP_BROKEN:
	case HTTP_TIMEOUT:
		return backoff_fail(&a->down, agent_random(a));
	}
	return 60000;
}

void agent_down(struct agent *a, enum http_outcome outcome, const char *sentence)
{
	uint64_t now = clock_now_ms(), wait;
	char text[DURATION_TEXT];

	a->stage = ROUND_IDLE;
	/* The other connection met the same: that is no second refusal. */
	if (!a->up && a->retry_ms > now && strcmp(a->sentence, sentence) == 0)
		return;
	wait = wait_of(a, outcome);
	if (a->up || strcmp(a->sentence, sentence) != 0)
		log_warning("switch %s: %s; next try in %s", a->s->name, sentence,
			    duration_format(wait < 1000 ? wait : wait / 1000 * 1000, text));
	a->up = false;
	snprintf(a->sentence, sizeof(a->sentence), "%s", sentence);
	a->retry_ms = now + wait;
	a->round_ms = a->retry_ms;
	agent_ask_drop(a, a->sentence);
	agent_tell_health(a);
	arm(a, wait);
}

/* When something is due that no answer will bring about. */
static uint64_t next_due(const struct agent *a, uint64_t now)
{
	uint64_t due = a->round_ms > now ? a->round_ms - now : 0, write = now;

	if (a->retry_ms > now)
		return a->retry_ms - now;
	if (channel_busy(a->reader) && due < 1000)
		due = 1000; /* its answer comes first */
	if (a->pace.next_ms > write)
		write = a->pace.next_ms;
	if (a->write_ms > write)
		write = a->write_ms;
	/* Whether there is something to write is found out then. */
	if (write > now && write - now < due)
		due = write - now;
	if (due == 0) /* it waits for another thing than time */
		due = 1;
	return due < 60000 ? due : 60000;
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct agent *a = arg;
	uint64_t now = clock_now_ms();

	if (!a->attached)
		return;
	if (now >= a->retry_ms) {
		agent_read_step(a, now);
		agent_write_step(a, now);
	}
	if (!evtimer_pending(a->timer, NULL))
		arm(a, next_due(a, now));
}

static int init(struct agent *a, struct http *http, struct err *e)
{
	struct reconciler_resolver resolver = { .resolve = resolve,
						.nexthop = nexthop_of,
						.arg = a };
	int r;

	if (getrandom(a->key, sizeof(a->key), 0) != sizeof(a->key))
		return err_set(e, -EIO, "no random numbers");
	memcpy(a->reading.index.key, a->key, sizeof(a->key));
	r = channel_new(http, a->s, &a->reader, e);
	if (r == 0)
		r = channel_new(http, a->s, &a->writer, e);
	if (r < 0)
		return r;
	a->timer = evtimer_new(a->base, on_timer, a);
	if (!a->timer || watch_init(&a->watch, &a->config->services) < 0 ||
	    reconciler_new(a->s, &resolver, a->key, &a->reconciler) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	a->route_done = calloc(a->watch.cap + 1, sizeof(*a->route_done));
	return a->route_done ? 0 : err_set(e, -ENOMEM, "out of memory");
}

int agent_new(struct event_base *base, struct http *http, const struct config *config,
	      const struct switch_config *s, struct agent **ret_agent, struct err *e)
{
	_cleanup_(agent_freep) struct agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(e, -ENOMEM, "out of memory");
	a->base = base;
	a->config = config;
	a->s = s;
	a->down = (struct backoff){ .base_ms = 1000, .max_ms = 60000 };
	a->refused = (struct backoff){ .base_ms = 2000, .max_ms = 300000 };
	a->write = (struct backoff){ .base_ms = 1000, .max_ms = 120000 };
	a->login = (struct backoff){ .base_ms = s->login_retry_ms, .max_ms = 3600000 };
	a->limit_refused = a->limit_read = (struct log_limit){ .interval_ms = 60000, .burst = 5 };
	pace_init(&a->pace, s->batch_flows, s->pace_commands);
	r = init(a, http, e);
	if (r < 0)
		return err_wrap(e, "switch %s", s->name);
	*ret_agent = TAKE_PTR(a);
	return 0;
}

struct agent *agent_free(struct agent *a)
{
	if (!a)
		return NULL;
	for (size_t i = 0; i < a->n_lookups; i++)
		lookup_free(a->lookup[i]);
	channel_free(a->reader);
	channel_free(a->writer);
	if (a->timer)
		event_free(a->timer);
	reconciler_free(a->reconciler);
	watch_clear(&a->watch);
	topology_clear(&a->topology);
	reading_clear(&a->reading);
	commands_free(&a->commands);
	write_batch_clear(&a->batch);
	free(a->route_done);
	free(a);
	return NULL;
}

void agent_set_callbacks(struct agent *a, const struct agent_callbacks *callbacks)
{
	a->cb = *callbacks;
}

const struct switch_config *agent_config(const struct agent *a)
{
	return a->s;
}

struct reconciler *agent_reconciler(struct agent *a)
{
	return a->reconciler;
}

void agent_attach(struct agent *a, const char *prefix)
{
	if (strcmp(reconciler_prefix(a->reconciler), prefix) != 0)
		a->read_once = false;
	reconciler_set_prefix(a->reconciler, prefix);
	a->attached = true;
	a->round_ms = 0;
	agent_kick(a);
}

void agent_detach(struct agent *a)
{
	a->attached = false;
	/* What was read may be old when flowpind is back. */
	a->read_once = false;
	reconciler_detach(a->reconciler);
	agent_ask_drop(a, "flowpind is gone");
}

void agent_health(struct agent *a, struct agent_health *ret_health)
{
	uint64_t requests[2], commands[2];
	struct agent_health h = { .reachable = a->up,
				  .facts = a->has_facts ? &a->facts : NULL,
				  .watch = &a->watch };

	channel_counts(a->reader, &requests[0], &commands[0]);
	channel_counts(a->writer, &requests[1], &commands[1]);
	h.requests = requests[0] + requests[1];
	h.commands = commands[0] + commands[1];
	h.sentence = a->sentence[0] ? a->sentence : a->write_sentence;
	reconciler_summarize(a->reconciler, clock_now_ms(), &h.summary);
	*ret_health = h;
}
