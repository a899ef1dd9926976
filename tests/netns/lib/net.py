# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces: entering them, running commands in them, sysctls."""

import contextlib
import ctypes
import os
import shlex
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class CommandFailed(Exception):
    """A command ended with another status than 0."""

    def __init__(self, command, status, output, errors):
        said = "\n".join((errors.strip() or output.strip()).splitlines()[:8])
        super().__init__(f"{' '.join(command)}: exit {status}: {said}")
        self.status, self.output, self.errors = status, output, errors


def _setns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def in_namespace(full_name):
    """This thread is in the namespace inside the block: sockets and processes made there belong to
    it for ever."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/run/netns/{full_name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(here)
    finally:
        os.close(here)


def words(command):
    """("ip", "route") as it is; ("ip route",) is split like a shell does."""
    if len(command) == 1 and isinstance(command[0], str):
        return shlex.split(command[0])
    return [str(w) for w in command]


def run(*command, check=True, stdin=None, timeout=60):
    """Runs a command and returns what it printed; CommandFailed unless check is False."""
    command = words(command)
    r = subprocess.run(command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=timeout, check=False)
    if check and r.returncode != 0:
        raise CommandFailed(command, r.returncode, r.stdout, r.stderr)
    return r.stdout


def ip_batch(full_name, lines):
    """Many ip commands in one process."""
    if lines:
        run("ip", "-n", full_name, "-batch", "-", stdin="\n".join(lines) + "\n")


def sysctl_path(name):
    return "/proc/sys/" + name.replace(".", "/")
