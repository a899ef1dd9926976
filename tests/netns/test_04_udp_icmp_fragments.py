#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 4: UDP flows stay on their nexthop; ICMP errors about a pinned flow, and fragments, go where
it goes."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

PORTS = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    protocol     = {tcp, udp}
    port         = {80, 8000-8100}
    idle-timeout = 5m
}
"""
VIP = {4: VIP4, 6: VIP6}

for fam in (4, 6):
    case(f"UDP through changes, IPv{fam}", lambda: standard(4), lambda lab, f=fam: Plain(lab, f), VIP[fam],
         pool_class=UdpPool)(hold_through_changes)
case("UDP with direct return through changes", lambda: direct_return(4), Plain, VIP4,
     pool_class=UdpPool)(hold_through_changes)


def errors_follow(make_lab, pool_class, family, config=WEB, sender="r", before=None):
    """200 flows, their nexthops withdrawn one after another: an ICMP error about each still
    reaches its server, only that."""
    with make_lab() as lab:
        lab.route(["s1", "s2", "s3"], family)
        Daemon(lab, config)
        pool = pool_class(lab, target=VIP[family])
        need(pool.result().all_held, "200 flows open", pool.result)
        for names in (["s1", "s3"], ["s2"]):
            lab.route(names, family)
            check(pool.exchange().all_held, f"200 held with the route on {'+'.join(names)}", pool.result)
            if before:
                before(lab)
            watch = ErrorWatch(lab, pool)
            send_too_big(lab, sender, pool, pool.flows)
            wait_until(lambda w=watch: w.total() >= len(pool.flows), 5)
            bad = watch.wrong(pool.flows)
            check(not bad, f"200 ICMP errors reached their servers with the route on {'+'.join(names)}",
                  f"{len(bad)} did not: {bad[:5]}")


def forget(lab):
    lab.conntrack("-F")


ROUTED = [lambda: standard(3, router=True), "r"]
DIRECT = [lambda: direct_return(3), "c"]
for fam in (4, 6):
    word = "fragmentation needed" if fam == 4 else "packet too big"
    for title, (topology, who), kind, conf, prepare in (
            ("TCP", ROUTED, TcpPool, WEB, None), ("UDP", ROUTED, UdpPool, WEB, None),
            ("TCP, a service of some ports", ROUTED, TcpPool, PORTS, None),
            ("UDP, a service of some ports, conntrack flushed", ROUTED, UdpPool, PORTS, forget),
            ("one-way TCP", DIRECT, TcpPool, WEB, None),
            ("one-way TCP, conntrack flushed", DIRECT, TcpPool, WEB, forget),
            ("one-way TCP, a service of some ports, conntrack flushed", DIRECT, TcpPool, PORTS, forget),
            ("one-way UDP, conntrack flushed", DIRECT, UdpPool, WEB, forget)):
        case(f"{word}: {title}", topology, kind, fam, conf, who, prepare)(errors_follow)


@case("a smaller MTU on the way, IPv4", 4)
@case("a smaller MTU on the way, IPv6", 6)
def real_mtu(family):
    """Large answers get through to clients behind a narrower link only if the router's error
    reaches their server."""
    with standard(3, router=True) as lab:
        lab.route(["s1", "s2", "s3"], family)
        Daemon(lab, PORTS)
        pool = TcpPool(lab, target=VIP[family])
        need(pool.result().all_held, "200 connections open", pool.result)
        on_s2 = pool.on("s2")
        lab.route(["s1", "s3"], family)
        lab.ip("r", "link set c mtu 1300")
        pool.answer_size = 6000
        check(pool.exchange(flows=on_s2).all_held, f"{len(on_s2)} large answers of the withdrawn server arrive",
              lambda: pool.result(on_s2))
        check(pool.exchange().all_held, "and those of the others", pool.result)
        learned = lab.run("s2", f"ip -{family} route get {lab.sources[family][0]}")
        check("mtu 1300" in learned, "the withdrawn server knows the path's MTU", learned)


@case("fragments, IPv4", standard, 4)
@case("fragments, IPv6", standard, 6)
@case("fragments with direct return, IPv4", direct_return, 4)
@case("fragments with direct return, IPv6", direct_return, 6)
def fragments(topology, family):
    """Datagrams of 4,000 bytes through links of 1,500: every fragment goes to the flow's server."""
    with topology(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        Daemon(lab, PORTS)
        pool = UdpPool(lab, n=0, target=VIP[family])
        pool.request_size = pool.answer_size = 4000
        pool.open(200)
        need(pool.result().all_held, "200 flows of large datagrams open", pool.result)
        for names in (["s1", "s3"], ["s2"], ["s1", "s2", "s3"]):
            lab.route(names, family)
            check(pool.exchange().all_held, f"200 held with the route on {'+'.join(names)}", pool.result)


main()
