# SPDX-License-Identifier: GPL-2.0-or-later
"""A simulated switch, a fake flowpind and flowpin-eapi between them: `from eapi_world import *`."""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "eos-sim")]
from eossim import Sim  # noqa: E402
from fakepind import Eapi, FakePind, key, quiet_for, tuple4  # noqa: E402,F401
from tap import WITHOUT, NoDaemon, case, check, equal, main, need, note, wait_until  # noqa: E402,F401

A, B = "23.23.23.3", "34.34.34.4"
A6, B6 = "2001:db8:a::3", "2001:db8:b::4"
FOREIGN = ["directflow", "no shutdown", "flow theirs", "match ethertype ip", "match source ip 12.12.12.1", "match destination ip 1.1.1.1",
           "match ip protocol tcp", "match source port 30000", "match destination port 80", "action output nexthop " + A,
           "flow fp-2-tcp-12_12_12_1-30001-1_1_1_1-80", "match ethertype ip", "match source ip 9.9.9.9", "action drop"]


class World:
    """A simulated s7058 with two servers, a fake flowpind, and flowpin-eapi (not started)."""

    def __init__(self, more="", knobs=None, config=None, password="secret", pind=True, timeout="500ms", **sim):
        self.own = tempfile.TemporaryDirectory(prefix="flowpin-eapi-")
        self.dir = self.own.name
        self.sim = Sim(dict(knobs or {}), **sim)
        for n, (name, four, six) in enumerate((("Ethernet42", A, A6), ("Ethernet43", B, B6), ("Ethernet47", None, None))):
            self.sim.control("interface", name=name, link="connected")
            for address in (four, six):
                if address:
                    self.sim.control("arp", address=address, mac=f"00:00:00:00:00:{n + 3:02x}", interface=name)
        self.route([A, B])
        self.sim.control("route", prefix="2001:db8::1/128", vias=[{"interface": "Ethernet42", "nexthop": A6},
                                                                  {"interface": "Ethernet43", "nexthop": B6}])
        self.sim.control("route", prefix="12.12.12.0/24", vias=[{"interface": "Ethernet47"}])
        self.sim.control("route", prefix="2001:db8:c::/64", vias=[{"interface": "Ethernet47"}])
        self.sim.control("cli", user="somebody", cmds=["enable", "configure"] + FOREIGN)
        self.password = os.path.join(self.dir, "password")
        self.write_password(password)
        lb = self.sim.knobs.get("lb-needs", "enable")
        prefix = {"exec": '""', "enable": "enable", "configure": "{enable, configure}"}[lb]
        timeouts = "" if self.sim.knobs.get("timeouts", "yes") == "yes" else "expiry = flowpin "
        six = "" if self.sim.knobs.get("nexthop6", "yes") == "yes" else "action-ipv6 = l2-rewrite "
        own6 = 'lookup-ipv6 = "show load-balance destination ipv6 ingress-interface {ingress} src-ipv6-address {src} ' \
            'dst-ipv6-address {dst} ip-protocol {proto} src-l4-port {sport} dst-l4-port {dport}" ' \
            if self.sim.knobs.get("lb-ipv6") == "own" else ""
        self.text = config or f"""service web {{ prefix = {{1.1.1.1/32, 2001:db8::1/128}} }}
switch s1 {{
    eapi = "{self.sim.url}" allow-http = yes username = admin password-file = "{self.password}" poll-interval = 300ms
    text-interval = 2s tcam-interval = 500ms request-timeout = {timeout} ingress-interface = Ethernet47 lookup-prefix = {prefix}
    {timeouts}{six}{own6}{more}
}}
"""
        self.pind = FakePind(os.path.join(self.dir, "daemon.sock")) if pind else None
        self.eapi = Eapi(self.dir, self.text)

    def write_password(self, password):
        with open(self.password, "w", encoding="utf-8") as f:
            f.write(password + "\n")
        os.chmod(self.password, 0o600)

    def route(self, nexthops):
        self.sim.control("route", prefix="1.1.1.1/32", vias=[{"interface": "Ethernet42" if n == A else "Ethernet43", "nexthop": n}
                                                             for n in nexthops])

    def start(self):
        if WITHOUT:
            raise NoDaemon("flowpin-eapi")
        self.eapi.start()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.eapi.process:
            equal(self.eapi.stop(), 0, "flowpin-eapi ends well")
            log = self.eapi.log()
            check("Sanitizer" not in log and "runtime error" not in log, "without a word of a sanitizer", log[-4000:])
            check("secret" not in log.replace("secrets", ""), "the password is in no log line")
            equal(self.pind.errors if self.pind else [], [], "it kept to the interface")
        if self.pind:
            self.pind.stop()
        self.sim.stop()
        self.own.cleanup()

    def know(self):
        """Until flowpin-eapi read the routes as they are, and long enough ago that a flow which begins now certainly began later
        (WATCH_LATE_MS of src/eapi/watch.h): three rounds, at least 300 ms apart."""
        healths = self.pind.healths
        wait_until(lambda: self.pind.ask_socket and self.pind.healths >= max(healths, 1) + 3, 20)

    def ours(self, programmed=True):
        """Names of ours in the switch."""
        flows = self.sim.programmed() if programmed else self.sim.flows()
        return {n for n in flows if n.startswith("fp-1-")}

    def theirs(self):
        """Other users' flows as they are configured."""
        return {n: {k: v for k, v in f.items() if k not in ("state", "in_hardware", "packets", "bytes")}
                for n, f in self.sim.flows().items() if not n.startswith("fp-1-")}

    def wanted(self):
        with self.pind.lock:
            return {k for k, w in self.pind.wishes.items() if w["present"]}

    def settled(self):
        """Everything that is wished is programmed, to its nexthop, in the switch and by flowpin-eapi's word; nothing else of ours is."""
        flows = self.sim.programmed()
        wanted = self.wanted()
        for k, w in self.pind.wishes.items():
            if k in wanted and ":" not in k[1] and w["nexthop"] not in flows.get(name_of(k), {"nexthops": []})["nexthops"]:
                return False
        return (self.pind.states() == wanted and len(self.ours()) == len(wanted) == len(self.ours(False)))

    def detail(self):
        return lambda: (f"wanted {len(self.wanted())}, in the switch {len(self.ours(False))}, programmed {len(self.ours())}\n"
                        f"observed {[(k, o['state'], o.get('text')) for k, o in self.pind.observed.items() if o['state'] != 'programmed'][:4]}\n"
                        f"health {self.pind.health}\n{self.eapi.log()[-2500:]}")

    def converge(self, text, deadline=10):
        return check(wait_until(self.settled, deadline), text, self.detail())

    def writes(self, since=0):
        """Requests that changed something, as lists of commands."""
        requests = {}
        for entry in self.sim.journal(since):
            if entry["user"] == "somebody":
                continue
            requests.setdefault(entry["request"], []).append(entry["command"])
        return [c for c in requests.values() if "directflow" in c]

    def sentence(self):
        return self.pind.health.get("sentence", "")


def name_of(k):
    return f"fp-1-{k[0]}-{k[1].replace('.', '_')}-{k[2]}-{k[3].replace('.', '_')}-{k[4]}"


def tuple6(sport):
    return tuple4(sport, "2001:db8:c::1", "2001:db8::1")


def flows4(n, first=30000):
    return [tuple4(first + i) for i in range(n)]
