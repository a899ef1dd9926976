# SPDX-License-Identifier: GPL-2.0-or-later
"""A daemon with the privileges of its systemd unit, without systemd: the unit's directives, read here, become a file for
build/tests/tools/confine, which applies them and runs the program.

Applied: User= Group= (with the groups that systemd/flowpin.sysusers gives them) UMask= CapabilityBoundingSet=
AmbientCapabilities= NoNewPrivileges= SystemCallFilter= SystemCallErrorNumber= RestrictAddressFamilies= RestrictNamespaces=
RestrictRealtime= RestrictSUIDSGID= LockPersonality= MemoryDenyWriteExecute= ProtectSystem=strict (with StateDirectory= and
RuntimeDirectory= writable) and ProcSubset=pid.
Not applied, since it takes systemd's cgroup or a whole file system: LEFT_OUT. A directive in neither list fails the test."""

import functools
import os
import re
import shutil
import socket
import subprocess

import tap
from daemon import BUILD, ROOT

CONFINE = os.path.join(BUILD, "tests", "tools", "confine")
CAPABILITIES = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
FLAGS = {"NoNewPrivileges": "no-new-privs", "RestrictNamespaces": "no-namespaces", "RestrictRealtime": "no-realtime",
         "RestrictSUIDSGID": "no-suid-sgid", "LockPersonality": "no-personality", "MemoryDenyWriteExecute": "no-write-execute"}
HANDLED = set(FLAGS) | {"User", "Group", "UMask", "CapabilityBoundingSet", "AmbientCapabilities", "SystemCallFilter",
                        "SystemCallErrorNumber", "RestrictAddressFamilies", "ProtectSystem", "ProcSubset", "StateDirectory",
                        "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode", "SystemCallArchitectures"}
# What does not say what the program may do, or says what only systemd can hold it to.
LEFT_OUT = {
    "Type", "NotifyAccess", "ExecStartPre", "ExecStart", "ExecStop", "ExecReload", "WatchdogSec", "Restart", "RestartSec",
    "RestartPreventExitStatus", "SuccessExitStatus", "RemainAfterExit",
    "IPAddressDeny", "SocketBindDeny", "DevicePolicy", "MemoryMax", "TasksMax",  # by BPF and limits of its cgroup
    "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectControlGroups", "ProtectKernelTunables", "ProtectProc",  # mounts
    "ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",  # calls that the filter refuses too
    "RemoveIPC",
}


def unit(name):
    """The [Service] section of systemd/NAME.service: {directive: [values]}; an empty value empties the list."""
    with open(os.path.join(ROOT, "systemd", f"{name}.service"), encoding="utf-8") as f:
        text = f.read()
    section = re.search(r"^\[Service\]$(.*?)(?=^\[|\Z)", text, re.M | re.S).group(1)
    found = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", section, re.M):
        found.setdefault(key, []).append(value.strip())
    return found


def unknown_directives(name):
    return sorted(set(unit(name)) - HANDLED - LEFT_OUT)


@functools.lru_cache(maxsize=None)
def call_group(name):
    """The system calls of a group of systemd's ("@default"), groups within it too."""
    out = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    calls = set()
    for word in re.findall(r"^\s+([@a-z_0-9-]+)$", out, re.M):
        calls |= call_group(word) if word.startswith("@") else {word}
    calls.discard(name)
    return frozenset(calls)


def allowed_calls(directives):
    """SystemCallFilter= lines as systemd adds them up: the first one says that it is a list of what may be called."""
    calls = set(call_group("@default"))
    for line in directives["SystemCallFilter"]:
        without = line.startswith("~")
        for word in line.lstrip("~").split():
            some = call_group(word) if word.startswith("@") else {word}
            calls = calls - some if without else calls | some
    return calls


def users(lab):
    """The passwd and group files that systemd-sysusers makes of systemd/flowpin.sysusers: {name: (uid, gid, groups)}, and their
    directory."""
    root = os.path.join(lab.tmp, "sysusers")
    if not os.path.isdir(root):
        os.makedirs(os.path.join(root, "etc"))
        subprocess.run(["systemd-sysusers", f"--root={root}", os.path.join(ROOT, "systemd", "flowpin.sysusers")], check=True,
                       capture_output=True)
    with open(os.path.join(root, "etc", "passwd"), encoding="ascii") as f:
        people = [line.rstrip("\n").split(":") for line in f]
    with open(os.path.join(root, "etc", "group"), encoding="ascii") as f:
        groups = [line.rstrip("\n").split(":") for line in f]
    return {p[0]: (int(p[2]), int(p[3]), [int(g[2]) for g in groups if p[0] in g[3].split(",")]) for p in people}, os.path.join(root, "etc")


