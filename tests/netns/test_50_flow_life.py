#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gateways as in flowpin-ha(7): flows that live longer than what the waiting gateway sees of them, and flows of which a gateway
sees one direction only."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from halab import HaLab, held, same, takeover
from lab import VIP6

TIMEOUT = 15


@case("timeouts")
def timeouts():
    """UDP flows live longer than a conntrack entry without packets, which is all that the gateway that waits ever sees of them."""
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start()
        for g in (gw1, gw2):
            lab.sysctl(g.name, **{f"net.netfilter.nf_conntrack_udp_timeout{kind}": TIMEOUT for kind in ("", "_stream")})
        pools = {"UDP": UdpPool(lab, 100), "UDP over IPv6": UdpPool(lab, 50, target=VIP6)}
        for pool in pools.values():
            pool.start(0.1)
        same(gw1, gw2, 150)
        least, end = 150, time.monotonic() + 2 * TIMEOUT
        while time.monotonic() < end:
            least = min(least, len(gw2.entries()))
            time.sleep(0.5)
        equal(least, 150, f"for twice the timeout of {TIMEOUT} s gw2 has all entries")
        takeover(lab, pools, lab.power_off, "gw1 loses power", gw1, gw2, 150)
        wait_until(lambda: not gw1.entries(), 4 * TIMEOUT, "the entries of gw1 time out, where no packet comes any more", poll=0.5)
        lab.power_on("gw1")
        wait_until(lambda: gw1.entries() == gw2.entries(), 30, "gw1 is back and has the entries again", poll=0.5)
        equal(set(re.findall(r"connections destroyed:\s+(\d+)", gw2.run("conntrackd", "-s"))), {"0"}, "and has told gw2 of the end of none")
        held(pools, "gw1 is back")


@case("one way")
def one_way():
    """Direct server return: what the page says of the limit."""
    with HaLab(direct=True) as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start()
        tcp, udp = TcpPool(lab, 100), UdpPool(lab, 100)
        need(tcp.result().all_held and udp.result().all_held, "100 TCP connections and 100 UDP flows", tcp.result)
        for pool in (tcp, udp):
            pool.start(0.1)
        wait_until(lambda: len(gw2.d.flows("proto", "udp")) == 100, 15, "gw2 knows the UDP flows", poll=0.2)
        lab.announce(["s2", "s1", "s4"])
        check(tcp.exchange().all_held and udp.exchange().all_held, "servers change: none broke", tcp.result)
        lab.link_down("gw1")
        wait_until(gw2.active, 10, "gw1 is lost: gw2 takes over")
        check(udp.exchange(deadline=20).all_held, "no UDP flow broke", udp.result)
        r = tcp.exchange(deadline=20)
        check(r.broken + r.moved > 10, "TCP connections did", r)


main()
