#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 8: from the start of flowpind until it is ready with all flows known."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa

ROW = {"row": 8, "what": "start with all flows known", "size": 1000000, "against": "a bare dump of the same table",
       "bar": "at most 1.5 times"}


def measure(flows, result, bar):
    with Gateway("f", 3) as gateway:
        gateway.patient()
        d = gateway.flowpind(flows)
        gateway.fill(flows, rate=70000)
        bare = Tool(gateway.lab, "gw", tool("bench_ct"), "dump")
        dumps, starts, cpu, dump_cpu = [], [], [], []
        for _ in range(ROUNDS or 5):
            d.kill()
            _, took, worked = bare.ask("", "dump")
            dumps.append(took)
            dump_cpu.append(worked)
            began = time.monotonic_ns()
            d.start(deadline=60)
            starts.append(time.monotonic_ns() - began)
            cpu.append(cpu_ns(d.pid))
            known = gateway.count()
            need(known >= flows * 999 // 1000, f"all flows known when it is ready ({known})")
        a, b, ratio, span = compare(starts, dumps)
        result.line(f"{flows:,} flows", a / 1e6, b / 1e6, "ms", bar=bar, ratio=ratio, spread=span)
        own, bare_cpu, ratio, span = compare(cpu, dump_cpu)
        result.line(f"{flows:,} flows, CPU time", own / 1e6, bare_cpu / 1e6, "ms", ratio=ratio, spread=span)
        result.point("flowpind is ready", flows, a / 1e6)
        result.point("bare dump", flows, b / 1e6)
        return a, b


def run(size, result):
    costs = {}
    with room_in_conntrack(2 * size):
        for flows in (size // 100, size // 10, size):
            costs[flows] = measure(flows, result, 1.5 if flows == size else None)
    for n, what in enumerate(("start, ms", "bare dump, ms")):
        result.grow(what, size // 10, size, costs[size // 10][n] / 1e6, costs[size][n] / 1e6)


main(ROW, run)
