#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fault of a switch's API, at each place of a batch, while flows come and go: afterwards what is desired is programmed, and
nobody else's flow was touched."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

SEEDS = [int(s) for s in os.environ.get("SEEDS", "").split()] or [1, 4, 7, 12, 18]
IDLE, STEP = 3, 12
# A request has four commands in front (enable, configure, directflow, no shutdown), then a flow after the other: no flow, flow, six
# matches, priority, no persistent, timeout, action. 4: before a flow; 7, 9: inside the first; 15: the first is whole; 40: inside the fourth.
TRANSPORT = [
    ("refused", {"kind": "refuse"}), ("reset in the answer", {"kind": "reset"}), ("truncated", {"kind": "truncate"}),
    ("a result too few", {"kind": "short"}), ("another id", {"kind": "foreign-id"}), ("not TLS", {"kind": "tls"}),
    ("slow", {"kind": "drip", "bytes": 40, "delay_ms": 30}),
    ("502", {"kind": "status", "status": 502}), ("503", {"kind": "status", "status": 503}), ("504", {"kind": "status", "status": 504}),
    ("200 with HTML", {"kind": "status", "status": 200}),
]
PLACES = [("no", 0), ("four", 4), ("seven", 7), ("nine", 9), ("15", 15), ("40", 40), ("all", -1)]
BATCH = (
    [(f"silence, {name} commands applied", {"kind": "silence", "applied": at}) for name, at in PLACES] +
    [("silence, all applied later", {"kind": "silence", "applied": -1, "delay_ms": 1500}),
     ("silence, 40 applied later", {"kind": "silence", "applied": 40, "delay_ms": 900})] +
    [(f"502 after {name} commands", {"kind": "crash", "at": at if at >= 0 else 500}) for name, at in PLACES])
COMMANDS = (
    [(f"command {at} fails", {"kind": "fail", "at": at, "code": 1002, "text": "Invalid input"}) for at in (1, 2, 3, 5, 6, 7, 9, 16, 17, 18, 41, -1)] +
    [(f"command {at} is not authorized", {"kind": "fail", "at": at, "code": 1005, "text": "Authorization denied"}) for at in (2, 6, 30)] +
    [("the configuration is locked", {"kind": "fail", "at": 2, "code": 1000, "text": "Unable to run this command: configuration is locked"}),
     ("an internal error", {"kind": "fail", "at": 17, "code": 1001, "text": "internal exception"})])

THEIRS = ["enable", "configure", "directflow", "no shutdown"]
for _i in range(5):
    THEIRS += [f"flow theirs-{_i}", "match ethertype ip", f"match source ip 172.16.0.{_i + 1}", "match ip protocol tcp", "action drop"]
# One that is called as another instance's, and one that is like ours, but not quite.
THEIRS += ["flow fp-2-tcp-12_12_12_1-9-1_1_1_1-80", "match ethertype ip", "match source ip 12.12.12.1", "match ip protocol tcp",
           "match source port 9", "action drop", "flow fp-x", "match ethertype ip", "match source ip 172.16.0.99", "action drop"]


