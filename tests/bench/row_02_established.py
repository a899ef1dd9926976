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
         "the least there is, with a pin for each flow": least.pins}


def in_turn(hoses, spread_over, flows):
    """What a packet of so many of the flows cost each, in short bursts."""
    for hose in hoses:
        hose.burst("udp", spread_over, min(4 * spread_over, flows))
    times = [[] for _ in hoses]
    for n in range(ROUNDS or SLICES):
        first = 0 if spread_over < flows else n * SLICE % max(1, flows - SLICE)
        for hose, into in zip(hoses, times):
            into.append(hose.burst("udp", spread_over, SLICE, first=first)[0])
    return times


def measure_least(nexthops, flows, result):
    """What nobody can be below, in turn with plain ECMP, net of the sink."""
    with contextlib.ExitStack() as stack:
        plain, *by_hand, sink = (stack.enter_context(Gateway(n, nexthops)) for n in ("p", *(f"l{n}" for n in range(len(LEAST))), "z"))
        for gateway, prepare in zip(by_hand, LEAST.values()):
            prepare(gateway)
        hoses = []
        for gateway in (plain, *by_hand):
            gateway.patient()
            hoses.append(gateway.fill(flows))
        sink.sink()
        hoses.append(sink.hose())
        times = in_turn(hoses, HOT, flows)
        for what, found in zip(LEAST, times[1:]):
            a, b, ratio, span = compare(found, times[0], times[-1])
            result.beside(f"{nexthops} nexthops, {flows:,} flows, {what}", a, b, "ns", span, ratio)


def measure(nexthops, pins, result, bar):
    """Packets in short bursts, in turn through flowpin, through plain ECMP, and into a sink; net of the sink."""
    with contextlib.ExitStack() as stack:
        ours, plain, sink = (stack.enter_context(Gateway(n, nexthops)) for n in ("f", "p", "z"))
        ours.flowpind(pins)
        hoses = []
        for gateway in (ours, plain):
            gateway.patient()
            hoses.append(gateway.fill(pins))
        sink.sink()
        hoses.append(sink.hose())
        found = {}
        for spread_over in {min(HOT, pins), pins}:
            times = in_turn(hoses, spread_over, pins)
            a, b, ratio, span = compare(*times)
            found[spread_over] = a, b
            result.line(f"{nexthops} nexthops, {pins:,} pins, packets of {spread_over:,} flows", a, b, "ns", bar=bar, ratio=ratio,
                        spread=span)
            gross = compare(times[0], times[1])
            result.line("  with what sending and receiving costs in both", gross[0], gross[1], "ns", ratio=gross[2], spread=gross[3])
        if bar:
            ours.loose()
            plain.loose()
            a, b, ratio, span = compare(*in_turn(hoses, HOT, pins))
            result.beside(LOOSE, a, b, "ns", span, ratio)
        return found[min(HOT, pins)]


def run(size, result):
    small, largest = size // 10, 0
    with room_in_conntrack(3 * size):
        costs = {}
        for nexthops, pins in ((1, small), (64, small), (255, small), (64, size)):
            costs[nexthops, pins] = a, b = measure(nexthops, pins, result, 1.05 if (nexthops, pins) == (64, size) else None)
            largest = max(largest, a)
            if pins == small:
                result.point("flowpin", nexthops, a)
                result.point("plain ECMP", nexthops, b)
        measure_least(64, small, result)
    result.grow("pins, 64 nexthops, ns a packet", small, size, costs[64, small][0], costs[64, size][0])
    result.grow("the same, plain ECMP (flows)", small, size, costs[64, small][1], costs[64, size][1])
    result.grow("nexthops, ns a packet", 1, 255, costs[1, small][0], costs[255, small][0])
    result.grow("the same, plain ECMP", 1, 255, costs[1, small][1], costs[255, small][1])


main(ROW, run)
