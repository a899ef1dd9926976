#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 20: bad input. Clients of the control socket that misbehave, nexthops that nobody knows, a second instance: each gets its
answer, and the daemon and everybody else go on. Users are in test_20_users.py, configurations in test_20_configurations.py."""

import json
import os
import random
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from rude import Client, error_of, identity, serves

CALL = b'{"method":"io.flowpin.Status"}'
REQUEST_MAX = 16384
IDLE = 60  # seconds after which a client that asks nothing is closed



def memory(d):
    """Resident kilobytes of flowpind."""
    with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def running(lab, config=WEB, **kwargs):
    lab.route(["s1", "s2", "s3"])
    d = Daemon(lab, config, **kwargs)
    wait_until(lambda: len(d.nexthops()) == 3, 5)
    return d


# --- garbage

_noise = random.Random(20).randbytes(8000).replace(b"\0", b"\1")
CLOSED = (
    ("an empty message", b"\0"),
    ("words", b"status\0"),
    ("noise", _noise + b"\0"),
    ("a number", b"42\0"),
    ("a list", b'["io.flowpin.Status"]\0'),
    ("null", b"null\0"),
    ("an object without method", b"{}\0"),
    ("a method that is a number", b'{"method":5}\0'),
    ("a method that is null", b'{"method":null}\0'),
    ("more that is no boolean", b'{"method":"io.flowpin.Status","more":"yes"}\0'),
    ("oneway that is no boolean", b'{"method":"io.flowpin.Status","oneway":1}\0'),
    ("an object cut off", b'{"method":"io.flowpin.Sta\0'),
    ("an object with a tail", CALL + b"}\0"),
    ("two objects in one message", CALL + CALL + b"\0"),
    ("nine levels", b'{"method":"io.flowpin.Flows","parameters":' + b'{"a":' * 8 + b"1" + b"}" * 8 + b"}\0"),
    ("ten thousand levels", b"[" * 10000 + b"\0"),
    ("bytes that are no UTF-8", b'{"method":"io.flowpin.Status","parameters":{"x":"\xff\xfe"}}\0'),
    ("a NUL in a text", b'{"method":"io.flowpin.Drain","parameters":{"nexthop":"10.1.1.2\\u0000%s1"}}\0'),
    ("a number of a hundred digits", b'{"method":"io.flowpin.Drain","parameters":{"deadline_ms":' + b"9" * 100 + b"}}\0"),
    ("NaN", b'{"method":"io.flowpin.Drain","parameters":{"deadline_ms":NaN}}\0'),
    ("a line feed in a text", b'{"method":"io.flowpin.Status\n"}\0'),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n\0"),
)

ANSWERED = (
    # method, parameters, error, its parameter
    ("Nothing", {}, "MethodNotFound", "io.flowpin.Nothing"),
    ("status", {}, "MethodNotFound", "io.flowpin.status"),
    ("io.flowpin.Status.More", {}, "InterfaceNotFound", "io.flowpin.Status"),
    ("com.example.Do", {}, "InterfaceNotFound", "com.example"),
    ("org.varlink.service.GetInterfaceDescription", {"interface": "com.example"}, "InterfaceNotFound", "com.example"),
    ("org.varlink.service.GetInterfaceDescription", {}, "InvalidParameter", "interface"),
    ("Drain", {}, "InvalidParameter", "nexthop"),
    ("Drain", {"nexthop": 5}, "InvalidParameter", "nexthop"),
    ("Drain", {"nexthop": None}, "InvalidParameter", "nexthop"),
    ("Drain", {"nexthop": ""}, "InvalidParameter", "nexthop"),
    ("Drain", {"nexthop": "10.1.1.2%"}, "InvalidParameter", "nexthop"),
    ("Drain", {"nexthop": "10.1.1.2%s1", "service": 5}, "InvalidParameter", "service"),
    ("Drain", {"nexthop": "10.1.1.2%s1", "service": ["web"]}, "InvalidParameter", "service"),
    ("Drain", {"nexthop": "10.1.1.2%s1", "wait": "yes"}, "InvalidParameter", "wait"),
    ("Drain", {"nexthop": "10.1.1.2%s1", "deadline_ms": "1h"}, "InvalidParameter", "deadline_ms"),
    ("Drain", {"nexthop": "10.1.1.2%s1", "deadline_ms": -1}, "InvalidParameter", "deadline_ms"),
    ("Drain", {"nexthop": "10.1.1.2%s1", "deadline_ms": 10**17}, "InvalidParameter", "deadline_ms"),
    ("Drain", {"nexthop": "10.1.1.2%s1", "release_at": 0}, "InvalidParameter", "release_at"),
    ("Undrain", {"nexthop": {}}, "InvalidParameter", "nexthop"),
    ("Undrain", {"nexthop": "10.1.1.2%s1", "service": True}, "InvalidParameter", "service"),
    ("Release", {"nexthop": "1.2.3.4.5"}, "InvalidParameter", "nexthop"),
    ("Release", {"nexthop": "10.1.1.2%s1", "service": 1.5}, "InvalidParameter", "service"),
    ("Nexthops", {"service": 1}, "InvalidParameter", "service"),
    ("Show", {}, "InvalidParameter", "filter"),
    ("Show", {"filter": "tcp"}, "InvalidParameter", "filter"),
    ("Show", {"filter": {"sport": 70000}}, "InvalidParameter", "sport"),
    ("Show", {"filter": {"src": "1.2.3.4/33"}}, "InvalidParameter", "src"),
    ("Show", {"filter": {"protocol": 6}}, "InvalidParameter", "protocol"),
    ("Show", {"filter": {"service": []}}, "InvalidParameter", "service"),
    ("Show", {"filter": {"protocol": "tcp", "sport": 1}}, "NotFound", ""),
    ("Monitor", {}, "Refused", "more"),
    ("Flows", {}, "Refused", "more"),
)

ANSWERED_MORE = (
    ("Flows", {"filter": 5}, "InvalidParameter", "filter"),
    ("Flows", {"filter": {"dst": "nobody"}}, "InvalidParameter", "dst"),
    ("Flows", {"filter": {"dport": "80"}}, "InvalidParameter", "dport"),
    ("Flows", {"filter": {"state": 1}}, "InvalidParameter", "state"),
    ("Flows", {"filter": {"witness": {}}}, "InvalidParameter", "witness"),
    ("Flows", {"filter": {"nexthop": 7}}, "InvalidParameter", "nexthop"),
    ("Monitor", {"flows": "yes"}, "InvalidParameter", "flows"),
)


@case("garbage")
def garbage():
    with standard(3) as lab:
        d = running(lab)
        refused, pid = d.status()["clients"]["refused"], d.pid
        for what, data in CLOSED:
            with Client(d.socket) as c:
                c.send(data)
                equal(c.reply(), None, f"{what}: the connection is closed without a word")
        check(d.status()["clients"]["refused"] >= refused + len(CLOSED), "each was counted as refused",
              lambda: d.status()["clients"])
        with Client(d.socket) as c:
            c.send(CALL + b"\0" + b"garbage\0" + CALL + b"\0")
            check("parameters" in (c.reply() or {}), "a good call before garbage is answered")
            equal(c.reply(), None, "and nothing behind it")
        with Client(d.socket) as c:
            c.send(b'{"method":"io.flowpin.Status","upgrade":true}\0')
            equal(error_of(c.reply())[0], "MethodNotImplemented", "upgrade is refused")
            c.send(CALL.replace(b"}", b',"parameters":[]}') + b"\0")
            equal(error_of(c.reply()), ("InvalidParameter", "parameters"), "parameters that are no object")
            c.send(CALL.replace(b"}", b',"oneway":true}') + b"\0" + CALL + b"\0")
            check("parameters" in (c.reply() or {}), "a oneway call has no reply, the next one has")
        for rows, more in ((ANSWERED, False), (ANSWERED_MORE, True)):
            with Client(d.socket) as c:  # one connection: none of these costs it
                for method, parameters, error, word in rows:
                    got = error_of(c.call(method, parameters, **({"more": True} if more else {})))
                    check(got[0] == error and word in got[1], f"{method} {json.dumps(parameters)}: {error} {word}", got)
        check(all(b["state"] == "active" for b in d.nexthops()), "nothing of it drained or released a nexthop", d.nexthops)
        equal((d.pid, d.running()), (pid, True), "it is the same process")
        check(d.verify_clean(), "verify is clean")


@case("a megabyte without end, nothing at all, readers that do not read")
def endless():
    with standard(3) as lab:
        d = running(lab)
        silent, begin = Client(d.socket, 5 * IDLE), time.monotonic()
        for length, served in ((REQUEST_MAX, True), (REQUEST_MAX + 1, False)):
            with Client(d.socket) as c:
                c.send(CALL.ljust(length - 1) + b"\0")
                equal(c.reply() is not None, served, f"a request of {length} bytes is {'served' if served else 'refused'}")
        before = memory(d)
        for what, piece in (("zeroless bytes", b"x"), ("an endless text", b'{"method":"' + b"x" * 1000), ("blanks", b" ")):
            clients = [Client(d.socket) for _ in range(10)]
            for c in clients:
                c.send((piece * (1 << 20))[:1 << 20])
            equal([c.reply() for c in clients], [None] * 10, f"a megabyte of {what}, ten times: closed")
            for c in clients:
                c.sock.close()
        # The sanitizer keeps what is freed for a while.
        check(SAN or memory(d) < before + 4096, "the daemon did not grow by it", lambda: (before, memory(d)))
        check(serves(d), "and it serves")
        unread(lab, d)
        with Client(d.socket) as slow:
            for byte in CALL + b"\0":
                slow.send(bytes([byte]))
                time.sleep(0.01)  # a slow writer, not a hope
            check("parameters" in (slow.reply() or {}), "a request that comes byte by byte is served")
        half = Client(d.socket)
        half.send(CALL)
        half.sock.shutdown(socket.SHUT_WR)
        equal(half.reply(), None, "half a request and the end of it: closed")
        note(f"waiting for the end of a client that has said nothing since {time.monotonic() - begin:.0f} s")
        equal(silent.reply(), None, f"a client that says nothing is closed after {IDLE} s")
        took = time.monotonic() - begin
        check(took >= IDLE - 1, "but not before", took)
        check(serves(d), "and the daemon serves")


def unread(lab, d):
    """Readers of a long answer that do not read it cost a bounded amount of memory, and nobody else's time."""
    for s in lab.servers:
        lab.deaf(s)
    flood(lab, 30000, "udp", rate=100000)
    wait_until(lambda: d.status()["flows"]["count"] >= 29000, 10, "30,000 flows are known")
    before = memory(d)
    stuck = [Client(d.socket) for _ in range(10)]
    for c in stuck:
        c.send(b'{"method":"io.flowpin.Flows","more":true}\0')
    for _ in range(20):
        need(serves(d), "others are served meanwhile")
    check(memory(d) < before + 10 * 1024, "ten readers that do not read cost at most a megabyte each",
          lambda: (before, memory(d)))
    count = 0
    while (reply := stuck[0].reply()) and reply.get("continues"):
        count += len(reply["parameters"]["flows"])
    count += len(reply["parameters"]["flows"]) if reply else 0
    check(count >= 29000, "one that begins to read after all gets all of it", count)
    for c in stuck:
        c.sock.close()
    wait_until(lambda: d.status()["clients"]["connected"] <= 3, 5, "those that went are forgotten")


