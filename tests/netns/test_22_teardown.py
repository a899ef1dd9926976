#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 22: without a trace. After `flowpin teardown`, `flowpind --teardown` without a daemon, or uninstall, the ruleset, the
rules, the routes and the marks are as they were before flowpind came, whatever it was in the middle of."""

import os
import re
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

CONFIG = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    port         = 80
}
service more {
    prefix       = 1.1.1.0/24
    protocol     = {tcp, udp}
    on-withdraw  = release
}
service any {
    prefix       = 0.0.0.0/0
    port         = 8443
}
"""
OURS, THEIRS = 0xff000000, 0x00ffffff


def trace(lab):
    """All that row 22 names, both families, and what nft does not print without asking."""
    commands = ("nft -s list ruleset", "ip -4 -N rule", "ip -6 -N rule", "ip -4 -N -d route show table all",
                "ip -6 -N -d route show table all", "ip -d nexthop", "ip -4 -N rule show table all", "ip -d link")
    return {c: re.sub(r"expires \S+|minmtu.*", "", lab.run("gw", c, check=False)) for c in commands}


def same(lab, before, text):
    def detail():
        now = trace(lab)
        return "\n".join(f"--- {c}\n{now[c]}\n--- was\n{before[c]}" for c in before if before[c] != now[c])
    check(trace(lab) == before, text, detail)


def foreign(lab):
    """What others have on a gateway, some of it right beside ours: it must be left alone."""
    lab.nft("gw", "add table inet filter\n"
                  "add chain inet filter forward { type filter hook forward priority 0; policy accept; }\n"
                  "add rule inet filter forward ip daddr 1.1.1.1 counter accept\n"
                  "add chain inet filter pre { type filter hook prerouting priority -150; }\n"
                  "add rule inet filter pre meta mark set meta mark or 0x42 ct mark set ct mark or 0x4200\n"
                  "add table ip flowpin2\nadd map ip flowpin2 marks { type mark : verdict; }\n")
    lab.ip("gw", "rule add priority 9000 to 192.0.2.0/24 lookup 100", "rule add priority 10500 from 192.0.2.1 lookup 100",
           "rule add priority 12000 fwmark 0x42/0xff lookup main", "rule add priority 17001 to 198.51.100.0/24 lookup 17001",
           "route add 198.51.100.0/24 via 10.1.1.2 table 17001", "route add 192.0.2.0/24 via 10.1.2.2 table 100",
           "route add blackhole 203.0.113.0/24 table 17300", "route add 1.1.1.0/24 via 10.1.3.2")
    lab.run("gw", "ip -6 rule add priority 11000 to 2001:db8:5::/48 lookup 100")
    for v in (4, 6):
        lab.route(["s1", "s2", "s3"], v)


def warmed(lab):
    """What flowpind loads and the kernel keeps (conntrack) does not count as a trace; neighbours and links come first."""
    foreign(lab)
    for n in (1, 2, 3):
        lab.run("gw", f"ping -c 1 -W 2 10.1.{n}.2", check=False)
    return trace(lab)


def busy(lab, d):
    """flowpind in the middle of everything: flows of both families, a drain with its override, a withdrawn nexthop, a
    released one, one-way pins."""
    pools = [TcpPool(lab, 200), TcpPool(lab, 50, target=VIP6)]
    for pool in pools:
        need(pool.result().all_held, f"connections open, {pool.target}", pool.result)
    flood(lab, 200, "syn", target="1.1.1.9", port=81)
    d.flowpin("drain", lab.nexthop("s1"), "web")
    lab.route(["s1", "s2"], 6)
    d.flowpin("release", lab.nexthop("s3"), "web")
    wait_until(lambda: d.status()["overrides"], 5, "an override stands")
    check(len(lab.run("gw", "ip rule").splitlines()) > 8 and "flowpin" in lab.run("gw", "nft list tables"),
          "rules and a table of ours are there")
    check(marks(lab), "and marks of ours on connections")
    return pools


def marks(lab):
    """Our bits on the connections of any zone."""
    found = {int(m) & OURS for m in re.findall(r"\bmark=(\d+)", lab.conntrack("-L", check=False))}
    return found - {0}


def put_back(lab):
    for v in (4, 6):
        lab.route(["s1", "s2", "s3"], v)


