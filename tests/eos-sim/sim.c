// SPDX-License-Identifier: GPL-2.0-or-later
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane.h"

struct sim *sim_new(void)
{
	struct sim *sim = need(calloc(1, sizeof(*sim)));

	pthread_mutex_init(&sim->lock, NULL);
	pthread_mutex_init(&sim->agent, NULL);
	pthread_cond_init(&sim->written, NULL);
	knobs_init(&sim->knobs);
	sim->random = (uint64_t)wall_ms() ^ (uint64_t)getpid() << 40;
	sim->booted_wall_ms = wall_ms() - 3600 * 1000;
	return sim;
}

static void remove_config_sessions(struct sim *sim)
{
	while (sim->config_sessions) {
		struct config_session *s = sim->config_sessions;

		sim->config_sessions = s->next;
		for (size_t i = 0; i < s->n; i++)
			free(s->lines[i]);
		free(s->lines);
		free(s);
	}
}

/* Lists whose elements begin with their link. */
static void free_list(void *first)
{
	while (first) {
		void *next = *(void **)first;

		free(first);
		first = next;
	}
}

void sim_clear_replies(struct sim *sim)
{
	while (sim->canned) {
		struct canned *r = sim->canned;

		sim->canned = r->next;
		regfree(&r->command);
		json_object_put(r->reply);
		free(r);
	}
}

void sim_free(struct sim *sim)
{
	table_clear(sim, false);
	remove_config_sessions(sim);
	sim_clear_replies(sim);
	fault_clear(&sim->faults);
	for (size_t i = 0; i < sim->journal.n; i++)
		free(sim->journal.v[i].command);
	free(sim->journal.v);
	free_list(sim->tables.interfaces);
	free_list(sim->tables.routes);
	free_list(sim->tables.neighbours);
	free_list(sim->tables.macs);
	free(sim->running_extra);
	free(sim->web);
	free(sim);
}

void sim_reboot(struct sim *sim, long down_ms)
{
	table_empty_hardware(sim);
	table_clear(sim, true);
	sim->table.shut = sim->startup.shut;
	remove_config_sessions(sim);
	*sim->lock_holder = '\0';
	sim->down_until = clock_ms() + down_ms;
	sim->table.agent_back_at = sim->down_until;
	sim->booted_wall_ms = wall_ms() + down_ms;
	sim->clock_step_ms = 0;
	sim->dark = !sim->knobs.reboot_forwards;
	if (sim->dark)
		dataplane_set_forwarding(sim->dataplane, false);
	dataplane_sync(sim->dataplane, &sim->table);
}

void sim_restart_agent(struct sim *sim, long down_ms)
{
	if (!sim->knobs.agent_keeps_hardware) {
		table_empty_hardware(sim);
		dataplane_sync(sim->dataplane, &sim->table);
	}
	sim->table.agent_back_at = clock_ms() + down_ms;
}

double sim_boot_timestamp(struct sim *sim)
{
	int64_t wobble = sim->knobs.boot_wobble_ms;

	if (wobble > 0)
		wobble = (int64_t)(random_next(&sim->random) % (uint64_t)(2 * wobble + 1)) - wobble;
	return (double)(sim->booted_wall_ms + sim->clock_step_ms + wobble) / 1000;
}

void journal_add(struct sim *sim, uint64_t request, const char *user, const char *command, int code)
{
	struct journal *j = &sim->journal;
	struct journal_line *line;

	sim->counters.commands++;
	sim->counters.failures += code != 0;
	if (j->n == JOURNAL_MAX) {
		for (size_t i = 0; i < JOURNAL_MAX / 2; i++)
			free(j->v[i].command);
		memmove(j->v, j->v + JOURNAL_MAX / 2, JOURNAL_MAX / 2 * sizeof(*j->v));
		j->n -= JOURNAL_MAX / 2;
		j->lost += JOURNAL_MAX / 2;
	}
	if (j->n == j->allocated) {
		j->allocated = j->allocated ? 2 * j->allocated : 1024;
		j->v = need(realloc(j->v, j->allocated * sizeof(*j->v)));
	}
	line = &j->v[j->n++];
	*line = (struct journal_line){
		.serial = ++j->serials, .request = request, .at_ms = clock_ms(), .code = code
	};
	set_text(line->user, sizeof(line->user), user);
	line->command = copy_text(command);
}

void sim_settle(struct sim *sim)
{
	while (sim->writing)
		pthread_cond_wait(&sim->written, &sim->lock);
}

void *sim_clockwork(void *p)
{
	struct sim *sim = p;

	for (;;) {
		pthread_mutex_lock(&sim->lock);
		if (sim->stop) {
			pthread_mutex_unlock(&sim->lock);
			return NULL;
		}
		if (sim->dark && clock_ms() >= sim->down_until) {
			dataplane_set_forwarding(sim->dataplane, true);
			sim->dark = false;
		}
		tables_refresh(sim, 200);
		table_tick(sim, clock_ms());
		pthread_mutex_unlock(&sim->lock);
		sleep_ms(5);
	}
}
