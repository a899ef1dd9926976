// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/notify.h"
#include "base/options.h"
#include "config/config.h"
#include "eapi/agent.h"
#include "eapi/seam.h"
#include "flowpin/flowpin.h"

struct arguments {
	const char *config_path, *socket_path;
	bool check;
};

struct eapi {
	struct arguments arguments;
	struct event_base *base;
	struct config *config;
	struct http *http;
	struct agent *agents[SWITCHES_MAX];
	struct seam *seams[SWITCHES_MAX];
	struct event *ev_watchdog, *ev_signals[4];
};

/* As options_parse(). */
static int parse(int argc, char **argv, struct arguments *a)
{
	const struct option_row rows[] = {
		{ "config", "FILE", "the configuration", &a->config_path, NULL },
		{ "socket", "PATH", "flowpind's socket for its daemons", &a->socket_path, NULL },
		{ "check", NULL, "read and check the configuration, and end", NULL, &a->check },
	};
	const struct option_table table = {
		"flowpin-eapi", FLOWPIN_VERSION,
		"Mirrors flowpind's pins into the DirectFlow tables of Arista switches.", rows,
		ARRAY_SIZE(rows)
	};

	return options_parse(&table, argc, argv);
}

static void switches_close(struct eapi *x)
{
	for (size_t i = 0; i < SWITCHES_MAX; i++) {
		x->seams[i] = seam_free(x->seams[i]);
		x->agents[i] = agent_free(x->agents[i]);
	}
	x->http = http_free(x->http);
}

static int switches_open(struct eapi *x, struct err *e)
{
	int r = http_new(x->base, &x->http);

	if (r < 0)
		return err_set(e, r, "libcurl does not start");
	for (size_t i = 0; i < x->config->n_switches; i++) {
		r = agent_new(x->base, x->http, x->config, &x->config->switches[i], &x->agents[i],
			      e);
		if (r < 0)
			return r;
		r = seam_new(x->base, x->arguments.socket_path, x->agents[i], &x->seams[i]);
		if (r < 0)
			return err_set(e, r, "out of memory");
	}
	return 0;
}

/* Everything anew: what a switch holds is read again, and flowpind sends a snapshot. */
static void reload(struct eapi *x)
{
	struct config *config = NULL;
	struct err e = { 0 };

	notify_send("RELOADING=1");
	if (config_load(x->arguments.config_path, &config, &e) < 0) {
		log_error("the configuration is refused, the running one stays: %s", e.text);
	} else {
		switches_close(x);
		config_free(x->config);
		x->config = config;
		if (switches_open(x, &e) < 0) {
			log_error("%s", e.text);
			event_base_loopbreak(x->base);
			return;
		}
		log_notice("configuration read again: %zu switches", config->n_switches);
	}
	notify_send("READY=1");
}

static void on_signal(evutil_socket_t number, short what _unused_, void *arg)
{
	struct eapi *x = arg;

	/* A library's write to a peer that is gone: the error is enough. */
	if (number == SIGPIPE)
		return;
	if (number == SIGHUP) {
		reload(x);
		return;
	}
	log_info("ending on signal %d", (int)number);
	event_base_loopbreak(x->base);
}

static void on_watchdog(evutil_socket_t fd _unused_, short what _unused_, void *arg _unused_)
{
	notify_send("WATCHDOG=1");
}

static int loop_open(struct eapi *x, struct err *e)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	uint64_t watchdog = notify_watchdog_us() / 3;
	struct timeval tv = { .tv_sec = (time_t)(watchdog / 1000000),
			      .tv_usec = (suseconds_t)(watchdog % 1000000) };

	x->base = event_base_new();
	if (!x->base)
		return err_set(e, -ENOMEM, "no event loop");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		x->ev_signals[i] = evsignal_new(x->base, numbers[i], on_signal, x);
		if (!x->ev_signals[i] || event_add(x->ev_signals[i], NULL) < 0)
			return err_set(e, -ENOMEM, "out of memory");
	}
	if (watchdog == 0)
		return 0;
	x->ev_watchdog = event_new(x->base, -1, EV_PERSIST, on_watchdog, x);
	if (!x->ev_watchdog || event_add(x->ev_watchdog, &tv) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

static void stop(struct eapi *x)
{
	switches_close(x);
	for (size_t i = 0; i < ARRAY_SIZE(x->ev_signals); i++)
		if (x->ev_signals[i])
			event_free(x->ev_signals[i]);
	if (x->ev_watchdog)
		event_free(x->ev_watchdog);
	if (x->base)
		event_base_free(x->base);
	config_free(x->config);
}

static int run(struct eapi *x, struct err *e)
{
	int r;

	if (x->config->n_switches == 0)
		return err_set(e, -ENOENT, "%s: there is no switch", x->arguments.config_path);
	r = loop_open(x, e);
	if (r == 0)
		r = switches_open(x, e);
	if (r < 0)
		return r;
	log_info("ready: %zu switches", x->config->n_switches);
	notify_send("READY=1");
	event_base_dispatch(x->base);
	notify_send("STOPPING=1");
	return 0;
}

int main(int argc, char **argv)
{
	struct eapi x = { .arguments = { .config_path = FLOWPIN_CONFIG_PATH,
					 .socket_path = FLOWPIN_DAEMON_PATH } };
	struct err e = { 0 };
	int r;

	r = parse(argc, argv, &x.arguments);
	if (r != 0)
		return r < 0 ? FLOWPIN_EXIT_FAILED : FLOWPIN_EXIT_OK;
	r = config_load(x.arguments.config_path, &x.config, &e);
	if (r == 0 && x.arguments.check)
		printf("%s: %zu switches, in order\n", x.arguments.config_path,
		       x.config->n_switches);
	else if (r == 0)
		r = run(&x, &e);
	stop(&x);
	if (r == 0)
		return FLOWPIN_EXIT_OK;
	log_error("%s", e.text);
	return x.arguments.check ? FLOWPIN_EXIT_REFUSED : FLOWPIN_EXIT_FAILED;
}
