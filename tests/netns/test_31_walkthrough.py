#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The walk-through: what ECMP in the switch does to connections, and what it does with flowpin beside it. TCP, UDP, IPv4, IPv6 with
both kinds of actions, and a switch that refuses them."""

import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from lab import VIP4, VIP6
from switchlab import Beside, SwitchLab

IDLE = 8
KINDS = {"TCP": (TcpPool, "tcp", "syn"), "UDP": (UdpPool, "udp", "udp")}
TARGET = {4: VIP4, 6: VIP6}


def make(lab, kind, family, n=200):
    return KINDS[kind][0](lab, n, target=TARGET[family])


def problem(lab, kind, family):
    """Without flowpin: what is withdrawn takes its connections along, and what returns takes others."""
    protocol = KINDS[kind][1]
    lab.announce(["s1", "s2"], family)
    pool = make(lab, kind, family)
    need(pool.result().all_held and len(pool.by_server()) == 2, "problem: 200 connections are open, on both servers", pool.result)
    wrong = [f for f in pool.flows if lab.asic(f, protocol) != f.server]
    equal(wrong, [], "problem: each goes where the switch says that it goes")
    on_s1 = pool.on("s1")
    lab.announce(["s2"], family)
    r = pool.exchange()
    equal(r.moved + r.broken, len(on_s1), "problem: S1 is withdrawn, its connections are lost")
    pool.end()
    pool.open(200)
    equal(set(pool.by_server()), {"s2"}, "problem: new ones are on S2")
    lab.announce(["s1", "s2"], family)
    moving = [f for f in pool.flows if lab.asic(f, protocol) == "s1"]
    r = pool.exchange()
    equal((r.moved + r.broken, len(moving) > 50), (len(moving), True), "problem: S1 returns, and those that ECMP gives to it are lost")
    pool.end(reset=True)


def solution(lab, kind, family, **switch):
    protocol = KINDS[kind][1]
    lab.mirror([KINDS[kind][2]])
    beside = Beside(lab, idle=f"{IDLE}s", **switch)
    pool = make(lab, kind, family)
    need(pool.result().all_held and len(pool.by_server()) == 2, "200 connections are open, on both servers", pool.result)
    pool.start(0.5)
    wait_until(lambda: lab.pinned(pool, protocol), 60, "all of them are in DirectFlow, each on its own server")
    wait_until(lambda: beside.switch()["programmed"] == 200, 30, "and flowpin switches says so")
    lab.announce(["s2"], family)
    check(pool.exchange().all_held, "S1 is no longer in the route: none broke", pool.result)
    check(pool.on("s1"), "those on S1 are still there")
    equal(set(pool.probe(50)), {"s2"}, "new ones land on S2")
    wait_until(lambda: not any(f["idle"] != IDLE for f in lab.sim.programmed().values()), 1, "the flows have the idle timeout")
    still = len(pool.on("s1"))
    wait_until(lambda: len(beside.d.flows("nexthop", lab.address_of("s1", family))) == still, 5, "flowpin flows counts those on S1")
    pool.end()
    wait_until(lambda: not lab.programmed(), 5 * IDLE, "they end: the flows expire after the idle timeout", poll=0.1)
    wait_until(lambda: not lab.sim.flows() and not beside.d.flows(), 5 * IDLE, "and leave configuration and flow table", poll=0.1)
    wait_until(lambda: not lab.conntrack("-L", "-w", "101", "-f", "ipv4" if family == 4 else "ipv6").strip(), 5, "and conntrack", poll=0.1)
    pool.open(200)
    equal(pool.by_server(), {"s2": 200}, "200 new ones land on S2")
    pool.start(0.5)
    wait_until(lambda: lab.pinned(pool, protocol), 60, "all of them are in DirectFlow again")
    lab.announce(["s1", "s2"], family)
    moving = [f for f in pool.flows if lab.asic(f, protocol) == "s1"]
    check(len(moving) > 50, "S1 returns: ECMP would give it many of them")
    check(pool.exchange().all_held, "none broke", pool.result)
    equal(pool.by_server(), {"s2": 200}, "all stay on S2")
    equal(set(pool.probe(50)), {"s1", "s2"}, "new ones use both")
    wait_until(beside.d.verify_clean, 10, "verify is clean", poll=0.2)
    counters = lab.counters()
    equal((counters["failures"], beside.eapi.log_lines("<[0-4]>")), (0, []), "the switch refused nothing, and nobody complained")


@case("TCP", "TCP", 4)
@case("UDP", "UDP", 4)
def four(kind, family):
    with SwitchLab(2) as lab:
        lab.resolve(family)
        problem(lab, kind, family)
        solution(lab, kind, family)


@case("IPv6 TCP, l2-rewrite", "TCP", "l2-rewrite", {"nexthop6": "parser"})
@case("IPv6 UDP, nexthop", "UDP", "nexthop", {"nexthop6": "yes", "set-mac": "parser"})
def six(kind, action, knobs):
    with SwitchLab(2, knobs=knobs) as lab:
        lab.resolve(6)
        problem(lab, kind, 6)
        solution(lab, kind, 6, more=f"action-ipv6 = {action}")
        acts = {bool(f["nexthops"]) for f in lab.sim.programmed().values()}
        equal(acts, {action == "nexthop"}, f"the flows have the action {action}")


def refused(action, knobs):
    """The switch has no such action: that is said, and the gateway pins as if there were no switch."""
    with SwitchLab(2, shared=True, knobs=knobs) as lab:
        lab.resolve(6)
        lab.announce(["s1", "s2"], 6)
        lab.client_via("gw")
        lab.route(["s1", "s2"], 6)
        beside = Beside(lab, more=f"action-ipv6 = {action}")
        pool = TcpPool(lab, 200, target=VIP6)
        need(pool.result().all_held and len(pool.by_server()) == 2, "200 connections over the gateway", pool.result)
        pool.start(0.2)

        def settled():
            s = beside.switch()
            return s["rejected"] > 0 and (s["desired"], s["rejected"] + s["not_placed"]) == (0, 200)

        wait_until(settled, 20, "the switch refuses what is tried, the rest is not tried, and flowpin switches says so", poll=0.1)
        s = beside.switch()
        check(s["rejections"] and all(r["reason"] for r in s["rejections"]), "and for what reason", s["rejections"])
        rows = [beside.shown(f)["flow"]["switches"][0] for f in pool.flows]
        check({row["state"] for row in rows} <= {"rejected", "not placed"} and all(row["text"] for row in rows),
              "flowpin show says why, for each flow", collections.Counter(str(r) for r in rows))
        equal(lab.programmed(), {}, "nothing of it is in hardware")
        wait_until(lambda: not lab.sim.flows(), 10, "nor left behind in its configuration", poll=0.1)
        lab.route(["s2"], 6)
        check(pool.exchange().all_held, "a server is withdrawn: none broke", pool.result)
        lab.route(["s1", "s2"], 6)
        check(pool.exchange().all_held, "it returns: none broke", pool.result)
        before = lab.counters()["requests"]
        polls = [beside.switch()["requests"]]
        wait_until(lambda: beside.switch()["requests"] >= polls[0] + 6, 10, "the switch is still polled")
        writes = [j for j in lab.commands("^flow ") if j["request"] > before]
        equal(writes, [], "and not bothered with them again and again")


for template, what, how in (("nexthop", "nexthop6", "parser"), ("nexthop", "nexthop6", "reject"), ("l2-rewrite", "set-mac", "platform"),
                            ("l2-rewrite", "output-interface", "reject")):
    case(f"refused: {template}, {what} = {how}", template, {what: how})(refused)

main()
