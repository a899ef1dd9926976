#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second gateway: keepalived and conntrackd as flowpin-ha(7) configures them. TCP, UDP, IPv4 and IPv6 connections outlive the loss
of the first gateway (a link, its power), changes of nexthops after that, and its return."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from halab import HaLab
from lab import VIP6

KINDS = {"TCP": (TcpPool, 200, None), "UDP": (UdpPool, 50, None), "TCP over IPv6": (TcpPool, 50, VIP6), "UDP over IPv6": (UdpPool, 50, VIP6)}
TIMEOUT = 15
TOTAL = sum(n for _, n, _ in KINDS.values())


def open_pools(lab):
    pools = {}
    for kind, (make, n, target) in KINDS.items():
        pools[kind] = make(lab, n, **({"target": target} if target else {}))
        need(pools[kind].result().all_held and len(pools[kind].by_server()) == 3, f"{n} connections, {kind}", pools[kind].result)
        pools[kind].start(0.1)
    return pools


def held(pools, what):
    for kind, pool in pools.items():
        check(pool.exchange(deadline=20).all_held, f"{what}: none broke, {kind}", pool.result)


def same(a, b, n=TOTAL):
    """Both gateways have the same conntrack entries of the services, with the same marks."""
    wait_until(lambda: a.entries() == b.entries() and len(a.entries()) >= n, 15, f"{b.name} has the entries of {a.name}", poll=0.5)


def takeover(lab, pools, lose, what, first, second, n=TOTAL):
    same(first, second, n)
    wait_until(lambda: len(second.d.flows()) == len(first.d.flows()) >= n, 10, f"flowpind on {second.name} lists the same flows", poll=0.2)
    lose(first.name)
    wait_until(second.active, 10, f"{what}: {second.name} has the addresses")
    held(pools, what)


@case("link", "link_down", "link_up")
@case("power", "power_off", "power_on")
def lost(lose, back):
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start()
        pools = open_pools(lab)
        takeover(lab, pools, getattr(lab, lose), f"gw1 is lost ({lose})", gw1, gw2)
        lab.announce(["s1", "s3"])
        held(pools, "s2 is withdrawn")
        lab.announce(["s1", "s3", "s4"])
        held(pools, "s4 is added")
        getattr(lab, back)("gw1")
        held(pools, "gw1 is back")
        check(gw2.active() and not gw1.active(), "and does not take the addresses")
        takeover(lab, pools, lab.power_off, "gw2 loses power", gw2, gw1)
        lab.announce(["s1", "s2", "s3", "s4"], ["gw1"])
        held(pools, "s2 returns")


@case("reboot")
def reboot():
    """The first gateway loses power and all that it knew; a server is withdrawn before it is back, so no route there ever named it."""
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start()
        pools = open_pools(lab)
        takeover(lab, pools, lab.power_off, "gw1 loses power", gw1, gw2)
        lab.wipe("gw1")
        equal(gw1.entries(), {}, "gw1 knows nothing any more")
        lab.announce(["s1", "s3", "s4"])
        held(pools, "s2 is withdrawn")
        lab.power_on("gw1", routes=False)
        gw1.start()
        same(gw2, gw1)
        states = {s: gw1.states(s) for s in lab.servers}
        equal(states, {"s1": {"draining"}, "s2": {"draining"}, "s3": {"draining"}, "s4": set()}, "gw1 has no route yet, and nexthops for their marks")
        lab.announce(lab.named, ["gw1"])
        wait_until(lambda: gw1.states("s1") | gw1.states("s3") | gw1.states("s4") == {"active"}, 10, "it gets the routes: they are active")
        takeover(lab, pools, lab.link_down, "gw2 is lost", gw2, gw1)
        on_s2 = sum(len(pool.on("s2")) for pool in pools.values())
        equal(gw1.flows("s2"), on_s2, "gw1 counts the flows of s2")
        equal(gw1.states("s2"), {"draining"}, "which is draining there")
        equal(set(pools["TCP"].probe(50)), {"s1", "s3", "s4"}, "and gets no new ones")
        lab.announce(["s1", "s2", "s3", "s4"], ["gw1"])
        held(pools, "s2 returns")
        wait_until(gw1.d.verify_clean, 10, "verify is clean", poll=0.2)


