// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/strbuf.h"
#include "config/config.h"
#include "flowpin/flowpin.h"
#include "flowpin/mirror.h"
#include "mirror/handoff.h"
#include "mirror/privilege.h"
#include "mirror/receive.h"

#define RECEIVE_BUFFER (16 * 1024 * 1024)
#define TICK_MS 1000
#define READS_PER_WAKEUP (MIRROR_RECORDS_MAX / RECEIVE_VECTOR)
/* After a wakeup the next packets are left to gather, so that flowpind gets few messages with many records. */
#define GATHER_US 1000
/* Foreign packets cost at most 256 in that time, whoever sends them. */
#define FOREIGN_PAUSE_US 10000
#define TOLD_EVERY_MS 60000

/* What is handed on goes first, so that what arrives cannot keep it from leaving. */
enum { PRIORITY_SIGNAL, PRIORITY_HANDOFF, PRIORITY_RECEIVE, PRIORITY_FOREIGN, PRIORITY_COUNT };

struct arguments {
	const char *config_path, *socket_path;
	bool check;
};

/* The mirror of one switch. */
struct source {
	struct mirror *mirror;
	const struct switch_config *config;
	struct mirror_receiver *receiver;
	struct event *ev_packets, *ev_foreign;
	struct event *ev_gather, *ev_pause; /* timers that listen to the two again */
	struct mirror_counters counters, told; /* told: when the log spoke of them last */
	struct log_limit limit_told, limit_error;
	bool missing_told; /* that there is no such interface */
};

struct mirror {
	struct arguments arguments;
	struct config *config;
	struct event_base *base;
	struct handoff *handoff;
	struct event *ev_tick, *ev_watchdog, *ev_signals[3];
	struct batch *batch;
	struct source *sources;
	size_t n_sources;
	int exit_code;
};

enum { OPT_CONFIG = 256, OPT_SOCKET, OPT_LOG_LEVEL, OPT_CHECK, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static const char usage[] = "Usage: flowpin-mirror [OPTION...]\n"
			    "Receives the GRE and ERSPAN mirrors of switches for flowpind. Runs in the foreground.\n\n"
			    "  --config FILE      the configuration (" FLOWPIN_CONFIG_PATH ")\n"
			    "  --socket PATH      flowpind's socket for mirrors (" FLOWPIN_MIRROR_PATH ")\n"
			    "  --log-level LEVEL  error, warning, notice, info or debug (info)\n"
			    "  --check            read and check the configuration, and end\n"
			    "  --version          print the version, and end\n"
			    "  --help             this text\n";

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct arguments *a)
{
	enum log_level level;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case OPT_CONFIG:
			a->config_path = optarg;
			break;
		case OPT_SOCKET:
			a->socket_path = optarg;
			break;
		case OPT_LOG_LEVEL:
			if (log_level_parse(optarg, &level) < 0) {
				fprintf(stderr,
					"flowpin-mirror: %s is no log level (error, warning, notice, info, debug)\n",
					optarg);
				return FLOWPIN_EXIT_FAILED;
			}
			log_set_level(level);
			break;
		case OPT_CHECK:
			a->check = true;
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			return FLOWPIN_EXIT_OK;
		case OPT_VERSION:
			puts("flowpin-mirror " FLOWPIN_VERSION);
			return FLOWPIN_EXIT_OK;
		default:
			fputs("flowpin-mirror: see flowpin-mirror --help\n", stderr);
			return FLOWPIN_EXIT_FAILED;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "flowpin-mirror: %s is not an option; see flowpin-mirror --help\n", argv[optind]);
		return FLOWPIN_EXIT_FAILED;
	}
	return -1;
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

/* Says once a minute what was dropped for a reason that a person should look at. */
static void drops_tell(struct source *s)
{
	static const enum mirror_drop notable[] = { MIRROR_DROP_FOREIGN, MIRROR_DROP_KEY,     MIRROR_DROP_GRE,
						    MIRROR_DROP_PROTOCOL, MIRROR_DROP_ERSPAN, MIRROR_DROP_TRUNCATED,
						    MIRROR_DROP_OVERRUN, MIRROR_DROP_HANDOFF };
	_cleanup_(strbuf_free) struct strbuf text = { 0 };
	uint32_t dropped;

	for (size_t i = 0; i < ARRAY_SIZE(notable); i++) {
		uint64_t n = s->counters.dropped[notable[i]] - s->told.dropped[notable[i]];

		if (n > 0)
			strbuf_addf(&text, "%s%llu %s", text.len ? ", " : "", (unsigned long long)n,
				    mirror_drop_name(notable[i]));
	}
	if (text.len == 0 || text.failed || !log_limit_pass(&s->limit_told, clock_now_ms(), &dropped))
		return;
	s->told = s->counters;
	log_warning("mirror of %s: dropped since this was last said: %s", s->config->name, text.data);
}

