// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/lookup.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include "eapi/facts.h"

#define REQUESTS_MAX	 40 /* for one question, whatever the switch answers */
#define FAILURES_MAX	 3
#define CODE_UNCONVERTED 1003 /* there is no model: ask for text */

int lookup_new(const struct switch_config *config, struct watch *watch,
	       const struct topology *topology, int64_t question, struct lookup **ret_lookup)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->config = config;
	l->watch = watch;
	l->topology = topology;
	l->question = question;
	*ret_lookup = l;
	return 0;
}

static void forget_routes(struct lookup *l)
{
	for (size_t i = 0; i < l->n_dst; i++) {
		vias_clear(&l->dst[i].before);
		vias_clear(&l->dst[i].after);
		l->dst[i].has_before = l->dst[i].has_after = false;
	}
}

static void forget_paths(struct lookup *l)
{
	for (size_t i = 0; i < l->n; i++) {
		l->flow[i].path[0] = '\0';
		l->flow[i].misled = false;
	}
}

struct lookup *lookup_free(struct lookup *l)
{
	if (l) {
		forget_routes(l);
		free(l);
	}
	return NULL;
}

bool lookup_add(struct lookup *l, const struct tuple *t, uint64_t seen_ms)
{
	struct ip_addr dst = tuple_dst(t), src = tuple_src(t);
	const char *ingress = l->config->ingress_interface, *guess = NULL;
	struct lookup_flow *f;
	uint32_t i = 0;

	if (l->n == LOOKUP_FLOWS)
		return false;
	while (i < l->n_dst && !ip_addr_equal(&l->dst[i].addr, &dst))
		i++;
	if (i == l->n_dst)
		l->dst[l->n_dst++].addr = dst;
	f = &l->flow[l->n++];
	*f = (struct lookup_flow){ .tuple = *t, .seen_ms = seen_ms, .dst = i };
	/* In text a path costs a request of its own: not for a guess. */
	if (!ingress[0] && !l->by_text)
		guess = ingress_guess(&l->watch->ingress, &src);
	f->guessed = guess != NULL;
	snprintf(f->ingress, sizeof(f->ingress), "%s", guess ? guess : ingress);
	return true;
}

static _printf_(2, 3) void uncertain(struct lookup_flow *f, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (f->done)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	eapi_clean_text(text, f->why, sizeof(f->why));
	f->nexthop = (struct ip_addr){ 0 };
	f->done = true;
}

void lookup_fail(struct lookup *l, const char *why)
{
	for (size_t i = 0; i < l->n; i++)
		uncertain(&l->flow[i], "%s", why);
}

void lookup_break(struct lookup *l, const char *why)
{
	for (size_t i = 0; i < l->n; i++)
		l->flow[i].again = !l->flow[i].done;
	lookup_fail(l, why);
}

static void add(struct lookup *l, struct commands *c, enum lookup_what what, uint32_t index,
		const char *text)
{
	commands_add(c, text);
	l->command[l->n_commands++] = (struct lookup_command){ .what = what, .index = index };
}

static void add_routes(struct lookup *l, struct commands *c, enum lookup_what what,
		       const bool *wanted)
{
	char text[160];

	for (uint32_t i = 0; i < l->n_dst; i++)
		if (wanted[i])
			add(l, c, what, i,
			    watch_route_command(&l->dst[i].addr, l->config->vrf, text,
						sizeof(text)));
}

static bool add_path(struct lookup *l, struct commands *c, uint32_t index)
{
	const struct lookup_flow *f = &l->flow[index];
	struct ip_addr a = tuple_src(&f->tuple), b = tuple_dst(&f->tuple);
	char src[IP_ADDR_TEXT], dst[IP_ADDR_TEXT], proto[8], sport[8], dport[8];
	const struct command_word words[] = {
		{ "ingress", f->ingress },
		{ "src", ip_addr_format(&a, src) },
		{ "dst", ip_addr_format(&b, dst) },
		{ "proto", proto },
		{ "sport", sport },
		{ "dport", dport },
	};

	snprintf(proto, sizeof(proto), "%u", f->tuple.proto);
	snprintf(sport, sizeof(sport), "%u", f->tuple.sport);
	snprintf(dport, sizeof(dport), "%u", f->tuple.dport);
	commands_add_template(c,
			      f->tuple.family == AF_INET6 ? l->config->lookup6 : l->config->lookup4,
			      words, ARRAY_SIZE(words));
	l->command[l->n_commands++] =
		(struct lookup_command){ .what = LOOKUP_PATH, .index = index };
	return !c->failed;
}

