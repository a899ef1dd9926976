#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 21: a host that is set up against us is told so: one warning in `flowpin status` with the command that mends it, one
line in the log. The host is set up so before flowpind starts; the last case does it while flowpind runs."""

import os
import shlex
import sys
from dataclasses import dataclass
from typing import Callable

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

LOOK = 15  # it looks at its host every 10 seconds


def web4(more=""):
    return "service web {\n    prefix = 1.1.1.1/32\n    protocol = {tcp, udp}\n}\n" + more


def three_servers():
    lab = standard(3)
    lab.route(["s1", "s2", "s3"])
    return lab


def dotted_name():
    """A nexthop on an interface with a dot in its name, as those of VLANs have."""
    lab = standard(2)
    add_server(lab, "s3.7")
    lab.route(["s1", "s2", "s3.7"])
    return lab


def one_segment():
    lab = segment(3)
    lab.route(["s1", "s2"])
    return lab


def foreign_marks(lab):
    """Somebody else's marks on 20 connections that are none of ours."""
    lab.nft("gw", "add table inet foreign\n"
                  "add chain inet foreign pre { type filter hook prerouting priority -150; }\n"
                  "add rule inet foreign pre udp dport 5000 ct mark set 0x2a000000\n")
    flood(lab, 20, "udp", target="10.1.1.2", port=5000)


def translate(lab):
    """The service's address is translated on this gateway."""
    lab.nft("gw", "add table inet foreign\n"
                  "add chain inet foreign nat { type nat hook postrouting priority srcnat; }\n"
                  "add rule inet foreign nat ip daddr 1.1.1.1 udp dport 80 masquerade\n")
    for s in lab.servers:
        lab.deaf(s)


def by_ipv6_gateways(lab):
    lab.ip("gw", "route replace 1.1.1.1/32 proto bird nexthop via inet6 fd00:1::11 dev lan nexthop via inet6 fd00:1::12 dev lan")


def ip(*lines):
    return lambda lab: [lab.run("gw", f"ip {line}") for line in lines]


def flowtable(lab):
    try:
        lab.nft("gw", "add table inet fast\n"
                      "add flowtable inet fast f { hook ingress priority 0; devices = { c, s1 }; }\n")
    except CommandFailed:
        skip("this kernel has no flowtables")


def sysctls(**settings):
    return lambda lab: lab.sysctl("gw", **settings)


@dataclass
class Row:
    title: str
    setup: Callable
    code: str
    words: str  # of the warning
    command: str  # that mends it
    lab: Callable = three_servers
    mend: Callable = None  # where the command is not for a shell: what a person does then
    config: str = web4()
    traffic: bool = False  # it takes a flow to be seen
    stale: bool = False  # what is there stays a while: only the start is looked at


STRICT = "net.ipv4.conf.{}.rp_filter"

