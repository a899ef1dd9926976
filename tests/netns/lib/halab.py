# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gateways as flowpin-ha(7) describes them: the files are those of the man page, read from it, and stand at the paths that it
gives (in a mount namespace for each gateway).

    c, the client --- br0 in lanc --- clients [gw1, gw2] servers --- br0 in lans --- s1 .. s4
                                      gw1 sync --- sync gw2"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import net
import tap
from daemon import ROOT, Daemon
from lab import VIP4, VIP6, Lab

PAGE = os.path.join(ROOT, "src", "man", "flowpin-ha.7")
CLIENTS = 4
BOTH = ("gw1", "gw2")


def page_files():
    """{path: text} of what flowpin-ha(7) prints in its FILES; what it adds to a file for a switch is {path + " switch": text}."""
    files, path, text = {}, None, None
    with open(PAGE, encoding="utf-8") as f:
        for line in f.read().splitlines():
            if line.startswith(".It Pa /"):
                path = " ".join(line.split()[2:]).replace(" No with a", "")
            elif line == ".Bd -literal" and path:
                text = []
            elif line == ".Ed" and text is not None:
                files[path], path, text = "\n".join(text) + "\n", None, None
            elif text is not None:
                text.append(line.replace("\\&", "").replace("\\e", "\\"))
    return files


def for_gateway(text, gateway):
    """Lines that say what the second gateway has instead ("1 # gw2: 2")."""
    return re.sub(r"\S+(\s+# gw2: )(\S+)", r"\2\1\2", text) if gateway == "gw2" else text


class Gateway:
    """One of the two: its flowpind (d), keepalived and conntrackd, and what its systemctl was told."""

    def __init__(self, lab, name):
        self.lab, self.name, self.d = lab, name, None
        self.root = os.path.join(lab.tmp, name)
        self.processes = {}
        self.binds = {"/run": self.path("run"), "/usr/bin/systemctl": self.path("systemctl")}
        os.makedirs(self.path("run/lock"))
        for path, text in page_files().items():
            self._install(path, for_gateway(text, name))
        self._install("/usr/bin/systemctl", f'#!/bin/sh\n[ ! -e {self.path("units")} ] || exec {self.path("units")} "$@"\n', "systemctl")

    def path(self, *names):
        return os.path.join(self.root, *names)

    def unit(self, name, *command, **env):
        """What systemctl starts and stops as this unit. What it was told, and what the program says, is in units.log."""
        words = " ".join([f"{k}={v}" for k, v in env.items()] + [shlex.quote(c) for c in command])
        pid, log = self.path(f"{name}.pid"), self.path("units.log")
        self._install("", "#!/bin/sh\n"
                          f'exec >>{log} 2>&1\necho "$@"\ncase "$*" in\n'
                          f'"start {name}") [ -e {pid} ] || {{ env {words} & echo $! >{pid}; }} ;;\n'
                          f'"stop {name}") [ ! -e {pid} ] || kill "$(cat {pid})"; rm -f {pid} ;;\nesac\n', "units")

    def said(self):
        """Lines of units.log."""
        try:
            with open(self.path("units.log"), encoding="utf-8", errors="replace") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def _install(self, path, text, name=None):
        here = self.path(name or path.lstrip("/"))
        os.makedirs(os.path.dirname(here), exist_ok=True)
        with open(here, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(here, 0o755 if text.startswith("#!") else 0o644)
        for directory in ("/etc/keepalived", "/etc/conntrackd"):
            if path.startswith(directory):
                self.binds[directory] = self.path(directory.lstrip("/"))

    def config(self):
        """flowpin.conf(5) of the page."""
        with open(self.path("etc/flowpin/flowpin.conf"), encoding="utf-8") as f:
            return f.read()

    # --- processes

    def popen(self, *command, **kwargs):
        """A process that finds the page's files at their places."""
        mounts = "".join(f"mount --bind {here} {there} && " for there, here in self.binds.items())
        with self.lab.inside(self.name):
            return subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", mounts + 'exec "$@"', "sh", *command],
                                    stdin=subprocess.DEVNULL, **kwargs)

    def run(self, *command):
        """Its output."""
        p = self.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return p.communicate(timeout=tap.seconds(30))[0]

    def start(self, config=None, conntrackd=True):
        """flowpind, conntrackd and keepalived, in the order of their units."""
        if self.d is None:
            self.d = Daemon(self.lab, config or self.config(), ns=self.name, name=f"{self.name}/flowpin")
        elif not self.d.running():
            self.d.start()
        if conntrackd:
            self._start("conntrackd", "conntrackd")
            tap.wait_until(lambda: "cache internal" in self.run("conntrackd", "-s"), 10)
        self._start("keepalived", "keepalived", "-n", "-l", "-D", "-p", self.path("run/keepalived.pid"))

    def _start(self, name, *command):
        with open(self.path(name + ".log"), "ab") as log:
            self.processes[name] = self.popen(*command, stdout=log, stderr=log)

    def kill(self, *names):
        """kill -9 of these, or of all."""
        for name in names or ("keepalived", "conntrackd", "flowpind"):
            if name == "flowpind":
                if self.d and self.d.running():
                    self.d.kill()
                continue
            p = self.processes.pop(name, None)
            if p and p.poll() is None:
                for child in _children(p.pid):
                    os.kill(child, signal.SIGKILL)
                p.kill()
                p.wait()

    # --- what it is

    def active(self):
        """Whether it has the virtual addresses, all of them."""
        have = {a["local"] for i in self.lab.ip_json(self.name, "address show") for a in i.get("addr_info", [])}
        return {"10.9.0.1", "10.1.0.1", "fd00:9::1", "fd00:1::1"} <= have

    def entries(self):
        """{tuple: mark} of what its conntrack table has of the services."""
        text = "".join(self.lab.conntrack("-L", "-f", f, ns=self.name, check=False) for f in ("ipv4", "ipv6"))
        found = re.findall(r"^(\w+) .*?src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+).*?mark=(\d+)", text, re.M)
        return {e[:5]: int(e[5]) >> 24 for e in found if e[2] in (VIP4, VIP6)}

    def nexthops(self, server):
        """flowpin nexthops, of one server."""
        return [b for b in self.d.nexthops() if self.lab.server_of(b["nexthop"]) == server]

    def states(self, server):
        return {b["state"] for b in self.nexthops(server)}

    def flows(self, server):
        return sum(b["flows"] for b in self.nexthops(server))

    def diagnose(self):
        for name in ("keepalived", "conntrackd", "units"):
            try:
                with open(self.path(name + ".log"), encoding="utf-8", errors="replace") as f:
                    tap.note(f"--- log of {name} in {self.name}")
                    tap.note("\n".join(f.read().splitlines()[-40:]))
            except FileNotFoundError:
                pass
        if "conntrackd" in self.processes:
            tap.note(self.run("conntrackd", "-s"))
        tap.note("\n".join(self.lab.run(self.name, "ip address", check=False).splitlines()))


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(p) for p in f.read().split()]
    except FileNotFoundError:
        return []


