# SPDX-License-Identifier: GPL-2.0-or-later
"""The other side of io.flowpin.Switch: a flowpind that wishes what a test wants, and remembers what it was told."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

from daemon import BUILD

PART = 500


def tuple4(sport, src="12.12.12.1", dst="1.1.1.1", dport=80, protocol="tcp"):
    return {"protocol": protocol, "src": src, "sport": sport, "dst": dst, "dport": dport}


def key(t):
    return (t["protocol"], t["src"], t["sport"], t["dst"], t["dport"])


class FakePind:
    """Listens on `path`. wish(tuple, nexthop) and unwish(tuple) change what is desired; observed, health, answers: what came in."""

    def __init__(self, path, prefix="fp-1-", instance="one", switch="s1"):
        self.path, self.prefix, self.instance, self.switch = path, prefix, instance, switch
        self.lock = threading.RLock()
        self.wishes, self.version, self.serial = {}, 0, 0
        self.changed = []           # keys that are to be told
        self.snapshot = False       # a snapshot is to be told on the stream
        self.credit = threading.Condition(self.lock)
        self.desired = self.ask_socket = None
        self.observed, self.full, self.named = {}, 0, set()
        self.last_full = set()
        self.health, self.healths, self.answers, self.attached = {}, 0, {}, 0
        self.questions, self.errors = 0, []
        self.strict = True
        self.refuse = None          # (error, reason) for Attach
        self.connections = []
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.running = True
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self, forget=False):
        """As if flowpind died. forget: the next one is another instance, and knows of no flow."""
        with self.lock:
            self.running = False
            for c in [self.listener, *self.connections]:
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                c.close()
            self.connections, self.desired, self.ask_socket = [], None, None
            if forget:
                self.wishes, self.instance = {}, self.instance + "x"
            self.observed, self.full, self.last_full, self.named, self.health, self.healths = {}, 0, set(), set(), {}, 0
            self.credit.notify_all()
        if os.path.exists(self.path):
            os.unlink(self.path)

    # --- what a test says

    def wish(self, t, nexthop, idle_ms=300000):
        self._set({"tuple": t, "present": True, "nexthop": nexthop, "idle_timeout_ms": idle_ms, "reason": "placed"})

    def wish_all(self, tuples, nexthop, idle_ms=300000):
        with self.lock:
            for t in tuples:
                self.wish(t, nexthop, idle_ms)

    def unwish(self, t, reason="ended"):
        self._set({"tuple": t, "present": False, "reason": reason})

    def _set(self, w):
        with self.lock:
            self.version += 1
            self.wishes[key(w["tuple"])] = dict(w, version=self.version)
            self.changed.append(key(w["tuple"]))
            self.credit.notify_all()

    def ask(self, tuples, ages=None):
        with self.lock:
            self.questions += 1
            question = {"question": self.questions, "tuples": tuples}
            if ages:
                question["ages_ms"] = ages
            self._send(self.ask_socket, question, True)
            return self.questions

    def states(self, state="programmed"):
        with self.lock:
            return {k for k, o in self.observed.items() if o["state"] == state}

    # --- the wire

    def _accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _send(self, c, parameters, more=False, error=None):
        message = {"parameters": parameters}
        if more:
            message["continues"] = True
        if error:
            message["error"] = error
        if c is None:
            raise OSError("nobody is attached")
        c.sendall(json.dumps(message).encode() + b"\0")

    def _serve(self, c):
        data = b""
        try:
            while True:
                while b"\0" not in data:
                    piece = c.recv(65536)
                    if not piece:
                        return
                    data += piece
                message, data = data.split(b"\0", 1)
                if len(message) > 16 * 1024:
                    self.errors.append(f"a message of {len(message)} bytes")
                call = json.loads(message)
                name = call["method"].rsplit(".", 1)[1]
                with self.lock:
                    getattr(self, "_on_" + name.lower())(c, call["parameters"], call.get("more", False))
        except (OSError, ValueError) as e:
            if self.running and not isinstance(e, OSError):
                self.errors.append(repr(e))
        finally:
            c.close()

    def _on_attach(self, c, p, _more):
        if self.refuse:
            self._send(c, {"reason": self.refuse[1]}, error="io.flowpin.Switch." + self.refuse[0])
            return
        self.attached += 1
        self.digest = p["config_digest"]
        if p["api"] != 1 or p["switch"] != self.switch:
            self.errors.append(f"Attach {p}")
        self._send(c, {"instance": self.instance, "prefix": self.prefix, "services": ["web"]})

    def _on_desired(self, c, _p, more):
        if not more:
            self.errors.append("Desired without more")
        self.desired, self.snapshot, self.outstanding = c, True, None
        threading.Thread(target=self._stream, args=(c,), daemon=True).start()

    def _part(self, c, kind, wishes):
        """Sends one part and waits until it is said to be done."""
        self.serial += 1
        self.outstanding = self.serial
        self._send(c, {"serial": self.serial, "kind": kind, "wishes": wishes}, True)
        while self.outstanding is not None and self.desired is c:
            self.credit.wait(0.5)

    def _stream(self, c):
        try:
            with self.lock:
                wishes = list(self.wishes.values())
                self.changed = []
                self._part(c, "begin", [])
                for i in range(0, len(wishes), PART):
                    self._part(c, "part", wishes[i:i + PART])
                self._part(c, "end", [])
                while self.desired is c:
                    if not self.changed:
                        self.credit.wait(0.5)
                        continue
                    keys, self.changed = list(dict.fromkeys(self.changed[:PART])), self.changed[PART:]
                    self._part(c, "change", [self.wishes[k] for k in keys])
        except OSError:
            pass

    def _on_done(self, c, p, _more):
        if p["serial"] != self.outstanding:
            self.errors.append(f"Done({p['serial']}), not {self.outstanding}")
        self.outstanding = None
        self.credit.notify_all()
        self._send(c, {})

    def _on_observed(self, c, p, _more):
        for o in p["flows"]:
            k = key(o["tuple"])
            self.observed[k] = o
            self.named.add(k)
        if p["full"]:
            for k in set(self.observed) - self.named:
                del self.observed[k]
            self.last_full, self.named = self.named, set()
            self.full += 1
        if self.strict and self.full % 2:   # as flowpind does with what it does not know
            self._send(c, {"reason": "1 of these are no flows of the services"}, error="io.flowpin.Switch.Unknown")
        else:
            self._send(c, {})

    def _on_health(self, c, p, _more):
        self.health = p
        self.healths += 1
        self._send(c, {})

    def _on_ask(self, c, _p, _more):
        self.ask_socket = c

    def _on_answer(self, c, p, _more):
        self.answers.setdefault(p["question"], {}).update({key(a["tuple"]): a for a in p["answers"]})
        self._send(c, {})


class Eapi:
    """flowpin-eapi with a configuration in `directory`."""

    def __init__(self, directory, config, name="eapi", level="debug"):
        self.config_path = os.path.join(directory, name + ".conf")
        self.log_path = os.path.join(directory, name + ".log")
        self.socket = os.path.join(directory, "daemon.sock")
        self.level = level
        self.process = None
        self.configure(config)

    def configure(self, config):
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write(config)

    def start(self, env=None):
        log = open(self.log_path, "a", encoding="utf-8")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [os.environ.get("FLOWPIN_EAPI", os.path.join(BUILD, "flowpin-eapi")), "--config", self.config_path, "--socket", self.socket,
             "--log-level", self.level], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ, **(env or {})))
        log.close()
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            return "killed"

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def quiet_for(seconds, value):
    """Waits until value() did not change for so long; it."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.05)
        now = value()
        if now != last:
            last, since = now, time.monotonic()
    return last
