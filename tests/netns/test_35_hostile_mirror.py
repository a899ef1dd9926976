#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""A hostile mirror: random GRE, floods from a source that is not configured, inner tuples outside the services. No crash, bounded
conntrack entries per switch and per source network, and everything counted."""

import collections
import os
import random
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap
from flowlab import *  # noqa
from mirror import Sender, frame, gre, ip_packet, syn, tcp, udp
from switchlab import AGENT, MIRROR_SOURCE, ZONE, Beside, SwitchLab

MAX, PER_SOURCE = 500, 100
LIMITS = f"max-flows = {MAX}  max-flows-per-source = {PER_SOURCE}"
RANDOM, RANDOM_S = 1000000, 40


def random_packets(seed):
    """Random bytes, and packets that begin well: one in two, so that every layer of the decoder is reached."""
    rng = random.Random(seed)
    noise = rng.randbytes(1 << 20)
    good = [syn(sport=20000), gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 17, udp(20000))), key=7, sequence=1),
            gre(ip_packet("2001:db8:c::1", "2001:db8::1", 6, tcp(20000)), protocol=0x86DD),
            gre(b"\x10\0\0\0\0\0\0\0" + frame(ip_packet("12.12.12.2", "1.1.1.1", 6, tcp(20001))), sequence=5),
            gre(b"\x20" + bytes(11) + frame(ip_packet("12.12.12.2", "1.1.1.1", 6, tcp(20002))), protocol=0x22EB, sequence=5),
            gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20003)), tags=b"\x88\xa8\0\x01\x81\0\0\x02"))]
    while True:
        at = rng.randrange(len(noise) - 200)
        yield noise[at:at + rng.randrange(200)]
        data = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data[:rng.randrange(len(data))] if rng.random() < 0.2 else data)


class Hose:
    """Sends ready-made payloads from a source, fast; the kernel fills in length and checksum."""

    def __init__(self, lab, source=MIRROR_SOURCE):
        self.head = ip_packet(source, AGENT, 47, b"")
        self.sender = Sender(lab, "sw", source, AGENT)
        self.sock = self.sender._sock  # pylint: disable=protected-access

    def send(self, payloads, most_s=60.0):
        """Returns how many went out."""
        end, head, to, n = time.monotonic() + most_s, self.head, (AGENT, 0), 0
        send = self.sock.sendto
        for p in payloads:
            try:
                send(head + p, to)
                n += 1
            except (OSError, socket.timeout):
                pass  # the kernel takes no such packet; it is not counted
            if n % 1024 == 0 and time.monotonic() > end:
                break
        return n


def begin(lab):
    lab.resolve()
    lab.announce(["s1", "s2"])
    return Beside(lab, mirror=LIMITS)


def usage(beside):
    found = {}
    for name, d in (("flowpind", beside.d), ("flowpin-mirror", beside.mirror), ("flowpin-eapi", beside.eapi)):
        with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        found[name] = (len(os.listdir(f"/proc/{d.pid}/fd")), rss)
    return found


def entries(lab):
    """Conntrack's entries in the switch's zone: how many, and the most in a source network."""
    nets = collections.Counter()
    for family in ("ipv4", "ipv6"):
        for line in lab.conntrack("-L", "-w", str(ZONE), "-f", family).splitlines():
            src = next((w[4:] for w in line.split() if w.startswith("src=")), None)
            if src:
                nets[src.rsplit(".", 1)[0] if "." in src else src.rsplit("::", 1)[0]] += 1
    return sum(nets.values()), max(nets.values(), default=0)


def bounded(lab, beside, text):
    total, most = entries(lab)
    check(total <= MAX and most <= PER_SOURCE, f"{text}: conntrack entries are bounded ({total}, {most} of one network)", (total, most))
    m = beside.switch()["mirror"]
    check(m["flows"] <= m["max_flows"] == MAX, "flows, too", m)


def dropped(beside):
    return collections.Counter({r["reason"]: r["count"] for r in beside.switch()["mirror"]["dropped"]})


def alive(lab, beside, before, sport):
    """The daemons are those that they were, and the next good packet is understood."""
    check(all(d.running() for d in (beside.d, beside.mirror, beside.eapi)), "no daemon crashed")
    after = usage(beside)
    note({"before": before, "after": after})
    for name, (fds, rss) in after.items():
        check(fds <= before[name][0] + 2, f"{name}: no more descriptors", (before[name], after[name]))
        check(tap.SAN or rss <= before[name][1] + 16384, f"{name}: memory is bounded", (before[name], after[name]))
    known = beside.switch()["mirror"]["records"]
    Hose(lab).send([syn(sport=sport)])
    wait_until(lambda: beside.switch()["mirror"]["records"] > known, 10, "the next good packet is understood")


def counted(beside, n, text):
    """Everything that was sent is in a counter: received, or lost in the socket (and said so)."""
    def total():
        m = beside.switch()["mirror"]
        return m["received"] + dropped(beside)["overrun"]
    wait_until(lambda: total() >= n, 15, text, poll=0.2)
    m, d = beside.switch()["mirror"], dropped(beside)
    note((m["received"], m["handed_on"], m["records"], m["learned"], dict(d)))
    return m, d


@case("random packets")
def noise():
    with SwitchLab(2) as lab:
        beside = begin(lab)
        before = usage(beside)
        hose, n, began = Hose(lab), 0, time.monotonic()
        packets = random_packets(35)
        while n < RANDOM and time.monotonic() < began + RANDOM_S:
            n += hose.send((next(packets) for _ in range(min(20000, RANDOM - n))), RANDOM_S - (time.monotonic() - began))
        note(f"{n} random GRE packets in {time.monotonic() - began:.1f} s")
        check(n >= 100000, "at least a hundred thousand")
        m, d = counted(beside, n, "each is counted")
        reasons = {k for k, v in d.items() if v}
        check(len(reasons & {"gre", "protocol", "erspan", "not-ip", "truncated", "malformed", "transport", "fragment"}) >= 6,
              "under many reasons", reasons)
        check(m["handed_on"] <= m["received"], "those that made no sense were not handed on", m)
        bounded(lab, beside, "after noise")
        alive(lab, beside, before, 20000)


@case("a flood from a source that is not configured")
def foreign():
    with SwitchLab(2) as lab:
        lab.address("sw", "lo", "5.5.5.6/32")
        beside = begin(lab)
        before = usage(beside)
        real = Hose(lab)
        n = Hose(lab, "5.5.5.6").send((syn(src=f"12.12.{i % 200}.7", sport=1024 + i // 200) for i in range(100000)), 10)
        note(f"{n} packets from elsewhere")
        real.send([syn(src="12.12.12.1", sport=p) for p in range(30000, 30050)])
        wait_until(lambda: beside.switch()["mirror"]["flows"] == 50, 10, "50 of the configured source are learned, and nothing of the others")
        equal((beside.switch()["mirror"]["learned"], beside.switch()["mirror"]["records"]), (50, 50), "no record was made of them")
        equal(entries(lab), (50, 50), "nor an entry of conntrack")
        # A raw socket that is full drops before its filter looks (raw_v4_input): what the 50 met of such moments is among them.
        wait_until(lambda: dropped(beside)["foreign"] >= n, 15, "each of theirs is counted as foreign", poll=0.2)
        check(dropped(beside)["foreign"] <= n + 50, "and nothing else is", lambda: dropped(beside))
        equal({k: v for k, v in dropped(beside).items() if v and k != "foreign"}, {}, "under no other reason")
        wait_until(lambda: len(lab.programmed()) == 50, 15, "the 50 are in the switch")
        alive(lab, beside, before, 31000)


@case("inner tuples outside the services")
def outside():
    with SwitchLab(2) as lab:
        beside = begin(lab)
        before = usage(beside)
        hose = Hose(lab)
        kinds = (lambda i: syn(dst="8.8.8.8", sport=1024 + i), lambda i: syn(dport=443, sport=1024 + i),
                 lambda i: gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 132, udp(1024 + i) + b"\0\0\0\0\1\0\0\x14"))),
                 lambda i: syn(dst="1.1.1.2", sport=1024 + i),
                 lambda i: gre(ip_packet("2001:db8:c::1", "2001:db8::2", 6, tcp(1024 + i)), protocol=0x86DD),
                 lambda i: syn(src="1.1.1.1", dst="12.12.12.1", sport=80, dport=1024 + i))
        n = hose.send((k(i) for i in range(5000) for k in kinds), 10)
        equal(n, 5000 * len(kinds), "30,000 packets")
        wait_until(lambda: dropped(beside)["service"] >= n, 15,
                   "each is counted as outside the services", poll=0.2)
        note(dict(dropped(beside)))
        m = beside.switch()["mirror"]
        equal((m["flows"], m["learned"], entries(lab)[0], len(lab.programmed())), (0, 0, 0, 0), "none became a flow, anywhere")
        alive(lab, beside, before, 31000)


@case("floods of tuples within the services")
def floods():
    with SwitchLab(2) as lab:
        beside = begin(lab)
        before = usage(beside)
        hose = Hose(lab)
        n = hose.send((syn(src="99.0.0.1", sport=1024 + i) for i in range(20000)), 10)
        wait_until(lambda: dropped(beside)["max-flows-per-source"] + dropped(beside)["overrun"] + dropped(beside)["repeated"] == n - PER_SOURCE, 15,
                   "one source: what is over the limit is counted by reason", poll=0.2)
        equal(entries(lab), (PER_SOURCE, PER_SOURCE), "one source network has its share, and no more")
        n = hose.send((syn(src=f"99.0.0.{1 + i % 254}", sport=1024 + i) for i in range(20000)), 10)
        counted(beside, 20000 + n, "its whole network: counted")
        equal(entries(lab), (PER_SOURCE, PER_SOURCE), "no more for that network")
        n = hose.send((gre(ip_packet(f"2001:db8:99::{i + 1:x}", "2001:db8::1", 6, tcp(2000)), protocol=0x86DD) for i in range(20000)), 10)
        counted(beside, 40000 + n, "an IPv6 network: counted")
        equal(entries(lab)[1], PER_SOURCE, "it has its share, and no more")
        hose.send([syn(src="12.12.12.1", sport=p) for p in range(30000, 30050)])
        wait_until(lambda: beside.switch()["mirror"]["flows"] == 2 * PER_SOURCE + 50, 10, "another network is learned as ever")
        hose.send((syn(src=f"98.{i // 250}.{i % 250}.1", sport=1024) for i in range(20000)), 10)
        wait_until(lambda: dropped(beside)["max-flows"] + dropped(beside)["overrun"] == 20000 - (MAX - 2 * PER_SOURCE - 50), 15,
                   "20,000 networks: what is over the switch's limit is counted by reason", poll=0.2)
        equal(beside.switch()["mirror"]["flows"], MAX, "the switch has its share, and no more")
        bounded(lab, beside, "after floods")
        wait_until(lambda: entries(lab)[0] == MAX, 5, "conntrack has those")
        alive(lab, beside, before, 30000)
        hose.send([syn(src="99.0.0.1", sport=1024 + i, flags=4) for i in range(PER_SOURCE)])
        wait_until(lambda: beside.switch()["mirror"]["flows"] == MAX, 1, "a blind RST ends none of them at once")


main()
