// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/clock.h"
#include "fuzz/daemon_world.h"

/* io.flowpin.Switch, flowpind's side: what flowpin-eapi sends. A byte says whether Attach with the
 * right digest goes first, and for which switch; time passes at the end. */

static void attach(struct world *w, const struct switch_state *s)
{
	char text[300];
	int n = snprintf(text, sizeof(text),
			 "{\"method\":\"io.flowpin.Switch.Attach\",\"parameters\":{\"switch\":"
			 "\"%s\",\"api\":1,\"config_digest\":\"%s\"}}",
			 s->config->name, s->digest);

	world_send(w, text, (size_t)n + 1);
	FUZZ_CHECK(s->connection != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct fuzz_input in = { data, size };
	uint8_t what = (uint8_t)fuzz_number(&in, 1);
	uint64_t now;

	world_begin(&w);
	world_connect(&w, w.d.switches->server);
	if (what & 1)
		attach(&w, w.d.switches->list[what >> 1 & 1]);
	world_send(&w, in.data, in.size);
	now = clock_now_ms();
	for (uint64_t i = 1; i <= 3; i++) {
		switches_tick(&w.d, now + i * 40000);
		world_run(&w);
	}
	world_end(&w);
	return 0;
}
