# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the control socket without manners, and other users than root."""

import contextlib
import json
import os
import socket
import time

from tap import seconds


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
