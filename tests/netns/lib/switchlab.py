# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated switch in a network of its own, and flowpin beside it: flowpind, flowpin-mirror and flowpin-eapi.

    c --- Ethernet47  sw  Ethernet43 --- s1      the switch forwards by itself; its mirror of Ethernet47 and its API reach
                       |  Ethernet42 --- s2      the gateway gw over the link "mirror"
                      gw  Ethernet44 --- s3 ...

With shared=True the client and the gateway have a link of their own, and each server is on a segment with the switch and the
gateway, so that both reach it by one address and traffic may move between them (client_via). With lan=True all servers are
on one SVI (Vlan10)."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "eos-sim"))
# pylint: disable=wrong-import-position
import tap
from daemon import Daemon
from eossim import Sim
from lab import VIP4, VIP6, Lab

SWITCH, API, AGENT, MIRROR_SOURCE = "s7058", "10.50.0.1", "10.50.0.2", "5.5.5.5"
CLIENT_PORT, ZONE = "Ethernet47", 101
PROTOCOLS = {"tcp": 6, "udp": 17}
FAST = {"counter-ms": 300, "program-ms": 20}
_CLIENTS = 4

SERVICE = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    protocol     = {tcp, udp}
    port         = 80
    idle-timeout = %s
}
"""


def section(lab, place="all", poll="500ms", idle="5m", more="", mirror=""):
    """The switch section of this lab's switch. more, mirror: further lines."""
    password = os.path.join(lab.tmp, "password")
    if not os.path.exists(password):
        with open(password, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write("secret\n")
    return f"""switch {SWITCH} {{
    eapi          = "{lab.sim.url}"
    allow-http    = yes
    username      = admin
    password-file = "{password}"
    mirror {{ source = {MIRROR_SOURCE}  destination = {AGENT}  interface = mirror  zone = {ZONE}  {mirror} }}
    place         = {place}
    poll-interval = {poll}
    idle-timeout  = {idle}
    {more}
}}
"""


class SwitchLab(Lab):
    """SwitchLab(servers=2, knobs={...}, personality=7). sim is the simulator (eossim.Sim); knobs not given are FAST."""

    def __init__(self, servers=2, shared=False, lan=False, knobs=None, personality=None, name=""):
        super().__init__(name)
        self.shared, self.lan, self.sim = shared, lan, None
        self.ports, self.macs = {}, {}
        self.knobs = dict(FAST, **(knobs or {}))
        try:
            self._network(servers)
            self._switch(personality)
        except BaseException:
            self.close()
            raise

    # --- the network

    def _network(self, servers):
        self.ns("sw")
        self.ns("c")
        self.ns("gw", forward=True)
        self.sources = {4: [f"12.12.12.{n}" for n in range(1, 1 + _CLIENTS)], 6: [f"fd00:12::{n}" for n in range(1, 1 + _CLIENTS)]}
        self.link("c", "sw", a_if="sw", b_if="et47", a_addrs=[f"{a}/24" for a in self.sources[4]] + [f"{a}/64" for a in self.sources[6]],
                  b_addrs=["12.12.12.254/24", "fd00:12::fe/64"])
        self.link("sw", "gw", a_if="gw", b_if="mirror", a_addrs=[f"{API}/24"], b_addrs=[f"{AGENT}/24"])
        self.address("sw", "lo", f"{MIRROR_SOURCE}/32")
        if self.shared:
            self.link("c", "gw", a_addrs=["12.13.0.1/24", "fd00:13::1/64"], b_addrs=["12.13.0.254/24", "fd00:13::fe/64"])
            self.ip("gw", "route add 12.12.12.0/24 via 12.13.0.1", "route add fd00:12::/64 via fd00:13::1")
        if self.lan:
            self.ip("sw", "link add vlan10 type bridge", "link set vlan10 up")
            self.address("sw", "vlan10", "34.34.34.254/24", "fd00:34::fe/64")
        self.client_via("sw")
        for _ in range(servers):
            self._server()

    def client_via(self, which):
        """The client's packets go to the switch ("sw") or to the gateway ("gw", with shared)."""
        four, six = ("12.12.12.254", "fd00:12::fe") if which == "sw" else ("12.13.0.254", "fd00:13::fe")
        self.ip("c", f"route replace default via {four}", f"route replace ::/0 via {six}")

    def answers_via(self, which):
        """The servers' answers take the switch, as they do from the beginning, or the gateway (with shared)."""
        for server in self.servers:
            net4 = self.address_of(server).rsplit(".", 1)[0]
            net6 = self.address_of(server, 6).rsplit(":", 1)[0]
            self.ip(server, f"route replace default via {net4}.{'254' if which == 'sw' else '253'}",
                    f"route replace ::/0 via {net6}:{'fe' if which == 'sw' else 'fd'}")

    def _server(self):
        n = len(self.servers) + 1
        net4, host, port = {1: ("34.34.34", 4, 43), 2: ("23.23.23", 3, 42)}.get(n, (f"45.45.{n}", 10 + n, 41 + n))
        name, dev, net6 = f"s{n}", f"et{port}", f"fd00:{n}:"
        if self.lan:
            net4, net6, host = "34.34.34", "fd00:34:", 10 + n
        self.ns(name)
        self.servers.append(name)
        self.address(name, "lo", f"{VIP4}/32", f"{VIP6}/128")
        addrs = [f"{net4}.{host}/24", f"{net6}:{host}/64"]
        if self.lan:
            self.link(name, "sw", a_if="sw", b_if=dev, a_addrs=addrs)
            self.ip("sw", f"link set {dev} master vlan10")
        elif self.shared:
            self.ns(f"b{n}")
            self.ip(f"b{n}", "link add br0 type bridge", "link set br0 up")
            self.link(name, f"b{n}", a_if="sw", b_if="server", a_addrs=addrs)
            self.link("sw", f"b{n}", a_if=dev, b_if="switch", a_addrs=[f"{net4}.254/24", f"{net6}:fe/64"])
            self.link("gw", f"b{n}", a_if=name, b_if="gateway", a_addrs=[f"{net4}.253/24", f"{net6}:fd/64"])
            self.ip(f"b{n}", *[f"link set {d} master br0" for d in ("server", "switch", "gateway")])
        else:
            self.link(name, "sw", a_if="sw", b_if=dev, a_addrs=addrs, b_addrs=[f"{net4}.254/24", f"{net6}:fe/64"])
        self.ip(name, f"route add default via {net4}.254", f"route add ::/0 via {net6}:fe")
        self.ports[name] = f"Ethernet{port}"
        for family, address in ((4, f"{net4}.{host}"), (6, f"{net6}:{host}")):
            self.nexthops[name, family] = (address, name)

    def _switch(self, personality):
        self.sim = Sim(netns=self.full("sw"), dataplane=True, http=f"{API}:80", knobs=self.knobs, personality=personality, tmp=self.tmp)
        self.closers.append(self.sim.stop)
        self.sim.control("interface", name=CLIENT_PORT, dev="et47")
        self.sim.control("interface", name="Management1", dev="gw")
        for server, port in self.ports.items():
            self.sim.control("interface", name=port, dev=f"et{port[8:]}", **({"mode": "bridged", "vlan": 10} if self.lan else {}))
            self.macs[server] = self.ip_json(server, "link show sw")[0]["address"]
        if self.lan:
            self.sim.control("interface", name="Vlan10", dev="vlan10")
            for server, port in self.ports.items():
                self.sim.control("mac", mac=self.macs[server], vlan=10, interface=port)

    # --- what people and protocols do to the switch

    def address_of(self, server, family=4):
        """The server's address as a nexthop of the switch."""
        return self.nexthops[server, family][0]

    def server_at(self, address):
        """The server behind a nexthop's address, None if unknown."""
        return next((s for (s, _), (a, _) in self.nexthops.items() if a == address), None)

    def announce(self, weights, family=4, prefix=None):
        """The switch's route of the VIP, as its BGP would change it: names of servers, or {server: weight}; empty: withdrawn."""
        prefix = prefix or (f"{VIP4}/32" if family == 4 else f"{VIP6}/128")
        if not weights:
            self.sim.control("no-route", prefix=prefix)
            self.sim.control("refresh")
            return
        weights = weights if isinstance(weights, dict) else {server: 1 for server in weights}
        vias = [{"interface": "Vlan10" if self.lan else self.ports[s], "nexthop": self.address_of(s, family), "weight": w}
                for s, w in weights.items()]
        self.sim.control("route", prefix=prefix, vias=vias)
        self.sim.control("refresh")  # into the hardware before this returns: IPv6 is balanced by the TCAM

    def mirror(self, what=("syn",), **options):
        """The monitor session of the client's port to the gateway."""
        options.setdefault("type", 1)
        self.sim.control("mirror", name="flowpin", interface=CLIENT_PORT, source=MIRROR_SOURCE, destination=AGENT, what=list(what), **options)

    def no_mirror(self):
        self.sim.control("mirror", name="flowpin", remove=True)

    def resolve(self, family=4):
        """ARP and ND of every server are resolved in the switch, as they are where traffic flows."""
        for server in self.servers:
            self.run("sw", f"ping -c1 -W5 {self.address_of(server, family)}")

    # --- the truth

    def asic(self, flow, protocol="tcp", dst=None, port=80):
        """The server to which the switch's ECMP sends this flow of a pool now."""
        dst = dst or (VIP6 if ":" in flow.src else VIP4)
        path = self.sim.control("path", src=flow.src, dst=dst, protocol=PROTOCOLS[protocol], sport=flow.sport, dport=port,
                                interface=CLIENT_PORT)
        return self.server_at(path["nexthop"])

    def steered(self, flow):
        """Where a flow of the simulator's table sends its packets: a server."""
        if flow["nexthops"]:
            return self.server_at(flow["nexthops"][0])
        macs = {mac: server for server, mac in self.macs.items()}
        return macs.get(colons(flow["dmac"]))

    def programmed(self, prefix="fp-"):
        """{(protocol, source, source port): server} of what the hardware really has of ours."""
        return {(f["protocol"], f["src"], f["sport"]): self.steered(f) for name, f in self.sim.programmed().items()
                if name.startswith(prefix)}

    def pinned(self, pool, protocol="tcp"):
        """Whether each living connection of a pool is in hardware, on the server that it is on."""
        have = self.programmed()
        return all(have.get((PROTOCOLS[protocol], f.src, f.sport)) == f.server for f in pool.flows if f.state == "up")

    def counters(self):
        return self.sim.usage()["counters"]

    def commands(self, pattern, since=0):
        """The journal's entries whose command matches."""
        import re  # pylint: disable=import-outside-toplevel
        return [j for j in self.sim.journal(since) if re.search(pattern, j["command"])]

    def diagnose(self):
        super().diagnose()
        for what in ("ip route", "ip -6 route", "ip neigh", "nft list ruleset"):
            tap.note(f"--- sw: {what}")
            tap.note("\n".join(self.run("sw", what, check=False).splitlines()[:40]))
        if self.sim and self.sim.process.poll() is None:
            state = self.sim.state()
            tap.note(f"--- the switch: {state['counters']} used {state['used']} room {state['room']} shutdown {state['shutdown']}")
            for f in state["flows"][:10]:
                tap.note(f)
            tap.note("--- the last commands")
            for j in self.sim.journal()[-30:]:
                tap.note(j)


def colons(mac):
    """Any spelling of a MAC address as 00:11:22:33:44:55."""
    digits = "".join(c for c in mac.lower() if c in "0123456789abcdef")
    return ":".join(digits[i:i + 2] for i in range(0, len(digits), 2))


class _Companion(Daemon):
    """A daemon beside flowpind, with its configuration and one of its sockets."""

    PROGRAM = SOCKET = ""

    def __init__(self, daemon, start=True, **kwargs):
        self.daemon = daemon
        with open(daemon.config_path, encoding="utf-8") as f:
            config = f.read()
        super().__init__(daemon.lab, config, ns=daemon.ns, start=start, name=self.PROGRAM, **kwargs)

    @property
    def socket(self):
        return os.path.join(os.path.dirname(self.daemon.socket), self.SOCKET)

    @socket.setter
    def socket(self, _value):
        pass  # it is flowpind's

    def diagnose(self):
        tap.note(f"--- log of {self.PROGRAM}")
        tap.note("\n".join(self.log().splitlines()[-40:]))


class MirrorReceiver(_Companion):
    """flowpin-mirror."""

    PROGRAM, SOCKET = "flowpin-mirror", "mirror.sock"

    @staticmethod
    def program(name="flowpin-mirror"):
        return Daemon.program(name)


class Eapi(_Companion):
    """flowpin-eapi."""

    PROGRAM, SOCKET = "flowpin-eapi", "daemon.sock"

    @staticmethod
    def program(name="flowpin-eapi"):
        return Daemon.program(name)


def switch_of(d):
    """What flowpin switches says of the switch."""
    return next(s for s in d.flowpin("switches")["switches"] if s["name"] == SWITCH)


def settle():
    """Flows that begin from now on can be certain: routes that flowpin-eapi has read by now were read long enough before them
    (WATCH_LATE_MS of src/eapi/watch.h)."""
    since = time.monotonic()
    tap.wait_until(lambda: time.monotonic() - since > 0.25, 5)


def knows_routes(d, deadline):
    """Whether flowpin-eapi reached the switch in time and read its routes; what begins then can be certain."""
    def told():
        s = switch_of(d)
        return s["reachable"] and s["nexthops"]
    if not tap.wait_until(told, deadline):
        return False
    settle()
    return True


class Beside:
    """flowpind, flowpin-mirror and flowpin-eapi in gw: d, mirror, eapi. With wait, the switch is reached when this returns."""

    def __init__(self, lab, config=None, idle="5m", wait=True, env=None, **switch):
        self.lab = lab
        self.config = config or SERVICE % idle + section(lab, idle=idle, **switch)
        self.d = Daemon(lab, self.config, env=env)
        self.mirror = MirrorReceiver(self.d, env=env)
        self.eapi = Eapi(self.d, env=env)
        if wait and not tap.WITHOUT and not knows_routes(self.d, 10):
            raise RuntimeError(f"the switch is not reached: {self.switch()}\n{self.eapi.log()}")

    def switch(self):
        """What flowpin switches says of it."""
        return switch_of(self.d)

    def shown(self, flow, protocol="tcp", dst=None, port=80):
        """flowpin show FLOW."""
        dst = dst or (VIP6 if ":" in flow.src else VIP4)
        src, dst = (f"[{a}]" if ":" in a else a for a in (flow.src, dst))
        return self.d.flowpin("show", protocol, f"{src}:{flow.sport}", f"{dst}:{port}")

    def reload(self, config):
        self.config = config
        for daemon in (self.d, self.mirror, self.eapi):
            daemon.reload(config)
