#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemons with the capabilities, users and system-call filters of their units: everything works, what the units forbid is
refused, and what they allow is needed."""

import errno
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import confinement
from confinement import CONFINE, confined, plan, unit
from flowlab import *  # noqa
from switchlab import SERVICE, Beside, Eapi, MirrorReceiver, SwitchLab, knows_routes, section

# The sanitizer looks for leaks as a debugger would, which the units forbid.
os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
UNITS = ("flowpind", "flowpind-relax", "flowpin-mirror", "flowpin-eapi")
Flowpind = confined(Daemon, "flowpind")


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def privileges(d, name):
    """What the kernel says of the process is what the unit says."""
    d_unit, s = unit(name), status_of(d.pid)
    uid, gid, groups = confinement.users(d.lab)[0][d_unit["User"][0]]
    caps = sum(1 << confinement.CAPABILITIES[c] for c in d_unit["AmbientCapabilities"][-1].split())
    equal(s["Uid"].split(), [str(uid)] * 4, f"{name}: its user is {d_unit['User'][0]}")
    equal(s["Gid"].split(), [str(gid)] * 4, f"{name}: and its group")
    equal(sorted(s["Groups"].split()), sorted(map(str, groups)), f"{name}: and further groups")
    equal(int(s["CapBnd"], 16), caps, f"{name}: the bounding set")
    equal((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"), f"{name}: no new privileges, system calls are filtered")
    return caps, int(s["CapEff"], 16)


@case("every directive of a unit is applied here, or known not to be")
def directives():
    for name in UNITS:
        equal(confinement.unknown_directives(name), [], f"{name}.service")


@case("flowpind")
def flowpind():
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Flowpind(lab, WEB + "control { admin-group = flowpin-eapi }\n")
        caps, effective = privileges(d, "flowpind")
        equal(effective, caps, "flowpind: CAP_NET_ADMIN is in effect")
        wait_until(lambda: len(d.nexthops()) == 3, 5, "three nexthops")
        info = os.stat(d.socket)
        known = confinement.users(lab)[0]
        equal((info.st_uid, info.st_gid, info.st_mode & 0o777), (*known["flowpin"][:2], 0o660), "the socket is flowpin's, mode 0660")
        pool = TcpPool(lab, 50)
        need(pool.result().all_held, "50 connections open", pool.result)
        pool.start(0.1)
        lab.route(["s1", "s3"])
        check(pool.exchange().all_held, "a server is withdrawn: none broke", pool.result)
        d.flowpin("drain", lab.nexthop("s3"))
        equal(set(pool.probe(20)), {"s1"}, "a server is drained: new ones keep off")
        check(os.listdir(d.state_dir), "the drain is on disk")
        lab.run("gw", "nft flush ruleset")
        lab.run("gw", "ip rule del priority 10000")
        check(wait_until(d.verify_clean, 5), "what others delete is put back")
        need(d.reload(WEB), "reload")
        d.kill()
        d.start()
        check(pool.exchange().all_held, "kill -9 and a new start: none broke", pool.result)
        check(wait_until(lambda: (d.binding(lab.nexthop("s3")) or {}).get("state") == "draining", 5), "the drain came back")
        relax(lab, d)
        equal(d.try_flowpin("teardown", "--yes").status, 0, "teardown")
        equal(d.expect_exit(), 4, "and the daemon ends with status 4")
        lab.daemons.remove(d)
        equal([r for r in lab.ip_json("gw", "rule show") if r["priority"] in range(10000, 10400)], [], "nothing is left")


def relax(lab, d):
    """flowpind-relax.service, after flowpind is gone for good."""
    def overrides():
        return [r for r in lab.ip_json("gw", "rule show") if "dst" in r]

    need(wait_until(overrides, 5), "the drain stands as an override")
    d.kill()
    lines = plan(lab, "flowpind-relax")
    script = confinement.wrapper(lab, os.path.join(lab.tmp, "flowpind.program"), lines, "flowpind-relax")
    done = subprocess.run(["ip", "netns", "exec", lab.full("gw"), script, "--config", d.config_path, "--relax"], capture_output=True,
                          text=True, timeout=seconds(30), check=False)
    equal((done.returncode, overrides()), (0, []), f"flowpind-relax takes the overrides away {done.stderr}")
    d.start()


class ConfinedBeside(Beside):
    def __init__(self, lab, config):
        self.lab, self.config = lab, config
        self.d = Flowpind(lab, config)
        self.mirror = confined(MirrorReceiver, "flowpin-mirror")(self.d)
        password = os.path.join(lab.tmp, "password")
        uid, gid, _ = confinement.users(lab)[0]["flowpin-eapi"]
        os.chown(password, uid, gid)  # as LoadCredential= gives it
        self.eapi = confined(Eapi, "flowpin-eapi")(self.d)


@case("flowpin-mirror and flowpin-eapi beside flowpind")
def switch_side():
    with SwitchLab(2) as lab:
        lab.announce(["s1", "s2"])
        lab.resolve()
        lab.mirror()
        b = ConfinedBeside(lab, SERVICE % "5m" + section(lab))
        for d, name in ((b.d, "flowpind"), (b.mirror, "flowpin-mirror"), (b.eapi, "flowpin-eapi")):
            effective = privileges(d, name)[1]
            if name != "flowpind":
                equal(effective, 0, f"{name}: no capability is in effect once its sockets are open")
        need(knows_routes(b.d, 10), "the switch is reached", b.eapi.log)
        pool = TcpPool(lab, 20)
        need(pool.result().all_held, "20 connections open", pool.result)
        check(wait_until(lambda: lab.pinned(pool), 30), "each is in the switch", b.switch)
        lab.announce(["s1"])
        check(pool.exchange().all_held, "a server is withdrawn: none broke", pool.result)
        for d in (b.mirror, b.eapi):
            d.kill()
            d.start()
        b.d.reload(b.config)
        check(wait_until(lambda: b.switch()["reachable"] and lab.pinned(pool), 10), "restarted and reloaded: they hold", b.switch)
        check(wait_until(b.d.verify_clean, 10), "verify is clean", lambda: b.d.try_flowpin("verify"))


# What is tried inside each confinement. -1 as a pointer or descriptor makes sure that nothing happens where it is allowed.
PROBE = r"""
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    r = getattr(libc, name)(*[ctypes.c_long(a) for a in args])
    return ctypes.get_errno() if r == -1 else 0
