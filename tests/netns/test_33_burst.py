#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A burst: 5,000 mirrored SYNs at once, more than the switch may hold. What is placed is where the ASIC sends it, the rest is told apart."""

import collections
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap
from flood import flood
from flowlab import *  # noqa
from lab import VIP4
from switchlab import CLIENT_PORT, ZONE, Beside, SwitchLab, section

FLOWS, CAPACITY, MAX, PORTS, FIRST = 5000, 1500, 1000, 1250, 10000
SLOW = {"request-ms": 20, "counter-ms": 3000}  # counters are seldom refreshed, as in a switch
ROUNDS = 9
SERVICE = """service web {
    prefix       = 1.1.1.1/32
    protocol     = {tcp, udp}
    port         = 80
    idle-timeout = %s
}
"""


def burst_of(lab, first=FIRST, n=FLOWS):
    """SYNs of n flows as fast as they go, over the switch's data plane; the addresses and ports that they come from."""
    equal(flood(lab, n, kind="syn", source="12.12.12.0", sport=(first, first + PORTS - 1)), n, f"{n} SYNs are sent at once")
    return [(f"12.12.12.{1 + i // PORTS}", first + i % PORTS) for i in range(n)]


def truth(lab, flows):
    """{flow: server} by the ASIC."""
    answers = lab.sim.operate([{"op": "path", "src": src, "dst": VIP4, "protocol": 6, "sport": sport, "dport": 80,
                                "interface": CLIENT_PORT} for src, sport in flows])
    return {(6, *flow): lab.server_at(a["nexthop"]) for flow, a in zip(flows, answers)}


def counted(lab):
    """The environment of daemons whose heap is counted. The sanitizers have a heap of their own, and tell of leaks by themselves."""
    return {} if tap.SAN else {"LD_PRELOAD": os.path.join(BUILD, "tests", "tools", "heap"), "HEAP_DIR": lab.tmp}


def descriptors(daemons):
    """{program: open descriptors}."""
    return {name: len(os.listdir(f"/proc/{d.pid}/fd")) for name, d in daemons.items()}


def heaps(beside, daemons):
    """{program: bytes that it has from malloc()}, of daemons in the environment counted(). An answer of the switch is in memory while it is
    read: the least is taken of what they have until two more were asked for."""
    found = {name: [] for name in daemons}
    until = beside.switch()["requests"] + 2

    def asked():
        for name, d in daemons.items():
            with open(os.path.join(beside.lab.tmp, str(d.pid)), "rb") as f:
                found[name].append(int.from_bytes(f.read(8), sys.byteorder))
        return beside.switch()["requests"] >= until

    wait_until(asked, 30, "the switch is asked for more", poll=0.02)
    return {name: min(of_it) for name, of_it in found.items()}


