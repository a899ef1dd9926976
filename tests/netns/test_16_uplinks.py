#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 16: a service of 0.0.0.0/0 (and ::/0) behind two masqueraded uplinks. Flows stay on their uplink when the other
flaps; replies to inside hosts are never steered; with one uplink dead, connections to hosts on the LAN and traffic on
other ports are untouched."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

EVERYTHING = """service uplinks {
    prefix       = {0.0.0.0/0, ::/0}
    protocol     = {tcp, udp}
    port         = 80
    idle-timeout = 5m
}
liveness { probe-interval = 200ms }
"""
ALL_PORTS = EVERYTHING.replace("    port         = 80\n", "")
INET = {4: INET4, 6: INET6}
HOST = {4: "10.6.0.2", 6: "fd00:6::2"}
# What the gateway is called outside.
OUTSIDE = {"r1": ("10.11.0.1", "fd00:11::1"), "r2": ("10.12.0.1", "fd00:12::1")}
DEFAULT = {4: "default", 6: "::/0"}
OTHER_PORT = 9000
MUTE = """add table netdev mute
add chain netdev mute arriving { type filter hook ingress device gw priority 0; policy drop; }
"""


def route(lab, routers, family):
    lab.route(routers, family, prefix=DEFAULT[family])


def only_own_sources(lab):
    """As providers do: an uplink forwards nothing that comes from an address of the other one. A flow that changes its
    uplink ends."""
    for n in (1, 2):
        lab.nft(f"r{n}", "add table inet own\nadd chain inet own transit { type filter hook forward priority 0; }\n"
                         f"add rule inet own transit iifname gw ip saddr != 10.1{n}.0.0/24 drop\n"
                         f"add rule inet own transit iifname gw ip6 saddr != fd00:1{n}::/64 drop\n")


def watch_marks(lab):
    """Counts packets that carry our bits behind our chain, by where they come from."""
    lab.nft("gw", "add table inet watch\n"
                  + "".join(f"add counter inet watch {name}\n" for name in ("inside", "lan", "outside"))
                  + "add chain inet watch pre { type filter hook prerouting priority -140; }\n"
                  + "".join(f"add rule inet watch pre iifname {devs} meta mark and 0xff000000 != 0 counter name {name}\n"
                            for devs, name in (("c", "inside"), ("host", "lan"), ("{ u1, u2 }", "outside"))))


def marked_packets(lab, name):
    return int(re.search(r"packets (\d+)", lab.run("gw", f"nft list counter inet watch {name}")).group(1))


def takes(flow, router):
    """Whether the flow leaves by that uplink. A datagram's peer is told with its port."""
    peer = flow.peer or ""
    return any(peer == a or peer.startswith(f"{a}:") for a in OUTSIDE[router])


def on_uplink(pool, router):
    return [f for f in pool.flows if takes(f, router)]


def marks(lab, family, text):
    """Our bits of the conntrack entries whose line contains the text."""
    lines = [line for line in lab.conntrack("-L", "-f", f"ipv{family}", check=False).splitlines() if text in line]
    return {int(m.group(1)) & 0xff000000 for line in lines if (m := re.search(r"\bmark=(\d+)", line))}


def established(lab, family, pools=(TcpPool,), config=EVERYTHING):
    """flowpind and 200 connections over both uplinks."""
    route(lab, ["r1", "r2"], family)
    d = Daemon(lab, config)
    made = [cls(lab, target=INET[family], servers=["inet"]) for cls in pools]
    for pool in made:
        sizes = [len(on_uplink(pool, r)) for r in ("r1", "r2")]
        need(pool.result().all_held and all(sizes) and sum(sizes) == 200, "200 flows open over both uplinks",
             lambda p=pool, s=sizes: f"{p.result()} {s}")
    return d, made


def seen_alive(d):
    wait_until(lambda: [b["health"] for b in d.nexthops()] == ["alive"] * 2, 10, "both uplinks are seen alive")


