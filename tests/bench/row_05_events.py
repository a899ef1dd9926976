#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 5: what a new flow, and a flow's end, cost the reader of events."""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa
from readers import gateway_with

ROW = {"row": 5, "what": "CPU of flowpind per new flow and per end", "size": 1000000,
       "against": "recv and discard; conntrackd's cache", "bar": "at most 1.5 times discarding; below conntrackd"}
SLICE, RATE, KINDS = 20000, 50000, ("flowpind", "discarding", "conntrackd")


def settled(reader):
    """The reader's CPU time once it has read all that there is."""
    before, end = None, time.monotonic() + 20
    while time.monotonic() < end:
        now = cpu_ns(reader.pid)
        if before is not None and now - before < 1000000:
            return now
        before = now
        time.sleep(0.05)
    raise NotMeasured(f"{type(reader).__name__} does not come to rest: {now - before} ns")


def one(gateway, hoses, reader, n):
    """CPU ns a new flow and a flow's end, of flows that answered and were reset."""
    ahead, back = hoses
    first = n * SLICE
    before = settled(reader)
    ahead.burst("syn", SLICE, SLICE, RATE, first)
    fresh = settled(reader) - before
    back.burst("synack", SLICE, SLICE, 0, first)
    ahead.burst("rst", SLICE, SLICE, 0, first)
    need(gateway.entries() >= gateway.base + SLICE * 99 // 100, "the new flows are in conntrack")
    before = settled(reader)
    gateway.kernel.delete_marked(1, 1)
    ended = settled(reader) - before
    need(gateway.entries() <= gateway.base + SLICE // 100, "the ended flows are out of conntrack")
    return fresh / SLICE, ended / SLICE


def measure(known, result, judge):
    with contextlib.ExitStack() as stack:
        measured = []
        for kind in KINDS:
            gateway, reader = gateway_with(stack, kind, known + SLICE, READER)
            gateway.kernel = Conntrack(gateway.lab)
            gateway.hose().burst("udp", known, known, 70000)
            hoses = gateway.hose(ports="1024-61023:81", source="10.100.0.0"), gateway.hose("s", ports="1024-61023:81", source="10.100.0.0")
            need(tap.wait_until(lambda g=gateway: g.entries() >= known * 999 // 1000, 30), "the flows are there")
            gateway.base = gateway.entries()
            measured.append((gateway, hoses, reader))
        times = {kind: [] for kind in KINDS}
        for n in range(ROUNDS or 7):
            for kind, (gateway, hoses, reader) in zip(KINDS, measured):
                times[kind].append(one(gateway, hoses, reader, n))
        costs = {}
        for at, what in enumerate(("a new flow", "a flow's end")):
            ours, discarding, conntrackd = ([t[at] for t in times[kind]] for kind in KINDS)
            a, b, ratio, span = compare(ours, discarding)
            result.line(f"{what} beside {known:,}, against discarding", a, b, "ns", bar=1.5 if judge else None, ratio=ratio, spread=span)
            costs[what] = a
            result.point(f"flowpind, {what}", known, a)
            result.point(f"discarding, {what}", known, b)
            a, b, ratio, span = compare(ours, conntrackd)
            result.point(f"conntrackd, {what}", known, b)
            result.line(f"{what} beside {known:,}, against conntrackd", a, b, "ns", bar=1.0 if judge else None, ratio=ratio, spread=span)
        result.note("overruns: " + ", ".join(f"{kind} {m[2].overruns()}" for kind, m in zip(KINDS, measured)))
        return costs


def run(size, result):
    with room_in_conntrack(4 * size):
        small = measure(size // 10, result, False)
        large = measure(size, result, True)
    for what in small:
        result.grow(f"{what}, CPU ns", size // 10, size, small[what], large[what])


main(ROW, run)
