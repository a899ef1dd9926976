/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"

/* What a `switch` section says. Read by every daemon: flowpind (place, limits, group),
 * flowpin-mirror (mirror) and flowpin-eapi (the rest). Whatever is uncertain about EOS is a key
 * here. Texts are NUL-terminated,
 * "" where a key was left out; times are in milliseconds. */

#define SWITCH_NAME_MAX 16 /* with the NUL, as in mirror records and in flow names */
#define SWITCHES_MAX	32
#define SWITCH_TEXT	256
#define SWITCH_LINES	6 /* of a list of commands or texts */
#define SWITCH_LINE	192

enum switch_place {
	SWITCH_PLACE_NONE, /* nothing is placed */
	SWITCH_PLACE_ALL,
	SWITCH_PLACE_ESTABLISHED,
	SWITCH_PLACE_HEAVY,
	SWITCH_PLACE_DRAINING,
};

enum switch_expiry {
	SWITCH_EXPIRY_SWITCH,  /* `timeout idle` in the flow */
	SWITCH_EXPIRY_FLOWPIN, /* no timeout there: flowpind expires by the counters */
};

enum switch_auth {
	SWITCH_AUTH_BASIC,
	SWITCH_AUTH_SESSION, /* POST /login and a cookie */
};

enum switch_action {
	SWITCH_ACTION_NEXTHOP,
	SWITCH_ACTION_L2,     /* interface, VLAN and destination MAC */
	SWITCH_ACTION_REFUSE, /* flows of this family are not placed */
};

enum switch_status {
	SWITCH_STATUS_BOTH, /* JSON, and text for what JSON hides */
	SWITCH_STATUS_JSON,
	SWITCH_STATUS_TEXT,
};

enum switch_payload { /* what is behind GRE headers that do not tell, */
		      SWITCH_PAYLOAD_AUTO,
		      SWITCH_PAYLOAD_ETHERNET,
		      SWITCH_PAYLOAD_IP,
};

struct switch_mirror {
	bool present;
	struct ip_addr source,
		destination; /* of the outer packet; both of one family, always given */
	char ifname[16];     /* where it arrives; always given */
	bool has_key;
	uint32_t key;	   /* of GRE */
	uint16_t protocol; /* of GRE, to be read as 0x88be is, besides that; 0: none */
	enum switch_payload payload;
	uint16_t zone;	    /* conntrack zone of its flows; 1 .. 65535, each switch another */
	uint32_t max_flows; /* conntrack entries of this switch; 20000 */
	uint32_t max_flows_per_source; /* of these with a source in the same /24 or /64; 1000 */
};

struct switch_lines {
	char line[SWITCH_LINES][SWITCH_LINE];
	uint32_t n;
	bool set; /* given in the file: the defaults are gone */
};

struct switch_config {
	char name[SWITCH_NAME_MAX];

	/* How to reach it. */
	char url[SWITCH_TEXT]; /* https://HOST[:PORT]/PATH; http:// only with allow_http */
	char username[65];
	char password_file[SWITCH_TEXT];	/* absolute, or a name in $CREDENTIALS_DIRECTORY */
	char enable_password_file[SWITCH_TEXT]; /* the same for `enable` */
	char ca_file[SWITCH_TEXT];
	char tls_pin[128]; /* "sha256//BASE64" */
	bool allow_http;
	enum switch_auth auth;
	char api_version[8];	     /* "1", "latest" */
	bool api_timestamps;	     /* ask for the execution time; not known by old EOS */
	uint32_t connect_timeout_ms; /* 5000 */
	uint32_t request_timeout_ms; /* 30000 */
	uint32_t login_retry_ms;     /* 60000: first wait after a refused login; doubles */
	uint32_t answer_max;	     /* bytes of one answer; by max_flows */

	/* Which flows. Used by flowpind. */
	struct switch_mirror mirror;
	enum switch_place place;
	bool place_set;
	char group[SWITCH_NAME_MAX];
	uint32_t max_flows;	    /* 1000 */
	uint32_t reserve;	    /* of max_flows, kept for drains; 0 */
	uint32_t min_age_ms;	    /* 5000: of a mirrored flow for `established` */
	uint32_t heavy_interval_ms; /* 30000 */
	uint32_t idle_timeout_ms;   /* 300000 */
	uint32_t poll_interval_ms;  /* 5000 */
	bool dry_run;

	/* How they are written. */
	enum switch_expiry expiry;
	enum switch_action action4, action6; /* nexthop, l2-rewrite */
	struct switch_lines nexthop_lines;   /* {nexthop} */
	struct switch_lines
		l2_lines;  /* {interface} {vlan} {mac}; a line whose value is missing is left out */
	uint32_t priority; /* 100 */
	bool match_ingress;		     /* `match input interface`, from ingress_interface */
	bool no_shutdown;		     /* send it in front of each batch; true */
	char configure_command[SWITCH_LINE]; /* "configure" */
	uint32_t batch_flows;		     /* 20 */
	uint32_t batch_commands;	     /* 500: at most, in one request */
	uint32_t pace_commands;		     /* a second; 0: only what the answers' times suggest */
	uint32_t attempts; /* a flow that is refused is tried again this often; 3 */
	uint32_t room_retry_ms; /* 15000: first wait before more than fitted is tried; doubles */

	/* What is read. */
	enum switch_status status;
	struct switch_lines status_programmed, status_pending, status_rejected, status_inactive;
	char tcam_command[SWITCH_LINE]; /* "show platform trident tcam"; "" : do not ask */
	uint32_t capacity;		/* of the table, in entries; 0: learned */
	uint32_t ipv6_entries;		/* that one IPv6 flow takes; 2 */
	uint32_t text_interval_ms;	/* between readings of the text; 60000 */
	uint32_t tcam_interval_ms;	/* 60000 */

	/* Which nexthop the switch chose. */
	bool lookup;			   /* ask; true. Otherwise only single nexthops are told */
	char ingress_interface[64];	   /* "" : by the route back to the source */
	char vrf[64];			   /* "default" */
	struct switch_lines lookup_prefix; /* commands in front; {"enable"} */
	char lookup4[SWITCH_LINE],
		lookup6[SWITCH_LINE]; /* {ingress} {src} {dst} {proto} {sport} {dport} */
	char lookup_key[64];	      /* "outputIntf" */
	char lookup_failure[64];      /* "unable", without regard to case */
	uint32_t lookup_batch;	      /* flows in one request; 50 */
};

/* Of the section as it was read, passwords' contents not included; two programs with the same
 * digest read the same. Writes 32 hexadecimal digits into buf (SWITCH_DIGEST bytes), returns it. */
#define SWITCH_DIGEST 33
const char *switch_config_digest(const struct switch_config *s, char *buf);

/* The word of the configuration: "none", "heavy", ... */
const char *switch_place_name(enum switch_place place);
