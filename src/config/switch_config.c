// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/switch_config.h"

#include <string.h>
#include "base/siphash.h"
#include "base/strbuf.h"
#include "config/config.h"

const struct switch_config *config_switch(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_switches; i++)
		if (strcmp(c->switches[i].name, name) == 0)
			return &c->switches[i];
	return NULL;
}

const char *config_flow_prefix(const struct config *c, char *buf)
{
	snprintf(buf, CONFIG_PREFIX_MAX, "fp-%s-", c->instance);
	return buf;
}

const char *switch_place_name(enum switch_place place)
{
	switch (place) {
	case SWITCH_PLACE_NONE:
		return "none";
	case SWITCH_PLACE_ALL:
		return "all";
	case SWITCH_PLACE_ESTABLISHED:
		return "established";
	case SWITCH_PLACE_HEAVY:
		return "heavy";
	case SWITCH_PLACE_DRAINING:
		return "draining";
	}
	return "none";
}

/* The whole struct is hashed: it is zeroed before it is filled, texts included, so equal sections
 * have equal bytes. */
const char *switch_config_digest(const struct switch_config *s, char *buf)
{
	static const uint64_t keys[2][2] = { { 0x666c6f7770696e31, 1 }, { 0x666c6f7770696e31, 2 } };

	snprintf(buf, SWITCH_DIGEST, "%016llx%016llx",
		 (unsigned long long)siphash13(s, sizeof(*s), keys[0]),
		 (unsigned long long)siphash13(s, sizeof(*s), keys[1]));
	return buf;
}
