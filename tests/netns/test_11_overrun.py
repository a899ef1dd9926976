#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""Row 11: more new flows than the receive buffer of flowpind holds: the overrun is counted, conntrack is read again
once, and everything is known afterwards."""

import contextlib
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

BURST = 50000
SMALL = WEB + "limits { receive-buffer = 65536 }\n"


def marked(lab):
    """How many conntrack entries carry one of our marks."""
    return len(re.findall(r"\bmark=[1-9]", lab.conntrack("-L", check=False)))


def small_buffer(lab):
    lab.route(["s1", "s2", "s3"])
    for server in lab.servers:
        lab.deaf(server, 9)
    # No flow of a burst expires while the test looks.
    lab.sysctl("gw", **{"net.netfilter.nf_conntrack_udp_timeout": 300})
    return Daemon(lab, SMALL)


def burst(lab, d, held, flows=BURST, **kwargs):
    """held: flowpind gets no processor meanwhile, as on a host that is busy with the burst itself."""
    with d.held() if held else contextlib.nullcontext():
        equal(flood(lab, flows, "udp", port=9, **kwargs), flows, f"{flows} new flows sent")


@case("while flowpind runs", False)
@case("while flowpind gets no processor", True)
def overrun(held):
    with standard(3) as lab:
        d = small_buffer(lab)
        pool = TcpPool(lab, 0)
        for n in range(20, 201, 20):  # the buffer holds the events of about a hundred
            pool.open(20)
            wait_until(lambda: d.status()["flows"]["count"] == n, 5)  # pylint: disable=cell-var-from-loop
        need(pool.result().all_held, "200 connections open", pool.result)
        equal(d.status()["flows"]["count"], 200, "200 flows known")
        before = d.status()["events"]
        equal((before["overruns"], before["resyncs"]), (0, 0), "no overrun and no resync so far")
        # The kernel books twice what it is asked for.
        check(before["receive_buffer"] in (64 << 10, 128 << 10), "the receive buffer is 64 KiB", before)
        pool.start()
        burst(lab, d, held)
        if held:
            wait_until(lambda: d.status()["events"]["overruns"] >= 1, 5, "the overrun is counted")
            check(d.verify_clean(), "verify waits until conntrack was read again, and is clean", lambda: d.try_flowpin("verify"))
        else:
            wait_until(d.verify_clean, 25, "verify is clean soon after", poll=0.2)
        equal(d.status()["flows"]["count"], BURST + 200, "every flow is known")
        equal(marked(lab), BURST + 200, "and conntrack has as many")
        after = d.status()["events"]
        note(after)
        read, told = len(d.log_lines("conntrack was read again")), len(d.log_lines("conntrack events were lost"))
        if held:
            equal(after["resyncs"], 1, "one resync")
            equal(read, 1, "which the log tells once")
            equal(told, 1, "the log tells of the overrun once")
            check(after["receive_buffer"] > before["receive_buffer"], "the receive buffer grew", after)
        else:  # how many overruns there are, if any, is up to the machine
            check(after["resyncs"] <= after["overruns"] and bool(after["resyncs"]) == bool(after["overruns"]),
                  "no more resyncs than overruns, but one at least if there was any", after)
            equal(read, after["resyncs"], "which the log tells")
            check(told <= after["overruns"] and bool(told) == bool(after["overruns"]),
                  "the log tells of overruns", lambda: f"{told} lines, {after}")
        lab.route(["s1", "s3"])
        check(pool.exchange().all_held, "the 200 connections are held", pool.result)
        check(d.verify_clean(), "verify is still clean")
        equal(d.status()["events"]["resyncs"], after["resyncs"], "and conntrack was not read again for it")


@case("one after the other")
def in_a_row():
    """How long it waits before it reads conntrack again depends on what reading costs: a small table is read soon, always."""
    with standard(3) as lab:
        d = small_buffer(lab)
        for n in range(1, 9):
            burst(lab, d, True, 1000, source=f"12.12.{n}.0")
            wait_until(lambda: d.status()["flows"]["count"] == 1000 * n, 10, f"every flow is known after overrun {n}")  # pylint: disable=cell-var-from-loop
        check(d.status()["events"]["resyncs"] >= 8, "by reading conntrack again", lambda: d.status()["events"])


def sockets_of_netfilter(d):
    """Netlink sockets that ask netfilter, in the namespace of flowpind: one more while verify reads conntrack."""
    with open(f"/proc/{d.pid}/net/netlink", encoding="ascii") as f:
        return sum(line.split()[1] == "12" for line in f.readlines()[1:])


@case("while verify reads")
def amid_verify():
    """So many flows are lost while verify reads that it cannot keep what it should look at again: it begins anew once they are known."""
    known, crowd = 200000, 30000  # reading takes a while; more suspects than verify keeps
    with standard(3) as lab:
        d = small_buffer(lab)
        burst(lab, d, False, known, source="12.12.0.0")
        wait_until(lambda: d.status()["flows"]["count"] == known, 30, f"{known} flows known", poll=0.2)
        wait_until(d.verify_clean, 25, "verify is clean", poll=0.2)
        before, sockets = d.status()["events"]["overruns"], sockets_of_netfilter(d)
        verify = d.popen_flowpin("verify")
        try:
            wait_until(lambda: sockets_of_netfilter(d) > sockets, 10, "verify reads conntrack", poll=0.0005)
            burst(lab, d, True, crowd, source="12.32.0.0")
            check(verify.poll() is None, "it has not answered yet")
            out, err = verify.communicate(timeout=60)
        finally:
            verify.kill()
            verify.wait()
        check(d.status()["events"]["overruns"] > before, "events were lost meanwhile", lambda: d.status()["events"])
        equal(verify.returncode, 0, f"verify is clean ({out.strip()} {err.strip()})")
        equal(d.status()["flows"]["count"], known + crowd, "every flow is known")


@case("while conntrack is read again", False)
@case("and somebody waits for it", True)
def amid_resync(awaited):
    """Events that are lost because conntrack is read would have it read for ever: each time it is given twice the time. A verify
    that waits has it read as soon as nothing is lost any more."""
    known, times, lost = 100000, 4, 1000
    with standard(3) as lab:
        d = small_buffer(lab)
        burst(lab, d, False, known, source="12.12.0.0")
        wait_until(lambda: d.status()["flows"]["count"] == known, 30, f"{known} flows known", poll=0.2)
        wait_until(d.verify_clean, 25, "verify is clean", poll=0.2)
        before, sockets, begun, verify = d.status()["events"]["resyncs"], sockets_of_netfilter(d), [], None
        burst(lab, d, True, lost, source="12.32.0.0")
        for n in range(1, 1 + times):
            wait_until(lambda: sockets_of_netfilter(d) > sockets, 20, f"conntrack is read, time {n}", poll=0.0005)
            begun.append(time.monotonic())
            if n < times:
                with d.held():
                    time.sleep(0.5)  # what it took last counts, too
                    burst(lab, d, False, lost, source=f"12.32.{n}.0")
            wait_until(lambda: sockets_of_netfilter(d) == sockets, 20, "to its end", poll=0.002)
            if awaited and n == times - 1:
                verify = d.popen_flowpin("verify")
        waits = [b - a for a, b in zip(begun, begun[1:])]
        note(waits)
        check(waits[1] >= 1.9, "two seconds pass before the third time", waits)
        check((waits[2] >= 3.9) != awaited, "and four before the fourth" + (": not where a verify waits" if awaited else ""), waits)
        if verify:
            out, _ = verify.communicate(timeout=60)
            equal(verify.returncode, 0, f"which is clean ({out.strip()})")
        wait_until(lambda: d.status()["flows"]["count"] == known + times * lost, 10, "every flow is known")
        check(d.verify_clean(), "verify is clean")
        equal(d.status()["events"]["resyncs"], before + times, "which nothing was lost in: it is not read again")
        burst(lab, d, True, lost, source="12.33.0.0")
        wait_until(lambda: d.status()["events"]["resyncs"] == before + times + 1, 20, "what is lost at another time has it read")


main()
