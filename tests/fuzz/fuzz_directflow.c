// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "eapi/facts.h"
#include "eapi/reading.h"
#include "eapi/reconciler.h"
#include "fuzz/switch_fixture.h"

/* `show directflow detail` as JSON and as text: a byte (which switch), the JSON up to a NUL, the
 * text up to a NUL; then again, for the next reading. What was read goes to a reconciler with a
 * few wishes, which says what it would write. */

#define READINGS 4

static bool resolve(void *arg _unused_, struct flow_target *t)
{
	snprintf(t->interface, sizeof(t->interface), "Ethernet42");
	snprintf(t->mac, sizeof(t->mac), "00:00:00:00:00:03");
	t->vlan = 10;
	return true;
}

static bool nexthop_of(void *arg _unused_, uint8_t family, const char *mac,
		       const char *interface _unused_, struct ip_addr *ret_nexthop)
{
	return mac[0] && family == AF_INET && ip_addr_parse("34.34.34.4", ret_nexthop) == 0;
}

static struct reconciler *reconciler_begin(const struct switch_config *s)
{
	static const uint64_t key[2] = { 1, 2 };
	static const struct reconciler_resolver resolver = { .resolve = resolve,
							     .nexthop = nexthop_of };
	struct wish w = { .tuple = { .src = { 12, 12, 12, 1 },
				     .dst = { 1, 1, 1, 1 },
				     .sport = 30001,
				     .dport = 80,
				     .family = AF_INET,
				     .proto = IPPROTO_TCP },
			  .version = 1,
			  .present = true };
	struct reconciler *r = NULL;

	FUZZ_CHECK(reconciler_new(s, &resolver, key, &r) == 0);
	FUZZ_CHECK(ip_addr_parse("34.34.34.4", &w.nexthop) == 0);
	reconciler_set_prefix(r, "fp-1-");
	reconciler_snapshot_begin(r);
	for (int i = 0; i < 3; i++) {
		FUZZ_CHECK(reconciler_wish(r, &w, 1000) == 0);
		w.tuple.sport++;
	}
	reconciler_snapshot_end(r);
	return r;
}

static void check_reading(const struct reading *reading)
{
	for (size_t i = 0; i < reading->n; i++) {
		const struct flow_reading *f = &reading->flow[i];

		FUZZ_CHECK(reading_find(reading, &f->tuple) == f);
		FUZZ_CHECK(memchr(f->text, '\0', sizeof(f->text)) &&
			   memchr(f->interface, '\0', sizeof(f->interface)) &&
			   memchr(f->mac, '\0', sizeof(f->mac)));
	}
}

static void act(struct reconciler *r, struct write_batch *b, uint64_t now_ms)
{
	struct reconciler_summary summary;
	struct observation o;
	size_t position = 0;

	for (int i = 0; i < 4 && reconciler_next(r, 5, now_ms, b); i++) {
		FUZZ_CHECK(b->commands.n > 0 && !b->commands.failed);
		(void)reconciler_done(r, b, i % 2 ? BATCH_UNKNOWN : BATCH_DONE, NULL, now_ms);
		write_batch_clear(b);
	}
	while (reconciler_report(r, now_ms % 2, &position, now_ms, &o))
		FUZZ_CHECK(o.text && observation_state_name(o.state));
	reconciler_summarize(r, now_ms, &summary);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct config *c = fuzz_switches();
	struct fuzz_input in = { data, size };
	const struct switch_config *s = &c->switches[fuzz_number(&in, 1) % c->n_switches];
	struct reconciler *r = reconciler_begin(s);
	struct reading reading = { .index.key = { 3, 4 } };
	struct write_batch batch = { 0 };
	uint64_t now = 100001;

	for (int i = 0; i < READINGS && in.size > 0; i++, now += 60001) {
		size_t len;
		_cleanup_(freep) char *json = fuzz_text(&in, '\0', &len);
		_cleanup_(freep) char *text = fuzz_text(&in, '\0', NULL);
		_cleanup_(eapi_json_putp) struct json_object *model = NULL;

		reading_clear(&reading);
		if (eapi_json_parse(json, len, &model) == 0)
			(void)reading_add_json(&reading, s, "fp-1-", model);
		if (text[0])
			FUZZ_CHECK(reading_add_text(&reading, s, "fp-1-", text));
		check_reading(&reading);
		if (reconciler_read(r, &reading, now, now + 10) == 0)
			act(r, &batch, now + 20);
	}
	reading_clear(&reading);
	tuple_index_clear(&reading.index);
	free(reading.flow);
	write_batch_clear(&batch);
	reconciler_free(r);
	return 0;
}
