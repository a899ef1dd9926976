#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 3: forwarding a packet that no service is for."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa

ROW = {"row": 3, "what": "forwarding a packet outside the services", "size": 250,
       "against": "the gateway without flowpin", "bar": "at most 1.02"}
SLICE, SLICES, HOT = 5000, 100, 2000


def prefixes(n):
    """A further service of n prefixes: all that other traffic pays is a lookup among them."""
    listed = ", ".join(f"1.1.{2 + i // 250}.{i % 250}/32" for i in range(n))
    return f"service other {{\n prefix = {{{listed}}}\n port = 80\n}}\n" if n else ""


def measure(n, result, bar):
    """In turn through flowpin, through a gateway with conntrack, through one that forwards only, and into a sink."""
    with contextlib.ExitStack() as stack:
        ours, tracked, bare, sink = (stack.enter_context(Gateway(name, 3, name != "b")) for name in ("f", "t", "b", "z"))
        ours.flowpind(100000, prefixes(n))
        sink.sink()
        hoses = []
        for gateway in (ours, tracked, bare, sink):
            gateway.lab.ip("s", f"address add {OUTSIDE}/32 dev lo")
            if gateway in (ours, tracked):
                gateway.patient()
            hoses.append(gateway.hose(to=OUTSIDE))
            hoses[-1].burst("udp", HOT, 2 * HOT)
            if gateway is not sink:
                gateway.hose("s", to=OUTSIDE).burst("answer", HOT, HOT)
        times = [[], [], [], []]
        for _ in range(ROUNDS or SLICES):
            for hose, into in zip(hoses, times):
                into.append(hose.burst("udp", HOT, SLICE)[0])
        a, b, ratio, span = compare(times[0], times[1], times[3])
        result.line(f"{n + 1} prefixes, against a gateway that tracks connections", a, b, "ns", bar=bar, ratio=ratio, spread=span)
        a, b, ratio, span = compare(times[0], times[2], times[3])
        result.line(f"{n + 1} prefixes, against one that only forwards (no conntrack)", a, b, "ns", ratio=ratio, spread=span)
        gross = compare(times[0], times[1])
        result.line(f"{n + 1} prefixes, with what sending and receiving costs in both", gross[0], gross[1], "ns", ratio=gross[2], spread=gross[3])
        return a


def run(size, result):
    small = measure(max(1, size // 10) - 1, result, None)
    large = measure(size - 1, result, None)
    one = measure(0, result, 1.02)
    result.grow("prefixes of services, ns a packet", max(1, size // 10), size, small, large)
    result.grow("prefixes of services, ns a packet", 1, size, one, large)


main(ROW, run)
