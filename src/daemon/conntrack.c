// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/conntrack.h"

#include <errno.h>
#include "base/vec.h"

#define REQUESTS_AT_ONCE 1000
#define DUMP_BUFFER	 (4 * 1024 * 1024)

int tuple_list_add(struct tuple_list *l, const struct tuple *t, size_t max)
{
	void *list;

	if (l->n == max)
		return -ENOSPC;
	list = vec_reserve(l->list, l->n, &l->cap, sizeof(*l->list));
	if (!list)
		return -ENOMEM;
	l->list = list;
	l->list[l->n++] = *t;
	return 0;
}

void tuple_list_clear(struct tuple_list *l)
{
	free(l->list);
	*l = (struct tuple_list){ 0 };
}

struct look {
	struct ct_entry entry;
	bool present;
};

static int on_entry(const struct nlmsghdr *nlh, void *arg)
{
	struct look *l = arg;

	if (ct_decode(nlh, &l->entry) == 0)
		l->present = true;
	return 0;
}

int conntrack_get(struct nl *nl, const struct tuple *t, struct ct_entry *ret_entry)
{
	char buf[NL_REQUEST_MAX];
	struct look l = { 0 };
	int r;

	r = nl_request(nl, ct_request_get(buf, t), on_entry, &l, NULL);
	if (r < 0)
		return r;
	if (!l.present)
		return -ENOENT;
	*ret_entry = l.entry;
	return 0;
}

static void on_answer(size_t index _unused_, const struct nlmsghdr *nlh _unused_, int code _unused_,
		      const struct err *e _unused_, void *arg _unused_)
{
	/* An entry that ended meanwhile has no mark either. */
}

int conntrack_mark(struct nl *nl, uint32_t mask, const struct tuple *list, const uint32_t *marks,
		   size_t n, struct err *e)
{
	_cleanup_(nl_pipeline_freep) struct nl_pipeline *pipeline = NULL;
	char buf[NL_REQUEST_MAX];
	int r;

	r = nl_pipeline_new(nl, &pipeline);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = nl_pipeline_add(pipeline,
				    ct_request_set_mark(buf, &list[i], marks ? marks[i] : 0, mask));
		if (r == 0 && (nl_pipeline_count(pipeline) == REQUESTS_AT_ONCE || i + 1 == n))
			r = nl_pipeline_run(pipeline, on_answer, NULL, e);
	}
	return r;
}

int conntrack_dump_begin(struct event_base *base, int priority, event_callback_fn step, void *arg,
			 struct nl **ret_nl, struct event **ret_ev)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	char buf[NL_REQUEST_MAX];
	struct event *ev;
	uint32_t bytes;
	int r;

	r = nl_open(NETLINK_NETFILTER, &nl);
	if (r < 0)
		return r;
	nl_set_receive_buffer(nl, DUMP_BUFFER, &bytes);
	r = nl_dump_begin(nl, ct_request_dump(buf, 0, 0));
	if (r < 0)
		return r;
	ev = event_new(base, nl_fd(nl), EV_READ | EV_PERSIST, step, arg);
	if (!ev)
		return -ENOMEM;
	event_priority_set(ev, priority);
	event_add(ev, NULL);
	*ret_nl = TAKE_PTR(nl);
	*ret_ev = ev;
	return 0;
}