static void listen_later(struct event *timer, suseconds_t us)
{
	struct timeval tv = { .tv_usec = us };

	event_add(timer, &tv);
}

static void on_listen(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	event_add(arg, NULL);
}

static void receive_failed(struct source *s, int code)
{
	uint32_t dropped;

	if (code < 0 && log_limit_pass(&s->limit_error, clock_now_ms(), &dropped))
		log_warning("mirror of %s: %s", s->config->name, strerror(-code));
}

static void on_packets(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct source *s = arg;
	struct mirror *m = s->mirror;
	int n = RECEIVE_VECTOR;

	batch_reset(m->batch);
	for (int i = 0; i < READS_PER_WAKEUP && n == RECEIVE_VECTOR; i++)
		n = mirror_receiver_read(s->receiver, m->batch, &s->counters);
	receive_failed(s, n);
	if (m->batch->n > 0)
		handoff_flows(m->handoff, s->config->name, m->batch->records, m->batch->n, &s->counters);
	if (n == RECEIVE_VECTOR)
		event_add(s->ev_packets, NULL);
	else
		listen_later(s->ev_gather, GATHER_US);
}

static void on_foreign(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct source *s = arg;
	int n = RECEIVE_VECTOR;

	for (int i = 0; i < READS_PER_WAKEUP && n == RECEIVE_VECTOR; i++)
		n = mirror_receiver_foreign_read(s->receiver, &s->counters);
	receive_failed(s, n);
	listen_later(s->ev_pause, FOREIGN_PAUSE_US);
}

/* 0, also while the interface is missing; -ESTALE when only a new process can go on. */
static int source_bind(struct source *s, bool at_start)
{
	const struct switch_mirror *config = &s->config->mirror;
	char from[IP_ADDR_TEXT], to[IP_ADDR_TEXT];
	struct err e = { 0 };
	bool begins = at_start || s->missing_told;
	int r = mirror_receiver_bind(s->receiver, &e);

	if (r == 0 && begins)
		log_info("mirror of %s: receiving on %s from %s to %s, buffer %u KiB", s->config->name, config->ifname,
			 ip_addr_format(&config->source, from), ip_addr_format(&config->destination, to),
			 mirror_receiver_buffer(s->receiver) / 1024);
	else if (r < 0 && (r == -ESTALE || !s->missing_told))
		log_warning("mirror of %s: %s", s->config->name, e.text);
	s->missing_told = r < 0;
	return r == -ESTALE ? r : 0;
}

static void on_tick(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct mirror *m = arg;

	for (size_t i = 0; i < m->n_sources; i++) {
		struct source *s = &m->sources[i];

		if (source_bind(s, false) < 0) {
			log_notice("ending: a new interface takes a new socket, and there is no privilege left to open one");
			quit(m, FLOWPIN_EXIT_FAILED);
			return;
		}
		mirror_receiver_count(s->receiver, &s->counters);
		handoff_counters(m->handoff, s->config->name, &s->counters);
		drops_tell(s);
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
		log_warning("flowpind is not reached on %s: %s; trying again", m->arguments.socket_path, e->text);
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
		    memcmp(&a->switches[i].mirror, &b->switches[k].mirror, sizeof(a->switches[i].mirror)) != 0)
			return false;
		k++;
	}
	return true;
}

/* Without privileges no socket can be opened for a mirror that is new: the service manager starts the next process, which can. */
static void reload(struct mirror *m)
{
	_cleanup_(config_freep) struct config *config = NULL;
	struct err e = { 0 };

	if (config_load(m->arguments.config_path, &config, &e) < 0) {
		log_error("the configuration is refused, the running one stays: %s", e.text);
	} else if (mirrors_equal(m->config, config)) {
		log_info("the configuration was read again: the mirrors are the same");
	} else {
		log_notice("ending to be started again: the mirrors in %s have changed", m->arguments.config_path);
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

static int timer_open(struct mirror *m, event_callback_fn fn, uint64_t interval_us, struct event **ret_ev)
{
	struct timeval tv = { .tv_sec = (time_t)(interval_us / 1000000), .tv_usec = (suseconds_t)(interval_us % 1000000) };
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
	const struct handoff_options handoff = { .path = m->arguments.socket_path, .changed = on_handoff, .arg = m };
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
	if (timer_open(m, on_tick, TICK_MS * 1000, &m->ev_tick) < 0 ||
	    (watchdog && timer_open(m, on_watchdog, watchdog, &m->ev_watchdog) < 0))
		return err_set(e, -ENOMEM, "out of memory");
	return handoff_new(m->base, &handoff, &m->handoff, e);
}

/* All mirrors on the same interface, for those packets that belong to none of them. */
static size_t neighbours_of(const struct config *c, const char *ifname, struct mirror_pair *ret_pairs)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_switches && n < SWITCHES_MAX; i++) {
		const struct switch_mirror *s = &c->switches[i].mirror;

		if (s->present && strcmp(s->ifname, ifname) == 0)
			ret_pairs[n++] = (struct mirror_pair){ s->source, s->destination };
	}
	return n;
}

