#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 7: memory per flow."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa
from readers import gateway_with

ROW = {"row": 7, "what": "memory per flow", "size": 1000000, "against": "conntrackd; a conntrack entry",
       "bar": "under 128 bytes in flowpind at 1,000,000 flows"}


def grown(gateway, reader, hose, first, flows):
    """(bytes of the process, bytes of kernel objects) a flow, for so many more flows."""
    user, kernel = rss_kib(reader.pid), settled_slab()
    hose.burst("udp", flows, flows, 60000, first=first)
    need(tap.wait_until(lambda: gateway.entries() >= (first + flows) * 999 // 1000, 30, poll=0.2), "the flows are in conntrack")
    before, end = -1, 0
    while before != rss_kib(reader.pid) and end < 100:
        before, end = rss_kib(reader.pid), end + 1
        tap.time.sleep(0.3)
    return (rss_kib(reader.pid) - user) * 1024 / flows, (settled_slab() - kernel) / flows


def run(size, result):
    small = size // 10
    with room_in_conntrack(4 * size), contextlib.ExitStack() as stack:
        found = {}
        for kind in ("flowpind", "conntrackd", "conntrack"):
            if kind == "conntrack":
                gateway = stack.enter_context(Gateway("k", 3))
                gateway.patient()
                reader = Listener(gateway.lab)
            else:
                gateway, reader = gateway_with(stack, kind, size, READER)
            hose = gateway.hose()
            tenth = grown(gateway, reader, hose, 0, small)
            rest = grown(gateway, reader, hose, small, size - small)
            found[kind] = tenth, [(a * small + b * (size - small)) / size for a, b in zip(tenth, rest)]
            if kind == "flowpind":
                need(gateway.count() >= size * 999 // 1000, "flowpind knows the flows")
        ours, theirs, bare = (found[kind][1] for kind in ("flowpind", "conntrackd", "conntrack"))
        result.judge(f"flowpind, {size:,} flows", ours[0], "bytes", "< 128", ours[0] < 128)
        result.line("user space, against conntrackd", ours[0], theirs[0], "bytes")
        result.line("kernel (entry and pin), against conntrack's entry alone", ours[1], bare[1], "bytes")
        result.line("user space and kernel together, against conntrackd and conntrack", ours[0] + ours[1], theirs[0] + bare[1], "bytes")
        result.grow("bytes of flowpind a flow", small, size, found["flowpind"][0][0], ours[0])
        result.grow("bytes of the kernel a flow", small, size, found["flowpind"][0][1], ours[1])


main(ROW, run)
