# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says was changed in a namespace: nf_tables, rules and routes."""

import socket
import struct

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
_NFT = 10 << 8

# what: protocol, groups, names of the messages
_KINDS = {
    "nft": (NETLINK_NETFILTER, (7,),
            {_NFT | 0: "new table", _NFT | 2: "delete table", _NFT | 3: "new chain", _NFT | 5: "delete chain",
             _NFT | 6: "new rule", _NFT | 8: "delete rule", _NFT | 9: "new set", _NFT | 11: "delete set",
             _NFT | 12: "new element", _NFT | 14: "delete element", _NFT | 15: "generation",
             _NFT | 18: "new object", _NFT | 20: "delete object"}),
    "routing": (NETLINK_ROUTE, (7, 11, 8, 19, 32),
                {24: "new route", 25: "delete route", 32: "new rule", 33: "delete rule", 104: "new nexthop",
                 105: "delete nexthop"}),
}


class Changes:
    """Changes(lab, "nft") or Changes(lab, "routing"): take() lists what was changed since the last
    take, in order. Each transaction of nf_tables ends in one "generation"; what packets write into
    a map is not told."""

    def __init__(self, lab, what, ns=None):
        protocol, groups, self._names = _KINDS[what]
        with lab.inside(ns or lab.gateway):
            self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            self._sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
            self._sock.bind((0, 0))  # one without an address is told nothing
            for group in groups:
                self._sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        self._sock.setblocking(False)
        lab.closers.append(self._sock.close)

    def take(self):
        names = []
        while True:
            try:
                data = self._sock.recv(1 << 17)
            except BlockingIOError:
                return names
            while len(data) >= 16:
                length, kind = struct.unpack("=IH", data[:6])
                names.append(self._names.get(kind, f"message {kind}"))
                data = data[max(16, (length + 3) & ~3):]
