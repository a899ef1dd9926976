// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/notify.h"
#include "base/options.h"
#include "config/config.h"
#include "flowpin/flowpin.h"
#include "flowpin/mirror.h"
#include "mirror/privilege.h"
#include "mirror/source.h"

#define TICK_MS 1000

struct arguments {
	const char *config_path, *socket_path;
	bool check;
};

struct mirror {
	struct arguments arguments;
	struct config *config;
	struct event_base *base;
	struct handoff *handoff;
	struct event *ev_tick, *ev_watchdog, *ev_signals[3];
	struct batch *batch;
	struct source *sources[SWITCHES_MAX];
	size_t n_sources;
	int exit_code;
};

/* As options_parse(). */
static int parse(int argc, char **argv, struct arguments *a)
{
	const struct option_row rows[] = {
		{ "config", "FILE", "the configuration", &a->config_path, NULL },
		{ "socket", "PATH", "flowpind's socket for mirrors", &a->socket_path, NULL },
		{ "check", NULL, "read and check the configuration, and end", NULL, &a->check },
	};
	const struct option_table table = {
		"flowpin-mirror", FLOWPIN_VERSION,
		"Receives the GRE and ERSPAN mirrors of switches for flowpind.", rows,
		ARRAY_SIZE(rows)
	};

	return options_parse(&table, argc, argv);
}

static size_t mirrors_count(const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_switches; i++)
		n += c->switches[i].mirror.present;
	return n;
}

static void quit(struct mirror *m, int exit_code)
{
	m->exit_code = exit_code;
	event_base_loopbreak(m->base);
}

static void on_tick(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct mirror *m = arg;

	for (size_t i = 0; i < m->n_sources; i++) {
		if (source_tick(m->sources[i]) == 0)
			continue;
		log_notice(
			"ending to be started again: there is no privilege left to open a socket");
		quit(m, FLOWPIN_EXIT_FAILED);
		return;
	}
}

static void on_watchdog(evutil_socket_t fd _unused_, short what _unused_, void *arg _unused_)
{
	notify_send("WATCHDOG=1");
}

static void on_handoff(bool connected, const struct err *e, void *arg)
{
	struct mirror *m = arg;

	if (connected)
		log_info("flowpind is connected on %s", m->arguments.socket_path);
	else
		log_warning("flowpind is not reached on %s: %s; trying again",
			    m->arguments.socket_path, e->text);
}

static bool mirror_equal(const struct switch_mirror *a, const struct switch_mirror *b)
{
	return ip_addr_equal(&a->source, &b->source) &&
	       ip_addr_equal(&a->destination, &b->destination) &&
	       strcmp(a->ifname, b->ifname) == 0 && a->has_key == b->has_key && a->key == b->key &&
	       a->protocol == b->protocol && a->payload == b->payload && a->zone == b->zone &&
	       a->max_flows == b->max_flows && a->max_flows_per_source == b->max_flows_per_source;
}

static bool mirrors_equal(const struct config *a, const struct config *b)
{
	size_t k = 0;

	if (mirrors_count(a) != mirrors_count(b))
		return false;
	for (size_t i = 0; i < a->n_switches; i++) {
		if (!a->switches[i].mirror.present)
			continue;
		while (!b->switches[k].mirror.present)
			k++;
		if (strcmp(a->switches[i].name, b->switches[k].name) != 0 ||
		    !mirror_equal(&a->switches[i].mirror, &b->switches[k].mirror))
			return false;
		k++;
	}
	return true;
}

/* Without privileges no socket can be opened for a mirror that is new: the service manager starts
 * the next process, which can. */
static void reload(struct mirror *m)
{
	_cleanup_(config_freep) struct config *config = NULL;
	struct err e = { 0 };

	if (config_load(m->arguments.config_path, &config, &e) < 0) {
		log_error("the configuration is refused, the running one stays: %s", e.text);
	} else if (mirrors_equal(m->config, config)) {
		log_info("the configuration was read again: the mirrors are the same");
	} else {
		log_notice("ending to be started again: the mirrors in %s have changed",
			   m->arguments.config_path);
		quit(m, FLOWPIN_EXIT_OK);
	}
}

static void on_signal(evutil_socket_t number, short what _unused_, void *arg)
{
	struct mirror *m = arg;

	if (number == SIGHUP) {
		reload(m);
		return;
	}
	log_info("ending on signal %d", (int)number);
	quit(m, FLOWPIN_EXIT_OK);
}

