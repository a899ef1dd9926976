#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks messages against a varlink interface description, so that the description cannot drift from what is said.

    schema = Interface.load("src/control/io.flowpin.varlink")
    schema.check_call({"method": "io.flowpin.Flows", "more": True})
    schema.check_reply("Status", reply)            # a reply or an error, as it came from the socket
    with Connection("/run/flowpin/control.sock", schema) as c:
        status = c.call("Status")                  # every message is checked; errors raise VarlinkError
        for reply in c.call_more("Flows", filter={"dport": 443}): ...

As a program: `varlink_schema.py INTERFACE METHOD FILE ...` checks files of NUL-separated (or one) replies."""

import json
import re
import socket
import sys

SERVICE_ERRORS = {
    "org.varlink.service.InterfaceNotFound": {"interface": str}, "org.varlink.service.MethodNotFound": {"method": str},
    "org.varlink.service.MethodNotImplemented": {"method": str}, "org.varlink.service.InvalidParameter": {"parameter": str},
}
BASIC = {"bool", "int", "float", "string", "object"}
TOKEN = re.compile(r"\s*(?:#[^\n]*\n?\s*)*(?:(->|\[string\]|\[\]|[?(),:])|([A-Za-z][A-Za-z0-9_.-]*)|$)")


class SchemaError(Exception):
    """A description that cannot be read, or a message that does not fit it."""


class VarlinkError(Exception):
    """An error that the server replied with."""

    def __init__(self, name, parameters):
        super().__init__(f"{name}: {parameters}")
        self.name, self.parameters = name, parameters
        self.short = name.rsplit(".", 1)[-1]


class Parser:
    """Reads an interface description. A type is a tuple: (kind, detail)."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def peek(self):
        match = TOKEN.match(self.text, self.at)
        if not match:
            raise SchemaError(f"unreadable near {self.text[self.at:self.at + 30]!r}")
        return match.group(1) or match.group(2), match.end()

    def take(self, wanted=None):
        token, end = self.peek()
        if wanted is not None and token != wanted:
            raise SchemaError(f"{wanted!r} expected near {self.text[self.at:self.at + 30]!r}")
        self.at = end
        return token

    def fields(self):
        """A parenthesis: a struct's fields, or an enum's words."""
        self.take("(")
        fields, words = {}, []
        while self.peek()[0] != ")":
            name = self.take()
            if name in fields or name in words:
                raise SchemaError(f"{name} is there twice")
            if self.peek()[0] == ":":
                self.take(":")
                fields[name] = self.type()
            else:
                words.append(name)
            if self.peek()[0] != ")":
                self.take(",")
        self.take(")")
        if fields and words:
            raise SchemaError("a struct or an enum, not both")
        return ("enum", words) if words else ("struct", fields)

    def type(self):
        token = self.peek()[0]
        if token in ("?", "[]", "[string]"):
            self.take()
            return {"?": "maybe", "[]": "array", "[string]": "map"}[token], self.type()
        if token == "(":
            return self.fields()
        self.take()
        return ("basic", token) if token in BASIC else ("name", token)

    def interface(self):
        self.take("interface")
        name, found = self.take(), {"type": {}, "method": {}, "error": {}}
        while self.peek()[0] is not None:
            kind = self.take()
            if kind not in found:
                raise SchemaError(f"{kind!r} is no kind of member")
            member = self.take()
            if any(member in members for members in found.values()):
                raise SchemaError(f"{member} is there twice")
            body = self.fields()
            if kind == "method":
                self.take("->")
                body = (body, self.fields())
            found[kind][member] = body
        return name, found