class Running:
    """A lab with flowpin beside the switch, another user's flows, and connections that come and go."""

    def __init__(self, lab, more="", wait=20):
        self.lab, self.wait = lab, wait
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror(["syn"])
        lab.sim.control("cli", user="somebody", cmds=THEIRS)
        self.before = self.theirs()
        self.beside = Beside(lab, idle=f"{IDLE}s", poll="300ms", more="request-timeout = 500ms batch-flows = 5 " + more)
        self.pool = TcpPool(lab, 30)
        need(self.pool.result().all_held and len(self.pool.by_server()) == 2, "30 connections are open, on both servers", self.pool.result)
        self.pool.start(0.3)

    def theirs(self):
        return {n: {k: f[k] for k in ("src", "sport", "protocol", "nexthops", "priority", "drop", "serial") if k in f}
                for n, f in self.lab.sim.flows().items() if not n.startswith("fp-1-")}

    def turnover(self):
        """Some connections end, as many begin."""
        self.pool.end(self.pool.flows[:STEP])
        self.pool.open(STEP)

    def settled(self):
        """Each living connection is programmed; all that is desired is; nothing else of ours is in the switch."""
        s = self.beside.switch()
        ours = {n: f for n, f in self.lab.sim.flows().items() if n.startswith("fp-1-")}
        return (self.lab.pinned(self.pool) and s["reachable"] and s["desired"] == s["programmed"] == len(ours) and
                s["pending"] == s["rejected"] == 0 and all(f["in_hardware"] for f in ours.values()))

    def state(self):
        s = self.beside.switch()
        have = self.lab.programmed()
        lost = [f for f in self.pool.flows if f.state == "up" and have.get((6, f.src, f.sport)) != f.server]
        odd = [(n, f["state"]) for n, f in self.lab.sim.flows().items() if n.startswith("fp-1-") and not f["in_hardware"]]
        return (f"{self.pool.result()}; {len(lost)} are not in hardware: {lost[:3]}; ours not programmed: {odd[:5]}\n"
                f"{ {k: v for k, v in s.items() if k not in ('nexthops', 'mirror')} }\n" + "\n".join(self.beside.eapi.log().splitlines()[-12:]))

    def fault(self, title, fault, on="write", skip=0):
        sim = self.lab.sim
        new = fault["kind"] in ("refuse", "tls")  # of a connection, and the standing ones are kept alive
        met = self.lab.counters()["faults"]
        sim.control("fault", **dict(fault, on="any" if new else on, count=1, skip=skip))
        if new:
            sim.control("drop-connections")
        self.turnover()
        hit = wait_until(lambda: self.lab.counters()["faults"] > met, 5)
        sim.control("clear-faults")
        ok = wait_until(self.settled, self.wait, poll=0.1)
        check(hit and ok, f"{title}: desired equals programmed", lambda: f"the fault was {'' if hit else 'not '}met; {self.state()}")

    def done(self):
        equal(self.theirs(), self.before, "no foreign flow was touched")
        check(self.pool.exchange().all_held, "no connection broke", self.pool.result)
        self.pool.end()
        wait_until(lambda: not any(n.startswith("fp-1-") for n in self.lab.sim.flows()), 5 * IDLE, "all end: nothing is left in the switch",
                   poll=0.1)
        equal(self.theirs(), self.before, "but what is foreign")


def faults(rows, on, skips=(0,)):
    with SwitchLab(2, knobs={"expiry": "new", "program-ms": "10"}) as lab:
        r = Running(lab)
        wait_until(r.settled, 15, "all of them are in DirectFlow", poll=0.1)
        for title, fault in rows:
            for skip in skips:
                r.fault(f"{title}{', second request' if skip else ''}", fault, on, skip)
        r.done()


case("transport, writes", TRANSPORT, "write")(faults)
case("transport, reads", TRANSPORT + BATCH[:1], "read")(faults)
case("in the middle of a batch", BATCH, "write")(faults)
case("commands fail", COMMANDS, "write")(faults)


def personality(seed):
    with SwitchLab(2, knobs={"nexthop6": "yes"}, personality=seed) as lab:
        note(f"personality {seed}: " + " ".join(f"{k}={v}" for k, v in sorted(lab.sim.knobs.items())))
        knobs = lab.sim.knobs
        prefix = {"exec": '""', "enable": "enable", "configure": "{enable, configure}"}[knobs["lb-needs"]]
        more = f"ingress-interface = Ethernet47 lookup-prefix = {prefix} text-interval = 2s"
        r = Running(lab, more + (" expiry = flowpin" if knobs["timeouts"] != "yes" else ""), wait=40)
        wait_until(r.settled, 30, "all of them are in DirectFlow", poll=0.1)
        for title, fault in (TRANSPORT[1], BATCH[3], BATCH[8], COMMANDS[5]):
            r.fault(title, fault)
        equal(r.theirs(), r.before, "no foreign flow was touched")
        check(r.pool.exchange().all_held, "no connection broke", r.pool.result)


for number in SEEDS:
    case(f"personality {number}", number)(personality)

main()
