/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything about a switch that nobody knows for sure, or that a test wants otherwise. The table
 * in knobs.c has a line of help, the standard value and what a personality draws from for each.
 * Choices are kept as the index of their word in that table. */
#pragma once

#include "util.h"

#define KNOB_TEXT_SIZE 128

enum supported { SUPPORT_YES, SUPPORT_PLATFORM, SUPPORT_PARSER, SUPPORT_REJECT };
enum serialize { SERIALIZE_NONE, SERIALIZE_COMMAND, SERIALIZE_REQUEST };
enum full_shows { FULL_STATUS, FULL_WAITING };
enum expiry { EXPIRY_OLD, EXPIRY_NEW };
enum edit_mode { EDIT_LINE, EDIT_EXIT, EDIT_EXIT_DROP };
enum tie { TIE_OLDEST, TIE_NEWEST };
enum shape { SHAPE_STRING, SHAPE_LIST, SHAPE_OBJECT, SHAPE_OBJECTS };
enum ipv6_keys { IPV6_KEYS_IP6, IPV6_KEYS_IPV6, IPV6_KEYS_SAME };
enum cli_needs { NEEDS_EXEC, NEEDS_ENABLE, NEEDS_CONFIGURE };
enum lb_ipv6 { LB6_SAME, LB6_OWN, LB6_NONE };
enum lb_unable { UNABLE_EMPTY, UNABLE_MISSING, UNABLE_ERROR };
enum route_lists { LISTS_NONE, LISTS_LONGER, LISTS_ALL };
enum route6_shape { ROUTE6_VRFS, ROUTE6_FLAT };
enum arp_interface { ARP_PLAIN, ARP_WITH_PORT };
enum agent_down { AGENT_DOWN_EMPTY, AGENT_DOWN_ERROR };
enum off_shows { OFF_EMPTY, OFF_STATUS };
enum param_text { PARAM_UNEXPECTED, PARAM_KEYWORD };

struct knobs {
	/* identity */
	char model[KNOB_TEXT_SIZE], version[KNOB_TEXT_SIZE], system_mac[KNOB_TEXT_SIZE];
	long boot_wobble_ms;
	/* transport and JSON-RPC */
	char user[KNOB_TEXT_SIZE], password[KNOB_TEXT_SIZE], enable_password[KNOB_TEXT_SIZE];
	long auth, login, session_timeout_ms, aaa_ms, starts_privileged, request_ms, read_ms,
		write_ms, serialize, new_params, param_text;
	long auto_complete, max_request_bytes;
	char deny[KNOB_TEXT_SIZE];
	/* DirectFlow: what it takes */
	long directflow, shutdown_at_boot, nexthop4, nexthop6, multi_nexthop, output_interface,
		set_mac, set_vlan, timeouts, ipv6_keyword;
	long name_max, missing_is_error, edit, lists_append, edit_resets, tie;
	/* DirectFlow: hardware */
	long capacity, reserved, ipv6_entries, program_ms, program_rate, nexthop_needs_arp,
		full_shows, full_retries, expiry, rearms;
	long counter_ms, agent_keeps_hardware, agent_down, reboot_forwards;
	/* DirectFlow: how it shows */
	long detail_json, flows_by_name, pending_in_flows, off_shows, new_text_fields,
		nexthop_shape, ipv6_keys;
	char nexthop_key[KNOB_TEXT_SIZE], pending_status[KNOB_TEXT_SIZE],
		reject_status[KNOB_TEXT_SIZE];
	long tcam, tcam_group;
	char tcam_label[KNOB_TEXT_SIZE];
	/* paths and tables */
	long lb, lb_needs, lb_json, lb_ipv6, lb_unable, lb_single, lb_member, route_json,
		route_lists, route6_shape, route_weights, arp_interface;
	/* models */
	long extra_keys, numbers_as_strings, results_as_strings, config_messages;
};

void knobs_init(struct knobs *knobs);
/* Draws every knob that has something to draw from; the same seed, the same switch. */
void knobs_draw(struct knobs *knobs, uint64_t seed);
/* Sets one by its words. False when there is no such knob or value. */
bool knobs_set(struct knobs *knobs, const char *name, const char *value);
/* All as an object of strings; and as lines, with their help when asked. */
struct json_object *knobs_json(const struct knobs *knobs);
void knobs_print(const struct knobs *knobs, FILE *out, bool help);
