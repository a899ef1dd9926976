// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/rt_decode.h"

#include <errno.h>
#include <string.h>

int rt_decode_begin(const struct nlmsghdr *nlh, const struct rt_kind *kind,
		    const struct nlattr **tb, const void **ret_header)
{
	size_t len = nlh->nlmsg_len, used = MNL_NLMSG_HDRLEN + MNL_ALIGN(kind->header);
	int r;

	if (nlh->nlmsg_type != kind->type_new && nlh->nlmsg_type != kind->type_del)
		return -ENOMSG;
	if (len < used)
		return -EBADMSG;
	r = nl_attr_parse((const char *)nlh + used, len - used, kind->policy, tb, kind->n_policy);
	if (r < 0)
		return r;
	*ret_header = mnl_nlmsg_get_payload(nlh);
	return 0;
}

static int addr_from_bytes(const void *bytes, size_t len, uint8_t family, struct ip_addr *ret_addr)
{
	struct ip_addr a = { .family = family };

	if ((family != AF_INET && family != AF_INET6) || len != ip_addr_size(&a))
		return -EBADMSG;
	memcpy(a.bytes, bytes, len);
	*ret_addr = a;
	return 0;
}

int rt_decode_addr(const struct nlattr *attr, uint8_t family, struct ip_addr *ret_addr)
{
	return addr_from_bytes(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), family,
			       ret_addr);
}

int rt_decode_via(const struct nlattr *attr, struct ip_addr *ret_addr)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);

	if (len < sizeof(*via) || via->rtvia_family > UINT8_MAX)
		return -EBADMSG;
	return addr_from_bytes(via->rtvia_addr, len - sizeof(*via), (uint8_t)via->rtvia_family,
			       ret_addr);
}

int rt_decode_prefix(const struct nlattr *attr, uint8_t family, uint8_t len,
		     struct ip_prefix *ret_prefix)
{
	struct ip_addr a = { .family = family };

	if ((family != AF_INET && family != AF_INET6) || len > ip_family_bits(family))
		return -EBADMSG;
	if (attr) {
		int r = rt_decode_addr(attr, family, &a);

		if (r < 0)
			return r;
	}
	*ret_prefix = ip_prefix_make(&a, len);
	return 0;
}

uint32_t rt_decode_u32(const struct nlattr *attr, uint32_t missing)
{
	return attr ? mnl_attr_get_u32(attr) : missing;
}

void rt_decode_encap(const struct nlattr *type, const struct nlattr *payload,
		     struct route_nexthop *nh)
{
	size_t len = payload ? mnl_attr_get_payload_len(payload) : 0;

	if (!type)
		return;
	nh->encap_type = mnl_attr_get_u16(type);
	if (len == 0 || len > sizeof(nh->encap))
		return;
	nh->encap_len = (uint16_t)len;
	memcpy(nh->encap, mnl_attr_get_payload(payload), len);
}