def family(f, kind, protocol=0):
    try:
        socket.socket(f, kind, protocol).close()
        return 0
    except OSError as e:
        return e.errno
def writes(path):
    try:
        open(path, "w").close()
        return 0
    except OSError as e:
        return e.errno
def chowns():
    try:
        os.chown("/", 0, 0)
        return 0
    except OSError as e:
        return e.errno
print(json.dumps({
    "mount": call("mount", -1, -1, -1, 0, 0), "umount2": call("umount2", -1, 0), "unshare": call("unshare", 0x20000000),
    "setns": call("setns", -1, 0), "ptrace": call("ptrace", 16, -1, 0, 0), "swapoff": call("swapoff", -1),
    "sethostname": call("sethostname", -1, 5), "acct": call("acct", -1), "pivot_root": call("syscall", NR["pivot_root"], -1, -1),
    "bpf": call("syscall", NR["bpf"], 999, -1, 0), "init_module": call("syscall", NR["init_module"], -1, 0, -1),
    "perf_event_open": call("syscall", NR["perf_event_open"], -1, -1, 0, 0, 0),
    "clock_settime": call("syscall", NR["clock_settime"], 99, -1),
    "setrlimit": call("syscall", NR["setrlimit"], 99, -1), "sched_setscheduler": call("sched_setscheduler", 0, 1, -1),
    "personality": call("personality", 8), "write and execute": call("mprotect", 0, 0, 6),
    "inet": family(socket.AF_INET, socket.SOCK_DGRAM), "packet": family(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": family(socket.AF_NETLINK, socket.SOCK_RAW), "unix": family(socket.AF_UNIX, socket.SOCK_STREAM),
    "vsock": family(40, socket.SOCK_STREAM), "raw": family(socket.AF_INET, socket.SOCK_RAW, 47),
    "write /etc": writes("/etc/flowpin-probe"), "write /tmp": writes("/tmp/flowpin-probe"), "chown": chowns(),
    "capset": call("capset", -1, -1), "execve": call("execve", -1, 0, 0)}))
"""
EPERM, EAFNOSUPPORT, EROFS, EACCES = errno.EPERM, errno.EAFNOSUPPORT, errno.EROFS, errno.EACCES
REFUSED = {name: (EPERM,) for name in ("mount", "umount2", "unshare", "setns", "ptrace", "swapoff", "sethostname", "acct", "pivot_root", "bpf",
                                       "init_module", "perf_event_open", "clock_settime", "setrlimit",
                                       "sched_setscheduler", "personality", "write and execute")}
REFUSED.update({"packet": (EAFNOSUPPORT,), "vsock": (EAFNOSUPPORT,), "write /etc": (EROFS, EACCES), "write /tmp": (EROFS,),
                "chown": (EPERM, EROFS)})
# What each may and the others may not, besides.
ALSO = {
    "flowpind": {"netlink": 0, "unix": 0, "inet": EAFNOSUPPORT, "raw": EAFNOSUPPORT, "capset": EPERM},
    "flowpind-relax": {"netlink": 0, "unix": 0, "inet": EAFNOSUPPORT, "raw": EAFNOSUPPORT, "capset": EPERM},
    "flowpin-mirror": {"netlink": EAFNOSUPPORT, "unix": 0, "inet": 0, "raw": 0, "capset": errno.EFAULT},
    "flowpin-eapi": {"netlink": EAFNOSUPPORT, "unix": 0, "inet": 0, "raw": EPERM, "capset": EPERM},
}
# Refused to root as well by some kernels or machines, for reasons of their own.
UNSURE = ("vsock",)
NUMBERS = ("clock_settime", "setrlimit", "pivot_root", "bpf", "init_module", "perf_event_open")


def numbers_of():
    """The numbers of this machine's system calls, where libc has no name for them."""
    header = subprocess.run(["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], capture_output=True, text=True, check=True)
    found = {}
    for line in header.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR_") and words[1][5:] in NUMBERS:
            found[words[1][5:]] = int(words[2])
    return found


def probe(lab, lines=None):
    code = f"NR = {numbers_of()}\n{PROBE}"
    command = ["/usr/bin/python3", "-I", "-c", code]
    if lines is not None:
        spec = os.path.join(lab.tmp, "probe.plan")
        with open(spec, "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        command = [CONFINE, spec] + command
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds(30), check=False, cwd="/")
    need(done.returncode == 0, "the probe ran", lambda: (done.returncode, done.stderr))
    return json.loads(done.stdout)


@case("what the units forbid is refused, and only by them")
def forbidden():
    with standard(1) as lab:
        os.chmod(lab.tmp, 0o755)
        for name in UNITS:
            got = probe(lab, plan(lab, name))
            for what, answers in REFUSED.items():
                check(got[what] in answers, f"{name}: {what} is refused", errno.errorcode.get(got[what], got[what]))
            for what, answer in ALSO[name].items():
                equal(errno.errorcode.get(got[what], got[what]), errno.errorcode.get(answer, answer), f"{name}: {what}")


        # Without the confinement root is refused none of it: so it was the confinement that did.
        free = probe(lab)
        for what in (*REFUSED, "inet", "raw", "capset"):
            if what not in ("write /etc", "write /tmp", "chown"):
                check(free[what] not in (EPERM, EAFNOSUPPORT) or what in UNSURE, f"unconfined: {what} is not refused",
                      errno.errorcode.get(free[what], free[what]))


# Each is taken away from the unit that allows it, and the daemon comes to grief: none is there for nothing.
NEEDED = (
    ("flowpind", "CAP_NET_ADMIN"), ("flowpind", "AF_NETLINK"), ("flowpind", "AF_UNIX"), ("flowpind", "lchown"), ("flowpind", "sendmsg"),
    ("flowpind", "epoll_wait"), ("flowpind", "rename"), ("flowpin-mirror", "CAP_NET_RAW"), ("flowpin-mirror", "capset"),
    ("flowpin-mirror", "AF_INET"), ("flowpin-eapi", "AF_INET"), ("flowpin-eapi", "AF_UNIX"), ("flowpin-eapi", "connect"),
)


def ready(d, deadline):
    try:
        d.start(deadline=deadline)
        return True
    except RuntimeError:
        return False


def works(lab, b, name, without):
    """Whether a daemon does its work with its unit's privileges but `without`."""
    d = {"flowpind": lambda: confined(Daemon, name, without=without)(lab, b.config, start=False),
         "flowpin-mirror": lambda: confined(MirrorReceiver, name, without=without)(b.d, start=False),
         "flowpin-eapi": lambda: confined(Eapi, name, without=without)(b.d, start=False)}[name]()
    try:
        if not ready(d, 2 if without else 10):
            return False
        if name == "flowpin-mirror":
            return d.running()
        if name == "flowpin-eapi":
            return wait_until(lambda: b.switch()["reachable"], 3 if without else 10)
        gid = confinement.users(lab)[0]["flowpin"][1]
        return bool(wait_until(lambda: len(d.nexthops()) == 2, 5) and os.stat(d.socket).st_gid == gid
                    and d.try_flowpin("drain", lab.nexthop("s1")).status == 0 and os.listdir(d.state_dir))
    finally:
        d.kill()
        lab.daemons.remove(d)


@case("what the units allow is needed")
def needed():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        b = type("Alone", (), {"config": WEB})
        for without in [()] + [(w,) for name, w in NEEDED if name == "flowpind"]:
            equal(works(lab, b, "flowpind", without), not without, f"flowpind without {' '.join(without) or 'anything missing'}")
    with SwitchLab(2) as lab:
        lab.announce(["s1", "s2"])
        b = ConfinedBeside(lab, SERVICE % "5m" + section(lab))
        for name in ("flowpin-mirror", "flowpin-eapi"):
            getattr(b, name[8:]).kill()
            for without in [()] + [(w,) for n, w in NEEDED if n == name]:
                wait_until(lambda: not b.switch()["reachable"], 10)
                equal(works(lab, b, name, without), not without, f"{name} without {' '.join(without) or 'anything missing'}")


main()
