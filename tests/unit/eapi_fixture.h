/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdio.h>
#include <string.h>
#include "config/config.h"
#include "eapi/json.h"
#include "netlink/tuple.h"

/* What the tests of src/eapi share. */

/* A configuration with a service of both families and the switch s1, with `more` in its section. */
static inline _unused_ struct config *eapi_config(const char *more)
{
	struct config *c = NULL;
	struct err e = { 0 };
	char text[1024];

	snprintf(text, sizeof(text),
		 "service web { prefix = {1.1.1.1, 2001:db8::1} }\n"
		 "switch s1 { eapi = \"https://h\" ingress-interface = Ethernet47 %s }\n",
		 more);
	if (config_parse("f", text, strlen(text), &c, &e) < 0)
		fail_msg("%s", e.text);
	return c;
}

static inline _unused_ struct ip_addr eapi_addr(const char *text)
{
	struct ip_addr a;

	if (ip_addr_parse(text, &a) < 0)
		fail_msg("%s is no address", text);
	return a;
}

static inline _unused_ struct tuple eapi_tuple(const char *src, uint16_t sport, const char *dst,
					       uint16_t dport, uint8_t proto)
{
	struct ip_addr s = eapi_addr(src), d = eapi_addr(dst);
	struct tuple t = { .sport = sport, .dport = dport, .family = s.family, .proto = proto };

	memcpy(t.src, s.bytes, 16);
	memcpy(t.dst, d.bytes, 16);
	return t;
}

static inline _unused_ struct json_object *eapi_json(const char *text)
{
	struct json_object *o = NULL;

	if (eapi_json_parse(text, strlen(text), &o) < 0)
		fail_msg("not JSON: %s", text);
	return o;
}
