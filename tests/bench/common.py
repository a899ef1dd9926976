# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rows of `make bench` have in common: the result of a row, medians and growth, gateways to measure, and what
processes cost. A row is a file row_NN_name.py that ends in `main(ROW, run)`; run(size, result) measures."""

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "netns", "lib"))
# pylint: disable=wrong-import-position
import tap
from daemon import BUILD, Daemon
from kernel import Conntrack, Routes, Transactions
from lab import VIP4, Lab

CPUS = sorted(os.sched_getaffinity(0))
SENDER, READER = CPUS[0], CPUS[-1]
ROUNDS = int(os.environ.get("ROUNDS") or 0)
LOOSE = "the same with rp_filter=2 on both, as systemd sets it"
MAX, BUCKETS = "nf_conntrack_max", "nf_conntrack_buckets"
CONFIG = """service web {
    prefix       = 1.1.1.1/32
    protocol     = {tcp, udp}
    idle-timeout = 1h
}
limits { max-flows = %d max-pins = %d }
"""


class NotMeasured(Exception):
    """This row cannot be measured here; why."""


# --- results

class Result:
    """lines: what was compared; growth: how the cost goes with the size; series: points to plot."""

    def __init__(self, row, size, path=None):
        self.row, self.size, self.path = row, size, path
        self.began, self.why = time.monotonic(), "it did not end"
        self.lines, self.growth, self.notes = [], [], []
        self.series = {}

    def write(self):
        """Into the JSON file, after each figure: what a row found until its time was over is not lost."""
        if not self.path:
            return
        with open(self.path, "w", encoding="utf-8") as f:
            json.dump(dict(self.row, size=self.size, lines=self.lines, growth=self.growth, notes=self.notes, series=self.series,
                           why=self.why, seconds=round(time.monotonic() - self.began, 1)), f, indent=1)

    def line(self, what, ours, against, unit, bar=None, less=True, spread=None, ratio=None, beside=False):
        """One comparison. bar: the ratio ours/against that is allowed at most (less=False: wanted at least). beside: not judged, but
        whoever reads the bar should know it: what nobody can do better than, say."""
        ratio = ratio if ratio is not None else ours / against if against else None
        holds = None if bar is None or ratio is None else ratio <= bar if less else ratio >= bar
        self.lines.append({"what": what, "ours": ours, "against": against, "unit": unit, "ratio": ratio,
                           "bar": None if bar is None else f"{'<=' if less else '>='} {bar:g}", "holds": holds, "spread": spread,
                           "beside": beside})
        say(f"    {what}: {show(ours)} against {show(against)} {unit}" + (f", ratio {ratio:.3f}" if ratio is not None else "")
            + (f" ({spread[0]:.3f} to {spread[1]:.3f})" if spread else "")
            + (f", bar {self.lines[-1]['bar']}: {'holds' if holds else 'does not hold'}" if holds is not None else ""))
        self.write()

    def judge(self, what, ours, unit, bar, holds):
        """A figure that is judged by itself."""
        self.lines.append({"what": what, "ours": ours, "against": None, "unit": unit, "ratio": None, "bar": bar, "holds": holds,
                           "spread": None})
        say(f"    {what}: {show(ours)} {unit}, bar {bar}: {'holds' if holds else 'does not hold'}")

    def grow(self, what, small, large, at_small, at_large):
        """A cost at a tenth of the size (or another smaller one) and at the full size."""
        factor = at_large / at_small if at_small else None
        self.growth.append({"what": what, "sizes": [small, large], "costs": [at_small, at_large], "factor": factor})
        say(f"    growth, {what}: {show(at_small)} at {small:,}, {show(at_large)} at {large:,}"
            + (f": {factor:.2f} times" if factor else ""))

    def point(self, curve, x, y):
        self.series.setdefault(curve, []).append([x, y])

    def note(self, text):
        self.notes.append(text)
        say(f"    {text}")


def show(value):
    if value is None:
        return "-"
    if isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def say(text=""):
    print(text, flush=True)


def spread(ratios):
    """The middle 80 of 100."""
    ratios = sorted(ratios)
    return [ratios[len(ratios) // 10], ratios[len(ratios) - 1 - len(ratios) // 10]]


def compare(ours, against, base=None):
    """(median of ours, of against, ratio, spread): lists measured in turn. base: what both contain, taken off."""
    base = base or [0] * len(ours)
    ratios = [(a - z) / (b - z) for a, b, z in zip(ours, against, base) if b > z]
    a, b, z = (statistics.median(v) for v in (ours, against, base))
    return a - z, b - z, statistics.median(ratios), spread(ratios)


def in_turn(hoses, slices, burst):
    """{name: what a packet cost in each of so many short bursts}. burst(hose, n) sends the nth through a hose."""
    times = {name: [] for name in hoses}
    for n in range(ROUNDS or slices):
        for name, hose in hoses.items():
            times[name].append(burst(hose, n)[0])
    return times


# --- processes

def cpu_ns(pid):
    """CPU time of a process and all its threads."""
    return int(time.clock_gettime_ns((~pid << 3) | 2))


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def slab_bytes():
    """What the kernel's object caches hold, in use."""
    total = 0
    with open("/proc/slabinfo", encoding="ascii") as f:
        for line in f.readlines()[2:]:
            words = line.split()
            total += int(words[1]) * int(words[3])
    return total


