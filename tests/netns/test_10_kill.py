#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 10: kill -9 of flowpind. Flows hold and new ones are pinned while it is dead. After the restart
the nexthops have the same ids, no rule was touched, and `flowpin verify` finds no difference."""

import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from notify import Changes

FAMILIES = (4, 6)
VIP = {4: VIP4, 6: VIP6}
ALL = ["s1", "s2", "s3"]
TAKEN = ["new table", "generation"]  # flowpind becomes the table's owner again


def routing(lab):
    """All rules and routes of the gateway."""
    return [line for family in FAMILIES for what in ("rule", "route show table all")
            for line in lab.run("gw", f"ip -oneline -{family} {what}").splitlines()]


def table(lab):
    """(lines of the table with handles but without counts and its owner, which ends with flowpind;
    {handle of a counter's rule: packets})"""
    text = lab.run("gw", "nft -a -t list table inet flowpin")
    counts = {int(m[2]): int(m[1]) for m in re.finditer(r"counter packets (\d+) bytes \d+ # handle (\d+)", text)}
    text = re.sub(r"packets \d+ bytes \d+", "packets N bytes N", text)
    return re.sub(r" progname \w+|^\tflags( owner)?\s*$", "", text, flags=re.MULTILINE).splitlines(), counts


def elements(lab):
    """The elements of the maps that only flowpind writes."""
    return "".join(lab.run("gw", f"nft -a list map inet flowpin {name}")
                   for name in ("marks", "fresh", "nexthop4_web", "nexthop6_web", "service4", "service6"))


def ids(d):
    return {(b["service"], b["nexthop"]): b["id"] for b in d.nexthops()}


def compare(lines, before):
    return "\n".join([f"- {line}" for line in before if line not in lines] +
                     [f"+ {line}" for line in lines if line not in before])


class _Pools:
    """200 TCP connections and 60 UDP flows in each family, talking all the time."""

    def __init__(self, lab):
        self.lab = lab
        self.tcp = {f: TcpPool(lab, target=VIP[f]) for f in FAMILIES}
        self.udp = {f: UdpPool(lab, 60, target=VIP[f]) for f in FAMILIES}
        need(all(p.result().all_held and set(p.by_server()) == set(ALL) for p in self.all()),
             "520 connections open on three servers", lambda: [p.by_server() for p in self.all()])
        for p in self.all():
            p.start()

    def all(self):
        return [*self.tcp.values(), *self.udp.values()]

    def count(self):
        return sum(len(p.flows) for p in self.all())

    def held(self, what):
        results = [p.exchange() for p in self.all()]
        check(all(r.all_held for r in results), f"{what}: {self.count()} flows held", lambda: [str(r) for r in results])

    def more(self, n, what, servers):
        fresh = [f for p in self.all() for f in p.open(n)]
        where = {f.server for f in fresh}
        check(where == set(servers), f"{what}: {len(fresh)} new flows on {'+'.join(sorted(servers))}", where)
        return fresh

    def route(self, *servers):
        for family in FAMILIES:
            self.lab.route(list(servers), family)


@case("and started again")
@case("with a nexthop drained", True)
@case("direct server return", False, direct_return)
def killed(drained=False, topology=standard):
    with topology(3) as lab:
        for family in FAMILIES:
            lab.route(ALL, family)
        d = Daemon(lab)
        pools = _Pools(lab)
        usable = ALL
        if drained:
            usable = ["s1", "s3"]
            for family in FAMILIES:
                d.flowpin("drain", lab.nexthop("s2", family))
        wait_until(lambda: all(b["health"] == "alive" for b in d.nexthops()), 10, "all nexthops are seen alive")
        known, lines, maps, rules = ids(d), table(lab)[0], elements(lab), routing(lab)
        equal(d.kill(), -9, "flowpind is killed by SIGKILL")
        pools.held("flowpind dead")
        fresh = pools.more(25, "flowpind dead", usable)
        for servers in (["s1", "s3"], ["s3"], ["s2", "s1"], ALL):
            pools.route(*servers)
            pools.held(f"flowpind dead, the route on {'+'.join(servers)}, new flows included")
        pins = sum(lab.pins(f) for f in FAMILIES)
        equal(pins, pools.count(), "each has a pin, those that began while flowpind was dead too")
        now, counts = table(lab)
        equal(compare(now, lines), "", "the table stands as it did")
        equal(compare(routing(lab), rules), "", "so do rules and routes")
        told = Changes(lab, "nft"), Changes(lab, "routing")
        d.start()
        restarted(lab, d, known, (lines, maps, rules, counts), told)
        wait_until(lambda: len(d.flows()) == pools.count(), 20, f"flowpin shows {pools.count()} flows", poll=0.2)
        shown = {(f["protocol"], f["src"], f["sport"], lab.server_of(f["nexthop"])) for f in d.flows()}
        wrong = [f for f in fresh if ("tcp" if f.sock.type == socket.SOCK_STREAM else "udp", f.src, f.sport, f.server) not in shown]
        check(not wrong, f"the {len(fresh)} that began while it was dead with their server", wrong[:5])
        for servers in (["s1", "s3"], ["s2"], ALL):
            pools.route(*servers)
            pools.held(f"restarted, the route on {'+'.join(servers)}")
        equal(ids(d), known, "the ids are the same through all of it")


def restarted(lab, d, known, before, told):
    """Nothing was written when flowpind came back."""
    lines, maps, rules, counts = before
    equal(ids(d), known, "the nexthops have the same ids after the restart")
    status = d.status()
    equal((status["kernel"]["ruleset_changes"], status["kernel"]["policy_changes"]), (0, 0), "flowpin tells of no change")
    equal((status["repairs"]["ruleset"], status["repairs"]["policy"]), (0, 0), "nor of a repair")
    wait_until(d.verify_clean, 10, "flowpin verify finds no difference", poll=0.3)
    nft, routes = (t.take() for t in told)
    equal([n for n in nft if n not in TAKEN], [], "nor does the kernel, but for the owner of the table")
    equal(routes, [], "nor of rules or routes")
    now, later = table(lab)
    equal(compare(now, lines), "", "the table's objects and handles are the same")
    equal(compare(elements(lab).splitlines(), maps.splitlines()), "", "so are the elements of its maps")
    equal(compare(routing(lab), rules), "", "so are rules and routes")
    check(counts and all(later[h] >= n for h, n in counts.items()), "no counter began anew", (counts, later))


@case("the route changed while it was dead")
def changed_meanwhile():
    """A server was withdrawn and one that flowpind has never seen came: only what is new is written."""
    with standard(4) as lab:
        for family in FAMILIES:
            lab.route(ALL, family)
        d = Daemon(lab)
        pools = _Pools(lab)
        known = ids(d)
        handles = set(table(lab)[1])
        d.kill()
        pools.route("s1", "s3", "s4")
        fresh = pools.more(40, "flowpind dead", ["s1", "s3", "s4"])
        pools.held("flowpind dead")
        d.start()
        now = ids(d)
        equal({k: now[k] for k in known}, known, "the nexthops have the same ids after the restart")
        equal(sorted(set(now) - set(known)), sorted(("web", lab.nexthop("s4", f)) for f in FAMILIES),
              "the new ones have others")
        equal(len(set(now.values())), 8, "which nobody had")
        check(handles <= set(table(lab)[1]), "no chain of the known ones was written anew")
        equal({d.binding(lab.nexthop("s2", f))["state"] for f in FAMILIES}, {"draining"}, "the withdrawn ones are draining")
        pools.held("restarted")
        pools.route("s2")
        pools.held("restarted, the route on s2: those that began on s4 while flowpind was dead are pinned by their "
                   "next packet")
        check(any(f.server == "s4" for f in fresh), "there are such")
        wait_until(d.verify_clean, 10, "flowpin verify finds no difference", poll=0.3)


@case("killed again and again")
def again_and_again():
    """At twelve moments of its start and after it."""
    with standard(3) as lab:
        for family in FAMILIES:
            lab.route(ALL, family)
        d = Daemon(lab)
        pools = _Pools(lab)
        known, lines, maps, rules = ids(d), table(lab)[0], elements(lab), routing(lab)
        told = Changes(lab, "nft"), Changes(lab, "routing")
        for i in range(12):
            d.kill()
            d.start(wait=False)
            time.sleep(i * 0.006)  # no wait for anything: the moments differ
        d.kill()
        d.start()
        restarted(lab, d, known, (lines, maps, rules, table(lab)[1]), told)
        pools.held("through all of it")
        pools.route("s1")
        pools.held("with the route on s1")


def kill_meanwhile(d, numbers):
    """SIGTERM, and then these signals again and again until it has ended. Its exit status."""
    process = d.process
    d.process = None  # its end is judged here
    process.send_signal(signal.SIGTERM)
    end = time.monotonic() + seconds(20)
    while process.poll() is None and time.monotonic() < end:
        for number in numbers:
            process.send_signal(number)
    if process.poll() is None:
        process.kill()
    return process.wait()


@case("signals while it ends")
def signals():
    """A second SIGTERM, or whatever systemctl and people send to what is ending already, does not end it in the middle."""
    with standard(3) as lab:
        for server in lab.servers:
            lab.deaf(server, 9)
        lab.route(ALL)
        d = Daemon(lab)
        flood(lab, 20000, port=9)
        wait_until(lambda: d.status()["flows"]["count"] == 20000, 30, "20,000 flows known", poll=0.2)
        ends = []
        for numbers in ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGHUP,), (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)) * 3:
            ends.append(kill_meanwhile(d, numbers))
            check(not os.path.exists(d.socket), f"after {'+'.join(n.name for n in numbers)} its socket is gone")
            d.start()
        equal(ends, [0] * len(ends), "each time its exit status is 0")
        pool = TcpPool(lab, 20)
        check(pool.exchange().all_held, "and the last one works", pool.result)


main()
