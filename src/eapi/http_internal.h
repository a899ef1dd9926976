/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <curl/curl.h>
#include "eapi/http.h"

struct http {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
	bool global;
};

/* http_conn.c: its transfer is over; it was taken out of the multi handle. */
void http_conn_finished(struct http_conn *c, CURLcode code);