def gone(lab, before, what):
    put_back(lab)  # the route that busy() changed
    same(lab, before, f"{what}: the host is as it was")
    equal(marks(lab), set(), f"{what}: no connection has a mark of ours")
    check(re.search(r"\bmark=16896\b", lab.conntrack("-L", check=False)), f"{what}: the other bits of the marks are left")


@case("flowpin teardown", [])
@case("flowpin teardown, table without owner", ["--no-owner"])
def command(args):
    with standard(3) as lab:
        before = warmed(lab)
        d = Daemon(lab, CONFIG, args=args)
        busy(lab, d)
        r = d.try_flowpin("teardown")
        check(r.status == 1 and "--yes" in r.err, "without a terminal it wants --yes", r)
        check(d.running() and "flowpin" in lab.run("gw", "nft list tables"), "and does nothing")
        r = d.try_flowpin("teardown", "--yes")
        equal((r.status, r.err), (0, ""), "flowpin teardown --yes")
        equal(d.expect_exit(), 4, "flowpind ends with status 4, which its unit does not restart")
        check(not os.path.exists(d.socket), "its socket is gone")
        gone(lab, before, "afterwards")
        d.start()
        wait_until(d.verify_clean, 5, "another start finds a clean host and pins again", poll=0.1)
        d.try_flowpin("teardown", "--yes")
        d.expect_exit()
        gone(lab, before, "after one more teardown")


def teardown(lab, d, config=None):
    return subprocess.run(("ip", "netns", "exec", lab.full("gw"), Daemon.program(), "--config", config or d.config_path,
                           "--teardown"), capture_output=True, text=True, timeout=seconds(30), check=False)


@case("flowpind --teardown after SIGTERM", signal.SIGTERM, [])
@case("flowpind --teardown after kill -9", signal.SIGKILL, [])
@case("flowpind --teardown after kill -9, table without owner", signal.SIGKILL, ["--no-owner"])
def without_daemon(sig, args):
    with standard(3) as lab:
        before = warmed(lab)
        r = teardown(lab, Daemon(lab, CONFIG, start=False))
        equal(r.returncode, 0, "on a host where flowpind never was: nothing to do, and no error")
        same(lab, before, "and nothing is changed")
        d = Daemon(lab, CONFIG, args=args)
        pools = busy(lab, d)
        r = teardown(lab, d)
        check(r.returncode == 2 and "flowpin teardown" in r.stderr, "beside a running flowpind it is refused", r)
        check(d.verify_clean(), "and changes nothing")
        d.kill(sig)
        check("flowpin" in lab.run("gw", "nft list tables") and marks(lab), "flowpind ended: everything stands")
        r = teardown(lab, d)
        equal(r.returncode, 0, "flowpind --teardown")
        gone(lab, before, "afterwards")
        equal(teardown(lab, d).returncode, 0, "once more: nothing to do, and no error")
        same(lab, before, "and nothing is changed")
        check(pools[0].open(20) and all(f.state == "up" for f in pools[0].flows[-20:]), "new connections work")


@case("flowpind --teardown without a valid configuration", "service {", "")
@case("flowpind --teardown with other numbers in the configuration", CONFIG,
      "numbers { mark-mask = 0xff00 table-base = 30000 rule-priority = 500 }\n")
@case("flowpind --teardown without a configuration", None, "")
def other_configuration(text, more):
    with standard(3) as lab:
        before = warmed(lab)
        d = Daemon(lab, CONFIG)
        busy(lab, d)
        d.kill()
        path = lab.path("other.conf")
        if text is not None:
            with open(path, "w", encoding="ascii") as f:
                f.write(text + more)
        r = teardown(lab, d, path)
        equal(r.returncode, 0, "flowpind --teardown")
        put_back(lab)
        same(lab, before, "afterwards: the host is as it was")
        check(re.search(r"\bmark=\d+", lab.conntrack("-L", check=False)), "marks stay, as the manual says")


@case("numbers of one's own")
def own_numbers():
    config = CONFIG + "numbers { mark-mask = 0xf0 table-base = 30000 rule-priority = 500 }\n"
    with standard(3) as lab:
        before = warmed(lab)
        d = Daemon(lab, config)
        need(TcpPool(lab, 50).result().all_held, "50 connections open")
        d.kill()
        equal(teardown(lab, d).returncode, 0, "flowpind --teardown")
        same(lab, before, "afterwards: the host is as it was")
        found = {int(m) & 0xf0 for m in re.findall(r"\bmark=(\d+)", lab.conntrack("-L", check=False))}
        equal(found, {0}, "no connection has a mark of ours")


