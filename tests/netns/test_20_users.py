#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 20, each user times each method: who may connect, who may change something, with flowpind as root and as its unit runs it,
with and without `control { admin-group = ... }`."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from rude import Client, error_of, identity

# Users for the matrix. The groups have numbers that nothing else on a machine has.
GROUP, ADMINS = 64420, 64421
GROUP_FILE = f"root:x:0:\nnogroup:x:65534:\nflowpin:x:{GROUP}:\nfp-admins:x:{ADMINS}:\n"



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
        os.umask(0)  # the notify socket of the test must take what another user sends
        try:
            d.start()
        finally:
            os.umask(0o022)
        wait_until(lambda: len(d.nexthops()) == 3, 5, "three nexthops")
        info = os.stat(d.socket)
        equal((info.st_gid, info.st_mode & 0o777), (GROUP, 0o660), "the socket is of group flowpin, mode 0660")
        for user in USERS[1:]:  # root comes last: its Teardown ends the daemon
            for changing, rows in ((False, READING), (True, CHANGING)):
                for method, parameters, more in rows:
                    if method == "Teardown" and user[5]:
                        continue
                    equal(tries(d, user, method, parameters, more), expected(user, method, changing), f"{user[0]}: {method}")
            if not user[5]:
                check(all(b["state"] == "active" for b in d.nexthops()), f"{user[0]}: nothing was changed", d.nexthops)
        commands(lab, d)
        check(d.verify_clean(), "verify is clean")
        check(d.running(), "flowpind runs")
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


main()
