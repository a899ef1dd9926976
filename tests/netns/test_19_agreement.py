#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 19: for every conntrack entry of zone 0 with our bits, what `flowpin flows --json` says equals `conntrack -L`,
flow by flow, while 1,000 flows come and go; every other flow that it lists names its witness, the pin map, and is found
there."""

import collections
import ipaddress
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

SHORT = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    protocol     = {tcp, udp}
    idle-timeout = 8s
}
"""
MASK, SHIFT = 0xff000000, 24
PROTO = {"tcp": 6, "udp": 17}
WORD = re.compile(r"\b(src|dst|sport|dport|mark|zone)=(\S+)")
ROUNDS = 5
# flowpind is told of most changes; for the end of a pin it asks every half idle timeout, 4 s here. A difference that is there
# in every reading for so long counts.
PATIENCE = 6

Tuple = collections.namedtuple("Tuple", "protocol src sport dst dport")


def conntrack_entries(lab):
    """{tuple: mark} of zone 0 with our bits, both families."""
    found = {}
    for family in ("ipv4", "ipv6"):
        for line in lab.conntrack("-L", "-f", family).splitlines():
            words = {}
            for key, value in WORD.findall(line):
                words.setdefault(key, value)  # the first of each is of the original direction
            mark = int(words.get("mark", 0))
            if words.get("zone", "0") != "0" or not mark & MASK:
                continue
            found[Tuple(line.split()[0], str(ipaddress.ip_address(words["src"])), int(words["sport"]),
                        str(ipaddress.ip_address(words["dst"])), int(words["dport"]))] = mark
    return found


def listed(d):
    """{tuple: flow} of zone 0 as flowpin prints them; and how many of them came more than once."""
    flows = [f for f in d.flows() if f["zone"] == 0]
    return {Tuple(f["protocol"], f["src"], f["sport"], f["dst"], f["dport"]): f for f in flows}, flows


def pin_map(lab):
    """{tuple: id} of both pin maps."""
    found = {}
    for family in (4, 6):
        reply = json.loads(lab.run("gw", f"nft -j list map inet flowpin pin{family}"))
        for key, data in next(o["map"] for o in reply["nftables"] if "map" in o).get("elem", []):
            src, dst, proto, sport, dport = key["elem"]["val"]["concat"] if "elem" in key else key["concat"]
            number = data if isinstance(data, int) else int(str(data), 0)
            proto = proto if isinstance(proto, str) else {n: name for name, n in PROTO.items()}[proto]
            found[Tuple(proto, src, int(sport), dst, int(dport))] = (number & MASK) >> SHIFT
    return found


class Judge:
    """Compares one reading of all three with another."""

    def __init__(self, lab, d):
        self.lab, self.d = lab, d
        self.compared = self.witnessed = self.passing = 0

    def look(self):
        """[(tuple, what is wrong)]. conntrack is read before flowpin and after: what changed between is not judged now."""
        before, pins_before = conntrack_entries(self.lab), pin_map(self.lab)
        flows, everything = listed(self.d)
        after, pins_after = conntrack_entries(self.lab), pin_map(self.lab)
        names = {b["id"]: (b["nexthop"], b["service"], b["mark"]) for b in self.d.nexthops()}
        wrong = [("twice", "listed more than once")] if len(flows) != len(everything) else []
        for t, mark in before.items():
            if after.get(t) == mark:
                wrong += self._entry(t, mark, flows.get(t), names)
        for t, f in flows.items():
            if t in before or t in after:
                continue
            if f["witness"] != "pin":
                wrong.append((t, f"its witness is {f['witness']}, which does not have it"))
            elif t in pins_before or t in pins_after:
                wrong += self._pinned(t, f, {pins_before.get(t), pins_after.get(t)}, names)
            else:
                wrong.append((t, "its witness, the pin map, does not have it"))
        # A flow whose entry stands may name the pin as its witness too; it is there then.
        for t, f in flows.items():
            if f["witness"] == "pin" and t not in pins_before and t not in pins_after:
                wrong.append((t, "names the pin map, which does not have it"))
        return wrong

    def _entry(self, t, mark, f, names):
        self.compared += 1
        if not f:
            return [(t, f"conntrack has it with mark {mark:#x}, flowpin does not list it")]
        number = (mark & MASK) >> SHIFT
        said = (f["id"], int(f["mark"], 16), f["nexthop"], f["service"])
        nexthop, service, full = names.get(number, ("", "", "0"))
        wanted = (number, int(full, 16), nexthop, service)
        return [] if said == wanted else [(t, f"flowpin says {said}, conntrack means {wanted}")]

    def _pinned(self, t, f, numbers, names):
        self.witnessed += 1
        numbers.discard(None)
        wanted = [(n, *names.get(n, ("", "", ""))[:2]) for n in numbers]
        said = (f["id"], f["nexthop"], f["service"])
        return [] if said in wanted else [(t, f"flowpin says {said}, the pin map {wanted}")]

    def steady(self):
        """Differences that every reading has shown until PATIENCE was over."""
        end = time.monotonic() + seconds(PATIENCE)
        left = dict(self.look())
        self.passing += len(left)
        while left and time.monotonic() < end:
            time.sleep(0.3)
            found = dict(self.look())
            left = {t: why for t, why in found.items() if t in left}
        self.passing -= len(left)
        return left


