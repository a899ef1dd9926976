#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""nft/flowpin.nft is what `nft list table inet flowpin` prints for the configuration of the demo, and nft can print the table
in every way it has, whatever the configuration.

    FLOWPIN_WRITE=1 tests/netns/test_23_listing.py     # writes nft/flowpin.nft anew; its comments stay"""

import importlib.machinery
import importlib.util
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

FILE = os.path.join(ROOT, "nft", "flowpin.nft")
LISTINGS = ("nft list ruleset", "nft -t list ruleset", "nft -s list ruleset", "nft -a list ruleset", "nft -n list ruleset",
            "nft -y list ruleset", "nft -j list ruleset", "nft list table inet flowpin", "nft list maps", "nft list sets",
            "nft list chains", "nft list counters")
KINDS = """service web {
    prefix       = {1.1.1.1/32, 1.1.2.0/24, 2001:db8::1/128, 2001:db8:2::/48}
    protocol     = {tcp, udp, sctp}
    port         = {80, 443, 8000-8100}
    idle-timeout = 90s
}
service with-a_dash {
    prefix       = 1.1.1.0/24
}
service any {
    prefix       = {0.0.0.0/0, ::/0}
    protocol     = udp
    idle-timeout = 1h
    on-withdraw  = hold
}
limits { max-pins = 50k }
numbers { mark-mask = 0x00ff0000 }
"""
# prefixes of a second service; what the listing says of traffic to all services, or None for no rule.
COVERS = (("1.1.1.1/32", "ip daddr 1.1.1.1 goto", None),
          ("{1.1.2.0/24, 2001:db8::1/128}", "ip daddr 1.1.0.0/22 ip daddr @prefix4 goto", "ip6 daddr 2001:db8::1 goto"),
          ("{1.0.0.0/8, 2001:db8:2::/48, 2001:db8::1/128}", "ip daddr 1.0.0.0/8 goto", "ip6 daddr 2001:db8::/46 ip6 daddr @prefix6 goto"),
          ("{240.0.0.1/32, ::/0}", "ip daddr @prefix4 goto", "meta nfproto ipv6 goto"),
          ("{1.1.1.3/32, 2001:db8::/30}", "ip daddr 1.1.1.0/30 ip daddr @prefix4 goto", "ip6 daddr 2001:db8::/30 goto"))


def demo():
    """The configuration and the network of tests/demo, without its routing daemon."""
    folder = os.path.join(ROOT, "tests", "demo")
    sys.path.append(folder)
    loader = importlib.machinery.SourceFileLoader("demo", os.path.join(folder, "demo"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("demo", loader))
    loader.exec_module(module)
    return module.CONFIG


def network():
    lab = Lab()
    try:
        lab.client, lab.gateway, lab.sources = "client", "gateway", {4: ["10.0.0.2"], 6: []}
        lab.ns("client")
        lab.ns("gateway", forward=True)
        lab.link("client", "gateway", a_addrs=["10.0.0.2/24"], b_addrs=["10.0.0.1/24"])
        lab.ip("client", "route add default via 10.0.0.1")
        for n in (1, 2, 3):
            name = f"server{n}"
            lab.ns(name)
            lab.link("gateway", name, a_addrs=[f"10.1.{n}.1/24"], b_addrs=[f"10.1.{n}.2/24"])
            lab.address(name, "lo", f"{VIP4}/32")
            lab.ip(name, f"route add default via 10.1.{n}.1")
            lab.servers.append(name)
            lab.nexthops[name, 4] = (f"10.1.{n}.2", name)
        lab.route(lab.servers)
        return lab
    except BaseException:
        lab.close()
        raise


def elements_of_pins(text):
    return re.sub(r"(\tmap pin[46] \{\n(?:\t\t(?!elements)[^\n]*\n)*)\t\telements = \{.*?\n?[^\n]*\}\n(?=\t\})", r"\1", text,
                  flags=re.S)


def normal(text):
    """Without what changes while it runs: counters, expiry, and the pins themselves."""
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).strip() + "\n"
    # Where the kernel has them, the table has an owner.
    text = re.sub(r"^\tflags owner.*\n", "", text.replace(" # progname flowpind", ""), flags=re.M)
    text = re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", elements_of_pins(text))
    return re.sub(r" expires [0-9a-z]+", "", text)


def first_difference(a, b):
    a, b = a.splitlines(), b.splitlines()
    for i in range(max(len(a), len(b))):
        pair = a[i:i + 1], b[i:i + 1]
        if pair[0] != pair[1]:
            return f"line {i + 1}: printed {''.join(pair[0])!r}, in the file {''.join(pair[1])!r}"
    return "none"


