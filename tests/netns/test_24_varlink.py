#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every message that the command and flowpind really exchange is as src/control/io.flowpin.varlink describes it: each method,
each error, each kind of event, while nothing happens and while everything does.

The command talks to a wire tap, which hands everything on to flowpind and keeps it."""

import collections
import json
import os
import selectors
import signal
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from flowlab import *  # noqa
from varlink_schema import Connection, Interface, SchemaError, VarlinkError, parse

DESCRIPTION = os.path.join(ROOT, "src", "control", "io.flowpin.varlink")

# Six services of three nexthops each, and 15 ids: three nexthops are not pinned.
MANY = "".join(f"service s{n} {{\n    prefix = 1.1.1.{n}/32\n    idle-timeout = 30s\n    protocol = {{tcp, udp}}\n}}\n"
               for n in range(1, 7)) + "limits { receive-buffer = 4096 }\nnumbers { mark-mask = 0xf0000000 }\n"


class Tap:
    """A unix socket that passes everything on and keeps it: conversations, a list of (calls, replies) as bytes."""

    def __init__(self, lab, path):
        self.target, self.path, self.conversations = path, lab.path("tap.sock"), []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.selector, self.pairs = selectors.DefaultSelector(), {}
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.wake, self.stopped = os.pipe()
        self.selector.register(self.wake, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        lab.closers.append(self.close)

    def _accept(self):
        client, server = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.target)
        except OSError:
            client.close()
            return
        kept = (bytearray(), bytearray())
        self.conversations.append(kept)
        for end, other, side in ((client, server, 0), (server, client, 1)):
            self.pairs[end] = (other, kept[side])
            self.selector.register(end, selectors.EVENT_READ)

    def _pass(self, end):
        other, kept = self.pairs[end]
        try:
            data = end.recv(1 << 18)
            if data:
                kept += data
                other.sendall(data)
                return
        except OSError:
            pass
        for s in (end, other):
            self.selector.unregister(s)
            del self.pairs[s]
            s.close()

    def _run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == self.wake:
                    return
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj in self.pairs:
                    self._pass(key.fileobj)

    def close(self):
        os.write(self.stopped, b"x")
        self.thread.join(5)
        self.listener.close()


class Judge:
    """Looks at all conversations and counts what was seen."""

    def __init__(self, schema):
        self.schema, self.seen, self.wrong = schema, collections.Counter(), []

    def conversation(self, calls, replies):
        calls = bytes(calls).split(b"\0")[:-1]
        replies = bytes(replies).split(b"\0")[:-1]
        for raw in calls:
            try:
                call = parse(raw)
                self.schema.check_call(call)
                method = call["method"].rsplit(".", 1)[-1]
                self.seen["call " + method] += 1
            except (SchemaError, ValueError) as e:
                self.wrong.append(f"call {raw[:300]!r}: {e}")
                continue
            while replies:
                reply = self._reply(method, call, replies.pop(0))
                if not reply or not reply.get("continues"):
                    break
        if not calls and len(replies) == 1:  # a client that is turned away is told so at once
            self._reply("Status", {}, replies.pop())
        if replies:
            self.wrong.append(f"replies without a call: {replies[0][:300]!r}")

    def _reply(self, method, call, raw):
        try:
            reply = parse(raw)
            self.schema.check_reply(method, reply)
            if reply.get("continues") and not call.get("more"):
                raise SchemaError("several replies, and only one was asked for")
        except (SchemaError, ValueError) as e:
            self.wrong.append(f"reply of {method}: {e}: {raw[:400]!r}")
            return None
        if "error" in reply:
            self.seen["error " + reply["error"].rsplit(".", 1)[-1]] += 1
        else:
            self.seen["reply " + method] += 1
            self._details(method, reply.get("parameters", {}))
        return reply

    def _details(self, method, p):
        for event in p.get("events", []) if method == "Monitor" else []:
            self.seen["event " + event["kind"]] += 1
        for key in ("overrides", "unpinned", "warnings", "differences", "unread"):
            if isinstance(p.get(key), list) and p[key]:
                self.seen[f"{method} with {key}"] += 1
        for flow in p.get("flows", []) if method == "Flows" else []:
            self.seen[f"flow {flow['witness']}"] += 1
            self.seen[f"flow replied {flow.get('replied')}"] += 1
        for b in p.get("nexthops", []) if method == "Nexthops" else []:
            self.seen["binding " + b["state"]] += 1
            self.seen["binding drained"] += "drain" in b
        if method == "Show":
            self.seen[f"shown: conntrack {p['conntrack']['present']}, pin {p['pin']['present']}"] += 1
        if method == "Drain":
            self.seen["drain " + p["outcome"]] += 1


def judged(tap, wanted):
    judge = Judge(Interface.load(DESCRIPTION))
    for calls, replies in tap.conversations:
        judge.conversation(calls, replies)
    check(not judge.wrong, f"{sum(judge.seen.values())} messages and parts of them are as described",
          lambda: "\n".join(judge.wrong[:20]))
    for what in wanted:
        check(judge.seen[what], f"seen: {what}", lambda: sorted(judge.seen.items()))


class Monitor:
    """flowpin monitor with somebody who reads it."""

    def __init__(self, d, *words):
        self.process = d.popen_flowpin("monitor", "--json", *words)
        self.reader = threading.Thread(target=self.process.communicate, daemon=True)
        self.reader.start()

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.reader.join(seconds(10))


def tapped(lab, config, **kwargs):
    d = Daemon(lab, config, **kwargs)
    own, tap = d.socket, Tap(lab, d.socket)
    d.socket = tap.path
    return d, own, tap


@case("the description is what flowpind serves")
def served():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab)
        with open(DESCRIPTION, encoding="ascii") as f:
            text = f.read()
        schema = Interface(text)
        with Connection(d.socket, schema) as c:
            c.socket.sendall(b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.flowpin"}}\0')
            equal(c.receive()["parameters"]["description"].strip(), text.strip(), "the file and the served text")
            c.socket.sendall(b'{"method":"org.varlink.service.GetInfo"}\0')
            info = c.receive()["parameters"]
            equal(sorted(info["interfaces"]), ["io.flowpin", "org.varlink.service"], "GetInfo names the interfaces")
            equal({k: type(v) for k, v in info.items()}, {"vendor": str, "product": str, "version": str, "url": str,
                                                         "interfaces": list}, "and all that it must")
            # A type that is wrong must be seen, or this test sees nothing.
            for wrong in ({"parameters": {"nexthops": [{"id": "1"}]}}, {"parameters": {}}, {"error": "io.flowpin.Odd"},
                          {"parameters": {"nexthops": []}, "more": True}):
                try:
                    schema.check_reply("Nexthops", wrong)
                    check(False, f"the check finds what is wrong in {json.dumps(wrong)}")
                except SchemaError as e:
                    check(True, f"the check finds what is wrong in {json.dumps(wrong)}: {e}")


@case("every method, while nothing happens and while it drains")
def methods():
    with standard(3) as lab:
        for v in (4, 6):
            lab.route(["s1", "s2", "s3"], v)
        d, _, tap = tapped(lab, WEB.replace("5m", "4s"))
        lab.forget_quickly()
        monitor = Monitor(d, "--flows")
        pools = [TcpPool(lab, 50), UdpPool(lab, 20, target=VIP6)]
        for pool in pools:
            need(pool.result().all_held, f"flows, {pool.target}", pool.result)
            pool.start(0.5)
        wait_until(lambda: len(d.flows()) >= 70, 5, "70 flows")
        for words in (["status"], ["nexthops"], ["nexthops", "web"], ["flows"], ["flows", "dport", 80, "nexthop", lab.nexthop("s1")],
                      ["flows", "state", "active", "witness", "conntrack", "service", "web", "src", "10.9.0.0/24"], ["verify"]):
            equal(d.try_flowpin(*words, "--json").status, 0, f"flowpin {' '.join(map(str, words))}")
        flow = pools[0].flows[0]
        equal(d.try_flowpin("show", "tcp", f"{flow.src}:{flow.sport}", f"{VIP4}:80").status, 0, "flowpin show")
        drains(lab, d, pools)
        refusals(lab, d)
        equal(d.try_flowpin("release", lab.nexthop("s3"), "web").status, 0, "flowpin release")
        lab.route(["s1"], 4)
        wait_until(lambda: d.binding(lab.nexthop("s2"))["state"] == "draining", 5, "s2 is withdrawn")
        d.try_flowpin("nexthops")
        lab.run("gw", "ip rule flush protocol 157")
        wait_until(d.verify_clean, 10, "repaired", poll=0.2)
        d.reload()
        lab.sysctl("gw", **{"net.ipv4.ip_forward": 0})
        d.reload()
        d.try_flowpin("status")
        for pool in pools:
            pool.end(pool.flows)
        equal(d.try_flowpin("teardown", "--yes").status, 0, "flowpin teardown")
        d.expect_exit()
        monitor.end()
        judged(tap, ["reply " + m for m in ("Status", "Nexthops", "Flows", "Show", "Drain", "Undrain", "Release", "Verify",
                                            "Monitor", "Teardown")]
               + ["error NotFound", "error Refused", "error InvalidParameter", "drain draining", "drain deadline",
                  "drain undrained", "drain empty", "binding active", "binding draining", "binding drained", "binding dead",
                  "Status with overrides", "Status with warnings", "event nexthop", "event drain", "event repair",
                  "event reload", "event warning", "event flow", "flow conntrack", "flow replied True",
                  "shown: conntrack True, pin True"])


def drains(lab, d, pools):
    s1, s2 = lab.nexthop("s1"), lab.nexthop("s2")
    equal(d.try_flowpin("drain", s2, "web", "--wait", "--deadline", "1s", "--release-at", "1h").status, 3,
          "drain --wait --deadline --release-at")
    d.try_flowpin("status")
    d.try_flowpin("nexthops")
    waiting = d.popen_flowpin("drain", s2, "--wait", "--json")
    wait_until(lambda: d.binding(s2)["drain"], 5)
    equal(d.try_flowpin("verify").status, 0, "verify meanwhile")
    pools[0].end(pools[0].on("s2")[:1])
    equal(d.try_flowpin("undrain", s2).status, 0, "undrain ends the wait")
    waiting.communicate(timeout=seconds(10))
    quiet = d.popen_flowpin("drain", s1, "--wait", "--json")
    pools[0].end(pools[0].on("s1"))
    quiet.communicate(timeout=seconds(60))
    d.try_flowpin("undrain", s1)


def refusals(lab, d):
    d.try_flowpin("drain", "10.1.9.9")
    d.try_flowpin("nexthops", "mail")
    everything = [lab.nexthop(s, v) for v in (4, 6) for s in lab.servers]
    for nexthop in everything[:-1]:
        d.try_flowpin("drain", nexthop)
    r = d.try_flowpin("drain", everything[-1])
    check(r.status == 1, "draining the last one is refused", r)
    for nexthop in everything[:-1]:
        d.try_flowpin("undrain", nexthop)
    with Connection(d.socket, Interface.load(DESCRIPTION)) as c:
        for method, parameters, error in (("Drain", {"nexthop": "nowhere"}, "InvalidParameter"), ("Flows", {}, "Refused"),
                                          ("Show", {"filter": {"protocol": "tcp"}}, "Ambiguous")):
            try:
                c.call(method, **parameters)
                check(False, f"{method}: {error}")
            except VarlinkError as e:
                equal(e.short, error, f"{method} {parameters}: {error}")


@case("ids used up, one-way flows, overruns, many clients")
def crowded():
    with standard(3) as lab:
        lab.ip("gw", *(f"route add 1.1.1.{n}/32 proto bird " + " ".join(
            f"nexthop via {lab.nexthops[s, 4][0]} dev {s}" for s in lab.servers) for n in range(1, 7)))
        lab.ip("s1", *(f"address add 1.1.1.{n}/32 dev lo" for n in range(2, 7)))
        d, own, tap = tapped(lab, MANY)
        for s in lab.servers:
            lab.deaf(s)
        wait_until(lambda: len(d.status()["unpinned"]) == 3, 5, "three nexthops are not pinned")
        monitor = Monitor(d)
        wait_until(lambda: tap.conversations and any(b"Monitor" in c for c, _ in tap.conversations), 5)
        flood(lab, 20000, "udp")
        wait_until(lambda: d.status()["events"]["overruns"] and d.status()["events"]["resyncs"], 10, "an overrun and a resync")
        wait_until(lambda: d.status()["flows"]["count"] > 1000, 10, "flows are known")
        check(d.try_flowpin("flows").status == 0, "flowpin flows")
        flows = d.flows("witness", "conntrack") or d.flows()
        words = [f"{flows[0]['src']}:{flows[0]['sport']}", f"{flows[0]['dst']}:{flows[0]['dport']}"]
        d.try_flowpin("show", "udp", *words)
        busy = [d.popen_flowpin("verify", "--json") for _ in range(4)]
        for p in busy:
            p.communicate(timeout=seconds(30))
        lab.conntrack("-F")
        wait_until(lambda: d.flows("witness", "pin"), 20, "flows that only their pin knows", poll=0.2)
        lab.run("gw", "ip rule add priority 500 fwmark 0x10000000/0x10000000 lookup 100")
        wait_until(lambda: d.status()["warnings"], 15, "a warning", poll=0.2)
        d.try_flowpin("verify", "--json")
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for s in crowd:
            s.connect(own)
        equal(d.try_flowpin("status").status, 2, "more clients of a user than may be: Busy")
        for s in crowd:
            s.close()
        wait_until(lambda: d.try_flowpin("status").status == 0, 5)
        monitor.end()
        judged(tap, ["Status with unpinned", "Status with warnings", "event overrun", "event resync",
                     "event warning", "error Busy", "reply Verify", "flow pin", "flow replied None"])


main()
