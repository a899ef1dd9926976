// SPDX-License-Identifier: GPL-2.0-or-later
/* eos-sim: a switch that speaks eAPI. See README.md. */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "dataplane.h"
#include "mirror.h"
#include "web.h"

struct options {
	const char *http[4], *https[4], *control, *certificate, *key;
	size_t n_http, n_https;
	bool dataplane;
};

static const char usage[] =
	"usage: eos-sim [--http ADDR:PORT]... [--https ADDR:PORT --cert FILE --key FILE] "
	"[--control PATH|ADDR:PORT]\n"
	"               [--personality SEED] [--set KNOB=VALUE]... [--dataplane] [--knobs]\n"
	"Port 0 takes a free one. Everything is printed on stdout, one line each; the last is "
	"\"ready\".\n"
	"Knobs (--knobs prints them all):\n";

static const struct option long_options[] = {
	{ "http", required_argument, NULL, 'h' },
	{ "https", required_argument, NULL, 's' },
	{ "cert", required_argument, NULL, 'c' },
	{ "key", required_argument, NULL, 'k' },
	{ "control", required_argument, NULL, 'C' },
	{ "personality", required_argument, NULL, 'p' },
	{ "set", required_argument, NULL, 'S' },
	{ "dataplane", no_argument, NULL, 'd' },
	{ "knobs", no_argument, NULL, 'K' },
	{ "help", no_argument, NULL, 'K' },
	{ NULL, 0, NULL, 0 },
};

static bool set_knob(struct sim *sim, char *assignment)
{
	char *equals = strchr(assignment, '=');
	bool good;

	if (!equals)
		return false;
	*equals = '\0';
	good = knobs_set(&sim->knobs, assignment, equals + 1);
	*equals = '=';
	return good;
}

/* Returns -1 to go on, or the exit status. */
static int parse_options(int argc, char **argv, struct sim *sim, struct options *o)
{
	int option;
	long seed;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'h' && o->n_http < 4)
			o->http[o->n_http++] = optarg;
		else if (option == 's' && o->n_https < 4)
			o->https[o->n_https++] = optarg;
		else if (option == 'c')
			o->certificate = optarg;
		else if (option == 'k')
			o->key = optarg;
		else if (option == 'C')
			o->control = optarg;
		else if (option == 'd')
			o->dataplane = true;
		else if (option == 'p' && parse_number(optarg, 0, 1L << 40, &seed))
			knobs_draw(&sim->knobs, (uint64_t)seed);
		else if (option == 'S' && set_knob(sim, optarg))
			continue;
		else {
			bool asked = option == 'K';

			if (!asked && (option == 'p' || option == 'S'))
				fprintf(stderr, "eos-sim: not a value: %s\n", optarg);
			fputs(usage, asked ? stdout : stderr);
			if (asked)
				knobs_print(&sim->knobs, stdout, true);
			return asked ? 0 : 2;
		}
	}
	return -1;
}

static char *read_file(const char *path)
{
	FILE *file = path ? fopen(path, "r") : NULL;
	struct text text;
	char part[4096];
	size_t n;

	if (!file)
		return NULL;
	text_open(&text);
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		fwrite(part, 1, n, text.out);
	fclose(file);
	return text_close(&text);
}

static int serve(struct sim *sim, const struct options *o, const sigset_t *signals)
{
	char *certificate = read_file(o->certificate), *key = read_file(o->key);
	struct web_listener *webs[8] = { NULL };
	struct control *control = o->control ? control_start(sim, o->control) : NULL;
	bool good = !o->control || control;
	pthread_t clockwork;
	size_t n = 0;
	int number;

	for (size_t i = 0; good && i < o->n_http; i++)
		good = (webs[n++] = web_start(sim, o->http[i], NULL, NULL)) != NULL;
	for (size_t i = 0; good && i < o->n_https; i++) {
		good = certificate && key &&
		       (webs[n++] = web_start(sim, o->https[i], certificate, key)) != NULL;
		if (!certificate || !key)
			fputs("eos-sim: --https needs --cert and --key\n", stderr);
	}
	pthread_create(&clockwork, NULL, sim_clockwork, sim);
	if (good) {
		knobs_print(&sim->knobs, stdout, false);
		puts("ready");
		fflush(stdout);
		sigwait(signals, &number);
	}
	pthread_mutex_lock(&sim->lock);
	sim->stop = true;
	pthread_mutex_unlock(&sim->lock);
	pthread_join(clockwork, NULL);
	while (n > 0)
		web_stop(webs[--n]);
	control_stop(control);
	mirror_stop(sim);
	free(certificate);
	free(key);
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct sim *sim = sim_new();
	int status = parse_options(argc, argv, sim, &options);
	sigset_t signals;

	if (status >= 0) {
		sim_free(sim);
		return status;
	}
	signal(SIGPIPE, SIG_IGN);
	/* A table of thousands of flows is built as JSON again and again: its memory is kept, not
	 * returned and faulted in each time. */
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_ARENA_MAX, 2);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	sim->web = web_new();
	sim->startup.shut = sim->table.shut = sim->knobs.shutdown_at_boot;
	if (options.dataplane) {
		sim->dataplane = dataplane_new(sim);
		if (!sim->dataplane) {
			sim_free(sim);
			return 1;
		}
	}
	status = serve(sim, &options, &signals);
	dataplane_free(sim->dataplane);
	sim->dataplane = NULL;
	sim_free(sim);
	return status;
}
