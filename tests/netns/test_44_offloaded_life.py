#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# long
"""The life of flows that the gateway learned and the switch carries: longer than conntrack believes, and not longer than they last."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

IDLE = 5


def begin(lab, kind, n=200, idle=IDLE, answers="sw"):
    """Connections that began over the gateway, and go through the switch now."""
    lab.resolve()
    lab.announce(["s1", "s2"])
    lab.client_via("gw")
    lab.answers_via(answers)
    lab.route(["s1", "s2"])
    beside = Beside(lab, idle=f"{idle}s")
    pool = kind(lab, n)
    need(pool.result().all_held and len(pool.by_server()) == 2, f"{n} connections are open over the gateway, on both servers", pool.result)
    pool.start(0.5)
    protocol = "tcp" if kind is TcpPool else "udp"
    wait_until(lambda: lab.pinned(pool, protocol), 15, "they are in DirectFlow, each on its own server", poll=0.1)
    wait_until(lambda: beside.switch()["programmed"] == n, 10, "and known to be", poll=0.1)
    lab.client_via("sw")
    lab.answers_via("sw")
    check(sum(lab.asic(f, protocol) != f.server for f in pool.flows) > n / 4, "ECMP in the switch would send many elsewhere")
    check(pool.exchange().all_held, "the client's packets take the switch: all stay on their servers", pool.result)
    return beside, pool


def entries(lab):
    """Conntrack entries of ours. One without an answer that has lost our mark is the kernel's own, and ends by itself."""
    lines = lab.conntrack("-L", "--orig-dst", "1.1.1.1").splitlines()
    return sum("dport=80" in line and not ("UNREPLIED" in line and "mark=0 " in line) for line in lines)


def empty(lab, beside, deadline):
    wait_until(lambda: not lab.programmed(), deadline, "they leave the hardware", poll=0.1)
    wait_until(lambda: not lab.sim.flows(), deadline, "the switch's configuration", poll=0.1)
    wait_until(lambda: not beside.d.flows(), deadline, "the flow table", poll=0.1)
    wait_until(lambda: lab.pins() == 0, deadline, "the pins", poll=0.1)
    wait_until(lambda: entries(lab) == 0, deadline, "and conntrack", poll=0.1)


@case("UDP outlives its conntrack timeout")
def udp():
    with SwitchLab(2, shared=True) as lab:
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_udp_timeout": 2, "net.netfilter.nf_conntrack_udp_timeout_stream": 2})
        beside, pool = begin(lab, UdpPool)
        end = time.monotonic() + 3 * IDLE
        low = len(pool.flows), len(pool.flows), len(pool.flows)
        while time.monotonic() < end:
            low = tuple(map(min, low, (len(lab.programmed()), len(beside.d.flows()), lab.pins())))
            time.sleep(0.3)
        equal(low, (200, 200, 200), "for many conntrack timeouts each is in hardware, in the flow table, and pinned")
        check(pool.exchange().all_held, "none moved", pool.result)
        lab.route(["s2"])
        lab.client_via("gw")
        check(pool.exchange().all_held, "the packets take the gateway again, where a server is withdrawn: all stay", pool.result)
        lab.client_via("sw")
        check(pool.exchange().all_held, "and back once more", pool.result)
        equal(beside.switch()["removed"], [], "nothing was deleted")
        pool.end()
        empty(lab, beside, 5 * IDLE)


@case("TCP that ended unseen leaves, and a drain that waited ends", "gw")
@case("the same where the gateway never saw an answer", "sw")
def tcp(answers):
    if answers == "gw":
        skip("not held yet: an answered flow that ends unseen in the switch stays for as long as its conntrack entry does")
    with SwitchLab(2, shared=True) as lab:
        beside, pool = begin(lab, TcpPool, answers=answers)
        drain = beside.d.popen_flowpin("drain", lab.nexthop("s1"), "--wait")
        wait_until(lambda: beside.d.binding(lab.nexthop("s1"))["state"] == "draining", 10, "s1 is draining")
        time.sleep(2 * IDLE)  # an end that must not come
        check(drain.poll() is None, "flowpin drain --wait waits while they talk through the switch")
        equal(len(beside.d.flows("nexthop", lab.nexthop("s1"))), len(pool.on("s1")), "and all are listed")
        check(pool.exchange().all_held, "none broke", pool.result)
        before = len(beside.d.flows())
        ended, stay = pool.on("s1"), pool.on("s2")
        pool.end(ended)  # the gateway sees neither FIN nor RST
        began = time.monotonic()
        wait_until(lambda: "s1" not in lab.programmed().values(), 5 * IDLE, "they end in the switch: out of hardware", poll=0.1)
        wait_until(lambda: not beside.d.flows("nexthop", lab.nexthop("s1")), 5 * IDLE, "out of the flow table", poll=0.1)
        wait_until(lambda: drain.poll() is not None, 5 * IDLE, "the drain ends", poll=0.05)
        note(f"{time.monotonic() - began:.1f} s after they ended, with an idle timeout of {IDLE} s")
        out, err = drain.communicate()
        equal(drain.returncode, 0, "as empty")
        note((out + err).strip()[-300:])
        wait_until(lambda: lab.pins() == len(stay), 5 * IDLE, "out of the pins", poll=0.1)
        wait_until(lambda: entries(lab) == len(stay), 5 * IDLE, "and of conntrack", poll=0.1)
        equal(len(beside.d.flows()), before - len(ended), "the others are still known")
        check(pool.exchange().all_held, "and hold", pool.result)
        pool.end()
        empty(lab, beside, 5 * IDLE)


main()
