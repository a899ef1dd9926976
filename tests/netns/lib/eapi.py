# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for flowpin-eapi with a switch that does what it is told, and one for flowpin-mirror."""

import ipaddress
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
import tap
from daemon import ROOT
from varlink_schema import Connection, Interface, VarlinkError

SEAM = os.path.join(ROOT, "src", "control", "io.flowpin.Switch.varlink")
MAGIC = 0x46504D31
SYN, FIN, RST = 1, 2, 4


def key(t):
    return (t["protocol"], t["src"], t["sport"], t["dst"], t["dport"])


def tuple_of(k):
    return dict(zip(("protocol", "src", "sport", "dst", "dport"), k))


class Switch:
    """Switch(d, "sw1") attaches, follows Desired, and is a table: `table` {tuple: [version, nexthop, packets, bytes]}.

    Each change is reported as programmed, or as refuse(tuple) says. `answers(tuple)` gives the nexthop that was chosen
    (None: uncertain). Threads follow the streams; stop() leaves the table as it is."""

    def __init__(self, d, name, start=True, **kwargs):
        self.d, self.name = d, name
        self.path = os.path.join(os.path.dirname(d.socket), "daemon.sock")
        self.interface = Interface.load(SEAM)
        self.lock = threading.RLock()
        self.table, self.gone, self.batches, self.questions, self.errors = {}, [], [], [], []
        self.snapshot, self.kinds = None, []
        self.nexthops, self.reachable, self.refuse, self.answers = [], True, lambda k: None, self.only
        self.program = True
        self.capacity = None
        self.main = self.streams = None
        self.__dict__.update(kwargs)
        if start:
            self.start()

    def only(self, k):
        """The answer where nothing else is asked for: the only nexthop of the flow's family."""
        some = [n["address"] for n in self.nexthops if (":" in n["address"]) == (":" in k[1]) and n["named"]]
        return some[0] if len(some) == 1 else None

    def digest(self):
        return next(s["config_digest"] for s in self.d.flowpin("switches")["switches"] if s["name"] == self.name)

    def attach(self, **other):
        values = {"switch": self.name, "api": 1, "config_digest": other.get("config_digest") or self.digest()}
        values.update(other)
        return self.main.call("Attach", **values)

    def start(self):
        self.main = Connection(self.path, self.interface, timeout=tap.seconds(10))
        self.attached = self.attach()
        self.health()
        self.streams = [Connection(self.path, self.interface, timeout=None) for _ in range(2)]
        for c, method, take in zip(self.streams, ("Desired", "Ask"), (self._wishes, self._question)):
            threading.Thread(target=self._follow, args=(c, method, take), daemon=True).start()
        return self

    def stop(self):
        for c in [self.main, *(self.streams or [])]:
            if c:
                try:
                    c.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                c.socket.close()
        self.main = self.streams = None

    def _follow(self, connection, method, take):
        try:
            for reply in connection.call_more(method, switch=self.name):
                take(reply)
        except (OSError, EOFError, VarlinkError, ValueError, AttributeError) as e:
            self.errors.append(e)

    def call(self, method, **parameters):
        with self.lock:
            return self.main.call(method, switch=self.name, **parameters)

    def _wishes(self, reply):
        with self.lock:
            self.batches.append(reply)
            self.kinds.append(reply["kind"])
            told = []
            for w in reply["wishes"]:
                k = key(w["tuple"])
                if w["present"]:
                    why = self.refuse(k)
                    if why:
                        told.append(self.observation(k, w["version"], "rejected", text=why))
                        continue
                    old = self.table.get(k, [0, None, 0, 0])
                    self.table[k] = [w["version"], w["nexthop"], old[2], old[3]]
                    if self.program:
                        told.append(self.observation(k, w["version"], "programmed", w["nexthop"]))
                else:
                    self.table.pop(k, None)
                    self.gone.append((k, w["reason"]))
                    told.append(self.observation(k, w["version"], "absent"))
            self.call("Done", serial=reply["serial"])
            self.observe(told)

    def _question(self, reply):
        with self.lock:
            self.questions.append(len(reply["tuples"]))
            answers = []
            for t in reply["tuples"]:
                nexthop = self.answers(key(t))
                answers.append(dict({"tuple": t}, **({"nexthop": nexthop} if nexthop else {"why": "ambiguous"})))
            for at in range(0, len(answers), 40):
                self.call("Answer", question=reply["question"], answers=answers[at:at + 40])

    @staticmethod
    def observation(k, version, state, nexthop=None, text=None, packets=None, bytes_=None):
        o = {"tuple": tuple_of(k), "version": version, "state": state}
        for name, value in (("nexthop", nexthop), ("text", text), ("packets", packets), ("bytes", bytes_)):
            if value is not None:
                o[name] = value
        return o

    def observe(self, flows, full=False):
        for at in range(0, len(flows), 40):
            self.call("Observed", flows=flows[at:at + 40], full=False)
        if full:
            self.call("Observed", flows=[], full=True)

    def read(self, adopted="adopted"):
        """A complete reading with counters."""
        with self.lock:
            self.observe([self.observation(k, v, "programmed" if v else adopted, nh, packets=p, bytes_=b)
                          for k, (v, nh, p, b) in self.table.items()], full=True)

    def traffic(self, keys=None):
        with self.lock:
            for k in keys if keys is not None else self.table:
                self.table[k][2] += 10
                self.table[k][3] += 1000

    def health(self, **other):
        values = {"reachable": self.reachable, "programmed": len(self.table), "pending": 0, "rejected": 0, "foreign": 0,
                  "requests": 1, "commands": 1, "lag_ms": 0, "version": "4.28.0F", "model": "DCS-7058",
                  "nexthops": self.nexthops}
        if self.capacity is not None:
            values["capacity"] = self.capacity
        values.update(other)
        return self.call("Health", **values)

    def status(self):
        return next(s for s in self.d.flowpin("switches")["switches"] if s["name"] == self.name)


def nexthop(address, *services, alive=True, interface="Ethernet1"):
    return {"address": address, "interface": interface, "alive": alive, "named": list(services)}


class Mirror:
    """Sends records as flowpin-mirror does."""

    def __init__(self, d):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(tap.seconds(10))
        self.socket.connect(os.path.join(os.path.dirname(d.socket), "mirror.sock"))

    @staticmethod
    def record(src, sport, dst="1.1.1.1", dport=80, proto=6, flags=SYN):
        a, b = ipaddress.ip_address(src), ipaddress.ip_address(dst)
        family = socket.AF_INET if a.version == 4 else socket.AF_INET6
        return struct.pack("=16s16sHHBBBB", a.packed.ljust(16, b"\0"), b.packed.ljust(16, b"\0"), sport, dport, family,
                           proto, flags, 0)

    def send(self, name, records):
        for at in range(0, len(records), 256):
            some = records[at:at + 256]
            self.socket.send(struct.pack("=IHH16sQ", MAGIC, 1, len(some), name.encode(), time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000000) + b"".join(some))

    def counters(self, name, received=0, handed_on=0, dropped=()):
        values = list(dropped) + [0] * (16 - len(dropped))
        self.socket.send(struct.pack("=IHH16s19Q", MAGIC, 2, 1, name.encode(), 0, received, handed_on, *values))
