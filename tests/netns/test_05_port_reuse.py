#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 5: a source port that is used again with a new SYN is not steered by the old pin; a
retransmitted SYN is not re-routed."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

VIP = {4: VIP4, 6: VIP6}


@case("reused ports, IPv4", standard, 4)
@case("reused ports, IPv6", standard, 6)
@case("reused ports with direct return, IPv4", direct_return, 4)
@case("reused ports with direct return, IPv6", direct_return, 6)
def reused(topology, family):
    with topology(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        Daemon(lab)
        pool = TcpPool(lab, target=VIP[family])
        need(pool.result().all_held, "200 connections open", pool.result)
        lab.route(["s1", "s3"], family)
        check(pool.exchange().all_held, "200 held through a withdrawal", pool.result)
        old = pool.on("s2")
        fresh = pool.reopen(old)
        where = pool.by_server(fresh)
        check(pool.result(fresh).all_held and set(where) <= {"s1", "s3"},
              f"{len(old)} ports of the withdrawn server used again: on the others",
              lambda: f"{where} {pool.result(fresh)}")
        check(pool.exchange().all_held, "and all connections go on", pool.result)
        lab.route(["s2"], family)
        check(pool.exchange().all_held, "the new pins hold when the route changes to s2", pool.result)
        again = pool.reopen(pool.on("s1"))
        equal(set(pool.by_server(again)), {"s2"}, "ports used once more go where the route points now")
        check(pool.exchange().all_held, "and all connections go on", pool.result)


@case("reused ports on a server that flowpind never saw")
def unknown_server():
    """flowpind is dead when the route changes to a new server: an old pin that stayed would steal
    the new connection's ACK."""
    with standard(4) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        d.kill(signal.SIGKILL)
        lab.route(["s4"])
        check(pool.exchange().all_held, "200 held with flowpind dead", pool.result)
        fresh = pool.reopen(pool.flows[:100])
        equal(pool.by_server(fresh), {"s4": 100}, "100 ports used again, all on the new server")
        check(pool.exchange(flows=fresh).all_held, "they go on there", lambda: pool.result(fresh))
        check(pool.exchange().all_held, "and the old ones too", pool.result)


MUTE = """add table inet deafness
add chain inet deafness in { type filter hook prerouting priority -400; }
add rule inet deafness in tcp sport 80 tcp flags & (syn | ack) == (syn | ack) counter drop
"""


def syns(watch, pool):
    """{(address, port): {server: SYNs seen there}}"""
    seen = {}
    for server, capture in watch.items():
        for p in capture.packets(lambda p: p.proto == 6 and p.dst == pool.target and p.flags is not None
                                 and p.flags & (SYN | ACK) == SYN and not p.outgoing):
            counts = seen.setdefault((p.src, p.sport), {})
            counts[server] = counts.get(server, 0) + 1
    return seen


@case("retransmitted SYN, IPv4", standard, 4)
@case("retransmitted SYN, IPv6", standard, 6)
@case("retransmitted SYN with direct return", direct_return, 4)
def retransmitted(topology, family):
    """The first SYN-ACKs are lost, and the route gains a nexthop and other weights before the
    client sends its SYNs again."""
    with topology(4) as lab:
        lab.route(["s1", "s2", "s3"], family)
        Daemon(lab)
        pool = TcpPool(lab, n=0, target=VIP[family])
        lab.nft("c", MUTE)
        watch = {server: Capture(lab, server, "gw") for server in lab.servers}
        pool.open(200, wait=False)
        wait_until(lambda: len(syns(watch, pool)) == 200, 5, "the servers saw 200 SYNs", poll=0.05)
        lab.route({"s1": 1, "s2": 1, "s3": 1, "s4": 5}, family)
        wait_until(lambda: all(sum(c.values()) >= 2 for c in syns(watch, pool).values()), 15,
                   "and each of them a second time", poll=0.1)
        lab.nft("c", "delete table inet deafness\n")
        check(pool.exchange(20).all_held, "the connections come up and work", pool.result)
        scattered = {k: c for k, c in syns(watch, pool).items() if len(c) > 1}
        check(not scattered, "each connection's SYNs went to one server",
              f"{len(scattered)} went to several, as {list(scattered.items())[:3]}")
        lab.route(["s4"], family)
        check(pool.exchange().all_held, "they are held when the route leaves them", pool.result)


main()
