#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 3: forwarding a packet that no service is for."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import least
from common import *  # noqa

ROW = {"row": 3, "what": "forwarding a packet outside the services", "size": 250,
       "against": "the gateway without flowpin", "bar": "at most 1.02"}
SLICE, SLICES, HOT = 5000, 100, 2000
LEAST = {"the least there is: one ip rule": least.rule,
         "the least there is: one ip rule, and one comparison in two hooks": least.hooks,
         "without policy routing: one comparison in one hook": least.hook}


def prefixes(n):
    """A further service of n prefixes, far from each other: no prefix that covers them all tells what is outside, so that other
    traffic pays for a lookup among them."""
    listed = ", ".join(f"{100 + i % 100}.1.{i // 100}.7/32" for i in range(n))
    return f"service other {{\n prefix = {{{listed}}}\n port = 80\n}}\n" if n else ""


def outside(gateway, name):
    """Something that sends packets there; flows that have an answer, where somebody forwards them."""
    gateway.lab.ip("s", f"address add {OUTSIDE}/32 dev lo")
    if name not in ("bare", "sink"):
        gateway.patient()
    hose = gateway.hose(to=OUTSIDE)
    hose.burst("udp", HOT, 2 * HOT)
    if name != "sink":
        gateway.hose("s", to=OUTSIDE).burst("answer", HOT, HOT)
    return hose


def through(hoses):
    return in_turn(hoses, SLICES, lambda hose, _: hose.burst("udp", HOT, SLICE))


def measure(n, result, bar):
    """In turn through flowpin, through a gateway with conntrack, through one that forwards only, and into a sink."""
    with contextlib.ExitStack() as stack:
        gateways = {name: stack.enter_context(Gateway(name[0], 3, name != "bare")) for name in ("flowpin", "tracked", "bare", "sink")}
        gateways["flowpin"].flowpind(100000, prefixes(n))
        gateways["sink"].sink()
        hoses = {name: outside(gateway, name) for name, gateway in gateways.items()}
        times = through(hoses)
        a, b, ratio, span = compare(times["flowpin"], times["tracked"], times["sink"])
        result.line(f"{n + 1} prefixes, against a gateway that tracks connections", a, b, "ns", bar=bar, ratio=ratio, spread=span)
        a, b, ratio, span = compare(times["flowpin"], times["bare"], times["sink"])
        result.line(f"{n + 1} prefixes, against one that only forwards (no conntrack)", a, b, "ns", ratio=ratio, spread=span)
        gross = compare(times["flowpin"], times["tracked"])
        result.line(f"{n + 1} prefixes, with what sending and receiving costs in both", gross[0], gross[1], "ns", ratio=gross[2], spread=gross[3])
        if bar:
            gateways["flowpin"].loose()
            gateways["tracked"].loose()
            times = through(hoses)
            loose = compare(times["flowpin"], times["tracked"], times["sink"])
            result.line(LOOSE, loose[0], loose[1], "ns", ratio=loose[2], spread=loose[3], beside=True)
        return a


def measure_least(result):
    """What nobody can be below, in turn with a gateway that tracks connections, net of the sink."""
    with contextlib.ExitStack() as stack:
        gateways = {name: stack.enter_context(Gateway(f"l{n}", 3)) for n, name in enumerate(("tracked", *LEAST, "sink"))}
        for name, prepare in LEAST.items():
            prepare(gateways[name])
        gateways["sink"].sink()
        times = through({name: outside(gateway, name) for name, gateway in gateways.items()})
        for name in LEAST:
            a, b, ratio, span = compare(times[name], times["tracked"], times["sink"])
            result.line(name, a, b, "ns", ratio=ratio, spread=span, beside=True)


def run(size, result):
    small = measure(max(1, size // 10) - 1, result, None)
    large = measure(size - 1, result, None)
    one = measure(0, result, 1.02)
    measure_least(result)
    result.grow("prefixes of services, ns a packet", max(1, size // 10), size, small, large)
    result.grow("prefixes of services, ns a packet", 1, size, one, large)


main(ROW, run)