class HaLab(Lab):
    """Both gateways. start() makes gw1 the active one; direct: direct server return."""

    def __init__(self, servers=4, direct=False, name=""):
        missing = [p for p in ("keepalived", "conntrackd") if not shutil.which(p)]
        if missing:
            tap.skip(f"{' and '.join(missing)}: not installed")
        super().__init__(name)
        try:
            self._network(servers)
            if direct:
                self._direct_return()
        except BaseException:
            self.close()
            raise

    def _bridge(self, name):
        self.ns(name)
        self.ip(name, "link add br0 type bridge", "link set br0 up")

    def _join(self, bridge, ns, dev, addrs):
        self.link(ns, bridge, a_if=dev, b_if=ns, a_addrs=addrs)
        self.ip(bridge, f"link set {ns} master br0")

    def _network(self, servers):
        self._bridge("lanc")
        self._bridge("lans")
        self.ns("c")
        self.sources = {4: [f"10.9.0.{n}" for n in range(11, 11 + CLIENTS)], 6: [f"fd00:9::{n}" for n in range(11, 11 + CLIENTS)]}
        self._join("lanc", "c", "lan", [f"{a}/24" for a in self.sources[4]] + [f"{a}/64" for a in self.sources[6]])
        self.ip("c", "route add default via 10.9.0.1", "route add ::/0 via fd00:9::1")
        for n, gateway in enumerate(BOTH, 2):
            self.ns(gateway)
            self._join("lanc", gateway, "clients", [f"10.9.0.{n}/24", f"fd00:9::{n}/64"])
            self._join("lans", gateway, "servers", [f"10.1.0.{n}/24", f"fd00:1::{n}/64"])
        self.link("gw1", "gw2", a_if="sync", b_if="sync", a_addrs=["10.255.0.1/24"], b_addrs=["10.255.0.2/24"])
        for n in range(1, servers + 1):
            name = self.ns(f"s{n}")
            self.servers.append(name)
            self.address(name, "lo", f"{VIP4}/32", f"{VIP6}/128")
            self._join("lans", name, "lan", [f"10.1.0.{10 + n}/24", f"fd00:1::{10 + n}/64"])
            self.ip(name, "route add default via 10.1.0.1", "route add ::/0 via fd00:1::1")
            self.nexthops[name, 4] = (f"10.1.0.{10 + n}", "servers")
            self.nexthops[name, 6] = (f"fd00:1::{10 + n}", "servers")
        self.named, self.off, self.devices = [], set(), ["clients", "servers", "sync"]
        self.gateways = {}
        for gateway in BOTH:
            g = self.gateways[gateway] = Gateway(self, gateway)
            self.sysctl(gateway, **{"net.ipv6.conf.all.keep_addr_on_down": 1, "net.ipv6.conf.default.keep_addr_on_down": 1})
            self.run(gateway, "sysctl", "-q", "-p", g.path("etc/sysctl.d/60-flowpin-ha.conf"))

    def _direct_return(self):
        """The servers' answers reach the client without passing a gateway."""
        self.link("c", "lans", a_if="ret", b_if="c", a_addrs=["10.1.0.200/24", "fd00:1::200/64"])
        self.ip("lans", "link set c master br0")
        for server in self.servers:
            self.ip(server, "route add 10.9.0.0/24 via 10.1.0.200", "route add fd00:9::/64 via fd00:1::200")

    # --- changes

    def announce(self, servers, gateways=BOTH):
        """The multipath routes to the services on the gateways, as a routing daemon has them."""
        self.named = servers
        for self.gateway in (g for g in gateways if g not in self.off):
            for family in (4, 6):
                self.route(servers, family)
        self.gateway = "gw1"

    def start(self, config1=None, config2=None, **kwargs):
        """Everything runs, and gw1 has the addresses. config1, config2: other flowpin.conf than the page's."""
        gw1, gw2 = (self.gateways[g] for g in BOTH)
        gw1.start(config1, **kwargs)
        if not tap.wait_until(gw1.active, 20):
            raise RuntimeError("gw1 did not become active")
        gw2.start(config2, **kwargs)
        return gw1, gw2

    def link_down(self, gateway):
        """The cable on the clients' side."""
        self.ip("lanc", f"link set {gateway} down")

    def link_up(self, gateway):
        self.ip("lanc", f"link set {gateway} up")

    def power_off(self, gateway):
        """All its interfaces go down."""
        self.off.add(gateway)
        self.ip(gateway, *[f"link set {dev} down" for dev in self.devices])

    def power_on(self, gateway, routes=True):
        """They come up again, and the routing daemon gives it the routes that there are now."""
        self.off.discard(gateway)
        self.ip(gateway, *[f"link set {dev} up" for dev in self.devices])
        if routes:
            self.announce(self.named, [gateway])

    def wipe(self, gateway):
        """What a machine that is switched off forgets: its processes, its conntrack table, everything of ours in its kernel."""
        g = self.gateways[gateway]
        g.kill()
        with self.inside(gateway):
            net.run(Daemon.program("flowpind"), "--config", g.d.config_path, "--teardown")
        self.conntrack("-F", ns=gateway)
        shutil.rmtree(g.path("run"))
        os.makedirs(g.path("run/lock"))

    def diagnose(self):
        for gateway in BOTH:
            self.gateways[gateway].diagnose()
            self.gateway = gateway
            super().diagnose()

    def close(self):
        for g in getattr(self, "gateways", {}).values():
            g.kill("keepalived", "conntrackd")
        super().close()


def held(pools, what):
    """None of {kind: pool} broke."""
    for kind, pool in pools.items():
        tap.check(pool.exchange(deadline=20).all_held, f"{what}: none broke, {kind}", pool.result)


def same(a, b, n):
    """Both gateways have the same conntrack entries of the services, at least n, with the same marks."""
    tap.wait_until(lambda: a.entries() == b.entries() and len(a.entries()) >= n, 15, f"{b.name} has the entries of {a.name}", poll=0.5)


def takeover(lab, pools, lose, what, first, second, n):
    """The second gateway has n flows of the first one, which is lost by lose(name)."""
    same(first, second, n)
    tap.wait_until(lambda: len(second.d.flows()) == len(first.d.flows()) >= n, 10, f"flowpind on {second.name} lists the same flows", poll=0.2)
    lose(first.name)
    tap.wait_until(second.active, 10, f"{what}: {second.name} has the addresses")
    held(pools, what)