def plan(lab, name, user=True, writable=(), without=(), more=()):
    """The lines for confine. without: directives' values to leave out ("CAP_NET_ADMIN", a system call); more: lines to add."""
    d = unit(name)
    lines = [word for key, word in FLAGS.items() if d.get(key) == ["yes"]]
    caps = d["AmbientCapabilities"][-1].split()
    if sorted(caps) != sorted(d["CapabilityBoundingSet"][-1].split()):
        raise ValueError(f"{name}: the bounding and the ambient set differ")
    lines += [f"cap {CAPABILITIES[c]}" for c in caps if c not in without]
    lines += [f"umask {d['UMask'][0]}"] if "UMask" in d else []
    lines += [f"allow {call}" for call in sorted(allowed_calls(d)) if call not in without]
    lines += ["families"] + [f"family {getattr(socket, f)}" for f in d["RestrictAddressFamilies"][-1].split() if f not in without]
    if d["SystemCallErrorNumber"] != ["EPERM"] or d["ProtectSystem"] != ["strict"]:
        raise ValueError(f"{name}: SystemCallErrorNumber or ProtectSystem is not what confine.c does")
    if user:
        known, etc = users(lab)
        uid, gid, groups = known[d["User"][0]]
        if d["Group"] != d["User"]:
            raise ValueError(f"{name}: Group= is not the user's own")
        lines += [f"uid {uid}", f"gid {gid}"] + [f"group {g}" for g in groups]
        lines += [f"bind {etc}/{f} /etc/{f}" for f in ("passwd", "group")]
    lines += ["read-only"] + [f"writable {w}" for w in writable]
    lines += ["private-proc"] if d.get("ProcSubset") == ["pid"] else []
    return lines + list(more)


def wrapper(lab, program, lines, name):
    """A script that runs a program so."""
    spec, script = os.path.join(lab.tmp, f"{name}.plan"), os.path.join(lab.tmp, f"{name}.confined")
    with open(spec, "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")
    with open(script, "w", encoding="ascii") as f:
        f.write(f'#!/bin/sh\nexec {CONFINE} {spec} {program} "$@"\n')
    os.chmod(script, 0o755)
    return script


def confined(cls, name, **options):
    """A subclass of Daemon (or of a companion) whose program runs as the unit `name` says. Its files are given to the unit's user, and
    its sockets stand in a directory that is the RuntimeDirectory=."""

    class Confined(cls):
        def __init__(self, where, *args, start=True, **kwargs):
            super().__init__(where, *args, start=False, **kwargs)
            lab = self.lab
            self.unit = name
            os.chmod(lab.tmp, 0o755)
            self.run_dir = os.path.join(lab.tmp, "run")
            os.makedirs(self.run_dir, exist_ok=True)
            self.socket = os.path.join(self.run_dir, "control.sock")
            real = cls.program(name.replace("-relax", ""))
            copy = os.path.join(lab.tmp, f"{name}.program")  # where every user can reach it
            if not os.path.exists(copy):
                shutil.copy(real, copy)
            os.chmod(copy, 0o755)
            own = {"flowpin": (self.run_dir, self.state_dir)}.get(unit(name)["User"][0], ())
            uid, gid, _ = users(lab)[0][unit(name)["User"][0]]
            for path in own:
                os.chown(path, uid, gid)
            os.chmod(self.config_path, 0o644)
            self.lines = plan(lab, name, writable=own, **options)
            self._script = wrapper(lab, copy, self.lines, name)
            if start:
                self.start()

        def start(self, **kwargs):
            before = os.umask(0)  # the notify socket of the test must take what another user sends
            try:
                return super().start(**kwargs)
            finally:
                os.umask(before)

        def program(self, name=None):  # pylint: disable=arguments-differ
            own = self.unit.replace("-relax", "")
            if name in (None, own) or name == "flowpind" and own == "flowpind":
                if tap.WITHOUT:
                    raise tap.NoDaemon(f"{own} is not run with FLOWPIN_WITHOUT=1")
                return self._script
            return cls.program(name)

    return Confined
