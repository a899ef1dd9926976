#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 1: nexthops withdrawn, added and re-added, weights and hash policy changed: no connection
breaks, and new connections use only nexthops in the route."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa


@case("IPv4")
def ipv4():
    hold_through_changes(lambda: standard(4), lambda lab: Plain(lab, 4), VIP4)


@case("while the routing daemon flaps")
def flapping():
    """Ten changes in a row, quicker than anybody could follow one by one."""
    with standard(4) as lab:
        routes = [["s1", "s2", "s3"], ["s1"], ["s2", "s3", "s4"], ["s4"], ["s1", "s2", "s3", "s4"]]
        lab.route(routes[0])
        Daemon(lab)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.start(0.05)
        for i in range(10):
            lab.route(routes[(i + 1) % len(routes)])
            pool.open(10)
        check(pool.exchange().all_held, "300 connections held through ten changes", pool.result)
        lab.route(["s2"])
        check(pool.exchange().all_held, "and when one nexthop is left", pool.result)
        equal(set(pool.probe()), {"s2"}, "new connections go there")


@case("the route is gone for a moment")
def route_gone():
    """A routing daemon that restarts deletes the route and adds it again; the flows go on in
    between."""
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        Daemon(lab)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        lab.route([])
        check(pool.exchange(5).all_held, "200 connections held without a route", pool.result)
        lab.route(["s3", "s1", "s2"])
        check(pool.exchange().all_held, "and when it is back, in another order", pool.result)


main()
