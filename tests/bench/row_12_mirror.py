#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 12: mirrored SYNs per second into conntrack."""

import contextlib
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa
from switchlab import MirrorReceiver

ROW = {"row": 12, "what": "mirrored SYNs per second into conntrack", "size": 50000,
       "against": "one recv, decode and request a packet; ctnetlink one request at a time", "bar": "at least 3 times the latter"}
ZONE, RUNS, SLOWER = 101, 5, 0.8
MOST = {"the most there is: requests in batches, no packet and no flow table, against one at a time": 5,
        "the same while somebody reads of new entries, as flowpind must": 6}
SWITCH = """switch s1 {
    eapi   = "https://192.0.2.1"
    mirror { source = 10.9.0.2  destination = 10.9.0.1  interface = c  zone = %d  max-flows = %d  max-flows-per-source = %d }
}
"""


class Receiving:
    """A gateway that gets GRE from c; entries that conntrack has."""

    def __init__(self, stack, name):
        self.gateway = stack.enter_context(Gateway(name, 2))
        self.lab = self.gateway.lab
        mac = self.lab.ip_json("gw", "link show dev c")[0]["address"]
        self.hose = Hose(self.lab, "c", tool("bench_stream"), "--dev", "gw", "--mac", mac, "--from", "10.99.0.0", "--to", VIP4,
                         "--cpu", SENDER, "--outer-from", "10.9.0.2", "--outer-to", "10.9.0.1")


class Ours(Receiving):
    """flowpin-mirror and flowpind."""

    def __init__(self, stack, flows):
        super().__init__(stack, "f")
        self.gateway.flowpind(flows, SWITCH % (ZONE, flows, flows))
        self.mirror = MirrorReceiver(self.gateway.daemon)
        self.rate, self.first, self.losses = 0, 0, 0

    def once(self, n):
        """SYNs a second until conntrack has the last; fewer next time when some were lost, and None."""
        before, began = self.gateway.entries(), time.monotonic()
        self.hose.burst("syn", n, n, self.rate, self.first)
        sent = time.monotonic() - began
        self.first += n
        tap.wait_until(lambda: self.gateway.entries() - before >= n, 3, poll=0.002)
        took = time.monotonic() - began
        if self.gateway.entries() - before >= n:
            return n / took
        self.losses += 1
        self.rate = int((self.rate or n / sent) * SLOWER)
        return None

    def cpu(self):
        return cpu_ns(self.gateway.daemon.pid) + cpu_ns(self.mirror.pid)


class OneByOne(Receiving):
    """A loop with one recv, one decode and one request a packet."""

    def once(self, n, first):
        with self.lab.inside("gw"):
            p = subprocess.Popen([tool("bench_ct"), "mirror", str(ZONE), str(n)], stdout=subprocess.PIPE, text=True)
        p.stdout.readline()
        self.hose.burst("syn", n, n, 0, first)
        done, ns, cpu = (int(w) for w in p.stdout.readline().split()[1:])
        p.wait()
        return done * 1e9 / ns, cpu / done


class Creating(Receiving):
    """ctnetlink, one request after another or in batches: no packet at all. heard: somebody else reads of new entries, so that the
    kernel must tell of each, as it must where flowpind learns of the gateway's own connections."""

    def __init__(self, stack, name, heard=False):
        super().__init__(stack, name)
        if heard:
            Listener(self.lab, cpu=READER)

    def once(self, n, zone, mode="create"):
        out = self.lab.run("gw", tool("bench_ct"), mode, zone, n, timeout=120)
        done, ns = (int(w) for w in re.match(r"created (\d+) (\d+)", out).groups())
        return done * 1e9 / ns


def run(size, result):
    with room_in_conntrack(40 * size), contextlib.ExitStack() as stack:
        ours, loop, create, heard = Ours(stack, size * 20), OneByOne(stack, "l"), Creating(stack, "k"), Creating(stack, "h", heard=True)
        found = {}
        for n in (size // 10, size):
            rates, tries = [], 0
            while len(rates) < RUNS and tries < 25:
                tries += 1
                cpu, rate = ours.cpu(), ours.once(n)
                if rate is None:
                    continue
                cpu = (ours.cpu() - cpu) / n
                single = loop.once(n, tries * n + (50 * size if n < size else 0))
                zone = 200 + tries + (50 if n == size else 0)
                rates.append((rate, single[0], create.once(n, zone), cpu, single[1], create.once(n, zone + 200, "batch"),
                              heard.once(n, zone, "batch")))
            need(len(rates) >= 3, "rounds without a loss")
            a, b, ratio, span = compare([r[3] for r in rates], [r[4] for r in rates])
            result.line(f"{n:,} SYNs a round, CPU of both daemons against that of the loop", a, b, "ns", ratio=ratio, spread=span)
            a, b, ratio, span = compare([r[0] for r in rates], [r[1] for r in rates])
            result.line(f"{n:,} SYNs a round, against one recv, decode and request a packet", a, b, "SYNs/s", ratio=ratio, spread=span)
            a, b, ratio, span = compare([r[0] for r in rates], [r[2] for r in rates])
            result.line(f"{n:,} SYNs a round, against ctnetlink one request at a time", a, b, "SYNs/s", bar=3 if n == size else None,
                        less=False, ratio=ratio, spread=span)
            found[n] = a
            for what, at in MOST.items():
                a, b, ratio, span = compare([r[at] for r in rates], [r[2] for r in rates])
                result.line(f"{n:,} entries, {what}", a, b, "entries/s", ratio=ratio, spread=span, beside=True)
        result.note(f"{ours.losses} rounds had a loss at full speed; the rate was lowered after each")
        result.grow("ns a SYN", size // 10, size, 1e9 / found[size // 10], 1e9 / found[size])


main(ROW, run)
