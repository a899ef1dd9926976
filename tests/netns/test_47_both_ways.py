#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Both ways: a flow learned from the switch is pinned on the gateway too, and a flow of the gateway in the switch, so that traffic may
move between both in the middle of a connection, as often as it likes, and stays on its server."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

IDLE, N = 6, 40


def begin(lab, plane):
    """N connections of each protocol that began over that plane and are known to the other one."""
    lab.resolve()
    lab.announce(["s1", "s2"])
    lab.route(["s1", "s2"])
    lab.client_via(plane)
    lab.answers_via(plane)
    if plane == "sw":
        lab.mirror(["syn", "udp"])
    beside = Beside(lab, idle=f"{IDLE}s", more="expiry = flowpin")
    wait_until(lambda: {b["state"] for b in beside.d.nexthops("web") if ":" not in b["nexthop"]} == {"active"}, 10, "the nexthops are known")
    pools = {"tcp": TcpPool(lab, N), "udp": UdpPool(lab, N)}
    for protocol, pool in pools.items():
        need(pool.result().all_held and len(pool.by_server()) == 2, f"{protocol}: {N} connections are open, on both servers", pool.result)
        pool.start(0.3)
    for protocol, pool in pools.items():
        wait_until(lambda: lab.pinned(pool, protocol), 60, f"{protocol}: each is in DirectFlow, on its own server", poll=0.1)
    wait_until(lambda: lab.pins() == 2 * N, 30, "and has a pin on the gateway", poll=0.1)
    wait_until(lambda: beside.switch()["programmed"] == 2 * N, 30, "and is known to be programmed", poll=0.1)
    return beside, pools


def held(pools, text):
    for protocol, pool in pools.items():
        r = pool.exchange()
        check(r.all_held, f"{protocol}: {text}", r)


def stay(lab, beside, text):
    """Longer than an idle timeout on one plane: the other one must not forget."""
    end, low = time.monotonic() + 1.5 * IDLE, (2 * N, 2 * N)
    while time.monotonic() < end:
        low = min(low[0], len(lab.programmed())), min(low[1], lab.pins())
        time.sleep(0.3)
    equal(low, (2 * N, 2 * N), f"{text}: all stay in DirectFlow and in the pin map")
    equal(beside.switch()["removed"], [], "nothing was deleted")


@case("flows that began over the gateway", "gw")
@case("flows that the mirror of the switch told of", "sw")
def move(plane):
    other = {"gw": "sw", "sw": "gw"}
    with SwitchLab(3, shared=True) as lab:
        beside, pools = begin(lab, plane)
        # Those that the gateway sees both sides close leave the switch, and are then listed as long as conntrack has them.
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_tcp_timeout_time_wait": IDLE})
        # Whichever plane they meet, its own ECMP would now choose anew.
        lab.announce(["s2", "s3"])
        lab.route(["s1", "s3"])
        check(sum(lab.asic(f) != f.server for f in pools["tcp"].flows) > N / 4, "the switch's ECMP would move many of them")
        where = {p: [f.server for f in pool.flows] for p, pool in pools.items()}
        held(pools, "the routes of both planes changed: none moved")
        for turn in range(5):
            plane = other[plane]
            lab.client_via(plane)
            if turn != 1:  # answers may take the other way for a while
                lab.answers_via(plane)
            held(pools, f"the client's packets take {'the switch' if plane == 'sw' else 'the gateway'} (turn {turn + 1}): none moved")
            if turn in (0, 1):
                stay(lab, beside, "longer than an idle timeout on one side")
        equal({p: [f.server for f in pool.flows] for p, pool in pools.items()}, where, "each is on the server that it began on")
        for pool in pools.values():
            pool.end()
        wait_until(lambda: not lab.programmed() and not lab.sim.flows(), 10 * IDLE, "they end: the switch is empty", poll=0.2)
        wait_until(lambda: not beside.d.flows() and lab.pins() == 0, 10 * IDLE, "and so are flow table and pin map", poll=0.2)
        wait_until(beside.d.verify_clean, 30, "verify is clean", poll=0.3)


main()
