#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The data plane against real packets: a client, the switch, two servers and a collector in namespaces."""

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from eossim import Sim  # pylint: disable=wrong-import-position

PREFIX = f"fp{os.getpid()}eos"
NAMES = ("c", "sw", "s1", "s2", "col")
VIP = {socket.AF_INET: "1.1.1.1", socket.AF_INET6: "2001:db8::1"}
SETUP = """
link add c netns SW type veth peer name e0 netns C
link add s1 netns SW type veth peer name e0 netns S1
link add s2 netns SW type veth peer name e0 netns S2
link add col netns SW type veth peer name e0 netns COL
"""
libc = ctypes.CDLL(None, use_errno=True)
points = []


def check(good, text, detail=""):
    points.append(bool(good))
    print(f"{'ok' if good else 'not ok'} {len(points)} - {text}")
    if not good:
        print("# " + str(detail).replace("\n", "\n# "))


def full(name):
    return f"{PREFIX}-{name}"


def run(name, *command):
    return subprocess.run(["ip", "netns", "exec", full(name), *command], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def inside(name):
    """This thread is in the namespace meanwhile."""
    with open("/proc/thread-self/ns/net", encoding="ascii") as back, open(f"/run/netns/{full(name)}", encoding="ascii") as there:
        libc.setns(there.fileno(), 0x40000000)
        try:
            yield
        finally:
            libc.setns(back.fileno(), 0x40000000)


def make_network():
    for name in NAMES:
        subprocess.run(["ip", "netns", "add", full(name)], check=True)
        for setting in ("all", "default"):
            run(name, "sysctl", "-qw", f"net.ipv6.conf.{setting}.accept_dad=0")
        run(name, "ip", "link", "set", "lo", "up")
    for line in SETUP.strip().splitlines():
        words = [full(w.lower()) if w in ("SW", "C", "S1", "S2", "COL") else w for w in line.split()]
        subprocess.run(["ip", *words], check=True)
    for i, name in enumerate(("c", "s1", "s2", "col")):
        for ns, dev, last in (("sw", name, 1), (name, "e0", 2)):
            run(ns, "ip", "link", "set", dev, "up")
            run(ns, "ip", "addr", "add", f"10.0.{i}.{last}/24", "dev", dev)
            run(ns, "ip", "addr", "add", f"fd00:{i}::{last}/64", "dev", dev, "nodad")
        run(name, "ip", "route", "add", "default", "via", f"10.0.{i}.1")
        run(name, "ip", "-6", "route", "add", "default", "via", f"fd00:{i}::1")
    for name in ("s1", "s2"):
        run(name, "ip", "addr", "add", VIP[socket.AF_INET] + "/32", "dev", "lo")
        run(name, "ip", "addr", "add", VIP[socket.AF_INET6] + "/128", "dev", "lo", "nodad")


def remove_network():
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", full(name)], check=False, capture_output=True)


class Servers:
    """Answer every datagram with their name, and TCP connections too."""

    def __init__(self):
        self.stop = False
        self.threads = []
        for name in ("s1", "s2"):
            for family in VIP:
                with inside(name):
                    udp = socket.socket(family, socket.SOCK_DGRAM)
                    udp.bind((VIP[family], 80))
                udp.settimeout(0.1)
                self.threads.append(threading.Thread(target=self.serve, args=(udp, name.encode())))
        for t in self.threads:
            t.start()

    def serve(self, udp, name):
        while not self.stop:
            with contextlib.suppress(TimeoutError):
                _, peer = udp.recvfrom(100)
                udp.sendto(name, peer)
        udp.close()

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()


def probe(family, port, n=1):
    """Which server answers datagrams from this port; None: nobody."""
    with inside("c"):
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.bind(("10.0.0.2" if family == socket.AF_INET else "fd00:0::2", port))
    s.settimeout(1)
    answer = None
    try:
        for _ in range(n):
            s.sendto(b"x", (VIP[family], 80))
            answer = s.recv(100).decode()
    except TimeoutError:
        return None
    finally:
        s.close()
    return answer


def set_switch(sim):
    for i, name in enumerate(("c", "s1", "s2", "col")):
        sim.control("interface", name=f"Ethernet{i + 1}", dev=name)
    for via in ("10.0.%d.2", "fd00:%d::2"):
        sim.control("route", prefix=VIP[socket.AF_INET6 if ":" in via else socket.AF_INET] + ("/128" if ":" in via else "/32"),
                    vias=[{"interface": f"Ethernet{i + 1}", "nexthop": via % i} for i in (1, 2)])


def truth(sim, family, port):
    src = "10.0.0.2" if family == socket.AF_INET else "fd00:0::2"
    path = sim.control("path", src=src, dst=VIP[family], protocol=17, sport=port, dport=80, interface="Ethernet1")
    return {"Ethernet2": "s1", "Ethernet3": "s2"}[path["interface"]]


def pin(family, port, action, name=None, idle=0, priority=100):
    six = family == socket.AF_INET6
    src, kind = ("fd00:0::2", "ipv6") if six else ("10.0.0.2", "ip")
    return ["enable", "configure", "directflow", "no shutdown", f"flow {name or f'p{port}-{family}'}",
            f"match ethertype {34525 if six else 'ip'}", f"match source {kind} {src}", f"match destination {kind} {VIP[family]}",
            "match ip protocol udp", f"match source port {port}", "match destination port 80", f"priority {priority}",
            "no persistent", f"timeout idle {idle}", *action, "end"]


def test_paths(sim):
    for family in VIP:
        ports = range(20000, 20040)
        seen = [probe(family, p) for p in ports]
        wanted = [truth(sim, family, p) for p in ports]
        check(seen == wanted and len(set(seen)) == 2, f"{family.name}: 40 of 40 paths are as the switch says",
              f"{sum(a == b for a, b in zip(seen, wanted))} of 40: {seen}")
    model = sim.rpc("show ip route 1.1.1.1", "show ipv6 route 2001:db8::1", "show ip arp", "show interfaces status")["result"]
    vias = model[0]["vrfs"]["default"]["routes"]["1.1.1.1/32"]["vias"]
    check(vias == [{"interface": f"Ethernet{i + 1}", "nexthopAddr": f"10.0.{i}.2"} for i in (1, 2)], "the route is shown", model[0])
    check(len(model[1]["vrfs"]["default"]["routes"]["2001:db8::1/128"]["vias"]) == 2, "the IPv6 route too", model[1])
    arps = {n["address"]: n["interface"] for n in model[2]["vrfs"]["default"]["ipV4Neighbors"]}
    check(arps.get("10.0.1.2") == "Ethernet2", "ARP is shown", arps)
    check(model[3]["interfaceStatuses"]["Ethernet2"]["linkStatus"] == "connected", "links are shown", model[3])


def other(name):
    return "s2" if name == "s1" else "s1"


def server_mac(name):
    return run(name, "cat", "/sys/class/net/e0/address").strip()


def test_tcam(sim):
    for family in VIP:
        nexthop = {"s1": "10.0.1.2", "s2": "10.0.2.2"} if family == socket.AF_INET else {"s1": "fd00:1::2", "s2": "fd00:2::2"}
        intf = {"s1": "Ethernet2", "s2": "Ethernet3"}
        for port in (20001, 20002):
            to = other(truth(sim, family, port))
            action = [f"action output nexthop {nexthop[to]}"] if port == 20001 else \
                [f"action set destination mac {server_mac(to)}", f"action output interface {intf[to]}"]
            answer = sim.rpc(*pin(family, port, action))
            check("result" in answer, f"{family.name}: a flow is taken", answer)
            sim.wait(lambda s, n=f"p{port}-{family}": any(f["name"] == n and f["in_hardware"] for f in s["flows"]))
            check(probe(family, port, 5) == to, f"{family.name}: {action[-1]} steers", to)
            sim.control("refresh")
            f = sim.flows()[f"p{port}-{family}"]
            check(f["packets"] == 5 and f["bytes"] == 5 * (29 if family == socket.AF_INET else 49), "and counts", f)
    sim.rpc("enable", "configure", "directflow", *[f"no flow p{p}-{f}" for p in (20001, 20002) for f in VIP])
    end = time.monotonic() + 2
    while probe(socket.AF_INET, 20001) != truth(sim, socket.AF_INET, 20001) and time.monotonic() < end:
        pass
    check(probe(socket.AF_INET, 20001) == truth(sim, socket.AF_INET, 20001), "deleted, it is gone")


def test_priority_and_expiry(sim):
    family = socket.AF_INET
    to = other(truth(sim, family, 20003))
    nexthop = {"s1": "10.0.1.2", "s2": "10.0.2.2"}
    sim.rpc(*pin(family, 20003, [f"action output nexthop {nexthop[to]}"], priority=100))
    sim.rpc("enable", "configure", "directflow", "flow block", "match ethertype ip", "match destination ip 1.1.1.1",
            "match ip protocol udp", "priority 50", "action drop")
    sim.wait(lambda s: s["used"] == 2)
    check(probe(family, 20003) == to, "an exact flow above a wide one wins")
    check(probe(family, 20004) is None, "the wide one has the rest")
    sim.rpc("enable", "configure", "directflow", "flow block", "priority 150")
    sim.wait(lambda s: [f["priority"] for f in s["flows"] if f["name"] == "block"] == [150])
    check(probe(family, 20003) is None, "a wide flow above it wins")
    sim.control("refresh")
    check(sim.flows()["block"]["packets"] == 1, "and counts", sim.flows()["block"])
    sim.rpc("enable", "configure", "directflow", "no flow block", "no flow p20003-%d" % family)
    sim.rpc(*pin(family, 20005, [f"action output nexthop {nexthop[other(truth(sim, family, 20005))]}"], idle=1))
    sim.wait(lambda s: s["used"] == 1)
    for _ in range(8):
        probe(family, 20005)
        time.sleep(0.25)
    check(sim.usage()["used"] == 1, "traffic keeps a flow beyond its idle timeout")
    sim.wait(lambda s: s["used"] == 0)
    check(True, "and silence ends it")
    count = run("sw", "cat", "/proc/sys/net/netfilter/nf_conntrack_count").strip() \
        if os.path.exists("/proc/sys/net/netfilter/nf_conntrack_count") else "0"
    check(count == "0", "no conntrack in the switch", count)


def mirrored(sim, **options):
    """The GRE packets that the collector gets for one TCP SYN and one datagram."""
    sim.control("mirror", name="m", interface="Ethernet1", source="5.5.5.5", destination="10.0.3.2", **options)
    with inside("col"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
    with inside("c"):
        s = socket.socket()
    s.bind(("10.0.0.2", 0))
    port = s.getsockname()[1]
    with contextlib.suppress(OSError):
        s.settimeout(1)
        s.connect((VIP[socket.AF_INET], 80))  # refused: nobody listens
    s.close()
    probe(socket.AF_INET, 20009)
    raw.settimeout(0.3)
    got = []
    with contextlib.suppress(TimeoutError):
        while True:
            got.append(raw.recv(10000))
    raw.close()
    sim.control("mirror", name="m", remove=True)
    return port, got


def test_mirror(sim):
    eth = 14
    cases = (
        ({"type": 1}, 0x0000, 0x88BE, 4 + eth), ({"type": 2}, 0x1000, 0x88BE, 8 + 8 + eth),
        ({"type": 3}, 0x1000, 0x22EB, 8 + 12 + eth), ({"type": 3, "subheader": True}, 0x1000, 0x22EB, 8 + 20 + eth),
        ({"type": "teb", "key": 7}, 0x2000, 0x6558, 8 + eth), ({"type": "ip"}, 0x0000, 0x0800, 4),
        ({"type": 1, "key": 9, "sequence": True, "checksum": True}, 0xB000, 0x88BE, 16 + eth),
        ({"type": 1, "timestamp": True}, 0x0000, 0x88BE, 4 + eth + 12), ({"type": 1, "truncate": 46}, 0x0000, 0x88BE, 4 + eth),
    )
    for options, flags, protocol, at in cases:
        port, got = mirrored(sim, **options)
        seen = [(g[12:16], struct.unpack("!HH", g[20:24]), struct.unpack("!HH", g[20 + at + 20:20 + at + 24])) for g in got]
        check(seen == [(bytes([5] * 4), (flags, protocol), (port, 80))], f"mirror {options}: one SYN", got)
        if "truncate" in options and got:
            check(len(got[0]) == 20 + 4 + 46, "cut off", len(got[0]))
    port, got = mirrored(sim, what=["syn", "udp", "rst"])
    check(len(got) == 2, "SYN and UDP, when both are wanted", got)


def test_reboot(sim):
    for ms in (0, 1, 300):
        sim.control("reboot", ms=ms)
        end = time.monotonic() + 10
        while probe(socket.AF_INET, 20001) is None and time.monotonic() < end:
            pass
        check(probe(socket.AF_INET, 20001) == truth(sim, socket.AF_INET, 20001), f"it forwards again after a restart of {ms} ms")


def main():
    servers = None
    try:
        make_network()
        servers = Servers()
        with Sim(netns=full("sw"), dataplane=True, http="10.0.0.1:0", knobs={"counter-ms": 200}) as sim:
            set_switch(sim)
            sim.rpc = lambda *cmds, **kw: rpc_from_client(sim, *cmds, **kw)
            for case in (test_paths, test_tcam, test_priority_and_expiry, test_mirror, test_reboot):
                try:
                    case(sim)
                except Exception as e:  # pylint: disable=broad-exception-caught
                    check(False, f"{case.__name__}: {type(e).__name__}: {e}")
            with open(sim.log_path, encoding="utf-8") as f:
                log = f.read()
            check(not log, "the simulator had nothing to complain about", log)
        check(run("sw", "nft", "list", "tables").strip() == "" and "fwmark" not in run("sw", "ip", "rule"), "it leaves nothing behind")
    finally:
        if servers:
            servers.end()
        remove_network()
    print(f"1..{len(points)}")
    return 0 if all(points) else 1


def rpc_from_client(sim, *cmds, **kw):
    with inside("c"):
        return Sim.rpc(sim, *cmds, **kw)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP not root")
        sys.exit(77)
    sys.exit(main())
