#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 3: direct server return. The gateway sees only the client's packets; conntrack calls them
invalid after the SYN and forgets the flow while it lives."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

QUICK = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    idle-timeout = 4s
}
"""


def both(family):
    return VIP4 if family == 4 else VIP6


for fam in (4, 6):
    case(f"changes, IPv{fam}", lambda: direct_return(4), lambda lab, f=fam: Plain(lab, f),
         both(fam))(hold_through_changes)


@case("conntrack -F, IPv4", 4)
@case("conntrack -F, IPv6", 6)
def flushed(family):
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        Daemon(lab)
        pool = TcpPool(lab, target=both(family))
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.start()
        for names in (["s1", "s3"], ["s2", "s3"], ["s1"]):
            lab.conntrack("-F")
            check(pool.exchange().all_held, "200 held after a flush", pool.result)
            lab.route(names, family)
            check(pool.exchange().all_held, f"200 held with the route on {'+'.join(names)}", pool.result)
            lab.conntrack("-F")
            check(pool.exchange().all_held, "and after one more flush", pool.result)
        check(set(pool.probe()) == {"s1"}, "new connections only on s1")


def entries(lab, family):
    return lab.conntrack("-L", "-f", f"ipv{family}", "-p", "tcp", check=False).count("dport=80")


@case("long after the conntrack entry expired, IPv4", 4, 1)
@case("long after the conntrack entry expired, IPv6", 6, 1)
@case("the same with nf_conntrack_tcp_loose=0", 4, 0)
def expired(family, loose):
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        Daemon(lab)
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_tcp_loose": loose})
        lab.forget_quickly(1)
        pool = TcpPool(lab, target=both(family))
        need(pool.result().all_held, "200 connections open", pool.result)
        wait_until(lambda: entries(lab, family) == 0, 15, "conntrack has forgotten all of them", poll=0.2)
        lab.route(["s1", "s3"], family)
        check(pool.exchange().all_held, "200 held through a withdrawal", pool.result)
        wait_until(lambda: entries(lab, family) == 0, 15, "conntrack has forgotten what it picked up", poll=0.2)
        lab.route(["s2"], family)
        check(pool.exchange().all_held, "200 held through another change", pool.result)


@case("the pin ends when the flow does")
def pin_ends():
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, QUICK)
        lab.forget_quickly()
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.start(0.5)
        wait_until(lambda: lab.pins() == 200, 5, "200 pins")
        wait_until(lambda: len(d.flows()) == 200, 20, "flowpin shows 200 flows")
        time.sleep(seconds(6))  # longer than the idle timeout: their packets keep the pins
        equal(lab.pins(), 200, "still 200 pins, longer than the idle timeout")
        wait_until(lambda: len(d.flows()) == 200, 5, "still 200 flows")
        ending = pool.on("s2")
        pool.end(ending)
        left = 200 - len(ending)
        wait_until(lambda: lab.pins() == left, 30, "the pins of those that ended are gone", poll=0.3)
        wait_until(lambda: len(d.flows()) == left, 30, "and their flows", poll=0.3)
        check(pool.exchange().all_held, "the others are held", pool.result)


@case("on a host that has been up for a long time", 0)
@case("on a host that has just booted", 20)
def asked_now_and_then(uptime):
    """The pin map is asked every half idle timeout, however young the clock is: not all the time. (What somebody else deletes
    from it is what shows when flowpind asks.)"""
    under = []
    if uptime:
        with open("/proc/uptime", encoding="ascii") as f:
            now = int(float(f.read().split()[0]))
        under = ["unshare", "-T", "--boottime", str(uptime - now), "--monotonic", str(uptime - now)]
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, WEB, args=["--no-owner"], under=under)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        lab.conntrack("-F")
        wait_until(lambda: sum(f["witness"] == "pin" for f in d.flows()) == 200, 10, "200 flows with the pin map as witness")
        equal(d.try_flowpin("verify").status, 0, "which was asked for each of them")
        lab.nft("gw", "flush map inet flowpin pin4")
        time.sleep(seconds(3))  # of the 150 after which they are asked for
        equal((lab.pins(), len(d.flows())), (0, 200), "three seconds later nobody has asked for them")
        waiting = d.popen_flowpin("drain", lab.nexthop("s2"), "--wait")
        wait_until(lambda: d.binding(lab.nexthop("s2"))["flows"] == 0, 10, "a drain has those on s2 asked for")
        wait_until(lambda: waiting.poll() is not None, 5, "and ends")
        if waiting.poll() is None:
            waiting.kill()
        waiting.communicate()


@case("a drain notices the end while conntrack still has the entry", False)
@case("a drain notices the end when conntrack has forgotten the entry", True)
def drain_notices(forgotten):
    """The pin tells whether a one-way flow lives; a conntrack entry that outlives it (SYN_SENT: two minutes) does not."""
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, QUICK)
        if forgotten:
            lab.forget_quickly()
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.start(0.5)
        drain = d.popen_flowpin("drain", lab.nexthop("s2"), "--wait")
        wait_until(lambda: d.binding(lab.nexthop("s2"))["state"] == "draining", 5, "s2 is draining")
        fresh = pool.open(50)
        check("s2" not in pool.by_server(fresh), "new connections keep off s2", lambda: pool.by_server(fresh))
        time.sleep(seconds(6))  # longer than the idle timeout
        check(drain.poll() is None, "the drain waits while the flows talk")
        check(pool.exchange().all_held, "all held during the drain", pool.result)
        pool.end(pool.on("s2"))
        wait_until(lambda: drain.poll() is not None, 30, "the drain ends when the flows have ended")
        equal(drain.poll(), 0, "with exit status 0")
        if drain.poll() is None:
            drain.kill()
        out, err = drain.communicate()
        note(out + err)
        check(pool.exchange().all_held, "the others are held", pool.result)


def elsewhere(lab, d, gone):
    """Entries of conntrack that still name what is gone, and flows that are listed there."""
    mark = f"{d.binding(lab.nexthop(gone))['id'] << 24:#x}/0xff000000"
    return (lab.conntrack("-L", "-p", "tcp", "--mark", mark, check=False).count("dport=80"),
            sum(f["nexthop"] == lab.nexthop(gone) for f in d.flows()))


@case("where they go on when their nexthop dies")
def moved_by_death():
    """To conntrack their packets belong to no entry, so it never hears of the new nexthop, and their entries (SYN_SENT) stand for two
    minutes under the dead one; the pin map says at the next packet where a flow goes."""
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        wait_until(lambda: all(b["health"] == "alive" for b in d.nexthops()), 10, "all nexthops are seen alive")
        moved = len(pool.on("s2"))
        equal(elsewhere(lab, d, "s2"), (moved, moved), "those on s2 are listed there, and have its mark")
        lab.ip("s2", "link set gw down")
        wait_until(lambda: d.binding(lab.nexthop("s2"))["state"] == "dead", 20, "s2 is dead")
        equal(elsewhere(lab, d, "s2"), (moved, moved), "no packet has come since: they still are")
        pool.exchange()
        wait_until(lambda: elsewhere(lab, d, "s2") == (0, 0), 20, "their next packet takes them elsewhere: neither flowpin nor conntrack says s2", poll=0.2)
        equal(len(d.flows()), 200, "200 flows are listed")
        equal(d.try_flowpin("verify").status, 0, "verify is clean")


@case("more pins than verify names are gone")
def crowd_is_gone():
    """One-way flows whose pins ran out are no difference; the first verify has all of them asked for, however many."""
    crowd = 60_000
    with direct_return(3) as lab:
        for s in lab.servers:
            lab.deaf(s, 9)
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, WEB, args=["--no-owner"])
        flood(lab, crowd, port=9)
        wait_until(lambda: d.status()["flows"]["count"] == crowd, 30, f"flowpind knows {crowd} flows", poll=0.2)
        lab.conntrack("-F")
        wait_until(lambda: sum(b["one_way"] for b in d.nexthops()) == crowd, 30, "all with the pin map as witness", poll=0.2)
        lab.nft("gw", "flush map inet flowpin pin4")
        equal(d.try_flowpin("verify").status, 0, "verify is clean")
        equal(d.status()["flows"]["count"], 0, "and none is listed any more")


@case("entries that conntrackd writes for a gateway that waits")
def carried():
    """No packet of the flows passes here, so they have no pin; and conntrackd writes them anew by deleting them first."""
    with direct_return(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, QUICK.replace("idle-timeout", "protocol = {tcp, udp}\n    idle-timeout"))
        mark = f"{d.binding(lab.nexthop('s2'))['id'] << 24:#x}"
        flow = [["-p", "udp", "-s", "10.9.0.7", "-d", VIP4, "--sport", str(p), "--dport", "80"] for p in range(20000, 20020)]

        def write(what=("-D", "-I")):
            for words in flow:
                for do in what:
                    lab.conntrack(do, *words, *(["--timeout", "30", "--mark", mark] if do == "-I" else []))

        write(("-I",))
        wait_until(lambda: len(d.flows()) == 20, 5, "20 one-way flows are known")
        end, low = time.monotonic() + 10, (20, 20)
        while time.monotonic() < end:
            write()
            low = min(low[0], lab.conntrack("-L", "-p", "udp", "--mark", mark).count("dport=80")), min(low[1], len(d.flows()))
            time.sleep(0.5)
        equal(low, (20, 20), "for more than two idle timeouts each has its mark, and is listed")
        d.restart()
        write()
        time.sleep(6)
        equal(lab.conntrack("-L", "-p", "udp", "--mark", mark).count("dport=80"), 20, "after a restart and one more writing, too")
        write(("-D",))
        wait_until(lambda: not d.flows(), 15, "when they are deleted they end")


main()