/* Whether the known route to a destination has several nexthops; then its path is asked for at
 * once. */
static bool has_several(const struct lookup *l, const struct lookup_dst *d)
{
	const struct vias *known = watch_route(l->watch, &d->addr);

	return d->has_before ? d->before.n > 1 : known && known->n > 1;
}

static bool wants_path(const struct lookup *l, const struct lookup_flow *f)
{
	return !f->done && l->config->lookup && has_several(l, &l->dst[f->dst]);
}

static bool wants_source(const struct lookup *l, const struct lookup_flow *f)
{
	return wants_path(l, f) && (!f->ingress[0] || f->guessed);
}

/* Whether the way back to the other one's source is what this flow waits for, too. */
static bool shares_source(const struct lookup *l, const struct lookup_flow *f,
			  const struct lookup_flow *of)
{
	struct ip_addr a = tuple_src(&f->tuple), b = tuple_src(&of->tuple);

	return wants_source(l, f) && ip_addr_equal(&a, &b);
}

/* The flow that asks for all of this one's source; this one wants it, too. */
static uint32_t first_of_source(const struct lookup *l, const struct lookup_flow *f)
{
	uint32_t i = 0;

	while (!shares_source(l, &l->flow[i], f))
		i++;
	return i;
}

/* The way back to the sources of flows of which nobody knows where they come in. */
static void add_sources(struct lookup *l, struct commands *c)
{
	char text[160];

	for (uint32_t i = 0; i < l->n; i++) {
		const struct lookup_flow *f = &l->flow[i];
		struct ip_addr src = tuple_src(&f->tuple);

		if (wants_source(l, f) && first_of_source(l, f) == i)
			add(l, c, LOOKUP_SOURCE, i,
			    watch_route_command(&src, l->config->vrf, text, sizeof(text)));
	}
}

static size_t add_paths(struct lookup *l, struct commands *c)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->n && n < l->config->lookup_batch; i++) {
		const struct lookup_flow *f = &l->flow[i];

		if (!wants_path(l, f) || !f->ingress[0] || f->path[0] ||
		    (l->by_text && !l->dst[f->dst].has_before))
			continue;
		add_path(l, c, i);
		n++;
	}
	return n;
}

/* Routes, paths and routes again in one request. The routes of flows with one nexthop are the
 * answer. */
static void next_in_one(struct lookup *l, struct commands *c, const bool *wanted)
{
	forget_paths(l);
	add_routes(l, c, LOOKUP_BEFORE, wanted);
	add_sources(l, c);
	if (add_paths(l, c) > 0)
		add_routes(l, c, LOOKUP_AFTER, wanted);
	forget_routes(l);
}

/* One after the other. */
static bool next_by_text(struct lookup *l, struct commands *c, const bool *wanted)
{
	bool asked[LOOKUP_FLOWS] = { false }, any = false;

	if (add_paths(l, c) > 0)
		return true;
	for (size_t i = 0; i < l->n; i++) {
		if (l->flow[i].done || !l->flow[i].path[0])
			continue;
		asked[l->flow[i].dst] = any = true;
	}
	if (any) {
		add_routes(l, c, LOOKUP_AFTER, asked);
		return false;
	}
	add_routes(l, c, LOOKUP_BEFORE, wanted);
	add_sources(l, c);
	forget_routes(l);
	return false;
}

