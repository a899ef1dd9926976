#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 17: ids. With all in use the next nexthop is not pinned and status says so; an id whose marks still stand
somewhere is never given to another nexthop."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

IDS = 15
IDLE = 2  # seconds
FEW = f"""service web {{
    prefix       = {{1.1.1.1/32, 2001:db8::1/128}}
    protocol     = {{tcp, udp}}
    idle-timeout = {IDLE}s
    syn-timeout  = {IDLE}s
}}
numbers {{ mark-mask = 0x0f000000 }}
"""
ALL = [f"s{n}" for n in range(1, IDS + 1)]
LAST = f"s{IDS + 1}"
IDLE_ENTRIES = 50


def mark(number):
    return number << 24


def entries(lab, number):
    """Lines of the conntrack entries with the mark of an id, in any zone."""
    return lab.conntrack("-L", "-m", f"{mark(number)}/{mark(IDS)}", check=False).splitlines()


def insert(lab, number, n=IDLE_ENTRIES, zone=0, sport=40000):
    """Idle entries of UDP flows to the VIP that carry the mark of an id. Returns their source ports."""
    source = lab.sources[4][0]
    script = "".join(f"-I -p udp -s {source} -d {VIP4} --sport {sport + k} --dport 80 -t 600 -m {mark(number)}"
                     f"{f' -w {zone}' if zone else ''}\n" for k in range(n))
    path = lab.path("entries")
    with open(path, "w", encoding="ascii") as f:
        f.write(script)
    lab.conntrack("-R", path)
    return list(range(sport, sport + n))


def ids(d):
    """{nexthop: id}"""
    return {b["nexthop"]: b["id"] for b in d.nexthops()}


def unpinned(d):
    return [u["nexthop"] for u in d.status()["unpinned"]]


def route_after(lab, d, servers):
    """The route, and flowpind has seen it."""
    lab.route(servers)
    wanted = {lab.nexthop(s) for s in servers}
    wait_until(lambda: {b["nexthop"] for b in d.nexthops() if b["named"]} | set(unpinned(d)) == wanted, 5)


def open_until_on(pool, server):
    """Opens connections until the hash has chosen the server for some. Returns all, and those."""
    fresh, mine = [], []
    for _ in range(20):
        fresh += pool.open(20)
        mine = [f for f in fresh if f.server == server]
        if len(mine) >= 5:
            break
    return fresh, mine


@case("all in use")
def all_in_use():
    with segment(IDS + 1) as lab:
        lab.route(ALL)
        d = Daemon(lab, FEW)
        pool = TcpPool(lab)
        need(pool.result().all_held and len(pool.by_server()) == IDS, "200 connections open on 15 servers",
             lambda: f"{pool.result()} {pool.by_server()}")
        equal(sorted(ids(d).values()), list(range(1, IDS + 1)), "15 nexthops have the 15 ids")
        equal(unpinned(d), [], "all are pinned")
        equal(d.status()["bindings"]["max"], IDS, "status tells how many there can be")
        check("Not pinned" not in d.flowpin("status", json_output=False), "status for people has nothing to tell")
        pool.start()
        kept, late = ids(d), lab.nexthop(LAST)
        lab.route(ALL + [LAST])
        wait_until(lambda: unpinned(d) == [late], 5, "the 16th is not pinned, status says so")
        text = d.flowpin("status", json_output=False)
        check(re.search(r"Not pinned: every id is in use\n\s+" + re.escape(late), text), "in words for people too", text)
        equal(d.status()["bindings"]["used"], IDS, "all ids are in use")
        equal(len(d.log_lines(re.escape(late) + ".*not pinned")), 1, "the log says it once")
        route_after(lab, d, ALL[1:] + [LAST])
        route_after(lab, d, ALL + [LAST])
        equal(unpinned(d), [late], "s1 went and came: the 16th is not pinned")
        equal(len(d.log_lines(re.escape(late) + ".*not pinned")), 1, "the log does not say it again")
        equal(ids(d), kept, "nobody's id changed")
        fresh, on_last = open_until_on(pool, LAST)
        check(on_last and all(f.state == "up" for f in fresh), "new connections use it, as the route says",
              lambda: pool.by_server(fresh))
        ports = {f.sport for f in on_last}
        wait_until(lambda: len(d.flows()) == 200 + len(fresh) - len(on_last), 5, "flowpin lists all but its connections")
        check(not ports & {f["sport"] for f in d.flows()}, "none of its own")
        marked = [line for n in range(1, IDS + 1) for line in entries(lab, n)
                  if int(re.search(r"sport=(\d+)", line).group(1)) in ports]
        equal(marked, [], "its connections have no mark")
        lab.route(ALL)
        wait_until(lambda: unpinned(d) == [], 5, "withdrawn: it leaves the list")
        pinned = [f for f in pool.flows if f not in on_last]
        check(pool.exchange(flows=pinned).all_held, "the connections of the 15 are held", lambda: pool.result(pinned))
        pool.end(on_last, reset=True)
        taken_over(lab, d, pool, late)