static int timer_open(struct mirror *m, event_callback_fn fn, uint64_t interval_us,
		      struct event **ret_ev)
{
	struct timeval tv = { .tv_sec = (time_t)(interval_us / 1000000),
			      .tv_usec = (suseconds_t)(interval_us % 1000000) };
	struct event *ev = event_new(m->base, -1, EV_PERSIST, fn, m);

	if (!ev)
		return -ENOMEM;
	event_priority_set(ev, PRIORITY_SIGNAL);
	event_add(ev, &tv);
	*ret_ev = ev;
	return 0;
}

static int loop_open(struct mirror *m, struct err *e)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	const struct handoff_options handoff = { .path = m->arguments.socket_path,
						 .priority = PRIORITY_HANDOFF,
						 .changed = on_handoff,
						 .arg = m };
	uint64_t watchdog = notify_watchdog_us() / 3;

	m->base = event_base_new();
	m->batch = calloc(1, sizeof(*m->batch));
	if (!m->base || !m->batch || event_base_priority_init(m->base, PRIORITY_COUNT) < 0)
		return err_set(e, -ENOMEM, "no event loop");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		m->ev_signals[i] = evsignal_new(m->base, numbers[i], on_signal, m);
		if (!m->ev_signals[i])
			return err_set(e, -ENOMEM, "out of memory");
		event_priority_set(m->ev_signals[i], PRIORITY_SIGNAL);
		event_add(m->ev_signals[i], NULL);
	}
	if (timer_open(m, on_tick, TICK_MS * 1000ULL, &m->ev_tick) < 0 ||
	    (watchdog && timer_open(m, on_watchdog, watchdog, &m->ev_watchdog) < 0))
		return err_set(e, -ENOMEM, "out of memory");
	return handoff_new(m->base, &handoff, &m->handoff, e);
}

/* The one thing that needs a privilege, which is given up behind it, before the first packet is
 * received. */
static int sources_open(struct mirror *m, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < m->config->n_switches && r == 0; i++) {
		const struct source_options o = { .base = m->base,
						  .handoff = m->handoff,
						  .batch = m->batch,
						  .config = m->config,
						  .own = &m->config->switches[i] };

		if (!o.own->mirror.present)
			continue;
		r = source_new(&o, &m->sources[m->n_sources], e);
		m->n_sources += r == 0;
	}
	if (r == 0)
		r = privilege_drop(e);
	for (size_t i = 0; i < m->n_sources && r == 0; i++)
		r = source_begin(m->sources[i]);
	return r;
}

static void events_free(struct event *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i])
			event_free(list[i]);
}

static void stop(struct mirror *m)
{
	struct event *own[] = { m->ev_tick, m->ev_watchdog };

	handoff_free(m->handoff); /* it counts in the sources */
	for (size_t i = 0; i < m->n_sources; i++)
		source_free(m->sources[i]);
	events_free(m->ev_signals, ARRAY_SIZE(m->ev_signals));
	events_free(own, ARRAY_SIZE(own));
	if (m->base)
		event_base_free(m->base);
	free(m->batch);
}

static int run(struct mirror *m, struct err *e)
{
	int r;

	if (mirrors_count(m->config) == 0)
		return err_set(e, -ENOENT, "%s: no switch has a mirror", m->arguments.config_path);
	r = loop_open(m, e);
	if (r == 0)
		r = sources_open(m, e);
	if (r < 0)
		return r;
	log_info("ready: %zu mirrors, no capabilities", m->n_sources);
	notify_send("READY=1");
	event_base_dispatch(m->base);
	notify_send("STOPPING=1");
	return 0;
}

int main(int argc, char **argv)
{
	struct mirror m = { .arguments = { .config_path = FLOWPIN_CONFIG_PATH,
					   .socket_path = FLOWPIN_MIRROR_PATH } };
	_cleanup_(config_freep) struct config *config = NULL;
	struct err e = { 0 };
	int r;

	r = parse(argc, argv, &m.arguments);
	if (r != 0)
		return r < 0 ? FLOWPIN_EXIT_FAILED : FLOWPIN_EXIT_OK;
	r = config_load(m.arguments.config_path, &config, &e);
	if (r < 0) {
		log_error("%s", e.text);
		return m.arguments.check ? FLOWPIN_EXIT_REFUSED : FLOWPIN_EXIT_FAILED;
	}
	if (m.arguments.check) {
		printf("%s: %zu mirrors, in order\n", m.arguments.config_path,
		       mirrors_count(config));
		return FLOWPIN_EXIT_OK;
	}
	m.config = config;
	r = run(&m, &e);
	stop(&m);
	if (r < 0) {
		log_error("%s", e.text[0] ? e.text : strerror(-r));
		return FLOWPIN_EXIT_FAILED;
	}
	return m.exit_code;
}
