#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two switches beside one gateway. Different policies and faults: neither notices the other. In a group: a pin that was learned on
one is on both."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "eos-sim"))
import mirror  # noqa: E402
import tap  # noqa: E402
from eossim import Sim  # noqa: E402
from flowlab import *  # noqa
from switchlab import FAST, SERVICE, SWITCH, Beside, SwitchLab, section, settle  # noqa: E402

OTHER, API2, AGENT2, SOURCE2, ZONE2 = "leaf2", "10.60.0.1", "10.60.0.2", "6.6.6.6", 102


class TwoLab(SwitchLab):
    """SwitchLab, and a second switch on a link of its own, which has the same nexthops and no data plane: `second`."""

    def __init__(self, knobs=None, **kwargs):
        super().__init__(2, **kwargs)
        try:
            self.ns("sw2")
            self.link("sw2", "gw", a_if="gw", b_if="mirror2", a_addrs=[f"{API2}/24"], b_addrs=[f"{AGENT2}/24"])
            self.address("sw2", "lo", f"{SOURCE2}/32")
            self.second = Sim(netns=self.full("sw2"), http=f"{API2}:80", knobs=dict(FAST, **(knobs or {})), tmp=self.tmp)
            self.closers.append(self.second.stop)
            self.second.control("interface", name="Ethernet1", link="connected")
            self.second.control("route", prefix="12.12.12.0/24", vias=[{"interface": "Ethernet1"}])
            for server in self.servers:
                port = self.ports[server]
                self.second.control("interface", name=port, link="connected")
                self.second.control("arp", address=self.address_of(server), mac=self.macs[server], interface=port)
            self.announce2(["s1", "s2"])
        except BaseException:
            self.close()
            raise

    def announce2(self, servers):
        self.second.control("route", prefix="1.1.1.1/32",
                            vias=[{"interface": self.ports[s], "nexthop": self.address_of(s)} for s in servers])

    def programmed2(self):
        return {(f["protocol"], f["src"], f["sport"]): self.server_at(f["nexthops"][0]) for n, f in self.second.programmed().items()
                if n.startswith("fp-")}

    def on_second(self, flows, protocol=6):
        have = self.programmed2()
        return all(have.get((protocol, f.src, f.sport)) == f.server for f in flows)


def section2(lab, place, more="", idle="5m"):
    return f"""switch {OTHER} {{
    eapi          = "{lab.second.url}"
    allow-http    = yes
    username      = admin
    password-file = "{os.path.join(lab.tmp, "password")}"
    mirror {{ source = {SOURCE2}  destination = {AGENT2}  interface = mirror2  zone = {ZONE2} }}
    place         = {place}
    poll-interval = 500ms
    idle-timeout  = {idle}
    {more}
}}
"""


def status(beside, name):
    return next(s for s in beside.d.flowpin("switches")["switches"] if s["name"] == name)


def both_reached(beside):
    wait_until(lambda: all(status(beside, n)["reachable"] and status(beside, n)["nexthops"] for n in (SWITCH, OTHER)), 60,
               "both switches are reached", poll=0.1)


@case("independent")
def independent():
    with TwoLab(shared=True, knobs={"capacity": "80"}) as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.client_via("gw")
        lab.route(["s1", "s2"])
        for server in lab.servers:  # answers pass the gateway: without them no flow is established there
            lab.ip(server, f"route replace default via {lab.address_of(server).rsplit('.', 1)[0]}.253")
        lab.second.control("cli", user="somebody", cmds=["enable", "configure", "directflow", "no shutdown", "flow theirs",
                                                         "match ethertype ip", "match source ip 9.9.9.9", "action drop"])
        short = f"request-timeout = {500 * tap.SLOWER}ms"
        beside = Beside(lab, config=SERVICE % "5m" + section(lab, more=short) +
                        section2(lab, "established", more="max-flows = 50 " + short))
        both_reached(beside)
        pool = TcpPool(lab, 200)
        need(pool.result().all_held and len(pool.by_server()) == 2, "200 connections over the gateway, on both servers", pool.result)
        pool.start(0.3)
        wait_until(lambda: lab.pinned(pool), 60, "place = all: the first switch has all of them", poll=0.1)
        wait_until(lambda: len(lab.programmed2()) == 50, 60, "place = established, max-flows = 50: the second has 50", poll=0.1)
        on = {(6, f.src, f.sport): f.server for f in pool.flows}
        check(all(on.get(k) == v for k, v in lab.programmed2().items()), "each on its own server")

        def shown():
            rows = [{s["name"]: s["state"] for s in beside.shown(f)["flow"]["switches"]} for f in pool.flows[:40]]
            return all(r[SWITCH] == "programmed" for r in rows) and {r[OTHER] for r in rows} <= {"programmed", "not placed"}

        wait_until(shown, 30, "flowpin show tells of each switch by itself", poll=0.2)
        wait_until(lambda: (status(beside, SWITCH)["programmed"], status(beside, OTHER)["programmed"],
                            status(beside, OTHER)["not_placed"]) == (200, 50, 150), 30, "as does flowpin switches", poll=0.1)

        for title, broken, sound, sim in (("the second", OTHER, SWITCH, lab.second), ("the first", SWITCH, OTHER, lab.sim)):
            for what, fault in (("is silent", {"kind": "silence", "applied": 0, "count": -1, "hold_ms": 600 * tap.SLOWER}),
                                ("answers 503", {"kind": "status", "status": 503, "count": -1}),
                                ("refuses connections", {"kind": "refuse", "count": -1})):
                sim.control("fault", **fault)
                sim.control("drop-connections")
                wait_until(lambda: not status(beside, broken)["reachable"], 15, f"{title} {what}: that is shown", poll=0.1)
                s = status(beside, sound)
                check(s["reachable"] and not s["sentence"], "the other one is reachable", s)
                pool.end(pool.flows[:10])
                fresh = pool.open(10)
                if sound == SWITCH:
                    wait_until(lambda: lab.pinned(pool), 30, "and has what is new as fast as ever", poll=0.05)
                else:
                    before = s["requests"]
                    wait_until(lambda: status(beside, OTHER)["requests"] > before + 4, 60, "and is read as often as ever", poll=0.1)
                check(pool.exchange().all_held and len(fresh) == 10, "no connection broke", pool.result)
                sim.control("clear-faults")
                wait_until(lambda: status(beside, broken)["reachable"] and lab.pinned(pool) and len(lab.programmed2()) == 50, 60,
                           "it is caught up with when the fault is gone", poll=0.2)
        equal([n for n in lab.second.flows() if not n.startswith("fp-")], ["theirs"], "other users' flows are there")
        lab.second.control("reboot", ms=500)
        since = lab.counters()["requests"]
        wait_until(lambda: len(lab.programmed2()) == 50, 60, "the second is restarted: it is filled anew", poll=0.2)
        equal([j for j in lab.commands("^(no )?flow fp-") if j["request"] > since], [], "nothing was written to the first for it")