class Interface:
    def __init__(self, text):
        self.name, found = Parser(text).interface()
        self.types, self.methods, self.errors = found["type"], found["method"], found["error"]
        for kind in list(self.types.values()) + list(self.errors.values()):
            self._known(kind)
        for call, reply in self.methods.values():
            self._known(call)
            self._known(reply)

    @classmethod
    def load(cls, path):
        with open(path, encoding="ascii") as file:
            return cls(file.read())

    def _known(self, kind):
        """Every type that is named is there."""
        what, detail = kind
        if what == "name" and detail not in self.types:
            raise SchemaError(f"no type {detail}")
        if what in ("maybe", "array", "map"):
            self._known(detail)
        if what == "struct":
            for field in detail.values():
                self._known(field)

    def check(self, kind, value, where):
        what, detail = kind
        if what == "name":
            self.check(self.types[detail], value, where)
        elif what == "maybe":
            if value is not None:
                self.check(detail, value, where)
        elif what == "array":
            self._is(value, list, where)
            for i, item in enumerate(value):
                self.check(detail, item, f"{where}[{i}]")
        elif what == "map":
            self._is(value, dict, where)
            for key, item in value.items():
                self.check(detail, item, f"{where}[{key!r}]")
        elif what == "enum":
            if value not in detail:
                raise SchemaError(f"{where}: {value!r} is none of {detail}")
        elif what == "struct":
            self._check_struct(detail, value, where)
        else:
            self._check_basic(detail, value, where)

    def _check_struct(self, fields, value, where):
        self._is(value, dict, where)
        for key in value:
            if key not in fields:
                raise SchemaError(f"{where}: field {key!r} is not in the description")
        for key, kind in fields.items():
            if key in value:
                self.check(kind, value[key], f"{where}.{key}")
            elif kind[0] != "maybe":
                raise SchemaError(f"{where}: field {key!r} is missing")

    def _check_basic(self, detail, value, where):
        if detail == "int" and isinstance(value, int) and not isinstance(value, bool) and -2**63 <= value < 2**63:
            return
        if detail == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
            return
        if detail in ("int", "float"):
            raise SchemaError(f"{where}: {value!r} is no {detail}")
        self._is(value, {"bool": bool, "string": str, "object": dict}[detail], where)

    @staticmethod
    def _is(value, kind, where):
        if not isinstance(value, kind):
            raise SchemaError(f"{where}: {value!r} is no {kind.__name__}")

    def method(self, name):
        short = name[len(self.name) + 1:] if name.startswith(self.name + ".") else name
        if short not in self.methods:
            raise SchemaError(f"no method {name}")
        return short, self.methods[short]

    def check_call(self, message):
        """The whole call: {"method", "parameters", "more", "oneway"}."""
        self._envelope(message, {"method": str, "parameters": dict, "more": bool, "oneway": bool, "upgrade": bool}, "call")
        short, (call, _) = self.method(message.get("method", ""))
        self.check(call, message.get("parameters", {}), f"{short}()")

    def check_reply(self, method, message):
        """The whole reply: {"parameters", "continues"} or {"error", "parameters"}."""
        short, (_, reply) = self.method(method)
        self._envelope(message, {"parameters": dict, "continues": bool, "error": str}, f"{short} ->")
        if "error" in message:
            self.check_error(message)
        else:
            self.check(reply, message.get("parameters", {}), f"{short} ->")

    def check_error(self, message):
        name, parameters = message["error"], message.get("parameters", {})
        if message.get("continues"):
            raise SchemaError(f"{name}: an error is final")
        if name in SERVICE_ERRORS:
            if set(parameters) != set(SERVICE_ERRORS[name]) or not all(isinstance(v, str) for v in parameters.values()):
                raise SchemaError(f"{name}: {parameters!r}")
            return
        prefix, short = name.rsplit(".", 1) if "." in name else ("", name)
        if prefix != self.name or short not in self.errors:
            raise SchemaError(f"error {name} is not in the description")
        self.check(self.errors[short], parameters, short)

    def _envelope(self, message, keys, where):
        self._is(message, dict, where)
        for key, value in message.items():
            if key not in keys:
                raise SchemaError(f"{where}: {key!r} does not belong into a message")
            self._is(value, keys[key], f"{where} {key}")


def parse(data):
    """JSON without what JSON does not have: NaN, and one key twice."""
    def pairs(items):
        if len({key for key, _ in items}) != len(items):
            raise SchemaError(f"a key is there twice: {[key for key, _ in items]}")
        return dict(items)

    def constant(name):
        raise SchemaError(f"{name} is no JSON")
    return json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)


class Connection:
    """A client that checks everything. Calls one after another on one connection."""

    def __init__(self, path, interface, timeout=30):
        self.interface, self.data = interface, bytearray()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, parameters, more):
        call = {"method": f"{self.interface.name}.{method}", "parameters": parameters}
        if more:
            call["more"] = True
        self.interface.check_call(call)
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        seen = 0
        while (end := self.data.find(b"\0", seen)) < 0:
            seen = len(self.data)
            piece = self.socket.recv(262144)
            if not piece:
                raise EOFError("the server closed the connection")
            self.data += piece
        message = bytes(self.data[:end])
        del self.data[:end + 1]
        return parse(message)

    def _replies(self, method, parameters, more):
        self.send(method, parameters, more)
        while True:
            reply = self.receive()
            self.interface.check_reply(method, reply)
            if "error" in reply:
                raise VarlinkError(reply["error"], reply.get("parameters", {}))
            if reply.get("continues") and not more:
                raise SchemaError(f"{method}: several replies, and only one was asked for")
            yield reply.get("parameters", {})
            if not reply.get("continues"):
                return

    def call(self, method, **parameters):
        return list(self._replies(method, parameters, False))[0]

    def call_more(self, method, **parameters):
        return self._replies(method, parameters, True)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    interface, bad = Interface.load(sys.argv[1]), 0
    for path in sys.argv[3:]:
        with open(path, "rb") as file:
            for message in filter(bytes.strip, file.read().split(b"\0")):
                try:
                    interface.check_reply(sys.argv[2], parse(message))
                except (SchemaError, ValueError) as error:
                    print(f"{path}: {error}")
                    bad += 1
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
