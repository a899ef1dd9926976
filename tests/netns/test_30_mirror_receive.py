#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""flowpin-mirror alone: what it takes from the network, what it refuses, what it hands on, and what it is allowed to do."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from mirror import (FIN, GRE, RST, SYN, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Listener, MirrorDaemon, Record, Sender, frame, gre,
                    ip_packet, switch, syn, tcp, udp)

GATEWAY, SWITCH, SWITCH2 = "10.50.0.1", "10.50.0.2", "10.50.0.3"
GATEWAY6, SWITCH6 = "fd00:50::1", "fd00:50::2"
S1 = switch("s7058", SWITCH, GATEWAY, "sw", 101)
S2 = switch("s7059", SWITCH2, GATEWAY, "sw", 102)
S6 = switch("six", SWITCH6, GATEWAY6, "sw", 106)
KEYED = switch("keyed", SWITCH, GATEWAY, "sw", 101, "key = 42")


@contextlib.contextmanager
def mirror_lab(config, start=True):
    """gw with a switch (interface "sw") and a stranger (interface "other") beside it: lab, daemon, listener."""
    with Lab() as lab:
        for ns in ("gw", "switch", "stranger"):
            lab.ns(ns)
        lab.link("switch", "gw", a_if="gw", b_if="sw", a_addrs=[f"{SWITCH}/24", f"{SWITCH6}/64"],
                 b_addrs=[f"{GATEWAY}/24", f"{GATEWAY6}/64"])
        lab.link("stranger", "gw", a_if="gw", b_if="other", a_addrs=["10.60.0.2/24"], b_addrs=["10.60.0.1/24"])
        lab.ip("stranger", "route add default via 10.60.0.1")
        lab.ip("gw", "address add 10.50.0.77/32 dev lo")
        lab.ip("switch", f"route add 10.50.0.77/32 via {GATEWAY}")
        listener = Listener(lab)
        yield lab, MirrorDaemon(lab, config, listener, start=start), listener


def record(sport, flags=SYN, src="12.12.12.1", dst="1.1.1.1", dport=80, proto=6):
    return Record(src, dst, sport, dport, proto, flags)


def lost(counters):
    return sum(n for what, n in counters.items() if what not in ("received", "handed_on"))


def settled(listener, name, received, text):
    """Waits until the counters tell of that many packets, and each is accounted for. Returns the counters."""
    wait_until(lambda: listener.count(name, "received") >= received, 10, text, poll=0.05)

    def accounted():
        c = listener.poll().counters.get(name, {})
        return c and c["received"] == c["handed_on"] + lost(c)

    wait_until(accounted, 5, f"{name}: every packet is handed on or dropped for a reason", poll=0.05)
    check(not listener.bad, "every message is well-formed", lambda: listener.bad[:3])
    return listener.counters.get(name, {})


@case("kinds of packets")
def kinds():
    with mirror_lab(S1) as (lab, _, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        first, packet = 20000, ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20000))
        six = ip_packet("2001:db8:c::1", "2001:db8::1", 6, tcp(20001))
        sender.send(
            gre(frame(packet)),
            gre(frame(six, tags=bytes.fromhex("81000064"))),
            gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 17, udp(20002)))),
            gre(bytes.fromhex("1064000100000002") + frame(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20003))), sequence=7),
            gre(bytes.fromhex("206400010000000000000000") + frame(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20004))),
                protocol=0x22EB, sequence=8),
            gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20005, flags=TCP_FIN | TCP_ACK))), protocol=0x6558),
            gre(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20006, flags=TCP_RST)), protocol=0x0800),
            gre(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20007), options=b"\x01" * 40)),
            gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20008)), tags=bytes.fromhex("d28b000100100123456789abcdef")), key=1),
            gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20009) + bytes(1000)))[:60]))
        sender.send(syn(sport=20010), options=b"\x01" * 12)
        wanted = {record(first), record(20001, src="2001:db8:c::1", dst="2001:db8::1"), record(20002, 0, proto=17), record(20003),
                  record(20004), record(20005, FIN), record(20006, RST), record(20007), record(20008), record(20009), record(20010)}
        wait_until(lambda: len(listener.of("s7058")) >= len(wanted), 5, "11 records arrive")
        equal(set(listener.of("s7058")), wanted, "and they are what was sent")
        sender.send(syn(sport=20011, flags=TCP_SYN | TCP_ACK), syn(sport=20012, flags=TCP_ACK), gre(b"\0" * 12 + b"\x08\x06" + b"\0" * 28),
                    gre(frame(packet), protocol=0x8847), gre(frame(packet)[:40]), b"\0", b"",
                    gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 1, bytes(8)))))
        c = settled(listener, "s7058", 19, "19 packets are counted")
        equal({k: v for k, v in c.items() if v}, {"received": 19, "handed_on": 11, "later": 2, "not-ip": 1, "protocol": 1,
                                                  "truncated": 1, "gre": 2, "transport": 1}, "each under its reason")
        equal(len(listener.of("s7058")), 11, "and no record came of what was dropped")


