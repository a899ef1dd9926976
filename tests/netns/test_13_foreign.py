#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 13: what flowpin leaves alone: the bits of packet and connection marks outside mark-mask, traffic outside the
services, and the gateway's own connections."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

PORT80 = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    protocol     = tcp
    port         = 80
    idle-timeout = 5m
}
"""
# mark-mask, and for each of the client's four addresses: bits outside of it that others set in the packet mark before
# us, and in the connection mark; then bits that they add to each after us.
HIGH = (0xFF000000, (0x00800001, 0x00FFFF00, 0x00000000, 0x00123456), (0x00010000, 0x00000000, 0x0000ABCD, 0x00700007),
        0x00000008, 0x00000020)
MIDDLE = (0x0000FF00, (0x80000001, 0xFFFF0000, 0x00000000, 0x12340056), (0x00010000, 0x00000000, 0xABCD0001, 0x70000007),
          0x00000008, 0x00000020)


def sources(lab, family):
    return lab.sources[family]


def entries(lab, family):
    """(source, destination, port, mark) of each conntrack entry."""
    pattern = r"src=(\S+) dst=(\S+) (?:sport=\d+ dport=(\d+)|type=\d+).* mark=(\d+)"
    lines = lab.conntrack("-L", "-f", f"ipv{family}", "-o", "extended", check=False).splitlines()
    return [(m[1], m[2], int(m[3] or 0), int(m[4])) for m in (re.search(pattern, line) for line in lines) if m]


class Others:
    """Two tables of somebody else: one sets marks before us and looks at them last of all, one sets them after us."""

    def __init__(self, lab, masks, family):
        self.lab, self.family = lab, family
        self.mask, self.packet, self.entry, self.packet_late, self.entry_late = masks
        self.free = 0xFFFFFFFF & ~self.mask
        self.src = "ip saddr" if family == 4 else "ip6 saddr"
        self.dst = "ip daddr 1.1.1.1" if family == 4 else "ip6 daddr 2001:db8::1"
        self.reply = "ip saddr 1.1.1.1" if family == 4 else "ip6 saddr 2001:db8::1"
        self.load()

    def load(self):
        # An ICMP error belongs to the entry of the flow that it is about, whoever sends it: those set no bits there.
        before = [f"{self.src} {a} {self.dst} meta mark set meta mark | {p:#x}\n"
                  f"add rule inet others before {self.src} {a} {self.dst} meta l4proto tcp ct mark set ct mark | {c:#x}"
                  for a, p, c in zip(sources(self.lab, self.family), self.packet, self.entry)]
        before.append(f"{self.reply} meta mark set 0x{self.packet_late:x}")
        after = [f"{self.dst} meta mark set meta mark | {self.packet_late:#x}",
                 f"{self.dst} ct mark set ct mark | {self.entry_late:#x}"]
        last = []
        for n, (a, p) in enumerate(zip(sources(self.lab, self.family), self.packet)):
            what = f"{self.src} {a} {self.dst} meta mark & {self.free:#x}"
            last += [f"{what} == {p | self.packet_late:#x} counter name right{n}",
                     f"{what} != {p | self.packet_late:#x} counter name wrong{n}"]
        last += [f"{self.dst} meta mark & {self.mask:#x} != 0 counter name steered",
                 f"{self.reply} meta mark == {self.packet_late:#x} counter name right_reply",
                 f"{self.reply} meta mark != {self.packet_late:#x} counter name wrong_reply"]
        text = "table inet others\ndelete table inet others\ntable inet later\ndelete table inet later\n"
        text += "add table inet others\nadd table inet later\n"
        for name in [f"{w}{n}" for n in range(4) for w in ("right", "wrong")] + ["steered", "right_reply", "wrong_reply"]:
            text += f"add counter inet others {name}\n"
        text += "add chain inet others before { type filter hook prerouting priority -160; }\n"
        text += "add chain inet later after { type filter hook forward priority 100; }\n"
        text += "add chain inet others last { type filter hook postrouting priority 200; }\n"
        text += "".join(f"add rule inet others before {r}\n" for r in before)
        text += "".join(f"add rule inet later after {r}\n" for r in after)
        text += "".join(f"add rule inet others last {r}\n" for r in last)
        self.lab.nft("gw", text)
        # The hooks are exchanged one after another: a late ACK may meet the last one without having met the first.
        self.lab.run("gw", "nft reset counters table inet others")

    def change(self, packet):
        """From now on other bits in the packet mark."""
        self.packet = packet
        self.load()

    def counters(self):
        text = self.lab.run("gw", "nft list counters table inet others")
        return {m[1]: int(m[2]) for m in re.finditer(r"counter (\w+) \{\s*packets (\d+)", text)}

    def sums(self):
        """Packets with the marks that others gave them, and without."""
        c = self.counters()
        return sum(c[f"right{n}"] for n in range(4)), sum(c[f"wrong{n}"] for n in range(4))

    def judge(self, what, answers):
        """answers: whether those pass the gateway."""
        c = self.counters()
        check(all(c[f"right{n}"] > 0 for n in range(4)) and c["steered"] > 0 and (c["right_reply"] > 0) == answers,
              f"{what}: packets of all four addresses passed, and were steered", c)
        equal([c[f"wrong{n}"] for n in range(4)], [0] * 4, f"{what}: in the packet mark, only bits of mark-mask changed")
        equal(c["wrong_reply"], 0, f"{what}: answers have the mark that others gave them")

    def judge_entries(self, d, n, what, extra=0, ours=True):
        wanted = {a: c | self.entry_late | extra for a, c in zip(sources(self.lab, self.family), self.entry)}
        found = [(src, mark) for src, _, _, mark in entries(self.lab, self.family)]
        wrong = [(a, hex(m)) for a, m in found if m & self.free != wanted[a]]
        check(len(found) >= n and not wrong, f"{what}: in {n} conntrack entries, only bits of mark-mask changed",
              lambda: f"{len(found)} entries, wrong: {wrong[:10]}")
        known = {int(b["mark"], 16) for b in d.nexthops()} if ours else set()
        if ours:
            check(all(m & self.mask in known for _, m in found), f"{what}: and those name a nexthop", lambda: found[:10])
        else:
            check(not any(m & self.mask for _, m in found), f"{what}: and those are none now", lambda: found[:10])


@case("bits of others, IPv4", standard, HIGH, 4)
@case("bits of others, IPv6", standard, HIGH, 6)
@case("bits of others, mask in the middle", standard, MIDDLE, 4)
@case("bits of others, one way, IPv4", direct_return, HIGH, 4)
@case("bits of others, one way, IPv6, mask in the middle", direct_return, MIDDLE, 6)
def bits(topology, masks, family):
    with topology(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        others = Others(lab, masks, family)
        d = Daemon(lab, PORT80 + f"numbers {{ mark-mask = {masks[0]:#x} }}\n")
        pool = TcpPool(lab, target=VIP4 if family == 4 else VIP6)
        need(pool.result().all_held, "200 connections open", pool.result)
        answers = topology is standard
        others.judge("first packets", answers)
        others.judge_entries(d, 200, "first packets")
        lab.route(["s1", "s3"], family)
        check(pool.exchange().all_held, "200 held through a withdrawal", pool.result)
        others.judge("later packets", answers)
        others.judge_entries(d, 200, "later packets")
        others.change(tuple(reversed(masks[1])))
        check(pool.exchange().all_held, "200 held when others set other bits", pool.result)
        others.judge("other bits, in the middle of a connection", answers)
        others.load()
        send_too_big(lab, "c", pool, pool.flows)
        wait_until(lambda: others.sums()[0] >= 200, 5, "200 ICMP errors passed")
        equal(others.sums()[1], 0, "ICMP errors: in the packet mark, only bits of mark-mask changed")
        others.load()
        again = pool.reopen(pool.flows[:40])
        check(pool.result(again).all_held, "40 connections begin anew from the ports of old ones", pool.result)
        others.judge("ports used again", answers)
        others.judge_entries(d, 200, "ports used again")
        # An entry that changes its state meanwhile refuses to be changed, and ends the command.
        wait_until(lambda: lab.conntrack("-U", "-f", f"ipv{family}", "-p", "tcp", "--mark", "0x40/0x40"), 5,
                   "others change connection marks")
        check(pool.exchange().all_held, "200 held then", pool.result)
        others.judge_entries(d, 200, "changed by others", 0x40)
        lab.conntrack("-F")
        others.load()
        check(pool.exchange().all_held, "200 held after conntrack -F", pool.result)
        others.judge("steered by the pin map", answers)
        others.judge_entries(d, 200, "made anew")
        d.flowpin("release", lab.nexthop("s2", family))
        pool.exchange()  # those of s2 meet another server now, which resets them
        others.judge("released", answers)
        others.judge_entries(d, 200, "released")
        d.try_flowpin("teardown", "--yes")
        d.expect_exit()
        others.judge_entries(d, 200, "after teardown", ours=False)


OWN, FOREIGN_BITS = 0xFF000000, 0x00C0FFEE
SAME_MARK = f"""table inet others {{
    counter ours {{ }}
    counter passed {{ }}
    chain before {{
        type filter hook prerouting priority -160
        tcp dport 8081 meta mark set {FOREIGN_BITS:#x}
        tcp dport 8081 ct mark set {FOREIGN_BITS:#x}
    }}
    chain last {{
        type filter hook postrouting priority 200
        counter name passed
        meta mark & {OWN:#x} != 0 counter name ours
    }}
}}
"""


def counted(lab, name):
    text = lab.run("gw", f"nft list counter inet others {name}")
    return int(re.search(r"packets (\d+)", text)[1])


def foreign_pools(lab):
    """Many kinds of traffic outside the service, as (what, pool of 200)."""
    yield "another port of the address", TcpPool(lab, port=8080)
    yield "another port, with marks of others", TcpPool(lab, port=8081)
    yield "another port, IPv6", TcpPool(lab, port=8080, target=VIP6)
    yield "another protocol", UdpPool(lab)
    yield "another protocol, IPv6", UdpPool(lab, target=VIP6)
    yield "an address of a server", TcpPool(lab, target="10.1.1.2", servers=["s1"])
    yield "from a server to the client", TcpPool(lab, target="10.9.0.2", client="s1", sources=["10.1.1.2"], servers=["c"])
    six = {"target": "fd00:9::2", "client": "s2", "sources": ["fd00:1:2::2"]}
    yield "from a server to the client, IPv6", TcpPool(lab, servers=["c"], **six)


@case("traffic outside the services")
def foreign():
    with standard(3) as lab:
        for v in (4, 6):
            lab.route(["s1", "s2", "s3"], v)
        lab.nft("gw", SAME_MARK)
        d = Daemon(lab, PORT80)
        before = d.status()["events"]["received"]
        for what, pool in foreign_pools(lab):
            # Its answers go their own way, if the route has several: that it is not pinned is the point.
            need(pool.result().all_held, f"200 connections: {what}", pool.result)
        for target in (VIP4, VIP6):
            lab.run("c", f"ping -c 3 -i 0.2 -W 1 {target}")
        entered = entries(lab, 4) + entries(lab, 6)
        check(len(entered) >= 1600, "conntrack has an entry for each", len(entered))
        equal([e for e in entered if e[3] & OWN], [], "no connection mark")
        equal({e[3] for e in entered if e[2] == 8081}, {FOREIGN_BITS}, "and those of others are whole")
        check(counted(lab, "passed") > 3200, "packets were looked at", lambda: counted(lab, "passed"))
        equal(counted(lab, "ours"), 0, "no packet mark")
        equal((lab.pins(4), lab.pins(6)), (0, 0), "no pin")
        lab.conntrack("-F")  # and their end is an event, too
        equal(len([e for e in entries(lab, 4) if e[3]]), 0, "all are gone")
        equal(d.flows(), [], "no flow")
        equal(d.status()["events"]["received"], before, "no event was delivered")
        own = TcpPool(lab, 20)
        need(own.result().all_held, "20 connections of the service", own.result)
        wait_until(lambda: d.status()["events"]["received"] >= before + 20, 5, "of which there are events")
        check(counted(lab, "ours") >= 20, "and packet marks", lambda: counted(lab, "ours"))
        equal(lab.pins(4), 20, "and pins")


@case("the gateway's own connections, IPv4", 4, "10.9.0.1")
@case("the gateway's own connections, IPv6", 6, "fd00:9::1")
def own_connections(family, source):
    target = VIP4 if family == 4 else VIP6
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        d = Daemon(lab)
        clients = TcpPool(lab, target=target)
        clients.start()
        own = TcpPool(lab, target=target, client="gw", sources=[source])
        need(own.result().all_held and set(own.by_server()) == {"s1", "s2", "s3"},
             "200 connections from the gateway to all three servers", lambda: f"{own.result()} {own.by_server()}")
        check(own.exchange().all_held, "they go on", own.result)
        udp = UdpPool(lab, target=target, client="gw", sources=[source])
        check(udp.exchange().all_held, "200 over UDP, too", udp.result)
        mine = [e for e in entries(lab, family) if e[0] == source and e[1] == target]
        check(len(mine) >= 400 and not any(e[3] for e in mine), "they have no mark", mine[:5])
        equal(lab.pins(family), 200, "and no pin: those are the clients'")
        d.flowpin("drain", lab.nexthop("s2", family))
        wait_until(lambda: "s2" not in own.probe(20), 5, "new ones follow a drain")
        fresh = own.open(200)
        check(own.result(fresh).all_held, "200 more work during the drain", lambda: own.result(fresh))
        d.kill()
        check(None not in own.probe(50), "and without flowpind")
        check(clients.exchange().all_held, "the clients' 200 are held", clients.result)


main()
