#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 9: letting all flows of a dead nexthop go."""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa

ROW = {"row": 9, "what": "releasing all pins of a dead nexthop", "size": 1000000, "against": "100 and 10,000 pins",
       "bar": "flat (at most 1.5 times)"}
FLAT = 1.5


class Side:
    """A gateway with two nexthops, all pins on the second."""

    def __init__(self, stack, name, pins):
        self.pins = pins
        self.gateway = stack.enter_context(Gateway(name, 2))
        self.gateway.patient()
        self.gateway.route([2])
        self.gateway.nexthops = 1
        self.daemon = self.gateway.flowpind(pins)
        self.gateway.fill(pins, rate=70000)
        self.gateway.route([1, 2])
        need(tap.wait_until(lambda: len([b for b in self.daemon.nexthops() if b["health"] == "alive"]) == 2, 20), "both nexthops are alive")
        self.transactions = Transactions(self.gateway.lab)
        self.asker = Asker(self.daemon.socket)
        self.times, self.cpu, self.messages = [], [], []

    def once(self):
        """From the word to the transaction that took the nexthop's mark out of the map; and what flowpind worked until it rested."""
        name = f"{self.gateway.address(2)}%s"
        self.asker.call("Status")
        self.transactions.forget()
        cpu, began = cpu_ns(self.daemon.pid), time.monotonic_ns()
        flows = self.asker.call("Release", nexthop=name)["flows"]
        n = self.transactions.wait(b"marks\0")
        self.times.append(time.monotonic_ns() - began)
        need(n is not None, "the nexthop's mark is out of the map")
        need(flows >= self.pins * 99 // 100, f"{flows} flows released of {self.pins}")
        time.sleep(0.3)
        self.cpu.append(cpu_ns(self.daemon.pid) - cpu)
        self.messages.append(n)
        self.asker.call("Undrain", nexthop=name)
        need(tap.wait_until(lambda: self.daemon.binding(name)["state"] == "active", 10), "it is active again")
        time.sleep(0.2)


def run(size, result):
    with room_in_conntrack(2 * size), contextlib.ExitStack() as stack:
        sides = [Side(stack, name, pins) for name, pins in (("a", max(10, size // 10000)), ("b", size // 100), ("c", size // 10), ("d", size))]
        for _ in range(ROUNDS or 15):
            for side in sides:
                side.once()
        least = sides[0]
        for side in sides:
            a, b, ratio, span = compare(side.times, least.times)
            result.point("the release", side.pins, a / 1e6)
            if side is not least:
                result.line(f"{side.pins:,} pins, against {least.pins:,}", a / 1e6, b / 1e6, "ms", bar=FLAT, ratio=ratio, spread=span)
            result.note(f"{side.pins:,} pins: CPU of flowpind until 0.3 s later: {compare(side.cpu, least.cpu)[0] / 1e6:.1f} ms")
        result.grow("release, ms", sides[2].pins, size, compare(sides[2].times, sides[2].times)[0] / 1e6,
                    compare(sides[3].times, sides[3].times)[0] / 1e6)


main(ROW, run)
