// SPDX-License-Identifier: GPL-2.0-or-later
#include "knobs.h"

#include <stdlib.h>
#include <string.h>

#define CHOICES_SUPPORT "yes|platform|parser|reject"
#define NO_YES		"no|yes"

/* values: the words of a choice in the order of its enum; NULL: a number; "": text. draw: what a
 * personality draws from with equal odds (a word may stand twice); NULL: never drawn, since tests
 * rest on it. */
struct knob {
	const char *name;
	size_t offset;
	const char *values;
	const char *standard;
	const char *draw;
	const char *help;
};

#define AT(field) offsetof(struct knobs, field)

static const struct knob table[] = {
	{ "model", AT(model), "", "DCS-7050SX3-48YC12-F", NULL, "modelName of show version" },
	{ "version", AT(version), "", "4.27.2F", "4.15.0F|4.20.5F|4.27.2F|4.35.4M",
	  "version of show version" },
	{ "system-mac", AT(system_mac), "", "00:1c:73:74:81:9e", NULL,
	  "systemMacAddress, bridgeMacAddr" },
	{ "boot-wobble-ms", AT(boot_wobble_ms), NULL, "0", "0|0|300|900",
	  "bootupTimestamp moves by up to so much with every reading" },

	{ "user", AT(user), "", "admin", NULL, "whoever may log in" },
	{ "password", AT(password), "", "secret", NULL, "with this" },
	{ "enable-password", AT(enable_password), "", "", NULL, "what enable asks for" },
	{ "auth", AT(auth), NO_YES, "yes", NULL,
	  "no: nobody is asked (EOS: port 8080 on localhost)" },
	{ "login", AT(login), NO_YES, "yes", "no|yes|yes", "/login exists, with a cookie" },
	{ "session-timeout-ms", AT(session_timeout_ms), NULL, "1440000", NULL,
	  "a cookie's life without a request" },
	{ "aaa-ms", AT(aaa_ms), NULL, "0", "0|0|30", "what a password check takes" },
	{ "starts-privileged", AT(starts_privileged), NO_YES, "no", "no|no|yes",
	  "requests start as after enable" },
	{ "request-ms", AT(request_ms), NULL, "0", "0|5|20", "every request takes this" },
	{ "read-ms", AT(read_ms), NULL, "0", "0|2|10", "and every show command this" },
	{ "write-ms", AT(write_ms), NULL, "0", "0|1|3", "and every other command this" },
	{ "serialize", AT(serialize), "none|command|request", "none", "none|command|request",
	  "what reads and writes wait for: nothing, a running command, a running request" },
	{ "new-params", AT(new_params), NO_YES, "yes", NO_YES,
	  "timestamps, autoComplete, expandAliases, stopOnError are known" },
	{ "param-text", AT(param_text), "unexpected-parameter|keyword-argument",
	  "unexpected-parameter", "unexpected-parameter|keyword-argument", "how -32602 says it" },
	{ "auto-complete", AT(auto_complete), NO_YES, "no", NO_YES,
	  "keywords may be short without autoComplete" },
	{ "max-request-bytes", AT(max_request_bytes), NULL, "0", "0|0|1048576",
	  "413 beyond it; 0: no limit" },
	{ "deny", AT(deny), "", "", NULL,
	  "extended regex of commands that authorization refuses (1005)" },

	{ "directflow", AT(directflow), CHOICES_SUPPORT, "yes", NULL,
	  "the platform has DirectFlow" },
	{ "shutdown-at-boot", AT(shutdown_at_boot), NO_YES, "yes", NO_YES,
	  "startup-config says shutdown" },
	{ "nexthop4", AT(nexthop4), CHOICES_SUPPORT, "yes", NULL, "action output nexthop A.B.C.D" },
	{ "nexthop6", AT(nexthop6), CHOICES_SUPPORT, "yes", CHOICES_SUPPORT,
	  "action output nexthop X:X::X" },
	{ "multi-nexthop", AT(multi_nexthop), NO_YES, "no", NO_YES,
	  "several nexthops in one action" },
	{ "output-interface", AT(output_interface), CHOICES_SUPPORT, "yes", NULL,
	  "action output interface" },
	{ "set-mac", AT(set_mac), CHOICES_SUPPORT, "yes", NULL, "action set destination mac" },
	{ "set-vlan", AT(set_vlan), CHOICES_SUPPORT, "yes", NULL, "action set vlan" },
	{ "timeouts", AT(timeouts), CHOICES_SUPPORT, "yes", "yes|yes|yes|reject|parser",
	  "timeout idle, timeout hard" },
	{ "ipv6-keyword", AT(ipv6_keyword), NO_YES, "no", NO_YES,
	  "match ethertype ipv6 (34525 always works)" },
	{ "name-max", AT(name_max), NULL, "128", "64|76|128|250", "longest name of a flow" },
	{ "missing-is-error", AT(missing_is_error), NO_YES, "no", "no|no|no|yes",
	  "no flow NAME of an unknown name fails (1000)" },
	{ "edit", AT(edit), "line|exit|exit-drop", "line", "line|line|exit|exit-drop",
	  "lines of a flow act at once; when it is left; or then, unless the request failed "
	  "inside" },
	{ "lists-append", AT(lists_append), NO_YES, "no", NO_YES,
	  "a second list of interfaces adds to the first" },
	{ "edit-resets", AT(edit_resets), NO_YES, "yes", NO_YES,
	  "a change of a programmed flow sets its counters to 0" },
	{ "tie", AT(tie), "oldest|newest", "oldest", "oldest|newest",
	  "who wins among equal matches of equal priority" },

	{ "capacity", AT(capacity), NULL, "1500", "500|750|1500", "entries of the table" },
	{ "reserved", AT(reserved), NULL, "0", "0|4", "of these, EOS keeps for itself" },
	{ "ipv6-entries", AT(ipv6_entries), NULL, "2", "1|2|4", "what an IPv6 flow takes" },
	{ "program-ms", AT(program_ms), NULL, "20", "0|20|200|1500",
	  "from the configuration to the hardware" },
	{ "program-rate", AT(program_rate), NULL, "0", "0|200|1000",
	  "flows a second that get there; 0: no limit" },
	{ "nexthop-needs-arp", AT(nexthop_needs_arp), NO_YES, "yes", "no|yes|yes",
	  "an unresolved nexthop is not programmed until it is" },
	{ "full-shows", AT(full_shows), "status|waiting", "status", "status|waiting",
	  "a flow without room: in the status map, or (4.35) only in the text" },
	{ "full-retries", AT(full_retries), NO_YES, "no", NO_YES,
	  "it is programmed once there is room" },
	{ "expiry", AT(expiry), "old|new", "old", "old|new",
	  "an expired flow stays in the configuration, or is gone" },
	{ "rearms", AT(rearms), NO_YES, "no", NO_YES,
	  "sending an expired name again programs it again" },
	{ "counter-ms", AT(counter_ms), NULL, "1000", "500|1000|3000|5000",
	  "counters and idle times are looked at so often" },
	{ "agent-keeps-hardware", AT(agent_keeps_hardware), NO_YES, "no", NO_YES,
	  "flows go on while the DirectFlow agent restarts" },
	{ "agent-down", AT(agent_down), "empty|error", "empty", "empty|error",
	  "what show directflow says meanwhile" },
	{ "reboot-forwards", AT(reboot_forwards), NO_YES, "no", NULL,
	  "packets pass while the switch boots" },

	{ "detail-json", AT(detail_json), NO_YES, "yes", "yes|yes|yes|no",
	  "show directflow detail has a model (else 1003)" },
	{ "flows-by-name", AT(flows_by_name), NO_YES, "yes", NO_YES, "show directflow flows NAME" },
	{ "pending-in-flows", AT(pending_in_flows), NO_YES, "no", NO_YES,
	  "flows on their way are in the list already" },
	{ "pending-status", AT(pending_status), "", "Flow not programmed",
	  "Flow not programmed|Flow pending|Waiting for hardware", "their status" },
	{ "reject-status", AT(reject_status), "", "Flow rejected: unsupported action",
	  "Flow rejected|Flow rejected: unsupported action|Flow rejected due to bad action",
	  "of a flow that the hardware cannot hold" },
	{ "off-shows", AT(off_shows), "empty|status", "empty", "empty|status",
	  "show directflow while shut down" },
	{ "new-text-fields", AT(new_text_fields), NO_YES, "yes", NO_YES,
	  "priorityGroupType, tableType, source in the text" },
	{ "nexthop-key", AT(nexthop_key), "", "outputNexthop",
	  "outputNexthop|nexthop|nexthops|outputNexthops|resolvedNexthops|none",
	  "key of the nexthop in the model" },
	{ "nexthop-shape", AT(nexthop_shape), "string|list|object|objects", "string",
	  "string|list|object|objects", "and its value" },
	{ "ipv6-keys", AT(ipv6_keys), "ip6|ipv6|same", "ip6", "ip6|ipv6|same",
	  "ip6Src, ipv6Src or ipSrc of IPv6 matches" },
	{ "tcam", AT(tcam), CHOICES_SUPPORT, "yes", "yes|yes|platform|parser",
	  "show platform trident tcam" },
	{ "tcam-group", AT(tcam_group), NULL, "14", "11|14", "the group that it names" },
	{ "tcam-label", AT(tcam_label), "", "DirectFlow", "DirectFlow|OpenFlow",
	  "and the feature" },

	{ "lb", AT(lb), CHOICES_SUPPORT, "yes", NULL, "show load-balance destination ip" },
	{ "lb-needs", AT(lb_needs), "exec|enable|configure", "enable", "exec|enable|configure",
	  "the mode that it needs at least" },
	{ "lb-json", AT(lb_json), NO_YES, "yes", "yes|yes|no", "it has a model (else 1003)" },
	{ "lb-ipv6", AT(lb_ipv6), "same|own|none", "same", "same|own|none",
	  "destination ip with src-ipv6-address; destination ipv6; not at all" },
	{ "lb-unable", AT(lb_unable), "empty|missing|error", "empty", "empty|missing|error",
	  "how its model says that it is unable" },
	{ "lb-single", AT(lb_single), NO_YES, "yes", NO_YES,
	  "it answers for routes with one nexthop too" },
	{ "lb-member", AT(lb_member), NO_YES, "no", NO_YES,
	  "it names the physical port behind an SVI or Port-Channel" },
	{ "route-json", AT(route_json), NO_YES, "yes", NULL,
	  "show ip route has a model (4.13: 1003)" },
	{ "route6-shape", AT(route6_shape), "vrfs|flat", "vrfs", "vrfs|flat",
	  "show ipv6 route: below vrfs, or at the top" },
	{ "route-weights", AT(route_weights), NO_YES, "no", NO_YES, "vias have a weight" },
	{ "arp-interface", AT(arp_interface), "plain|with-port", "plain", "plain|with-port",
	  "Vlan10, or Vlan10, Ethernet3" },

	{ "extra-keys", AT(extra_keys), NO_YES, "no", NO_YES,
	  "models have keys that nobody knows" },
	{ "numbers-as-strings", AT(numbers_as_strings), NO_YES, "no", "no|no|yes",
	  "models have their numbers in quotes" },
	{ "results-as-strings", AT(results_as_strings), NO_YES, "no", "no|no|yes",
	  "results are strings of JSON" },
	{ "config-messages", AT(config_messages), NO_YES, "no", NO_YES,
	  "configuration commands answer with messages" },

	{ "route-lists", AT(route_lists), "none|longer|all", "none", "none|longer|all",
	  "show ip route alone, and with PREFIX longer-prefixes" },
};