ROWS = (
    Row("strict rp_filter on a nexthop's interface", sysctls(**{STRICT.format("s2"): 1}), "rp-filter",
        "strict rp_filter on s2 drops the answers", "sysctl -w net.ipv4.conf.s2.rp_filter=2"),
    Row("strict rp_filter on a nexthop's VLAN", lambda lab: lab.run("gw", "sysctl -w net/ipv4/conf/s3.7/rp_filter=1"), "rp-filter",
        "strict rp_filter on s3.7 drops the answers", "sysctl -w net.ipv4.conf.s3/7.rp_filter=2", dotted_name),
    Row("strict rp_filter on all interfaces", sysctls(**{STRICT.format("all"): 1}), "rp-filter", "strict rp_filter on all drops",
        "sysctl -w net.ipv4.conf.all.rp_filter=2"),
    Row("src_valid_mark where clients arrive", sysctls(**{STRICT.format("c"): 1, "net.ipv4.conf.c.src_valid_mark": 1}),
        "src-valid-mark", "src_valid_mark with strict rp_filter on c:", "sysctl -w net.ipv4.conf.c.rp_filter=2"),
    Row("src_valid_mark on all interfaces", sysctls(**{STRICT.format("c"): 1, "net.ipv4.conf.all.src_valid_mark": 1}),
        "src-valid-mark", "src_valid_mark with strict rp_filter on c:", "sysctl -w net.ipv4.conf.c.rp_filter=2"),
    Row("a rule on our bits", ip("rule add fwmark 0x5000000/0xf000000 lookup 100 priority 500"), "mark-overlap",
        "the rule at priority 500 matches mark 0x5000000/0xf000000, which overlaps our mark-mask 0xff000000",
        "set numbers { mark-mask = ... } in flowpin.conf to bits that nobody uses", mend="numbers"),
    Row("rules of both families on a whole mark, as VPNs make them",
        ip("-4 rule add not fwmark 0xca6c lookup 51820 priority 600", "-6 rule add not fwmark 0xca6c lookup 51820 priority 600"),
        "mark-overlap", "the rule at priority 600 matches mark 0xca6c/0xffffffff, which overlaps our mark-mask 0xff000000",
        "set numbers { mark-mask = ... } in flowpin.conf to bits that nobody uses",
        mend=ip("-4 rule del priority 600", "-6 rule del priority 600")),
    Row("connection marks of somebody else", foreign_marks, "foreign-mark", "20 conntrack entries carry mark 0x2a000000, which is no",
        "set numbers { mark-mask = ... } in flowpin.conf to bits that nobody uses", mend="numbers", stale=True),
    Row("forwarding off", sysctls(**{"net.ipv4.ip_forward": 0}), "forwarding", "IPv4 forwarding is off",
        "sysctl -w net.ipv4.ip_forward=1", config=WEB),
    Row("IPv6 forwarding off", sysctls(**{"net.ipv6.conf.all.forwarding": 0}), "forwarding", "IPv6 forwarding is off",
        "sysctl -w net.ipv6.conf.all.forwarding=1", config=WEB),
    Row("two IPv6 gateways of an IPv4 route on one interface", by_ipv6_gateways, "blind",
        "service web: several nexthops on lan cannot be told apart",
        "give each an interface (a VLAN) of its own, or an IPv4 address as gateway", one_segment,
        lambda lab: lab.route(["s1", "s2"])),
    Row("one on-link and one behind an IPv6 gateway on one interface",
        ip("route replace 1.1.1.1/32 proto bird nexthop dev lan nexthop via inet6 fd00:1::12 dev lan"), "blind",
        "service web: several nexthops on lan cannot be told apart",
        "give each an interface (a VLAN) of its own, or an IPv4 address as gateway", one_segment,
        lambda lab: lab.route(["s1", "s2"])),
    Row("the local rule moved behind ours", ip("rule add priority 20000 lookup local", "rule del priority 0"), "local-rule",
        "IPv4 has no rule for table local before ours at priority 10000", "ip rule add priority 9999 lookup local"),
    Row("the local rule of IPv6 moved behind ours", ip("-6 rule add priority 20000 lookup local", "-6 rule del priority 0"),
        "local-rule", "IPv6 has no rule for table local before ours at priority 10000",
        "ip -6 rule add priority 9999 lookup local", config=WEB),
    Row("conntrack events off", sysctls(**{"net.netfilter.nf_conntrack_events": 0}), "events", "conntrack events are off",
        "sysctl -w net.netfilter.nf_conntrack_events=1"),
    Row("a flowtable", flowtable, "flowtable", "1 nftables flowtables: flows that they carry do not follow a pin", "nft list flowtables",
        mend=lambda lab: lab.run("gw", "nft delete table inet fast")),
    Row("the service's addresses translated here", translate, "translated", "flows of a service are translated on this gateway", "",
        mend=lambda lab: (lab.run("gw", "nft delete table inet foreign"), lab.conntrack("-D", "-p", "udp", check=False)),
        config=web4().replace("{\n", "{\n    idle-timeout = 4s\n", 1), traffic=True),
)


