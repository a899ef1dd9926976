#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""Flood guard: a source that opens a million flows neither costs others their place in a switch, nor their place in the flow table,
and is not overlooked. GUARD=no leaves the limits out: then this must fail."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flood import flood
from flowlab import *  # noqa
from switchlab import SERVICE, Beside, SwitchLab, section

GUARD = os.environ.get("GUARD") != "no"
FLOWS, TABLE, SOURCE = 1_000_000, 60_000, 20_000
ROOM, SHARE = 500, 50  # flows in the switch; per cent
# One that could have said nothing of the flood is as long as the log of a quiet day.
LINES_MAX = 60


def guarded(lines):
    return lines if GUARD else ""


def from_client(lab, flows):
    return [f for f in flows if f["src"] in lab.sources[4]]


@case("on the gateway")
def gateway():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        for server in lab.servers:
            lab.deaf(server, 9)
        d = Daemon(lab, WEB + f"limits {{ max-flows = {TABLE} {guarded(f'max-flows-per-source = {SOURCE}')} }}\n")
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.start(0.2)
        equal(flood(lab, FLOWS, port=9), FLOWS, "a source opens a million flows")
        check(pool.exchange().all_held, "none broke", pool.result)
        wait_until(lambda: not d.status()["events"]["overruns"] or d.status()["events"]["resyncs"], 60, "the events are read")
        late = TcpPool(lab, 200, port=81)
        need(late.result().all_held, "200 more connections open", late.result)
        wait_until(lambda: len(from_client(lab, d.flows("proto", "tcp"))) >= 400, 60, "each of the 400 is listed", poll=0.5)
        flows = d.status()["flows"]
        check(flows["count"] <= SOURCE + 1000, f"the source has its {SOURCE} places", flows)
        check(flows["over_source"] > 0 and flows["refused"] == 0, "what it has no place for is counted, and the table is not full", flows)
        wait_until(lambda: [w for w in d.status()["warnings"] if w["code"] == "source-full"], 50, "status warns of it")
        said = d.flowpin("status", json_output=False)
        check("their source has its share" in said, "status says it in words", said)
        lines = d.log_lines("max-flows-per-source")
        check(1 <= len([n for n in lines if "10.99.0.0/24 has" in n]) <= 5, "the log names the source, and not once a flow", lines)
        check(len(d.log_lines(r"^<")) < LINES_MAX, "the log is short", lambda: len(d.log_lines(r"^<")))
        lab.route(["s1", "s3"])
        check(pool.exchange().all_held and late.exchange().all_held, "a server is withdrawn: none of the 400 broke", late.result)
        check(wait_until(d.verify_clean, 30), "verify is clean", lambda: d.try_flowpin("verify"))


@case("in the switch")
def switch():
    with SwitchLab(2, shared=True) as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.client_via("gw")
        lab.answers_via("gw")  # a map that is full of spoofed SYNs has no place for one-way flows (README, Limits)
        lab.route(["s1", "s2"])
        for server in lab.servers:
            lab.ip(server, "route add blackhole 66.66.66.0/24")
        limits = f"limits {{ source-share = {SHARE if GUARD else 100} {guarded(f'max-flows-per-source = {SOURCE}')} }}\n"
        b = Beside(lab, SERVICE % "10m" + limits + section(lab, idle="10m", more=f"max-flows = {ROOM}"))
        pool = TcpPool(lab, 200)
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.start(0.3)
        need(wait_until(lambda: lab.pinned(pool), 60, poll=0.2), "each is in the switch", b.switch)
        equal(flood(lab, FLOWS, kind="syn", source="66.66.66.0"), FLOWS, "a source opens a million flows")
        wait_until(lambda: b.switch()["desired"] == ROOM, 60, "it takes the room that nobody else wants", poll=0.5)
        check(lab.pinned(pool), "the 200 are in the switch", b.switch)
        removed = {r["reason"]: r["count"] for r in b.switch()["removed"]}
        check("evicted" not in removed, "and none of them was taken out", removed)
        late = TcpPool(lab, 40)
        need(late.result().all_held, "40 more connections open", late.result)
        check(wait_until(lambda: lab.pinned(late) and lab.pinned(pool), 150, poll=0.5), "they are in the switch, too", b.switch)
        s = b.switch()
        check(s["yielded"] >= 40 and s["over_share"] > 0, "who gave way, and who waits, is counted", s)
        lab.route(["s1"])
        check(pool.exchange().all_held and late.exchange().all_held, "a server is withdrawn: none of the 240 broke", late.result)
        check(wait_until(b.d.verify_clean, 60), "verify is clean", lambda: b.d.try_flowpin("verify"))


main()