def settled_slab():
    """The same once the kernel rests: what was measured before is freed in the background, namespaces with a million entries."""
    before, now = None, slab_bytes()
    for _ in range(200):
        if before is not None and abs(now - before) < 1 << 19:
            return now
        time.sleep(0.5)
        before, now = now, slab_bytes()
    raise NotMeasured("the kernel's caches do not come to rest")


def tool(name):
    path = os.path.join(BUILD, "tests", "bench", name)
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path} is not built: run make benches")
    return path


class Tool:
    """A process of ours in a namespace that answers lines with lines."""

    def __init__(self, lab, ns, *command):
        with lab.inside(ns):
            self.process = subprocess.Popen([str(w) for w in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        lab.closers.append(self.end)

    @property
    def pid(self):
        return self.process.pid

    def read(self, word):
        """The numbers behind the word that the next line begins with."""
        line = self.process.stdout.readline().split()
        if not line or line[0] != word:
            raise RuntimeError(f"{self.process.args[0]}: {' '.join(line) or 'it ended'}")
        return [int(w) for w in line[1:]]

    def ask(self, line, word):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read(word)

    def end(self):
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        self.process.kill()
        self.process.wait()


class Listener(Tool):
    """The reader that discards NEW and DESTROY events."""

    def __init__(self, lab, ns="gw", cpu=None):
        super().__init__(lab, ns, tool("bench_ct"), "listen", *([cpu] if cpu is not None else []))
        self.read("ready")

    def seen(self):
        """(events, overruns) so far."""
        self.process.send_signal(signal.SIGUSR1)
        return self.read("seen")


# --- conntrack of the whole machine

@contextlib.contextmanager
def room_in_conntrack(entries):
    """Room, and buckets, for so many entries in all namespaces together; put back at the end."""
    before = {}
    paths = {name: f"/proc/sys/net/netfilter/{name}" for name in (MAX, BUCKETS)}
    wanted = {MAX: entries * 5 // 4, BUCKETS: entries}
    try:
        for name, path in paths.items():
            with open(path, encoding="ascii") as f:
                now = int(f.read())
            if now < wanted[name]:
                before[name] = now
                with open(path, "w", encoding="ascii") as f:
                    f.write(str(wanted[name]))
        yield
    finally:
        for name, value in before.items():
            with contextlib.suppress(OSError), open(paths[name], "w", encoding="ascii") as f:
                f.write(str(value))


# --- gateways

TRACKED = """add table inet tracked
add chain inet tracked forward { type filter hook forward priority 0; }
add rule inet tracked forward ct state invalid counter
"""
END = """add table netdev end
add chain netdev end arriving { type filter hook ingress device gw priority 0; }
add rule netdev end arriving ip %s 1.0.0.0/8 drop
"""
SINK = """add table netdev sink
add chain netdev sink arriving { type filter hook ingress device c priority 0; }
add rule netdev sink arriving ip daddr 1.0.0.0/8 drop
"""
OUTSIDE = "1.2.3.4"


class Asker:
    """A control client without a process to start. flowpind ends a connection that is silent for a minute."""

    IDLE = 30

    def __init__(self, path):
        self.path, self.sock, self.used = path, None, 0

    def _connect(self):
        if self.sock and time.monotonic() - self.used > self.IDLE:
            self.sock.close()
            self.sock = None
        if not self.sock:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(self.path)
        self.used = time.monotonic()

    def call(self, method, **parameters):
        self._connect()
        self.sock.sendall(json.dumps({"method": f"io.flowpin.{method}", "parameters": parameters}).encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            data += self.sock.recv(1 << 16)
        answer = json.loads(data[:-1])
        if "error" in answer:
            raise NotMeasured(f"{method}: {answer}")
        return answer["parameters"]


class Gateway:
    """c - gw - s: as many nexthops behind one interface as wanted, all of them addresses of s, which throws away what arrives, as
    c does with what comes back. What goes to OUTSIDE is forwarded too, by an ordinary route.

    track: conntrack, as with any stateful firewall. A Gateway is a context."""

    def __init__(self, name, nexthops=3, track=True, first=1):
        self.lab = Lab(name)
        self.daemon = self.routes = self.index = None
        self.nexthops = nexthops
        try:
            self._build(track, first)
        except BaseException:
            self.lab.close()
            raise

    def _build(self, track, first):
        lab = self.lab
        lab.ns("gw", forward=True)
        lab.ns("c")
        lab.ns("s")
        lab.servers = ["s"]
        lab.link("c", "gw", a_addrs=["10.9.0.2/24"], b_addrs=["10.9.0.1/24"])
        hops = [self.address(n) for n in range(first, first + self.nexthops)]
        lab.link("gw", "s", a_addrs=["10.1.0.1/22"], b_addrs=[f"{a}/22" for a in hops])
        lab.ip("c", "route add default via 10.9.0.1")
        lab.ip("gw", "route add 10.64.0.0/10 via 10.9.0.2", f"route add {OUTSIDE}/32 via {hops[0]}")
        self.route(range(first, first + self.nexthops))
        lab.run("gw", f"ping -c 1 -W 2 {hops[0]}", check=False)
        lab.run("gw", "ping -c 1 -W 2 10.9.0.2", check=False)
        lab.nft("s", END % "daddr")
        lab.nft("c", END % "saddr")
        if track:
            lab.nft("gw", TRACKED)

    @staticmethod
    def address(n):
        return f"10.1.{n // 200}.{n % 200 + 10}"

    def route(self, hops, prefix=f"{VIP4}/32"):
        if not self.routes:
            self.routes = Routes(self.lab)
            self.index = self.lab.ip_json("gw", "link show dev s")[0]["ifindex"]
        self.routes.replace(prefix, [(self.address(n), self.index) for n in hops])

    def sink(self):
        """From now on gw throws packets away as they arrive: what is left is the cost of sending."""
        self.lab.nft("gw", SINK)

    def settings(self, **settings):
        """conntrack's settings in gw, by their short names."""
        self.lab.sysctl("gw", **{f"net.netfilter.nf_conntrack_{k}": v for k, v in settings.items()})

    def patient(self):
        """Entries live for the whole measurement."""
        self.settings(udp_timeout=7200, udp_timeout_stream=7200, tcp_timeout_close=7200, tcp_timeout_syn_recv=7200, tcp_be_liberal=1)

    def loose(self):
        """Reverse path filtering as systemd sets it up: the kernel looks up where each packet came from, rules or no rules."""
        self.lab.sysctl("gw", **{"net.ipv4.conf.all.rp_filter": 2})

    def flowpind(self, flows=1000000, more="", config=CONFIG):
        """flowpind, with every nexthop known."""
        self.daemon = Daemon(self.lab, config % (flows * 6 // 5, flows * 6 // 5) + more)
        need(tap.wait_until(lambda: len([b for b in self.daemon.nexthops() if b["named"]]) >= self.nexthops, 60, poll=0.2),
             "flowpind knows all nexthops")
        return self.daemon

    def hose(self, side="c", cpu=SENDER, to=VIP4, source="10.99.0.0", ports="1024-65535:80"):
        """bench_stream, from c or (answers) from s."""
        lab = self.lab
        dev = "c" if side == "c" else "s"
        mac = lab.ip_json("gw", f"link show dev {dev}")[0]["address"]
        return Hose(lab, side, tool("bench_stream"), "--dev", "gw", "--mac", mac, "--from", source, "--to", to, "--cpu", cpu,
                    "--ports", ports)

    def entries(self):
        with self.lab.inside("gw"), open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as f:
            return int(f.read())

    def fill(self, flows, answered=True, rate=0, **hose):
        """So many UDP flows, answered once, known to conntrack (and to flowpind)."""
        sender = self.hose(**hose)
        sender.burst("udp", flows, flows, rate)
        if answered:
            self.hose("s", **hose).burst("answer", flows, flows)
        need(tap.wait_until(lambda: self.entries() >= flows * 999 // 1000, 60, poll=0.2), f"{flows} conntrack entries")
        if self.daemon:
            self.all_known(flows)
        return sender

    def count(self):
        """Flows that flowpind knows."""
        return Asker(self.daemon.socket).call("Status")["flows"]["count"]

    def all_known(self, flows, deadline=120):
        need(tap.wait_until(lambda: self.count() >= flows, deadline, poll=0.2), f"flowpind knows {flows} flows")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lab.close()


class Hose(Tool):
    """bench_stream (see there)."""

    def burst(self, kind, flows, count, rate=0, first=0):
        """(CPU ns, wall ns) for a packet."""
        sent, cpu, wall = self.ask(f"{kind} {first} {flows} {count} {rate}", "sent")
        return cpu / sent, wall / sent


def need(condition, text):
    if not condition:
        raise NotMeasured(f"not so within the time: {text}")


# --- a row as a program

def interrupted(number, _frame):
    sys.exit(128 + number)


def main(row, run):
    """row: dict of number, what, against, bar, size (full). Arguments: the JSON file to write."""
    if os.geteuid():
        sys.exit("bench makes network namespaces: run it as root")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupted)
    size = int(os.environ.get("SIZE") or row["size"])
    result = Result(row, size, sys.argv[1] if len(sys.argv) > 1 else None)
    say(f"row {row['row']}: {row['what']}, against {row['against']} (size {size:,})")
    try:
        settled_slab()
        run(size, result)
        result.why = None
    except NotMeasured as e:
        result.why = str(e)
        say(f"    not measured: {result.why}")
    result.write()
    say(f"    {time.monotonic() - result.began:.1f} s")
