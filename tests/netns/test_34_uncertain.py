#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# long
"""The route changes while path lookups are under way: no flow is pinned to a nexthop that it did not have; uncertain ones are shown."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import ZONE, Beside, SwitchLab, section

# Servers by route. No state comes back soon: a route that was changed and changed back between two readings is not seen by anybody.
ROUTES = (["s1", "s2", "s3"], ["s2", "s3"], ["s1", "s2"], ["s1", "s3"], ["s1", "s2", "s3"])
MORE, MIRROR = "max-flows = 3000", "max-flows-per-source = 3000"


def where(pool):
    """{flow: server} of what was answered: the truth, whatever the route is later."""
    return {(f.src, f.sport): f.server for f in pool.flows if f.server}


def told(beside, lab):
    """{flow: server} as flowpin knows it, None where it is uncertain."""
    return {(f["src"], f["sport"]): lab.server_at(f["nexthop"].split("%")[0]) for f in beside.d.flows("zone", str(ZONE))}


def in_hardware(lab):
    return {k[1:]: v for k, v in lab.programmed().items()}


def answered(beside):
    return lambda: beside.switch()["mirror"]["asking"] == 0 and not any(
        w["state"] == "asking" for f in beside.d.flows("zone", str(ZONE)) for w in f.get("switches", []))


def judge(lab, beside, truth):
    """What must hold however much was uncertain. Returns the certain ones and the uncertain ones."""
    wait_until(lambda: beside.switch()["mirror"]["flows"] == len(truth), 10, "every connection is known")
    wait_until(answered(beside), 60, "every question is answered", poll=0.3)
    wait_until(lambda: beside.switch()["pending"] == 0 and len(in_hardware(lab)) == beside.switch()["desired"], 20,
               "and what is wished is written", poll=0.2)
    known = told(beside, lab)
    unsure = {k for k, v in known.items() if v is None}
    sure = {k: v for k, v in known.items() if v is not None}
    equal({k: (v, truth.get(k)) for k, v in sure.items() if truth.get(k) != v}, {}, "none is taken for another server's than it had")
    equal({k: (v, truth.get(k)) for k, v in in_hardware(lab).items() if truth.get(k) != v}, {}, "none is pinned to one in the switch")
    equal(set(in_hardware(lab)), set(sure), "those that are certain are in hardware, and nothing else")
    equal(beside.switch()["uncertain"], len(unsure), "flowpin switches counts the uncertain ones")
    note(f"{len(sure)} certain, {len(unsure)} uncertain")
    return sure, unsure


def shown(beside, unsure):
    rows = []
    for src, sport in sorted(unsure)[:20]:
        rows += beside.d.flowpin("show", "tcp", f"{src}:{sport}", "1.1.1.1:80")["flow"]["switches"]
    check(rows and all(r["state"] == "uncertain" and r["text"] for r in rows), "flowpin show says uncertain, and why", rows[:4])
    note({r["text"] for r in rows})


def begin(lab, config=None, **kwargs):
    lab.resolve()
    lab.mirror()
    return Beside(lab, config) if config else Beside(lab, more=MORE, mirror=MIRROR, **kwargs)


def unchanged(lab, beside, truth):
    """Waits until flowpin takes the switch's route for settled: a connection that is begun now gets a certain answer."""
    def certain():
        pool = TcpPool(lab, 1)
        truth.update(where(pool))
        one = pool.flows[0]
        wait_until(answered(beside), 10, poll=0.1)
        state = told(beside, lab).get((one.src, one.sport))
        pool.end(reset=True)
        return state is not None
    wait_until(certain, 20, "the route is settled", poll=0.2)


@case("between the first packets and the answers", "1.1.1.1/32")
@case("for a service that is a network", "1.1.1.0/24")
def under_way(prefix):
    with SwitchLab(3, knobs={"request-ms": 120}) as lab:
        lab.announce(ROUTES[0], prefix=prefix)
        beside = begin(lab, f"service web {{ prefix = {prefix} }}\n" + section(lab, more=MORE, mirror=MIRROR))
        truth = {}
        for n, servers in enumerate(ROUTES[1:]):
            if n % 2 == 0:
                unchanged(lab, beside, truth)
            pool = TcpPool(lab, 300)
            # At once, and in the middle of the answers.
            if n == 2:
                wait_until(lambda: 0 < beside.switch()["mirror"]["asking"] <= 150, 10, "half of them are answered")
            check(beside.switch()["mirror"]["asking"] > 0, "questions are open while the route changes", beside.switch)
            truth.update(where(pool))
            lab.announce(servers, prefix=prefix)
            pool.end(reset=True)
        sure, unsure = judge(lab, beside, truth)
        check(unsure and len(sure) > 50, "some are uncertain, some are not", (len(sure), len(unsure)))
        shown(beside, unsure)
        unchanged(lab, beside, truth)
        pool = TcpPool(lab, 100)
        wait_until(lambda: lab.pinned(pool), 20, "connections of later are pinned, each on its own server")


main()
