# SPDX-License-Identifier: GPL-2.0-or-later
"""What arrives at an interface, seen by AF_PACKET."""

import collections
import ipaddress
import socket
import struct

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
PACKET_OUTGOING = 4
SYN, RST, ACK, FIN = 0x02, 0x04, 0x10, 0x01

# inner: the packet that an ICMP error quotes. type, code: of ICMP. length: of the IP packet.
# fragment: (offset, more).
Packet = collections.namedtuple(
    "Packet",
    "version proto src dst sport dport flags seq type code mtu inner length fragment outgoing",
)


class Capture:
    """Capture(lab, "s1") sees everything that passes the namespace's interfaces from now on (dev:
    one of them)."""

    def __init__(self, lab, ns, dev=None):
        with lab.inside(ns):
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
            self._sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)  # SO_RCVBUFFORCE
            if dev:
                self._sock.bind((dev, ETH_P_ALL))
        self._sock.setblocking(False)
        self._packets = []
        lab.closers.append(self._sock.close)

    def packets(self, match=None):
        """All packets so far, or those for which match(packet) is true; outgoing ones too
        (packet.outgoing)."""
        while True:
            try:
                data, (_, protocol, kind, _, _) = self._sock.recvfrom(1 << 16)
            except BlockingIOError:
                break
            if protocol in (ETH_P_IP, ETH_P_IPV6):
                p = parse(data, outgoing=kind == PACKET_OUTGOING)
                if p:
                    self._packets.append(p)
        return [p for p in self._packets if match is None or match(p)]

    def clear(self):
        self.packets()
        self._packets = []


def parse(data, outgoing=False, nested=False):
    """A Packet of an IP packet's bytes, None if it is none."""
    fragment = (0, False)
    if len(data) >= 20 and data[0] >> 4 == 4:
        version, proto, rest = 4, data[9], data[(data[0] & 15) * 4:]
        src, dst = data[12:16], data[16:20]
        length, raw = struct.unpack("!HxxH", data[2:8])
        fragment = ((raw & 0x1FFF) * 8, bool(raw & 0x2000))
    elif len(data) >= 40 and data[0] >> 4 == 6:
        version, proto, rest = 6, data[6], data[40:]
        src, dst, length = data[8:24], data[24:40], struct.unpack("!H", data[4:6])[0] + 40
        if proto == 44 and len(rest) >= 8:
            raw = struct.unpack("!H", rest[2:4])[0]
            proto, fragment, rest = rest[0], (raw & 0xFFF8, bool(raw & 1)), rest[8:]
    else:
        return None
    sport = dport = flags = seq = kind = code = mtu = inner = None
    if not fragment[0] and proto in (6, 17) and len(rest) >= 8:
        sport, dport = struct.unpack("!HH", rest[:4])
        if proto == 6:
            seq = struct.unpack("!I", rest[4:8])[0]
            flags = rest[13] if len(rest) > 13 else None
    elif not fragment[0] and proto in (1, 58) and len(rest) >= 8:
        kind, code = rest[0], rest[1]
        if (version, kind) in ((4, 3), (4, 11), (6, 1), (6, 2), (6, 3)):
            mtu = struct.unpack("!H", rest[6:8])[0] if version == 4 else struct.unpack("!I", rest[4:8])[0]
            inner = None if nested else parse(rest[8:], nested=True)
    src, dst = str(ipaddress.ip_address(src)), str(ipaddress.ip_address(dst))
    return Packet(version, proto, src, dst, sport, dport, flags, seq, kind, code, mtu, inner, length,
                  fragment, outgoing)


def too_big(packet):
    """Whether this is "fragmentation needed" or "packet too big"."""
    kind = (packet.version, packet.proto, packet.type, packet.code)
    return kind in ((4, 1, 3, 4), (6, 58, 2, 0))
