# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak's world: one client, a gateway and a simulated switch beside it, three servers that both reach, and connections of every
kind through them.

    c 12.12.12.1  by the gateway, answers too        c 12.12.12.3, .4  by the switch, which mirrors them; answers too
    c 12.12.12.2  by the gateway, answers by the switch (direct server return)
    c fd00:12::1  by the gateway, IPv6"""

import collections
import ctypes
import os
import re
import statistics
import subprocess
import sys
import threading
import time

import tap
from daemon import Daemon
from lab import VIP4, VIP6
from switchlab import CLIENT_PORT, Eapi, MirrorReceiver, SwitchLab, knows_routes, section, switch_of
from traffic import TcpPool, UdpPool

SERVERS = 3
VERIFY_S = 5  # what is promised; the record says how long it took
PATIENCE = 5  # a bound on waiting is a condition: so many times as long
LOG_WINDOW_S = 5  # no line more than once a second, on the average of so many
RSS_SLACK_KB, FD_SLACK = 8192, 3
MORE = 2  # so many times as many flows as ever are another beginning
KB_PER_FLOW = {"d": 0.13, "mirror": 0, "eapi": 10}  # flowpin-eapi reads the switch's whole table at once, as JSON

# Runs a program in a time namespace, in the same process: exec() enters the one made for children (Linux 6.3).
CLOCK = """import ctypes, os, sys
if ctypes.CDLL(None).unshare(0x80) == 0:
    with open("/proc/self/timens_offsets", "w") as f:
        f.write(f"monotonic {sys.argv[1]} 0\\nboottime {sys.argv[1]} 0\\n")
os.execv(sys.argv[2], sys.argv[2:])
"""


def own_mounts():
    """A mount namespace of our own, so that a file system of the test is nobody else's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x20000):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class SoakDaemon(Daemon):
    """flowpind whose state directory is a tiny file system, and whose clock may be another one."""

    def __init__(self, lab, config, **kwargs):
        self.clock_offset = 0
        self._lab = lab
        super().__init__(lab, config, start=False, **kwargs)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "flowpin-soak", self.state_dir], check=True)
        lab.closers.append(lambda: subprocess.run(["umount", "-l", self.state_dir], check=False))
        self.start()

    def program(self, name="flowpind"):  # pylint: disable=arguments-differ
        real = Daemon.program(name)
        if name != "flowpind" or not self.clock_offset:
            return real
        script = os.path.join(self._lab.tmp, "other-clock")
        with open(script, "w", encoding="ascii") as f:
            f.write(f"#!{sys.executable} -I\nimport sys\nsys.argv[1:1] = [{str(self.clock_offset)!r}, {real!r}]\n{CLOCK}")
        os.chmod(script, 0o755)
        return script


class LogWatch:
    """Follows the daemons' logs and finds a line that repeats more than once a second. Numbers that stand alone do not tell two
    lines apart; names and addresses do."""

    def __init__(self, daemons):
        self.at = {d.log_path: 0 for d in daemons}
        self.seen = collections.defaultdict(collections.deque)
        self.too_often = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.1):
            now = time.monotonic()
            for path in self.at:
                self._read(path, now)

    def _read(self, path, now):
        try:
            with open(path, "rb") as f:
                f.seek(self.at[path])
                data = f.read()
        except FileNotFoundError:
            return
        whole = data[:data.rfind(b"\n") + 1]
        self.at[path] += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if not line.startswith("---"):
                self._take(os.path.basename(path), re.sub(r"(?<![\w.:%])\d+(?![\w:%]|\.\d)", "N", line), now)

    def _take(self, path, text, now):
        times = self.seen[path, text]
        times.append(now)
        while times[0] < now - LOG_WINDOW_S:
            times.popleft()
        if len(times) > LOG_WINDOW_S:
            self.too_often[path, text] = max(len(times), self.too_often.get((path, text), 0))

    def stop(self):
        self._stop.set()
        self._thread.join()


