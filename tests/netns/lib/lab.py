# SPDX-License-Identifier: GPL-2.0-or-later
"""A Lab is a set of network namespaces joined by veth, with everything that a test needs to change
in it.

Names are short ("gw"); the namespaces are called fp<pid>-gw. All that was made is removed at the
end of the with block, also after an exception, SIGINT and SIGTERM (tests/run removes what a killed
test left)."""

import ipaddress
import itertools
import json
import os
import re
import shutil
import signal
import tempfile

import net
import tap
from loop import Loop

VIP4, VIP6 = "1.1.1.1", "2001:db8::1"
_serial = itertools.count()


class Lab:
    """Use a topology of topology.py, or build one with ns() and link()."""

    def __init__(self, name=""):
        self.prefix = f"fp{os.getpid()}{name}-"
        self.tmp = tempfile.mkdtemp(prefix=f"flowpin-{os.getpid()}-")
        self.loop = Loop()
        self.namespaces = []
        self.daemons = []
        self.closers = []  # functions called before the namespaces go
        self.client, self.gateway, self.servers = "c", "gw", []
        self.sources = {4: [], 6: []}  # the client's addresses
        self.nexthops = {}  # (server, family) -> (address, gateway's interface)
        self._sports = itertools.cycle(range(10000, 30000))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        quiet = (None, tap.Skip, tap.NoDaemon, SystemExit)
        if not tap.WITHOUT and (tap.case_failed() or exc[0] not in quiet):
            self.diagnose()
        self.close()

    def close(self):
        """Ends everything; may be called twice."""
        for d in self.daemons:
            d.end()
        for fn in reversed(self.closers):
            fn()
        self.closers = []
        self.loop.close()
        for name in self.namespaces:
            self._kill_inside(name)
            net.run("ip", "netns", "del", self.full(name), check=False)
        self.namespaces = []
        shutil.rmtree(self.tmp, ignore_errors=True)

    def _kill_inside(self, name):
        for pid in net.run("ip", "netns", "pids", self.full(name), check=False).split():
            if int(pid) != os.getpid():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def diagnose(self):
        """Prints what a person needs to understand a failure."""
        for d in self.daemons:
            d.diagnose()
        if self.gateway in self.namespaces:
            for what in ("ip -4 route show table all type unicast", "ip -4 rule",
                         "ip -6 route show table all type unicast", "ip -6 rule",
                         "ip neigh", "nft -t list ruleset"):
                tap.note(f"--- {self.gateway}: {what}")
                tap.note("\n".join(self.run(self.gateway, what, check=False).splitlines()[:120]))

    # --- namespaces and links

    def full(self, name):
        """The real name of a namespace."""
        return self.prefix + name

    def ns(self, name, forward=False):
        """Makes a namespace; with forward it is a router (policy 1 multipath, rp_filter off)."""
        net.run("ip", "netns", "add", self.full(name))
        self.namespaces.append(name)
        settings = {"net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0,
                    "net.ipv6.conf.default.dad_transmits": 0,
                    "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0,
                    "net.ipv6.conf.all.accept_ra": 0, "net.ipv6.conf.default.accept_ra": 0}
        if forward:
            settings.update({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1,
                             "net.ipv4.fib_multipath_hash_policy": 1, "net.ipv6.fib_multipath_hash_policy": 1,
                             "net.ipv4.conf.all.send_redirects": 0, "net.ipv4.conf.default.send_redirects": 0,
                             "net.ipv4.icmp_ratelimit": 0, "net.ipv6.icmp.ratelimit": 0})
        self.sysctl(name, **settings)
        net.ip_batch(self.full(name), ["link set lo up"])
        return name

    def link(self, a, b, a_if=None, b_if=None, a_addrs=(), b_addrs=(), mtu=1500):
        """A veth pair between two namespaces; its ends are called after the other side unless told
        otherwise."""
        a_if, b_if = a_if or b, b_if or a
        net.ip_batch(self.full(a), [f"link add name {a_if} type veth peer name {b_if} netns {self.full(b)}"])
        for ns, dev, addrs in ((a, a_if, a_addrs), (b, b_if, b_addrs)):
            net.ip_batch(self.full(ns), [f"link set dev {dev} mtu {mtu} up"] + self._address_lines(dev, addrs))

    @staticmethod
    def _address_lines(dev, addrs):
        return [f"address add {a} dev {dev}" + (" nodad" if ":" in a else "") for a in addrs]

    def address(self, ns, dev, *addrs):
        net.ip_batch(self.full(ns), self._address_lines(dev, addrs))

    # --- commands

    def inside(self, ns):
        """Context manager: sockets and processes made inside belong to that namespace."""
        return net.in_namespace(self.full(ns))

    def run(self, ns, *command, check=True, stdin=None, timeout=60):
        """Runs a command in a namespace and returns its output: lab.run("gw", "ip route show") or
        words."""
        with self.inside(ns):
            return net.run(*command, check=check, stdin=stdin, timeout=timeout)

    def ip(self, ns, *lines):
        """Any number of `ip` commands (without the word ip), in one process."""
        net.ip_batch(self.full(ns), list(lines))

    def ip_json(self, ns, arguments):
        """`ip -json <arguments>` parsed."""
        return json.loads(self.run(ns, f"ip -json {arguments}") or "[]")

    def nft(self, ns, text):
        """Loads an nft script."""
        self.run(ns, "nft", "-f", "-", stdin=text)

    def sysctl(self, ns, **settings):
        """lab.sysctl("gw", **{"net.ipv4.ip_forward": 1}); names may be written with __ for the
        dots instead."""
        with self.inside(ns):
            for name, value in settings.items():
                try:
                    with open(net.sysctl_path(name.replace("__", ".")), "w", encoding="ascii") as f:
                        f.write(str(value))
                except FileNotFoundError:
                    if not name.startswith(("net.ipv6.icmp.", "net.ipv4.icmp_")):
                        raise

    def sysctl_get(self, ns, name):
        with self.inside(ns), open(net.sysctl_path(name), encoding="ascii") as f:
            return f.read().strip()

    # --- routes of the service on the gateway

    def nexthop(self, server, family=4):
        """"10.1.1.2%s1": the words of flowpin."""
        address, dev = self.nexthops[server, family]
        return f"{address}%{dev}"

    def server_of(self, nexthop):
        """The server behind a nexthop as flowpin prints it ("10.1.1.2%s1"), None if unknown."""
        for (server, _), (address, dev) in self.nexthops.items():
            if nexthop in (address, f"{address}%{dev}"):
                return server
        return None

    def route(self, weights, family=4, prefix=None, table=None, extra=""):
        """The multipath route of the VIP (or prefix) on the gateway: names of servers, or {server:
        weight}. Empty: deleted."""
        prefix = prefix or (f"{VIP4}/32" if family == 4 else f"{VIP6}/128")
        where = f" table {table}" if table else ""
        if not weights:
            self.ip(self.gateway, f"route del {prefix}{where}")
            return
        if not isinstance(weights, dict):
            weights = {server: 1 for server in weights}
        hops = []
        for server, weight in weights.items():
            address, dev = self.nexthops[server, family]
            hops.append(f"nexthop via {address} dev {dev} weight {weight}")
        self.ip(self.gateway, f"route replace {prefix}{where} proto bird {extra} " + " ".join(hops))

    def conntrack(self, *arguments, ns=None, check=True):
        """`conntrack <arguments>` on the gateway: its output."""
        return self.run(ns or self.gateway, "conntrack", *arguments, check=check)

    def pins(self, family=4):
        """How many elements the pin map has."""
        text = self.run(self.gateway, f"nft list map inet flowpin pin{family}", check=False)
        return len(re.findall(r"\bexpires\b", text))

    def forget_quickly(self, timeout=5):
        """conntrack on the gateway drops TCP entries after so many seconds (flowpind must run: it loads conntrack)."""
        for state in ("syn_sent", "syn_recv", "established", "unacknowledged", "fin_wait", "close_wait",
                      "last_ack", "time_wait", "close"):
            self.sysctl(self.gateway, **{f"net.netfilter.nf_conntrack_tcp_timeout_{state}": timeout})

    # --- small things

    def deaf(self, server, port=None):
        """The server drops what arrives for the VIP (and that port): it neither answers nor
        resets."""
        match = f"meta l4proto {{tcp, udp}} th dport {port} " if port else ""
        self.nft(server, "add table inet deaf\nadd chain inet deaf in "
                         "{ type filter hook prerouting priority -400; }\n"
                         f"add rule inet deaf in ip daddr {VIP4} {match} drop\n"
                         f"add rule inet deaf in ip6 daddr {VIP6} {match} drop\n")

    def hearing(self, server):
        """Undoes deaf()."""
        self.nft(server, "delete table inet deaf\n")

    def sport(self):
        """A source port that no other pool of this lab uses (from 10000 on; they repeat after
        20,000)."""
        return next(self._sports)

    def path(self, name):
        """A new path in the lab's temporary directory."""
        return os.path.join(self.tmp, f"{next(_serial)}-{name}")


def family_of(address):
    return ipaddress.ip_address(address).version
