#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""flowpind as systemd runs it (readiness, reload, watchdog, end), and what it does with a table that it cannot take over."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

WATCHDOG_US = 900000


class Words:
    """What came over the notify socket."""

    def __init__(self, d):
        self.d, self.list = d, []

    def take(self, deadline):
        """All words until one comes; those that came with it."""
        self.d._notify.settimeout(seconds(deadline))  # pylint: disable=protected-access
        try:
            self.list.append(self.d._notify.recv(65536).decode())  # pylint: disable=protected-access
            return self.list[-1].splitlines()
        except TimeoutError:
            return []

    def wait(self, word, deadline):
        end = time.monotonic() + seconds(deadline)
        while time.monotonic() < end:
            if word in self.take(1):
                return True
        return False


@case("the words that systemd waits for")
def notify():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, env={"WATCHDOG_USEC": str(WATCHDOG_US)}, start=False)
        d.start(wait=False)
        words = Words(d)
        check(words.wait("READY=1", 10), "READY=1 when it is ready", words.list)
        equal(d.try_flowpin("nexthops", "--json").out.count('"nexthop"'), 2, "and then its nexthops are there")
        check(all(words.wait("WATCHDOG=1", 5) for _ in range(4)), "WATCHDOG=1 again and again", words.list)
        d.process.send_signal(signal.SIGHUP)
        del words.list[:]
        check(words.wait("READY=1", 5), "READY=1 after a reload", words.list)
        d.process.send_signal(signal.SIGSTOP)
        while words.take(0.2):
            pass
        time.sleep(seconds(WATCHDOG_US / 1e6))
        equal(words.take(0.2), [], "no word while it does not work: systemd would see that")
        d.process.send_signal(signal.SIGCONT)
        check(words.wait("WATCHDOG=1", 5), "and again when it does", words.list)
        d.process.send_signal(signal.SIGTERM)
        check(words.wait("STOPPING=1", 5), "STOPPING=1 on SIGTERM", words.list)
        equal(d.expect_exit(), 0, "exit status 0")


@case("a watchdog of another process")
def foreign_watchdog():
    """WATCHDOG_PID names whom it is meant for (sd_watchdog_enabled(3)); nor is there one without WATCHDOG_USEC."""
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        for env in ({"WATCHDOG_USEC": "60000", "WATCHDOG_PID": "1"}, {}):
            d = Daemon(lab, env=env, start=False)
            d.start(wait=False)
            words = Words(d)
            check(words.wait("READY=1", 10), f"ready, {env}", words.list)
            time.sleep(seconds(0.5))
            while words.take(0.1):
                pass
            check("WATCHDOG=1" not in " ".join(words.list), "no WATCHDOG=1", words.list)
            d.stop()


def complete(d, line):
    """What bash offers behind this command line."""
    words = line.split(" ")
    script = (f"source '{os.path.join(ROOT, 'systemd', 'flowpin.bash-completion')}'; COMP_WORDS=(\"$@\"); "
              f"COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}; _flowpin; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    words[0] = d.program("flowpin")
    with d.lab.inside("gw"):
        r = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, timeout=seconds(20), check=False)
    check(r.returncode == 0 and not r.stderr, f"completion of '{line}' works", r)
    return {w for w in r.stdout.split("\n") if w}


@case("bash completion")
def completion():
    with standard(2) as lab:
        for family in (4, 6):
            lab.route(["s1", "s2"], family)
        d = Daemon(lab)
        text = lab.run("gw", d.program("flowpin"), "--help")
        commands = set(re.findall(r"^  ([a-z]+) .*  \S", text, re.M))
        check(len(commands) >= 13, "--help lists the commands", text)
        offered = {w for w in complete(d, "flowpin ") if not w.startswith("-")}
        equal(offered, commands, "the commands that are offered are those that there are")
        for command in sorted(commands - {"help"}):
            options = set(re.findall(r"(--[a-z-]+)", lab.run("gw", d.program("flowpin"), command, "--help").split("\n", 1)[0]))
            offered = {w for w in complete(d, f"flowpin {command} --") if w.startswith("--")}
            equal(offered - {"--help"}, options - {"--help", "--socket"}, f"{command}: its options")
        socket_words = f"flowpin --socket {d.socket} "
        equal(complete(d, socket_words + "drain 10."), {lab.nexthop(s) for s in ("s1", "s2")}, "drain: the nexthops")
        equal(complete(d, f"{socket_words}drain {lab.nexthop('s1')} "), {"web", "--json", "--help", "--wait", "--deadline",
                                                                          "--release-at"}, "and their service")
        equal(complete(d, socket_words + "flows nexthop 10.1.2"), {lab.nexthop("s2")}, "flows: the value of a filter")


FIXED = """service web {
    prefix = {1.1.1.1/32, 2001:db8::1/128}
    nexthop 10.1.1.2 { id = 9 }
    nexthop 10.1.2.2%s2 { id = 1 }
}
"""