def warnings(d, code=None):
    return [w for w in d.status()["warnings"] if code in (None, w["code"])]


def is_told(d, row):
    found = warnings(d)
    return len(found) == 1 and found[0]["code"] == row.code and row.words in found[0]["text"]


def judge(d, row):
    """One warning, with the command, also in the table for people, and one line in the log."""
    wait_until(lambda: is_told(d, row), LOOK, f"one warning: {row.words}", poll=0.1)
    found = warnings(d)
    equal([w.get("command", "") for w in found], [row.command], "with the command that mends it")
    text = d.flowpin("status", json_output=False)
    check(text.count(row.words) == 1 and (not row.command or text.count(f"mend it: {row.command}") == 1),
          "flowpin status shows both, once", text)
    lines = d.log_lines(r"^<4>")
    check(len(lines) == 1 and row.words in lines[0] and row.command in lines[0], "one line in the log, with both", d.log)
    check(d.try_flowpin("status").status == 0, "flowpin status ends with 0 all the same")


def mended(lab, d, row):
    if row.mend == "numbers":
        other_bits(lab, d, row)
        return
    if row.mend:
        row.mend(lab)
    else:
        lab.run("gw", *shlex.split(row.command))
    need(d.reload(), "a reload looks at the host again")
    wait_until(lambda: not warnings(d), LOOK, "the warning goes away", poll=0.1)
    equal(len(d.log_lines(r"^<4>")), 1, "nothing more was logged")
    check(d.verify_clean(), "verify is clean")


def other_bits(lab, d, row):
    """Numbers cannot change under the flows that stand on them: teardown and another start."""
    config = row.config + "numbers { mark-mask = 0xff00 }\n"
    d.reload(config)
    check(d.log_lines("reload refused.*flowpin teardown"), "a reload with other bits is refused, and says how", d.log)
    d.try_flowpin("teardown", "--yes")
    equal(d.expect_exit(), 4, "flowpin teardown")
    d.start()
    equal(warnings(d), [], "with other bits there is no warning")
    check(d.verify_clean(), "verify is clean")


def before_start(row):
    with row.lab() as lab:
        row.setup(lab)
        d = Daemon(lab, row.config)
        if row.traffic:
            flood(lab, 10, "udp")
            wait_until(lambda: len(d.flows()) == 10, 3, "flows are there to be seen")
            d.reload()
        elif not row.stale:
            equal(len(warnings(d)), 1, "it is told from the start on")
        judge(d, row)
        mended(lab, d, row)




for r in ROWS:
    case(r.title + ", before the start", r)(before_start)


@case("the same while it runs, several at a time")
def together():
    """All that can stand beside each other at once: each is told once, and none hides another."""
    rows = [r for r in ROWS if r.lab is three_servers and r.mend != "numbers" and not r.traffic and r.title not in ALONE]
    with three_servers() as lab:
        d = Daemon(lab, WEB)
        equal(warnings(d), [], "a good host: no warning")
        equal(d.log_lines(r"^<[0-4]>"), [], "and no word in the log")
        for row in rows:
            row.setup(lab)
        wait_until(lambda: len(warnings(d)) == len(rows), LOOK, f"{len(rows)} warnings", poll=0.2)
        note([w["text"] for w in warnings(d)])
        for row in rows:
            equal(sum(row.words in w["text"] and w.get("command", "") == row.command for w in warnings(d)), 1, row.title)
        for row in rows:
            if row.mend:
                row.mend(lab)
            else:
                lab.run("gw", *shlex.split(row.command))
        wait_until(lambda: not warnings(d), LOOK, "mended: no warning", poll=0.2)
        equal(len(d.log_lines(r"^<4>")), len(rows), "each was logged once")


# These would make another one's warning another one.
ALONE = ("strict rp_filter on all interfaces", "src_valid_mark on all interfaces", "a flowtable")


main()
