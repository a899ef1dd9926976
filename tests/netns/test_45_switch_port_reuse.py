#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A reused source port: a SYN for a flow that the switch holds on a nexthop that gets no new flows goes where new flows go."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import SERVICE, Beside, SwitchLab, section, settle

NEW = {"s2", "s3"}


def begin(lab, n=90):
    lab.resolve()
    lab.announce(["s1", "s2", "s3"])
    lab.mirror()
    beside = Beside(lab)
    pool = TcpPool(lab, n)
    need(pool.result().all_held and len(pool.by_server()) == 3, f"{n} connections are open, on all servers", pool.result)
    wait_until(lambda: lab.pinned(pool), 60, "they are in DirectFlow", poll=0.1)
    lab.announce(["s2", "s3"])
    wait_until(lambda: not any(n["named"] for n in beside.switch()["nexthops"] if n["address"] == lab.address_of("s1")), 30,
               "flowpin switches shows that no route names s1")
    settle()
    check(pool.exchange().all_held, "s1 gets no new flows, and keeps those that it has", pool.result)
    return beside, pool


def settled(lab, beside, pool):
    wait_until(lambda: lab.pinned(pool), 60, "and the switch holds each of them where it is", poll=0.1)
    equal(len(lab.programmed()), len(pool.flows), "and nothing else")
    wait_until(beside.d.verify_clean, 30, "verify is clean", poll=0.2)
    wait_until(lambda: not [j for j in lab.commands("^no flow ") if j["code"]], 1, "no command was refused")


@case("the client forgot its connections")
def forgot():
    with SwitchLab(3) as lab:
        beside, pool = begin(lab)
        old, others = pool.on("s1"), pool.on("s2", "s3")
        before = lab.programmed()
        fresh = pool.reopen(old)
        # The SYN itself still follows the switch's flow, and the old server may answer before the flow is gone: such a connection is
        # reset like one to a server that restarted, and the next attempt goes where it should.
        wait_until(lambda: "s1" not in lab.programmed().values(), 30, "the flows of their ports leave s1", poll=0.1)
        # A packet may still be under way to s1 when its flow is gone: each is asked until it is known which server it is on.
        wait_until(lambda: pool.exchange(flows=fresh) and not [f for f in fresh if f.state == "up" and not f.moved and f.server not in NEW],
                   60, "none that s1 answered once more lives on there", poll=0.1)
        lost = [f for f in fresh if f.state == "broken" or f.moved]
        note(f"{len(lost)} of {len(fresh)} were answered by s1 once more, and reset")
        pool.flows = [f for f in pool.flows if f not in lost]
        again = [new for f in lost for new in pool.open(1, sport=f.sport, src=f.src, wait=False)]
        pool.exchange(flows=again)
        fresh = [f for f in fresh if f not in lost] + again
        equal((len(fresh), {f.state for f in fresh}), (len(old), {"up"}), "all connect again from their ports")
        check({f.server for f in fresh} <= NEW, "to servers that get new flows", lambda: pool.by_server(fresh))
        equal([f for f in fresh if lab.asic(f) != f.server], [], "each the one that ECMP chooses for it")
        check(pool.exchange(flows=others).all_held, "the others stay where they are", lambda: pool.result(others))
        settled(lab, beside, pool)
        removed = {r["reason"]: r["count"] for r in beside.switch()["removed"]}
        equal(removed, {"moved": len(old)}, "each deletion has that reason")
        now = lab.programmed()
        equal({k: v for k, v in before.items() if v != "s1"}, {k: v for k, v in now.items() if before[k] != "s1"},
              "no other flow of the switch changed")


@case("the server is gone")
def gone():
    """Nobody answers the SYN; its repetition does not follow the flow of the old connection."""
    with SwitchLab(3) as lab:
        beside, pool = begin(lab)
        lab.deaf("s1")
        old = pool.on("s1")
        fresh = pool.reopen(old)
        equal((len(fresh), {f.state for f in fresh}), (len(old), {"up"}), "all connect again from their ports")
        check({f.server for f in fresh} <= NEW, "to servers that get new flows", lambda: pool.by_server(fresh))
        settled(lab, beside, pool)


@case("the server dies")
def dead():
    """Its flows leave the switch while the route still names it, so that what is begun anew works as soon as ECMP avoids it."""
    with SwitchLab(3) as lab:
        lab.resolve()
        lab.announce(["s1", "s2", "s3"])
        lab.mirror()
        beside = Beside(lab)
        pool = TcpPool(lab, 90)
        need(pool.result().all_held and len(pool.by_server()) == 3, "90 connections are open, on all servers", pool.result)
        wait_until(lambda: lab.pinned(pool), 60, "they are in DirectFlow", poll=0.1)
        old = pool.on("s1")
        lab.ip("s1", "link set sw down")
        fresh = pool.reopen(old, wait=False)
        wait_until(lambda: "s1" not in lab.programmed().values(), 30, "the flows of their ports leave s1", poll=0.1)
        lab.announce(["s2", "s3"])
        pool.exchange(60, flows=fresh)
        equal((len(fresh), {f.state for f in fresh}), (len(old), {"up"}), "all connect again from their ports")
        check({f.server for f in fresh} <= NEW, "to servers that get new flows", lambda: pool.by_server(fresh))
        settled(lab, beside, pool)


