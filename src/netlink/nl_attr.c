// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include "netlink/nl.h"

/* Sizes of the kinds whose size is fixed; the others are judged in nl_attr_check(). */
static const uint8_t fixed_size[] = {
	[NL_ATTR_U8] = 1,
	[NL_ATTR_U16] = 2,
	[NL_ATTR_U32] = 4,
	[NL_ATTR_U64] = 8,
};

/* libmnl's accessors are calls into a shared library; on this path, that of every event, they would
 * cost more than the work does. */
static bool nl_attr_check(const struct nlattr *attr, const struct nl_attr_policy *p)
{
	size_t len = attr->nla_len - (size_t)NLA_HDRLEN;
	const char *text = (const char *)attr + NLA_HDRLEN;

	switch (p->kind) {
	case NL_ATTR_NONE:
		return true;
	case NL_ATTR_U8:
	case NL_ATTR_U16:
	case NL_ATTR_U32:
	case NL_ATTR_U64:
		return len == fixed_size[p->kind];
	case NL_ATTR_STRING:
		/* The NUL inside the payload is what lets the caller use it as a C string. */
		return len > 0 && text[len - 1] == '\0' && (p->max == 0 || len <= p->max);
	case NL_ATTR_BINARY:
		return len >= p->min && (p->max == 0 || len <= p->max);
	case NL_ATTR_NESTED:
		return len == 0 || len >= sizeof(struct nlattr);
	case NL_ATTR_FLAG:
		return len == 0;
	}
	return false;
}

int nl_attr_parse(const void *payload, size_t len, const struct nl_attr_policy *policy,
		  const struct nlattr **tb, size_t n)
{
	const uint8_t *at = payload;

	memset(tb, 0, n * sizeof(*tb));
	while (len > 0) {
		const struct nlattr *attr = (const struct nlattr *)at;
		size_t step;
		uint16_t type;

		if (len < sizeof(*attr) || attr->nla_len < sizeof(*attr) || attr->nla_len > len)
			return -EBADMSG;
		type = attr->nla_type & NLA_TYPE_MASK;
		if (type < n && policy[type].kind != NL_ATTR_NONE) {
			if (!nl_attr_check(attr, &policy[type]))
				return -EBADMSG;
			tb[type] = attr;
		}
		/* The last one may come without its padding. */
		step = MNL_ALIGN((size_t)attr->nla_len);
		if (step >= len)
			break;
		at += step;
		len -= step;
	}
	return 0;
}
