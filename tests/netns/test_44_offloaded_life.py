#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of flows that the gateway learned and the switch carries: longer than conntrack believes, and not longer than they last."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import SERVICE, Beside, SwitchLab, section

IDLE, N = 7, 40


def begin(lab, kind, n=N, idle=IDLE, answers="sw", expiry="switch", over="sw", max_pins=1000):
    """Connections that began over the gateway, and go through the switch now (over="gw": still over the gateway)."""
    lab.resolve()
    lab.announce(["s1", "s2"])
    lab.client_via("gw")
    lab.answers_via(answers)
    lab.route(["s1", "s2"])
    config = SERVICE % f"{idle}s" + f"limits {{ max-pins = {max_pins} }}\n" + section(lab, idle=f"{idle}s", more=f"expiry = {expiry}")
    beside = Beside(lab, config)
    pool = kind(lab, n)
    need(pool.result().all_held and len(pool.by_server()) == 2, f"{n} connections are open over the gateway, on both servers", pool.result)
    pool.start(0.5)
    protocol = "tcp" if kind is TcpPool else "udp"
    wait_until(lambda: lab.pinned(pool, protocol), 60, "they are in DirectFlow, each on its own server", poll=0.1)
    if over == "gw":
        return beside, pool
    lab.client_via("sw")
    lab.answers_via("sw")
    check(sum(lab.asic(f, protocol) != f.server for f in pool.flows) > n / 4, "ECMP in the switch would send many elsewhere")
    check(pool.exchange().all_held, "the client's packets take the switch: all stay on their servers", pool.result)
    wait_until(lambda: beside.switch()["programmed"] == n, 60, "and flowpin switches counts them", poll=0.1)
    return beside, pool


def entries(lab):
    """Conntrack entries of ours. One without an answer that has lost our mark is the kernel's own, and ends by itself."""
    lines = lab.conntrack("-L", "--orig-dst", "1.1.1.1").splitlines()
    return sum("dport=80" in line and not ("UNREPLIED" in line and "mark=0 " in line) for line in lines)


def answered(lab):
    """Entries in which conntrack has seen both directions."""
    return lab.conntrack("-L", "--orig-dst", "1.1.1.1").count("ESTABLISHED")


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
        equal(low, (len(pool.flows),) * 3, "for many conntrack timeouts each is in hardware, in the flow table, and pinned")
        check(pool.exchange().all_held, "none moved", pool.result)
        lab.route(["s2"])
        lab.client_via("gw")
        check(pool.exchange().all_held, "the packets take the gateway again, where a server is withdrawn: all stay", pool.result)
        lab.client_via("sw")
        check(pool.exchange().all_held, "and back once more", pool.result)
        equal(beside.switch()["removed"], [], "nothing was deleted")
        pool.end()
        empty(lab, beside, 8 * IDLE)


@case("TCP that ended unseen leaves, and a drain that waited ends", "gw", "switch")
@case("the same where flowpind tells when they end", "gw", "flowpin")
@case("the same where the gateway never saw an answer", "sw", "switch")
def tcp(answers, expiry):
    with SwitchLab(2, shared=True) as lab:
        beside, pool = begin(lab, TcpPool, answers=answers, expiry=expiry)
        if answers == "gw":
            equal(answered(lab), len(pool.flows), "conntrack would keep them for days")
        drain = beside.d.popen_flowpin("drain", lab.nexthop("s1"), "--wait")
        wait_until(lambda: beside.d.binding(lab.nexthop("s1"))["state"] == "draining", 10, "s1 is draining")
        end = time.monotonic() + 2 * IDLE  # an end that must not come
        while time.monotonic() < end and drain.poll() is None:
            time.sleep(0.2)
        check(drain.poll() is None, "flowpin drain --wait waits while they talk through the switch")
        equal(len(beside.d.flows("nexthop", lab.nexthop("s1"))), len(pool.on("s1")), "and all are listed")
        check(pool.exchange().all_held, "none broke", pool.result)
        before = len(beside.d.flows())
        ended, stay = pool.on("s1"), pool.on("s2")
        pool.end(ended)  # the gateway sees neither FIN nor RST
        began = time.monotonic()
        wait_until(lambda: "s1" not in lab.programmed().values(), 8 * IDLE, "they end in the switch: out of hardware", poll=0.1)
        wait_until(lambda: not beside.d.flows("nexthop", lab.nexthop("s1")), 8 * IDLE, "out of the flow table", poll=0.1)
        wait_until(lambda: drain.poll() is not None, 8 * IDLE, "the drain ends", poll=0.05)
        note(f"{time.monotonic() - began:.1f} s after they ended, with an idle timeout of {IDLE} s")
        out, err = drain.communicate() if drain.poll() is not None else ("", "")
        equal(drain.returncode, 0, "as empty")
        note((out + err).strip()[-300:])
        wait_until(lambda: lab.pins() == len(stay), 8 * IDLE, "out of the pins", poll=0.1)
        wait_until(lambda: entries(lab) == len(stay), 8 * IDLE, "and of conntrack", poll=0.1)
        equal(len(beside.d.flows()), before - len(ended), "the others are still known")
        check(pool.exchange().all_held, "and hold", pool.result)
        pool.end()
        empty(lab, beside, 8 * IDLE)


@case("idle in the switch is no end: the gateway carries them", "switch")
@case("the same where flowpind tells when they end", "flowpin")
@case("the same where the pin map has no room for them", "flowpin", 2)
def carried(expiry, max_pins=1000):
    with SwitchLab(2, shared=True) as lab:
        beside, pool = begin(lab, TcpPool, answers="gw", expiry=expiry, over="gw", max_pins=max_pins)
        end, low = time.monotonic() + 2.5 * IDLE, len(pool.flows)
        while time.monotonic() < end:
            low = min(low, len(beside.d.flows()), answered(lab))
            time.sleep(0.3)
        equal(low, len(pool.flows), "without a packet in the switch for two idle timeouts each is known, and has its conntrack entry")
        check(lab.pins() == min(len(pool.flows), max_pins), "and its pin, where there is room", lab.pins)
        check(pool.exchange().all_held, "none broke", pool.result)
        if expiry == "flowpin":
            equal(beside.switch()["removed"], [], "none left the switch")
        wait_until(lambda: lab.pinned(pool), 60, "they are in DirectFlow", poll=0.1)
        lab.client_via("sw")
        lab.answers_via("sw")
        check(pool.exchange().all_held, "and go on there", pool.result)


main()
