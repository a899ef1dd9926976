#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gateways as in flowpin-ha(7) that number nexthops differently, and what flowpin verify --peer says of it; two that do not; and
what a takeover does without conntrackd."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from halab import HaLab, same


def peer(a, b):
    """flowpin verify --peer on a, with what b prints: (status, output)."""
    path = a.lab.path("peer")
    with open(path, "w", encoding="utf-8") as f:
        f.write(b.d.try_flowpin("status", "--json").out + b.d.try_flowpin("nexthops", "--json").out)
    r = a.d.try_flowpin("verify", "--peer", path)
    return r.status, (r.out + r.err).replace(path, "FILE")


@case("numbers")
def numbers():
    """What two gateways do that number nexthops differently, and how one is told before."""
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        config = lab.gateways["gw1"].config()
        swapped = config.replace("10.1.0.11 ", "@ ").replace("10.1.0.12 ", "10.1.0.11 ").replace("@ ", "10.1.0.12 ")
        gw1, gw2 = lab.start(config2=swapped)
        status, said = peer(gw1, gw2)
        equal(status, 1, "verify --peer: exit status 1")
        check("web: the configuration gives 10.1.0.11 number 1 here and 2 there" in said
              and "web: the configuration gives 10.1.0.12 number 2 here and 1 there" in said, "and which nexthops it is about", said)
        pool = TcpPool(lab, 200)
        on = pool.by_server()
        same(gw1, gw2, 200)
        lab.link_down("gw1")
        wait_until(gw2.active, 10, "gw2 takes over")
        r = pool.exchange(deadline=20)
        equal(r.broken + r.moved, on["s1"] + on["s2"], "the connections of both are lost")
        gw2.d.stop()
        gw2.d.configure(config)
        gw2.d.start()
        lab.link_up("gw1")
        wait_until(lambda: "configuration" not in peer(gw1, gw2)[1], 5, "the configurations are alike")
        status, said = peer(gw1, gw2)
        check(status == 1 and "10.1.0.11%servers has number 1 here and 2 there" in said,
              "a number that stands is kept until its flows have ended, and verify --peer says that too", said)


@case("alike")
def alike():
    with HaLab() as lab:
        lab.announce(["s1", "s2", "s3"])
        gw1, gw2 = lab.start(conntrackd=False)
        equal(gw1.run("keepalived", "-t"), "", "keepalived has no complaint about its file")
        equal(peer(gw1, gw2), (0, "clean: 6 nexthops here and 6 there\n"), "verify --peer finds no difference")
        lab.announce(["s1", "s2", "s3", "s4"], ["gw2"])
        wait_until(lambda: len(gw2.d.nexthops()) == 8, 5, "a nexthop appears on gw2 only")
        equal(peer(gw2, gw1), (0, "clean: 8 nexthops here and 6 there\n"), "its number is in both configurations: no difference")
        path = lab.path("garbage")
        with open(path, "w", encoding="ascii") as f:
            f.write("{}\n")
        for file in (path, "/nonexistent"):
            r = gw1.d.try_flowpin("verify", "--peer", file)
            equal((r.status, r.err.startswith(f"flowpin: {file}: "), r.out), (2, True, ""), "a FILE that cannot be read: exit status 2")
        pool = TcpPool(lab, 200)
        lab.link_down("gw1")
        wait_until(gw2.active, 10, "without conntrackd, gw2 takes over")
        r = pool.exchange(deadline=20)
        check(r.broken + r.moved > 50, "connections are lost: it is conntrackd that carries them", r)


main()