@case("outer IPv6")
def outer6():
    with mirror_lab(S1 + S6) as (lab, _, listener):
        four, six = Sender(lab, "switch", SWITCH, GATEWAY), Sender(lab, "switch", SWITCH6, GATEWAY6)
        six.send(syn(sport=20000), gre(frame(ip_packet("2001:db8:c::1", "2001:db8::1", 17, udp(20001)))))
        four.send(syn(sport=20002))
        wait_until(lambda: len(listener.of("six")) >= 2 and listener.of("s7058"), 5, "records of both switches")
        equal(set(listener.of("six")), {record(20000), record(20001, 0, "2001:db8:c::1", "2001:db8::1", proto=17)}, "those over IPv6")
        equal(listener.of("s7058"), [record(20002)], "and the one over IPv4")
        six.send(*[syn(sport=20003)] * 50, source="fd00:50::66")
        wait_until(lambda: listener.count("six", "foreign") == 50, 10, "50 from another source are counted")
        equal(len(listener.of("six")), 2, "and not taken")
        settled(listener, "six", 52, "52 in all")


@case("strangers")
def strangers():
    """Only source, destination and interface of the configuration; what is refused is counted."""
    with mirror_lab(S1 + S2) as (lab, d, listener):
        lab.sysctl("gw", **{"net.ipv4.ip_forward": 1})
        sender, away = Sender(lab, "switch", SWITCH, GATEWAY), Sender(lab, "stranger", SWITCH, GATEWAY)
        sender.send(*[syn(sport=20000)] * 7, source="10.50.0.66")
        sender.send(*[syn(sport=20001)] * 5, destination="10.50.0.77")
        away.send(*[syn(sport=20002)] * 50)
        away.send(*[syn(sport=20003)] * 50, source="10.60.0.2", destination="10.60.0.1")
        sender.send(syn(sport=20004))
        sender.send(syn(sport=20005), source=SWITCH2)
        wait_until(lambda: listener.of("s7058") and listener.of("s7059"), 5, "a record of each switch")
        equal((listener.of("s7058"), listener.of("s7059")), ([record(20004)], [record(20005)]),
              "from the right source, to the right destination, on the right interface")
        wait_until(lambda: listener.count("s7058", "foreign") == 12 and listener.count("s7059", "foreign") == 7, 10,
                   "those of the wrong source or destination are counted", poll=0.05)
        settled(listener, "s7058", 13, "nothing else reached it")
        wait_until(lambda: d.log_lines(r"mirror of s7058: dropped .*\b12 foreign|mirror of s7058: dropped .*foreign"), 5, "and the log tells")


@case("a key")
def keyed():
    with mirror_lab(KEYED) as (lab, _, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        inner = [frame(ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20000 + n))) for n in range(4)]
        sender.send(gre(inner[0]), gre(inner[1], key=43), gre(inner[2], sequence=42), gre(inner[3], key=42))
        c = settled(listener, "keyed", 4, "four packets")
        equal(listener.of("keyed"), [record(20003)], "only the one with the key is taken")
        equal(c.get("key"), 3, "the others are counted")


@case("no capabilities")
def capabilities():
    with mirror_lab(S1) as (lab, d, listener):
        status = d.proc_status()
        for what in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(status[what], 16), 0, f"{what} is empty")
        equal(status["NoNewPrivs"], "1", "no new privileges")
        Sender(lab, "switch", SWITCH, GATEWAY).send(syn(sport=20000))
        wait_until(lambda: listener.of("s7058") == [record(20000)], 5, "it receives all the same")
        sockets = {os.readlink(f"/proc/{d.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{d.pid}/fd")}
        note(sorted(sockets))


