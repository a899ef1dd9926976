# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts an eos-sim and talks to both of its doors. `python3 eossim.py` is not a program; see README.md."""

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PROGRAM = os.path.join(BUILD, "tests", "eos-sim", "eos-sim")


class SimError(Exception):
    """The control channel refused an operation."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


def certificate(directory, name="sim", addresses=("127.0.0.1",)):
    """A self-signed certificate and its key: two paths."""
    cert, key = os.path.join(directory, name + ".crt"), os.path.join(directory, name + ".key")
    names = ",".join([f"DNS:{name}"] + [f"IP:{a}" for a in addresses])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


class Sim:
    """Sim(knobs={"capacity": 100}, personality=7, https=True, netns="fp1-sw", dataplane=True).

    As a context it must end with status 0. url: where runCmds goes; control("op", key=value...): one operation; knobs, log: what it printed."""

    def __init__(self, knobs=None, personality=None, http="127.0.0.1:0", https=None, netns=None, dataplane=False, tmp=None):
        self._own = None if tmp else tempfile.TemporaryDirectory(prefix="eos-sim-")
        self.tmp = tmp or self._own.name
        self.path = os.path.join(self.tmp, f"control-{id(self):x}.sock")
        command = ["ip", "netns", "exec", netns] if netns else []
        command += [PROGRAM, "--control", self.path]
        command += ["--http", http] if http else []
        if https:
            https = "127.0.0.1:0" if https is True else https
            self.cert, self.key = certificate(self.tmp, addresses=[https.rsplit(":", 1)[0].strip("[]")])
            command += ["--https", https, "--cert", self.cert, "--key", self.key]
        command += ["--personality", str(personality)] if personality is not None else []
        for name, value in (knobs or {}).items():
            command += ["--set", f"{name}={value}"]
        command += ["--dataplane"] if dataplane else []
        self.log_path, self.log = self.path + ".log", ""  # log: what was on stderr, once it ended
        with open(self.log_path, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.knobs, self.http, self.https = {}, None, None
        for line in self.process.stdout:
            words = line.split()
            if words[0] in ("http", "https"):
                setattr(self, words[0], words[1])
            elif words[0] == "knob":
                self.knobs[words[1]] = line.split(" = ", 1)[1].rstrip("\n") if " = " in line else ""
            elif words[0] == "ready":
                break
        else:
            with open(self.log_path, encoding="utf-8") as f:
                raise RuntimeError(f"eos-sim ended: {f.read()}")
        self.url = f"http://{self.http}/command-api" if self.http else f"https://{self.https}/command-api"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.stop()
        if status and not kind:
            raise SimError(f"eos-sim ended with {status}: {self.log}")

    def stop(self):
        """Ends it; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        with open(self.log_path, encoding="utf-8") as f:
            self.log = f.read()
        if self._own:
            self._own.cleanup()
        return status

    def operate(self, operations):
        """One operation (a dict) or several (a list), as they are."""
        c = _UnixConnection(self.path)
        c.request("POST", "/sim", json.dumps(operations), {"Content-Type": "application/json"})
        answer = json.loads(c.getresponse().read())
        c.close()
        return answer

    def control(self, op, **args):
        answer = self.operate(dict(args, op=op))
        if "error" in answer:
            raise SimError(f"{op}: {answer['error']}")
        return answer

    def set(self, **knobs):
        """set(full_shows="waiting"): underscores stand for hyphens."""
        self.control("set", knobs={k.replace("_", "-"): str(v) for k, v in knobs.items()})

    def state(self):
        return self.control("state")

    def usage(self):
        """The same without the flows: what a test may ask often."""
        return self.control("usage")

    def flows(self):
        """By name."""
        return {f["name"]: f for f in self.state()["flows"]}

    def programmed(self):
        return {f["name"]: f for f in self.state()["flows"] if f["in_hardware"]}

    def journal(self, since=0):
        return self.control("journal", since=since)["journal"]

    def connection(self, secure=False, timeout=10):
        host, port = (self.https if secure else self.http).rsplit(":", 1)
        if secure:
            context = ssl.create_default_context(cafile=self.cert)
            return http.client.HTTPSConnection(host, int(port), timeout=timeout, context=context)
        return http.client.HTTPConnection(host, int(port), timeout=timeout)

    def post(self, body, path="/command-api", auth=("admin", "secret"), headers=None, secure=False, timeout=10):
        """(status, headers, body text) of a POST, as a client of eAPI would send it."""
        c = self.connection(secure, timeout)
        headers = dict(headers or {}, **{"Content-Type": "application/json-rpc"})
        if auth:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        try:
            c.request("POST", path, body if isinstance(body, (str, bytes)) else json.dumps(body), headers)
            r = c.getresponse()
            return r.status, r.headers, r.read().decode()
        finally:
            c.close()

    def rpc(self, *cmds, form="json", request_id="1", **params):
        """The answer to runCmds."""
        body = {"jsonrpc": "2.0", "method": "runCmds", "id": request_id,
                "params": dict(params, version=params.get("version", 1), format=form, cmds=list(cmds))}
        return json.loads(self.post(body)[2])

    def wait(self, condition, deadline=5):
        """Until condition(state) is true; the state."""
        end = time.monotonic() + deadline
        while True:
            state = self.state()
            if condition(state):
                return state
            if time.monotonic() > end:
                raise TimeoutError(f"not within {deadline} s: {state}")
            time.sleep(0.02)
