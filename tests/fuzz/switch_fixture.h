/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <string.h>
#include "config/config.h"
#include "fuzz/fuzz.h"

/* The configuration of this text, read once and kept in *config; aborts where it is refused. */
static inline const struct config *fuzz_config_once(const char *text, struct config **config)
{
	struct err e = { 0 };

	if (!*config && config_parse("fuzz", text, strlen(text), config, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		abort();
	}
	return *config;
}

/* Switch sections as different as the readers of src/eapi can tell them apart. Made once. */
static inline const struct config *fuzz_switches(void)
{
	static const char text[] =
		"service web { prefix = {1.1.1.1, 2001:db8::1} }\n"
		"service net { prefix = {1.1.2.0/24, 2001:db8:2::/48} protocol = udp port = 53 }\n"
		"switch s1 { eapi = \"https://h\" ingress-interface = Ethernet47 }\n"
		"switch s2 { eapi = \"https://h\" ingress-interface = Ethernet47 vrf = PROD\n"
		"  status-source = text action-ipv4 = l2-rewrite match-ingress = yes }\n"
		"switch s3 { eapi = \"https://h\" status-source = json expiry = flowpin\n"
		"  action-ipv6 = nexthop capacity = 10 max-flows = 5 }\n";
	static struct config *config;

	return fuzz_config_once(text, &config);
}