@case("ids fixed in the configuration")
def fixed_ids():
    """Two gateways that number their nexthops alike can share marks, whatever order their routes come in."""
    with standard(4) as lab:
        lab.route(["s3"])
        d = Daemon(lab, FIXED)
        for servers in (["s3", "s2"], ["s3", "s2", "s1"], ["s1", "s2", "s3", "s4"]):
            lab.route(servers)
            wait_until(lambda s=servers: sum(b["named"] for b in d.nexthops()) == len(s), 5, f"the route on {'+'.join(servers)}")
        ids = {lab.server_of(b["nexthop"]): b["id"] for b in d.nexthops()}
        equal((ids["s1"], ids["s2"]), (9, 1), "who has an id in the configuration has that one")
        check(not {ids["s3"], ids["s4"]} & {1, 9}, "nobody else has it, though it was free before", ids)
        pool = TcpPool(lab)
        need(pool.result().all_held and len(pool.by_server()) == 4, "200 connections open", pool.by_server)
        marks = {f.server: set() for f in pool.flows}
        entries = {int(m[1]): int(m[2]) for m in re.finditer(rf"dst={VIP4} sport=(\d+) dport=80 .*mark=(\d+)",
                                                             lab.conntrack("-L"))}
        for f in pool.flows:
            marks[f.server].add(entries.get(f.sport))
        equal(marks, {s: {n << 24} for s, n in ids.items()}, "and the marks of its connections are made of it")
        d.kill()
        lab.route(["s2", "s1"])
        d.start()
        equal({lab.server_of(b["nexthop"]): b["id"] for b in d.nexthops()}, ids, "the same after kill -9 and a restart")
        check(pool.exchange().all_held, "all held", pool.result)


def make_table(lab, userdata, comment="somebody's"):
    """inet flowpin, with this userdata (type, value pairs behind a comment)."""
    data = bytes([0, len(comment) + 1]) + comment.encode() + b"\0"
    for kind, value in userdata:
        data += bytes([kind, 4]) + struct.pack("=I", value)

    def attribute(kind, payload):
        length = 4 + len(payload)
        return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)

    def message(kind, flags, payload, resource=0):
        return struct.pack("=IHHII", 20 + len(payload), kind, flags, 1, 0) + struct.pack("!BBH", 1, 0, resource) + payload

    table = attribute(1, b"flowpin\0") + attribute(6, data)  # NFTA_TABLE_NAME, NFTA_TABLE_USERDATA
    with lab.inside("gw"):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
            s.bind((0, 0))
            s.send(message(16, 1, b"", 10) + message(10 << 8, 1 | 4 | 0x400, table) + message(17, 1, b"", 10))
            answer = s.recv(65536)
    need(struct.unpack_from("=H", answer, 4)[0] == 2 and struct.unpack_from("=i", answer, 16)[0] == 0, "the table is made",
         answer)


def numbers_in(lab):
    """The numbers in the userdata that flowpind wrote: {type: value}."""
    with lab.inside("gw"):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
            s.bind((0, 0))
            s.send(struct.pack("=IHHII", 32, 10 << 8 | 1, 1, 1, 0) + b"\1\0\0\0" + struct.pack("=HH", 12, 1) + b"flowpin\0")
            answer = s.recv(65536)
    at, end = 20, struct.unpack_from("=I", answer)[0]
    while at < end:
        length, kind = struct.unpack_from("=HH", answer, at)
        if kind & 0x7fff == 6:
            break
        at += (length + 3) & ~3
    data, found, at = answer[at + 4:at + length], {}, 0
    while at + 2 <= len(data):
        if data[at + 1] == 4:
            found[data[at]] = struct.unpack_from("=I", data, at + 2)[0]
        at += 2 + data[at + 1]
    return found


@case("a table that is not to be taken over")
def tables():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab)
        wrote = numbers_in(lab)
        d.stop()
        layout = next(kind for kind, value in wrote.items() if value == 1)
        equal(sorted(wrote.values()), sorted([1, 0xff000000, 17000, 10000]),
              "the table's userdata holds the layout's version and the numbers")
        for what, userdata, sentence in (
                ("of somebody else", [], "was not made by flowpind"),
                ("of a newer layout", [(k, 2 if k == layout else v) for k, v in wrote.items()],
                 "has layout 2 and this flowpind knows 1"),
                ("of other numbers", [(k, 0x00ff0000 if v == 0xff000000 else v) for k, v in wrote.items()],
                 "was made with mark-mask = 0x00ff0000, table-base = 17000, rule-priority = 10000")):
            d = Daemon(lab, start=False)
            equal(lab.run("gw", d.program(), "--config", d.config_path, "--teardown").strip(), "", f"{what}: torn down")
            make_table(lab, userdata)
            before = lab.run("gw", "nft list ruleset")
            if os.path.exists(d.log_path):
                os.truncate(d.log_path, 0)
            d.start(wait=False)
            equal(d.expect_exit(), 2, f"{what}: flowpind does not start")
            check(d.log_lines(re.escape(sentence)), f"{what}: and says why", d.log)
            check(d.log_lines("teardown"), f"{what}: and what to do", d.log)
            equal(lab.run("gw", "nft list ruleset"), before, f"{what}: it was not touched")
            r = lab.run("gw", d.program(), "--config", d.config_path, "--teardown", check=False)
            check("flowpin" not in lab.run("gw", "nft list tables"), f"{what}: --teardown removes it", r)


main()
