#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
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


def pinned(lab, beside, pool, text):
    ok = wait_until(lambda: lab.pinned(pool), 30, poll=0.1)
    have = in_hardware(lab)
    check(ok, text, lambda: [(f, beside.shown(f)["flow"]["switches"]) for f in pool.flows if have.get((f.src, f.sport)) != f.server][:4])


def begun(lab, beside, n, kind=TcpPool):
    """n connections, all answered before flowpin-eapi asks about the first of them: the route changes under its questions, and
    not under somebody's handshake."""
    with beside.eapi.held():
        pool = kind(lab, n)
    equal(len(where(pool)), n, f"{n} connections are answered")
    return pool


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
        wait_until(answered(beside), 30, poll=0.1)
        state = told(beside, lab).get((one.src, one.sport))
        pool.end(reset=True)
        if state is None:
            why.append(beside.shown(one)["flow"]["switches"][0])
        return state is not None
    why = []
    check(wait_until(certain, 60, poll=0.2), "the route is settled", why)


HOST, NET = "1.1.1.1/32", "1.1.1.0/24"
RARELY = "5s"  # seldom enough: nothing is read between two polls but what questions read


def service_of(lab, prefix, **switch):
    return f"service web {{ prefix = {prefix} }}\n" + section(lab, more=MORE, mirror=MIRROR, **switch)


@case("between the first packets and the answers", HOST)
@case("for a service that is a network", NET)
@case("with a rare poll", HOST, RARELY)
@case("for a network, with a rare poll", NET, RARELY)
@case("for a network of which the switch lists the routes", NET, RARELY, "longer")
@case("for a network that is read with the whole table", NET, "500ms", "all")
def under_way(prefix, poll="500ms", lists="none"):
    with SwitchLab(3, knobs={"request-ms": 120, "route-lists": lists}) as lab:
        lab.announce(ROUTES[0], prefix=prefix)
        beside = begin(lab, service_of(lab, prefix, poll=poll))
        truth = {}
        for n, servers in enumerate(ROUTES[1:]):
            if n % 2 == 0:
                unchanged(lab, beside, truth)
            if n == 2:  # in the middle of the answers; else at once
                moment(lab, "^show load-balance ", servers, prefix, skip=100)
            pool = begun(lab, beside, 120) if n == 2 else TcpPool(lab, 120)
            truth.update(where(pool))
            if n == 2:
                wait_until(answered(beside), 60, "half of them are answered before the route changes, and half after", poll=0.3)
            else:
                check(beside.switch()["mirror"]["asking"] > 0, "questions are open while the route changes", beside.switch)
                lab.announce(servers, prefix=prefix)
            pool.end(reset=True)
        sure, unsure = judge(lab, beside, truth)
        check(unsure and len(sure) > 40, "some are uncertain, some are not", (len(sure), len(unsure)))
        shown(beside, unsure)
        unchanged(lab, beside, truth)
        pinned(lab, beside, TcpPool(lab, 100), "connections of later are pinned, each on its own server")


def moment(lab, command, servers, prefix=HOST, skip=0):
    """The route changes just before the switch runs such a command, once."""
    vias = [{"interface": lab.ports[s], "nexthop": lab.address_of(s)} for s in servers]
    change = {"op": "route", "prefix": prefix, "vias": vias} if vias else {"op": "no-route", "prefix": prefix}
    lab.sim.control("reply", command=command, skip=skip, do=[change, {"op": "refresh"}])


def uncertain_all(lab, beside, truth, pool, text):
    truth.update(where(pool))
    sure, unsure = judge(lab, beside, truth)
    mine = set(where(pool))
    equal(mine & set(sure), set(), text)
    shown(beside, unsure & mine)


