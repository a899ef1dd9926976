#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 6: flows that were there before flowpind started are pinned by their next packet."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

VIP = {4: VIP4, 6: VIP6}

# makes conntrack follow flows before flowpind does
TRACKING = """add table inet firewall
add chain inet firewall forward { type filter hook forward priority 0; }
add rule inet firewall forward ct state established,related accept
"""


@case("conntrack off before, IPv4", standard, TcpPool, 4)
@case("conntrack on before, IPv4", standard, TcpPool, 4, TRACKING)
@case("conntrack on before, IPv6", standard, TcpPool, 6, TRACKING)
@case("conntrack off before, IPv6", standard, TcpPool, 6)
@case("UDP, conntrack on before", standard, UdpPool, 4, TRACKING)
@case("UDP, conntrack off before", standard, UdpPool, 4)
@case("direct return, conntrack off before", direct_return, TcpPool, 4)
@case("direct return, conntrack on before", direct_return, TcpPool, 4, TRACKING)
def before_start(topology, pool_class, family, rules=None):
    with topology(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        if rules:
            lab.nft("gw", rules)
        pool = pool_class(lab, target=VIP[family])
        need(pool.result().all_held and len(pool.by_server()) == 3, "200 connections open", pool.result)
        d = Daemon(lab)
        check(pool.exchange().all_held, "200 held when flowpind has started: each sent a packet", pool.result)
        for names in (["s1", "s3"], ["s2"], ["s1", "s2", "s3"]):
            lab.route(names, family)
            check(pool.exchange().all_held, f"200 held with the route on {'+'.join(names)}", pool.result)
        wait_until(lambda: lab.pins(family) == 200, 10, "200 pins", poll=0.2)
        if topology is direct_return and rules:
            # conntrack calls their packets invalid: no event tells of them, only the pin map has them
            return
        wait_until(lambda: len(d.flows()) == 200, 10, "flowpin shows 200 flows", poll=0.2)
        wrong = [f for f in pool.flows if (f.src, f.sport, f.server) not in shown(lab, d)] if not WITHOUT else []
        check(not wrong, "each on the nexthop of its server", lambda: f"{len(wrong)} are not: {wrong[:5]}")


def shown(lab, d):
    """{(address, port, server)} of flowpin flows; asked once."""
    if not hasattr(d, "shown"):
        d.shown = {(f["src"], f["sport"], lab.server_of(f["nexthop"])) for f in d.flows()}
    return d.shown


main()
