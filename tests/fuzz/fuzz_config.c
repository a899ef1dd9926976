// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "config/config.h"
#include "fuzz/fuzz.h"

/* A whole configuration file, and what is made of it. */

static void use(const struct config *c)
{
	char prefix[CONFIG_PREFIX_MAX], digest[SWITCH_DIGEST];
	struct service_cell *cells = NULL;
	size_t n = 0;
	struct err e;
	int r;

	FUZZ_CHECK(strlen(config_flow_prefix(c, prefix)) < CONFIG_PREFIX_MAX);
	FUZZ_CHECK(c->n_switches <= SWITCHES_MAX);
	for (size_t i = 0; i < c->n_switches; i++) {
		FUZZ_CHECK(config_switch(c, c->switches[i].name) == &c->switches[i]);
		FUZZ_CHECK(strlen(switch_config_digest(&c->switches[i], digest)) ==
			   SWITCH_DIGEST - 1);
	}
	FUZZ_CHECK(service_set_check(&c->services, &e) == 0);
	r = service_set_compile(&c->services, &cells, &n);
	FUZZ_CHECK(r == 0 || r == -E2BIG);
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(cells[i].service < c->services.n);
		FUZZ_CHECK(ip_addr_compare(&cells[i].first, &cells[i].last) <= 0);
	}
	free(cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct err e = { 0 };
	int r = config_parse("f", (const char *)data, size, &c, &e);

	if (r == 0) {
		use(c);
	} else {
		FUZZ_CHECK(!c && e.text[0] != '\0');
		FUZZ_CHECK(r == -EINVAL || r == -EFBIG || r == -ENOMEM);
	}
	return 0;
}