bool lookup_next(struct lookup *l, struct commands *c, bool *ret_text)
{
	bool wanted[LOOKUP_FLOWS] = { false }, any = false, text = false;

	if (++l->requests > REQUESTS_MAX)
		lookup_fail(l, "the switch gave no answer that could be used");
	for (size_t i = 0; i < l->n; i++) {
		if (l->flow[i].done)
			continue;
		wanted[l->flow[i].dst] = any = true;
	}
	if (!any)
		return false;
	commands_reset(c);
	l->n_commands = 0;
	for (uint32_t i = 0; i < l->config->lookup_prefix.n; i++)
		commands_add(c, l->config->lookup_prefix.line[i]);
	l->begin = c->n;
	if (l->by_text)
		text = next_by_text(l, c, wanted);
	else
		next_in_one(l, c, wanted);
	*ret_text = text;
	return true;
}

/* Whether the route that was read now is the one of the time when the flow was seen. */
static bool is_of_then(const struct lookup *l, struct lookup_flow *f)
{
	const struct lookup_dst *d = &l->dst[f->dst];

	if (d->has_after && !vias_equal(&d->before, &d->after)) {
		uncertain(f, "the route changed while it was asked for");
		return false;
	}
	switch (watch_prove(l->watch, &d->addr, &d->before, f->seen_ms)) {
	case WATCH_PROVEN:
		return true;
	case WATCH_CHANGED:
		uncertain(f, "the route is not the one of when the flow began");
		break;
	case WATCH_UNREAD:
		uncertain(f, "its route had not been read before the flow began");
		break;
	}
	return false;
}

static void settle_flow(struct lookup *l, struct lookup_flow *f)
{
	struct lookup_dst *d = &l->dst[f->dst];
	int r;

	if (f->done || !d->has_before)
		return;
	if (!is_of_then(l, f))
		return;
	if (d->before.n == 0)
		uncertain(f, "the switch has no route to it");
	else if (d->before.n == 1 && d->before.via[0].addr.family == 0)
		uncertain(f, "the switch reaches it without a nexthop, over %s",
			  d->before.via[0].interface);
	else if (d->before.n == 1)
		f->nexthop = d->before.via[0].addr;
	else if (!l->config->lookup)
		uncertain(f, "the route has %zu nexthops, and lookup = no", d->before.n);
	else if (!f->path[0] || !d->has_after)
		return;
	else {
		r = topology_route_nexthop(l->topology, &d->before, f->path, &f->nexthop);
		if (r == -ENOTUNIQ)
			uncertain(f, "several nexthops are behind %s", f->path);
		else if (r < 0)
			uncertain(f, "the switch chose %s, where none of the route's nexthops is",
				  f->path);
	}
	f->done = true;
}

static void take_source(struct lookup_flow *f, const struct vias *r)
{
	for (size_t i = 1; i < r->n; i++)
		if (strcmp(r->via[i].interface, r->via[0].interface) != 0)
			uncertain(f,
				  "several interfaces lead to its source: set ingress-interface");
	if (r->n == 0 || r->via[0].interface[0] == '\0')
		uncertain(f, "the switch names no interface to its source: set ingress-interface");
	if (f->done)
		return;
	f->misled = f->guessed && strcmp(f->ingress, r->via[0].interface) != 0;
	f->guessed = false;
	snprintf(f->ingress, sizeof(f->ingress), "%s", r->via[0].interface);
}

static void read_source(struct lookup *l, const struct lookup_flow *of, struct json_object *model)
{
	struct ip_addr src = tuple_src(&of->tuple);
	struct ip_prefix network;
	struct vias r = { 0 };
	int x = route_read(model, l->config->vrf, &src, &network, &r);

	if (x == 0 && r.n == 1 && r.via[0].interface[0])
		ingress_note(&l->watch->ingress, &network, r.via[0].interface);
	for (size_t i = 0; i < l->n; i++) {
		struct lookup_flow *f = &l->flow[i];

		if (!shares_source(l, f, of))
			continue;
		if (x < 0)
			uncertain(f,
				  "the switch has no route to its source: set ingress-interface");
		else
			take_source(f, &r);
	}
	vias_clear(&r);
}