@case("nft/flowpin.nft")
def listing():
    with network() as lab:
        d = Daemon(lab, demo())
        wait_until(lambda: len(d.nexthops()) == 3, 5, "three nexthops")
        with open(FILE, encoding="utf-8") as f:
            written = f.read()
        printed = normal(lab.run("gateway", "nft list table inet flowpin"))
        if os.environ.get("FLOWPIN_WRITE"):
            head = "".join(line for line in written.splitlines(True) if line.startswith("#"))
            with open(FILE, "w", encoding="utf-8") as f:
                f.write(head + printed)
            written = head + printed
        need(printed == normal(written), "the file is what nft prints", lambda: first_difference(printed, normal(written)))
        pool = TcpPool(lab, 200)
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.exchange()
        loaded = lab.run("gateway", "nft list table inet flowpin")
        check(len(re.findall(r"\bexpires\b", loaded)) == 200, "with 200 pins in it")
        check(re.search(r"packets [1-9]", loaded), "and counters that count")
        equal(first_difference(normal(loaded), normal(written)), "none", "it is the same but for what changes")
        names = re.findall(r"^\t(?:set|map|chain|counter) (\S+) \{", written, re.M)
        comments = "".join(line for line in written.splitlines(True) if line.startswith("#"))
        for name in sorted({re.sub(r"_[0-9]$", "_<id>", re.sub(r"_web$", "_<service>", n)) for n in names}):
            check(re.search(rf"^#   (?:set|map|chain|counter) {re.escape(name)}  +\S", comments, re.M), f"the file says what {name} is")


@case("every listing works")
def listings():
    with standard(3) as lab:
        for v in (4, 6):
            lab.route(["s1", "s2", "s3"], v)
            lab.route(["s1", "s2"], v, prefix="default")
        d = Daemon(lab, KINDS)
        wait_until(lambda: len(d.nexthops()) >= 9, 5)
        pools = [TcpPool(lab, 50), TcpPool(lab, 50, target=VIP6), UdpPool(lab, 50)]
        for pool in pools:
            need(pool.result().all_held, f"50 flows, {pool.target}", pool.result)
        wait_until(lambda: len(d.flows()) == 150, 5, "all of them are pinned")
        for v, prefix in ((4, "0.0.0.0/0"), (6, "::/0")):
            text = lab.run("gw", f"nft list set inet flowpin prefix{v}")
            check(re.search(rf"elements = {{ {re.escape(prefix)} }}", text), f"a set without an end is listed as {prefix}", text)
        d.flowpin("drain", lab.nexthop("s2"), "web")
        for command in LISTINGS:
            try:
                out = lab.run("gw", command)
                check("flowpin" in out, command, out)
            except CommandFailed as e:
                check(False, command, e)
        tables = json.loads(lab.run("gw", "nft -j list ruleset"))["nftables"]
        check(any(item.get("map", {}).get("name") == "pin4" for item in tables), "the JSON listing has the pins")
        lab.nft("gw", "add table inet other\nadd chain inet other c { type filter hook input priority 0; }\n")
        saved = lab.run("gw", "nft list table inet other")
        lab.run("gw", "nft delete table inet other")
        lab.nft("gw", saved)
        check("table inet other" in lab.run("gw", "nft list tables"), "a single table that was saved loads beside ours")
        check(d.verify_clean(), "verify is clean")
        for pool in pools:
            check(pool.exchange().all_held, f"all held, {pool.target}", pool.result)


@case("other traffic")
def others():
    """What is outside all services meets one comparison, where one prefix covers them, and keeps its mark."""
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        lab.nft("gw", "add table inet t\nadd chain inet t early { type filter hook prerouting priority -200; }\n"
                      "add chain inet t late { type filter hook prerouting priority -100; }\nadd counter inet t kept\n"
                      "add rule inet t early ip daddr 1.1.1.2 meta mark set 0x05000000\n"
                      "add rule inet t late ip daddr 1.1.1.2 meta mark 0x05000000 counter name kept\n")
        one = "service web {\n prefix = 1.1.1.1/32\n port = 80\n}\n"
        d = Daemon(lab, one)
        wait_until(lambda: len(d.nexthops()) == 2, 5, "two nexthops")
        pool = TcpPool(lab, 50)
        need(pool.result().all_held, "50 connections open", pool.result)
        for prefixes, v4, v6 in COVERS:
            need(d.reload(one + f"service other {{\n prefix = {prefixes}\n port = 81\n}}\n"), f"reloaded with {prefixes}")
            for chain in ("prerouting", "forward"):
                text = lab.run("gw", f"nft list chain inet flowpin {chain}")
                check(f"\t\t{v4} " in text, f"{prefixes}, {chain}: {v4}", text)
                check(f"\t\t{v6} " in text if v6 else "v6" not in text and "ip6" not in text, f"{prefixes}, {chain}: {v6}", text)
            lab.run("c", "ping -c 1 -W 1 1.1.1.2", check=False)
            kept = re.search(r"packets (\d+)", lab.run("gw", "nft list counter inet t kept")).group(1)
            inside = "1.0.0.0/8" in prefixes
            check((int(kept) > 0) != inside, f"{prefixes}: a packet to 1.1.1.2 {'loses' if inside else 'keeps'} a mark in our bits", kept)
            lab.run("gw", "nft reset counter inet t kept")
            check(pool.exchange().all_held, f"{prefixes}: all held", pool.result)
            check(d.verify_clean(), f"{prefixes}: verify is clean")


main()