def taken_over(lab, d, pool, late):
    """An id becomes free, and the one that waits gets it by itself."""
    lab.route(ALL + [LAST])
    wait_until(lambda: unpinned(d) == [late], 5, "there again: not pinned again")
    free = ids(d)[lab.nexthop("s15")]
    route_after(lab, d, ALL[:-1] + [LAST])
    equal(unpinned(d), [late], "s15 withdrawn: its id is not free while its flows live")
    check(pool.exchange().all_held, "which are held", pool.result)
    ending = pool.on("s15")
    # A closed connection stands in conntrack for two minutes more.
    lab.sysctl("gw", **{f"net.netfilter.nf_conntrack_tcp_timeout_{state}": 1
                        for state in ("time_wait", "fin_wait", "last_ack", "close_wait", "close")})
    pool.end(ending)
    # What has expired is gone once somebody looks.
    wait_until(lambda: lab.conntrack("-L") and unpinned(d) == [], 15, "they end: the one that waits is pinned", poll=0.2)
    equal(ids(d).get(late), free, "with the id that became free")
    check(pool.exchange().all_held, "the other connections are held", pool.result)
    _, mine = open_until_on(pool, LAST)
    check(mine, "new connections on it", pool.by_server)
    lab.route(ALL[:2])
    check(pool.exchange().all_held, "held when everything but s1 and s2 is withdrawn, the new one's too", pool.result)


def follow(lab, server, ports):
    """A packet of each of these UDP flows, while no route names the server. Which of them reach it."""
    seen = Capture(lab, server)
    pool = UdpPool(lab, 0)
    for port in ports:
        pool.open(1, sport=port, src=lab.sources[4][0], wait=False)
    check(pool.exchange().all_held, f"a packet of each of the {len(ports)} is answered", pool.result)
    return {p.sport for p in seen.packets(lambda p: p.proto == 17 and p.dport == 80)} & set(ports)


def nobody_follows(lab, d, ports):
    """s3 came while the mark of id 3 stood in entries of these ports."""
    late = lab.nexthop("s3")
    wait_until(lambda: late in ids(d), 5, "the new nexthop has an id")
    check(ids(d)[late] not in (1, 2, 3, None), "but not the one that they carry", lambda: ids(d))
    fresh = UdpPool(lab, 60)
    mine = fresh.on("s3")
    check(mine, "new flows go to it", fresh.by_server)
    route_after(lab, d, ["s1", "s2"])
    check(fresh.exchange().all_held, "and are pinned: they stay when it is withdrawn", fresh.result)
    equal(follow(lab, "s3", ports), set(), "none of those that carry the unused id follows it")


@case("idle entries carry an id that was never used", 0)
@case("they stand in another zone", 7)
def foreign(zone):
    with standard(3) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, FEW)
        equal(sorted(ids(d).values()), [1, 2], "two nexthops, ids 1 and 2")
        ports = insert(lab, 3, zone=zone)
        lab.route(["s1", "s2", "s3"])  # at once: their events may not have been read yet
        equal(len([e for e in entries(lab, 3) if "udp" in e]), IDLE_ENTRIES, "50 idle entries carry id 3")
        nobody_follows(lab, d, ports)


@case("they were there before flowpind")
def before_start():
    with standard(3) as lab:
        lab.route(["s1", "s2"])
        ports = insert(lab, 3)
        d = Daemon(lab, FEW)
        equal(sorted(ids(d).values()), [1, 2], "two nexthops, ids 1 and 2")
        lab.route(["s1", "s2", "s3"])
        nobody_follows(lab, d, ports)


@case("the flow table has no room for them")
def not_listed():
    with standard(3) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, FEW + "limits { max-flows = 20 }\n")
        filler = TcpPool(lab, 20)
        need(filler.result().all_held, "20 connections open", filler.result)
        wait_until(lambda: d.status()["flows"]["count"] >= d.status()["flows"]["max"], 5, "the flow table is full")
        ports = insert(lab, 3)
        wait_until(lambda: d.status()["flows"]["refused"] >= IDLE_ENTRIES, 5, "the 50 entries are not listed")
        lab.route(["s1", "s2", "s3"])
        nobody_follows(lab, d, ports)


@case("idle entries of others carry all that are left")
def exhausted_by_others():
    with standard(3) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, FEW)
        for n in range(3, IDS + 1):
            insert(lab, n, 4, sport=40000 + 4 * n)
        late = lab.nexthop("s3")
        lab.route(["s1", "s2", "s3"])
        wait_until(lambda: unpinned(d) == [late], 5, "the new nexthop is not pinned")
        lab.conntrack("-D", "-m", f"{mark(9)}/{mark(IDS)}")
        wait_until(lambda: unpinned(d) == [], 15, "the entries of one id are gone: it is pinned by itself")
        equal(ids(d).get(late), 9, "with that id")


