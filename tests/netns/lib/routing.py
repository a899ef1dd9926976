# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways in which an operator or a routing daemon may give the kernel a multipath route."""

from lab import VIP4, VIP6


def _hops(weights):
    return weights if isinstance(weights, dict) else {server: 1 for server in weights}


class _Routing:
    """via: family of the nexthops' addresses: 4, 6, or "ll" for fe80::2 on each server's own
    interface."""

    def __init__(self, lab, family=4, via=None):
        self.lab, self.family, self.via = lab, family, via or family
        self.prefix = f"{VIP4}/32" if family == 4 else f"{VIP6}/128"

    def gateway(self, server):
        """(address, interface) of a server."""
        if self.via == "ll":
            return "fe80::2", self.lab.nexthops[server, 6][1]
        return self.lab.nexthops[server, self.via]

    def nexthop(self, server):
        """As flowpin writes it."""
        return "%".join(self.gateway(server))


class Plain(_Routing):
    """`ip route replace PREFIX nexthop via ... nexthop via ...`"""

    def set(self, weights):
        """Names of servers, or {server: weight}; what the route names from now on."""
        hops = []
        for server, weight in _hops(weights).items():
            address, dev = self.gateway(server)
            word = "inet6 " if self.family == 4 and ":" in address else ""
            hops.append(f"nexthop via {word}{address} dev {dev} weight {weight}")
        self.lab.ip(self.lab.gateway, f"route replace {self.prefix} proto bird " + " ".join(hops))


class Groups(_Routing):
    """Nexthop objects in a group that the route names; a change replaces the group, not the route.
    kind: "mpath" or "resilient"."""

    GROUP = 1000

    def __init__(self, lab, family=4, via=None, kind="mpath"):
        super().__init__(lab, family, via)
        self.kind = "type resilient buckets 128 idle_timer 60" if kind == "resilient" else ""
        self.ids = {}

    def set(self, weights):
        lines = []
        for server in _hops(weights):
            if server not in self.ids:
                self.ids[server] = 1 + len(self.ids) + (0 if self.family == 4 else 100)
                address, dev = self.gateway(server)
                lines.append(f"nexthop replace id {self.ids[server]} via {address} dev {dev} proto bird")
        group = self.GROUP + self.family
        members = "/".join(f"{self.ids[server]},{weight}" for server, weight in _hops(weights).items())
        lines.append(f"nexthop replace id {group} group {members} {self.kind} proto bird")
        lines.append(f"route replace {self.prefix} proto bird nhid {group}")
        self.lab.ip(self.lab.gateway, *lines)
