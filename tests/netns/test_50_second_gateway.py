#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second gateway: keepalived and conntrackd as flowpin-ha(7) configures them. TCP, UDP, IPv4 and IPv6 connections outlive the loss
of the first gateway (a link, its power), changes of nexthops after that, and its return."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from halab import HaLab, held, same, takeover
from lab import VIP6

KINDS = {"TCP": (TcpPool, 200, None), "UDP": (UdpPool, 50, None), "TCP over IPv6": (TcpPool, 50, VIP6), "UDP over IPv6": (UdpPool, 50, VIP6)}
TOTAL = sum(n for _, n, _ in KINDS.values())


def open_pools(lab):
    pools = {}
    for kind, (make, n, target) in KINDS.items():
        pools[kind] = make(lab, n, **({"target": target} if target else {}))
        need(pools[kind].result().all_held and len(pools[kind].by_server()) == 3, f"{n} connections, {kind}", pools[kind].result)
        pools[kind].start(0.1)
    return pools


@case("link", "link_down", "link_up")
@case("power", "power_off", "power_on")
def lost(lose, back):
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start()
        pools = open_pools(lab)
        takeover(lab, pools, getattr(lab, lose), f"gw1 is lost ({lose})", gw1, gw2, TOTAL)
        lab.announce(["s1", "s3"])
        held(pools, "s2 is withdrawn")
        lab.announce(["s1", "s3", "s4"])
        held(pools, "s4 is added")
        getattr(lab, back)("gw1")
        held(pools, "gw1 is back")
        check(gw2.active() and not gw1.active(), "and does not take the addresses")
        takeover(lab, pools, lab.power_off, "gw2 loses power", gw2, gw1, TOTAL)
        lab.announce(["s1", "s2", "s3", "s4"], ["gw1"])
        held(pools, "s2 returns")


@case("reboot")
def reboot():
    """The first gateway loses power and all that it knew; a server is withdrawn before it is back, so no route there ever named it."""
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start()
        pools = open_pools(lab)
        takeover(lab, pools, lab.power_off, "gw1 loses power", gw1, gw2, TOTAL)
        lab.wipe("gw1")
        equal(gw1.entries(), {}, "gw1 knows nothing any more")
        lab.announce(["s1", "s3", "s4"])
        held(pools, "s2 is withdrawn")
        lab.power_on("gw1", routes=False)
        gw1.start()
        same(gw2, gw1, TOTAL)
        states = {s: gw1.states(s) for s in lab.servers}
        equal(states, {"s1": {"draining"}, "s2": {"draining"}, "s3": {"draining"}, "s4": set()}, "gw1 has no route yet, and nexthops for their marks")
        lab.announce(lab.named, ["gw1"])
        wait_until(lambda: gw1.states("s1") | gw1.states("s3") | gw1.states("s4") == {"active"}, 10, "it gets the routes: they are active")
        takeover(lab, pools, lab.link_down, "gw2 is lost", gw2, gw1, TOTAL)
        on_s2 = sum(len(pool.on("s2")) for pool in pools.values())
        equal(gw1.flows("s2"), on_s2, "gw1 counts the flows of s2")
        equal(gw1.states("s2"), {"draining"}, "which is draining there")
        equal(set(pools["TCP"].probe(50)), {"s1", "s3", "s4"}, "and gets no new ones")
        lab.announce(["s1", "s2", "s3", "s4"], ["gw1"])
        held(pools, "s2 returns")
        wait_until(gw1.d.verify_clean, 10, "verify is clean", poll=0.2)


main()
