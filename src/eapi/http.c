// SPDX-License-Identifier: GPL-2.0-or-later
#include "eapi/http_internal.h"

#include <errno.h>
#include <string.h>

/* libcurl's sockets and timer on libevent. */

struct socket_watch {
	struct event *event;
	struct http *http;
};

static void finish(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct http_conn *c = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
		curl_multi_remove_handle(h->multi, m->easy_handle);
		http_conn_finished(c, code);
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int action = (what & EV_READ ? CURL_CSELECT_IN : 0) |
		     (what & EV_WRITE ? CURL_CSELECT_OUT : 0),
	    running;

	curl_multi_socket_action(h->multi, fd, action, &running);
	finish(h);
}

static void on_timer(evutil_socket_t fd _unused_, short what _unused_, void *arg)
{
	struct http *h = arg;
	int running;

	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish(h);
}

static void watch_free(struct socket_watch *w)
{
	if (w && w->event)
		event_free(w->event);
	free(w);
}

static int set_socket(CURL *easy _unused_, curl_socket_t fd, int what, void *arg, void *data)
{
	struct http *h = arg;
	struct socket_watch *w = data;
	short events = EV_PERSIST;

	if (what == CURL_POLL_REMOVE) {
		watch_free(w);
		curl_multi_assign(h->multi, fd, NULL);
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -1;
		w->http = h;
		curl_multi_assign(h->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	if (w->event)
		event_free(w->event);
	w->event = event_new(h->base, fd, events, on_socket, h);
	return w->event && event_add(w->event, NULL) == 0 ? 0 : -1;
}

static int set_timer(CURLM *multi _unused_, long ms, void *arg)
{
	struct http *h = arg;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (ms < 0)
		return evtimer_del(h->timer);
	return evtimer_add(h->timer, &tv);
}

int http_new(struct event_base *base, struct http **ret_http)
{
	_cleanup_(http_freep) struct http *h = calloc(1, sizeof(*h));

	if (!h || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	h->global = true;
	h->base = base;
	h->multi = curl_multi_init();
	h->timer = evtimer_new(base, on_timer, h);
	if (!h->multi || !h->timer)
		return -ENOMEM;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	*ret_http = TAKE_PTR(h);
	return 0;
}

struct http *http_free(struct http *h)
{
	if (!h)
		return NULL;
	if (h->multi)
		curl_multi_cleanup(h->multi);
	if (h->timer)
		event_free(h->timer);
	if (h->global)
		curl_global_cleanup();
	free(h);
	return NULL;
}
