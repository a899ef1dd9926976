/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "eapi/reading.h"

/* What the readers of JSON and of text share. */

/* The entry of a flow, made where it is not there. NULL without memory. */
struct flow_reading *reading_flow(struct reading *r, const struct tuple *t);
/* The status of a flow, and the text that tells it, made printable. */
void reading_set_status(const struct switch_config *s, struct flow_reading *f, const char *text);
/* An address at the beginning of a text: also "10.0.0.1 (Ethernet3)" and "10.0.0.1/32". -EINVAL. */
int reading_parse_addr(const char *text, struct ip_addr *ret_addr) _must_check_;
/* "001c.7300.0001", "00:1c:73:00:00:01" and the like into the latter form (18 bytes). -EINVAL. */
int mac_parse(const char *text, char *ret_mac) _must_check_;