# --- many at once

@case("200 clients at once")
def many():
    with standard(3) as lab:
        d = running(lab)
        clients = [Client(d.socket) for _ in range(200)]
        replies = [error_of(c.call("Status"))[0] for c in clients]
        equal((replies.count(""), replies.count("Busy")), (16, 184), "of one user: 16 are served, the others are told Busy")
        for c in clients:
            c.sock.close()
        wait_until(lambda: serves(d), 5, "when they are gone the next one is served")
        crowd(lab, d)
        config = WEB + "control { max-clients = 300 max-clients-per-uid = 300 }\n"
        need(d.reload(config), "a reload allows 300")
        clients = [Client(d.socket) for _ in range(200)]
        for c in clients:
            c.send(CALL + b"\0")
        check(all("parameters" in (c.reply() or {}) for c in clients), "200 clients that ask at once are all served")
        for c in clients:
            c.sock.close()
        equal(d.try_flowpin("status").status, 0, "the command works after that")


def crowd(lab, d):
    """200 clients of 20 users: the limit on all of them."""
    os.chmod(lab.tmp, 0o755)
    os.chmod(d.socket, 0o666)
    clients = []
    for n in range(20):
        with identity(65000 + n, 65000, ()):
            clients += [Client(d.socket) for _ in range(10)]
    replies = [error_of(c.call("Status"))[0] for c in clients]
    equal((replies.count(""), replies.count("Busy")), (64, 136), "of 20 users: 64 are served, the others are told Busy")
    for c in clients:
        c.sock.close()
    wait_until(lambda: serves(d), 5, "and when they are gone the next one is served")
    os.chmod(d.socket, 0o660)


