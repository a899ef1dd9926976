/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "eapi/reconciler.h"
#include "eapi_fixture.h"

#define NEXTHOP "34.34.34.4"
#define OTHER	"23.23.23.3"

/* A switch that remembers what it was told, in so far as these tests need it. */
struct world {
	struct config *config;
	struct reconciler *r;
	uint64_t now;
	bool resolves;
};

static inline _unused_ bool resolve(void *arg, struct flow_target *t)
{
	struct world *w = arg;

	snprintf(t->interface, sizeof(t->interface), "Ethernet42");
	snprintf(t->mac, sizeof(t->mac), "00:00:00:00:00:03");
	return w->resolves;
}

static inline _unused_ bool nexthop_of(void *arg _unused_, uint8_t family _unused_,
				       const char *mac _unused_, const char *interface _unused_,
				       struct ip_addr *ret_nexthop _unused_)
{
	return false;
}

static inline _unused_ void setup(struct world *w, const char *more)
{
	static const uint64_t key[2] = { 1, 2 };
	struct reconciler_resolver resolver = { .resolve = resolve,
						.nexthop = nexthop_of,
						.arg = w };

	*w = (struct world){ .config = eapi_config(more), .now = 1000000, .resolves = true };
	assert_int_equal(reconciler_new(w->config->switches, &resolver, key, &w->r), 0);
	reconciler_set_prefix(w->r, "fp-1-");
	reconciler_snapshot_begin(w->r);
	reconciler_snapshot_end(w->r);
}

static inline _unused_ void teardown(struct world *w)
{
	reconciler_free(w->r);
	config_free(w->config);
}

static inline _unused_ struct tuple flow(uint16_t n)
{
	return eapi_tuple("12.12.12.1", n, "1.1.1.1", 80, IPPROTO_TCP);
}

static inline _unused_ void wish(struct world *w, uint16_t n, int64_t version, const char *nexthop)
{
	struct wish x = { .tuple = flow(n), .version = version, .present = nexthop != NULL };

	if (nexthop)
		x.nexthop = eapi_addr(nexthop);
	assert_int_equal(reconciler_wish(w->r, &x, w->now), 0);
}

/* One reading of flows first .. last - 1 that began at begin_ms. */
static inline _unused_ void read_at(struct world *w, uint64_t begin_ms, uint16_t first,
				    uint16_t last, const char *status, const char *nexthop,
				    uint64_t packets, bool text)
{
	struct reading reading = { .index.key = { 5, 6 } };
	struct strbuf b = { 0 };

	strbuf_adds(&b, "{\"flows\":[");
	for (uint16_t i = first; i < last; i++)
		strbuf_addf(&b,
			    "%s{\"name\":\"fp-1-tcp-12_12_12_1-%u-1_1_1_1-80\",\"matchPackets\":%"
			    "llu,\"matchBytes\":1%s%s%s}",
			    i > first ? "," : "", i, (unsigned long long)packets,
			    nexthop ? ",\"action\":{\"outputNexthop\":\"" : "",
			    nexthop ? nexthop : "", nexthop ? "\"}" : "");
	strbuf_adds(&b, "],\"details\":{\"status\":{");
	for (uint16_t i = first; i < last; i++)
		strbuf_addf(&b, "%s\"fp-1-tcp-12_12_12_1-%u-1_1_1_1-80\":\"%s\"",
			    i > first ? "," : "", i, status);
	strbuf_adds(&b, "}}}");
	{
		_cleanup_(eapi_json_putp) struct json_object *o = eapi_json(b.data);

		assert_true(reading_add_json(&reading, w->config->switches, "fp-1-", o));
	}
	reading.text = text;
	assert_int_equal(reconciler_read(w->r, &reading, begin_ms, w->now), 0);
	reading_clear(&reading);
	strbuf_free(&b);
}

/* The same, some time later. */
static inline _unused_ void read_flows(struct world *w, uint16_t first, uint16_t last,
				       const char *status, const char *nexthop, uint64_t packets,
				       bool text)
{
	w->now += 5000;
	read_at(w, w->now - 100, first, last, status, nexthop, packets, text);
}

static inline _unused_ const char *state_of(struct world *w, uint16_t n, const char **ret_text)
{
	struct tuple t = flow(n);
	struct observation o;
	size_t at = 0;

	while (reconciler_report(w->r, true, &at, w->now, &o)) {
		if (memcmp(&o.tuple, &t, sizeof(t)) != 0)
			continue;
		if (ret_text)
			*ret_text = o.text;
		return observation_state_name(o.state);
	}
	return "none";
}

/* The next batch has `adds` or `deletes` flows; it ends as told. */
static inline _unused_ void batch(struct world *w, enum batch_kind kind, size_t n,
				  enum batch_outcome outcome, size_t at, int code)
{
	struct batch_failure failure = { .at = at, .code = code, .text = "Invalid input" };
	struct write_batch b = { 0 };

	assert_int_equal(reconciler_next(w->r, 20, w->now, &b), n > 0);
	if (n > 0) {
		assert_int_equal(b.kind, kind);
		assert_int_equal(b.n, n);
		w->now += 10;
		reconciler_done(w->r, &b, outcome, &failure, w->now);
	}
	write_batch_clear(&b);
}

static inline _unused_ void place(struct world *w, uint16_t n)
{
	for (uint16_t i = 1; i <= n; i++)
		wish(w, i, i, NEXTHOP);
	for (uint16_t left = n; left > 0; left = left > 20 ? (uint16_t)(left - 20) : 0)
		batch(w, BATCH_ADD, left > 20 ? 20 : left, BATCH_DONE, 0, 0);
}
