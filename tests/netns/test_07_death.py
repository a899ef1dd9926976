#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 7: a server dies (it answers no ARP or ND, or its link is down). Its flows are released within
a second of the kernel noticing, by one change however many there are; the others feel nothing, and
new connections avoid it although the route still names it."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from notify import Changes

VIP = {4: VIP4, 6: VIP6}
ALL = ["s1", "s2", "s3"]
MUTE = """add table netdev mute
add chain netdev mute arriving { type filter hook ingress device gw priority 0; policy drop; }
"""


# How a server dies, and how it comes back. The gateway's interface keeps its carrier in the first
# three.

def unplugged(lab):
    lab.ip("br", "link set s2 down")
    return lambda: lab.ip("br", "link set s2 up")


def silent(lab):
    """It receives nothing any more, on a link of its own."""
    lab.nft("s2", MUTE)
    return lambda: lab.nft("s2", "delete table netdev mute")


def link_down(lab):
    lab.ip("s2", "link set gw down")
    # the server's own default routes went with its link
    return lambda: lab.ip("s2", "link set gw up", "route replace default via 10.1.2.1",
                          "address replace fd00:1:2::2/64 dev gw nodad", "route replace ::/0 via fd00:1:2::1")


def noticed(lab, family):
    """The kernel has found out: no carrier, or the neighbour FAILED."""
    address, dev = lab.nexthops["s2", family]
    if "LOWER_UP" not in lab.ip_json("gw", f"link show dev {dev}")[0]["flags"]:
        return True
    return any("FAILED" in n["state"] for n in lab.ip_json("gw", f"neigh show {address} dev {dev}"))


def carried(lab):
    """The marks that pinned flows are steered by."""
    text = lab.run("gw", "nft list map inet flowpin marks", check=False)
    return set(re.findall(r"(0x[0-9a-f]+) : goto pin_", text))


def settled(lab, d):
    """All nexthops were seen alive."""
    wait_until(lambda: len(d.nexthops()) == len(lab.servers)
               and all(b["health"] == "alive" for b in d.nexthops()), 10, "all nexthops are seen alive")


def wait_released(lab, mark, family):
    """From the kernel's finding out to the release: a second is promised."""
    if wait_until(lambda: noticed(lab, family), 20, "the kernel notices"):
        began = time.monotonic()
        wait_until(lambda: mark not in carried(lab), 5, "its flows are released within a second")
        note(f"released {time.monotonic() - began:.2f} s after it was noticed")


@case("no ARP answer", segment, unplugged, 4)
@case("no ND answer", segment, unplugged, 6)
@case("no ARP answer, a link of its own", standard, silent, 4)
@case("no ND answer, a link of its own", standard, silent, 6)
@case("link down, IPv4", standard, link_down, 4)
@case("link down, IPv6", standard, link_down, 6)
def dies(topology, die, family):
    with topology(3) as lab:
        lab.route(ALL, family)
        d = Daemon(lab)
        pool = TcpPool(lab, target=VIP[family])
        udp = UdpPool(lab, 60, target=VIP[family])
        need(pool.result().all_held and udp.result().all_held and len(pool.by_server()) == 3
             and len(udp.by_server()) == 3, "260 connections open on three servers",
             lambda: f"{pool.result()} {pool.by_server()} {udp.result()}")
        settled(lab, d)
        mark = d.binding(lab.nexthop("s2", family))["mark"]
        need(mark in carried(lab), "the mark of s2 steers", lambda: carried(lab))
        mine, others = pool.on("s2"), pool.on("s1", "s3")
        udp_mine, udp_others = udp.on("s2"), udp.on("s1", "s3")
        pool.start()
        udp.start()
        revive = die(lab)
        wait_released(lab, mark, family)
        equal(d.binding(lab.nexthop("s2", family))["state"], "dead", "s2 is dead")
        check(len(carried(lab)) == 2, "the marks of the others steer as before", lambda: carried(lab))
        # Their next packets reach another server: it resets a TCP connection, and answers a datagram.
        wait_until(lambda: all(f.state == "broken" for f in mine), 20, "another server ends its TCP connections")
        check(all(f.reason == "ECONNRESET (was on s2)" for f in mine), "by a reset",
              lambda: pool.result(mine))
        check(udp.exchange(flows=udp_mine).moved == len(udp_mine), "its UDP flows go on elsewhere",
              lambda: udp.result(udp_mine))
        check(pool.exchange(flows=others).all_held, f"the other {len(others)} connections feel nothing",
              lambda: pool.result(others))
        check(udp.exchange(flows=udp_others).all_held, f"nor do the other {len(udp_others)} UDP flows",
              lambda: udp.result(udp_others))
        route = lab.run("gw", "ip", f"-{family}", "route", "show", VIP[family])
        check(lab.nexthops["s2", family][0] in route, "the route still names s2", route)
        fresh = pool.probe(100)
        check(set(fresh) == {"s1", "s3"}, "100 new connections avoid it", fresh)
        comes_back(lab, d, pool, udp, revive, family)


