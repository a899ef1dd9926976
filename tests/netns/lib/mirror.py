# SPDX-License-Identifier: GPL-2.0-or-later
"""A switch that mirrors (GRE and ERSPAN packets, made by hand), flowpin-mirror in a lab, and a stand-in for flowpind that
receives its records. The layouts are written down here once more, on purpose: they are the wire, not the header file."""

import collections
import ipaddress
import os
import selectors
import socket
import struct
import time

import tap
from daemon import WEB, Daemon

GRE = 47
SYN, FIN, RST = 1, 2, 4  # flags of a record
TCP_FIN, TCP_SYN, TCP_RST, TCP_ACK = 0x01, 0x02, 0x04, 0x10
FLOWS, COUNTERS = 1, 2  # kinds
# In the order of the counters.
REASONS = ("none", "foreign", "key", "gre", "protocol", "erspan", "not-ip", "truncated", "malformed", "fragment", "transport",
           "later", "address", "repeated", "overrun", "handoff")

Record = collections.namedtuple("Record", "src dst sport dport proto flags")


# --- packets, from the inside out

def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(src, dst, proto, payload, options=b"", ident=0):
    """A whole IP packet, of the addresses' family; a TCP header in it gets its checksum."""
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if proto == socket.IPPROTO_TCP:
        pseudo = src.packed + dst.packed + struct.pack("!II", len(payload), proto)
        payload = payload[:16] + struct.pack("!H", _checksum(pseudo + payload)) + payload[18:]
    if src.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), proto, 63) + src.packed + dst.packed + payload
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), ident, 0, 63, proto, 0) + src.packed + dst.packed + options
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + payload


def tcp(sport=30002, dport=80, flags=TCP_SYN):
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, flags, 64240, 0, 0)


def udp(sport=30002, dport=80):
    return struct.pack("!HHHH", sport, dport, 8, 0)


def frame(packet, tags=b""):
    """An Ethernet frame around an IP packet."""
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    return bytes.fromhex("001c73000001001c73000002") + tags + kind + packet


def gre(payload, protocol=0x88BE, key=None, sequence=None):
    """GRE; the default is what an ERSPAN Type I mirror is."""
    flags = (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    words = [w for w in (key, sequence) if w is not None]
    return struct.pack(f"!HH{len(words)}I", flags, protocol, *words) + payload


def syn(src="12.12.12.1", sport=30002, dst="1.1.1.1", dport=80, flags=TCP_SYN):
    """A mirrored TCP packet as GRE."""
    return gre(frame(ip_packet(src, dst, 6, tcp(sport, dport, flags))))


class Sender:
    """Sends GRE from a namespace, from any source address."""

    def __init__(self, lab, ns, source, destination):
        self.source, self.destination = source, destination
        self._four = ipaddress.ip_address(source).version == 4
        with lab.inside(ns):
            if self._four:
                self._sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            else:
                self._sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._sock.setsockopt(socket.SOL_SOCKET, 32, 1 << 24)  # SO_SNDBUFFORCE
        lab.closers.append(self._sock.close)

    def send(self, *payloads, source=None, destination=None, options=b""):
        """GRE packets (bytes that begin with the GRE header), one after another."""
        destination = destination or self.destination
        for payload in payloads:
            self._sock.sendto(ip_packet(source or self.source, destination, GRE, payload, options), (destination, 0))


# --- flowpind's side

class Listener:
    """What flowpind is to flowpin-mirror: receives records and counters at `path`. While it is not asked it reads nothing."""

    def __init__(self, lab, path=None):
        self.path = path or lab.path("mirror.sock")
        self.records, self.batches, self.bad = [], [], []
        self.counters = {}
        self.connections, self.waited = 0, 0  # waited: how old records were, at most
        self._selector = None
        self.open()
        lab.closers.append(self.close)

    def open(self):
        self._selector = selectors.DefaultSelector()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(self.path)
        listening.listen(4)
        listening.setblocking(False)
        self._selector.register(listening, selectors.EVENT_READ, None)

    def close(self):
        """As if flowpind had ended."""
        if self._selector:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()
            self._selector.close()
            self._selector = None
            os.unlink(self.path)

    def poll(self):
        """Takes what is there, without waiting; returns self."""
        while self._selector and (ready := self._selector.select(0)):
            for key, _ in ready:
                if key.data is None:
                    connection, _ = key.fileobj.accept()
                    connection.setblocking(False)
                    connection.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)
                    self._selector.register(connection, selectors.EVENT_READ, True)
                    self.connections += 1
                elif not (data := key.fileobj.recv(65536)):
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()
                else:
                    self._take(data)
        return self

    def _take(self, data):
        magic, kind, count, name, taken = struct.unpack("=IHH16sQ", data[:32])
        name, rest = name.split(b"\0")[0].decode(), data[32:]
        waited = time.clock_gettime(time.CLOCK_BOOTTIME) - taken / 1000
        if magic == 0x46504D31 and kind == FLOWS and 0 < count <= 256 and len(rest) == 40 * count and -0.1 < waited < 600:
            self.waited = max(self.waited, waited)
            batch = [self._record(rest[at:at + 40]) for at in range(0, len(rest), 40)]
            self.records += [(name, r) for r in batch]
            self.batches.append(batch)
        elif magic == 0x46504D31 and kind == COUNTERS and count == 1 and len(rest) == 18 * 8:
            received, handed_on, *dropped = struct.unpack("=18Q", rest)
            self.counters[name] = dict(zip(REASONS, dropped), received=received, handed_on=handed_on)
        else:
            self.bad.append(data)

    def _record(self, data):
        src, dst, sport, dport, family, proto, flags, pad = struct.unpack("=16s16sHHBBBB", data)
        size = 4 if family == socket.AF_INET else 16
        if pad or (size == 4 and (any(src[4:]) or any(dst[4:]))):
            self.bad.append(data)
        src, dst = (str(ipaddress.ip_address(a[:size])) for a in (src, dst))
        return Record(src, dst, sport, dport, proto, flags)

    def of(self, name):
        """The records of one switch so far."""
        return [r for n, r in self.poll().records if n == name]

    def count(self, name, what):
        """A counter of a switch, 0 while nothing was told."""
        return self.poll().counters.get(name, {}).get(what, 0)


# --- flowpin-mirror

def switch(name, source, destination, interface, zone, more=""):
    """A switch section with a mirror."""
    return f"""switch {name} {{
    eapi = "https://192.0.2.1/command-api"
    mirror {{ source = {source}  destination = {destination}  interface = {interface}  zone = {zone}  {more} }}
}}
"""


class MirrorDaemon(Daemon):
    """flowpin-mirror in the gateway's namespace. config: the switch sections."""

    def __init__(self, lab, config, listener, **kwargs):
        self._socket = listener.path
        super().__init__(lab, WEB + config, name="flowpin-mirror", **kwargs)

    @property
    def socket(self):
        return self._socket

    @socket.setter
    def socket(self, _value):
        pass  # it is the listener's

    def configure(self, config):
        super().configure(config if "service " in config else WEB + config)

    @staticmethod
    def program(name="flowpin-mirror"):
        return Daemon.program(name)

    def diagnose(self):
        tap.note(f"--- log of flowpin-mirror in {self.ns}")
        tap.note("\n".join(self.log().splitlines()[-60:]))

    def proc_status(self):
        """/proc/PID/status as a dict."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