class World:
    """World(flows, short): about so many connections. `said` is what an event adds to its line in the record."""

    def __init__(self, flows, short):
        self.short, self.said = short, ""
        self.room = 4 * flows + 500  # every connection fits into the switch, also those that ended within the last minutes
        self.victim, self.unpinned, self.before = None, [], {}
        self.samples, self.most = collections.defaultdict(list), collections.Counter()
        self.lab = SwitchLab(SERVERS, shared=True, knobs={"capacity": self.room, "counter-ms": self.scale(2000, 300)})
        try:
            self._network()
            self.d = SoakDaemon(self.lab, self.config("5m"))
            self.mirror, self.eapi = MirrorReceiver(self.d), Eapi(self.d)
            self.logs = LogWatch((self.d, self.mirror, self.eapi))
            tap.need(knows_routes(self.d, 30), "the switch is reached", self.eapi.log)
            self._traffic(flows)
        except BaseException:
            self.lab.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.logs.stop()
        self.lab.__exit__(*exc)

    def scale(self, long, short):
        return short if self.short else long

    def config(self, idle):
        buffer = "limits { receive-buffer = 65536 }\n"
        service = f"service web {{ prefix = {{{VIP4}/32, {VIP6}/128}} protocol = {{tcp, udp}} idle-timeout = {idle} }}\n"
        return service + buffer + section(self.lab, place="established", poll=self.scale("1s", "500ms"), idle="10m", more=f"max-flows = {self.room}  min-age = 0s")

    def _network(self):
        lab = self.lab
        for family in (4, 6):
            lab.resolve(family)
        lab.client_via("gw")
        lab.answers_via("gw")
        # A socket here has a new hash, and so another path, with each retransmission: while somebody has deleted rules of ours that
        # is where its packets would go. In a network the hash is that of the packet.
        lab.sysctl("c", **{"net.core.txrehash": 0})
        # So many connections end here that those which are only remembered would be most of them.
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_tcp_timeout_time_wait": 30})
        for n in (3, 4):
            lab.ip("c", f"rule add from 12.12.12.{n} lookup 100")
        lab.ip("c", "route add default via 12.12.12.254 table 100")
        for server in lab.servers:
            net = lab.address_of(server).rsplit(".", 1)[0]
            lab.ip(server, f"route add default via {net}.254 table 100")
            lab.ip(server, *[f"rule add to 12.12.12.{n} lookup 100" for n in (2, 3, 4)])
            lab.deaf(server, 9)
        lab.mirror()
        for family in (4, 6):
            lab.announce(lab.servers, family)
            lab.route(lab.servers, family)

    def _traffic(self, flows):
        part = max(flows // 10, 5)
        self.kinds = {
            "TCP": (TcpPool(self.lab, 4 * part, sources=["12.12.12.1"]), 0.5),
            "TCP, direct server return": (TcpPool(self.lab, 2 * part, sources=["12.12.12.2"]), 0.5),
            "TCP over IPv6": (TcpPool(self.lab, 2 * part, target=VIP6, sources=["fd00:12::1"]), 0.5),
            "UDP": (UdpPool(self.lab, part, sources=["12.12.12.1"]), 0.5),
            "TCP, mirrored by the switch": (TcpPool(self.lab, max(min(part, 100), 5), sources=["12.12.12.3", "12.12.12.4"]), 1),
        }
        self.sizes = {name: len(pool.flows) for name, (pool, _) in self.kinds.items()}
        self.mirrored = self.kinds["TCP, mirrored by the switch"][0]
        self.by_gateway = [pool for pool, _ in self.kinds.values() if pool is not self.mirrored]
        for name, (pool, interval) in self.kinds.items():
            tap.need(pool.result().all_held, f"{len(pool.flows)} connections open: {name}", pool.result)
            pool.start(interval)
        tap.need(tap.wait_until(self.mirrored_pinned, 150, poll=0.5), "the mirrored ones are in the switch",
                 lambda: self.d.flowpin("switches"))
        tap.need(tap.wait_until(self.d.verify_clean, 150, poll=0.5), "verify is clean", lambda: self.d.try_flowpin("verify"))

    # --- what events ask

    def mirrored_pinned(self):
        return self.lab.pinned(self.mirrored)

    def not_in_switch(self):
        have = self.lab.programmed()
        return [f for f in self.mirrored.flows if (6, f.src, f.sport) not in have]

    def elsewhere_by_ecmp(self):
        """Mirrored connections that the switch's ECMP sends to another server than they were on before the event."""
        flows = list(self.mirrored.flows)
        answers = self.lab.sim.operate([{"op": "path", "src": f.src, "dst": VIP4, "protocol": 6, "sport": f.sport, "dport": 80,
                                         "interface": CLIENT_PORT} for f in flows])
        return [f for f, a in zip(flows, answers) if self.lab.server_at(a["nexthop"]) != self.before.get(f, f.server)]

    def turn_over(self, rng):
        """Short connections: some end, as many begin."""
        for name, (pool, _) in self.kinds.items():
            pool.end(rng.sample(pool.flows, min(len(pool.flows), max(1, self.sizes[name] // 20))))
            pool.open(max(0, self.sizes[name] - len(pool.flows)), deadline=60)

    # --- the invariants

    def quiet(self):
        """As verify(), once the connections of the last turn-over are in the switch: how long that takes is not the next event's doing."""
        return self.verify(120, 1)

    def remember(self):
        self.unpinned = []
        self.before = {f: f.server for pool, _ in self.kinds.values() for f in pool.flows}

    def holds(self, allowed):
        """Every connection answers, but those that the event may break. They leave, and others take their place."""
        allowed, broken, may = set(allowed), [], 0
        for name, (pool, _) in self.kinds.items():
            pool.exchange(deadline=60)
            bad = [f for f in pool.flows if f.state == "broken" or f.moved]
            may += sum(f in allowed for f in bad)
            for f in [f for f in bad if f in allowed and f.reason.startswith("no answer")][:3]:
                tap.note(f"{name}: {f.src} {f.sport} was not even reset: {f.reason}")
            broken += [f"{name}: {f.src} {f.sport} on {f.server}: {f.reason}" for f in bad if f not in allowed]
            pool.end(bad, reset=True)
        return broken, may

    def verify(self, patience=PATIENCE * VERIFY_S, poll=0.3):
        """Whether verify is clean, how long that took, and, each with its time, what it said before and what was to be done."""
        said, began = [], time.monotonic()

        def clean():
            run = self.d.try_flowpin("verify")
            text = (run.out + run.err).splitlines() or [""]
            switch = switch_of(self.d)
            said.append(f"{time.monotonic() - began:.1f} s: {text[0]} ({len(text)} lines), {switch['desired']} flows for the switch, "
                        f"{switch['programmed']} programmed, {switch['pending']} pending, {switch['deleting']} to delete")
            return run.status == 0

        return tap.wait_until(clean, patience, poll=poll), time.monotonic() - began, said

    def sample(self):
        """Descriptors, and memory beyond what its flows need, of each daemon in the quiet after an event."""
        flows = {"d": self.d.status()["flows"]["count"], "mirror": 0, "eapi": switch_of(self.d)["programmed"]}
        for name, known in flows.items():
            daemon = getattr(self, name)
            if known > MORE * self.most[name, daemon.pid]:
                self.samples[name, daemon.pid].clear()  # what a flood takes at once, beside its flows, is not given back either
            with open(f"/proc/{daemon.pid}/status", encoding="ascii") as f:
                rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
            most = self.most[name, daemon.pid] = max(known, self.most[name, daemon.pid])  # what they needed is not given back
            self.samples[name, daemon.pid].append((len(os.listdir(f"/proc/{daemon.pid}/fd")), rss - KB_PER_FLOW[name] * most))

    def growth(self):
        """What grew: the last third of a daemon's life, since it had about as many flows as now, against the middle third. The first
        is warm-up."""
        for (name, pid), series in self.samples.items():
            third = len(series) // 3
            if third < 2:
                continue
            # The sanitizer keeps what is freed for a while.
            kinds = (("descriptors", FD_SLACK, 0), ("KiB", RSS_SLACK_KB, 1))[:1 if tap.SAN else 2]
            for what, slack, at in kinds:
                middle, last = (statistics.median(s[at] for s in part) for part in (series[third:2 * third], series[-third:]))
                if last > middle + slack:
                    yield f"{name} ({pid}): {middle} -> {last} {what} over {len(series)} events"