def wait_quiet(lab, d, s2, late, why):
    """Longer than the idle timeout, after which the id would be free if nothing carried it."""
    end = time.monotonic() + seconds(3 * IDLE)
    while time.monotonic() < end:
        if ids(d).get(s2) != 2 or late in ids(d):
            break
        time.sleep(0.1)
    equal((ids(d).get(s2), ids(d).get(late)), (2, None), f"its id stays its own while {why}")
    equal(unpinned(d), [late], "the next nexthop is not pinned")


@case("idle entries of a withdrawn nexthop carry its id")
def withdrawn():
    with segment(IDS + 1) as lab:
        lab.route(["s1"])
        d = Daemon(lab, FEW)
        route_after(lab, d, ["s1", "s2"])
        route_after(lab, d, ["s2"])
        pool = TcpPool(lab, IDLE_ENTRIES)
        need(pool.by_server() == {"s2": IDLE_ENTRIES}, "50 connections open on s2", pool.result)
        route_after(lab, d, ALL)
        others = TcpPool(lab, 150)
        need(others.result().all_held, "150 on all", others.result)
        others.end(others.on("s2"))
        others.start(0.3)
        s2, late = lab.nexthop("s2"), lab.nexthop(LAST)
        equal(ids(d)[s2], 2, "s2 has id 2")
        route_after(lab, d, ["s1"] + ALL[2:] + [LAST])
        wait_until(lambda: lab.pins() < 150, 10, "its idle flows have no pin any more", poll=0.2)
        check(len(entries(lab, 2)) >= IDLE_ENTRIES, "only conntrack knows them")
        wait_quiet(lab, d, s2, late, "50 idle entries carry it")
        check(pool.exchange().all_held, "they wake up and are on s2: none follows the new nexthop", pool.result)
        check(others.exchange().all_held, "the connections of the others are held", others.result)
        carried_elsewhere(lab, d, pool, others, s2, late)


def carried_elsewhere(lab, d, pool, others, s2, late):
    """The flows end, but their marks stand on in another zone; then there too they go."""
    insert(lab, 2, zone=7)
    pool.end()
    lab.conntrack("-D", "-p", "tcp", "-m", f"{mark(2)}/{mark(IDS)}", check=False)
    wait_quiet(lab, d, s2, late, "entries of another zone carry it")
    d.kill()
    d.start()
    equal((ids(d).get(s2), ids(d).get(late)), (2, None), "after kill -9 and a restart as well")
    wait_quiet(lab, d, s2, late, "they stand on")
    lab.conntrack("-D", "-w", "7", check=False)
    wait_until(lambda: ids(d).get(late) == 2, 20, "they are gone: the next nexthop has the id", poll=0.1)
    check(others.exchange().all_held, "the connections of the others are held", others.result)
    wait_until(d.verify_clean, 10, "flowpin verify finds no difference", poll=0.3)


@case("only the packets of flows that nobody knows tell that an id is carried")
def only_packets():
    """One-way flows without a conntrack entry, which a full flow table did not take: their pins live while they talk."""
    with direct_return(IDS + 1) as lab:
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_tcp_loose": 0})
        lab.route(["s1"])
        d = Daemon(lab, FEW + "limits { max-flows = 20 }\n")
        filler = TcpPool(lab, 20)
        need(filler.result().all_held, "20 connections open", filler.result)
        filler.start(0.3)
        wait_until(lambda: d.status()["flows"]["count"] >= d.status()["flows"]["max"], 5, "the flow table is full")
        route_after(lab, d, ["s1", "s2"])
        route_after(lab, d, ["s2"])
        pool = TcpPool(lab, 50)
        need(pool.by_server() == {"s2": 50}, "50 connections open on s2", pool.result)
        pool.start(0.3)
        wait_until(lambda: d.status()["flows"]["refused"] >= 50, 5, "they are not listed")
        route_after(lab, d, ALL)
        lab.conntrack("-F")
        s2, late = lab.nexthop("s2"), lab.nexthop(LAST)
        equal((ids(d)[s2], d.binding(s2)["flows"]), (2, 0), "s2 has id 2, and no flow that flowpind knows")
        route_after(lab, d, ["s1"] + ALL[2:] + [LAST])
        equal(entries(lab, 2), [], "conntrack has no entry with its mark")
        wait_quiet(lab, d, s2, late, "packets are steered by it")
        check(pool.exchange().all_held, "all held on s2", pool.result)
        pool.stop()
        wait_until(lambda: ids(d).get(late) == 2, 20, "they are silent: the next nexthop has the id", poll=0.1)


main()