static void read_path(struct lookup *l, struct lookup_flow *f, struct json_object *model)
{
	int r;

	if (f->misled)
		return;
	r = path_read(l->config, model, f->path);
	if (r == 0) {
		l->failures = 0;
		return;
	}
	uncertain(f, r == -ENODATA ? "the switch cannot tell which nexthop it chose"
				   : "the switch's answer about its choice is not understood");
}

static void read_route(struct lookup *l, struct lookup_dst *d, bool after,
		       struct json_object *model, uint64_t now_ms)
{
	struct vias *r = after ? &d->after : &d->before;
	int x = route_read(model, l->config->vrf, &d->addr, NULL, r);

	if (x == 0 || x == -ENOENT) {
		*(after ? &d->has_after : &d->has_before) = true;
		watch_note(l->watch, &d->addr, r, now_ms);
		return;
	}
	for (size_t i = 0; i < l->n; i++)
		if (&l->dst[l->flow[i].dst] == d)
			uncertain(&l->flow[i],
				  "the switch's answer about the route is not understood");
}

static void read_one(struct lookup *l, const struct lookup_command *c, struct json_object *model,
		     uint64_t now_ms)
{
	switch (c->what) {
	case LOOKUP_BEFORE:
	case LOOKUP_AFTER:
		read_route(l, &l->dst[c->index], c->what == LOOKUP_AFTER, model, now_ms);
		break;
	case LOOKUP_SOURCE:
		read_source(l, &l->flow[c->index], model);
		break;
	case LOOKUP_PATH:
		read_path(l, &l->flow[c->index], model);
		break;
	}
}

static void command_failed(struct lookup *l, const struct lookup_command *c, int code,
			   const char *message)
{
	switch (c->what) {
	case LOOKUP_BEFORE:
	case LOOKUP_AFTER:
		for (size_t i = 0; i < l->n; i++)
			if (l->flow[i].dst == c->index)
				uncertain(&l->flow[i], "the switch refuses to show the route: %s",
					  message);
		break;
	case LOOKUP_SOURCE:
		for (size_t i = 0; i < l->n; i++)
			if (shares_source(l, &l->flow[i], &l->flow[c->index]))
				uncertain(&l->flow[i],
					  "the switch refuses to show the route to its source: %s",
					  message);
		break;
	case LOOKUP_PATH:
		if (code == CODE_UNCONVERTED && !l->by_text) {
			/* A path without the routes around it says nothing. */
			l->by_text = true;
			forget_paths(l);
			forget_routes(l);
			break;
		}
		if (l->flow[c->index].misled)
			break;
		uncertain(&l->flow[c->index], "the switch cannot tell which nexthop it chose: %s",
			  message);
		/* One flow may be odd. When every one is, the switch does not know the command. */
		if (++l->failures < FAILURES_MAX)
			break;
		for (size_t i = 0; i < l->n; i++)
			if (has_several(l, &l->dst[l->flow[i].dst]))
				uncertain(&l->flow[i],
					  "the switch cannot tell which nexthop it chose: %s",
					  message);
		break;
	}
}

void lookup_answer(struct lookup *l, const struct rpc_answer *a, uint64_t now_ms)
{
	size_t done = a->outcome == RPC_OK ? l->n_commands : 0;

	if (a->outcome == RPC_FAILED && a->failed_at >= l->begin &&
	    a->failed_at - l->begin < l->n_commands)
		done = a->failed_at - l->begin;
	else if (a->outcome != RPC_OK) {
		lookup_fail(l, a->message);
		return;
	}
	for (size_t i = 0; i < done; i++) {
		_cleanup_(eapi_json_putp) struct json_object *hold = NULL;

		read_one(l, &l->command[i], rpc_result(a, l->begin + i, &hold), now_ms);
	}
	if (done < l->n_commands)
		command_failed(l, &l->command[done], a->code, a->message);
	for (size_t i = 0; i < l->n; i++)
		settle_flow(l, &l->flow[i]);
}
