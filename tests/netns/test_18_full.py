#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 18: the pin map is full. Traffic flows on; the condition is counted, shown by status and logged once."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

ROOM = 100
FLOOD = 1000
FLOOD_PORT = 9
VIP = {4: VIP4, 6: VIP6}
SMALL = WEB + f"limits {{ max-pins = {ROOM} }}\n"


def full_lines(d):
    return d.log_lines(r"pin map (is|was) full")


def lost(lab):
    """The counter in the kernel. flowpind looks at it every two seconds."""
    return int(re.search(r"packets (\d+)", lab.run("gw", "nft list counter inet flowpin lost_pins")).group(1))


def room_again(lab):
    """A flow finds room: nf_tables takes what has expired out of the map every ten seconds."""
    before = lost(lab)
    flood(lab, 1, "udp", port=FLOOD_PORT)
    return lost(lab) == before


def arrived(captures, version):
    return sum(len(c.packets(lambda p: p.version == version and p.dport == FLOOD_PORT and not p.outgoing))
               for c in captures)


@case("two-way flows, IPv4", 4)
@case("two-way flows, IPv6", 6)
def two_way(family):
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        d = Daemon(lab, SMALL)
        for server in lab.servers:
            lab.deaf(server, FLOOD_PORT)
        status = d.status()
        equal(status["pins"], {"max": ROOM, "lost": 0}, "room for 100 pins, none lost")
        equal(full_lines(d), [], "and nothing in the log")
        captures = [Capture(lab, s) for s in lab.servers]
        flood(lab, FLOOD, "udp", target=VIP[family], port=FLOOD_PORT)
        wait_until(lambda: arrived(captures, family) == FLOOD, 5, f"the packets of all {FLOOD} flows arrive")
        equal(lab.pins(family), ROOM, "the map is full")
        wait_until(lambda: d.status()["pins"]["lost"] == FLOOD - ROOM, 10, "each flow without a pin is counted")
        pool = TcpPool(lab, target=VIP[family])
        need(pool.result().all_held and len(pool.by_server()) == 3, "200 connections open while it is full", pool.result)
        pool.start()
        wait_until(lambda: [w for w in d.status()["warnings"] if w["code"] == "pins-full"], 50, "status warns of it")
        warning = [w for w in d.status()["warnings"] if w["code"] == "pins-full"]
        check(len(warning) == 1 and "max-pins" in warning[0].get("command", ""), "once, with what mends it", warning)
        before = lost(lab)
        check(before > FLOOD - ROOM, "the 200 are counted too", before)
        text = d.flowpin("status", json_output=False)
        check("lost: the map is full" in text and "pin map was full" in text, "status says both in words", text)
        flood(lab, FLOOD, "udp", target=VIP[family], port=FLOOD_PORT, sport=(2000, 65535))
        wait_until(lambda: d.status()["pins"]["lost"] >= before + FLOOD - ROOM, 10, "more are counted")
        # The look at the host that finds another number might log it again.
        wait_until(lambda: [w for w in d.status()["warnings"] if w["code"] == "pins-full" and w != warning[0]], 50,
                   "the warning has the new number")
        equal(len(full_lines(d)), 1, "the log tells it once")
        lab.route(["s1", "s3"], family)
        check(pool.exchange().all_held, "the 200 are held by their conntrack entries when s2 is withdrawn", pool.result)
        check(set(pool.probe()) == {"s1", "s3"}, "new connections go on, and off s2")
        lab.route(["s1", "s2", "s3"], family)
        check(pool.exchange().all_held, "held when it is back", pool.result)


@case("one-way flows")
def one_way():
    """Those that have a pin keep it, however many others find no room; and there is room again when pins end."""
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, SMALL.replace("idle-timeout = 5m", "idle-timeout = 4s"))
        for server in lab.servers:
            lab.deaf(server, FLOOD_PORT)
        pool = TcpPool(lab, 50)
        need(pool.result().all_held and len(pool.by_server()) == 3, "50 connections open", pool.result)
        pool.start(0.3)
        flood(lab, FLOOD, "udp", port=FLOOD_PORT)
        equal(lab.pins(), ROOM, "the map is full")
        wait_until(lambda: d.status()["pins"]["lost"] == FLOOD - ROOM + 50, 10, "what found no room is counted")
        lab.conntrack("-F")
        lab.route(["s1", "s3"])
        check(pool.exchange().all_held, "the 50 are held by their pins", pool.result)
        late = TcpPool(lab, 60)
        check(late.result().all_held, "60 more connections work without a pin", late.result)
        check(set(late.by_server()) <= {"s1", "s3"}, "where the route says", late.by_server)
        check(len(full_lines(d)) == 1, "the log tells it once", lambda: full_lines(d))
        late.end()
        wait_until(lambda: room_again(lab), 60, "there is room again when pins that nobody refreshes have ended", poll=1)
        wait_until(lambda: lab.pins() == 50, 30, "all but those of the 50", poll=0.3)
        wait_until(lambda: room_again(lab), 60, "and all of the room", poll=1)
        before = lost(lab)
        fresh = pool.open(40)
        check(pool.exchange().all_held, "40 new connections", lambda: pool.result(fresh))
        equal(lost(lab), before, "none of them without a pin")
        lab.conntrack("-F")
        lab.route(["s2"])
        check(pool.exchange().all_held, "held by it after conntrack -F and a change", lambda: pool.result(fresh))
        check(len(full_lines(d)) == 1, "the log still tells it once", lambda: full_lines(d))


main()
