// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "core/placement.h"

static const char *const policies[] = {
	[PLACEMENT_POLICY_NONE] = "none",
	[PLACEMENT_POLICY_ALL] = "all",
	[PLACEMENT_POLICY_ESTABLISHED] = "established",
	[PLACEMENT_POLICY_HEAVY] = "heavy",
	[PLACEMENT_POLICY_DRAINING] = "draining",
};

static const char *const reasons[PLACEMENT_REASON_COUNT] = {
	[PLACEMENT_PLACED] = "placed",
	[PLACEMENT_ADOPTED] = "adopted",
	[PLACEMENT_MOVED] = "moved",
	[PLACEMENT_ENDED] = "ended",
	[PLACEMENT_DEAD] = "dead",
	[PLACEMENT_RELEASED] = "released",
	[PLACEMENT_EVICTED] = "evicted",
	[PLACEMENT_REJECTED] = "rejected",
	[PLACEMENT_SERVICE_REMOVED] = "service-removed",
	[PLACEMENT_TEARDOWN] = "teardown",
};

static const char *const states[] = {
	[PLACEMENT_STATE_UNKNOWN] = "unknown",	     [PLACEMENT_STATE_ACCEPTED] = "accepted",
	[PLACEMENT_STATE_PROGRAMMED] = "programmed", [PLACEMENT_STATE_PENDING] = "pending",
	[PLACEMENT_STATE_REJECTED] = "rejected",     [PLACEMENT_STATE_ABSENT] = "absent",
	[PLACEMENT_STATE_ADOPTED] = "adopted",
};

static const char *const classes[PLACEMENT_CLASS_COUNT] = {
	[PLACEMENT_CLASS_NONE] = "none",
	[PLACEMENT_CLASS_FULL] = "full",
	[PLACEMENT_CLASS_UNSUPPORTED] = "unsupported",
	[PLACEMENT_CLASS_UNRESOLVED] = "unresolved",
	[PLACEMENT_CLASS_OTHER] = "other",
};

static const char *const kinds[] = {
	[PLACEMENT_BEGIN] = "begin",
	[PLACEMENT_PART] = "part",
	[PLACEMENT_END] = "end",
	[PLACEMENT_CHANGE] = "change",
};

/* The first that is found decides. */
static const struct {
	const char *text;
	enum placement_class class;
} phrases[] = {
	{ "unsupported", PLACEMENT_CLASS_UNSUPPORTED },
	{ "not supported", PLACEMENT_CLASS_UNSUPPORTED },
	{ "bad match", PLACEMENT_CLASS_UNSUPPORTED },
	{ "bad action", PLACEMENT_CLASS_UNSUPPORTED },
	{ "invalid", PLACEMENT_CLASS_UNSUPPORTED },
	{ "resource", PLACEMENT_CLASS_FULL },
	{ "table full", PLACEMENT_CLASS_FULL },
	{ "table is full", PLACEMENT_CLASS_FULL },
	{ "insufficient", PLACEMENT_CLASS_FULL },
	{ "resolv", PLACEMENT_CLASS_UNRESOLVED },
	{ " arp", PLACEMENT_CLASS_UNRESOLVED },
};

const char *placement_policy_name(enum placement_policy policy)
{
	return policies[policy];
}

int placement_policy_parse(const char *word, enum placement_policy *ret_policy)
{
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		if (strcmp(policies[i], word) == 0) {
			*ret_policy = (enum placement_policy)i;
			return 0;
		}
	return -EINVAL;
}

const char *placement_reason_name(enum placement_reason reason)
{
	return reasons[reason];
}

const char *placement_state_name(enum placement_state state)
{
	return states[state];
}

int placement_state_parse(const char *word, enum placement_state *ret_state)
{
	for (size_t i = PLACEMENT_STATE_ACCEPTED; i < ARRAY_SIZE(states); i++)
		if (strcmp(states[i], word) == 0) {
			*ret_state = (enum placement_state)i;
			return 0;
		}
	return -EINVAL;
}

const char *placement_class_name(enum placement_class c)
{
	return classes[c];
}

enum placement_class placement_class_of(const char *text)
{
	if (!text || !*text)
		return PLACEMENT_CLASS_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		if (strcasestr(text, phrases[i].text))
			return phrases[i].class;
	return PLACEMENT_CLASS_OTHER;
}

const char *placement_kind_name(enum placement_kind kind)
{
	return kinds[kind];
}
