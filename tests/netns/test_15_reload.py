#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 15: the configuration is read again: prefixes come and go, timeouts change, a bad file is refused; no other
connection notices."""

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

NEW4, NEW6 = "192.0.2.1", "2001:db8:2::1"
OLD = {4: (VIP4, 32, NEW4), 6: (VIP6, 128, NEW6)}


def web(*prefixes, idle="5m", more=""):
    return f"service web {{\n    prefix = {{{', '.join(prefixes)}}}\n    idle-timeout = {idle}\n}}\n{more}"


def entries(lab, family, address, protocol="tcp"):
    """{source port: connection mark} of what conntrack knows of connections to an address."""
    text = lab.conntrack("-L", "-f", f"ipv{family}", "-p", protocol, "-d", address, check=False)
    found = (re.search(r"sport=(\d+) dport=\d+ .*?mark=(\d+)", line) for line in text.splitlines())
    return {int(m[1]): int(m[2]) for m in found if m}


def pins(lab, family, address):
    """{source port: (seconds to live, id's mark)} of the pin map's elements for an address."""
    text = lab.run("gw", f"nft -n list map inet flowpin pin{family}")
    pattern = (re.escape(address) + r" \. \S+ \. (\d+) \. \d+ timeout \S+ "
               r"expires (?:(\d+)m)?(?:(\d+)s)?(?:\d+ms)? : (0x[0-9a-f]+)")
    return {int(m[1]): (int(m[2] or 0) * 60 + int(m[3] or 0), int(m[4], 16)) for m in re.finditer(pattern, text)}


class Untouched:
    """What a reload must leave as it is for the connections of a pool."""

    def __init__(self, lab, d, pool, family):
        self.lab, self.d, self.pool, self.family = lab, d, pool, family
        self.stood = self.state()

    def state(self):
        """Marks, pins, ids, rules, tables: nothing that counts or runs."""
        address = self.pool.target
        own = [f for f in self.d.flows("dst", address) if f["dst"] == address]
        ages = sorted((f["sport"], f["id"], f["learned"], f["witness"]) for f in own)
        ids = sorted((b["id"], b["nexthop"], b["state"]) for b in self.d.nexthops("web"))
        rules = self.lab.run("gw", f"ip -{self.family} rule show")
        routes = self.lab.run("gw", f"ip -{self.family} route show table all proto 157 {address}")
        pinned = {port: mark for port, (_, mark) in pins(self.lab, self.family, address).items()}
        return entries(self.lab, self.family, address), pinned, ages, ids, rules, sorted(routes.splitlines())

    def judge(self, what):
        now = self.state()
        names = ("conntrack's marks", "pins", "flows", "nexthops and ids", "rules", "routes")
        changed = [f"{name}: {a} -> {b}" for name, a, b in zip(names, self.stood, now) if a != b]
        check(not changed, f"{what}: nothing about the others changed", lambda: "\n".join(changed)[:2000])
        check(self.pool.exchange().all_held, f"{what}: their 200 held", self.pool.result)


@case("a prefix is added and removed, IPv4", 4)
@case("a prefix is added and removed, IPv6", 6)
def prefixes(family):
    old, bits, new = OLD[family]
    one, both = web(f"{old}/{bits}"), web(f"{old}/{bits}", f"{new}/{bits}")
    with standard(3) as lab:
        for server in lab.servers:
            lab.address(server, "lo", f"{new}/{bits}")
        for address in (old, new):
            lab.route(["s1", "s2", "s3"], family, prefix=f"{address}/{bits}")
        d = Daemon(lab, one)
        pool, early = TcpPool(lab, target=old), TcpPool(lab, target=new)
        need(pool.result().all_held and early.result().all_held, "200 connections to each address open", pool.result)
        lab.route(["s1", "s3"], family)  # some hold by their pins alone
        check(pool.exchange().all_held and pool.on("s2"), "200 held through a withdrawal", pool.result)
        equal(len(d.flows("dst", new)), 0, "those to the new address are no flows yet")
        wait_until(lambda: d.binding(lab.nexthop("s2", family))["state"] == "draining", 5, "s2 is draining")
        others = Untouched(lab, d, pool, family)

        check(d.reload(both), "the prefix is added")
        equal(d.status()["services"][0]["prefixes"], [f"{old}/{bits}", f"{new}/{bits}"], "the service has both")
        check(d.log_lines("configuration read again"), "which the log tells")
        check(early.exchange().all_held, "200 to the new address held", early.result)
        late = TcpPool(lab, 50, target=new)
        wait_until(lambda: len(d.flows("dst", new)) == 250, 15, "with 50 more: they are flows now", poll=0.1)
        equal(len(pins(lab, family, new)), 250, "with pins")
        check(pool.exchange().all_held, "200 to the old address held", pool.result)
        wait_until(d.verify_clean, 5, "verify is clean", poll=0.1)
        lab.route(["s2", "s3"], family, prefix=f"{new}/{bits}")
        check(early.exchange().all_held and late.exchange().all_held, "they are held through a withdrawal",
              lambda: f"{early.result()} {late.result()}")
        lab.route(["s1", "s2", "s3"], family, prefix=f"{new}/{bits}")
        wait_until(lambda: {b["state"] for b in d.nexthops("web")} == {"active"}, 5, "all nexthops are active")
        pool.exchange()
        stood = Untouched(lab, d, pool, family)
        equal(stood.stood[:3], others.stood[:3], "for those to the old address nothing changed")
        # An entry that changes its state meanwhile refuses to be changed, and ends the command.
        wait_until(lambda: lab.conntrack("-U", "-f", f"ipv{family}", "-p", "tcp", "-d", new, "--mark", "0x77/0xff"), 5,
                   "others set a connection mark")

        equal(d.status()["unpinned_flows"], 0, "no flow was unpinned so far")
        check(d.reload(one), "the prefix is removed")
        equal(d.status()["unpinned_flows"], 250, "250 flows are counted as unpinned")
        check(d.log_lines("250 flows are outside the services now: unpinned"), "and in the log")
        equal(d.flows("dst", new), [], "they are no flows any more")
        equal(len(pins(lab, family, new)), 0, "without pins")
        marks = entries(lab, family, new)
        check(len(marks) == 250 and not any(m & 0xFF000000 for m in marks.values()), "their entries have no mark of ours",
              lambda: list(marks.items())[:5])
        equal(set(marks.values()), {0x77}, "and what others set there stays")
        received = d.status()["events"]["received"]
        fresh = TcpPool(lab, 50, target=new)
        check(fresh.result().all_held, "50 new connections to the removed prefix work", fresh.result)
        equal((d.flows("dst", new), d.status()["events"]["received"]), ([], received), "and are no flows")
        equal(lab.run("gw", f"ip -{family} route show table all proto 157 {new}"), "", "no route of ours is left for it")
        now = Untouched(lab, d, pool, family)
        equal(now.stood[:3], stood.stood[:3], "for those to the old address nothing changed")
        check(pool.exchange().all_held, "200 to the old address held", pool.result)
        wait_until(d.verify_clean, 5, "verify is clean", poll=0.1)


@case("a service is added and removed")
def services():
    more = f"service api {{\n    prefix = {NEW4}/32\n    idle-timeout = 1m\n}}\n"
    with standard(3) as lab:
        for server in lab.servers:
            lab.address(server, "lo", f"{NEW4}/32")
        lab.route(["s1", "s2", "s3"])
        lab.route(["s1", "s2", "s3"], prefix=f"{NEW4}/32")
        d = Daemon(lab, web(f"{VIP4}/32"))
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        wait_until(lambda: len(d.flows()) == 200, 5)
        before = Untouched(lab, d, pool, 4)
        check(d.reload(web(f"{VIP4}/32", more=more)), "a service is added")
        api = TcpPool(lab, target=NEW4)
        wait_until(lambda: len(d.flows("service", "api")) == 200, 5, "200 flows of it")
        equal(len(d.nexthops("api")), 3, "with nexthops of its own")
        equal(before.state()[:4], before.stood[:4], "nothing about the others changed")
        lab.route(["s1"], prefix=f"{NEW4}/32")
        check(api.exchange().all_held, "its 200 held through a withdrawal", api.result)
        lab.route(["s1", "s2", "s3"], prefix=f"{NEW4}/32")
        check(d.reload(web(f"{VIP4}/32")), "it is removed")
        equal(d.status()["unpinned_flows"], 200, "200 flows are counted as unpinned")
        equal((d.flows("dst", NEW4), pins(lab, 4, NEW4)), ([], {}), "no flow and no pin of it")
        check(not any(entries(lab, 4, NEW4).values()), "no mark")
        wait_until(lambda: {b["service"] for b in d.nexthops()} == {"web"}, 30, "its nexthops are gone in the end")
        wait_until(lambda: before.state() == before.stood, 5, "and nothing is left of it, nor changed for the others",
                   poll=0.2)
        before.judge("in the end")
        wait_until(d.verify_clean, 5, "verify is clean", poll=0.1)


@case("connections begin while their service goes")
def removed_in_a_burst():
    """flowpind is held while they begin: it reads of its new configuration before it reads of them."""
    more = f"service api {{\n    prefix = {NEW4}/32\n    protocol = udp\n}}\n"
    with standard(3) as lab:
        for server in lab.servers:
            lab.deaf(server, 9)
        lab.route(["s1", "s2", "s3"])
        lab.route(["s1", "s2", "s3"], prefix=f"{NEW4}/32")
        d = Daemon(lab, web(f"{VIP4}/32", more=more))
        wait_until(lambda: len(d.nexthops("api")) == 3, 5, "the service has its nexthops")
        d.configure(web(f"{VIP4}/32"))
        with d.held():
            equal(flood(lab, 300, target=NEW4, port=9), 300, "300 new flows")
            os.kill(d.pid, signal.SIGHUP)
        wait_until(lambda: d.status()["unpinned_flows"] == 300, 5, "all of them are unpinned")
        equal(d.flows("dst", NEW4), [], "none is listed")
        equal(sum(entries(lab, 4, NEW4, "udp").values()), 0, "none has a mark")
        wait_until(d.verify_clean, 5, "verify is clean", poll=0.1)


@case("the timeout changes, IPv4", 4)
@case("the timeout changes, IPv6", 6)
def timeout(family):
    address, bits, _ = OLD[family]
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"], family)
        d = Daemon(lab, web(f"{address}/{bits}"))
        pool = TcpPool(lab, target=address)
        need(pool.exchange().all_held, "200 connections open", pool.result)
        wait_until(lambda: len(d.flows()) == 200, 5)
        lab.route(["s1", "s3"], family)
        wait_until(lambda: d.binding(lab.nexthop("s2", family))["state"] == "draining", 5)
        check(pool.exchange().all_held, "200 held through a withdrawal", pool.result)
        others = Untouched(lab, d, pool, family)
        check(all(150 < left <= 300 for left, _ in pins(lab, family, address).values()), "pins live 5 minutes")
        for idle, seconds_ in (("1m", 60), ("20m", 1200), ("5s", 5)):
            check(d.reload(web(f"{address}/{bits}", idle=idle)), f"idle-timeout = {idle}")
            equal(d.status()["services"][0]["idle_timeout_ms"], seconds_ * 1000, f"{idle}: status shows it")
            equal(others.state(), others.stood, f"{idle}: nothing else changed")
            check(pool.exchange().all_held, f"{idle}: 200 held", pool.result)
            left = [left for left, _ in pins(lab, family, address).values()]
            check(len(left) == 200 and all(seconds_ // 2 <= s <= seconds_ for s in left),
                  f"{idle}: the next packet has given each pin the new timeout", lambda: sorted(left))
        wait_until(lambda: not pins(lab, family, address), 40, "5s: pins of silent connections run out", poll=0.2)
        check(pool.exchange().all_held, "and conntrack still holds all 200", pool.result)
        equal(d.status()["unpinned_flows"], 0, "no flow was unpinned")


GOOD = web(f"{VIP4}/32", f"{VIP6}/128")
# What is wrong, the file, the line (None: the file as a whole) and a part of the sentence.
BAD = (
    ("an unknown word", GOOD + "speed = 9\n", 5, "speed"),
    ("an unknown word in a service", "service web {\n    prefix = 1.1.1.1/32\n    prot = tcp\n}\n", 3, "prot"),
    ("a bad prefix", "service web {\n    prefix = {1.1.1.1/32,\n        1.1.1.300/32}\n}\n", 3, "1.1.1.300/32"),
    ("a brace is missing", "service web {\n    prefix = 1.1.1.1/32\n", 1, "not closed"),
    ("a bad timeout", "service web {\n    prefix = 1.1.1.1/32\n    idle-timeout = soon\n}\n", 3, "soon"),
    ("no service", "limits { max-pins = 1000 }\n", None, "service"),
    ("an empty file", " ", None, "service"),
    ("an overlap", GOOD + "service other {\n    prefix = 1.1.1.1/32\n}\n", 7, "'web' and 'other'"),
    ("other numbers", GOOD + "numbers { mark-mask = 0x0ff00000 }\n", None, "flowpin teardown"),
)


@case("a bad file is refused")
def bad():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, GOOD)
        pool = TcpPool(lab)
        need(pool.result().all_held, "200 connections open", pool.result)
        wait_until(lambda: len(d.flows()) == 200, 5)
        lab.route(["s1", "s3"])
        check(pool.exchange().all_held and pool.on("s2"), "200 held through a withdrawal", pool.result)
        wait_until(lambda: d.binding(lab.nexthop("s2"))["state"] == "draining", 5)
        others = Untouched(lab, d, pool, 4)
        services_before = [(s["name"], s["prefixes"], s["idle_timeout_ms"]) for s in d.status()["services"]]
        for what, text, line, part in BAD:
            seen = len(d.log_lines())
            check(d.reload(text), f"{what}: flowpind goes on")
            lines = [entry for entry in d.log_lines()[seen:] if "reload refused" in entry]
            where = d.config_path + (f":{line}: " if line else "")
            check(len(lines) == 1 and where in lines[0] and part in lines[0],
                  f"{what}: refused with file, {'line ' if line else ''}and reason", lambda: d.log_lines()[seen:])
            now = [(s["name"], s["prefixes"], s["idle_timeout_ms"]) for s in d.status()["services"]]
            equal(now, services_before, f"{what}: the running configuration stays")
        os.unlink(d.config_path)
        d.reload()
        check(d.log_lines("reload refused.*" + re.escape(d.config_path)), "no file: refused, too")
        others.judge("after all of them")
        check(pool.open(20) and pool.exchange().all_held, "new connections work", pool.result)
        check(d.reload(GOOD), "and a good file is taken")
        equal(len(d.log_lines("configuration read again")), 1, "which the log tells")
        check(pool.exchange().all_held, "all held", pool.result)
        wait_until(d.verify_clean, 5, "verify is clean", poll=0.1)


@case("asked for while flowpind starts")
def while_starting():
    """With many flows to read that takes a while; the file may have changed after it was read."""
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, web("1.1.1.1/32"))
        for server in lab.servers:
            lab.deaf(server, 9)
        lab.sysctl("gw", **{"net.netfilter.nf_conntrack_udp_timeout": 300})
        flood(lab, 200_000, port=9)
        d.stop()
        d.start(wait=False)

        def takes_hup():
            with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
                masks = dict(line.split(":\t", 1) for line in f if line.startswith(("Name", "SigBlk", "SigCgt")))
            return masks["Name"].strip() == "flowpind" and (int(masks["SigBlk"], 16) | int(masks["SigCgt"], 16)) & 1

        wait_until(takes_hup, 10, "it has come to its signals", poll=0.001)
        d.configure(web("1.1.1.1/32", more=f"service more {{ prefix = {NEW4}/32 }}\n"))
        os.kill(d.pid, signal.SIGHUP)
        check(d.wait_notify("READY=1", 30), "it is ready")
        wait_until(lambda: sorted(s["name"] for s in d.status()["services"]) == ["more", "web"], 10, "and has read the file again", d.log)


main()