class Churn:
    """TCP with answers both ways and without, and UDP, of both families: some end and as many begin, all the time."""

    def __init__(self, lab, target):
        self.turned = 0
        self.pools = [TcpPool(lab, 170, target=target), UdpPool(lab, 80, target=target)]
        for pool in self.pools:
            pool.start(0.5)

    def turn(self, share):
        for pool in self.pools:
            n = int(len(pool.flows) * share)
            pool.end(pool.flows[:n], reset=bool(n % 2))
            pool.open(n, wait=False)
            self.turned += n

    def count(self):
        return sum(len(p.flows) for p in self.pools)


def both_ways_and_one_way():
    """Servers s1 and s2 answer through the gateway, s3 and s4 past it."""
    lab = direct_return(4)
    for n in (1, 2):
        lab.ip(f"s{n}", "route del 10.9.0.0/24", "route del fd00:9::/64")
    return lab


def agree(judge, when):
    left = judge.steady()
    check(not left, f"{when}: flowpin, conntrack and the pin map agree",
          lambda: "\n".join(f"{t}: {why}" for t, why in list(left.items())[:20]) + f"\n{len(left)} in all")


def come_and_go(churns, n):
    need(wait_until(lambda: sum(c.turned for c in churns) >= n, 30), f"{n} flows have come and gone")


@case("1,000 flows come and go")
def agreement():
    with both_ways_and_one_way() as lab:
        for family in (4, 6):
            lab.route(["s1", "s2", "s3", "s4"], family)
        d = Daemon(lab, SHORT)
        lab.forget_quickly(3)  # so that one-way flows outlive their entries
        lab.sysctl("gw", **{f"net.netfilter.nf_conntrack_udp_timeout{s}": 3 for s in ("", "_stream")})
        churns = [Churn(lab, target) for target in (VIP4, VIP6) for _ in (0, 1)]
        pools = [p for c in churns for p in c.pools]
        need(all(p.result().all_held for p in pools), "1,000 flows open", lambda: [str(p.result()) for p in pools])
        equal(sum(c.count() for c in churns), 1000, "of both families, TCP and UDP, with and without answers")
        check({s for p in pools for s in p.by_server()} == {"s1", "s2", "s3", "s4"}, "on all four servers")
        judge = Judge(lab, d)
        stop = threading.Event()

        def stir():  # nobody else touches the pools until it has ended
            while not stop.wait(0.3):
                for c in churns:
                    c.turn(0.1)

        stirring = threading.Thread(target=stir)
        stirring.start()
        try:
            for n in range(ROUNDS):
                come_and_go(churns, (n + 1) * 1000 // ROUNDS)
                agree(judge, f"after {(n + 1) * 1000 // ROUNDS} have come and gone")
            lab.route(["s1", "s3"])
            agree(judge, "two nexthops withdrawn")
            lab.route(["s1", "s2", "s3", "s4"])
            agree(judge, "and back")
            lab.conntrack("-F")
            agree(judge, "after conntrack -F")
            come_and_go(churns, 2000)
            agree(judge, "after 2,000 have come and gone")
        finally:
            stop.set()
            stirring.join()
        for p in pools:
            check(p.exchange().all_held, "the churn pauses: the flows that are left are held", p.result)
        living = {Tuple(name, f.src, f.sport, p.target, 80) for c in churns
                  for name, p in zip(("tcp", "udp"), c.pools) for f in p.flows if f.state == "up"}
        equal(len(living), 1000, "1,000")
        # The last reading of conntrack has taken out what expired there; those that ended have no pin soon.
        wait_until(lambda: conntrack_entries(lab) is not None and set(listed(d)[0]) == living, 40,
                   "flowpin lists just these", poll=0.5)
        wrong = judge.look()
        equal(wrong, [], "and not one differs from conntrack or the pin map")
        check(judge.compared > 2000, "entries were compared flow by flow", judge.compared)
        check(judge.witnessed > 200, "so were flows that only the pin map knows", judge.witnessed)
        note(f"{judge.compared} comparisons with conntrack, {judge.witnessed} with the pin map, "
             f"{judge.passing} differences that passed")
        only_pins(lab, d, judge, {t for t in living if t.protocol == "tcp"})
        wait_until(d.verify_clean, 20, "flowpin verify finds no difference", poll=0.5)
        for p in pools:
            check(p.exchange().all_held, "and are held to the end", p.result)


def only_pins(lab, d, judge, tcp):
    """conntrack forgets all and takes up no TCP connection in its middle: only the pin map knows them. (Nor any UDP flow
    whose server spoke first after that: its entry has the sides swapped and is not ours.)"""
    lab.sysctl("gw", **{"net.netfilter.nf_conntrack_tcp_loose": 0})
    lab.conntrack("-F")
    wait_until(lambda: {t for t, f in listed(d)[0].items() if f["witness"] == "pin"} >= tcp, 20,
               f"all {len(tcp)} TCP connections are listed with the pin map as witness", poll=0.5)
    equal(judge.look(), [], "not one differs from it")
    absent = []
    for t in sorted(tcp)[::7]:
        key = " . ".join(str(x) for x in (t.src, t.dst, t.protocol, t.sport, t.dport))
        text = lab.run("gw", "nft", "get", "element", "inet", "flowpin", f"pin{6 if ':' in t.src else 4}", f"{{ {key} }}",
                       check=False)
        if f". {t.sport} ." not in text:
            absent.append((t, text))
    equal(absent, [], "nft get element finds each seventh of them")


main()