@case("a single nexthop is replaced between two polls", HOST)
@case("and that of a network", NET)
def single(prefix):
    with SwitchLab(2) as lab:
        lab.announce(["s1"], prefix=prefix)
        beside = begin(lab, service_of(lab, prefix, poll=RARELY))
        truth = {}
        unchanged(lab, beside, truth)
        # Before the flows begin: their first question reads another route than the last poll.
        lab.announce(["s2"], prefix=prefix)
        pool = TcpPool(lab, 50)
        equal(set(where(pool).values()), {"s2"}, "new connections go to the new server")
        uncertain_all(lab, beside, truth, pool, "none that began before the new route was read is taken for certain")
        unchanged(lab, beside, truth)
        after = TcpPool(lab, 50)
        pinned(lab, beside, after, "those that begin later are pinned to it, before the next poll")
        truth.update(where(after))
        # After they began: what their question reads is not what they went by.
        moment(lab, "^show ip route 1.1.1.1$", ["s1"], prefix)
        pool = begun(lab, beside, 50)
        equal(set(where(pool).values()), {"s2"}, "connections begin, and then the route is replaced")
        uncertain_all(lab, beside, truth, pool, "none of them is pinned to where it did not go")
        unchanged(lab, beside, truth)
        last = TcpPool(lab, 20)
        equal(set(where(last).values()), {"s1"}, "what begins now goes back to the first server")
        pinned(lab, beside, last, "and is pinned there")


@case("amid the request that asks", "^show load-balance ", 0)
@case("behind the paths, before the routes are read again", "^show ip route 1.1.1.1$", 1)
@case("before the first command", "^show ip route 1.1.1.1$", 0)
def amid(command, skip):
    with SwitchLab(3) as lab:
        lab.announce(["s1", "s2"])
        beside = begin(lab, poll=RARELY)
        truth = {}
        unchanged(lab, beside, truth)
        moment(lab, command, ["s2", "s3"], skip=skip)
        pool = begun(lab, beside, 40)
        equal(set(where(pool).values()), {"s1", "s2"}, "40 connections begin by the old route")
        uncertain_all(lab, beside, truth, pool, "none is certain")
        equal(lab.asic(pool.flows[0]) in ("s2", "s3"), True, "the route did change")


@case("another packet of an uncertain flow tells where it goes now")
def anew():
    with SwitchLab(3) as lab:
        lab.announce(["s1", "s2"])
        lab.resolve()
        lab.mirror(["udp"])
        beside = Beside(lab, more=MORE, mirror=MIRROR, poll=RARELY)
        truth = {}
        moment(lab, "^show load-balance ", ["s2", "s3"])
        pool = begun(lab, beside, 40, UdpPool)
        wait_until(lambda: beside.switch()["mirror"]["flows"] == 40 and answered(beside)(), 30, "every question is answered", poll=0.1)
        equal({v for v in told(beside, lab).values()}, {None}, "none is certain")
        wait_until(lambda: pool.exchange() and lab.pinned(pool, "udp"), 30, "more packets of each: they are pinned", poll=0.5)
        equal([f for f in pool.flows if lab.asic(f, "udp") != f.server], [], "each where ECMP sends it now")
        equal((set(pool.by_server()), beside.switch()["uncertain"]), ({"s2", "s3"}, 0), "none is uncertain any more")


@case("a more specific route that nobody read is withdrawn", "none")
@case("and where the switch lists its routes", "longer")
def specific(lists):
    with SwitchLab(2, knobs={"route-lists": lists}) as lab:
        lab.announce(["s1"], prefix=NET)
        lab.announce(["s2"], prefix=HOST)
        beside = begin(lab, service_of(lab, NET, poll=RARELY))
        truth = {}
        moment(lab, "^show ip route 1.1.1.1$", [])
        pool = begun(lab, beside, 30)
        equal(set(where(pool).values()), {"s2"}, "connections go by the more specific route")
        uncertain_all(lab, beside, truth, pool, "none is taken for what the network's route says")
        unchanged(lab, beside, truth)
        after = TcpPool(lab, 20)
        equal(set(where(after).values()), {"s1"}, "new ones go by the network's route")
        pinned(lab, beside, after, "and are pinned")


main()