static long *number_of(struct knobs *knobs, const struct knob *k)
{
	return (long *)((char *)knobs + k->offset);
}

static char *text_of(struct knobs *knobs, const struct knob *k)
{
	return (char *)knobs + k->offset;
}

/* The word number n of a list separated by bars; false when it has fewer. */
static bool choice_word(const char *list, size_t n, char ret[KNOB_TEXT_SIZE])
{
	for (; n > 0; n--) {
		list = strchr(list, '|');
		if (!list)
			return false;
		list++;
	}
	size_t length = strcspn(list, "|");

	memcpy(ret, list, length);
	ret[length] = '\0';
	return true;
}

static bool set_one(struct knobs *knobs, const struct knob *k, const char *value)
{
	char word[KNOB_TEXT_SIZE];

	if (!k->values)
		return parse_number(value, 0, 1L << 40, number_of(knobs, k));
	if (!*k->values) {
		set_text(text_of(knobs, k), KNOB_TEXT_SIZE, value);
		return true;
	}
	for (size_t i = 0; choice_word(k->values, i, word); i++) {
		if (strcmp(word, value) == 0) {
			*number_of(knobs, k) = (long)i;
			return true;
		}
	}
	return false;
}

static void value_of(const struct knobs *knobs, const struct knob *k, char ret[KNOB_TEXT_SIZE])
{
	const long *number = (const long *)((const char *)knobs + k->offset);

	if (!k->values)
		snprintf(ret, KNOB_TEXT_SIZE, "%ld", *number);
	else if (!*k->values)
		set_text(ret, KNOB_TEXT_SIZE, (const char *)knobs + k->offset);
	else
		choice_word(k->values, (size_t)*number, ret);
}

