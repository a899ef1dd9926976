# SPDX-License-Identifier: GPL-2.0-or-later
"""flowpind in a lab, and the flowpin command against it."""

import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import tap

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))

WEB = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    protocol     = {tcp, udp}
    idle-timeout = 5m
}
"""

Output = collections.namedtuple("Output", "status out err")
_SANITIZER = re.compile(r"ERROR: (Address|Leak|Undefined)Sanitizer|runtime error:")


class Daemon:
    """Daemon(lab, config) starts flowpind in the gateway's namespace and waits until it says that
    it is ready.

    config: the text of the configuration (default: the service "web", both VIPs, TCP and UDP);
    state-dir is added. args: further options of flowpind; under: a command that starts it
    (unshare ...). Ended with the lab; that it ended well, and without a word of a sanitizer, is then a test point of its own if it did not. With
    FLOWPIN_WITHOUT=1 nothing runs, and flowpin() raises NoDaemon (a failed point)."""

    def __init__(self, lab, config=WEB, args=(), ns=None, start=True, name="flowpin", env=None, under=()):
        self.lab, self.ns, self.args, self.under = lab, ns or lab.gateway, list(args), list(under)
        self.env = dict(env or {})
        base = os.path.join(lab.tmp, f"{name}-{self.ns}")
        self.config_path, self.socket, self.log_path = base + ".conf", base + ".sock", base + ".log"
        self.state_dir = base + ".state"
        os.makedirs(self.state_dir, exist_ok=True)
        self.process = None
        self._notify_path = base + ".notify"
        self._notify = None
        self._expected = False
        self.configure(config)
        lab.daemons.append(self)
        if start:
            self.start()

    # --- life

    def configure(self, config):
        """Writes the configuration (takes effect with start or reload)."""
        if "state-dir" not in config:
            config += f'\nstate-dir = "{self.state_dir}"\n'  # last: line numbers stay
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write(config)

    @staticmethod
    def program(name="flowpind"):
        path = os.path.join(BUILD, name)
        if tap.WITHOUT:
            raise tap.NoDaemon(f"{name} is not run with FLOWPIN_WITHOUT=1")
        if not os.access(path, os.X_OK):
            raise FileNotFoundError(f"{path} is not built: run make")
        return path

    def start(self, wait=True, deadline=10):
        """Starts it; with wait, returns when it is ready (an exception with its log if it is
        not)."""
        if tap.WITHOUT:
            return self
        if self._notify:
            self._notify.close()
        if os.path.exists(self._notify_path):
            os.unlink(self._notify_path)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(self._notify_path)
        env = dict(os.environ, NOTIFY_SOCKET=self._notify_path, **self.env)
        command = ["ip", "netns", "exec", self.lab.full(self.ns), *self.under, self.program(), "--config", self.config_path,
                   "--socket", self.socket, *self.args]
        with open(self.log_path, "a", encoding="utf-8") as log:
            log.write(f"--- {' '.join(command)}\n")
            log.flush()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        self._expected = False
        if wait and not self.wait_notify("READY=1", deadline):
            status = self.process.poll()
            self._expected = True
            raise RuntimeError(f"flowpind was not ready within {tap.seconds(deadline)} s"
                               + (f" (it ended with {status})" if status is not None else ""))
        return self

    def wait_notify(self, word, deadline=10):
        """Waits for a line of the notify protocol. False when it did not come, or when flowpind
        ended."""
        end = time.monotonic() + tap.seconds(deadline)
        while time.monotonic() < end:
            self._notify.settimeout(0.1)
            try:
                if word in self._notify.recv(65536).decode().splitlines():
                    return True
            except TimeoutError:
                if self.process.poll() is not None:
                    return False
        return False

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def running(self):
        return self.process is not None and self.process.poll() is None

    @contextlib.contextmanager
    def held(self):
        """It gets no processor meanwhile."""
        if self.running():
            self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if self.running():
                self.process.send_signal(signal.SIGCONT)

    def kill(self, sig=signal.SIGKILL, deadline=10):
        """Ends it by a signal and returns its exit status (negative: the signal's number)."""
        if not self.process:
            return None
        self._expected = True
        if self.running():
            self.process.send_signal(sig)
        status = self.process.wait(tap.seconds(deadline))
        self.process = None
        return status

    def stop(self, deadline=10):
        """SIGTERM; its exit status."""
        return self.kill(signal.SIGTERM, deadline)

    def expect_exit(self, deadline=10):
        """It is about to end by itself: waits for it and returns its status."""
        if not self.process:
            return None
        self._expected = True
        status = self.process.wait(tap.seconds(deadline))
        self.process = None
        return status

    def restart(self, sig=signal.SIGTERM, deadline=10):
        self.kill(sig)
        return self.start(deadline=deadline)

    def reload(self, config=None, deadline=10):
        """SIGHUP (with a new configuration if given), and waits until it is ready again. True when
        it said so."""
        if config is not None:
            self.configure(config)
        if tap.WITHOUT:
            return False
        self._notify.setblocking(False)
        try:
            while True:
                self._notify.recv(65536)
        except BlockingIOError:
            pass
        self.process.send_signal(signal.SIGHUP)
        return self.wait_notify("READY=1", deadline)

    def end(self):
        """The lab's end: SIGTERM, and a failed point for an exit or a log that nobody expected."""
        status = None
        if self.process and not self._expected:
            ended = self.process.poll()
            if ended is not None:
                tap.check(False, "flowpind is still there at the end", f"it ended with {ended}\n{self._tail()}")
                self.process = None
            else:
                try:
                    status = self.stop()
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                    self.process = None
                    tap.check(False, "flowpind ends on SIGTERM", self._tail)
        elif self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        if status:
            tap.check(False, "flowpind ends with status 0 on SIGTERM", f"status {status}\n{self._tail()}")
        if _SANITIZER.search(self.log()):
            tap.check(False, "no sanitizer complained", self._tail)
        if self._notify:
            self._notify.close()
            self._notify = None

    # --- what it says

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, pattern=None):
        """The lines of its log, or those that match a regular expression."""
        return [line for line in self.log().splitlines() if pattern is None or re.search(pattern, line)]

    def _tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])

    def diagnose(self):
        tap.note(f"--- log of flowpind in {self.ns}")
        tap.note(self._tail())
        if self.running():
            for words in (["status"], ["nexthops"]):
                r = self.try_flowpin(*words, timeout=5)
                tap.note(f"--- flowpin {' '.join(words)}: {r.status}")
                tap.note(r.out + r.err)

    # --- the command line

    def popen_flowpin(self, *words, **kwargs):
        """flowpin as a process, for --wait and monitor."""
        command = [self.program("flowpin"), "--socket", self.socket, *[str(w) for w in words]]
        with self.lab.inside(self.ns):
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, **kwargs)

    def try_flowpin(self, *words, timeout=30):
        """flowpin's (status, out, err), whatever they are."""
        p = self.popen_flowpin(*words)
        try:
            out, err = p.communicate(timeout=tap.seconds(timeout))
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            return Output(-signal.SIGKILL, out, err + f"\nno end within {tap.seconds(timeout)} s")
        return Output(p.returncode, out, err)

    def flowpin(self, *words, json_output=True, timeout=30, status=0):
        """flowpin with --json, parsed (one object, or a list when it prints several); another exit
        status is an exception."""
        r = self.try_flowpin(*words, *(["--json"] if json_output else []), timeout=timeout)
        if r.status != status:
            said = f"{r.err.strip()} {r.out.strip()}"
            raise RuntimeError(f"flowpin {' '.join(map(str, words))}: exit {r.status}: {said}")
        return parse_json(r.out) if json_output else r.out

    def nexthops(self, service=None):
        """flowpin nexthops: a list of bindings (dicts as in io.flowpin.varlink), of one service if
        named."""
        reply = self.flowpin("nexthops")
        return [b for b in _list_of(reply, "nexthops") if service in (None, b["service"])]

    def binding(self, nexthop, service=None):
        """The binding of a nexthop ("10.1.1.2%s1"), None if there is none."""
        return next((b for b in self.nexthops(service) if b["nexthop"] == nexthop), None)

    def flows(self, *words):
        """flowpin flows FILTER: a list of flows."""
        return _list_of(self.flowpin("flows", *words), "flows")

    def status(self):
        return self.flowpin("status")

    def verify_clean(self):
        """Whether flowpin verify finds no difference."""
        return self.try_flowpin("verify").status == 0


def _list_of(reply, key):
    """Takes {key: [...]}, several of them, or the bare list."""
    if isinstance(reply, dict):
        return reply.get(key, [reply] if reply and key not in reply else [])
    items = []
    for r in reply or []:
        items += r[key] if isinstance(r, dict) and key in r else [r]
    return items


def parse_json(text):
    """One JSON value, or a list of those that stand one after another."""
    values, at, decoder = [], 0, json.JSONDecoder()
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        values.append(value)
    return values[0] if len(values) == 1 else values
