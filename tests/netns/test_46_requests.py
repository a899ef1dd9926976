#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How many requests a flow costs: asking which nexthop the switch chose, and writing the flow, together."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

FLOWS = 1000


def requests(lab, pattern):
    """Requests with such a command in them."""
    return {j["request"] for j in lab.commands(pattern)}


@case("1,000 connections at once", {"request-ms": 20}, FLOWS)
@case("1,000 connections, 100 at a time", {"request-ms": 20}, 100)
def at_scale(knobs, at_a_time):
    with SwitchLab(3, knobs=knobs) as lab:
        lab.resolve()
        lab.announce(["s1", "s2", "s3"])
        lab.mirror()
        beside = Beside(lab)
        pool = TcpPool(lab, 0)
        while len(pool.flows) < FLOWS:
            pool.open(at_a_time)
            wait_until(lambda: lab.sim.usage()["used"] == len(pool.flows), 20, poll=0.1)
        need(pool.result().all_held, "1,000 connections are open", pool.result)
        wait_until(lambda: lab.pinned(pool), 20, "all of them are in DirectFlow, each on its own server", poll=0.2)
        equal(len(lab.programmed()), FLOWS, "and nothing else")
        lookups, writes = requests(lab, "^show load-balance "), requests(lab, "^(no )?flow ")
        note(f"{len(lookups)} requests that ask, {len(writes)} that write: {len(lookups | writes) / FLOWS:.3f} for a flow")
        check(lookups and writes, "it was asked and written")
        check(len(lookups | writes) <= 0.2 * FLOWS, "at most 0.2 requests a flow", (len(lookups), len(writes)))
        equal(len(lab.commands("^show load-balance ")), FLOWS, "nothing is asked twice")
        equal(len(lab.commands("^flow ")), FLOWS, "nor written twice")
        check(lab.counters()["connections"] <= 4, "over a few connections that stay", lab.counters)
        equal(beside.switch()["uncertain"], 0, "none is uncertain")


@case("a single nexthop")
def single():
    """Its route is read, and no path is asked for."""
    with SwitchLab(1) as lab:
        lab.resolve()
        lab.announce(["s1"])
        lab.mirror()
        Beside(lab)
        pool = TcpPool(lab, FLOWS)
        wait_until(lambda: lab.pinned(pool), 60, "1,000 connections are in DirectFlow", poll=0.2)
        equal(lab.commands("^show load-balance "), [], "and nobody asked")
        writes = requests(lab, "^(no )?flow ")
        check(len(writes) <= 0.1 * FLOWS, "at most 0.1 requests a flow", len(writes))


main()
