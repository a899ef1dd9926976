#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 12: somebody flushes the ruleset, the rules or our routes. They come back within a second, it is counted and
logged, and no connection breaks.

While something is missing packets go where the route alone sends them, and a server there that does not know the
connection resets it: no repair can be quick enough for that. So this is tried in two ways. "with traffic": connections
talk all the time, the servers drop what they do not know (a firewall stands before many), and what came back in a wrong
order would teach the gateway wrong nexthops. "with resets": the servers reset, the connections are silent meanwhile."""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

BOUND = 5  # five times "within a second"
OURS = "proto 157"


def standing(lab):
    """Rules, routes and ruleset of ours as text, without what counts."""
    both = [sorted(lab.run("gw", f"ip -{v} {what} show {where} {OURS}").splitlines())
            for v in (4, 6) for what, where in (("rule", ""), ("route", "table all"))]
    return both + [lab.run("gw", "nft -s -t list table inet flowpin", check=False).splitlines()]


def difference(before, after):
    gone = [line for a, b in zip(before, after) for line in a if line not in b]
    new = [line for a, b in zip(before, after) for line in b if line not in a]
    return "missing:\n" + "\n".join(gone) + "\nnew:\n" + "\n".join(new)


def flush_ruleset(lab):
    lab.run("gw", "nft flush ruleset")


def delete_table(lab):
    lab.run("gw", "nft delete table inet flowpin", check=False)


def flush_chain(lab):
    """forward still stands: it must not learn anew what prerouting no longer marks."""
    lab.run("gw", "nft flush chain inet flowpin prerouting", check=False)


def flush_rules(lab):
    """It takes those of main and default too; whoever did that puts them back."""
    for v, names in ((4, {32766: "main", 32767: "default"}), (6, {32766: "main"})):
        lab.run("gw", f"ip -{v} rule flush")
        for priority, table in names.items():
            lab.run("gw", f"ip -{v} rule add pref {priority} lookup {table}")


def delete_rules(lab):
    for v in (4, 6):
        lab.run("gw", f"ip -{v} rule flush {OURS}")


def delete_routes(lab):
    for v in (4, 6):
        lab.run("gw", f"ip -{v} route flush table all {OURS}")


# What is done, and what is repaired then: with an owner of the table, and without.
DEEDS = (
    ("nft flush ruleset", flush_ruleset, None, "ruleset"),
    ("nft delete table", delete_table, None, "ruleset"),
    ("nft flush chain", flush_chain, None, "ruleset"),
    ("ip rule flush", flush_rules, "policy", "policy"),
    ("our rules deleted", delete_rules, "policy", "policy"),
    ("our routes deleted", delete_routes, "policy", "policy"),
)
LINES = {"ruleset": "somebody else changed our nftables table", "policy": "somebody else changed our rules or routes"}


def told(d):
    return {part: len(d.log_lines(line)) for part, line in LINES.items()}


def silence(lab, pools):
    """No packet of the connections is under way any more, nor an acknowledgement that the client holds back."""
    seen = Capture(lab, "c", "gw")
    for pool in pools:
        pool.stop()
        pool.exchange()
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 0.3:
        n = len(seen.packets(lambda p: p.proto == socket.IPPROTO_TCP))
        if n != last:
            last, since = n, time.monotonic()
        time.sleep(0.02)


def do(lab, d, pools, deed, talk):
    what, fn, part = deed
    stood, repairs, lines = standing(lab), d.status()["repairs"], told(d)
    if not talk:
        silence(lab, pools)
    fn(lab)
    back = wait_until(lambda: standing(lab) == stood, BOUND, f"{what}: all is as it was")
    if not back:
        note(difference(stood, standing(lab)))
    if part:
        wait_until(lambda: d.status()["repairs"][part] > repairs[part], BOUND, f"{what}: counted")
        wait_until(lambda: told(d)[part] > lines[part], BOUND, f"{what}: logged")
        note(f"{what}: {d.status()['repairs'][part] - repairs[part]} repairs, {told(d)[part] - lines[part]} lines")
    for other in set(LINES) - {part}:
        equal((d.status()["repairs"][other], told(d)[other]), (repairs[other], lines[other]),
              f"{what}: no repair of the {other}")
    for pool in pools:
        check(pool.exchange(20).all_held, f"{what}: 200 held, {pool.target}", pool.result)
    wait_until(d.verify_clean, BOUND, f"{what}: verify is clean", poll=0.1)


def drop_resets(lab):
    for server in lab.servers:
        lab.nft(server, "add table inet quiet\nadd chain inet quiet out { type filter hook output priority 0; }\n"
                        "add rule inet quiet out tcp flags & rst == rst drop\n")


@case("both ways, owner, with traffic", standard, True, True)
@case("both ways, owner, with resets", standard, True, False)
@case("both ways, no owner, with traffic", standard, False, True)
@case("both ways, no owner, with resets", standard, False, False)
@case("one way, owner, with traffic", direct_return, True, True)
@case("one way, owner, with resets", direct_return, True, False)
@case("one way, no owner, with traffic", direct_return, False, True)
@case("one way, no owner, with resets", direct_return, False, False)
def repair(topology, owner, talk):
    with topology(3) as lab:
        for v in (4, 6):
            lab.route(["s1", "s2", "s3"], v)
        d = Daemon(lab, args=[] if owner else ["--no-owner"])
        if owner and not d.status()["kernel"]["owner"]:
            skip("this kernel has no owner of a table")
        equal(d.status()["kernel"]["owner"], owner, "the table has an owner" if owner else "the table has no owner")
        pools = [TcpPool(lab, target=VIP4), TcpPool(lab, target=VIP6)]
        for pool in pools:
            need(pool.result().all_held, f"200 connections open, {pool.target}", pool.result)
        if talk:
            drop_resets(lab)
        # From here on the flows of s2, and many of the others, are where they are by their pins alone.
        for v in (4, 6):
            lab.route(["s1", "s3"], v)
        for pool in pools:
            pool.start(0.1)
            check(pool.exchange().all_held, f"200 held after a withdrawal, {pool.target}", pool.result)
            check(pool.on("s2"), f"some of them on s2, {pool.target}")
        wait_until(lambda: all(b["state"] == "draining" for b in d.nexthops() if b["nexthop"].endswith("%s2")), BOUND)
        for what, fn, owned, unowned in DEEDS:
            do(lab, d, pools, (what, fn, owned if owner else unowned), talk)
            time.sleep(1.1)  # repairs are logged once a second


@case("all at once, both ways", standard)
@case("all at once, one way", direct_return)
def everything(topology):
    with topology(3) as lab:
        for v in (4, 6):
            lab.route(["s1", "s2", "s3"], v)
        d = Daemon(lab, args=["--no-owner"])
        pools = [TcpPool(lab, target=VIP4), TcpPool(lab, target=VIP6)]
        for v in (4, 6):
            lab.route(["s1", "s3"], v)
        for pool in pools:
            need(pool.exchange().all_held and pool.on("s2"), f"200 connections open, {pool.target}", pool.result)
        wait_until(lambda: all(b["state"] == "draining" for b in d.nexthops() if b["nexthop"].endswith("%s2")), BOUND)
        stood, repairs = standing(lab), d.status()["repairs"]
        silence(lab, pools)
        flush_ruleset(lab)
        delete_rules(lab)
        delete_routes(lab)
        wait_until(lambda: standing(lab) == stood, BOUND, "all is as it was")
        for part in LINES:
            wait_until(lambda p=part: d.status()["repairs"][p] > repairs[p], BOUND, f"{part}: counted")
            wait_until(lambda p=part: told(d)[p] > 0, BOUND, f"{part}: logged")
        for pool in pools:
            check(pool.exchange(20).all_held, f"200 held, {pool.target}", pool.result)
        wait_until(d.verify_clean, BOUND, "verify is clean", poll=0.1)


main()