@case("no group: what a switch's mirror tells is of that switch only")
def alone():
    with TwoLab() as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror(["syn"])
        beside = Beside(lab, config=SERVICE % "5m" + section(lab) + section2(lab, "all"))
        both_reached(beside)
        pool = TcpPool(lab, 100)
        wait_until(lambda: lab.pinned(pool), 60, "the first has its flows", poll=0.1)
        polls = status(beside, OTHER)["requests"]
        wait_until(lambda: status(beside, OTHER)["requests"] > polls + 4, 60, poll=0.1)
        equal((lab.programmed2(), status(beside, OTHER)["candidates"]), ({}, 0), "the second has none")


@case("a group of two")
def group():
    with TwoLab() as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.mirror(["syn"])
        beside = Beside(lab, config=SERVICE % "5m" + section(lab, more="group = pair") + section2(lab, "all", more="group = pair"))
        both_reached(beside)
        pool = TcpPool(lab, 200)
        need(pool.result().all_held and len(pool.by_server()) == 2, "200 connections over the first, on both servers", pool.result)
        wait_until(lambda: lab.pinned(pool), 60, "they are in the first, each on its own server", poll=0.1)
        wait_until(lambda: len(lab.programmed2()) == 200 and lab.on_second(pool.flows), 60,
                   "and in the second, on the same servers", poll=0.1)
        wait_until(lambda: all({s["name"]: s["state"] for s in beside.shown(f)["flow"]["switches"]} ==
                               {SWITCH: "programmed", OTHER: "programmed"} for f in pool.flows[:20]), 30,
                   "flowpin show tells of both", poll=0.3)

        # The second's mirror tells of SYNs.
        sender = mirror.Sender(lab, "sw2", SOURCE2, AGENT2)
        ports = range(40000, 40100)
        for port in ports:
            sender.send(mirror.syn(sport=port))
        path = {p: lab.server_at(lab.second.control("path", src="12.12.12.1", dst="1.1.1.1", protocol="tcp", sport=p, dport=80,
                                                    interface="Ethernet1")["nexthop"]) for p in ports}

        def there(have):
            return {k[2]: v for k, v in have.items() if k[2] in ports} == path

        wait_until(lambda: there(lab.programmed2()), 60, "a hundred learned on the second are there, as its ECMP chose", poll=0.1)
        wait_until(lambda: there(lab.programmed()), 60, "and in the first, on the same servers, whatever its own ECMP would choose", poll=0.1)
        equal(set(path.values()), {"s1", "s2"}, "on both servers")

        # A conflict: the second's ECMP says something else of flows that are known from the first.
        known = pool.on("s1")[:20]
        lab.announce2(["s2"])
        wait_until(lambda: {n["address"]: n["named"] for n in status(beside, OTHER)["nexthops"]}.get(lab.address_of("s1")) == [], 60,
                   poll=0.1)
        settle()  # else nobody knows whether the route was read before them
        for f in known:
            sender.send(mirror.syn(src=f.src, sport=f.sport))
        wait_until(lambda: sum(status(beside, n)["conflicts"] for n in (SWITCH, OTHER)) > 0, 60, "a conflict is counted and shown", poll=0.1)
        check(lab.on_second(known) and lab.pinned(pool), "the older stays, on both")
        check(pool.exchange().all_held, "no connection broke", pool.result)

        # One of them is away while new ones come.
        lab.announce2(["s1", "s2"])
        lab.second.control("down", ms=60000)
        wait_until(lambda: not status(beside, OTHER)["reachable"], 60, "the second is away", poll=0.1)
        pool.open(50)
        wait_until(lambda: lab.pinned(pool), 60, "new ones are in the first", poll=0.1)
        lab.second.control("up")
        wait_until(lambda: lab.on_second(pool.flows), 40, "and in the second once it is back", poll=0.2)


main()