void knobs_init(struct knobs *knobs)
{
	memset(knobs, 0, sizeof(*knobs));
	for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
		if (!set_one(knobs, &table[i], table[i].standard))
			abort();
	}
}

void knobs_draw(struct knobs *knobs, uint64_t seed)
{
	char word[KNOB_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
		const struct knob *k = &table[i];
		size_t words = 1;

		if (!k->draw)
			continue;
		for (const char *p = k->draw; *p; p++)
			words += *p == '|';
		choice_word(k->draw, random_next(&seed) % words, word);
		if (!set_one(knobs, k, word))
			abort();
	}
}

bool knobs_set(struct knobs *knobs, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
		if (strcmp(table[i].name, name) == 0)
			return set_one(knobs, &table[i], value);
	}
	return false;
}

struct json_object *knobs_json(const struct knobs *knobs)
{
	struct json_object *all = json_object_new_object();
	char value[KNOB_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
		value_of(knobs, &table[i], value);
		json_put_text(all, table[i].name, value);
	}
	return all;
}

void knobs_print(const struct knobs *knobs, FILE *out, bool help)
{
	char value[KNOB_TEXT_SIZE];

	for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
		const struct knob *k = &table[i];
		const char *values = !k->values ? "number" : !*k->values ? "text" : k->values;

		value_of(knobs, k, value);
		if (help)
			fprintf(out, "  %-22s %s\n  %22s %s; standard \"%s\"%s%s\n", k->name,
				k->help, "", values, k->standard,
				k->draw ? "; drawn from " : "; never drawn",
				k->draw ? k->draw : "");
		else
			fprintf(out, "knob %s = %s\n", k->name, value);
	}
}
