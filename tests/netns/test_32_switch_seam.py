#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""flowpind's side of a switch: what it wants there, what it believes of what it is told, and what a mirror shows."""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from eapi import FIN, SYN, Mirror, Switch, key, nexthop
from varlink_schema import Connection, Interface, VarlinkError

SERVICE = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    protocol     = {tcp, udp}
    idle-timeout = %s
}
"""


def config(*switches, idle="5m"):
    return SERVICE % idle + "".join(switches)


def section(name="sw1", place="all", mirror=False, more="", zone=101, limits=""):
    m = (f"    mirror {{ source = 5.5.5.{zone}  destination = 10.9.9.9  interface = lo  zone = {zone} {limits} }}\n"
         if mirror else "")
    return (f'switch {name} {{\n    eapi = "https://127.0.0.1/command-api"\n    username = u\n    password-file = /dev/null\n'
            f'    ca-file = /dev/null\n    place = {place}\n{m}{more}\n}}\n')


def wait(condition, deadline, text, detail=None):
    check(wait_until(condition, deadline), text, detail)


def gateways(lab):
    return {s: lab.nexthops[s, 4][0] for s in lab.servers}


@case("flows of the gateway are placed and taken out")
def gateway_flows():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, config(section()))
        sw = Switch(d, "sw1")
        equal(sw.attached["prefix"], "fp-1-", "the prefix is told")
        pool = TcpPool(lab, 50)
        need(pool.result().all_held, "50 connections open", pool.result)
        wait(lambda: len(sw.table) == 50, 5, "50 flows are in the switch", lambda: len(sw.table))
        ways = gateways(lab)
        wrong = [f for f in pool.flows if sw.table[("tcp", f.src, f.sport, pool.target, pool.port)][1] != ways[f.server]]
        equal(wrong, [], "each to the server that it is on")
        # Flows that begin while the snapshot is told may be parts of it: its end comes behind them.
        wait(lambda: "end" in sw.kinds, 5, "the snapshot ends", lambda: sw.kinds)
        equal((sw.kinds[0], sw.kinds.count("end")), ("begin", 1), "a snapshot came first")
        wait(lambda: sw.status()["programmed"] == 50, 5, "and programmed", sw.status)
        sw.read()
        check(d.verify_clean(), "verify is clean", lambda: d.try_flowpin("verify"))
        f = pool.flows[0]
        shown = d.flowpin("show", "tcp", f"{f.src}:{f.sport}", f"{pool.target}:{pool.port}")["flow"]
        equal(shown.get("switches"), [{"name": "sw1", "state": "programmed", "text": "", "packets": 0, "bytes": 0}], "show names the switch")
        some = [f for f in pool.flows if f.server == "s2"]
        # Restart of the writer: everything comes again, nothing is deleted.
        sw.stop()
        wait(lambda: not sw.status()["attached"], 5, "gone is noticed")
        sw.batches.clear()
        sw.start()
        wait(lambda: sum(len(b["wishes"]) for b in sw.batches) == 50, 5, "a new writer gets a snapshot")
        equal(sw.gone, [], "nothing was deleted so far")
        d.flowpin("release", lab.nexthop("s2"))
        wait(lambda: len(sw.gone) == len(some), 5, "released: its flows leave the switch", lambda: sw.gone)
        equal({r for _, r in sw.gone}, {"released"}, "with that reason")
        equal(len(sw.table), 50 - len(some), "the others stay")


@case("a teardown empties the switch first")
def teardown():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, config(section()))
        sw = Switch(d, "sw1")
        pool = TcpPool(lab, 50)
        need(pool.result().all_held, "50 connections open", pool.result)
        wait(lambda: len(sw.table) == 50, 5, "50 flows are in the switch", lambda: len(sw.table))
        asked = d.popen_flowpin("teardown", "--yes")
        wait(lambda: len(sw.table) == 0, 5, "they leave it", lambda: len(sw.table))
        equal({r for _, r in sw.gone}, {"teardown"}, "with that reason")
        sw.read()
        wait_until(lambda: asked.poll() is not None, 20, "then the teardown ends")
        equal(asked.poll(), 0, "with exit status 0")
        check("flowpin" not in lab.run("gw", "nft list tables"), "and the gateway is clean")
        equal(d.expect_exit(), 4, "flowpind ends, not to be restarted")


@case("who may speak, and what is refused")
def refused():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, config(section()))
        sw = Switch(d, "sw1", start=False)
        sw.main = Connection(sw.path, sw.interface, timeout=10)

        def error(fn, **words):
            try:
                fn(**words)
            except VarlinkError as e:
                return e.name.rsplit(".", 1)[1] if hasattr(e, "name") else str(e.args[0]).rsplit(".", 1)[1]
            return None

        equal(error(sw.attach, api=2), "VersionMismatch", "another version")
        equal(error(sw.attach, config_digest="0" * 32), "ConfigMismatch", "another configuration")
        equal(error(sw.attach, switch="nobody"), "Unknown", "an unknown switch")
        equal(error(sw.health), "NotAttached", "not attached")
        sw.attach()
        other = Connection(sw.path, sw.interface, timeout=10)
        equal(error(lambda: other.call("Attach", switch="sw1", api=1, config_digest=sw.digest())), "Busy", "one writer")
        equal(error(sw.health, nexthops=[nexthop("10.0.0.1", "no-service")]), "Unknown", "a service that is none")
        equal(error(lambda: sw.call("Observed", full=False, flows=[
            sw.observation(("tcp", "9.9.9.9", 1, "8.8.8.8", 80), 7, "programmed")])), "Unknown", "a tuple outside the services")
        equal(error(lambda: sw.call("Done", serial=77)), "Unknown", "a serial that is not waited for")
        equal(sw.status()["unknown"], 2, "counted")
        mode = os.stat(sw.path).st_mode & 0o777
        check(mode in (0o600, 0o660), "nobody else may connect", oct(mode))


def mirrored(place="all", lookup=True, more="", idle="5m", limits=""):
    return config(section(mirror=True, place=place, more=more, limits=limits), idle=idle)


@case("mirrored flows: asked for, entered, pinned both ways")
def mirror_flows():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, mirrored())
        ways = sorted(gateways(lab).values())
        chosen = {}

        def answer(k):
            if k[2] % 10 == 0:
                return None
            return chosen.setdefault(k, ways[k[2] % 2] if k[2] % 3 else "172.31.0.9")

        sw = Switch(d, "sw1", nexthops=[nexthop(a, "web") for a in ways + ["172.31.0.9"]], answers=answer)
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(300)])
        m.counters("sw1", 300, 300)
        wait(lambda: len(sw.table) == 270, 10, "270 are placed", lambda: (len(sw.table), sw.status()))
        equal({k: v[1] for k, v in sw.table.items()}, chosen, "each where the switch sent it")
        equal(sw.status()["uncertain"], 30, "30 are uncertain, and left alone")
        check(len(sw.questions) <= 8, "few questions", sw.questions)
        listing = lab.conntrack("-L", "-w", "101")
        equal(listing.count("zone=101"), 300, "conntrack shows them in the zone of the switch")
        both = [k for k, nh in chosen.items() if nh in ways]
        wait(lambda: lab.pins() == len(both), 5, "those whose nexthop the gateway has, too, are pinned", lab.pins)
        flows = d.flows("zone", "101")
        equal(len(flows), 300, "flows lists them")
        equal({f["learned"] for f in flows}, {"mirror"}, "as mirrored")
        equal(sum(f["state"] == "uncertain" for f in flows), 30, "uncertain ones say so")
        sw.read()
        check(d.verify_clean(), "verify is clean", lambda: d.try_flowpin("verify"))
        k = sorted(both)[0]
        m.send("sw1", [m.record(k[1], k[2], flags=FIN)])
        wait(lambda: int(lab.conntrack("-L", "-p", "tcp", "-w", "101", "--sport", str(k[2])).split()[2]) <= 30, 5,
                   "a FIN shortens the entry")
        equal(len(sw.table), 270, "and deletes nothing")
        # One more SYN for a tuple whose nexthop takes no new flows.
        d.flowpin("drain", lab.nexthop(lab.server_of(chosen[k])))
        sw.answers = lambda _: "172.31.0.9"
        m.send("sw1", [m.record(k[1], k[2])])
        wait(lambda: k in sw.table and sw.table[k][1] == "172.31.0.9", 5, "a port that is used again is learned anew",
                   lambda: sw.table.get(k))


@case("mirrored flows of UDP and IPv6, and those that are not placed")
def mirror_kinds():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        lab.route(["s1", "s2"], 6)
        d = Daemon(lab, mirrored(place="none", idle="3s"))
        sw = Switch(d, "sw1", nexthops=[nexthop(gateways(lab)["s1"], "web"), nexthop(lab.nexthops["s1", 6][0], "web")],
                    answers=lambda k: lab.nexthops["s1", 6 if ":" in k[1] else 4][0])
        m = Mirror(d)
        some = [m.record("12.12.12.1", 20000, proto=17, flags=0), m.record("12.12.12.1", 20001, proto=132),
                m.record("2001:db8:c::1", 20000, dst="2001:db8::1"), m.record("2001:db8:c::1", 20001, dst="2001:db8::1", proto=17, flags=0)]
        m.send("sw1", some)
        wait(lambda: len(d.flows("zone", "101")) == 3, 5, "UDP, and IPv6 of both; SCTP is not of the service")
        wait(lambda: (lab.pins(4), lab.pins(6)) == (1, 2), 5, "pinned", lambda: (lab.pins(4), lab.pins(6)))
        equal(sw.table, {}, "with place = none nothing is placed")
        end = time.monotonic() + 7
        while time.monotonic() < end:
            m.send("sw1", some[:1])
            time.sleep(0.3)
        equal([(f["protocol"], f["sport"]) for f in d.flows("zone", "101")], [("udp", 20000)],
              "mirrored packets keep a UDP flow; the others ended by their idle timeout")
        equal((lab.conntrack("-L", "-w", "101").count("zone=101"), lab.pins(4), lab.pins(6)), (1, 1, 0), "everywhere")


@case("the configuration is read again")
def reloaded():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, config(section("sw1", mirror=True), section("sw2", mirror=True, zone=102)))
        hops = [nexthop(gateways(lab)["s1"], "web")]
        one, two = Switch(d, "sw1", nexthops=hops), Switch(d, "sw2", nexthops=hops)
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(10)])
        m.send("sw2", [m.record("12.12.13.1", 20000 + i) for i in range(10)])
        wait(lambda: (len(one.table), len(two.table)) == (10, 10), 5, "placed on both")
        d.reload(config(section("sw2", mirror=True, zone=102)))
        equal(len(two.errors), 0, "an unchanged section keeps its writer")
        wait(lambda: one.errors, 5, "the one that was removed is ended")
        equal([s["name"] for s in d.flowpin("switches")["switches"]], ["sw2"], "one switch is left")
        equal(len(one.table), 10, "and nothing was deleted in the other")
        wait(lambda: lab.conntrack("-L", "-w", "101").count("zone=101") == 0, 5, "its mirrored flows are gone")
        equal(len(d.flows("zone", "102")), 10, "those of the other stay")
        m.send("sw2", [m.record("12.12.14.1", 20000)])
        wait(lambda: len(two.table) == 11, 5, "and it goes on")
        d.reload(config())
        check(not os.path.exists(one.path), "without a switch there is no socket")
        equal(d.flowpin("switches")["switches"], [], "and no switch")
        d.reload(config(section("sw1")))
        pool = TcpPool(lab, 10)
        one.stop()
        one.table.clear()
        one.start()
        wait(lambda: len(one.table) == 10, 5, "a section that is added is taken up")
        check(pool.exchange().all_held, "nothing broke")


@case("limits of a mirror")
def limits():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, mirrored(limits="max-flows = 100  max-flows-per-source = 40"))
        Switch(d, "sw1", nexthops=[nexthop("172.31.0.9", "web")])
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(60)])
        m.send("sw1", [m.record(f"12.12.{20 + i}.1", 20000) for i in range(100)])
        m.send("sw1", [m.record("12.12.12.1", 20000, dst="8.8.8.8")])
        sw = lambda: d.flowpin("switches")["switches"][0]
        wait(lambda: sw()["mirror"]["records"] == 161, 5, "all came", sw)
        equal(sw()["mirror"]["flows"], 100, "no more than max-flows")
        equal({r["reason"]: r["count"] for r in sw()["mirror"]["dropped"]},
              {"max-flows": 40, "max-flows-per-source": 20, "service": 1}, "the others are counted by reason")
        equal(lab.conntrack("-L", "-w", "101").count("zone=101"), 100, "conntrack entries are bounded")


@case("life of flows in hardware")
def life():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, mirrored(more="    idle-timeout = 3s\n    expiry = flowpin\n", idle="3s"))
        sw = Switch(d, "sw1", nexthops=[nexthop(gateways(lab)["s1"], "web")])
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(20)])
        wait(lambda: len(sw.table) == 20, 5, "placed")
        keep = sorted(sw.table)[:10]
        end = time.monotonic() + 9
        while time.monotonic() < end:
            sw.traffic([k for k in keep if k in sw.table])
            sw.read()
            time.sleep(0.5)
        equal(sorted(sw.table), keep, "those whose counter moves stay, three idle timeouts long")
        equal({r for _, r in sw.gone}, {"ended"}, "the others ended")
        equal(lab.conntrack("-L", "-w", "101").count("zone=101"), 10, "conntrack says the same")
        equal(lab.pins(), 10, "and the pins")
        # Nobody can read the counters: that ends nothing.
        sw.reachable = False
        end = time.monotonic() + 7
        while time.monotonic() < end:
            sw.health()
            time.sleep(0.5)
        equal(sorted(sw.table), keep, "counters that cannot be read end nothing")


@case("adoption after flowpind was killed")
def adoption():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, mirrored())
        ways = gateways(lab)
        hops = [nexthop(ways["s1"], "web"), nexthop("172.31.0.9", "web")]
        sw = Switch(d, "sw1", nexthops=hops, answers=lambda k: hops[k[2] % 2]["address"])
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(100)])
        wait(lambda: len(sw.table) == 100, 5, "placed")
        sw.stop()
        d.kill()
        lab.conntrack("-F")
        before = {k: v[1] for k, v in sw.table.items()}
        for v in sw.table.values():
            v[0] = 0
        sw.table[("tcp", "12.12.12.1", 1, "1.1.1.1", 80)] = [0, "203.0.113.1", 0, 0]
        sw.table[("tcp", "12.12.12.1", 1, "9.9.9.9", 80)] = [0, ways["s1"], 0, 0]
        d.start()
        sw.start()
        sw.read()
        wait(lambda: sw.status()["programmed"] == 100, 5, "100 are taken up again", sw.status)
        check(sw.status()["adopted"] >= 50, "those without a pin are adopted", sw.status)
        equal(sw.gone, [], "nothing was deleted")
        equal(sw.status()["left_alone"], 2, "what belongs to no nexthop or service is left alone")
        equal({k: v[1] for k, v in sw.table.items() if k in before}, before, "where they were")
        equal({f["learned"] for f in d.flows("zone", "101")}, {"switch"}, "listed as found in the switch")


@case("mirrored flows after flowpind was killed, by their entries")
def entries():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, mirrored())
        hops = [nexthop(gateways(lab)["s1"], "web"), nexthop("172.31.0.9", "web")]
        sw = Switch(d, "sw1", nexthops=hops, answers=lambda k: hops[k[2] % 2]["address"])
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(40)])
        wait(lambda: len(sw.table) == 40, 5, "placed")
        before = {k: v[1] for k, v in sw.table.items()}
        sw.stop()
        d.restart(9)
        equal(len(d.flows("zone", "101")), 40, "all are known again")
        sw.gone, sw.table = [], {}
        sw.start()
        wait(lambda: {k: v[1] for k, v in sw.table.items()} == before, 5, "and wished for as before", lambda: len(sw.table))
        equal(sw.gone, [], "nothing was deleted")


@case("a server behind the switch dies, and its whole VLAN")
def deaths():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, mirrored())
        names = [f"172.31.0.{i}" for i in (1, 2, 3)]
        hops = lambda *dead: [nexthop(a, "web", alive=a not in dead, interface="Vlan10") for a in names]
        sw = Switch(d, "sw1", nexthops=hops(), answers=lambda k: names[k[2] % 3])
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(90)])
        wait(lambda: len(sw.table) == 90, 5, "placed", lambda: len(sw.table))
        for _ in range(4):
            sw.health(nexthops=hops(*names))
        equal(sw.gone, [], "the whole VLAN: nothing is deleted")
        sw.health()
        for _ in range(3):
            sw.health(nexthops=hops(names[0]))
        wait(lambda: len(sw.gone) == 30, 5, "one server: its flows are", lambda: len(sw.gone))
        equal({r for _, r in sw.gone}, {"dead"}, "with that reason")
        equal(len(sw.table), 60, "and no others")


@case("a full table, rejections and groups")
def groups():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, config(section("sw1", mirror=True, more="    group = pair\n"),
                               section("sw2", place="none", more="    group = pair\n"), section("sw3", more="    max-flows = 5\n")))
        a, b, c = Switch(d, "sw1", nexthops=[nexthop(gateways(lab)["s1"], "web")]), Switch(d, "sw2"), Switch(d, "sw3")
        m = Mirror(d)
        m.send("sw1", [m.record("12.12.12.1", 20000 + i) for i in range(10)])
        wait(lambda: len(a.table) == 10, 5, "placed where it was seen")
        equal((len(b.table), len(c.table)), (0, 0), "not where nothing is to be placed, and not outside the group")
        d.reload(config(section("sw1", mirror=True, more="    group = pair\n"),
                        section("sw2", more="    group = pair\n"), section("sw3", more="    max-flows = 5\n")))
        wait(lambda: len(b.errors) >= 1, 5, "a change of its section ends the attachment")
        b.stop()
        b.start()
        wait(lambda: set(b.table) == set(a.table), 5, "a group shares its flows", lambda: len(b.table))
        a.refuse = lambda k: "TCAM table is full"
        pool = TcpPool(lab, 20)
        wait(lambda: len(c.table) == 5, 5, "no more than max-flows")
        wait(lambda: a.status()["rejected"] > 0, 5, "a rejection is shown", a.status)
        check("full" in {r["reason"] for r in a.status()["rejections"]}, "with its class", a.status)
        check(pool.exchange().all_held, "software pins go on", pool.result)


@case("a drain waits for the hardware first")
def drain_first():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, config(section(place="draining")))
        sw = Switch(d, "sw1", program=False)
        pool = TcpPool(lab, 60)
        need(pool.result().all_held, "60 connections open", pool.result)
        on = [f for f in pool.flows if f.server == "s2"]
        equal(len(sw.table), 0, "nothing is placed before")
        waiting = d.popen_flowpin("drain", "--wait", "--deadline", "8s", lab.nexthop("s2"))
        wait(lambda: len(sw.table) == len(on), 5, "the drain places its flows", lambda: len(sw.table))
        equal(d.binding(lab.nexthop("s2"))["state"], "active", "and nothing is drained yet")
        sw.program = True
        sw.read()
        wait(lambda: d.binding(lab.nexthop("s2"))["state"] == "draining", 5, "drained once the switch holds them")
        check("s2" not in pool.probe(30), "new connections keep off")
        lab.forget_quickly(1)
        pool.end(on)
        equal(waiting.wait(30), 0, "the drain ends with its last flow")
        wait(lambda: not sw.table, 5, "and the switch is empty")


@case("heavy: the largest flows are placed")
def heavy():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_acct": 1})
        d = Daemon(lab, config(section(place="heavy", more="    max-flows = 5\n    heavy-interval = 1s\n")))
        sw = Switch(d, "sw1")
        pool = TcpPool(lab, 40)
        large = TcpPool(lab, 5)
        large.request_size = 60000
        end = time.monotonic() + 6
        while time.monotonic() < end and set(k[2] for k in sw.table) != {f.sport for f in large.flows}:
            large.exchange()
        equal({k[2] for k in sw.table}, {f.sport for f in large.flows}, "the five large ones of 45")
        gone = len(sw.gone)
        for _ in range(30):
            large.exchange()
            time.sleep(0.1)
        equal(len(sw.gone), gone, "and they stay there")
        check(pool.exchange().all_held, "the others are held by the gateway")


@case("established: placed when an answer was seen")
def established():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, config(section(place="established")))
        sw = Switch(d, "sw1")
        pool = TcpPool(lab, 30)
        wait(lambda: len(sw.table) == 30, 5, "those that were answered are placed", lambda: len(sw.table))
        check(d.status()["events"]["updates_wanted"], "by UPDATE events")
        check(pool.exchange().all_held, "and held")


main()