@case("table of the switch", {"capacity": CAPACITY}, f"max-flows = {MAX}", MAX)
@case("the configured limit is above the table", {"capacity": MAX}, f"max-flows = {CAPACITY}", MAX)
def burst(knobs, more, placed):
    with SwitchLab(3, knobs=dict(SLOW, **knobs)) as lab:
        lab.resolve()
        lab.announce(["s1", "s2", "s3"])
        lab.mirror()
        for server in lab.servers:
            lab.deaf(server)
        config = SERVICE % "1h" + section(lab, idle="1h", more=more, mirror=f"max-flows = {FLOWS}  max-flows-per-source = {FLOWS}")
        beside = Beside(lab, config)
        daemons = {"flowpind": beside.d, "flowpin-mirror": beside.mirror, "flowpin-eapi": beside.eapi}
        before = descriptors(daemons)
        flows = burst_of(lab)
        wait_until(lambda: beside.switch()["mirror"]["flows"] == FLOWS, 30, "every one of them is learned", poll=0.1)
        asic = truth(lab, flows)
        equal(set(asic.values()), {"s1", "s2", "s3"}, "the ASIC spreads them over all servers")

        def settled():
            s = beside.switch()
            return s["mirror"]["asking"] == 0 and (s["programmed"], s["pending"]) == (placed, 0)

        wait_until(settled, 120, f"the switch ends with {placed} programmed", poll=0.2)
        have = lab.programmed()
        equal(len(have), placed, "the hardware has exactly those, no more")
        equal(lab.sim.usage()["used_max"], placed, "nor had it more at any time")
        wrong = {k: (v, asic.get(k)) for k, v in have.items() if asic.get(k) != v}
        equal(wrong, {}, "each goes to the nexthop that the ASIC chose, flow by flow")
        s = beside.switch()
        equal((s["uncertain"], s["rejected"] + s["not_placed"]), (0, FLOWS - placed), "the rest are counted as not placed")
        shown = beside.d.flows("zone", str(ZONE))
        equal(len(shown), FLOWS, "flowpin flows lists all of them")
        wrong = [f for f in shown if lab.server_at(f["nexthop"].split("%")[0]) != asic.get((6, f["src"], f["sport"]))]
        equal(wrong[:3], [], "each with the ASIC's nexthop, placed or not")
        rows = collections.Counter()
        for src, sport in flows[::25]:
            row = beside.d.flowpin("show", "tcp", f"{src}:{sport}", f"{VIP4}:80")["flow"]["switches"][0]
            inside = (6, src, sport) in have
            ok = row["state"] == "programmed" if inside else row["state"] in ("not placed", "rejected") and row["text"]
            rows[inside, row["state"], row["text"], bool(ok)] += 1
        check(all(r[3] for r in rows) and len({r[0] for r in rows}) == 2, "flowpin show tells them apart, and why (200 of them)", rows)
        note(dict(rows))
        equal(lab.conntrack("-L", "-w", str(ZONE)).count(f"zone={ZONE}"), FLOWS, "conntrack has each once")
        with_more = descriptors(daemons)
        # All end: the configuration gives them a second, and what they took is given back.
        beside.reload(SERVICE % "2s" + section(lab, idle="1h", more=more, mirror=f"max-flows = {FLOWS}  max-flows-per-source = {FLOWS}"))
        wait_until(lambda: beside.switch()["mirror"]["asking"] == 0 and not [f for f in beside.d.flows("zone", str(ZONE))
                                                                            if (6, f["src"], f["sport"]) not in have],
                   60, "those that are not placed end by the services' idle timeout", poll=0.3)
        after = descriptors(daemons)
        note({"before": before, "with 5,000": with_more, "after": after})
        for name, fds in after.items():
            check(fds <= before[name] + 2, f"{name} has no more descriptors than before", (before[name], fds))


def rounds():
    """The same burst again and again: what was taken is given back, so that memory does not grow."""
    with SwitchLab(3, knobs=dict(SLOW, capacity=CAPACITY)) as lab:
        lab.resolve()
        lab.announce(["s1", "s2", "s3"])
        lab.mirror()
        for server in lab.servers:
            lab.deaf(server)

        def config(idle):
            return SERVICE % idle + section(lab, idle=idle, more=f"max-flows = {MAX}",
                                            mirror=f"max-flows = {FLOWS}  max-flows-per-source = {FLOWS}")

        beside = Beside(lab, config("20s"), env=counted(lab))
        daemons = {"flowpind": beside.d, "flowpin-mirror": beside.mirror, "flowpin-eapi": beside.eapi}
        fds, heap = [], []
        for n in range(ROUNDS):
            learned = beside.switch()["mirror"]["learned"]
            burst_of(lab, FIRST + n * PORTS)
            wait_until(lambda: beside.switch()["mirror"]["learned"] == learned + FLOWS, 30, f"round {n + 1}: learned", poll=0.1)
            if n == 0:
                wait_until(lambda: beside.switch()["programmed"] == MAX, 60, "the table is full, and was read", poll=0.2)
                beside.reload(config("2s"))
            wait_until(lambda: beside.switch()["mirror"]["flows"] == 0 and not lab.sim.flows(), 90, "all of them end", poll=0.2)
            wait_until(lambda: lab.conntrack("-L", "-w", str(ZONE)).count(f"zone={ZONE}") == 0, 5, "in conntrack, too", poll=0.2)
            fds.append(descriptors(daemons))
            heap.append({} if tap.SAN else heaps(beside, daemons))
        for name in daemons:
            few = [f[name] for f in fds]
            # A connection to the switch that was open at one time and not at another is none that is left.
            check(min(few[-3:]) <= max(few[:3]), f"{name}: as many descriptors after all rounds as after three", few)
            if not tap.SAN:
                of_it = [h[name] for h in heap]
                # Buffers keep the size of the largest batch or answer so far, which may come late: a leak is what grows burst by burst.
                grown = statistics.median(b - a for a, b in zip(of_it, of_it[1:]))
                check(grown < FLOWS, f"{name}: what a burst took is given back, to less than a byte for each flow", of_it)
        note(heap)


case("bursts one after the other, and what is left of them")(rounds)

main()
