#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 6: new flows per second that flowpind, on one processor, keeps up with while another one makes them."""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa
from readers import Discarding, gateway_with

ROW = {"row": 6, "what": "new flows per second without an overrun, one core", "size": 1000000,
       "against": "the kernel making them, one listener", "bar": "at least 0.9"}
RUNS, SLOWER = 5, 0.85


def once(hose, reader, first, flows, rate):
    """Flows a second, from the first packet until the reader has read the last event; None after an overrun."""
    read, lost, began = reader.seen(), reader.overruns(), time.monotonic()
    hose.burst("udp", flows, flows, rate, first)
    tap.wait_until(lambda: reader.seen() - read >= flows * 999 // 1000, 20, poll=0.005)
    took = time.monotonic() - began
    return flows / took if reader.overruns() == lost and reader.seen() - read >= flows * 999 // 1000 else None


def measure(flows, result, bar):
    with contextlib.ExitStack() as stack:
        pairs = []
        for kind in ("flowpind", "discarding"):
            gateway, reader = gateway_with(stack, kind, flows, READER)
            pairs.append((gateway.hose(), reader))
        plain = stack.enter_context(Gateway("p", 3))
        plain.patient()
        pairs.append((plain.hose(), Discarding(plain, READER)))
        rates, limit, slice_, overruns = [[], [], []], 0, flows // RUNS, 0
        for n in range(RUNS):
            for (hose, reader), into in zip(pairs, rates):
                ours = into is rates[0]
                rate = once(hose, reader, n * slice_, slice_, limit if ours else 0)
                if rate is None and ours:  # an overrun: what it keeps up with is slower
                    overruns += 1
                    limit = int((limit or rates[1][-1] if rates[1] else 200000) * SLOWER)
                into.append(rate)
        kept = [(a, b, c) for a, b, c in zip(*rates) if a and b and c]
        need(len(kept) >= 2, f"rounds without an overrun, {overruns} of {RUNS} with one")
        ours, same, plain_rate = ([k[i] for k in kept] for i in range(3))
        a, b, ratio, span = compare(ours, same)
        result.line(f"{flows:,} flows, against the same ruleset with a listener that discards", a, b, "flows/s", bar=bar, less=False, ratio=ratio,
                    spread=span)
        a, b, ratio, span = compare(ours, plain_rate)
        result.line(f"{flows:,} flows, against conntrack alone with a listener (what the ruleset costs is row 4)", a, b, "flows/s", ratio=ratio,
                    spread=span)
        if overruns:
            result.note(f"{overruns} of {RUNS} rounds had an overrun; the rate was lowered after each")
        return a


def run(size, result):
    with room_in_conntrack(4 * size):
        small = measure(size // 10, result, None)
        large = measure(size, result, 0.9)
    result.grow("flows, ns of time for a new one", size // 10, size, 1e9 / small, 1e9 / large)


main(ROW, run)
