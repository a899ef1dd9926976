#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fault of a switch's API in the request that asks which nexthop it chose: afterwards the flows are asked for again, and pinned
if their route was the same all the time. If it was not, they stay uncertain."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import ZONE, Beside, SwitchLab

FAULTS = [
    ("reset in the answer", {"kind": "reset"}), ("truncated", {"kind": "truncate"}), ("a result too few", {"kind": "short"}),
    ("another id", {"kind": "foreign-id"}), ("silence", {"kind": "silence"}), ("silence, half of it done", {"kind": "silence", "applied": 6}),
    ("502", {"kind": "status", "status": 502}), ("503", {"kind": "status", "status": 503}), ("504", {"kind": "status", "status": 504}),
    ("200 with HTML", {"kind": "status", "status": 200}), ("too slow", {"kind": "drip", "bytes": 5, "delay_ms": 300}),
    ("twice in a row", {"kind": "reset", "count": 2}),
]
# Of questions only; reading needs no "enable".
SEVERAL, ONE = "^show load-balance ", "^enable$"
MORE = "request-timeout = 5s  tcam-command = \"\""


def asked(beside):
    return beside.switch()["mirror"]["asking"] == 0


def states(beside):
    return [(s["state"], s["text"]) for f in beside.d.flows("zone", str(ZONE)) for s in f.get("switches", [])]


@case("several nexthops", ["s1", "s2"], SEVERAL)
@case("one nexthop", ["s1"], ONE)
def broken(servers, command):
    with SwitchLab(2) as lab:
        lab.resolve()
        lab.announce(servers)
        lab.mirror()
        beside = Beside(lab, more=MORE)
        for title, fault in FAULTS:
            before = lab.counters()["faults"]
            lab.sim.control("fault", **dict(fault, on="read", match=command))
            pool = TcpPool(lab, 12)
            hit = wait_until(lambda: lab.counters()["faults"] > before, 15)
            lab.sim.control("clear-faults")
            ok = wait_until(lambda: lab.pinned(pool), 40, poll=0.1)
            check(hit and ok, f"{title}: all of them are asked for again, and pinned to the server that they are on",
                  lambda: (f"hit {hit}", states(beside)[-4:], beside.eapi.log()[-1500:]))
            pool.end(reset=True)
        equal(beside.switch()["uncertain"], 0, "none stays uncertain")


@case("refused connections, and a switch that is away")
def away():
    with SwitchLab(2) as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror()
        beside = Beside(lab, more=MORE)
        lab.sim.control("down", ms=600000)
        lab.sim.control("drop-connections")
        pool = TcpPool(lab, 30)
        wait_until(lambda: asked(beside) and beside.switch()["uncertain"] == 30, 20, "30 connections begin meanwhile: uncertain for now", poll=0.1)
        rows = states(beside)
        check(all(state == "uncertain" and text for state, text in rows), "flowpin flows says so, and why", rows[:3])
        lab.sim.control("up")
        wait_until(lambda: lab.pinned(pool), 40, "the switch is back: all of them are asked for, and pinned", poll=0.1)
        equal(beside.switch()["uncertain"], 0, "none stays uncertain")


@case("the route changes while the switch is away")
def changed():
    with SwitchLab(2) as lab:
        lab.resolve()
        lab.announce(["s1"])
        lab.mirror()
        beside = Beside(lab, more=MORE)
        lab.sim.control("down", ms=600000)
        lab.sim.control("drop-connections")
        pool = TcpPool(lab, 30)
        equal(set(pool.by_server()), {"s1"}, "30 connections go to the first server")
        wait_until(lambda: asked(beside) and beside.switch()["uncertain"] == 30, 20, "they are uncertain for now", poll=0.1)
        lab.announce(["s2"])
        since = lab.sim.journal()[-1]["serial"]
        lab.sim.control("up")
        wait_until(lambda: len(lab.commands("^show ip route 1.1.1.1$", since)) >= 3 and beside.switch()["reachable"], 40, "the switch is back, and is read", poll=0.1)
        wait_until(lambda: asked(beside) and all("when the flow began" in text for _, text in states(beside)), 20,
                   "they are asked for again, and stay uncertain: the route is another one", poll=0.1)
        equal(lab.programmed(), {}, "nothing is pinned")


@case("questions that never come through")
def never():
    """A question that breaks every time is given up, and the switch is read on."""
    with SwitchLab(2) as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror()
        beside = Beside(lab, more=MORE)
        before = lab.counters()["faults"]
        lab.sim.control("fault", kind="reset", on="read", match=SEVERAL, count=-1)
        pool = TcpPool(lab, 5)
        equal(pool.result().all_held, True, "five connections")
        wait_until(lambda: lab.counters()["faults"] >= before + 6, 60, "it is asked six times", poll=0.2)
        since = lab.sim.journal()[-1]["serial"]
        wait_until(lambda: len(lab.commands("^show directflow detail$", since)) >= 6, 60, "the switch is read on", poll=0.2)
        equal((lab.counters()["faults"], beside.switch()["uncertain"], asked(beside)), (before + 6, 5, True), "and they are asked for no more")


main()
