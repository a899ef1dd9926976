#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 9: `flowpin drain` keeps new flows off a nexthop that the route still has; how a drain ends,
is taken back, outlives a restart and is refused; and what the routing daemon does meanwhile."""

import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from daemon import Output
from notify import Changes

FAMILIES = (4, 6)
VIP = {4: VIP4, 6: VIP6}
ALL = ["s1", "s2", "s3"]
OURS = "157"  # flowpin's routing protocol


def forget_ended(lab):
    """conntrack keeps ended TCP connections for two seconds, not two minutes."""
    lab.sysctl("gw", **{f"net.netfilter.nf_conntrack_tcp_timeout_{state}": 2
                        for state in ("fin_wait", "last_ack", "time_wait", "close", "close_wait")})


def opened(lab, family=4, n=200):
    pool = TcpPool(lab, n, target=VIP[family])
    need(pool.result().all_held and len(pool.by_server()) == 3, f"{n} connections open on three servers", pool.result)
    pool.start()
    return pool


def held(pool, what):
    check(pool.exchange().all_held, f"{what}: {len(pool.flows)} connections held", pool.result)


def fresh_on(pool, servers, what, n=50):
    counts = pool.probe(n)
    check(set(counts) == set(servers), f"{what}: {n} new connections only on {'+'.join(sorted(servers))}", counts)


def state(lab, d, server="s2", family=4):
    return d.binding(lab.nexthop(server, family))["state"]


def route_in(lab, table, family=4):
    """{server: weight} of the VIP's route in a table of the gateway, {} if there is none."""
    routes = lab.ip_json("gw", f"-{family} route show table {table} {VIP[family]}")
    hops = routes[0].get("nexthops", routes) if routes else []
    by_address = {lab.nexthops[s, family]: s for s in lab.servers}
    return {by_address[h["gateway"], h["dev"]]: h.get("weight", 1) for h in hops}


def override(lab, d, family=4):
    """{server: weight} that new flows are sent to by the override of the VIP; None: there is none."""
    ours = [o for o in d.status()["overrides"] if (":" in o["prefix"]) == (family == 6)]
    return route_in(lab, ours[0]["table"], family) if ours else None


def drain(lab, d, server="s2", family=4):
    d.flowpin("drain", lab.nexthop(server, family))


@case("new flows keep off it, IPv4", 4)
@case("new flows keep off it, IPv6", 6)
def keeps_off(family):
    with standard(3) as lab:
        lab.route(ALL, family)
        d = Daemon(lab)
        pool = opened(lab, family)
        before = lab.run("gw", f"ip -{family} route show {VIP[family]}")
        d.flowpin("drain", lab.nexthop("s2", family))
        fresh_on(pool, ["s1", "s3"], "drained", 100)
        equal(state(lab, d, family=family), "draining", "s2 is draining")
        equal(lab.run("gw", f"ip -{family} route show {VIP[family]}"), before, "the route still has it")
        held(pool, "during the drain")
        udp = UdpPool(lab, 60, target=VIP[family])
        check(set(udp.by_server()) == {"s1", "s3"}, "nor do new UDP flows go there", udp.by_server)
        d.flowpin("undrain", lab.nexthop("s2", family))
        equal(state(lab, d, family=family), "active", "undrained: s2 is active")
        equal(d.status()["overrides"], [], "nothing is overridden any more")
        fresh_on(pool, ALL, "undrained", 100)
        held(pool, "after the undrain")
        check("drain" not in d.binding(lab.nexthop("s2", family)), "and nothing is left of the drain")
        check(d.verify_clean(), "flowpin verify finds no difference")


