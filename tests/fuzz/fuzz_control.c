// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/clock.h"
#include "control/json.h"
#include "daemon/drain.h"
#include "daemon/intent.h"
#include "fuzz/daemon_world.h"

/* The control socket as flowpind serves it: what a client sends, up to the framing, to the real
 * methods. Every answer is one object of JSON and a NUL. Time passes at the end. */

static void check_answers(const struct world *w)
{
	const char *end = memchr(w->out, '\0', w->n_out);
	struct json_object *o;

	if (w->received != w->n_out || !end)
		return;
	o = json_tokener_parse(w->out);
	FUZZ_CHECK(json_object_is_type(o, json_type_object));
	FUZZ_CHECK(json_object_object_get_ex(o, "parameters", NULL) ||
		   json_object_object_get_ex(o, "error", NULL));
	json_object_put(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	uint64_t now;

	world_begin(&w);
	world_connect(&w, w.d.server);
	world_send(&w, data, size);
	check_answers(&w);
	now = clock_now_ms();
	for (int i = 1; i <= 3; i++) {
		drain_tick(&w.d, now + (uint64_t)i * 40000);
		intent_apply(&w.d, now + (uint64_t)i * 40000);
		world_run(&w);
	}
	world_end(&w);
	return 0;
}
