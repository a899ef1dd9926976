#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""Row 11: more new flows than the receive buffer of flowpind holds: the overrun is counted, conntrack is read again
once, and everything is known afterwards."""

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

BURST = 50000
SMALL = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    protocol     = {tcp, udp}
    idle-timeout = 5m
}
limits { receive-buffer = 64k }
"""


def entries(lab):
    """How many conntrack entries carry one of our marks."""
    return len(re.findall(r"\bmark=[1-9]", lab.conntrack("-L", check=False)))


def burst(lab, d, source, held):
    """held: flowpind gets no processor meanwhile, as on a host that is busy with the burst itself."""
    if held:
        os.kill(d.pid, signal.SIGSTOP)
    try:
        equal(flood(lab, BURST, "udp", source=source), BURST, f"{BURST} new flows sent")
    finally:
        if held:
            os.kill(d.pid, signal.SIGCONT)


@case("a burst while flowpind runs", False)
@case("a burst while flowpind gets no processor", True)
def overrun(held):
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, SMALL)
        for server in lab.servers:
            lab.deaf(server, 9)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        wait_until(lambda: d.status()["flows"]["count"] == 200, 5, "200 flows known")
        before = d.status()["events"]
        equal((before["overruns"], before["resyncs"]), (0, 0), "no overrun and no resync so far")
        # The kernel books twice what was asked for.
        check(before["receive_buffer"] in (64 << 10, 128 << 10), "the receive buffer is 64 KiB", before)
        pool.start()
        sent_to = 9
        flood_to_9(lab, d, held, sent_to)
        wait_until(lambda: d.status()["events"]["overruns"] >= 1, 5, "the overrun is counted")
        wait_until(d.verify_clean, 25, "verify is clean soon after", poll=0.2)
        known(lab, d)
        after = d.status()["events"]
        note(after)
        equal(after["resyncs"], 1, "one resync")
        equal(len(d.log_lines("conntrack was read again")), 1, "and one line in the log for it")
        check(d.log_lines("conntrack events were lost"), "the log tells of the overrun")
        check(after["receive_buffer"] > before["receive_buffer"], "the receive buffer grew", after)
        lab.route(["s1", "s3"])
        check(pool.exchange().all_held, "the 200 connections are held", pool.result)


main()