@case("--wait ends when the last flow does")
def wait_ends():
    with standard(3) as lab:
        lab.route(ALL)
        d = Daemon(lab)
        forget_ended(lab)
        pool = opened(lab)
        mine = pool.on("s2")
        human, machine = (d.popen_flowpin("drain", lab.nexthop("s2"), "--wait", *more) for more in ((), ("--json",)))
        wait_until(lambda: state(lab, d) == "draining", 5, "s2 is draining")
        pool.end(mine[1:])
        wait_until(lambda: d.binding(lab.nexthop("s2"))["flows"] == 1, 20, "one of its flows is left", poll=0.1)
        early = wait_until(lambda: human.poll() is not None or machine.poll() is not None, 1)
        check(not early, "the drain still waits for it")
        held(pool, "the last one among them")
        pool.end(mine[:1])
        wait_until(lambda: human.poll() is not None and machine.poll() is not None, 20, "it ends when that one ended")
        equal((human.poll(), machine.poll()), (0, 0), "with exit status 0")
        replies = ended(machine)
        equal([(r["done"], r["outcome"], r["flows"]) for r in replies[-1:]], [(True, "empty", 0)], "--json says so")
        check(len(replies) > 1 and not any(r["done"] for r in replies[:-1]), "after replies on the way", replies)
        note(human.communicate()[0])
        held(pool, "the others")


def ended(process):
    """The JSON values that an ended (or killed) flowpin printed, as a list."""
    if process.poll() is None:
        process.kill()
    values = parse_json(process.communicate()[0])
    return values if isinstance(values, list) else [values]


@case("--deadline ends it earlier")
def deadline():
    with standard(3) as lab:
        lab.route(ALL)
        d = Daemon(lab)
        pool = opened(lab)
        mine = {(f.src, str(f.sport)) for f in pool.on("s2")}
        began = time.monotonic()
        r = d.try_flowpin("drain", lab.nexthop("s2"), "--wait", "--deadline", "2s")
        took = time.monotonic() - began
        equal(r.status, 3, "exit status 3")
        check(2 <= took < seconds(10), "after two seconds", took)
        equal(len(r.err.strip().splitlines()), 1, "one sentence says so")
        check(f"{len(mine)} flows left" in r.err, "with the number of flows left", r.err)
        printed = {m for m in mine if any(set(m) <= set(re.split(r"[\s:]+", line)) for line in r.out.splitlines())}
        check(printed == mine, "each of them is printed", r.out)
        equal(state(lab, d), "draining", "s2 is draining as before")
        fresh_on(pool, ["s1", "s3"], "after the deadline")
        held(pool, "nobody was cut off")
        began = time.monotonic()
        r = d.try_flowpin("drain", lab.nexthop("s2"), "--wait", "--deadline", "1s", "--json")
        equal((r.status, json.loads(r.out.strip().splitlines()[-1])["outcome"]), (3, "deadline"), "the same with --json")


@case("undrain ends a --wait")
def undrain_ends_wait():
    with standard(3) as lab:
        lab.route(ALL)
        d = Daemon(lab)
        pool = opened(lab)
        waiting = d.popen_flowpin("drain", lab.nexthop("s2"), "--wait")
        wait_until(lambda: state(lab, d) == "draining", 5, "s2 is draining")
        d.flowpin("undrain", lab.nexthop("s2"))
        wait_until(lambda: waiting.poll() is not None, 5, "it ends")
        equal(waiting.poll(), 2, "with exit status 2")
        if waiting.poll() is None:
            waiting.kill()
        err = waiting.communicate()[1]
        check("taken back" in err, "and a sentence that tells why", err)
        fresh_on(pool, ALL, "undrained", 100)


@case("a drain outlives a restart", signal.SIGTERM)
@case("a drain outlives kill -9", signal.SIGKILL)
def outlives(how):
    with standard(3) as lab:
        lab.route(ALL)
        d = Daemon(lab)
        pool = opened(lab)
        d.flowpin("drain", lab.nexthop("s2"), "--deadline", "10m")
        asked = d.binding(lab.nexthop("s2"))
        d.kill(how)
        fresh_on(pool, ["s1", "s3"], "while flowpind is away")
        d.start()
        now = d.binding(lab.nexthop("s2"))
        equal((now["state"], now["reason"]), (asked["state"], asked["reason"]), "s2 is draining as soon as it is ready")
        equal(now["drain"], asked["drain"], "since when, until when and by whom is known")
        fresh_on(pool, ["s1", "s3"], "after the restart")
        held(pool, "through the restart")
        check(d.verify_clean(), "flowpin verify finds no difference")
        d.flowpin("undrain", lab.nexthop("s2"))
        d.kill(how)
        d.start()
        equal(state(lab, d), "active", "so does the undrain")
        fresh_on(pool, ALL, "undrained", 100)


