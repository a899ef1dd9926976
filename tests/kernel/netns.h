/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <errno.h>
#include <net/if.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "netlink/nl.h"

/* For cmocka programs that test against this machine's kernel, inside a network namespace which
 * belongs to the program alone and ends with it. */

#define NETNS_DEADLINE_MS 10000

/* Moves the process into a new network namespace with lo up. False (and why, on stdout) when it
 * cannot be: skip. */
static inline _unused_ bool netns_enter(void)
{
	_cleanup_(nl_closep) struct nl *nl = NULL;
	struct ifinfomsg *link;
	uint8_t buf[256];
	struct nlmsghdr *nlh;

	if (unshare(CLONE_NEWNET) < 0) {
		printf("# skipped: no network namespace: %s\n", strerror(errno));
		return false;
	}
	if (nl_open(NETLINK_ROUTE, &nl) < 0)
		return false;
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_NEWLINK;
	link = mnl_nlmsg_put_extra_header(nlh, sizeof(*link));
	link->ifi_index = 1; /* lo, in every namespace */
	link->ifi_flags = IFF_UP;
	link->ifi_change = IFF_UP;
	return nl_request(nl, nlh, NULL, NULL, NULL) == 0;
}

/* Tests without their namespace are skipped; cmocka counts them. */
#define NETNS_OR_SKIP(state)         \
	do {                         \
		if (*(state) == NULL) \
			skip();      \
	} while (0)