# --- nexthops, services and flows that are not there

UNKNOWN = (
    # words, exit status, what stderr says
    (("drain", "10.1.9.9"), 2, "10.1.9.9 is not a nexthop of any service"),
    (("drain", "10.1.1.2%s2"), 2, "10.1.1.2%s2 is not a nexthop of any service"),
    (("drain", "10.1.1.2%eth77"), 2, "10.1.1.2%eth77 is not a nexthop of any service"),
    (("drain", "fd00:1:1::2", "web", "--wait"), 2, "fd00:1:1::2 is not a nexthop of service web"),
    (("undrain", "10.1.9.9"), 2, "10.1.9.9 is not a nexthop of any service"),
    (("release", "10.1.9.9", "web"), 2, "10.1.9.9 is not a nexthop of service web"),
    (("drain", "10.1.1.2", "mail"), 2, "there is no service mail"),
    (("undrain", "10.1.1.2", "mail"), 2, "there is no service mail"),
    (("release", "10.1.1.2", "mail"), 2, "there is no service mail"),
    (("nexthops", "mail"), 2, "there is no service mail"),
    (("drain", "server1"), 2, '"server1" is no nexthop'),
    (("drain", "10.1.1"), 2, '"10.1.1" is no nexthop'),
    (("drain", "10.1.1.2%"), 2, '"10.1.1.2%" is no nexthop'),
    (("drain", "10.1.1.2%averyveryverylonginterface"), 2, "is no nexthop"),
    (("drain",), 2, "usage: flowpin drain"),
    (("drain", "10.1.1.2", "--deadline", "soon"), 2, "soon"),
    (("drain", "10.1.1.2", "--deadline"), 2, "misses the value"),
    (("drain", "10.1.1.2", "--force"), 2, "does not take that option"),
    (("show", "tcp", "10.9.0.2:1", "1.1.1.1:80"), 2, "no such flow"),
    (("show", "rubbish"), 2, "rubbish"),
    (("flows", "dport", "http2"), 2, "http2"),
    (("flows", "colour", "red"), 2, "colour"),
    (("dance",), 2, 'there is no command "dance"'),
    (("teardown",), 1, "use --yes"),
)