@case("a drain that lasts longer than drain-timeout, the route still has it", False)
@case("a drain that lasts longer than drain-timeout, withdrawn", True)
def drain_timeout(withdrawn):
    with standard(3) as lab:
        lab.route(ALL)
        d = Daemon(lab, WEB.replace("idle-timeout", "drain-timeout = 4s\n    idle-timeout"))
        pool = opened(lab)
        mine, others = pool.on("s2"), pool.on("s1", "s3")
        began = time.monotonic()
        if withdrawn:
            lab.route(["s1", "s3"])
        else:
            drain(lab, d)
        wait_until(lambda: state(lab, d) == "draining", 3, "s2 is draining")
        held(pool, "at first")
        wait_until(lambda: state(lab, d) == "dead", 20, "then it is released")
        check(time.monotonic() - began >= 4, "not before its time", time.monotonic() - began)
        equal(d.binding(lab.nexthop("s2"))["reason"], "released by the operator", "as if by flowpin release")
        equal(len(d.log_lines(r"draining for the drain-timeout of 4 s: its \d+ flows are released")), 1, "the log says it once")
        wait_until(lambda: all(f.state == "broken" for f in mine), 20, "its connections go to others, which end them")
        check(pool.exchange(flows=others).all_held, f"the other {len(others)} are held", lambda: pool.result(others))
        fresh_on(pool, ["s1", "s3"], "released")
        d.kill()
        d.start()
        if withdrawn:
            check((d.binding(lab.nexthop("s2")) or {}).get("state") != "active", "it is not active after a restart")
        else:
            equal(state(lab, d), "dead", "it is still released after a restart")
        fresh_on(pool, ["s1", "s3"], "after a restart")
        lab.route(ALL)
        if not withdrawn:
            d.flowpin("undrain", lab.nexthop("s2"))
        wait_until(lambda: (d.binding(lab.nexthop("s2")) or {}).get("state") == "active", 5, "it can come back")
        fresh_on(pool, ALL, "back", 100)


@case("drain-timeout waits while there is nobody to go to")
def drain_timeout_alone():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, WEB.replace("idle-timeout", "drain-timeout = 1s\n    idle-timeout"))
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        pool.start()
        lab.route({})
        wait_until(lambda: {b["state"] for b in d.nexthops()} == {"draining"}, 5, "both are withdrawn")
        time.sleep(seconds(3))
        held(pool, "longer than drain-timeout")
        lab.route(["s1"])
        wait_until(lambda: state(lab, d) == "dead", 5, "s1 is back: s2 is released")
        check(pool.exchange(flows=pool.on("s1")).all_held, "the connections on s1 are held", pool.result)


@case("the last nexthop of a service is refused")
def refused():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab)
        pool = TcpPool(lab, 50)
        drain(lab, d)
        for words in ([], ["web"], ["web", "--wait"]):
            r = d.try_flowpin("drain", lab.nexthop("s1"), *words)
            equal(r.status, 1, f"drain {' '.join(words)}: exit status 1")
            err = r.err.strip()
            check(len(err.splitlines()) == 1 and f"{lab.nexthop('s1')} is the last active nexthop of service web" in err
                  and not r.out.strip(), "one sentence tells why", r.err + r.out)
        equal(state(lab, d, "s1"), "active", "s1 is active as before")
        fresh_on(pool, ["s1"], "new connections work")
        d.restart()
        equal((state(lab, d, "s1"), state(lab, d)), ("active", "draining"), "nothing of it comes after a restart")
        d.flowpin("undrain", lab.nexthop("s2"))
        lab.ip("s1", "link set gw down")
        wait_until(lambda: state(lab, d, "s1") == "dead", 10, "s1 is dead")
        r = d.try_flowpin("drain", lab.nexthop("s2"))
        check(r.status == 1 and "last active nexthop" in r.err, "a dead one does not count as another", r)


