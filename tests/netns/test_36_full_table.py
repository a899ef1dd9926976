#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""The table is full, or others take its room: what does not fit is shown as such and not tried without end, and room is used again."""

import collections
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

CAPACITY, THEIRS, CONNECTIONS = 120, 10, 200
ROOM = CAPACITY - THEIRS
UDP = 17
OTHERS = ["enable", "configure", "directflow", "no shutdown"]


def their_flows(lab, first, n):
    """Another administrator's flows, none of which matches a connection of the test."""
    cmds = list(OTHERS)
    for i in range(first, first + n):
        cmds += [f"flow theirs-{i}", "match ethertype ip", f"match source ip 172.16.{i // 250}.{i % 250 + 1}", "match ip protocol tcp",
                 "action drop"]
    lab.sim.control("cli", user="somebody", cmds=cmds)


def theirs(lab):
    """Their flows as configured."""
    return {n: f["src"] for n, f in lab.sim.flows().items() if n.startswith("theirs-")}


def room(lab, taken=0):
    """For ours. What others take may have cost flows of the other administrator their places, too."""
    return CAPACITY - taken - sum(n.startswith("theirs-") for n in lab.sim.programmed())


def written(lab, since):
    return [j for j in lab.commands("^flow fp-") if j["request"] > since]


def bounded(lab, beside, most, text):
    """Not tried without end: over ten readings of the switch."""
    since, polls = lab.counters()["requests"], beside.switch()["requests"]
    wait_until(lambda: beside.switch()["requests"] >= polls + 10, 30)
    tried = collections.Counter(j["command"] for j in written(lab, since))
    check(sum(tried.values()) <= most, f"{text} ({sum(tried.values())} tries in ten readings)", tried)
    check(max(tried.values(), default=0) <= 2, f"{text}: none of them is tried a third time", tried)


@case("flowpin-eapi begins with a table that is nearly full")
def restarted():
    """What it finds of ours in the table is ours, and no room that others took."""
    with SwitchLab(2, knobs={"capacity": CAPACITY}) as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror()
        beside = Beside(lab, more="max-flows = 1000 tcam-interval = 1h", poll="300ms")
        pool = TcpPool(lab, CAPACITY - 20)
        wait_until(lambda: beside.switch()["programmed"] == len(pool.flows), 20, "100 flows are in a table of 120")
        since = lab.counters()["requests"]
        for who in (beside.eapi, beside.d):
            who.kill(signal.SIGKILL)
            who.start()
            wait_until(lambda: beside.switch()["reachable"] and beside.switch().get("capacity"), 20)
            wait_until(lambda: beside.switch()["programmed"] == len(pool.flows), 20, f"they are found after {who.program()} began again")
            equal(beside.switch()["capacity"], CAPACITY, "with the room that there is")
        equal([j for j in lab.commands("^(no )?flow ") if j["request"] > since], [], "none was touched")


def states(beside, pool):
    rows = [beside.shown(f, "udp")["flow"]["switches"][0] for f in pool.flows]
    return collections.Counter(r["state"] for r in rows), rows


def full(knobs, more):
    with SwitchLab(2, knobs=dict({"capacity": CAPACITY}, **knobs)) as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror(["udp"])  # refreshed by each packet: those that are not placed live on, too
        their_flows(lab, 0, THEIRS)
        wait_until(lambda: len(lab.sim.programmed()) == THEIRS, 5)
        before = theirs(lab)
        beside = Beside(lab, idle="4s", more="text-interval = 1s  room-retry = 2s  " + more)
        pool = UdpPool(lab, CONNECTIONS)
        need(pool.result().all_held and len(pool.by_server()) == 2, "200 connections are open, on both servers", pool.result)
        pool.start(0.3)

        def settled():
            s = beside.switch()
            return (s["programmed"], s["pending"], s["rejected"] + s["not_placed"]) == (ROOM, 0, CONNECTIONS - ROOM)

        wait_until(settled, 30, "the table takes what fits, and flowpin switches tells the others apart", poll=0.2)
        have = lab.programmed()
        equal(len(have), ROOM, "the hardware has exactly those")
        on = {(UDP, f.src, f.sport): f.server for f in pool.flows}
        equal({k: v for k, v in have.items() if on.get(k) != v}, {}, "each on its own server")
        counts, rows = states(beside, pool)
        equal((counts["programmed"], sum(counts[s] for s in ("rejected", "not placed"))), (ROOM, CONNECTIONS - ROOM),
              "flowpin show says so of each")
        check(all(r.get("text") for r in rows if r["state"] != "programmed"), "and why", rows[:5])
        check(any(r["reason"] == "full" for r in beside.switch()["rejections"]) or "capacity" in beside.switch(),
              "the reason is the table", beside.switch())
        bounded(lab, beside, 20, "there is no endless retry")
        equal(theirs(lab), before, "other users' flows are as they were")
        check(pool.exchange().all_held, "no connection broke", pool.result)

        inside = [f for f in pool.flows if (UDP, f.src, f.sport) in lab.programmed()]
        outside = [f for f in pool.flows if f not in set(inside)]
        lab.sim.control("foreign", entries=40)
        pool.end(inside[:60])
        wait_until(lambda: len(lab.programmed()) == room(lab, 40), 60, "others take 40 entries, 60 connections end: waiting ones take what is left",
                   poll=0.2)
        wait_until(lambda: beside.switch()["programmed"] == room(lab, 40) and beside.switch()["pending"] == 0, 30, "and flowpin says so", poll=0.2)
        check(lab.sim.usage()["used_max"] <= CAPACITY, "the table is not overrun", lab.sim.usage)
        bounded(lab, beside, 20, "again there is no endless retry")
        lab.sim.control("foreign", entries=0)
        left = 140
        wait_until(lambda: len(lab.programmed()) == room(lab), 90, "the others give 40 entries back: they are used again", poll=0.2)
        pool.end([f for f in outside if (UDP, f.src, f.sport) in lab.programmed()][:left - ROOM])
        wait_until(lambda: lab.pinned(pool, "udp"), 90, "more connections end: all that remain are in hardware", poll=0.2)
        wait_until(lambda: (lambda s: (s["desired"], s["programmed"], s["rejected"], s["not_placed"]))(beside.switch()) ==
                   (ROOM, ROOM, 0, 0), 20, "and nothing is rejected or left out any more", poll=0.2)
        equal(theirs(lab), before, "other users' flows are as they were, to the end")
        check(pool.exchange().all_held, "no connection broke, to the end", pool.result)
        wait_until(lambda: {f["name"] for f in lab.sim.state()["flows"] if f["name"].startswith("fp-") and not f["in_hardware"]} == set(), 15,
                   "nothing is left behind in the configuration")


TCAM = "tcam-interval = 1s"
case("shown as rejected, the TCAM tells", {}, TCAM)(full)
case("shown as rejected", {}, 'tcam-command = ""')(full)
case("hidden, retried by the switch", {"full-shows": "waiting", "full-retries": "yes"}, 'tcam-command = ""')(full)

main()
