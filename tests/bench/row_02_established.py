#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 2: forwarding a packet of an established flow."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import least
from common import *  # noqa

ROW = {"row": 2, "what": "forwarding a packet of an established flow", "size": 1000000,
       "against": "plain ECMP with conntrack", "bar": "at most 1.05 with 64 nexthops and 1,000,000 pins"}
SLICE, SLICES, HOT = 5000, 60, 2000
LEAST = {"the least there is: one ip rule and the ct mark": least.marks,
         "the least there is, with a pin for each flow": least.pins,
         "without policy routing, while ECMP sends every flow where it is pinned": least.compared,
         "without policy routing, with a pin for each flow": least.compared_pins}


def through(hoses, spread_over, flows):
    """What packets of so many of the flows cost through each."""
    for hose in hoses.values():
        hose.burst("udp", spread_over, min(4 * spread_over, flows))
    step = SLICE if spread_over == flows else 0
    return in_turn(hoses, SLICES, lambda hose, n: hose.burst("udp", spread_over, SLICE, first=n * step % max(1, flows - SLICE)))


def filled(stack, nexthops, flows, prepare):
    """{name: a hose of so many flows}, through gateways that were prepared, and into a sink."""
    hoses = {}
    for name, how in prepare.items():
        gateway = stack.enter_context(Gateway(f"g{len(hoses)}", nexthops))
        how(gateway)
        gateway.patient()
        hoses[name] = gateway.fill(flows)
    sink = stack.enter_context(Gateway("z", nexthops))
    sink.sink()
    return dict(hoses, sink=sink.hose())


def measure_least(nexthops, flows, result):
    """What nobody can be below, in turn with plain ECMP, net of the sink."""
    with contextlib.ExitStack() as stack:
        times = through(filled(stack, nexthops, flows, dict(LEAST, plain=lambda _: None)), HOT, flows)
    for what in LEAST:
        a, b, ratio, span = compare(times[what], times["plain"], times["sink"])
        result.line(f"{nexthops} nexthops, {flows:,} flows, {what}", a, b, "ns", ratio=ratio, spread=span, beside=True)


def measure(nexthops, pins, result, bar):
    """Packets in short bursts, in turn through flowpin, through plain ECMP, and into a sink; net of the sink."""
    gateways, found = [], {}

    def ours(gateway):
        gateway.flowpind(pins)
        gateways.append(gateway)

    with contextlib.ExitStack() as stack:
        hoses = filled(stack, nexthops, pins, {"flowpin": ours, "plain": gateways.append})
        for spread_over in sorted({min(HOT, pins), pins}):
            times = through(hoses, spread_over, pins)
            a, b, ratio, span = compare(*times.values())
            found[spread_over] = a, b
            result.line(f"{nexthops} nexthops, {pins:,} pins, packets of {spread_over:,} flows", a, b, "ns", bar=bar, ratio=ratio,
                        spread=span)
            gross = compare(times["flowpin"], times["plain"])
            result.line("  with what sending and receiving costs in both", gross[0], gross[1], "ns", ratio=gross[2], spread=gross[3])
        if bar:
            for gateway in gateways:
                gateway.loose()
            a, b, ratio, span = compare(*through(hoses, HOT, pins).values())
            result.line(LOOSE, a, b, "ns", ratio=ratio, spread=span, beside=True)
    return found[min(HOT, pins)]


def run(size, result):
    small = size // 10
    with room_in_conntrack(3 * size):
        costs = {}
        for nexthops, pins in ((1, small), (64, small), (255, small), (64, size)):
            costs[nexthops, pins] = a, b = measure(nexthops, pins, result, 1.05 if (nexthops, pins) == (64, size) else None)
            if pins == small:
                result.point("flowpin", nexthops, a)
                result.point("plain ECMP", nexthops, b)
        measure_least(64, small, result)
    result.grow("pins, 64 nexthops, ns a packet", small, size, costs[64, small][0], costs[64, size][0])
    result.grow("the same, plain ECMP (flows)", small, size, costs[64, small][1], costs[64, size][1])
    result.grow("nexthops, ns a packet", 1, 255, costs[1, small][0], costs[255, small][0])
    result.grow("the same, plain ECMP", 1, 255, costs[1, small][1], costs[255, small][1])


main(ROW, run)
