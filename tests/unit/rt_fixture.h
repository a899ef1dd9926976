/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/lwtunnel.h>
#include <linux/neighbour.h>
#include <string.h>
#include "netlink/rt.h"

/* The rtnetlink codec on bytes recorded from a kernel (tests/fixtures/rt; the first line of each
 * says what it is). */

#define DIRECTORY "tests/fixtures/rt"

static inline size_t read_hex(const char *name, uint8_t *bytes, size_t size)
{
	char path[300], line[256];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), DIRECTORY "/%s.hex", name);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *at = line, *end;

		if (line[0] == '#')
			continue;
		for (unsigned long v; v = strtoul(at, &end, 16), end != at; at = end) {
			assert_true(n < size && v < 256);
			bytes[n++] = (uint8_t)v;
		}
	}
	fclose(f);
	return n;
}

/* The message in memory of exactly its size, so that a sanitizer sees a step too far. */
static inline struct nlmsghdr *load(const char *name)
{
	uint8_t bytes[8192];
	size_t n = read_hex(name, bytes, sizeof(bytes));
	struct nlmsghdr *nlh = malloc(n);

	assert_non_null(nlh);
	memcpy(nlh, bytes, n);
	assert_int_equal(nlh->nlmsg_len, n);
	return nlh;
}

static inline void assert_addr(const struct ip_addr *a, const char *text)
{
	char buf[IP_ADDR_TEXT];

	assert_string_equal(ip_addr_format(a, buf), text);
}

static inline void assert_prefix(const struct ip_prefix *p, const char *text)
{
	char buf[IP_PREFIX_TEXT];

	assert_string_equal(ip_prefix_format(p, buf), text);
}
