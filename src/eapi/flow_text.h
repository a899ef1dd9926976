/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdint.h>
#include "base/addr.h"
#include "config/switch_config.h"
#include "eapi/commands.h"
#include "netlink/tuple.h"

/* Names of flows in a switch, and the commands that write them. A name is a pure function of prefix
 * and 5-tuple and leads back to it, whatever the switch's models hide:
 * "fp-gw1-tcp-12_12_12_1-30001-1_1_1_1-80"; an IPv6 flow has its 36 bytes in base64 with '_' and
 * '-': "fp-gw1-T" and 48 characters. */

#define FLOW_NAME 65 /* with the NUL: nobody has seen how long EOS takes them */

/* Writes it into buf (FLOW_NAME bytes) and returns buf. `prefix` is at most 15 characters. The zone
 * is not part of it. */
const char *flow_name_format(const char *prefix, const struct tuple *t, char *buf);
/* The tuple (zone 0) of a name that flow_name_format() could have made with this prefix. -ENOENT:
 * another prefix. -EINVAL: ours by its prefix, but no such name. */
int flow_name_parse(const char *prefix, const char *name, struct tuple *ret_tuple) _must_check_;

/* Where a flow is to go. The layer 2 texts are needed for SWITCH_ACTION_L2 only. */
struct flow_target {
	struct ip_addr nexthop;
	char interface[64]; /* as the switch names it */
	uint16_t vlan;	    /* 0: none, a routed port */
	char mac[18];	    /* "00:1c:73:00:00:01" */
	uint32_t idle_timeout_s;
};

/* `enable`, `configure`, `directflow`, and `no shutdown` where that is wanted. Without memory
 * c->failed is set, as by the next. */
void flow_text_begin(const struct switch_config *s, struct commands *c);
/* "no flow NAME". */
void flow_text_delete(const char *name, struct commands *c);
/* Deletes the name, if that is wanted, and defines it anew: matches before everything, the action
 * last, so that what a request that ended in the middle leaves behind matches no packets of others
 * and does nothing. -EOPNOTSUPP: flows of this family are not placed by configuration;
 * -EHOSTUNREACH: the action needs what `target` does not have; -ENOMEM. */
int flow_text_add(const struct switch_config *s, const char *name, const struct tuple *t,
		  const struct flow_target *target, bool delete_first,
		  struct commands *c) _must_check_;
/* What is configured for this address family. */
enum switch_action flow_text_action(const struct switch_config *s, uint8_t family);
