#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server behind the switch dies: its flows leave the hardware, soon and at once, and nobody else's do. A whole VLAN dies: that is no
server's death, and nothing is deleted."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

POLL = 1
KNOBS = {"lb-member": "yes"}  # a path names the port behind an SVI: otherwise flows to one VLAN are uncertain


def begin(lab, n=90):
    lab.resolve()
    lab.announce(lab.servers)
    lab.mirror()
    beside = Beside(lab, poll=f"{POLL}s")
    pool = TcpPool(lab, n)
    need(pool.result().all_held and len(pool.by_server()) == len(lab.servers), f"{n} connections are open, on all servers", pool.result)
    wait_until(lambda: lab.pinned(pool), 60, "they are in DirectFlow", poll=0.1)
    wait_until(lambda: beside.switch()["programmed"] == n, 30 * POLL, "and known to be programmed", poll=0.1)
    return beside, pool


def last(lab):
    j = lab.sim.journal()[-1]
    return j["serial"]


def polls_between(lab, since, until):
    """Readings of the interfaces, one in each poll."""
    return {j["request"] for j in lab.commands("^show interfaces status", since) if j["serial"] < until}


def died(lab, beside, pool, fault):
    dead, others = pool.on("s1"), pool.on(*[s for s in lab.servers if s != "s1"])
    since, began = last(lab), time.monotonic()
    fault()
    wait_until(lambda: "s1" not in lab.programmed().values(), 15 * (3 * POLL + 1), "the dead server's flows leave the hardware", poll=0.1)
    note(f"after {time.monotonic() - began:.1f} s")
    gone = [j for j in lab.commands("^no flow ", since)]
    equal(len(gone), len(dead), "each of them, and no other")
    equal(len({j["request"] for j in gone}), 1, "in one request")
    polls = polls_between(lab, since, gone[0]["serial"] if gone else 0)
    check(gone and len(polls) <= 3, "after three polls at most", len(polls))
    equal(lab.commands("^flow ", since), [], "nothing was written anew")
    check(pool.exchange(flows=others).all_held, "the connections of the others hold", lambda: pool.result(others))
    equal(len(lab.programmed()), len(others), "and are in hardware")
    removed = {r["reason"]: r["count"] for r in beside.switch()["removed"]}
    equal(removed, {"dead": len(dead)}, "flowpin switches says why")
    check([n for n in beside.switch()["nexthops"] if n["address"] == lab.address_of("s1") and n["dead"]],
          "and that it is dead", beside.switch)
    lab.announce([s for s in lab.servers if s != "s1"])
    pool.exchange(deadline=3)
    equal(pool.result(others).held, len(others), "and go on when the route follows")


@case("its link goes down", lambda lab: lab.ip("s1", "link set sw down"), False)
@case("its link goes down, one VLAN", lambda lab: lab.ip("s1", "link set sw down"), True)
@case("it answers no ARP", lambda lab: silence(lab), False)
def one(fault, lan):
    with SwitchLab(3, lan=lan, knobs=KNOBS) as lab:
        beside, pool = begin(lab)
        died(lab, beside, pool, lambda: fault(lab))


def silence(lab):
    """The host is gone and the link stays up; the switch's ARP gives up on it soon."""
    lab.nft("s1", "table netdev dead { chain in { type filter hook ingress device sw priority 0; policy drop; }; }\n")
    address = lab.address_of("s1")
    lab.ip("sw", f"neigh change {address} dev {lab.ports['s1'].replace('Ethernet', 'et')} nud failed")


def all_of(lab, way):
    for server in lab.servers:
        lab.ip(server, f"link set sw {way}")


@case("its whole VLAN dies", True)
@case("all links die", False)
def vlan(lan):
    with SwitchLab(3, lan=lan, knobs=KNOBS) as lab:
        beside, pool = begin(lab)
        since = last(lab)
        all_of(lab, "down")
        wait_until(lambda: not any(n["alive"] for n in beside.switch()["nexthops"]), 20 * 3 * POLL, "flowpin switches: nobody is alive",
                   poll=0.1)
        seen = len(polls_between(lab, since, 1 << 60))
        wait_until(lambda: len(polls_between(lab, since, 1 << 60)) >= seen + 8, 90 * POLL, "eight polls more", poll=0.1)
        equal(lab.commands("^no flow ", since), [], "nothing is deleted")
        equal(len(lab.programmed()), len(pool.flows), "all flows are in hardware")
        check(not any(n["dead"] for n in beside.switch()["nexthops"]), "and nobody is called dead", beside.switch)
        all_of(lab, "up")
        for server in lab.servers:
            lab.ip(server, f"route replace default via {lab.address_of(server).rsplit('.', 1)[0]}.254")
        lab.resolve()
        wait_until(lambda: all(n["alive"] for n in beside.switch()["nexthops"]), 60, "it is back: all are alive", poll=0.1)
        lab.announce(lab.servers)
        check(pool.exchange(deadline=20).all_held, "0 connections broke", pool.result)
        equal(lab.commands("^no flow ", since), [], "nothing was deleted")
        wait_until(beside.d.verify_clean, 30, "verify is clean", poll=0.2)


main()
