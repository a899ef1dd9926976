// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/reconciler_internal.h"

const char *observation_state_name(enum observation_state s)
{
	switch (s) {
	case OBSERVED_ACCEPTED:
		return "accepted";
	case OBSERVED_PROGRAMMED:
		return "programmed";
	case OBSERVED_PENDING:
		return "pending";
	case OBSERVED_REJECTED:
		return "rejected";
	case OBSERVED_ABSENT:
		return "absent";
	case OBSERVED_ADOPTED:
		return "adopted";
	}
	return "absent";
}

static enum observation_state state_there(const struct rec_flow *f)
{
	switch (f->status) {
	case FLOW_STATUS_PROGRAMMED:
		return OBSERVED_PROGRAMMED;
	case FLOW_STATUS_REJECTED:
		return OBSERVED_REJECTED;
	case FLOW_STATUS_PENDING:
	case FLOW_STATUS_INACTIVE:
		return OBSERVED_PENDING;
	case FLOW_STATUS_UNKNOWN:
		return f->read ? OBSERVED_PENDING : OBSERVED_ACCEPTED;
	}
	return OBSERVED_PENDING;
}

static enum observation_state state_wished(const struct reconciler *r, const struct rec_flow *f,
					   uint64_t now_ms, const char **ret_text)
{
	const struct family_state *family = &r->family[f->tuple.family == AF_INET6];

	*ret_text = f->text;
	if (f->expired && (!f->there || f->purge)) {
		*ret_text = "its idle timeout passed in the switch";
		return OBSERVED_ABSENT;
	}
	if (f->there && !f->spoilt &&
	    (!f->there_known || ip_addr_equal(&f->there_nexthop, &f->nexthop)))
		return state_there(f);
	if (f->there && !f->spoilt && f->refusal == REFUSAL_NONE) {
		*ret_text = "to be moved";
		return OBSERVED_PENDING;
	}
	if (f->refusal != REFUSAL_NONE)
		return OBSERVED_REJECTED;
	if (family->streak >= FAMILY_STREAK && now_ms < family->until_ms) {
		*ret_text = family->text;
		return OBSERVED_REJECTED;
	}
	if (f->doubt)
		*ret_text = "a request about it was not answered";
	else if (f->text[0] == '\0')
		*ret_text = "not written yet";
	return OBSERVED_PENDING;
}

/* False: there is nothing to be said of this flow. */
static bool state_of(const struct reconciler *r, const struct rec_flow *f, uint64_t now_ms,
		     enum observation_state *ret_state, const char **ret_text)
{
	if (f->known && f->present) {
		*ret_state = state_wished(r, f, now_ms, ret_text);
		return true;
	}
	*ret_text = f->text;
	if (f->known) {
		*ret_state = f->there ? state_there(f) : OBSERVED_ABSENT;
		return true;
	}
	*ret_state = OBSERVED_ADOPTED;
	return f->there && !f->spoilt && !f->purge &&
	       (f->status == FLOW_STATUS_PROGRAMMED || f->status == FLOW_STATUS_PENDING ||
		f->status == FLOW_STATUS_UNKNOWN);
}

bool reconciler_report(struct reconciler *r, bool all, size_t *position, uint64_t now_ms,
		       struct observation *ret_observation)
{
	for (; *position < r->n; (*position)++) {
		struct rec_flow *f = &r->flow[*position];
		struct observation o = { .tuple = f->tuple, .version = f->version };
		bool news = f->dirty;

		f->dirty = false;
		if ((!all && !news) || !state_of(r, f, now_ms, &o.state, &o.text))
			continue;
		if (f->there && f->there_known)
			o.nexthop = f->there_nexthop;
		o.has_counters = f->there && f->has_counters;
		o.packets = f->packets;
		o.bytes = f->bytes;
		*ret_observation = o;
		(*position)++;
		return true;
	}
	return false;
}

void reconciler_summarize(const struct reconciler *r, uint64_t now_ms,
			  struct reconciler_summary *ret_summary)
{
	struct reconciler_summary s = { .foreign = r->foreign, .capacity = -1, .free = -1 };
	int64_t limit = rec_limit(r), used = rec_used(r);

	for (size_t i = 0; i < r->n; i++) {
		const struct rec_flow *f = &r->flow[i];
		enum observation_state state;
		const char *text;

		s.desired += f->known && f->present;
		if (!state_of(r, f, now_ms, &state, &text))
			continue;
		s.programmed += f->there && f->status == FLOW_STATUS_PROGRAMMED;
		s.pending += state == OBSERVED_PENDING || state == OBSERVED_ACCEPTED;
		s.rejected += state == OBSERVED_REJECTED;
		s.adopted += state == OBSERVED_ADOPTED;
		if (f->known && f->present &&
		    (state == OBSERVED_PENDING || state == OBSERVED_ACCEPTED) &&
		    now_ms - f->wish_ms > s.lag_ms)
			s.lag_ms = now_ms - f->wish_ms;
	}
	if (limit != INT64_MAX) {
		s.capacity = limit;
		s.free = limit > used ? limit - used : 0;
	}
	*ret_summary = s;
}
