#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 4: the first packet of a flow."""

import contextlib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import least
from common import *  # noqa

ROW = {"row": 4, "what": "the first packet of a flow, flowpind running", "size": 500000,
       "against": "conntrack with one `conntrack -E` running", "bar": "at most 1.15"}
SLICE, MOST = 500, 150


def conntrack_events(gateway):
    """conntrack -E, its output thrown away, with a receive buffer as large as flowpind's."""
    with gateway.lab.inside("gw"):
        p = subprocess.Popen(["conntrack", "-E", "-b", "67108864"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end():
        p.kill()
        p.wait()
    gateway.lab.closers.append(end)
    os.sched_setaffinity(p.pid, {READER})
    return p


def rested(pids, cpu=time.clock_gettime_ns):
    """Waits until the readers have read what there is: their CPU time stands still."""
    before, end = None, time.monotonic() + 5
    while time.monotonic() < end:
        now = [cpu((~pid << 3) | 2) for pid in pids]
        if before and all(b - a < 300000 for a, b in zip(before, now)):
            return
        before = now
        time.sleep(0.01)


def measure(hoses, readers, first, slices):
    times = [[] for _ in hoses]
    for n in range(slices):
        for hose, into in zip(hoses, times):
            into.append(hose.burst("udp", SLICE, SLICE, first=first + n * SLICE)[0])
            rested(readers)
    return times


def run(size, result):
    with room_in_conntrack(8 * size), contextlib.ExitStack() as stack:
        ours, plain, silent, by_hand, sink = (stack.enter_context(Gateway(n, 3)) for n in ("f", "p", "n", "l", "z"))
        ours.flowpind(size * 2)
        os.sched_setaffinity(ours.daemon.pid, {READER})
        for gateway in (ours, plain, silent, by_hand):
            gateway.patient()
        least.first_pins(by_hand)
        listening = [conntrack_events(gateway) for gateway in (plain, by_hand)]
        sink.sink()
        hoses = [g.hose() for g in (ours, plain, silent, by_hand, sink)]
        readers = [ours.daemon.pid, *(reader.pid for reader in listening)]
        slices = ROUNDS or MOST
        costs, first = {}, 0
        for known in (size // 10, size):
            for hose in hoses[:4]:
                hose.burst("udp", known - first, known - first, 100000, first=first)
                rested(readers)
            first = known
            times = measure(hoses, readers, first, slices)
            first += slices * SLICE
            a, b, ratio, span = compare(times[0], times[1], times[4])
            costs[known] = a, b
            result.line(f"beside {known:,} flows", a, b, "ns", bar=1.15 if known == size else None, ratio=ratio, spread=span)
            gross = compare(times[0], times[1])
            result.line("with what sending costs in both", gross[0], gross[1], "ns", ratio=gross[2], spread=gross[3])
            a, b, ratio, span = compare(times[0], times[2], times[4])
            result.line("against conntrack without a listener", a, b, "ns", ratio=ratio, spread=span)
            a, b, ratio, span = compare(times[3], times[1], times[4])
            result.line(f"beside {known:,} flows, the least there is: `conntrack -E`, one ip rule, the ct mark and a pin", a, b, "ns",
                        ratio=ratio, spread=span, beside=True)
        result.note(f"overruns of flowpind: {ours.daemon.status()['events']['overruns']}")
        result.grow("flows there are, ns a first packet", size // 10, size, costs[size // 10][0], costs[size][0])
        result.grow("the same, conntrack -E", size // 10, size, costs[size // 10][1], costs[size][1])


main(ROW, run)
