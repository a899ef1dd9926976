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
# From the middle one after bursts 2 to 6 to the least after the last three: 34 bytes for each of 15,000 flows between them. What reading a
# table took stays, so the first burst is held until the whole table was read: no later one is larger. Lists that grew by doubling are given
# back, and so that the C library gives its free memory back at once, too, it keeps none at the heap's end, and none of the larger blocks;
# what lies between is the heap's, and differs from burst to burst.
SLOW = {"request-ms": 20, "counter-ms": 3000}  # counters are seldom refreshed, as in a switch
ROUNDS, LEAK_KB = 9, 512
GIVES_BACK = {"MALLOC_TRIM_THRESHOLD_": "4096", "MALLOC_TOP_PAD_": "4096", "MALLOC_MMAP_THRESHOLD_": "65536"}
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


def leaks(daemons):
    """{program: (descriptors, resident KiB)}."""
    found = {}
    for name, d in zip(("flowpind", "flowpin-mirror", "flowpin-eapi"), daemons):
        with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        found[name] = (len(os.listdir(f"/proc/{d.pid}/fd")), rss)
    return found


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
        daemons = (beside.d, beside.mirror, beside.eapi)
        before = leaks(daemons)
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
        with_more = leaks(daemons)
        # All end: the configuration gives them a second, and what they took is given back.
        beside.reload(SERVICE % "2s" + section(lab, idle="1h", more=more, mirror=f"max-flows = {FLOWS}  max-flows-per-source = {FLOWS}"))
        wait_until(lambda: beside.switch()["mirror"]["asking"] == 0 and not [f for f in beside.d.flows("zone", str(ZONE))
                                                                            if (6, f["src"], f["sport"]) not in have],
                   60, "those that are not placed end by the services' idle timeout", poll=0.3)
        after = leaks(daemons)
        note({"before": before, "with 5,000": with_more, "after": after})
        for name, (fds, _) in after.items():
            check(fds <= before[name][0] + 2, f"{name} has no more descriptors than before", (before[name], after[name]))


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

        beside = Beside(lab, config("20s"), env=GIVES_BACK)
        daemons = (beside.d, beside.mirror, beside.eapi)
        seen = []
        for n in range(ROUNDS):
            learned = beside.switch()["mirror"]["learned"]
            burst_of(lab, FIRST + n * PORTS)
            wait_until(lambda: beside.switch()["mirror"]["learned"] == learned + FLOWS, 30, f"round {n + 1}: learned", poll=0.1)
            if n == 0:
                wait_until(lambda: beside.switch()["programmed"] == MAX, 60, "the table is full, and was read", poll=0.2)
                beside.reload(config("2s"))
            wait_until(lambda: beside.switch()["mirror"]["flows"] == 0 and not lab.sim.flows(), 90, "all of them end", poll=0.2)
            wait_until(lambda: lab.conntrack("-L", "-w", str(ZONE)).count(f"zone={ZONE}") == 0, 5, "in conntrack, too", poll=0.2)
            seen.append(leaks(daemons))
        note(seen)
        for name in seen[0]:
            fds, rss = zip(*(s[name] for s in seen))
            # A connection to the switch that was open at one time and not at another is none that is left.
            check(min(fds[-3:]) <= max(fds[:3]), f"{name}: as many descriptors after all rounds as after three", fds)
            check(tap.SAN or min(rss[-3:]) - statistics.median(rss[1:6]) <= LEAK_KB, f"{name}: what a burst took is given back", rss)


case("bursts one after the other, and what is left of them")(rounds)

main()
