#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A batch of three flows that ends at each of its commands: an error, a crash of the switch's agent, or silence behind so many commands
that were carried out. Afterwards what is desired is programmed, and nobody else's flow was touched."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from eapi_world import *  # noqa

HEAD, FLOW, FLOWS = 4, 12, 3  # commands in front, of a flow, and flows in a batch
KINDS = {
    "fails": lambda at: {"kind": "fail", "at": at, "code": 1000, "text": "could not run command"},
    "crash": lambda at: {"kind": "crash", "at": at - 1},
    "silence": lambda at: {"kind": "silence", "applied": at - 1},
}


def each_command(first, last):
    """All kinds at a time, each with a switch of its own."""
    worlds = {kind: World(f"batch-flows = {FLOWS} tcam-command = \"\"") for kind in KINDS}
    try:
        for w in worlds.values():
            w.start()
        theirs = {kind: w.theirs() for kind, w in worlds.items()}
        for kind, w in worlds.items():
            w.pind.wish_all(flows4(6), A)
            w.converge(f"{kind}: six flows to begin with", 30)
        before = {}
        for at in range(first, last + 1):
            port = 31000 + at * 10
            for kind, w in worlds.items():
                before[kind] = w.sim.usage()["counters"]["faults"]
                w.sim.control("fault", **dict(KINDS[kind](at), on="write", match=f"^flow fp-1-tcp-12_12_12_1-{port}"))
                w.pind.wish_all(flows4(FLOWS, port), B)
            for kind, w in worlds.items():
                hit = wait_until(lambda w=w, n=before[kind]: w.sim.usage()["counters"]["faults"] > n, 20)
                w.sim.control("clear-faults")
                check(hit, f"{kind} at command {at}: it is met")
                w.converge(f"{kind} at command {at}: desired equals programmed", 40)
                for t in flows4(FLOWS, port):
                    w.pind.unwish(t)
        for kind, w in worlds.items():
            w.converge(f"{kind}: what was taken back is gone", 40)
            equal(w.theirs(), theirs[kind], f"{kind}: other users' flows are as they were")
    finally:
        for w in worlds.values():
            w.__exit__()


case("in front of the flows, and in the first", 1, HEAD + FLOW)(each_command)
case("in the second and the last", HEAD + FLOW + 1, HEAD + FLOW * FLOWS)(each_command)

main()
