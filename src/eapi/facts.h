/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "config/switch_config.h"
#include "eapi/json.h"

/* Small answers of a switch: its version and boot, its TCAM, which interface it would choose. */

struct version_facts {
	char version[48], model[48], serial[48];
	double boot, uptime; /* seconds; negative: not told */
};
/* False: no model of `show version`. */
bool version_read(struct json_object *model, struct version_facts *ret_facts);

/* Whether the switch was restarted between two readings `elapsed_s` apart. bootupTimestamp alone
 * moves with the clock (NTP) while the uptime goes on, so uptime decides where it is told; without
 * it a difference of more than a minute does. */
bool version_rebooted(const struct version_facts *before, const struct version_facts *now,
		      double elapsed_s);

/* From the text of the TCAM command: entries of the group in use and to be had. False: DirectFlow
 * is not in it. */
bool tcam_read(const char *text, uint32_t *ret_used, uint32_t *ret_more);

/* The interface that the switch answers for a flow, from JSON or from text ("Output Interface:
 * Ethernet43"). 0 and a normalized name (64 bytes); -ENODATA: it says that it cannot tell;
 * -EBADMSG: neither. */
int path_read(const struct switch_config *s, struct json_object *result,
	      char *ret_interface) _must_check_;
