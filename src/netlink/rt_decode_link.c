// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/rt_decode.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <string.h>

static const struct nl_attr_policy link_policy[IFLA_OPERSTATE + 1] = {
	[IFLA_IFNAME] = { .kind = NL_ATTR_STRING, .max = IF_NAMESIZE },
	[IFLA_OPERSTATE] = { .kind = NL_ATTR_U8 },
};
static const struct rt_kind link_kind = { RTM_NEWLINK, RTM_DELLINK, sizeof(struct ifinfomsg),
					  link_policy, ARRAY_SIZE(link_policy) };

static const struct nl_attr_policy address_policy[IFA_LOCAL + 1] = {
	[IFA_ADDRESS] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[IFA_LOCAL] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
};
static const struct rt_kind address_kind = { RTM_NEWADDR, RTM_DELADDR, sizeof(struct ifaddrmsg),
					     address_policy, ARRAY_SIZE(address_policy) };

static const struct nl_attr_policy neighbour_policy[NDA_FLAGS_EXT + 1] = {
	[NDA_DST] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[NDA_LLADDR] = { .kind = NL_ATTR_BINARY, .max = 32 },
	[NDA_PROTOCOL] = { .kind = NL_ATTR_U8 },
	[NDA_FLAGS_EXT] = { .kind = NL_ATTR_U32 },
};
static const struct rt_kind neighbour_kind = { RTM_NEWNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg),
					       neighbour_policy, ARRAY_SIZE(neighbour_policy) };

int rt_decode_link(const struct nlmsghdr *nlh, struct link *ret_link)
{
	const struct nlattr *tb[ARRAY_SIZE(link_policy)];
	const struct ifinfomsg *ifi;
	struct link link = { 0 };
	const void *header;
	uint8_t operstate;
	int r;

	r = rt_decode_begin(nlh, &link_kind, tb, &header);
	if (r < 0)
		return r;
	ifi = header;
	/* A bridge speaks of its ports in messages of the same type: an RTM_DELLINK among them
	 * removes a port, no link. */
	if (ifi->ifi_family != AF_UNSPEC)
		return -ENOMSG;
	if (ifi->ifi_index <= 0 || !tb[IFLA_IFNAME])
		return -EBADMSG;
	operstate = tb[IFLA_OPERSTATE] ? mnl_attr_get_u8(tb[IFLA_OPERSTATE]) : IF_OPER_UNKNOWN;
	link.ifindex = (uint32_t)ifi->ifi_index;
	snprintf(link.name, sizeof(link.name), "%.*s",
		 (int)mnl_attr_get_payload_len(tb[IFLA_IFNAME]), mnl_attr_get_str(tb[IFLA_IFNAME]));
	link.up = ifi->ifi_flags & IFF_UP;
	link.carrier = ifi->ifi_flags & IFF_LOWER_UP && operstate != IF_OPER_DOWN &&
		       operstate != IF_OPER_LOWERLAYERDOWN;
	link.pointopoint = ifi->ifi_flags & IFF_POINTOPOINT;
	link.noarp = ifi->ifi_flags & IFF_NOARP;
	link.loopback = ifi->ifi_flags & IFF_LOOPBACK;
	*ret_link = link;
	return 0;
}

int rt_decode_address(const struct nlmsghdr *nlh, struct address *ret_address)
{
	const struct nlattr *tb[ARRAY_SIZE(address_policy)];
	struct address address = { 0 };
	const struct ifaddrmsg *ifa;
	const void *header;
	int r;

	r = rt_decode_begin(nlh, &address_kind, tb, &header);
	if (r < 0)
		return r;
	ifa = header;
	if (!tb[IFA_ADDRESS] && !tb[IFA_LOCAL])
		return -EBADMSG;
	address.ifindex = ifa->ifa_index;
	/* On a point-to-point link IFA_ADDRESS is the peer's, and the connected prefix is the
	 * peer's too. */
	r = rt_decode_prefix(tb[IFA_ADDRESS] ?: tb[IFA_LOCAL], ifa->ifa_family, ifa->ifa_prefixlen,
			     &address.prefix);
	if (r < 0)
		return r;
	r = rt_decode_addr(tb[IFA_LOCAL] ?: tb[IFA_ADDRESS], ifa->ifa_family, &address.addr);
	if (r < 0)
		return r;
	*ret_address = address;
	return 0;
}

int rt_decode_neighbour(const struct nlmsghdr *nlh, struct neighbour *ret_neighbour)
{
	const struct nlattr *tb[ARRAY_SIZE(neighbour_policy)];
	struct neighbour n = { 0 };
	const struct ndmsg *ndm;
	const void *header;
	int r;

	r = rt_decode_begin(nlh, &neighbour_kind, tb, &header);
	if (r < 0)
		return r;
	ndm = header;
	if (!tb[NDA_DST])
		return -EBADMSG;
	r = rt_decode_addr(tb[NDA_DST], ndm->ndm_family, &n.addr);
	if (r < 0)
		return r;
	n.ifindex = (uint32_t)ndm->ndm_ifindex;
	n.state = ndm->ndm_state;
	n.flags = ndm->ndm_flags;
	n.ext_flags = rt_decode_u32(tb[NDA_FLAGS_EXT], 0);
	n.protocol = tb[NDA_PROTOCOL] ? mnl_attr_get_u8(tb[NDA_PROTOCOL]) : 0;
	if (tb[NDA_LLADDR]) {
		size_t len = mnl_attr_get_payload_len(tb[NDA_LLADDR]);

		if (len > sizeof(n.lladdr))
			return -EBADMSG;
		memcpy(n.lladdr, mnl_attr_get_payload(tb[NDA_LLADDR]), len);
		n.lladdr_len = (uint8_t)len;
	}
	*ret_neighbour = n;
	return 0;
}
