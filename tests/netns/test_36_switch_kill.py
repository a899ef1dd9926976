#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""500 connections in the switch's hardware, and nobody who looks after them for three idle timeouts: flowpind dead, flowpin-eapi
dead, both, or the switch's API not reached. Nothing is deleted, nothing breaks, and who comes back knows them."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

IDLE, N = 4, 500


def entries(lab):
    return lab.conntrack("-L", "-w", "101").count("zone=101")


def begin(lab):
    """500 connections, many of them on another server than the one that ECMP would choose now."""
    lab.resolve()
    lab.announce(["s1", "s2"])
    lab.mirror()
    beside = Beside(lab, idle=f"{IDLE}s")
    pool = TcpPool(lab, 0)
    pool.start(0.5)
    # In portions that are written within the idle timeout: one that is over it before the switch counts its packets has ended.
    while len(pool.flows) < N:
        pool.open(N // 10)
        need(wait_until(lambda: lab.pinned(pool), 30, poll=0.1), f"{len(pool.flows)} connections are open, and in DirectFlow", pool.result)
    lab.no_mirror()
    lab.announce(["s1", "s2", "s3"])
    check(sum(lab.asic(f) != f.server for f in pool.flows) > 100, "ECMP would move many of them")
    check(pool.exchange().all_held, "none broke", pool.result)
    wait_until(lambda: beside.switch()["programmed"] == N, 30, "flowpin switches counts 500")
    return beside, pool


def away(lab, pool, since):
    """Three idle timeouts, in which traffic goes on."""
    end = time.monotonic() + 3 * IDLE
    low = N
    while time.monotonic() < end:
        low = min(low, len(lab.programmed()))
        time.sleep(0.5)
    equal(low, N, "for three idle timeouts 500 flows are in hardware")
    equal(lab.commands("^(no )?flow ", since), [], "and nobody touched them")
    check(pool.exchange().all_held, "none of the connections broke", pool.result)


def back(lab, beside, pool, since, adopted):
    if adopted:
        wait_until(lambda: len(beside.d.flows()) == N, 30, "500 flows are listed", poll=0.1)
        wait_until(lambda: {f["learned"] for f in beside.d.flows()} == {"switch"}, 30, "as adopted from the switch")
        wait_until(lambda: beside.switch()["adopted"] == N, 30, "flowpin switches counts 500 as adopted", poll=0.1)
    else:
        wait_until(lambda: beside.switch()["programmed"] == N, 30, "500 flows are programmed", poll=0.1)
        equal(len(beside.d.flows()), N, "and listed")
    wait_until(lambda: entries(lab) == N, 30, "their conntrack entries are back", poll=0.1)
    servers = {lab.address_of(s): s for s in lab.servers}
    listed = {(f["src"], f["sport"]): servers.get(f["nexthop"].split("%")[0]) for f in beside.d.flows()}
    equal(sum(listed.get((f.src, f.sport)) != f.server for f in pool.flows), 0, "each with the server that it is on")
    time.sleep(2 * IDLE)  # whatever would end them by mistake has the time to
    equal(len(beside.d.flows()), N, "two idle timeouts later they are still listed")
    equal(len(lab.programmed()), N, "and in hardware")
    deleted = lab.commands("^no flow ", since)
    equal(len(deleted), 0, "0 pins were deleted")
    equal(beside.switch()["removed"], [], "and flowpin switches knows of none")
    check(pool.exchange().all_held, "0 connections broke", pool.result)
    lab.announce(["s2", "s3"])
    check(pool.exchange().all_held, "a server is withdrawn after that: none broke", pool.result)
    wait_until(beside.d.verify_clean, 30, "verify is clean", poll=0.2)
    pool.end()
    wait_until(lambda: not lab.programmed() and not lab.sim.flows(), 15 * IDLE, "they end: the switch's table is empty", poll=0.2)
    wait_until(lambda: not beside.d.flows() and entries(lab) == 0, 15 * IDLE, "and the rest", poll=0.2)


@case("flowpind", ("d",))
@case("flowpin-eapi", ("eapi",))
@case("both", ("d", "eapi"))
def killed(who):
    with SwitchLab(3) as lab:
        beside, pool = begin(lab)
        since = lab.sim.journal()[-1]["serial"]
        for name in who:
            getattr(beside, name).kill()
        if "d" in who:
            lab.conntrack("-D", "-w", "101", check=False)
        away(lab, pool, since)
        equal(entries(lab), 0, "their conntrack entries have expired")
        for name in who:
            getattr(beside, name).start()
        back(lab, beside, pool, since, "d" in who)


@case("the API")
def api():
    with SwitchLab(3) as lab:
        beside, pool = begin(lab)
        since = lab.sim.journal()[-1]["serial"]
        lab.sim.control("down", ms=1000000)
        wait_until(lambda: not beside.switch()["reachable"] and beside.switch()["sentence"], 30, "flowpin switches says that it is not reached")
        away(lab, pool, since)
        equal(len(beside.d.flows()), N, "flowpin flows lists them all the time")
        lab.sim.control("up")
        wait_until(lambda: beside.switch()["reachable"], 60, "it is reached again", poll=0.2)
        back(lab, beside, pool, since, False)


main()
