#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 20: bad input. Clients of the control socket that misbehave, users that may not, nexthops that nobody knows, broken
configurations, a second instance: each gets its answer, and the daemon and everybody else go on."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

CALL = b'{"method":"io.flowpin.Status"}'
REQUEST_MAX = 16384
IDLE = 60  # seconds after which a client that asks nothing is closed

# Users for the matrix. The groups have numbers that nothing else on a machine has.
GROUP, ADMINS = 64420, 64421
GROUP_FILE = f"root:x:0:\nnogroup:x:65534:\nflowpin:x:{GROUP}:\nfp-admins:x:{ADMINS}:\n"


# --- a client without manners

class Client:
    """A connection to the control socket on which anything can be said."""

    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)  # waits while the queue of the listening socket is full
        self.sock.settimeout(seconds(timeout))
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """As much of it as the other side takes; False when it hung up."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def reply(self):
        """The next message; None when the connection was closed."""
        while b"\0" not in self.data:
            try:
                piece = self.sock.recv(1 << 18)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            self.data += piece
        message, self.data = self.data.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, parameters=None, **flags):
        name = method if "." in method else f"io.flowpin.{method}"
        self.send(json.dumps(dict(flags, method=name, parameters=parameters or {})).encode() + b"\0")
        return self.reply()


def ask(path, method, parameters=None, **flags):
    with Client(path) as c:
        return c.call(method, parameters, **flags)


def error_of(reply):
    """("NotFound", its parameters' values), or ("", {}) for a reply that is none."""
    if reply is None:
        return "closed", ""
    name = reply.get("error", "")
    return name.rsplit(".", 1)[-1], " ".join(map(str, reply.get("parameters", {}).values())) if name else ""


def serves(d):
    """The daemon answers, quickly."""
    begin = time.monotonic()
    reply = ask(d.socket, "Status")
    return reply is not None and "error" not in reply and time.monotonic() - begin < seconds(5)


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
        check(memory(d) < before + 4096, "the daemon did not grow by it", lambda: (before, memory(d)))
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


# --- who may do what

@contextlib.contextmanager
def identity(uid, gid, groups):
    """The process has another effective user inside: what connect() needs and what the other side sees."""
    os.setgroups(list(groups))
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


NEXTHOP = {"nexthop": "10.1.3.2%s3"}
READING = (("Status", {}, False), ("Nexthops", {}, False), ("Flows", {}, True), ("Show", {"filter": {"sport": 1}}, False),
           ("Verify", {}, True), ("Monitor", {}, True), ("org.varlink.service.GetInfo", {}, False))
CHANGING = (("Drain", NEXTHOP, False), ("Undrain", NEXTHOP, False), ("Release", NEXTHOP, False),
            ("Undrain", NEXTHOP, False), ("Teardown", {}, False))
USERS = (
    # who, uid, gid, further groups; may read, may change
    ("root", 0, 0, (), True, True),
    ("root without groups of ours", 0, 65534, (), True, True),
    ("a member of admin-group and of the socket's group", 64001, 64001, (GROUP, ADMINS), True, True),
    ("one whose first group is admin-group", 64002, ADMINS, (GROUP,), True, True),
    ("one with 40 groups, admin-group the last", 64003, 64003, (GROUP, *range(64500, 64538), ADMINS), True, True),
    ("a member of the socket's group only", 64004, 64004, (GROUP,), True, False),
    ("one whose first group is the socket's", 64005, GROUP, (), True, False),
    ("a member of admin-group that may not connect", 64006, 64006, (ADMINS,), False, False),
    ("nobody else", 65534, 65534, (), False, False),
)


class PackagedDaemon(Daemon):
    """flowpind with a group file of the test, and, with uid, as its unit runs it: its own user and CAP_NET_ADMIN alone."""

    def __init__(self, lab, config, uid=None, **kwargs):
        self.wrapper = lab.path("flowpind")
        groups = lab.path("group")
        with open(groups, "w", encoding="ascii") as f:
            f.write(GROUP_FILE)
        program = os.path.join(BUILD, "flowpind")
        if uid and os.path.exists(program):
            program = shutil.copy(program, lab.path("program"))
            os.chmod(program, 0o755)
        caps = "-all,+net_admin"
        drop = (f"setpriv --reuid {uid} --regid {GROUP} --clear-groups --no-new-privs --bounding-set {caps}"
                f" --inh-caps {caps} --ambient-caps {caps} ") if uid else ""
        with open(self.wrapper, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nmount --bind {groups} /etc/group || exit 9\nexec {drop}{program} "$@"\n')
        os.chmod(self.wrapper, 0o755)
        os.chmod(lab.tmp, 0o755)
        super().__init__(lab, config, start=False, **kwargs)
        run = lab.path("run")
        os.mkdir(run, 0o755)
        self.socket = os.path.join(run, "control.sock")
        for path in (run, self.state_dir) if uid else ():
            os.chown(path, uid, GROUP)

    def start(self, **kwargs):
        super().start(**kwargs)
        return self

    def program(self, name="flowpind"):
        if name == "flowpind" and not WITHOUT:
            return self.wrapper
        return Daemon.program(name)


ADMIN_CONFIG = WEB + "control { admin-group = fp-admins }\n"


def tries(d, user, method, parameters, more):
    _, uid, gid, groups = user[:4]
    try:
        with identity(uid, gid, groups):
            c = Client(d.socket)
    except PermissionError:
        return "may not connect"
    with c:
        return error_of(c.call(method, parameters, **({"more": True} if more else {})))[0] or "done"


def expected(user, method, changing):
    if not user[4]:
        return "may not connect"
    if changing and not user[5]:
        return "PermissionDenied"
    return "NotFound" if method == "Show" else "done"


@case("each user times each method, flowpind as root", None)
@case("each user times each method, flowpind as its unit runs it", 64000)
def users(uid):
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = PackagedDaemon(lab, ADMIN_CONFIG, uid)
        if os.path.exists(d.wrapper) and uid:
            os.chown(d._notify_path, uid, GROUP) if os.path.exists(d._notify_path) else None  # pylint: disable=protected-access
        os.umask(0)  # the notify socket of the test must take what another user sends
        try:
            d.start()
        finally:
            os.umask(0o022)
        wait_until(lambda: len(d.nexthops()) == 3, 5, "three nexthops")
        info = os.stat(d.socket)
        equal((info.st_gid, info.st_mode & 0o777), (GROUP, 0o660), "the socket is of group flowpin, mode 0660")
        last = USERS[-1]
        for user in USERS:
            if user is USERS[0]:
                continue  # root comes last: its Teardown ends the daemon
            for changing, rows in ((False, READING), (True, CHANGING)):
                for method, parameters, more in rows:
                    if method == "Teardown" and user[5]:
                        continue
                    equal(tries(d, user, method, parameters, more), expected(user, method, changing), f"{user[0]}: {method}")
            if not user[5]:
                check(all(b["state"] == "active" for b in d.nexthops()), f"{user[0]}: nothing was changed", d.nexthops)
        commands(lab, d)
        check(d.verify_clean(), "verify is clean")
        check(last[0] == "nobody else" and d.running(), "flowpind runs")
        drained = d.flowpin("drain", lab.nexthop("s3"))
        equal(drained["bindings"][0]["drain"]["uid"], 0, "a drain says who wanted it")
        d.flowpin("undrain", lab.nexthop("s3"))
        for changing, rows in ((False, READING), (True, CHANGING)):
            for method, parameters, more in rows:
                equal(tries(d, USERS[0], method, parameters, more), expected(USERS[0], method, changing), f"root: {method}")
        equal(d.expect_exit(), 4, "after root's Teardown flowpind ends with status 4")
        lab.daemons.remove(d)


def commands(lab, d):
    """The command itself, run by other users."""
    program = shutil.copy(Daemon.program("flowpin"), lab.path("flowpin"))
    os.chmod(program, 0o755)
    rows = (("nobody else", 65534, 65534, (), "status", 2, "root and members of group flowpin may"),
            ("a member", 64004, 64004, (GROUP,), "status", 0, ""),
            ("a member", 64004, 64004, (GROUP,), "drain", 1, "permission denied"),
            ("an admin", 64001, 64001, (GROUP, ADMINS), "drain", 0, ""),
            ("an admin", 64001, 64001, (GROUP, ADMINS), "undrain", 0, ""))
    for who, uid, gid, groups, word, status, sentence in rows:
        words = [program, "--socket", d.socket, word] + ([] if word == "status" else [lab.nexthop("s3")])
        r = subprocess.run(words, user=uid, group=gid, extra_groups=list(groups), capture_output=True, text=True,
                           timeout=seconds(30), check=False, cwd="/", stdin=subprocess.DEVNULL)
        check(r.returncode == status and sentence in r.stderr and len(r.stderr.splitlines()) <= 1,
              f"{who}: flowpin {word}: {status} {sentence}", (r.returncode, r.stderr))


@case("admin-group")
def admin_group():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = PackagedDaemon(lab, WEB).start()
        admin, member = USERS[2], USERS[5]
        for user in (admin, member):
            equal(tries(d, user, "Drain", NEXTHOP, False), "PermissionDenied", f"without the option: {user[0]}: Drain")
        need(d.reload(ADMIN_CONFIG), "the option comes with a reload")
        equal(tries(d, admin, "Drain", NEXTHOP, False), "done", "its members may drain")
        equal(tries(d, member, "Undrain", NEXTHOP, False), "PermissionDenied", "others may not")
        d.reload(ADMIN_CONFIG.replace("fp-admins", "fp-nobody"))
        check(d.log_lines("admin-group: there is no group fp-nobody"), "a group that is not there: the reload is refused",
              d.log)
        equal(tries(d, admin, "Undrain", NEXTHOP, False), "done", "and the one before stays")
        need(d.reload(WEB), "the option goes with a reload")
        equal(tries(d, admin, "Drain", NEXTHOP, False), "PermissionDenied", "and its members may no longer drain")


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


# --- configurations

def web(lines, before="", after=""):
    return f"{before}service web {{\n    prefix = 1.1.1.1/32\n{lines}}}\n{after}"


CONFIGS = (
    # what, text, line, sentence
    ("empty", "", None, "there is no service: at least one is needed"),
    ("only comments", "# nothing\n", None, "there is no service: at least one is needed"),
    ("a service without prefix", "service web {\n    port = 80\n}\n", 3, "service 'web' has no prefix"),
    ("no prefix at all", "service web {\n    prefix = 1.1.1.300\n}\n", 2,
     "prefix: '1.1.1.300' is not a prefix (ADDRESS or ADDRESS/LENGTH)"),
    ("a prefix with host bits", "service web {\n    prefix = 1.1.1.1/24\n}\n", 2,
     "prefix: '1.1.1.1/24' has bits set behind its length"),
    ("a prefix twice", web("    prefix = {1.1.1.1}\n"), 3, "'prefix' is given twice"),
    ("a prefix twice in a list", "service web {\n    prefix = {1.1.1.1, 1.1.1.1/32}\n}\n", 2,
     "prefix: '1.1.1.1/32' is there twice"),
    ("a protocol", web("    protocol = icmp\n"), 3, "protocol: 'icmp' is not one of tcp, udp and sctp"),
    ("port 0", web("    port = 0\n"), 3, "port: '0' is not a port or a range of ports (1 to 65535)"),
    ("a port too large", web("    port = {80, 65536}\n"), 3,
     "port: '65536' is not a port or a range of ports (1 to 65535)"),
    ("a range backwards", web("    port = 90-80\n"), 3, "port: '90-80' ends before it begins"),
    ("ranges that overlap", web("    port = {80-90, 85}\n"), 3, "port: '85' overlaps another of service 'web'"),
    ("an empty list", web("    port = {}\n"), 4, "port: the list is empty"),
    ("a duration of an unknown unit", web("    idle-timeout = 5y\n"), 3,
     "idle-timeout: '5y' is not a duration (a number with ms, s, m, h or d)"),
    ("a duration too long", web("    idle-timeout = 30d\n"), 3, "idle-timeout: '30d' is out of range (1s to 7d)"),
    ("a duration in parts of a second", web("    idle-timeout = 1500ms\n"), 3,
     "idle-timeout: '1500ms' is not a whole number of seconds"),
    ("on-withdraw", web("    on-withdraw = keep\n"), 3, "on-withdraw: 'keep' is neither hold nor release"),
    ("a nexthop", web("    nexthop server1 { id = 1 }\n"), 3,
     "'server1' is not a nexthop (ADDRESS, ADDRESS%INTERFACE or %INTERFACE)"),
    ("a nexthop without id", web("    nexthop 10.1.1.2 {\n    }\n"), 4, "nexthop '10.1.1.2' needs an id"),
    ("an id twice", web("    nexthop 10.1.1.2 { id = 1 }\n    nexthop 10.1.2.2 { id = 1 }\n"), 4,
     "id: 1 is given in line 3 already"),
    ("an id too large", web("    nexthop 10.1.1.2 { id = 256 }\n"), 3, "id: '256' is not a number from 1 to 255"),
    ("an id too large for the mask", web("    nexthop 10.1.1.2 { id = 16 }\n", "numbers { mark-mask = 0xf }\n"), 4,
     "id: 16 is above 15, the highest that mark-mask 0x0000000f can hold"),
    ("two services of one name", web("") + web(""), 4, "'web' is there twice"),
    ("two services that overlap equally", web("    port = 80\n") + "service other {\n    prefix = 1.1.1.1\n    port = 80\n}\n",
     8, "services 'web' and 'other' both claim 1.1.1.1/32, tcp, port 80, and neither is more specific"),
    ("a name", "service Web {\n    prefix = 1.1.1.1\n}\n", 2, "'Web' is no name for a service"),
    ("a service without name", "service {\n    prefix = 1.1.1.1\n}\n", 1, "'service' must be followed by its name"),
    ("an unknown setting", web("    timeout = 5m\n"), 3, "'timeout' is not known in section 'service'"),
    ("an unknown section", web("", "listen {\n}\n"), 1, "'listen' is not known here"),
    ("a section twice", web("", "limits { max-flows = 1k }\nlimits { max-pins = 1k }\n"), 2, "section 'limits' is there twice"),
    ("a size", web("", "limits { max-flows = lots }\n"), 1, "max-flows: 'lots' is not a size (a number, or one with k or M)"),
    ("a size too large", web("", "limits { max-pins = 200M }\n"), 1, "max-pins: '200M' is out of range"),
    ("a mask with holes", web("", "numbers { mark-mask = 0xf0f }\n"), 1,
     "mark-mask: '0xf0f' is not a mask of 4 to 8 bits in a row"),
    ("a mask of three bits", web("", "numbers { mark-mask = 0x7 }\n"), 1,
     "mark-mask: '0x7' is not a mask of 4 to 8 bits in a row"),
    ("the kernel's tables", web("", "numbers { table-base = 200 }\n"), 1, "table-base: '200' is out of range"),
    ("a number", web("", "numbers { rule-priority = first }\n"), 1, "rule-priority: 'first' is not a number"),
    ("a relative path", web("", "state-dir = lib/flowpin\n"), 1, "state-dir: 'lib/flowpin' is not an absolute path"),
    ("a path upwards", web("", 'state-dir = "/var/lib/../x"\n'), 1, "state-dir: '/var/lib/../x' must not contain '..'"),
    ("an equal sign missing", web("    port 80\n"), 3, "'port' must be followed by '=' and a value"),
    ("an end missing", "service web {\n    prefix = 1.1.1.1\n", 1, "'service web' begins here and is not closed: '}' is missing"),
    ("a quote that does not end", web("    port = \"80\n"), 3, "the quote that begins in this line is not closed in it"),
    ("a value missing", web("    port =\n"), 4, "'}' is not expected here"),
    ("a NUL byte", web("    port = 80\0\n"), 3, "byte 0x00 is not allowed outside comments"),
    ("bytes that are no text", web("    port = \udcff\udcfe\n"), 3, "byte 0xff is not allowed outside comments"),
    ("a file too large", web("") + "#" * (1 << 21), None, "larger than"),
)


def refusals(lab, what, path, where, sentence):
    """Every way in says the same: the sentence with file and line, one line, and the right exit status."""
    gw, commands_ = "gw", (((Daemon.program("flowpind"), "--config", path, "--check"), 1),
                           ((Daemon.program("flowpin"), "check", path), 1),
                           ((Daemon.program("flowpind"), "--config", path, "--socket", lab.path("s")), 2))
    with lab.inside(gw):
        for command, status in commands_:
            r = subprocess.run(command, capture_output=True, text=True, timeout=seconds(20), check=False,
                               stdin=subprocess.DEVNULL)
            if not (r.returncode == status and where in r.stderr and sentence in r.stderr
                    and len(r.stderr.splitlines()) == 1 and not r.stdout):
                check(False, f"{what}: {sentence}", (command[0].rsplit("/", 1)[-1], r))
                return
    check(True, f"{what}: {sentence}")


@case("broken configurations")
def configurations():
    with standard(1) as lab:
        lab.route(["s1"])
        state = [lab.run("gw", c) for c in ("nft list ruleset", "ip rule", "ip route show table all")]
        for what, text, line, sentence in CONFIGS:
            path = lab.path("bad.conf")
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as f:
                f.write(text)
            refusals(lab, what, path, f"{path}:{line}: " if line else path, sentence)
        refusals_of_files(lab)
        equal([lab.run("gw", c) for c in ("nft list ruleset", "ip rule", "ip route show table all")], state,
              "nothing of it touched the host")
        good = lab.path("good.conf")
        with open(good, "w", encoding="ascii") as f:
            f.write(web("    port = 80\n"))
        r = subprocess.run((Daemon.program("flowpin"), "check", good), capture_output=True, text=True, check=False)
        equal((r.returncode, r.stdout), (0, f"{good}: 1 service, 1 prefix, ok\n"), "a good one is found good")


def refusals_of_files(lab):
    with lab.inside("gw"):
        for what, path, sentence in (("a file that is not there", lab.path("none"), "No such file or directory"),
                                     ("a directory", lab.tmp, "Is a directory")):
            for command in ((Daemon.program("flowpind"), "--config", path), (Daemon.program("flowpin"), "check", path)):
                r = subprocess.run(command, capture_output=True, text=True, timeout=seconds(20), check=False)
                check(r.returncode == 2 and path in r.stderr and sentence in r.stderr and len(r.stderr.splitlines()) == 1,
                      f"{what}: {os.path.basename(command[0])}: {sentence}", r)


@case("what only a start can see is refused at start")
def start_refused():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, WEB + "control { admin-group = fp-nobody }\n", start=False)
        d.start(wait=False)
        equal(d.expect_exit(), 2, "a group that is not there: exit status 2")
        equal(len(d.log_lines("admin-group: there is no group fp-nobody")), 1, "and the sentence")
        check("flowpin" not in lab.run("gw", "nft list tables"), "no table was made",
              lambda: lab.run("gw", "nft list tables"))
        equal(len(lab.run("gw", "ip rule").splitlines()), 3, "and no rule")


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
