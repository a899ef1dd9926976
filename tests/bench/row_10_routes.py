#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 10: from the change of a route until its new nexthop can be pinned to."""

import contextlib
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa

ROW = {"row": 10, "what": "route change until its nexthop is usable for pinning", "size": 10000, "against": "1 and 100 routes",
       "bar": "flat per change (at most 1.5 times)"}
FLAT, CHANGES = 1.5, 15
NETS = """service web {
    prefix       = 1.0.0.0/8
    protocol     = {tcp, udp}
    idle-timeout = 1h
}
limits { max-flows = %d max-pins = %d }
"""


class Side:
    """A gateway with so many routes in the service, over nexthops 1 to 3."""

    def __init__(self, stack, name, routes):
        self.count = routes
        self.gateway = stack.enter_context(Gateway(name, 3 + CHANGES))
        for n in range(routes):
            self.gateway.route([1, 2, 3], self.prefix(n))
        self.gateway.route([1, 2, 3])
        self.gateway.nexthops = 3
        self.daemon = self.gateway.flowpind(10000, config=NETS)
        self.transactions = Transactions(self.gateway.lab)
        self.times, self.cpu = [], []

    @staticmethod
    def prefix(n):
        return f"1.2.{n // 256}.{n % 256}/32"

    def once(self, n):
        """A route gets a nexthop that flowpind never saw: the time until the packet path knows it. Then it loses it again."""
        hop = 4 + n
        address = self.gateway.address(hop)
        self.transactions.forget()
        cpu, began = cpu_ns(self.daemon.pid), time.monotonic_ns()
        self.gateway.route([1, 2, 3, hop], self.prefix(n % self.count))
        found = self.transactions.wait(socket.inet_aton(address))
        self.times.append(time.monotonic_ns() - began)
        need(found is not None, f"{address} is in the map")
        time.sleep(0.1)
        self.cpu.append(cpu_ns(self.daemon.pid) - cpu)
        self.gateway.route([1, 2, 3], self.prefix(n % self.count))
        need(tap.wait_until(lambda: not self.daemon.binding(f"{address}%s")["named"], 10, poll=0.05), f"{address} is withdrawn")
        time.sleep(0.1)


def run(size, result):
    with contextlib.ExitStack() as stack:
        sides = [Side(stack, name, n) for name, n in (("a", 1), ("b", max(2, size // 100)), ("c", max(3, size // 10)), ("d", size))]
        for n in range(min(ROUNDS or CHANGES, CHANGES)):
            for side in sides:
                side.once(n)
        least = sides[0]
        for side in sides[1:]:
            a, b, ratio, span = compare(side.times, least.times)
            result.line(f"{side.count:,} routes, against {least.count}", a / 1e6, b / 1e6, "ms", bar=FLAT, ratio=ratio, spread=span)
            a, b, ratio, span = compare(side.cpu, least.cpu)
            result.line(f"{side.count:,} routes, CPU of flowpind", a / 1e6, b / 1e6, "ms", ratio=ratio, spread=span)
        result.grow("a change, ms", sides[2].count, size, compare(sides[2].times, sides[2].times)[0] / 1e6,
                    compare(sides[3].times, sides[3].times)[0] / 1e6)


main(ROW, run)
