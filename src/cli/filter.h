/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <json-c/json.h>
#include "base/err.h"

/* Reads a filter in the words of conntrack and ss ("dst 1.1.1.1 dport 443 nexthop 34.34.34.4") or a
 * flow as flowpin prints it
 * ("tcp 12.12.12.1:30001 -> 1.1.1.1:80", "udp [2001:db8::2]:53 [2001:db8::1]:53 zone 101") into the
 * parameter `filter` of the interface. Words may come as one argument or as several; "->" is left
 * out. Every word may stand once. On success the caller owns *ret_filter. -EINVAL with a sentence;
 * -ENOMEM. */
int filter_parse(int argc, char **argv, struct json_object **ret_filter,
		 struct err *e) _must_check_;

/* One line per word, for help. */
const char *filter_help(void);
