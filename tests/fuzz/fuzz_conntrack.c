// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include "fuzz/fuzz.h"
#include "netlink/ct.h"

/* Messages of ctnetlink: what a socket receives (kernel.c). */

static int check(const struct nlmsghdr *nlh, void *arg _unused_)
{
	uint8_t request[NL_REQUEST_MAX];
	struct ct_entry entry;
	char text[TUPLE_TEXT];
	struct err e;
	int r;

	FUZZ_POISON(entry);
	r = ct_decode(nlh, &entry);
	if (r < 0) {
		FUZZ_CHECK(r == -EBADMSG || r == -ENOMSG || r == -EPROTONOSUPPORT);
		FUZZ_UNTOUCHED(entry);
	} else {
		FUZZ_CHECK(entry.tuple.family == AF_INET || entry.tuple.family == AF_INET6);
		FUZZ_CHECK(entry.event <= CT_EVENT_DUMP);
		FUZZ_CHECK(strlen(tuple_format(&entry.tuple, text)) < TUPLE_TEXT);
		FUZZ_CHECK(ct_request_get(request, &entry.tuple));
		FUZZ_CHECK(ct_request_touch(request, &entry.tuple, entry.timeout_s));
	}
	(void)nl_ack_error(nlh, &e);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nl *nl = fuzz_kernel(data, size);

	while (nl_receive(nl, 64, check, NULL) > 0)
		;
	return 0;
}
