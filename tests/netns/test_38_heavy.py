#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""place = heavy: of 10,000 flows the largest 1,000 are in hardware within two intervals, and nothing flaps."""

import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

FLOWS, LARGEST, INTERVAL, ROUND = 10000, 1000, 5, 2.0
FIRST_PORT = 20000


class Traffic:
    """UDP flows of constant rates: each round, each of them sends its packets. Ranks are spread over the source addresses; the
    largest come from two of their own, so that the client can route them another way."""

    def __init__(self, lab, sizes, every=ROUND):
        """sizes: {rank: (packets, payload)} a round of so many seconds."""
        self.every = every
        self.sent, self.stopped, self.slow = 0, threading.Event(), 0
        self.packets = []
        with lab.inside("c"):
            self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) for _ in lab.sources[4]]
        for s, address in zip(self.sockets, lab.sources[4]):
            s.bind((address, 0))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self.keys = {}
        for rank, (packets, size) in sizes.items():
            at, port = self.place(rank)
            data = struct.pack("!HHHH", port, 80, 8 + size, 0) + b"." * size
            self.keys[rank] = (17, lab.sources[4][at], port)
            self.packets.append((self.sockets[at], data, packets))
        self.thread = threading.Thread(target=self._run, daemon=True)
        lab.closers.append(self.stop)

    @staticmethod
    def place(rank):
        """The largest are half on the first address, half on the second; the rest on the others."""
        if rank < LARGEST:
            return rank % 2, FIRST_PORT + rank
        return 2 + rank % 2, FIRST_PORT + rank

    def start(self):
        self.thread.start()
        return self

    def _run(self):
        step = max(1, len(self.packets) // 40)
        while not self.stopped.is_set():
            begin = time.monotonic()
            for at in range(0, len(self.packets), step):
                for s, data, packets in self.packets[at:at + step]:
                    for _ in range(packets):
                        s.sendto(data, ("1.1.1.1", 0))
                        self.sent += 1
                self.stopped.wait(max(0, begin + self.every * (at + step) / len(self.packets) - time.monotonic()))
            self.slow = max(self.slow, time.monotonic() - begin)

    def stop(self):
        self.stopped.set()
        if self.thread.is_alive():
            self.thread.join()
        for s in self.sockets:
            s.close()


def sizes(flows, largest):
    """Zipf: rank r carries in proportion to 1 / (r + 10), with a step at the border, so that the largest are well defined."""
    result = {}
    for rank in range(flows):
        amount = 1300 * (largest + 10) / (rank + 10) * (1.0 if rank < largest else 0.6)
        packets = max(1, min(40, round(amount / 1300)))
        result[rank] = (packets, max(1, round(min(amount, packets * 1300) / packets)))
    return result


def lab_with(flows):
    lab = SwitchLab(2, shared=True, knobs={"counter-ms": "1000"})
    lab.resolve()
    lab.announce(["s1", "s2"])
    lab.client_via("gw")
    lab.route(["s1", "s2"])
    for server in lab.servers:
        lab.deaf(server)
    lab.sysctl("gw", **{"net.netfilter.nf_conntrack_acct": 1})
    return lab


def placed(lab):
    return set(lab.programmed())


@case("10,000 flows")
def heavy():
    with lab_with(FLOWS) as lab:
        beside = Beside(lab, place="heavy", more=f"max-flows = {LARGEST} heavy-interval = {INTERVAL}s batch-flows = 50", poll="1s")
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_acct": 1, "net.netfilter.nf_conntrack_udp_timeout": 120})
        table = sizes(FLOWS, LARGEST)
        total = sum(p * s for p, s in table.values())
        share = sum(p * s for r, (p, s) in table.items() if r < LARGEST) / total
        note(f"{sum(p for p, _ in table.values())} packets a round of {ROUND} s, the largest {LARGEST} have {share:.0%} of the bytes")
        traffic = Traffic(lab, table).start()
        wanted = {traffic.keys[r] for r in range(LARGEST)}
        began = time.monotonic()
        wait_until(lambda: beside.d.status()["flows"]["count"] >= FLOWS, 20, "10,000 flows are known", poll=0.2)
        known = time.monotonic()
        ok = wait_until(lambda: placed(lab) == wanted, 2 * INTERVAL * 5, poll=0.3)
        took = time.monotonic() - known
        check(ok, f"the largest 1,000 are in hardware, and no other ({took:.1f} s after all were known)",
              lambda: f"{len(placed(lab) & wanted)} of them, {len(placed(lab) - wanted)} others; {beside.switch()}")
        check(took < seconds(2 * INTERVAL + 5), f"within two intervals of {INTERVAL} s, and the time to write them", took)
        check(traffic.slow < 1.5 * ROUND, f"the traffic was what was meant (the slowest round took {traffic.slow:.1f} s, "
              f"{known - began:.1f} s until all flows were known)")
        before, request = placed(lab), lab.counters()["requests"]
        deletions = beside.switch()["removed"]
        polls = wait_intervals(lab, 4)
        check(polls, "four more intervals pass")
        equal(placed(lab), before, "each flow of constant rate is where it was")
        equal(beside.switch()["removed"], deletions, "none was taken out meanwhile")
        equal([j for j in lab.commands("^(no )?flow fp-") if j["request"] > request], [], "nor written anew")

        # The first half of the largest go over the switch from now on: conntrack counts them no more, the switch does.
        lab.ip("c", "rule add from 12.12.12.1 lookup 100", "route add default via 12.12.12.254 table 100")
        request = lab.counters()["requests"]
        wait_intervals(lab, 5)
        state = lab.sim.programmed()
        moved = [n for n, f in state.items() if f["src"] == "12.12.12.1" and f["packets"] == 0]
        equal(moved, [], "half of them really pass the switch now")
        equal(placed(lab), before, "and none flaps: each is where it was")
        equal([j for j in lab.commands("^(no )?flow fp-") if j["request"] > request], [], "nothing was written")


def wait_intervals(lab, n):
    """So many intervals of accounting pass."""
    end = time.monotonic() + n * INTERVAL
    return wait_until(lambda: time.monotonic() >= end, 2 * n * INTERVAL, poll=0.2)


@case("near the border")
def border():
    """Twice as many flows as there is room for, all of nearly the same rate (a tenth around it): whoever is in stays in."""
    n, room = 200, 100
    with lab_with(n) as lab:
        beside = Beside(lab, place="heavy", more=f"max-flows = {room} heavy-interval = 2s", poll="500ms")
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_acct": 1})
        traffic = Traffic(lab, {r: (1, 500 + r % 50) for r in range(n)}, 0.1).start()
        wait_until(lambda: len(placed(lab)) == room, 20, "100 of 200 flows are in hardware", poll=0.1)
        before, request = placed(lab), lab.counters()["requests"]
        end = time.monotonic() + 12
        wait_until(lambda: time.monotonic() >= end, 24, poll=0.2)
        equal(placed(lab), before, "after six intervals they are the same")
        equal([j for j in lab.commands("^(no )?flow fp-") if j["request"] > request], [], "and nothing was written")
        larger = [r for r in range(n) if traffic.keys[r] not in before][:10]
        other = Traffic(lab, {r: (4, 900) for r in larger}, 0.1).start()
        wait_until(lambda: {other.keys[r] for r in larger} <= placed(lab), 20, "ten that grow to several times that get in", poll=0.1)
        equal(len(placed(lab)), room, "in place of ten others")


main()