def carrier(lab, up):
    if up:  # an interface that goes down loses its IPv6 addresses
        lab.ip("r1", "link set gw up", "address replace fd00:11::2/64 dev gw nodad")
    else:
        lab.ip("r1", "link set gw down")


@case("the other uplink flaps, IPv4", 4)
@case("the other uplink flaps, IPv6", 6)
def flaps(family):
    with uplinks() as lab:
        only_own_sources(lab)
        watch_marks(lab)
        d, pools = established(lab, family, pools=(TcpPool, UdpPool))
        held = {p: on_uplink(p, "r2") for p in pools}
        for p in pools:
            p.start(0.2)
        for round_ in range(5):
            route(lab, ["r2"], family)
            if round_ in (0, 4):
                for p in pools:
                    check(p.exchange().all_held, "withdrawn: the flows of both uplinks are held", p.result)
                fresh = pools[0].open(50)
                check(all(takes(f, "r2") for f in fresh), "50 new ones take the uplink that is left",
                      lambda f=fresh: {x.peer for x in f})
                pools[0].end(fresh)
            route(lab, ["r1", "r2"], family)
            for p in pools:
                check(p.exchange().all_held, f"back, time {round_ + 1}: the flows of both are held", p.result)
        seen_alive(d)
        for _ in range(3):
            carrier(lab, False)
            for p in pools:
                check(p.exchange(flows=held[p]).all_held, "no carrier: the other uplink's flows are held",
                      lambda p=p: p.result(held[p]))
            carrier(lab, True)
            for p in pools:
                check(p.exchange(flows=held[p]).all_held, "carrier again: the other uplink's flows are held",
                      lambda p=p: p.result(held[p]))
        for p in pools:
            check(p.exchange(20).all_held, "and those of the one that flapped", p.result)
        carrier(lab, False)
        wait_until(lambda: d.binding(lab.nexthop("r1", family))["state"] == "dead", 10, "long without carrier: dead")
        for p in pools:
            check(p.exchange(flows=held[p]).all_held, "the other uplink's flows are held",
                  lambda p=p: p.result(held[p]))
        check(all(takes(f, "r2") for f in pools[0].open(50)), "new ones take the uplink that is left")
        carrier(lab, True)
        wait_until(lambda: d.binding(lab.nexthop("r1", family))["state"] == "active", 10, "it comes back")
        for p in pools:
            check(p.exchange(flows=held[p]).all_held, "the other uplink's flows are held",
                  lambda p=p: p.result(held[p]))
        check(marked_packets(lab, "inside") > 0, "packets from inside were steered")
        equal(marked_packets(lab, "outside"), 0, "no reply was, in all that time")


@case("replies to inside hosts, IPv4", 4)
@case("replies to inside hosts, IPv6", 6)
def replies(family):
    """Outbound connections' replies, and inbound connections to a host on the LAN whose port is forwarded: there the
    replies are what leaves through the uplinks."""
    with uplinks() as lab:
        watch_marks(lab)
        ip = "ip" if family == 4 else "ip6"
        inside = HOST[family] if family == 4 else f"[{HOST[family]}]"
        lab.nft("gw", "add chain inet nat pre { type nat hook prerouting priority dstnat; }\n"
                      f"add rule inet nat pre iifname {{ u1, u2 }} meta nfproto ipv{family} tcp dport 80 "
                      f"dnat {ip} to {inside}:80\n")
        _, (outbound,) = established(lab, family, config=ALL_PORTS)  # a reply's destination port is any
        inbound = TcpPool(lab, 0, target=HOST[family], servers=["host"], client="inet")
        for router, addresses in OUTSIDE.items():
            inbound.target = addresses[0 if family == 4 else 1]
            n = 1 if router == "r1" else 2
            inbound.sources = [f"10.2{n}.0.2" if family == 4 else f"fd00:2{n}::2"]
            inbound._next_source = iter(inbound.sources * 100)
            inbound.open(100)
        check(inbound.result().all_held and inbound.result().total == 200, "200 connections from outside to a host inside",
              inbound.result)
        for routers in (["r1"], ["r2"], ["r1", "r2"]):
            route(lab, routers, family)
            for what, pool in (("outbound", outbound), ("inbound", inbound)):
                check(pool.exchange().all_held, f"route over {'+'.join(routers)}: 200 {what} held", pool.result)
        check(marked_packets(lab, "inside") > 0, "packets from inside were steered")
        equal(marked_packets(lab, "outside"), 0, "no reply to an inside host was, and no inbound packet")
        equal(marked_packets(lab, "lan"), 0, "no reply of the host on the LAN was")
        equal(marks(lab, family, f"src={HOST[family]} "), {0}, "no inbound connection has a mark")


