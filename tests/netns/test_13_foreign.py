#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 13: what flowpin leaves alone: the bits of packet and connection marks outside mark-mask, traffic outside the
services, and the gateway's own connections."""

import os
import re
import socket
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
        before = [f"{self.src} {a} {self.dst} meta mark set meta mark | {p:#x}\n"
                  f"add rule inet others before {self.src} {a} {self.dst} ct mark set ct mark | {c:#x}"
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

    def change(self, packet):
        """From now on other bits in the packet mark."""
        self.packet = packet
        self.load()

    def counters(self):
        text = self.lab.run("gw", "nft list counters table inet others")
        return {m[1]: int(m[2]) for m in re.finditer(r"counter (\w+) \{\s*packets (\d+)", text)}

    def judge(self, what, answers):
        """answers: whether those pass the gateway."""
        c = self.counters()
        check(all(c[f"right{n}"] > 0 for n in range(4)) and c["steered"] > 0 and (c["right_reply"] > 0) == answers,
              f"{what}: packets of all four addresses passed, and were steered", c)
        equal([c[f"wrong{n}"] for n in range(4)], [0] * 4, f"{what}: in the packet mark, only bits of mark-mask changed")
        equal(c["wrong_reply"], 0, f"{what}: answers have the mark that others gave them")

    def judge_entries(self, d, n, what, extra=0):
        wanted = {a: c | self.entry_late | extra for a, c in zip(sources(self.lab, self.family), self.entry)}
        found = [(src, mark) for src, _, _, mark in entries(self.lab, self.family)]
        wrong = [(a, hex(m)) for a, m in found if m & self.free != wanted[a]]
        check(len(found) >= n and not wrong, f"{what}: in {n} conntrack entries, only bits of mark-mask changed",
              lambda: f"{len(found)} entries, wrong: {wrong[:10]}")
        known = {int(b["mark"], 16) for b in d.nexthops()}
        check(all(m & self.mask in known for _, m in found), f"{what}: and those name a nexthop", lambda: found[:10])


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
        # An entry that changes its state meanwhile refuses to be changed, and ends the command.
        wait_until(lambda: lab.conntrack("-U", "-f", f"ipv{family}", "-p", "tcp", "--mark", "0x40/0x40"), 5,
                   "others change connection marks")
        check(pool.exchange().all_held, "200 held then", pool.result)
        others.judge_entries(d, 200, "changed by others", 0x40)
        release(lab, d, pool, others, family)
        lab.conntrack("-F")
        others.load()
        check(pool.exchange().all_held, "200 held after conntrack -F", pool.result)
        others.judge("steered by the pin map", answers)
        others.judge_entries(d, 200, "made anew")


def release(lab, d, pool, others, family):
    """Flows that get another nexthop get another mark of ours, and keep what is not ours."""
    moving = pool.on("s2")
    pool.end(moving)
    lab.route(["s1", "s2", "s3"], family)
    wait_until(lambda: d.binding(lab.nexthop("s2", family))["state"] == "active", 5, "s2 is back")
    pool.open(len(moving))
    wait_until(lambda: d.verify_clean(), 5, "all is known")
    # Every connection is silent, the servers too: nobody resets what is released.
    for server in lab.servers:
        lab.nft(server, "add table inet quiet\nadd chain inet quiet out { type filter hook output priority 0; }\n"
                        "add rule inet quiet out tcp flags & rst == rst drop\n")
    lab.route(["s1", "s3"], family)


main()
