# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's network: a client, a gateway, and servers that announce one anycast address to it by BGP.

client 10.0.0.2 --- 10.0.0.1 gateway 10.1.N.1 --- 10.1.N.2 server N (1.1.1.1/32 on lo)"""

import json
import os
import pty
import re
import signal
import subprocess
import time

import net
from lab import VIP4
from tap import wait_until

GATEWAY_AS = 65000
SERVER_AS = 65001

GATEWAY_CONFIG = """
router id 10.0.0.1;
log stderr all;
protocol device { scan time 1; }
protocol direct { ipv4; interface "client"; }
protocol kernel {
    ipv4 { import none; export where source = RTS_BGP; };
    merge paths on;
}
template bgp server {
    local as %d;
    connect delay time 1; connect retry time 1; error wait time 1, 2;
    ipv4 { export where source = RTS_DEVICE; next hop self; };
}
""" % GATEWAY_AS

# "weight" of a BGP route is the weight of its nexthop in the merged kernel route.
GATEWAY_PEER = """
protocol bgp server%(n)d from server {
    neighbor 10.1.%(n)d.2 as %(remote)d;
    ipv4 { import filter { weight = %(weight)d; accept; }; };
}
"""

SERVER_CONFIG = """
router id 10.1.%(n)d.2;
log stderr all;
protocol device { scan time 1; }
protocol static anycast { ipv4; route %(vip)s/32 blackhole; }
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol bgp upstream {
    local as %(local)d;
    neighbor 10.1.%(n)d.1 as %(remote)d;
    connect delay time 1; connect retry time 1; error wait time 1, 2;
    ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
"""


RECORDER = """
table inet demo {
    set seen { type inet_service; flags dynamic; size 65535; }
    chain input {
        type filter hook input priority -300;
        tcp dport 80 add @seen { tcp sport }
    }
}
"""


class DemoError(Exception):
    """Something that the demo cannot go on without."""


class Process:
    """A process in one of the lab's namespaces, which ends with the lab. In a session of its own: Ctrl-C reaches the demo
    only, which then ends everything in order."""

    def __init__(self, lab, namespace, argv, output):
        with lab.inside(namespace):
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                          start_new_session=True)
        lab.daemons.append(self)

    def ended(self):
        return self.popen.poll() is not None

    @property
    def code(self):
        return self.popen.returncode

    def end(self):
        if not self.ended():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)

    def diagnose(self):
        """A lab asks its daemons for this after a failure."""


class OnTerminal(Process):
    """A command whose output is a terminal. show() prints the lines that came since the last time, and once a second the
    line that the command keeps writing over."""

    def __init__(self, lab, namespace, argv):
        self.master, slave = pty.openpty()
        os.set_blocking(self.master, False)
        super().__init__(lab, namespace, argv, slave)
        os.close(slave)
        self.line, self.shown, self.shown_at = "", "", 0.0

    def show(self, say):
        over = self.ended()
        try:
            self.line += re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", os.read(self.master, 65536).decode("utf-8", "replace"))
        except OSError:  # nothing new, or the command has ended
            pass
        *finished, self.line = self.line.split("\r\n")
        for line in finished:
            self._say(say, line.split("\r")[-1])
        self.line = self.line.split("\r")[-1]
        if over or time.monotonic() - self.shown_at >= 1:
            self._say(say, self.line)

    def _say(self, say, line):
        if line and line != self.shown:
            self.shown, self.shown_at = line, time.monotonic()
            say("      " + line)

    def end(self):
        super().end()
        os.close(self.master)


class Bird(Process):
    """One BIRD, steered through its control socket."""

    def __init__(self, lab, namespace, config):
        self.socket = os.path.join(lab.tmp, f"{namespace}.ctl")
        self.file = os.path.join(lab.tmp, f"{namespace}.conf")
        self.write(config)
        self.log = os.path.join(lab.tmp, f"{namespace}.log")
        with open(self.log, "wb") as output:
            super().__init__(lab, namespace, ("bird", "-f", "-c", self.file, "-s", self.socket,
                                              "-P", os.path.join(lab.tmp, f"{namespace}.pid")), output)

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def write(self, config):
        with open(self.file, "w", encoding="ascii") as f:
            f.write(config)

    def ready(self):
        if self.ended():
            raise DemoError(f"bird ended:\n{self.text()}")
        return os.path.exists(self.socket)

    def control(self, *words):
        return net.run("birdc", "-s", self.socket, *words)

    def reconfigure(self, config):
        self.write(config)
        answer = self.control("configure")
        if "econfig" not in answer:
            raise DemoError(f"birdc configure: {answer.strip()}")


class Network:
    def __init__(self, lab, servers):
        self.lab = lab
        self.weights, self.birds = {}, {}
        lab.client, lab.gateway, lab.sources = "client", "gateway", {4: ["10.0.0.2"], 6: []}
        lab.ns("client")
        lab.ns("gateway", forward=True)
        # As systemd sets it on Debian; strict reverse-path filtering would drop the answers of a withdrawn server.
        lab.sysctl("gateway", **{"net.ipv4.conf.all.rp_filter": 2, "net.ipv4.conf.default.rp_filter": 2})
        lab.link("client", "gateway", a_addrs=["10.0.0.2/24"], b_addrs=["10.0.0.1/24"])
        lab.ip("client", "route add default via 10.0.0.1")
        for n in servers:
            self._server(n)
        self.birds[0] = Bird(lab, "gateway", self._gateway_config())
        self.settle(servers)

    def _server(self, n):
        name = f"server{n}"
        self.lab.ns(name)
        self.lab.link("gateway", name, a_addrs=[f"10.1.{n}.1/24"], b_addrs=[f"10.1.{n}.2/24"])
        self.lab.address(name, "lo", f"{VIP4}/32")
        self.lab.nft(name, RECORDER)
        self.lab.servers.append(name)
        self.weights[n] = 1
        self.birds[n] = Bird(self.lab, name, SERVER_CONFIG % {"n": n, "vip": VIP4, "local": SERVER_AS, "remote": GATEWAY_AS})
        if not wait_until(self.birds[n].ready, 5):
            raise DemoError(f"BIRD on {name} made no control socket:\n{self.birds[n].text()}")

    def _gateway_config(self):
        return GATEWAY_CONFIG + "".join(GATEWAY_PEER % {"n": n, "remote": SERVER_AS, "weight": w}
                                        for n, w in sorted(self.weights.items()))

    # what an operator does

    def withdraw(self, n):
        self.birds[n].control("disable", "anycast")

    def announce(self, n):
        self.birds[n].control("enable", "anycast")

    def add_server(self, n):
        self._server(n)
        self.birds[0].reconfigure(self._gateway_config())

    def set_weights(self, weights):
        """Other import filters: BIRD then asks the servers for their routes again and merges them anew."""
        self.weights.update(weights)
        self.birds[0].reconfigure(self._gateway_config())

    # what can be seen

    def route(self):
        """{server: weight} of the anycast route in the gateway's kernel."""
        found = {}
        for route in self.lab.ip_json("gateway", f"route show {VIP4}/32"):
            for hop in route.get("nexthops", [route]):
                if "gateway" in hop:
                    found[int(hop["gateway"].split(".")[2])] = hop.get("weight", 1)
        return found

    def settle(self, servers):
        """Waits until the kernel's route names just these servers, with their weights."""
        want = {n: self.weights[n] for n in servers}
        if not wait_until(lambda: self.route() == want, 15):
            raise DemoError(f"the gateway's route is {self.route()}, wanted {want}\n"
                            + self.birds[0].control("show", "protocols"))

    def forget(self):
        """seen() starts anew."""
        for server in self.lab.servers:
            self.lab.nft(server, "flush set inet demo seen\n")

    def seen(self):
        """{client's port: the servers that its packets reached}: shows a connection that was moved, whatever became of it."""
        ports = {}
        for server in self.lab.servers:
            listing = json.loads(self.lab.run(server, "nft -j list set inet demo seen"))
            for item in listing["nftables"]:
                for port in item.get("set", {}).get("elem", []):
                    ports.setdefault(port, set()).add(server)
        return ports
