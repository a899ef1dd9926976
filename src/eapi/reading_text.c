// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <string.h>
#include "eapi/reading_internal.h"

/* One flow of the text:
 *   Flow NAME: (Waiting for a resource to be allocated)
 *     actions:
 *       output nexthop: 34.34.34.4
 *     matched: 5 packets, 367 bytes
 */

static void read_nexthop(struct flow_reading *f, const char *value)
{
	if (!f->has_nexthop && reading_parse_addr(value, &f->nexthop) == 0)
		f->has_nexthop = true;
}

static void read_interface(struct flow_reading *f, const char *value)
{
	if (f->interface[0] == '\0') {
		eapi_clean_text(value, f->interface, sizeof(f->interface));
		f->interface[strcspn(f->interface, ", ")] = '\0';
	}
}

static void read_mac(struct flow_reading *f, const char *value)
{
	char word[24];
	size_t n = strcspn(value, " ,\t");

	if (f->mac[0] || n >= sizeof(word))
		return;
	memcpy(word, value, n);
	word[n] = '\0';
	(void)!mac_parse(word, f->mac);
}

static void read_matched(struct flow_reading *f, const char *value)
{
	unsigned long long packets, bytes;

	if (f->has_counters || sscanf(value, "%18llu packets, %18llu bytes", &packets, &bytes) != 2)
		return;
	f->has_counters = true;
	f->packets = packets;
	f->bytes = bytes;
}

static const struct {
	const char *key; /* without regard to case; the whole label */
	void (*read)(struct flow_reading *f, const char *value);
} labels[] = {
	{ "output nexthop", read_nexthop },	 { "output interface", read_interface },
	{ "output interfaces", read_interface }, { "output", read_interface },
	{ "set destination mac", read_mac },	 { "set destination MAC address", read_mac },
	{ "destination mac", read_mac },	 { "matched", read_matched },
};

/* "Flow NAME: (STATUS)". False: the line begins no flow. */
static bool read_head(struct reading *r, const struct switch_config *s, const char *prefix,
		      char *line, struct flow_reading **ret_flow, bool *ret_memory)
{
	char *name = line + 5, *end, *status;
	struct flow_reading *f;
	struct tuple t;

	if (strncmp(line, "Flow ", 5) != 0)
		return false;
	end = strchr(name, ':');
	/* A name may hold a colon; the label's colon is followed by a space or nothing. */
	while (end && end[1] != '\0' && end[1] != ' ')
		end = strchr(end + 1, ':');
	if (!end)
		return false;
	*end = '\0';
	*ret_flow = NULL;
	status = strchr(end + 1, '(');
	if (status && strrchr(status, ')'))
		*strrchr(status, ')') = '\0';
	if (flow_name_parse(prefix, name, &t) < 0) {
		if (!r->json) {
			r->foreign++;
			r->foreign_programmed += !status || flow_status_classify(s, status + 1) ==
								    FLOW_STATUS_PROGRAMMED;
		}
		return true;
	}
	f = reading_flow(r, &t);
	if (!f) {
		*ret_memory = false;
		return true;
	}
	f->listed = f->in_text = true;
	if (f->status == FLOW_STATUS_UNKNOWN && status)
		reading_set_status(s, f, status + 1);
	/* Without JSON beside it, a flow without a word is one of `show directflow flows`: those in
	 * hardware. */
	else if (f->status == FLOW_STATUS_UNKNOWN && !r->json)
		f->status = FLOW_STATUS_PROGRAMMED;
	*ret_flow = f;
	return true;
}

static void read_line(struct flow_reading *f, char *line)
{
	char *key = line + strspn(line, " \t"), *colon = strchr(key, ':');

	if (!colon)
		return;
	*colon = '\0';
	if (strcasecmp(key, "actions") == 0) {
		f->in_actions = true;
		return;
	}
	if (strcasecmp(key, "source") == 0 || strcasecmp(key, "matched") == 0 ||
	    strcasecmp(key, "match") == 0)
		f->in_actions = false;
	f->acts |= f->in_actions;
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		if (strcasecmp(labels[i].key, key) == 0) {
			labels[i].read(f, colon + 1 + strspn(colon + 1, " \t"));
			return;
		}
}

bool reading_add_text(struct reading *r, const struct switch_config *s, const char *prefix,
		      const char *text)
{
	struct flow_reading *f = NULL;
	bool memory = true;
	char line[256];

	while (*text) {
		size_t n = strcspn(text, "\n"), kept = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

		memcpy(line, text, kept);
		line[kept] = '\0';
		while (kept > 0 && isspace((unsigned char)line[kept - 1]))
			line[--kept] = '\0';
		text += n + (text[n] == '\n');
		if (!read_head(r, s, prefix, line, &f, &memory) && f &&
		    isspace((unsigned char)line[0]))
			read_line(f, line);
	}
	r->text = true;
	return memory;
}
