# SPDX-License-Identifier: GPL-2.0-or-later
"""ICMP errors about a flow, as a router on the way of the servers' answers would send them."""

import ipaddress
import socket
import struct

import capture


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _quoted(src, dst, proto, sport, dport):
    """The head of a full-sized packet from src to dst, as an error quotes it."""
    ports = struct.pack("!HHI", sport, dport, 1480 << 16 if proto == 17 else 5000)
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if src.version == 6:
        return struct.pack("!IHBB", 6 << 28, 1460, proto, 60) + src.packed + dst.packed + ports + bytes(40)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 1500, 77, 0x4000, 60, proto, 0) + src.packed + dst.packed
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + ports


def send_too_big(lab, ns, pool, flows, mtu=1300):
    """From the namespace, one "fragmentation needed" (or "packet too big") about the answers of
    each of these flows."""
    proto = 6 if pool.kind == socket.SOCK_STREAM else 17
    six = pool.family == socket.AF_INET6
    with lab.inside(ns):
        sock = socket.socket(pool.family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    with sock:
        for f in flows:
            quoted = _quoted(pool.target, f.src, proto, pool.port, f.sport)
            if six:
                message = struct.pack("!BBHI", 2, 0, 0, mtu) + quoted  # the kernel fills in the checksum
            else:
                message = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quoted
                message = message[:2] + struct.pack("!H", _checksum(message)) + message[4:]
            sock.sendto(message, (pool.target, 0))


class ErrorWatch:
    """Sees at which server the errors arrive."""

    def __init__(self, lab, pool):
        self.pool = pool
        self.captures = {server: capture.Capture(lab, server) for server in lab.servers}

    def _ours(self, p):
        return (capture.too_big(p) and not p.outgoing and p.inner is not None
                and p.inner.src == self.pool.target)

    def arrived(self):
        """{(client's address, port): {servers that got an error about it}}"""
        seen = {}
        for server, c in self.captures.items():
            for p in c.packets(self._ours):
                seen.setdefault((p.inner.dst, p.inner.dport), set()).add(server)
        return seen

    def wrong(self, flows):
        """The flows whose error did not reach their server, or reached another one: [(flow, where
        it went)]."""
        seen = self.arrived()
        went = [(f, seen.get((f.src, f.sport), set())) for f in flows]
        return [(f, where) for f, where in went if where != {f.server}]

    def total(self):
        return sum(len(s) for s in self.arrived().values())
