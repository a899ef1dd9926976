// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink/rt_decode.h"

#include <errno.h>
#include <linux/nexthop.h>
#include <string.h>

static const struct nl_attr_policy nexthop_policy[NHA_FDB + 1] = {
	[NHA_ID] = { .kind = NL_ATTR_U32 },
	[NHA_GROUP] = { .kind = NL_ATTR_BINARY, .min = sizeof(struct nexthop_grp) },
	[NHA_BLACKHOLE] = { .kind = NL_ATTR_FLAG },
	[NHA_OIF] = { .kind = NL_ATTR_U32 },
	[NHA_GATEWAY] = { .kind = NL_ATTR_BINARY, .min = 4, .max = 16 },
	[NHA_ENCAP_TYPE] = { .kind = NL_ATTR_U16 },
	[NHA_ENCAP] = { .kind = NL_ATTR_BINARY },
	[NHA_FDB] = { .kind = NL_ATTR_FLAG },
};
static const struct rt_kind nexthop_kind = { RTM_NEWNEXTHOP, RTM_DELNEXTHOP, sizeof(struct nhmsg),
					     nexthop_policy, ARRAY_SIZE(nexthop_policy) };

/* A resilient group lists its members here as well; its buckets (NHA_RES_GROUP) do not matter to
 * us. */
static int decode_group(const struct nlattr *attr, struct nexthop_object *o)
{
	const struct nexthop_grp *grp = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr), n = len / sizeof(*grp);
	struct nexthop_member *members;

	if (len % sizeof(*grp) != 0)
		return -EBADMSG;
	members = calloc(n, sizeof(*members));
	if (!members)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		/* resvd1 is the weight's high byte since Linux 6.12, and zero before. The kernel
		 * refuses 65536. */
		uint32_t weight = ((uint32_t)grp[i].resvd1 << 8 | grp[i].weight) + 1;

		members[i].id = grp[i].id;
		members[i].weight = weight > UINT16_MAX ? UINT16_MAX : (uint16_t)weight;
	}
	o->members = members;
	o->n_members = n;
	return 0;
}

static int decode_single(const struct nlattr *const *tb, const struct nhmsg *nhm,
			 struct route_nexthop *nh)
{
	nh->weight = 1;
	nh->ifindex = rt_decode_u32(tb[NHA_OIF], 0);
	nh->onlink = nhm->nh_flags & RTNH_F_ONLINK;
	rt_decode_encap(tb[NHA_ENCAP_TYPE], tb[NHA_ENCAP], nh);
	if (!tb[NHA_GATEWAY])
		return 0;
	return rt_decode_addr(tb[NHA_GATEWAY], nhm->nh_family, &nh->gateway);
}

int rt_decode_nexthop(const struct nlmsghdr *nlh, struct nexthop_object *ret_object)
{
	const struct nlattr *tb[ARRAY_SIZE(nexthop_policy)];
	struct nexthop_object o = { 0 };
	const struct nhmsg *nhm;
	const void *header;
	int r;

	r = rt_decode_begin(nlh, &nexthop_kind, tb, &header);
	if (r < 0)
		return r;
	nhm = header;
	/* Groups carry no family. */
	if (nhm->nh_family != AF_INET && nhm->nh_family != AF_INET6 && nhm->nh_family != AF_UNSPEC)
		return -EBADMSG;
	/* Objects of a bridge's forwarding database route nothing. */
	if (tb[NHA_FDB])
		return -ENOMSG;
	if (!tb[NHA_ID])
		return -EBADMSG;
	o.id = mnl_attr_get_u32(tb[NHA_ID]);
	o.blackhole = tb[NHA_BLACKHOLE];
	r = tb[NHA_GROUP] ? decode_group(tb[NHA_GROUP], &o) : decode_single(tb, nhm, &o.single);
	if (r < 0)
		return r;
	*ret_object = o;
	return 0;
}

void nexthop_object_clear(struct nexthop_object *o)
{
	free(o->members);
	*o = (struct nexthop_object){ 0 };
}