def pin_of(lab, flow):
    """The server that the gateway's pin map names for this connection, None without a pin."""
    text = lab.run("gw", "nft list map inet flowpin pin4")
    m = re.search(rf"{re.escape(flow.src)} \. 1\.1\.1\.1 \. tcp \. {flow.sport} \. 80[^,]*? : 0x0?([0-9a-f])000000", text)
    return int(m.group(1), 16) if m else None


@case("on the gateway too", "sw")
@case("the new connection takes the gateway", "gw")
def both(plane):
    """Neither the pin of the old connection nor its entry in the switch's zone steers the new one, on whichever plane it begins."""
    with SwitchLab(3, shared=True) as lab:
        lab.resolve()
        lab.announce(["s1", "s2", "s3"])
        lab.route(["s1", "s2", "s3"])
        lab.mirror()
        beside = Beside(lab)
        wait_until(lambda: {b["state"] for b in beside.d.nexthops("web") if ":" not in b["nexthop"]} == {"active"}, 30, "the nexthops are known")
        ids = {s: beside.d.binding(lab.nexthop(s))["id"] for s in lab.servers}
        pool = TcpPool(lab, 60)
        need(pool.result().all_held and len(pool.by_server()) == 3, "60 connections are open over the switch, on all servers", pool.result)
        wait_until(lambda: lab.pinned(pool) and lab.pins() == len(pool.flows), 60, "they are in DirectFlow and in the pin map", poll=0.1)
        lab.announce(["s2", "s3"])
        lab.route(["s2", "s3"])
        wait_until(lambda: beside.d.binding(lab.nexthop("s1"))["state"] == "draining" and not any(
            n["named"] for n in beside.switch()["nexthops"] if n["address"] == lab.address_of("s1")), 30, "s1 gets no new flows")
        settle()
        check(pool.exchange().all_held, "and keeps those that it has", pool.result)
        old = pool.on("s1")
        lab.deaf("s1")
        lab.client_via(plane)
        lab.answers_via(plane)
        fresh = pool.reopen(old, deadline=40)
        equal((len(fresh), {f.state for f in fresh}), (len(old), {"up"}), "all connect again from their ports")
        check({f.server for f in fresh} <= NEW, "to servers that get new flows", lambda: pool.by_server(fresh))
        wait_until(lambda: lab.pinned(pool), 60, "and the switch holds each of them where it is", poll=0.1)
        wait_until(lambda: all(pin_of(lab, f) == ids[f.server] for f in fresh), 30, "as does the pin map",
                   poll=0.2)
        equal([f for f in beside.d.flows() if f["nexthop"].startswith(lab.address_of("s1") + "%")], [], "nothing is known on s1 any more")
        for way in ("gw", "sw"):
            lab.client_via(way)
            lab.answers_via(way)
            check(pool.exchange(flows=fresh).all_held, f"their packets take {way}: all stay", lambda: pool.result(fresh))


@case("a server that gets new flows")
def active():
    """The port is reused while its server gets new flows: the switch's flow is right as it is."""
    with SwitchLab(3) as lab:
        beside, pool = begin(lab)
        old = pool.on("s2")
        where = {(f.src, f.sport): f.server for f in old}
        since = lab.sim.journal()[-1]["serial"]
        fresh = pool.reopen(old)
        equal({(f.src, f.sport): f.server for f in fresh}, where, "connections stay with the server that their port had")
        check(pool.exchange().all_held, "and hold", pool.result)
        equal([j for j in lab.commands("^(no )?flow ", since)], [], "nothing was written for that")
        settled(lab, beside, pool)


@case("nobody but the switch knows it", 0, "5s")
@case("its pin is one of many", 300_000, "5m")
def found(others, idle):
    """What was placed for the gateway's connections and is found after a start is no flow of the mirror's zone, where it would keep
    its nexthop in the switch although the port is used again."""
    with SwitchLab(3, shared=True) as lab:
        lab.resolve()
        lab.announce(["s1", "s2", "s3"])
        lab.route(["s1", "s2", "s3"])
        lab.mirror()
        lab.client_via("gw")
        lab.answers_via("gw")
        beside = Beside(lab, SERVICE % idle + section(lab, place="established", idle="1h", more="min-age = 0s"))
        pool = TcpPool(lab, 60)
        need(pool.result().all_held and len(pool.by_server()) == 3, "60 connections are open over the gateway, on all servers", pool.result)
        wait_until(lambda: lab.pinned(pool), 60, "they are in DirectFlow", poll=0.1)
        flood(lab, others)
        beside.d.kill()
        lab.conntrack("-D", "-p", "tcp", "-d", VIP4)
        if not others:
            lab.run("gw", "nft flush map inet flowpin pin4")
        beside.d.start(deadline=60)
        wait_until(lambda: beside.switch()["programmed"] + beside.switch()["adopted"] >= 60, 60, "flowpin switches counts them", poll=0.1)
        equal([f for f in beside.d.flows() if f["zone"]], [], "none of them is the mirror's")
        if not others:
            wait_until(lambda: not lab.pins(), 60, "the pins that were given to them have run out", poll=0.1)
        lab.sysctl("gw", **{"net.ipv4.fib_multipath_hash_policy": 0})
        before = {f.sport: f.server for f in pool.flows}
        fresh = pool.reopen(list(pool.flows), deadline=40)
        note(f"{sum(before[f.sport] != f.server for f in fresh)} ports are on another server now")
        wait_until(lambda: lab.pinned(pool), 60, "the switch holds each new connection where it is", poll=0.1)
        wait_until(beside.d.verify_clean, 30, "verify is clean", poll=0.2)
        check(pool.exchange().all_held, "and they hold", pool.result)


main()
