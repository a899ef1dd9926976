#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fault of an eAPI, in writes and in reads: after it clears, what is desired is programmed, and nothing else was touched."""

import itertools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from eapi_world import *  # noqa

FAULTS = [
    {"kind": "silence", "applied": 0}, {"kind": "silence", "applied": -1}, {"kind": "silence", "applied": 9},
    {"kind": "silence", "applied": -1, "delay_ms": 1500}, {"kind": "silence", "applied": 40, "delay_ms": 700},
    {"kind": "crash", "at": 0}, {"kind": "crash", "at": 9}, {"kind": "crash", "at": 200},
    {"kind": "fail", "at": 2, "code": 1000, "text": "Unable to run this command: configuration is locked"},
    {"kind": "fail", "at": 5, "code": 1002, "text": "Invalid input"}, {"kind": "fail", "at": 6, "code": 1002, "text": "Invalid input"},
    {"kind": "fail", "at": 30, "code": 1005, "text": "Authorization denied"}, {"kind": "fail", "at": -1, "code": 1002, "text": "Invalid"},
    {"kind": "fail", "at": 17, "code": 1001, "text": "internal exception"},
    {"kind": "reset"}, {"kind": "truncate"}, {"kind": "short"}, {"kind": "foreign-id"}, {"kind": "refuse"}, {"kind": "types"},
    {"kind": "status", "status": 502}, {"kind": "status", "status": 503}, {"kind": "status", "status": 504},
    {"kind": "status", "status": 200}, {"kind": "deep", "size": 10000}, {"kind": "drip", "bytes": 40, "delay_ms": 30},
]


@case("every fault in a write, and what it leaves behind")
def faults():
    with World("batch-flows = 10 tcam-command = \"\"") as w:
        w.start()
        theirs = w.theirs()
        w.pind.wish_all(flows4(15), A)
        w.converge("15 flows to begin with")
        port = 31000
        for fault in FAULTS:
            for skip in (0, 1):
                w.sim.control("fault", **dict(fault, on="write", count=1, skip=skip))
                w.pind.wish_all(flows4(12, port), B)
                gone = flows4(6, port - 100) if port > 31000 else []
                for t in gone:
                    w.pind.unwish(t)
                port += 100
                name = " ".join(f"{k}={v}" for k, v in fault.items() if k != "text")
                wait_until(lambda: not w.sim.control("faults").get("faults"), 3)
                w.sim.control("clear-faults")
                w.converge(f"{name}, request {skip + 1}", 15)
        equal(w.theirs(), theirs, "other users' flows are as they were")


READ_FAULTS = [f for f in FAULTS if f["kind"] in ("reset", "truncate", "short", "foreign-id", "types", "drip", "refuse")] + [
    {"kind": "silence", "applied": 0}, {"kind": "crash", "at": 1}, {"kind": "fail", "at": 2, "code": 1000, "text": "Agent is down"},
    {"kind": "status", "status": 503}]


def read_times(w):
    return sum(e["command"].startswith("show directflow") for e in w.sim.journal())


@case("a reading takes long")
def slow_read():
    """Reading and writing have a connection each: a switch that is long about its table takes flows meanwhile."""
    with World("batch-flows = 1 tcam-command = \"\"", timeout="60s", knobs={"request-ms": 40}) as w:
        w.start()
        w.pind.wish_all(flows4(2), A)
        w.converge("2 flows")
        w.sim.control("fault", kind="silence", applied=0, on="read", match="show directflow", count=1, hold_ms=60000)
        wait_until(lambda: w.sim.control("faults")["faults"][0]["count"] == 0, 10, "its table is asked for, and it does not answer")
        read = read_times(w)
        w.pind.wish_all(flows4(30, 31000), B)
        wait_until(lambda: len(w.ours()) == 32, 10, "30 flows are written, a request each", poll=0.1)
        equal(read_times(w), read, "and it has not answered yet")
        w.sim.control("clear-faults")
        w.converge("then they are confirmed")


READ_MS = 100  # and the poll interval is 300


@case("the switch belongs to others, too")
def gaps():
    """Between two rounds of reading it is left alone for as long as the first one took, however often it is to be read."""
    with World("tcam-command = \"\"", timeout="60s", knobs={"read-ms": READ_MS}) as w:
        w.start()
        w.pind.wish_all(flows4(2), A)
        w.converge("2 flows", 30)
        since = w.sim.journal()[-1]["serial"]
        wait_until(lambda: len(rounds(w, since)) >= 8, 60, "it is read again and again", poll=0.2)
        pauses = [(begin - end, end - start) for (start, end), (begin, _) in itertools.pairwise(rounds(w, since)[1:7])]
        check(len(pauses) == 5 and all(pause >= 0.9 * took for pause, took in pauses), "and left alone in between", pauses)


def rounds(w, since):
    """(begin, end) of each round of reading, in ms."""
    found = []
    for e in w.sim.journal(since):
        if e["command"] == "show version":
            found.append([e["at_ms"] - READ_MS, 0])
        if found and e["command"].startswith("show "):
            found[-1][1] = e["at_ms"]
    return found


@case("faults in reads, and a switch that is away")
def reads():
    with World("tcam-command = \"\"") as w:
        w.start()
        w.pind.wish_all(flows4(20), A)
        w.converge("20 flows")
        since = w.sim.journal()[-1]["serial"]
        for fault in READ_FAULTS:
            name = " ".join(f"{k}={v}" for k, v in fault.items() if k != "text")
            refuse = fault["kind"] == "refuse"  # whoever connects, whatever for
            counter = "refused" if refuse else "faults"
            met = w.sim.usage()["counters"][counter]
            w.sim.control("fault", **dict(fault, count=1, **({} if refuse else {"on": "read"})))
            if refuse:
                w.sim.control("drop-connections")
            wait_until(lambda met=met, c=counter: w.sim.usage()["counters"][c] > met, 30, f"{name}: it is met")
            w.sim.control("clear-faults")
            read = w.sim.usage()["counters"]["requests"]
            # Else the back-off doubles from one to the next.
            wait_until(lambda read=read: w.sim.usage()["counters"]["requests"] > read + 3 and w.pind.health["reachable"], 30,
                       f"{name}: the switch is read again")
        w.pind.wish_all(flows4(5, 31000), B)
        w.converge("after every fault in a read", 30)
        deleted = [c for r in w.writes(since) for c in r if c.startswith("no flow fp-1-tcp-12_12_12_1-300")]
        equal(deleted, [], "nothing was deleted or written anew for it")
        w.sim.control("down", ms=1200)
        wait_until(lambda: not w.pind.health["reachable"], 5, "a switch that is away is told as unreachable")
        check("cannot be reached" in w.sentence(), "with a sentence", w.sentence())
        w.pind.wish_all(flows4(5, 32000), B)
        w.converge("and caught up with when it is back", 15)


main()
