#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP connections that both sides have closed: conntrack keeps their entries for two minutes more (TIME_WAIT), the switch's table,
where room is scarce, does not."""

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab, section

N = 40
SERVICE = f"service web {{ prefix = {VIP4}/32  protocol = {{tcp, udp}}  idle-timeout = 5m }}\n"
LONG_S = 600  # no entry of a closed connection ends by itself in here


def begin(lab, more=""):
    """Connections over the gateway in both directions, and in the switch: the switch gets them once conntrack saw an answer."""
    lab.resolve()
    lab.announce(["s1", "s2"])
    lab.client_via("gw")
    lab.answers_via("gw")
    lab.route(["s1", "s2"])
    beside = Beside(lab, SERVICE + more + section(lab, place="established"))
    lab.sysctl("gw", **{f"net.netfilter.nf_conntrack_tcp_timeout_{state}": LONG_S for state in ("time_wait", "close")})
    pool = TcpPool(lab, N)
    need(pool.result().all_held, f"{N} connections are open", pool.result)
    wait_until(lambda: lab.pinned(pool), 60, "they are in DirectFlow, each on its own server", poll=0.1)
    return beside, pool


def closed(lab):
    """Connections that conntrack knows as closed by both sides, or reset."""
    return len(re.findall(r"\b(?:TIME_WAIT|CLOSE)\b", lab.conntrack("-L", "--orig-dst", VIP4)))


def only(lab, pool):
    """The switch has these connections and no other."""
    return lab.pinned(pool) and len(lab.programmed()) == len(pool.flows)


def close_half(lab, pool, reset=False):
    gone = pool.flows[:N // 2]
    pool.end(gone, reset)
    wait_until(lambda: closed(lab) == len(gone), 10, "conntrack saw half of them close", poll=0.1)
    return gone


def counted(beside):
    """The packets that the switch has counted of each flow, as far as flowpind has read them."""
    return [s["packets"] for f in beside.d.flows() for s in f["switches"] if "packets" in s]


@case("they leave the switch at once, and conntrack later", False)
@case("the same when they are reset", True)
def leave(reset):
    with SwitchLab(2, shared=True) as lab:
        beside, pool = begin(lab)
        wait_until(lambda: counted(beside) == [0] * N, 30, "the switch has counted nothing of them", poll=0.1)
        gone = close_half(lab, pool, reset)
        wait_until(lambda: only(lab, pool), 30, "the switch holds the others only", poll=0.1)
        equal(closed(lab), len(gone), "while conntrack still has the entries of the closed ones")
        equal(lab.pins(), N, "and the gateway their pins")
        equal(sum("closed" in f for f in beside.d.flows()), len(gone), "flowpin flows lists them as closed")
        shown = beside.d.flowpin("show", "tcp", f"{gone[0].src}:{gone[0].sport}", f"{VIP4}:80", json_output=False)
        check(", closed" in shown, "and flowpin show says so", shown)
        equal(beside.switch()["removed"], [{"reason": "ended", "count": len(gone)}], "they were deleted because they ended")
        wait_until(beside.d.verify_clean, 30, "verify is clean", poll=0.3)
        fresh = [pool.open(1, sport=f.sport, src=f.src)[0] for f in gone[:5]]
        check(pool.result(fresh).all_held, "some of their ports are used again", lambda: pool.result(fresh))
        wait_until(lambda: only(lab, pool), 60, "new connections from there are in DirectFlow", poll=0.1)
        check(pool.exchange().all_held, "none broke", pool.result)


@case("a reset is not believed of what the switch has carried")
def carried():
    with SwitchLab(2, shared=True) as lab:
        beside, pool = begin(lab)
        lab.client_via("sw")
        check(pool.exchange().all_held, "the client's packets take the switch", pool.result)
        wait_until(lambda: len(counted(beside)) == N and 0 not in counted(beside), 30, "the switch has counted packets of each", poll=0.1)
        # As after a forged one, or a stray one of long ago: of the packets that take the switch conntrack knows nothing.
        lab.conntrack("-U", "-p", "tcp", "--orig-dst", VIP4, "--state", "CLOSE")
        equal(closed(lab), N, "conntrack takes them for reset")
        lab.conntrack("-D", "-p", "tcp", "--orig-dst", VIP4)
        wait_until(lambda: [f["witness"] for f in beside.d.flows()] == ["pin"] * N, 30, "and gives them up", poll=0.1)
        check(only(lab, pool), "the switch keeps them", lab.programmed)
        check(pool.exchange().all_held, "none broke", pool.result)


@case("those that closed while flowpind was away leave, too")
def away():
    with SwitchLab(2, shared=True) as lab:
        beside, pool = begin(lab)
        beside.d.kill(signal.SIGKILL)
        gone = close_half(lab, pool)
        equal(len(lab.programmed()), N, "nobody takes them out of the switch")
        beside.d.start()
        wait_until(lambda: only(lab, pool), 60, "flowpind does, by what conntrack tells", poll=0.1)
        equal(closed(lab), len(gone), "while conntrack still has their entries")
        check(pool.exchange().all_held, "none of the others broke", pool.result)


@case("the end of a closed one is believed, although its event was lost and its pin is there")
def lost():
    with SwitchLab(2, shared=True) as lab:
        beside, pool = begin(lab, "limits { receive-buffer = 65536 }\n")
        d = beside.d
        gone = close_half(lab, pool)
        wait_until(lambda: only(lab, pool), 30, "the switch holds the others only", poll=0.1)
        for server in lab.servers:
            lab.deaf(server, 9)
        with d.held():
            equal(flood(lab, 20000, port=9, target=VIP4), 20000, "more events than the socket's buffer takes")
            lab.conntrack("-D", "-p", "tcp", "--orig-dst", VIP4, "--dport", "80")
        wait_until(lambda: d.status()["flows"]["count"] >= 20000, 60, "conntrack is read again", poll=0.1)
        left = sorted(f.sport for f in pool.flows)
        wait_until(lambda: sorted(f["sport"] for f in d.flows("dport", "80")) == left, 60, "only those are known that nobody has closed", poll=0.3)
        check(lab.pins() >= len(gone), "although the closed ones have their pins", lab.pins)
        check(pool.exchange().all_held, "none broke", pool.result)


main()
