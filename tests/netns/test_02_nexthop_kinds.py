#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 2: what row 1 asks for holds with every kind of nexthop and every way to give a route."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

KINDS = [
    # title, topology, the route, destination
    ("IPv6", standard, lambda lab: Plain(lab, 6), VIP6),
    ("IPv4 through IPv6 nexthops", standard, lambda lab: Plain(lab, 4, via=6), VIP4),
    ("nexthops on one interface, IPv4", segment, lambda lab: Plain(lab, 4), VIP4),
    ("nexthops on one interface, IPv6", segment, lambda lab: Plain(lab, 6), VIP6),
    ("one link-local address on all interfaces, IPv6", standard, lambda lab: Plain(lab, 6, via="ll"), VIP6),
    ("one link-local address on all interfaces, IPv4", standard, lambda lab: Plain(lab, 4, via="ll"), VIP4),
    ("nexthop group, IPv4", standard, lambda lab: Groups(lab, 4), VIP4),
    ("nexthop group, IPv6", standard, lambda lab: Groups(lab, 6), VIP6),
    ("nexthop group, IPv4 through link-local nexthops", standard, lambda lab: Groups(lab, 4, via="ll"), VIP4),
    ("nexthop group on one interface, IPv6", segment, lambda lab: Groups(lab, 6), VIP6),
    ("resilient group, IPv4", standard, lambda lab: Groups(lab, 4, kind="resilient"), VIP4),
    ("resilient group, IPv6", standard, lambda lab: Groups(lab, 6, kind="resilient"), VIP6),
]

for title, topology, routing, target in KINDS:
    case(title, lambda t=topology: t(4), routing, target)(hold_through_changes)


@case("a nexthop object deleted under its group")
def object_deleted():
    """`ip nexthop del` takes it out of the group without a message about the route."""
    with standard(3) as lab:
        routing = Groups(lab)
        routing.set(["s1", "s2", "s3"])
        Daemon(lab)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        lab.ip("gw", f"nexthop del id {routing.ids['s2']}")
        check(pool.exchange().all_held, "200 connections held", pool.result)
        check(set(pool.probe()) == {"s1", "s3"}, "new connections only on the two that are left")


@case("both families at once")
def both_families():
    """One server is withdrawn for IPv4 only; its IPv6 nexthop is another one and feels nothing."""
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        lab.route(["s1", "s2", "s3"], 6)
        Daemon(lab)
        four, six = TcpPool(lab), TcpPool(lab, target=VIP6)
        need(four.result().all_held and six.result().all_held, "400 connections open")
        lab.route(["s1", "s3"])
        check(four.exchange().all_held, "200 IPv4 connections held", four.result)
        check(six.exchange().all_held, "200 IPv6 connections held", six.result)
        check(set(four.probe()) == {"s1", "s3"}, "new IPv4 connections keep off s2")
        check(set(six.probe()) == {"s1", "s2", "s3"}, "new IPv6 connections use all three")


main()