@case("all services or none: one refuses", False)
@case("all services or none: the disk is full", True)
def all_or_none(full):
    """A drain that cannot be had for every service changes none, and takes back none that was drained before."""
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        gateway, dev = lab.nexthops["s2", 4]
        other = f"nexthop via {gateway} dev {dev}" + (f" nexthop via {lab.nexthops['s1', 4][0]} dev s1" if full else "")
        lab.ip("gw", f"route add 9.9.9.0/24 {other}")
        d = Daemon(lab, WEB + "service other { prefix = 9.9.9.9/32 }\n")
        wait_until(lambda: len(d.nexthops("other")) == (2 if full else 1), 5, "the other service has its nexthop")

        def states():
            return {b["service"]: (b["state"], b.get("drain_deadline")) for b in d.nexthops() if b["nexthop"] == lab.nexthop("s2")}

        d.flowpin("drain", lab.nexthop("s2"), "web", "--deadline", "1h")
        before = states()
        equal((before["web"][0], before["other"][0]), ("draining", "active"), "s2 drains in one of two services")
        ballast = os.path.join(d.state_dir, "drains.json.new")
        if full:
            os.mkdir(ballast)  # nothing can be written there
        r = d.try_flowpin("drain", lab.nexthop("s2"))
        check(r.status != 0 and len(r.err.splitlines()) == 1, "a drain of both is refused with a sentence", r)
        equal(states(), before, "each is what it was")
        if full:
            os.rmdir(ballast)
        d.restart()
        equal(states(), before, "after a restart, too")
        if full:
            equal(d.try_flowpin("drain", lab.nexthop("s2")).status, 0, "and is drained once there is room")
            equal({name: s for name, (s, _) in states().items()}, {"web": "draining", "other": "draining"}, "both drain")


def set_and_wait(lab, d, weights, expected, text):
    lab.route(weights)
    wait_until(lambda: override(lab, d) == expected, 5, text)


@case("the route changes during a drain, flowpind alive")
def changes_alive():
    with standard(4) as lab:
        lab.route(ALL)
        d = Daemon(lab)
        pool = opened(lab)
        drain(lab, d)
        equal(override(lab, d), {"s1": 1, "s3": 1}, "the route without s2")
        for what, weights, expected in (
                ("s3 withdrawn", {"s1": 1, "s2": 1}, {"s1": 1}),
                ("s4 added", {"s1": 1, "s2": 1, "s4": 1}, {"s1": 1, "s4": 1}),
                ("weights changed", {"s1": 1, "s2": 5, "s3": 7, "s4": 3}, {"s1": 1, "s3": 7, "s4": 3})):
            set_and_wait(lab, d, weights, expected, f"{what}: the override follows")
            fresh_on(pool, set(expected), what, 60)
            held(pool, what)
        gone = (("the drained one withdrawn", {"s1": 1, "s3": 1}, ["s1", "s3"]),
                ("only the drained one left", {"s2": 1}, ["s2"]))
        for what, weights, servers in gone:
            set_and_wait(lab, d, weights, None, f"{what}: nothing is overridden")
            fresh_on(pool, servers, what, 60)
            held(pool, what)
            equal(state(lab, d), "draining", f"{what}: s2 is draining as before")
        lab.route({})
        wait_until(lambda: not d.binding(lab.nexthop("s2"))["named"], 5, "the route is gone")
        held(pool, "without a route")
        set_and_wait(lab, d, ALL, {"s1": 1, "s3": 1}, "all are back: the drain still stands")
        fresh_on(pool, ["s1", "s3"], "all back")
        held(pool, "all back")
        check(d.verify_clean(), "flowpin verify finds no difference")