@case("an unknown nexthop, and other things that are not there")
def unknown():
    with standard(3) as lab:
        d = running(lab)
        for words, status, sentence in UNKNOWN:
            r = d.try_flowpin(*words)
            check(r.status == status and sentence in r.err and len(r.err.splitlines()) == 1 and not r.out,
                  f"flowpin {' '.join(words)}: {status}, {sentence}", r)
        check(all(b["state"] == "active" for b in d.nexthops()), "nothing of it changed a nexthop", d.nexthops)
        check(d.verify_clean(), "verify is clean")


# --- a second instance

@case("a second instance")
def second():
    with standard(3) as lab:
        d = running(lab)
        before = lab.run("gw", "nft -s -t list table inet flowpin"), lab.run("gw", "ip rule")
        for what, path in (("on the same socket", d.socket), ("on a socket of its own", lab.path("other.sock"))):
            other = Daemon(lab, WEB, start=False, name="other")
            other.socket = path
            other.start(wait=False)
            equal(other.expect_exit(), 2, f"{what}: exit status 2")
            equal(len(other.log_lines("flowpind is running here already")), 1, f"{what}: one clear sentence", )
            equal(len(other.log_lines(r"^(<\d>|flowpind:|[^-])")), 1, f"{what}: and nothing else")
            os.unlink(other.log_path)
            check(d.running() and serves(d), f"{what}: the first one serves on")
        for option, sentence in (("--teardown", "use `flowpin teardown`, or stop it first"),
                                 ("--relax", "it looks after its overrides itself")):
            r = subprocess.run(("ip", "netns", "exec", lab.full("gw"), Daemon.program(), "--config", d.config_path, option),
                               capture_output=True, text=True, timeout=seconds(20), check=False)
            check(r.returncode == 2 and sentence in r.stderr, f"flowpind {option} beside it: refused: {sentence}", r)
        equal((lab.run("gw", "nft -s -t list table inet flowpin"), lab.run("gw", "ip rule")), before, "nothing was touched")
        elsewhere(lab, d)
        d.kill()
        check(os.path.exists(d.socket), "kill -9 leaves the socket behind")
        d.start()
        check(serves(d), "and the next one takes it over")


def elsewhere(lab, d):
    """Another namespace is another host: an instance there is fine, on another socket."""
    lab.ns("gw2", forward=True)
    lab.link("gw2", "c", a_if="d0", b_if="gw2", a_addrs=["10.5.0.1/24"])
    lab.ip("gw2", "route add 1.1.1.1/32 proto bird nexthop via 10.5.0.2 dev d0 nexthop via 10.5.0.3 dev d0")
    other = Daemon(lab, WEB, ns="gw2", start=False)
    own, other.socket = other.socket, d.socket
    other.start(wait=False)
    equal(other.expect_exit(), 2, "in another namespace, on the socket of the first: exit status 2")
    equal(len(other.log_lines("another process is listening on")), 1, "and the sentence")
    check(serves(d), "the first one serves on")
    other.socket = own
    other.start()
    check(serves(other) and serves(d), "on a socket of its own both serve")


main()