def comes_back(lab, d, pool, udp, revive, family):
    """It gets new connections again, and those that it lost stay where they went."""
    where = {f: f.server for f in udp.flows}
    revive()
    wait_until(lambda: d.binding(lab.nexthop("s2", family))["state"] == "active", 20, "s2 comes back")
    wait_until(lambda: "s2" in pool.probe(20), 5, "and gets new connections")
    udp.exchange()
    check(all(f.server == where[f] for f in udp.flows), "no UDP flow goes back to it",
          lambda: sum(f.server != where[f] for f in udp.flows))
    wait_until(d.verify_clean, 10, "flowpin verify finds no difference", poll=0.3)
    lab.conntrack("-F")
    udp.exchange()
    check(all(f.server == where[f] for f in udp.flows), "nor does one after conntrack -F: they were pinned anew",
          lambda: sum(f.server != where[f] for f in udp.flows))


def death_with(pins):
    """s2 dies with so many pins of one-way flows. What was changed: nf_tables' notifications, and
    the numbers of changes that flowpin tells."""
    with standard(3) as lab:
        for s in lab.servers:
            lab.deaf(s, 9)
        lab.route(["s2"])
        d = Daemon(lab)
        flood(lab, pins, port=9)
        lab.route(ALL)
        settled(lab, d)
        nh = lab.nexthop("s2")
        equal(d.binding(nh)["first_packets"], pins, f"{pins} flows have a pin to s2")
        equal(d.status()["pins"]["lost"], 0, "none was lost")
        wait_until(lambda: d.binding(nh)["flows"] == pins, 30, f"flowpin knows {pins} flows", poll=0.2)
        mark = d.binding(nh)["mark"]
        before = d.status()["kernel"]
        changes = Changes(lab, "nft")
        link_down(lab)
        wait_released(lab, mark, 4)
        wait_until(lambda: len(d.status()["overrides"]) == 1, 5, "new connections are kept off it")
        told, after = changes.take(), d.status()["kernel"]
        note(f"{pins} pins: {told}")
        equal(told.count("generation"), 1, "released by one transaction")
        later = d.binding(nh)["packets"]
        flood(lab, pins, port=9)
        equal(d.binding(nh)["packets"], later, f"the next packets of {pins} flows are not steered to s2")
        took = sum(d.binding(lab.nexthop(s))["first_packets"] for s in ("s1", "s3"))
        equal(took, pins, "all of them were recorded anew on s1 and s3")
        wait_until(lambda: d.binding(nh)["flows"] == 0, 30, "flowpin shows none on s2", poll=0.2)
        return told, *[after[k] - before[k] for k in ("ruleset_changes", "policy_changes")]


@case("by one change")
def by_one_change():
    few, many = death_with(10), death_with(100000)
    note(f"10 pins: {few}; 100,000 pins: {many}")
    equal(many, few, "the same changes with 10 and with 100,000 pins")


main()