@case("the route changes during a drain, flowpind dead")
def changes_dead():
    with standard(4) as lab:
        lab.route(ALL)
        d = Daemon(lab)
        pool = opened(lab)
        drain(lab, d)
        pool.open(20)
        d.kill()
        for what, weights in (("s4 added", ALL + ["s4"]), ("s1 withdrawn", ["s2", "s3", "s4"]),
                              ("only s4 left", ["s4"]), ("all", ALL + ["s4"])):
            lab.route(weights)
            held(pool, f"flowpind dead, {what}")
            # The override is of the route as it was when flowpind died (it is not fail-static).
            fresh_on(pool, ["s1", "s3"], f"flowpind dead, {what}")
        lab.route(["s2", "s3", "s4"])
        d.start()
        wait_until(lambda: override(lab, d) == {"s3": 1, "s4": 1}, 5, "after the restart the override follows")
        fresh_on(pool, ["s3", "s4"], "after the restart")
        held(pool, "after the restart")
        equal(state(lab, d), "draining", "s2 is draining as before")
        equal(state(lab, d, "s1"), "draining", "s1, withdrawn meanwhile, holds its flows")
        wait_until(d.verify_clean, 10, "flowpin verify finds no difference", poll=0.3)


def kernel(lab):
    """(rules, routes) of flowpin, IPv4 and IPv6, as sets of lines; routes with their table."""
    rules, routes = set(), set()
    for family in FAMILIES:
        for line in lab.run("gw", f"ip -{family} rule").splitlines():
            if f"proto {OURS}" in line:
                rules.add((family, line.split(":", 1)[1].strip()))
        text = lab.run("gw", f"ip -oneline -{family} route show table all proto {OURS}")
        routes |= {(family, line.strip()) for line in text.splitlines()}
    return rules, routes


@case("flowpind --relax")
def relax():
    with standard(4) as lab:
        for family in FAMILIES:
            lab.route(ALL, family)
        d = Daemon(lab)
        pool, pool6 = opened(lab), opened(lab, 6)
        plain = kernel(lab)
        for family in FAMILIES:
            drain(lab, d, family=family)
        rules, routes = kernel(lab)
        tables = {str(o["table"]) for o in d.status()["overrides"]}
        need(len(tables) >= 1 and rules > plain[0] and routes > plain[1], "the drains are overrides in the kernel",
             lambda: (rules - plain[0], routes - plain[1]))
        r = run_relax(lab, d)
        check(r.status != 0 and "running" in r.err, "with flowpind alive it is refused with a sentence", r)
        equal(kernel(lab), (rules, routes), "and nothing was removed")
        d.kill()
        changes = Changes(lab, "nft")
        r = run_relax(lab, d)
        equal(r.status, 0, "with flowpind dead its exit status is 0")
        after = kernel(lab)
        equal(after[0], plain[0], "the overrides' rules are removed, and no others")
        blackholes = {line for line in plain[1] if "blackhole" in line[1]}
        check(len(blackholes) >= 6, "there were blackholes", plain[1])
        equal(after[1], plain[1] - blackholes, "the overrides' tables and the blackholes are removed, and no other route")
        equal(changes.take(), [], "the nftables table is not touched")
        for p, family in ((pool, 4), (pool6, 6)):
            held(p, f"relaxed, IPv{family}")
            fresh_on(p, ALL, f"relaxed: as the route says, IPv{family}", 60)
            lab.route(["s1", "s3", "s4"], family)
            held(p, f"relaxed, s2 withdrawn, IPv{family}")
            fresh_on(p, ["s1", "s3", "s4"], f"relaxed, s2 withdrawn, IPv{family}", 60)
            lab.route(ALL, family)
        check(run_relax(lab, d).status == 0, "once more: nothing to do, exit status 0")
        d.start()
        wait_until(lambda: (override(lab, d), override(lab, d, 6)) == ({"s1": 1, "s3": 1},) * 2, 5,
                   "after the restart the drains stand again")
        held(pool, "after the restart")
        held(pool6, "after the restart")
        wait_until(d.verify_clean, 10, "flowpin verify finds no difference", poll=0.3)


def run_relax(lab, d):
    """(status, out, err) of flowpind --relax."""
    with lab.inside("gw"):
        p = subprocess.run([d.program(), "--config", d.config_path, "--relax"], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=seconds(10), check=False)
    return Output(p.returncode, p.stdout, p.stderr)


main()