def no_carrier(lab):
    lab.ip("r1", "link set gw down")


def silent(lab):
    lab.nft("r1", MUTE)


def taken(lab, family, port, tries=64):
    """The uplinks that the kernel would choose for unmarked new connections to inet."""
    return {lab.ip_json("gw", f"route get {INET[family]} from {lab.sources[family][0]} iif c ipproto tcp "
                              f"sport {1024 + n} dport {port}")[0]["dev"] for n in range(tries)}


@case("one uplink has no carrier, IPv4", no_carrier, 4)
@case("one uplink does not answer, IPv4", silent, 4)
@case("one uplink does not answer, IPv6", silent, 6)
def one_dead(die, family):
    with uplinks() as lab:
        only_own_sources(lab)
        watch_marks(lab)
        d, (pool,) = established(lab, family)
        other = TcpPool(lab, target=INET[family], servers=["inet"], port=OTHER_PORT)
        need(other.result().all_held and on_uplink(other, "r1") and on_uplink(other, "r2"),
             "200 connections on another port over both uplinks", other.result)
        lan = {(client, port): TcpPool(lab, 100, target=target, port=port, client=client, servers=[server], sources=[src])
               for client, server, target, src in (
                   ("c", "host", HOST[family], lab.sources[family][0]),
                   ("host", "c", lab.sources[family][1], HOST[family]))
               for port in (80, OTHER_PORT)}
        need(all(p.result().all_held for p in lan.values()), "connections on the LAN, both ways and on both ports",
             lambda: [str(p.result()) for p in lan.values()])
        seen_alive(d)
        before = taken(lab, family, OTHER_PORT)
        equal(before, {"u1", "u2"}, "the kernel spreads the other port over both")
        die(lab)
        wait_until(lambda: d.binding(lab.nexthop("r1", family))["state"] == "dead", 20, "the uplink is dead")
        wait_until(lambda: len(d.status()["overrides"]) == 1, 5, "new connections of the service are kept off it")
        equal(taken(lab, family, 80), {"u2"}, "the service's port takes the uplink that is left")
        equal(taken(lab, family, OTHER_PORT), before, "the other port still goes where the route says")
        for (client, port), p in lan.items():
            check(p.exchange().all_held, f"LAN, from {client}, port {port}: 100 held", p.result)
            check(p.probe(50) == {"host" if client == "c" else "c": 50}, "and 50 new ones work")
        mine = on_uplink(pool, "r2")
        check(pool.exchange(flows=mine).all_held, "the flows on the uplink that is left are held",
              lambda: pool.result(mine))
        fresh = pool.open(100)
        check(all(f.state == "up" and takes(f, "r2") for f in fresh), "100 new ones use it too",
              lambda: pool.result(fresh))
        same = on_uplink(other, "r2")
        check(other.exchange(flows=same).all_held, "the other port's connections over it are held",
              lambda: other.result(same))
        equal(marks(lab, family, f"dport={OTHER_PORT}"), {0}, "no connection on the other port has a mark")
        equal(marks(lab, family, f"dst={HOST[family]} ") | marks(lab, family, f"dst={lab.sources[family][1]} "), {0},
              "nor has one on the LAN")
        equal(marked_packets(lab, "lan"), 0, "no packet of the host on the LAN was steered")
        equal(marked_packets(lab, "outside"), 0, "nor one from an uplink")


main()