@case("without CAP_NET_RAW")
def unprivileged():
    with mirror_lab(S1, start=False) as (lab, d, _):
        with lab.inside("gw"):
            done = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", d.program(), "--config", d.config_path, "--socket",
                                   d.socket], capture_output=True, text=True, timeout=10, check=False)
        equal(done.returncode, 2, "it does not start")
        check("raw socket" in done.stderr and "not permitted" in done.stderr and done.stderr.count("\n") <= 2, "one sentence says why",
              done.stderr)


@case("as the unit runs it: only CAP_NET_RAW, another user")
def as_unit():
    with mirror_lab(S1, start=False) as (lab, d, listener):
        os.chmod(listener.path, 0o777)
        os.chmod(lab.tmp, 0o755)
        with lab.inside("gw"):
            process = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+net_raw",
                                        "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw", d.program(), "--config",
                                        d.config_path, "--socket", listener.path], stderr=subprocess.PIPE, text=True)
        try:
            sender = Sender(lab, "switch", SWITCH, GATEWAY)
            wait_until(lambda: listener.poll().connections == 1 and listener.counters, 10, "it runs and is connected")
            sender.send(*[syn(sport=20000 + n) for n in range(100)])
            wait_until(lambda: len(listener.of("s7058")) == 100, 5, "100 records")
            with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
                caps = {line.split()[0]: line.split()[1] for line in f if line.startswith("Cap")}
            note(caps)
            check(all(int(caps[c + ":"], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapAmb")), "no capability is left", caps)
        finally:
            process.terminate()
            note(process.communicate(timeout=10)[1])
        equal(process.returncode, 0, "ends well")


@case("one record for a tuple in a batch")
def coalesced():
    with mirror_lab(S1) as (lab, d, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        packet = gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 17, udp(20000))))
        need(d.running(), "it runs")
        with d.held():  # so that all of them wait together
            sender.send(*[packet] * 200, syn(sport=20001), syn(sport=20001, flags=TCP_FIN | TCP_ACK))
        c = settled(listener, "s7058", 202, "202 packets")
        equal(listener.of("s7058"), [record(20000, 0, proto=17), record(20001, SYN | FIN)], "two records")
        equal(c["repeated"], 200, "the others are counted as repeated")


@case("5,000 at once")
def burst():
    with mirror_lab(S1) as (lab, _, listener):
        packets = [syn(sport=1024 + n) for n in range(5000)]
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        began = time.monotonic()
        sender.send(*packets)
        note(f"sent in {time.monotonic() - began:.3f} s")
        c = settled(listener, "s7058", 5000, "5,000 packets are counted")
        equal(c.get("overrun"), 0, "none was lost in the kernel")
        equal({r.sport for r in listener.of("s7058")}, set(range(1024, 6024)), "every flow arrived")
        check(len(listener.batches) < 1000, "in far fewer messages than packets", len(listener.batches))


@case("flowpind is away, and comes back")
def away():
    with mirror_lab(S1) as (lab, d, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        wait_until(lambda: listener.poll().connections == 1, 5, "connected")
        for n in range(3):
            base = 20000 + 1000 * n
            seen = len(listener.of("s7058"))
            listener.close()
            sender.send(*[syn(sport=base + k) for k in range(500)])
            wait_until(lambda: len(d.log_lines("flowpind is not reached")) == n + 1, 5, f"round {n}: the log tells that it is away")
            listener.open()
            wait_until(lambda: len(listener.of("s7058")) >= seen + 500, 10, f"round {n}: what came meanwhile is handed on")
            equal({r.sport for r in listener.of("s7058")[seen:]}, set(range(base, base + 500)), f"round {n}: completely")
        settled(listener, "s7058", 1500, "all are counted")
        equal(len(d.log_lines("flowpind is connected")), 4, "the log tells of each connection")


@case("flowpind does not keep up")
def busy():
    """It holds a bounded number of the newest, counts the rest, and never stops receiving."""
    with mirror_lab(S1) as (lab, d, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        wait_until(lambda: listener.poll().connections == 1, 5, "connected")
        sent = 0
        rss = int(d.proc_status()["VmRSS"].split()[0])
        for n in range(90):  # nobody reads meanwhile
            sender.send(*[syn(src=f"12.12.{n}.1", sport=1024 + k) for k in range(1500)])
            sent += 1500
        grown = int(d.proc_status()["VmRSS"].split()[0]) - rss
        check(grown < 4096 or SAN, "its memory does not grow", f"{grown} KiB more")
        c = settled(listener, "s7058", sent, f"{sent} packets are counted when flowpind reads again")
        note(c)
        equal(len(listener.of("s7058")), c["handed_on"], "as many arrived as were handed on")
        check(c["handoff"] > 0, "and the others are counted as not handed on", c)
        equal(listener.records[-1][1].src, "12.12.89.1", "the newest are among those that arrived")


@case("a flood from a source that is not configured")
def flooded():
    with mirror_lab(S1 + S2) as (lab, d, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        wait_until(lambda: listener.poll().connections == 1, 5, "connected")
        ticks = cpu(d)
        packet = syn(sport=20000)
        for n in range(50):
            sender.send(*[packet] * 1000, source="10.50.0.66")
            sender.send(syn(sport=21000 + n))
        wait_until(lambda: len(listener.of("s7058")) == 50, 10, "50 records between 50,000 foreign packets")
        c = settled(listener, "s7058", 50050, "every one is counted")
        # While the buffer for foreign packets is full newer kernels count ours there too.
        check(50000 <= c["foreign"] <= 50050 and c["overrun"] == 0, "50,000 foreign, none of ours lost", c)
        check(cpu(d) - ticks <= 20, "and it cost next to nothing", lambda: f"{cpu(d) - ticks} ticks")


def cpu(d):
    with open(f"/proc/{d.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@case("one switch floods, the other is heard")
def independent():
    with mirror_lab(S1 + S2) as (lab, _, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        packet = gre(frame(ip_packet("12.12.12.1", "1.1.1.1", 17, udp(20000))))
        wait_until(lambda: listener.poll().connections == 1, 5, "connected")
        for n in range(30):
            sender.send(*[packet] * 1000)
            sender.send(syn(sport=21000 + n), source=SWITCH2)
            listener.poll()
        wait_until(lambda: len(listener.of("s7059")) == 30, 10, "30 records of the other")
        equal(settled(listener, "s7059", 30, "all its packets").get("overrun"), 0, "none lost")
        c = settled(listener, "s7058", 30000, "and those of the flood are counted")
        note(c)


@case("random bytes")
def noise():
    with mirror_lab(S1) as (lab, d, listener):
        sender = Sender(lab, "switch", SWITCH, GATEWAY)
        rng = random.Random(1)
        good = [syn(sport=20000), gre(ip_packet("2001:db8:c::1", "2001:db8::1", 17, udp(20000)), protocol=0x86DD)]
        for n in range(20000):
            data = bytearray(rng.choice(good)) if n % 2 else bytearray(rng.randbytes(rng.randrange(200)))
            for _ in range(rng.randrange(5) if data else 0):
                data[rng.randrange(len(data))] = rng.randrange(256)
            sender.send(bytes(data))
            if n % 1000 == 0:
                listener.poll()
        c = settled(listener, "s7058", 20000, "20,000 packets are counted")
        note({k: v for k, v in c.items() if v})
        check(d.running(), "it still runs")
        seen = len(listener.of("s7058"))
        sender.send(syn(sport=29999))
        wait_until(lambda: record(29999) in listener.of("s7058")[seen:], 5, "and understands the next good one")


@case("an interface that comes late")
def late():
    with mirror_lab(S1 + switch("later", "10.51.0.2", "10.51.0.1", "swlate", 103)) as (lab, d, listener):
        check(d.log_lines("mirror of later: there is no interface swlate"), "it says which interface is missing")
        Sender(lab, "switch", SWITCH, GATEWAY).send(syn(sport=20000))
        wait_until(lambda: listener.of("s7058") == [record(20000)], 5, "the other switch is heard meanwhile")
        lab.link("switch", "gw", a_if="gwlate", b_if="swlate", a_addrs=["10.51.0.2/24"], b_addrs=["10.51.0.1/24"])
        late_sender = Sender(lab, "switch", "10.51.0.2", "10.51.0.1")
        wait_until(lambda: d.log_lines("mirror of later: receiving on swlate"), 5, "it is received when it comes, without a privilege")
        late_sender.send(syn(sport=20001))
        wait_until(lambda: listener.of("later") == [record(20001)], 5, "as it should be")
        lab.ip("gw", "link del swlate")
        wait_until(lambda: len(d.log_lines("there is no interface swlate")) == 2, 5, "that it is gone is told")
        check(d.running(), "and the other goes on")
        lab.link("switch", "gw", a_if="gwlate", b_if="swlate", a_addrs=["10.51.0.2/24"], b_addrs=["10.51.0.1/24"])
        equal(d.expect_exit(), 2, "another interface of that name: it ends, to be started again")
        d.start()
        late_sender = Sender(lab, "switch", "10.51.0.2", "10.51.0.1")
        late_sender.send(syn(sport=20002))
        wait_until(lambda: listener.of("later")[-1:] == [record(20002)], 5, "and receives from it then")


@case("SIGHUP")
def hangup():
    with mirror_lab(S1) as (lab, d, listener):
        d.configure("switch {")
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: d.log_lines("refused"), 5, "a bad configuration is refused")
        d.configure(S1)
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: d.log_lines("the mirrors are the same"), 5, "one with the same mirrors changes nothing")
        d.configure(S1 + S2)
        d.process.send_signal(signal.SIGHUP)
        equal(d.expect_exit(), 0, "with another mirror it ends, to be started again")
        d.start()
        Sender(lab, "switch", SWITCH, GATEWAY).send(syn(sport=20000), source=SWITCH2)
        wait_until(lambda: listener.of("s7059") == [record(20000)], 5, "and has it then")
        equal(d.stop(), 0, "SIGTERM ends it well")


@case("the other way: nft/mirror.nft")
def other_way():
    """A veth stands in for the kernel's ERSPAN device, and another for the sink."""
    with Lab() as lab:
        for ns in ("gw", "switch"):
            lab.ns(ns, forward=ns == "gw")
        lab.link("switch", "gw", a_if="mirror", b_if="fpmirror")
        lab.link("gw", "switch", a_if="fpsink", b_if="sink")
        lab.ip("gw", "link set fpsink arp off", "rule add iif fpmirror priority 100 lookup 16900",
               "route add default dev fpsink table 16900", "route add ::/0 dev fpsink table 16900")
        lab.run("gw", "ip -6 rule add iif fpmirror priority 100 lookup 16900")
        with open(os.path.join(ROOT, "nft", "mirror.nft"), encoding="ascii") as f:
            lab.nft("gw", f.read())
        with lab.inside("switch"):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.bind(("mirror", 0))
        for packet in (ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20000)), ip_packet("12.12.12.1", "1.1.1.1", 17, udp(20001)),
                       ip_packet("2001:db8:c::1", "2001:db8::1", 6, tcp(20002)),
                       ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20003, flags=TCP_SYN | TCP_ACK)),
                       ip_packet("12.12.12.1", "1.1.1.1", 6, tcp(20004, flags=TCP_ACK))):
            raw.send(frame(packet))  # to an address that is not the gateway's

        def entries():
            return sorted(re.findall(r"sport=(2000\d) dport=80 .*\[UNREPLIED\]", "".join(
                lab.conntrack("-L", "-f", family, "-w", "101", check=False) for family in ("ipv4", "ipv6"))))

        wait_until(lambda: entries() == ["20000", "20001", "20002"], 5, "what begins a flow is entered into the switch's zone")
        equal(lab.conntrack("-C").strip(), "3", "and nothing else anywhere")
        raw.close()


@case("nobody answers with ICMP")
def silent():
    """As long as the raw socket is there the kernel takes GRE for received."""
    with mirror_lab(S1) as (lab, _, listener):
        capture = Capture(lab, "switch")
        Sender(lab, "switch", SWITCH, GATEWAY).send(*[syn(sport=20000 + n) for n in range(10)])
        wait_until(lambda: len(listener.of("s7058")) == 10, 5, "10 records")
        equal([p for p in capture.packets() if p.proto == 1 and not p.outgoing], [], "no ICMP came back")
        check(any(p.proto == GRE for p in capture.packets()), "(the capture sees the mirror)")


main()