static int source_listen(struct source *s)
{
	struct event_base *base = s->mirror->base;

	s->ev_packets = event_new(base, mirror_receiver_fd(s->receiver), EV_READ, on_packets, s);
	s->ev_foreign = event_new(base, mirror_receiver_foreign_fd(s->receiver), EV_READ, on_foreign, s);
	if (!s->ev_packets || !s->ev_foreign)
		return -ENOMEM;
	s->ev_gather = evtimer_new(base, on_listen, s->ev_packets);
	s->ev_pause = evtimer_new(base, on_listen, s->ev_foreign);
	if (!s->ev_gather || !s->ev_pause)
		return -ENOMEM;
	event_priority_set(s->ev_packets, PRIORITY_RECEIVE);
	event_priority_set(s->ev_foreign, PRIORITY_FOREIGN);
	return event_add(s->ev_packets, NULL) < 0 || event_add(s->ev_foreign, NULL) < 0 ? -ENOMEM : 0;
}

static int source_open(struct mirror *m, struct source *s, const struct switch_config *config, struct err *e)
{
	const struct switch_mirror *c = &config->mirror;
	struct mirror_pair neighbours[SWITCHES_MAX];
	const struct mirror_receiver_options o = {
		.ifname = c->ifname,
		.pair = { c->source, c->destination },
		.neighbours = neighbours,
		.n_neighbours = neighbours_of(m->config, c->ifname, neighbours),
		.format = { .has_key = c->has_key, .key = c->key },
		.receive_buffer = RECEIVE_BUFFER,
	};
	int r;

	s->mirror = m;
	s->config = config;
	s->limit_told = s->limit_error = (struct log_limit){ .interval_ms = TOLD_EVERY_MS, .burst = 1 };
	r = mirror_receiver_new(&o, &s->receiver, e);
	if (r < 0)
		return err_wrap(e, "mirror of %s", config->name);
	return source_listen(s) < 0 ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* The one thing that needs a privilege, which is given up behind it, before the first packet is received. */
static int sources_open(struct mirror *m, struct err *e)
{
	int r = 0;

	m->sources = calloc(m->n_sources, sizeof(*m->sources));
	if (!m->sources)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0, k = 0; i < m->config->n_switches && r == 0; i++)
		if (m->config->switches[i].mirror.present)
			r = source_open(m, &m->sources[k++], &m->config->switches[i], e);
	if (r == 0)
		r = privilege_drop(e);
	for (size_t i = 0; i < m->n_sources && r == 0; i++)
		r = source_bind(&m->sources[i], true);
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

	for (size_t i = 0; m->sources && i < m->n_sources; i++) {
		struct source *s = &m->sources[i];
		struct event *list[] = { s->ev_packets, s->ev_foreign, s->ev_gather, s->ev_pause };

		events_free(list, ARRAY_SIZE(list));
		mirror_receiver_free(s->receiver);
	}
	handoff_free(m->handoff);
	events_free(m->ev_signals, ARRAY_SIZE(m->ev_signals));
	events_free(own, ARRAY_SIZE(own));
	if (m->base)
		event_base_free(m->base);
	free(m->sources);
	free(m->batch);
}

static int run(struct mirror *m, struct err *e)
{
	int r;

	m->n_sources = mirrors_count(m->config);
	if (m->n_sources == 0)
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
	struct mirror m = { .arguments = { .config_path = FLOWPIN_CONFIG_PATH, .socket_path = FLOWPIN_MIRROR_PATH } };
	_cleanup_(config_freep) struct config *config = NULL;
	struct err e = { 0 };
	int r;

	r = parse(argc, argv, &m.arguments);
	if (r >= 0)
		return r;
	r = config_load(m.arguments.config_path, &config, &e);
	if (r < 0) {
		log_error("%s", e.text);
		return m.arguments.check ? FLOWPIN_EXIT_REFUSED : FLOWPIN_EXIT_FAILED;
	}
	if (m.arguments.check) {
		printf("%s: %zu mirrors, in order\n", m.arguments.config_path, mirrors_count(config));
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
