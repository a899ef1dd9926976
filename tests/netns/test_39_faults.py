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

    def __init__(self, lab, more="", wait=20, idle=IDLE):
        self.lab, self.wait, self.outside, self.unsure = lab, wait, set(), set()
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror(["syn"])
        lab.sim.control("cli", user="somebody", cmds=THEIRS)
        self.before = self.theirs()
        self.beside = Beside(lab, idle=f"{idle}s", poll="300ms", more="request-timeout = 500ms batch-flows = 5 " + more)
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

    def missing(self):
        """Living connections that are not in hardware on their server."""
        have = self.lab.programmed()
        self.unsure |= self.uncertain()  # left alone they end after the idle timeout, and are listed no more
        return {f for f in self.pool.flows if f.state == "up" and have.get((6, f.src, f.sport)) != f.server and
                (f.src, f.sport) not in self.unsure} - self.outside

    def uncertain(self):
        """Flows of which the switch did not tell the nexthop. They are left alone, and shown as that."""
        return {(f["src"], f["sport"]) for f in self.beside.d.flows() if any(s["state"] == "uncertain" for s in f.get("switches", ()))}

    def settled(self, refused=0):
        """Each living connection is programmed, but so many that the switch refused; all that is desired is; nothing else of ours is
        in the switch."""
        s = self.beside.switch()
        ours = {n: f for n, f in self.lab.sim.flows().items() if n.startswith("fp-1-")}
        return (len(self.missing()) <= refused and s["reachable"] and s["desired"] == s["programmed"] == len(ours) and
                s["pending"] == 0 and s["rejected"] <= len(self.outside) + refused and all(f["in_hardware"] for f in ours.values()))

    def state(self):
        s = self.beside.switch()
        have = self.lab.programmed()
        lost = [f for f in self.pool.flows if f.state == "up" and have.get((6, f.src, f.sport)) != f.server]
        odd = [(n, f["state"]) for n, f in self.lab.sim.flows().items() if n.startswith("fp-1-") and not f["in_hardware"]]
        return (f"{self.pool.result()}; {len(lost)} are not in hardware: {lost[:3]}; ours not programmed: {odd[:5]}\n"
                f"{ {k: v for k, v in s.items() if k not in ('nexthops', 'mirror')} }\n" + "\n".join(self.beside.eapi.log().splitlines()[-12:]))

    def met(self):
        counters = self.lab.counters()
        return counters["faults"] + counters["refused"]

    def again(self):
        """The switch is read again: what begins now is asked for."""
        since = self.lab.counters()["requests"]
        wait_until(lambda: self.lab.counters()["requests"] >= since + 4 and self.beside.switch()["reachable"], 10, poll=0.1)

    def fault(self, title, fault, on="write"):
        """Switched on while connections come and go. One in a read is met by a poll: what a broken path lookup was about stays
        uncertain, and outside. A command that fails costs the flow whose line it is (at most one): it is refused, and said so."""
        sim = self.lab.sim
        new = fault["kind"] in ("refuse", "tls")  # of a connection, and the standing ones are kept alive
        met = self.met()
        sim.control("fault", **dict(fault, on="any" if new else on, count=1))
        if new:
            sim.control("drop-connections")
        if on == "write":
            self.turnover()
        hit = wait_until(lambda: self.met() > met, 5)
        sim.control("clear-faults")
        if on == "read":
            self.again()
            self.turnover()
        refused = 1 if fault["kind"] == "fail" else 0
        ok = wait_until(lambda: self.settled(refused), self.wait, poll=0.1)
        self.outside |= self.missing() if refused else set()
        check(hit and ok, f"{title}: desired equals programmed", lambda: f"the fault was {'' if hit else 'not '}met; {self.state()}")

    def done(self):
        equal(self.theirs(), self.before, "no foreign flow was touched")
        check(self.pool.exchange().all_held, "no connection broke", self.pool.result)
        self.pool.end()
        wait_until(lambda: not any(n.startswith("fp-1-") for n in self.lab.sim.flows()), 5 * IDLE, "all end: nothing is left in the switch",
                   poll=0.1)
        equal(self.theirs(), self.before, "but what is foreign")


def faults(rows, on):
    with SwitchLab(2, knobs={"expiry": "new", "program-ms": "10"}) as lab:
        r = Running(lab)
        wait_until(r.settled, 15, "all of them are in DirectFlow", poll=0.1)
        for title, fault in rows:
            r.fault(title, fault, on)
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
        r = Running(lab, more + (" expiry = flowpin" if knobs["timeouts"] != "yes" else ""), wait=40, idle=60)
        wait_until(r.settled, 30, "all of them are in DirectFlow", poll=0.1)
        for title, fault in (TRANSPORT[1], BATCH[3], BATCH[8], COMMANDS[5]):
            r.fault(title, fault)
        note(f"{len(r.uncertain())} flows are uncertain")
        equal(r.theirs(), r.before, "no foreign flow was touched")
        check(r.pool.exchange().all_held, "no connection broke", r.pool.result)


for number in SEEDS:
    case(f"personality {number}", number)(personality)

main()