@case("what stood at the first start and goes on changing")
def after_changes():
    """Nexthops that came and went, a reload that took services away, repairs: none of it leaves anything behind."""
    with standard(3) as lab:
        before = warmed(lab)
        d = Daemon(lab, CONFIG)
        pool = TcpPool(lab, 50)
        for names in (["s1"], ["s2", "s3"], ["s1", "s2", "s3"]):
            lab.route(names)
        d.reload(CONFIG[:CONFIG.index("service any")])
        lab.run("gw", "nft delete table inet flowpin", check=False)
        lab.run("gw", "ip rule flush protocol 157", check=False)
        wait_until(d.verify_clean, 10, "repaired", poll=0.2)
        check(pool.result(), "connections")
        equal(d.try_flowpin("teardown", "--yes").status, 0, "flowpin teardown --yes")
        equal(d.expect_exit(), 4, "flowpind has ended")
        same(lab, before, "afterwards: the host is as it was")


# --- installed and uninstalled

def script(lab, name, destdir="", **more):
    """systemd/install or systemd/uninstall in the gateway's namespace, with no systemd in sight."""
    root = os.path.join(lab.tmp, "root")
    env = dict(os.environ, PREFIX=f"{root}/usr", DESTDIR=destdir, SYSCONFDIR=f"{root}/etc", UNITDIR=f"{root}/units",
               SBINDIR=f"{root}/usr/sbin", BINDIR=f"{root}/usr/bin", MANDIR=f"{root}/usr/man", BUILD=BUILD, **more)
    hide = "mkdir -p /run/systemd; mount -t tmpfs none /run/systemd && exec \"$@\""
    return subprocess.run(("ip", "netns", "exec", lab.full("gw"), "sh", "-c", hide, "sh", os.path.join(ROOT, "systemd", name)),
                          env=env, capture_output=True, text=True, timeout=seconds(60), check=False)


def files(lab):
    root = os.path.join(lab.tmp, "root")
    return sorted(os.path.relpath(os.path.join(d, f), root) for d, _, names in os.walk(root) for f in names)


class Installed(Daemon):
    """flowpind from where `make install` put it."""

    def program(self, name="flowpind"):  # pylint: disable=arguments-differ
        Daemon.program(name)
        where = "sbin" if name == "flowpind" else "bin"
        return os.path.join(self.lab.tmp, "root", "usr", where, name)


@case("uninstall", {}, ["etc/flowpin/flowpin.conf"])
@case("uninstall, with the configuration", {"PURGE": "1"}, [])
def uninstall(more, left):
    with standard(3) as lab:
        before = warmed(lab)
        r = script(lab, "install", destdir="/")  # with a DESTDIR it leaves users and units of the machine alone
        need(r.returncode == 0, "installed", r)
        installed = files(lab)
        check({"usr/sbin/flowpind", "usr/bin/flowpin", "etc/flowpin/flowpin.conf", "units/flowpind.service"} <= set(installed),
              "programs, configuration and unit are there", installed)
        check(stat.S_IMODE(os.stat(os.path.join(lab.tmp, "root", "usr/sbin/flowpind")).st_mode) == 0o755, "with their modes")
        d = Installed(lab, CONFIG, start=False)
        d.config_path = os.path.join(lab.tmp, "root/etc/flowpin/flowpin.conf")
        d.configure(CONFIG)
        d.start()
        busy(lab, d)
        if not os.path.isdir("/run/systemd/system"):
            r = script(lab, "uninstall", **more)
            check(r.returncode == 1 and "nothing is removed" in r.stderr, "while flowpind runs and nobody ends it: refused", r)
            equal(files(lab), installed, "and nothing is removed")
            check(d.verify_clean(), "flowpind goes on")
        d.stop()
        equal(script(lab, "uninstall").returncode, 0, "uninstalled")
        if more:
            r = script(lab, "uninstall", destdir="/", **more)  # with a DESTDIR, so that no user of the machine is removed
            equal(r.returncode, 0, "and purged")
        gone(lab, before, "afterwards")
        equal(files(lab), left, "of the files there is left" if left else "no file is left")


main()
