# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to the kernel that a command is too slow or too small for: multipath routes of any size, the deletion of conntrack
entries by mark, and waiting for the end of an nf_tables transaction."""

import os
import socket
import struct
import time

NETLINK_ROUTE, NETLINK_NETFILTER, SOL_NETLINK, ADD_MEMBERSHIP, FORCE = 0, 12, 270, 1, 33
REQUEST, ACK, CREATE, REPLACE = 1, 4, 0x400, 0x100
RTPROT_BIRD = 12


def _attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


class Kernel:
    """A netlink socket in a namespace; closed with the lab."""

    def __init__(self, lab, ns="gw", protocol=NETLINK_ROUTE):
        with lab.inside(ns):
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            self.sock.bind((0, 0))
        lab.closers.append(self.sock.close)

    def request(self, kind, flags, body):
        """Sends it and takes the answer; OSError when it was refused."""
        self.sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags | REQUEST | ACK, 1, 0) + body)
        error = struct.unpack("=i", self.sock.recv(1 << 16)[16:20])[0]
        if error:
            raise OSError(-error, os.strerror(-error))


class Routes(Kernel):
    """IPv4 multipath routes."""

    def replace(self, prefix, hops):
        """hops: [(address, interface index)]."""
        address, length = prefix.split("/")
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, int(length), 0, 0, 254, RTPROT_BIRD, 0, 1, 0)
        body += _attribute(1, socket.inet_aton(address))
        nexthops = b""
        for gateway, index in hops:
            via = _attribute(5, socket.inet_aton(gateway))
            nexthops += struct.pack("=HBBi", 8 + len(via), 0, 0, index) + via
        self.request(24, CREATE | REPLACE, body + _attribute(9, nexthops))


class Conntrack(Kernel):
    """Entries of conntrack."""

    def __init__(self, lab, ns="gw"):
        super().__init__(lab, ns, NETLINK_NETFILTER)

    def delete_marked(self, mark, mask):
        """Deletes all entries with that mark, in the kernel: a filtered flush."""
        body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
        body += _attribute(8, struct.pack("!I", mark)) + _attribute(21, struct.pack("!I", mask))
        self.request(1 << 8 | 2, 0, body)


class Transactions:
    """Waits for changes of nf_tables."""

    def __init__(self, lab, ns="gw"):
        with lab.inside(ns):
            self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            self.sock.setsockopt(socket.SOL_SOCKET, FORCE, 1 << 22)
            self.sock.bind((0, 0))
            self.sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, 7)
        lab.closers.append(self.sock.close)

    def forget(self):
        """What was told so far is not waited for."""
        self.sock.setblocking(False)
        try:
            while True:
                self.sock.recv(1 << 17)
        except BlockingIOError:
            pass

    def wait(self, word, deadline=20):
        """Until a transaction whose messages contain these bytes; how many messages it had, None after the deadline."""
        end, n = time.monotonic() + deadline, 0
        found = False
        while time.monotonic() < end:
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self.sock.recv(1 << 17)
            except TimeoutError:
                return None
            n += 1
            found = found or word in data
            if found:
                return n
        return None
