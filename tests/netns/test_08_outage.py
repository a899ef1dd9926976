#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 8: the whole segment of the servers is down for five seconds and comes back: nobody's flow
moves. When one server does not come back, only its flows move."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

FAMILIES = (4, 6)
VIP = {4: VIP4, 6: VIP6}
ALL = ["s1", "s2", "s3"]
DOWN = 5  # seconds
HOLD = 8
CONFIG = WEB + f"liveness {{ outage-hold = {HOLD}s }}\n"


# How a segment fails, and how it comes back.

def carrier_lost(lab):
    lab.ip("br", "link set gw down")
    return lambda: lab.ip("br", "link set gw up")


def cut_behind_the_switch(lab):
    """The gateway keeps its carrier, and nobody answers it."""
    lab.ip("br", "link set gw nomaster")
    return lambda: lab.ip("br", "link set gw master br0")


def states(d):
    """{nexthop: state}"""
    return {b["nexthop"]: b["state"] for b in d.nexthops()}


class _World:
    """200 TCP connections in each family, and UDP flows beside them, on a segment of three servers."""

    def __init__(self, lab):
        self.lab = lab
        for family in FAMILIES:
            lab.route(ALL, family)
        self.d = Daemon(lab, CONFIG)
        self.tcp = [TcpPool(lab, target=VIP[f]) for f in FAMILIES]
        self.udp = [UdpPool(lab, 60, target=VIP[f]) for f in FAMILIES]
        self.pools = self.tcp + self.udp
        for pool in self.pools:
            need(pool.result().all_held and set(pool.by_server()) == set(ALL),
                 f"{len(pool.flows)} connections open on three servers", pool.result)
        wait_until(lambda: len(self.d.nexthops()) == 6
                   and all(b["health"] == "alive" for b in self.d.nexthops()), 10, "all nexthops are seen alive")
        self.home = {flow: flow.server for pool in self.pools for flow in pool.flows}
        for pool in self.pools:
            pool.start()

    def outage(self, fail, meanwhile=lambda: None):
        """The segment fails for five seconds; the flows talk on all the time."""
        began = time.monotonic()
        repair = fail(self.lab)
        meanwhile()
        wait_until(lambda: set(states(self.d).values()) == {"unreachable"}, 20, "all nexthops are unreachable")
        equal(self.d.status()["overrides"], [], "and nobody is kept off a nexthop")
        time.sleep(max(0, began + DOWN - time.monotonic()))
        equal(set(states(self.d).values()), {"unreachable"}, f"still so after {DOWN} seconds")
        repair()

    def judge(self, what, servers):
        """All flows that began on these servers are held."""
        for pool, name in zip(self.pools, ("IPv4", "IPv6", "IPv4, UDP", "IPv6, UDP")):
            flows = [f for f in pool.flows if self.home[f] in servers]
            result = pool.exchange(20, flows=flows)
            check(result.all_held, f"{what}: {len(flows)} flows held, {name}", result)


@case("the carrier is lost", carrier_lost)
@case("nobody answers", cut_behind_the_switch)
def all_come_back(fail):
    with segment(3) as lab:
        w = _World(lab)
        w.outage(fail)
        wait_until(lambda: set(states(w.d).values()) == {"active"}, 20, "all are active again")
        w.judge("everybody is back", ALL)
        for pool in w.tcp:
            fresh = pool.probe(60)
            check(set(fresh) == set(ALL), "new connections go everywhere", fresh)
        time.sleep(seconds(HOLD - DOWN + 1))  # past the end of the hold: nothing was left to be decided
        equal(set(states(w.d).values()), {"active"}, "and nobody is given up later")
        w.judge("later", ALL)
        check(w.d.verify_clean(), "flowpin verify finds no difference")


@case("one server does not come back: the carrier is lost", carrier_lost)
@case("one server does not come back: nobody answers", cut_behind_the_switch)
def one_stays_away(fail):
    with segment(3) as lab:
        w = _World(lab)
        lost = {lab.nexthop("s2", f) for f in FAMILIES}
        w.outage(fail, lambda: lab.ip("br", "link set s2 down"))
        wait_until(lambda: {n for n, s in states(w.d).items() if s == "active"} == set(states(w.d)) - lost, 20,
                   "s1 and s3 are active again")
        w.judge("the others", ["s1", "s3"])
        wait_until(lambda: {n for n, s in states(w.d).items() if s == "dead"} == lost, 5 * HOLD,
                   "s2 is dead once the hold has ended")
        for pool in w.tcp:
            # The next packet of a flow is a retransmission, whose timer has doubled all through the outage; or there is none to
            # be sent again, where only the answer was lost.
            pool.keep_alive(pool.on("s2"))
            wait_until(lambda p=pool: not p.on("s2"), 60, "its connections are ended by another server")
            gone = [f for f in pool.flows if f.state == "broken"]
            check(gone and all(f.reason == "ECONNRESET (was on s2)" for f in gone), "by a reset, and only its",
                  lambda p=pool: p.result())
            fresh = pool.probe(60)
            check(set(fresh) == {"s1", "s3"}, "new connections avoid it", fresh)
        for pool in w.udp:
            result = pool.exchange()
            check(result.moved > 0 and not result.broken and "s2" not in pool.by_server()
                  and all(why.startswith("s2 -> ") for why in result.reasons), "its UDP flows go on elsewhere", result)
        w.judge("the others, later", ["s1", "s3"])


main()