@case("timeouts")
def timeouts():
    """UDP flows live longer than a conntrack entry without packets, which is all that the gateway that waits ever sees of them."""
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start()
        for g in (gw1, gw2):
            lab.sysctl(g.name, **{f"net.netfilter.nf_conntrack_udp_timeout{kind}": TIMEOUT for kind in ("", "_stream")})
        pools = {"UDP": UdpPool(lab, 100), "UDP over IPv6": UdpPool(lab, 50, target=VIP6)}
        for pool in pools.values():
            pool.start(0.1)
        same(gw1, gw2, 150)
        least, end = 150, time.monotonic() + 2 * TIMEOUT
        while time.monotonic() < end:
            least = min(least, len(gw2.entries()))
            time.sleep(0.5)
        equal(least, 150, f"for twice the timeout of {TIMEOUT} s gw2 has all entries")
        takeover(lab, pools, lab.power_off, "gw1 loses power", gw1, gw2, 150)
        wait_until(lambda: not gw1.entries(), 4 * TIMEOUT, "the entries of gw1 time out, where no packet comes any more", poll=0.5)
        lab.power_on("gw1")
        wait_until(lambda: gw1.entries() == gw2.entries(), 30, "gw1 is back and has the entries again", poll=0.5)
        equal(set(re.findall(r"connections destroyed:\s+(\d+)", gw2.run("conntrackd", "-s"))), {"0"}, "and has told gw2 of the end of none")
        held(pools, "gw1 is back")


def peer(a, b):
    """flowpin verify --peer on a, with what b prints: (status, output)."""
    path = a.lab.path("peer")
    with open(path, "w", encoding="utf-8") as f:
        f.write(b.d.try_flowpin("status", "--json").out + b.d.try_flowpin("nexthops", "--json").out)
    r = a.d.try_flowpin("verify", "--peer", path)
    return r.status, (r.out + r.err).replace(path, "FILE")


@case("numbers")
def numbers():
    """What two gateways do that number nexthops differently, and how one is told before."""
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        config = lab.gateways["gw1"].config()
        swapped = config.replace("10.1.0.11 ", "@ ").replace("10.1.0.12 ", "10.1.0.11 ").replace("@ ", "10.1.0.12 ")
        gw1, gw2 = lab.start(config2=swapped)
        status, said = peer(gw1, gw2)
        equal(status, 1, "verify --peer: exit status 1")
        check("web: the configuration gives 10.1.0.11 number 1 here and 2 there" in said
              and "web: the configuration gives 10.1.0.12 number 2 here and 1 there" in said, "and which nexthops it is about", said)
        pool = TcpPool(lab, 200)
        on = pool.by_server()
        same(gw1, gw2, 200)
        lab.link_down("gw1")
        wait_until(gw2.active, 10, "gw2 takes over")
        r = pool.exchange(deadline=20)
        equal(r.broken + r.moved, on["s1"] + on["s2"], "the connections of both are lost")
        gw2.d.stop()
        gw2.d.configure(config)
        gw2.d.start()
        lab.link_up("gw1")
        wait_until(lambda: "configuration" not in peer(gw1, gw2)[1], 5, "the configurations are alike")
        status, said = peer(gw1, gw2)
        check(status == 1 and "10.1.0.11%servers has number 1 here and 2 there" in said,
              "a number that stands is kept until its flows have ended, and verify --peer says that too", said)


@case("alike")
def alike():
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start(conntrackd=False)
        equal(peer(gw1, gw2), (0, "clean: 6 nexthops here and 6 there\n"), "verify --peer finds no difference")
        lab.announce(["s1", "s2", "s3", "s4"], ["gw2"])
        wait_until(lambda: len(gw2.d.nexthops()) == 8, 5, "a nexthop appears on gw2 only")
        equal(peer(gw2, gw1), (0, "clean: 8 nexthops here and 6 there\n"), "its number is in both configurations: no difference")
        path = lab.path("garbage")
        with open(path, "w", encoding="ascii") as f:
            f.write("{}\n")
        for file in (path, "/nonexistent"):
            r = gw1.d.try_flowpin("verify", "--peer", file)
            equal((r.status, r.err.startswith(f"flowpin: {file}: "), r.out), (2, True, ""), "a FILE that cannot be read: exit status 2")
        pool = TcpPool(lab, 200)
        lab.link_down("gw1")
        wait_until(gw2.active, 10, "without conntrackd, gw2 takes over")
        r = pool.exchange(deadline=20)
        check(r.broken + r.moved > 50, "connections are lost: it is conntrackd that carries them", r)


main()
