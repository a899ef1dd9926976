#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 1: connections that ten changes break."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa
from daemon import WEB
from routing import Groups, Plain
from topology import standard
from traffic import TcpPool

ROW = {"row": 1, "what": "connections broken by ten changes", "size": 2000, "against": "plain ECMP; kernel resilient group (tuned timers)",
       "bar": "0 that the death itself did not break"}
# A timer of 1 s: what it is that moves buckets is then quicker than any change, and a bucket in use stays where it is.
TUNED = "type resilient buckets 1024 idle_timer 1 unbalanced_timer 0"


def policy(lab, number):
    lab.sysctl("gw", **{"net.ipv4.fib_multipath_hash_policy": number},
               **({"net.ipv4.fib_multipath_hash_fields": 0x37} if number == 3 else {}))


def changes(lab, routing):
    """(what, function): the routing daemon takes a dead server out of the route; flowpin leaves that to it, too."""
    def dead():
        lab.ip("s3", "link set gw down")
        routing.set(["s1", "s2", "s4"])

    def route(weights):
        return lambda: routing.set(weights)
    every = ["s1", "s2", "s3", "s4"]
    return (("s2 withdrawn", route(["s1", "s3"])), ("s2 returns", route(["s1", "s2", "s3"])), ("s4 added", route(every)),
            ("weights", route({"s1": 20, "s2": 1, "s3": 3, "s4": 1})), ("equal weights again", route(every)),
            ("hash policy 0", lambda: policy(lab, 0)), ("hash policy 3", lambda: policy(lab, 3)), ("hash policy 1", lambda: policy(lab, 1)),
            ("s3 dies", dead), ("s1 withdrawn", route(["s2", "s4"])))


def script(kind, connections, result):
    """(broken, broken by the death) of so many connections."""
    with standard(4) as lab:
        routing = Plain(lab) if kind != "resilient" else Groups(lab)
        if kind == "resilient":
            routing.kind = TUNED
        routing.set(["s1", "s2", "s3"])
        for n in range(1, 5):
            lab.run(f"s{n}", f"ping -c 1 -W 2 10.1.{n}.1")
        daemon = Daemon(lab, WEB) if kind == "flowpin" else None
        pool = TcpPool(lab, 0)
        while len(pool.flows) < connections:
            pool.open(min(500, connections - len(pool.flows)), deadline=30)
        need(pool.result().all_held, f"{connections} connections open: {pool.result()}")
        pool.start(0.5)
        on_dead, steps = set(), []
        for what, change in changes(lab, routing):
            doomed = {f for f in pool.flows if f.server == "s3" and f.state == "up" and not f.moved} if what == "s3 dies" else set()
            on_dead |= doomed
            before = lost(pool, on_dead)
            change()
            if daemon:
                tap.wait_until(lambda: settled(daemon, routing), 5, poll=0.05)
            time.sleep(0.5)
            pool.exchange(deadline=6, flows=[f for f in pool.flows if f not in on_dead])
            steps.append(f"{what} {lost(pool, on_dead) - before}")
        pool.stop()
        result.note(f"{kind}, {connections} connections: {', '.join(steps)}; on the server that died: {len(on_dead)}")
        return lost(pool, on_dead)


def lost(pool, except_those):
    """Connections that were moved to another server (which resets them) or broke."""
    return sum(1 for f in pool.flows if f not in except_those and (f.moved or f.state == "broken"))


def settled(daemon, routing):
    named = {b["nexthop"] for b in daemon.nexthops() if b["named"]}
    return named and named <= {routing.nexthop(f"s{n}") for n in range(1, 5)}


def run(size, result):
    found = {}
    for connections in (size // 10, size):
        for kind in ("plain", "resilient", "flowpin"):
            found[kind, connections] = script(kind, connections, result)
    for rival in ("plain", "resilient"):
        result.line(f"against {rival} ECMP, of {size:,}", found["flowpin", size], found[rival, size], "connections broken")
    result.judge("flowpin", found["flowpin", size], "connections broken", "0", found["flowpin", size] == 0)
    for kind in ("flowpin", "plain", "resilient"):
        result.grow(f"{kind}, broken", size // 10, size, found[kind, size // 10], found[kind, size])


main(ROW, run)
