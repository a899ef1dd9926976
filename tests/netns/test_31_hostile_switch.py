#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile switch: answers without end, nested without end, of wrong types, redirects, odd names. Refused, in bounded memory; what is
in hardware is left alone, and what a person sees is printable."""

import collections
import os
import random
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import tap
from evil import HEAD, Evil, endless, whole
from flowlab import *  # noqa
from switchlab import SERVICE, SWITCH, Beside, SwitchLab, section

FLOWS, MB, ROUNDS = 50, 1000000, 16
# What one answer may cost at its peak: answer-max is 4 MiB, its buffer doubles, and json-c makes a tree of it.
PEAK_KB = {"flowpin-eapi": 80 * 1024, "flowpind": 4 * 1024}


def peak(d):
    """The most that a process had in memory since the last rewind(), in KiB."""
    return status_kb(d, "VmHWM")


def status_kb(d, key):
    with open(f"/proc/{d.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key + ":"))


def rewind(d):
    """From now on the peak is counted anew; what the process has now."""
    with open(f"/proc/{d.pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")
    return status_kb(d, "VmRSS")


class World:
    """A switch behind Evil, flows of the gateway in it, and what must not change."""

    def __init__(self, lab, more=""):
        self.lab = lab
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.client_via("gw")
        lab.route(["s1", "s2"])
        lab.sim.control("cli", user="somebody", cmds=["enable", "configure", "directflow", "no shutdown", "flow theirs", "match ethertype ip",
                                                      "match source ip 172.16.0.1", "action drop"])
        self.evil = Evil(lab, "gw", lab.sim)
        self.config = SERVICE % "5m" + section(lab, poll="300ms", more=f"text-interval = 1s  tcam-interval = 1s  {more}").replace(
            lab.sim.url, self.evil.url)
        self.beside = Beside(lab, self.config)
        self.pool = TcpPool(lab, FLOWS)
        self.pool.start(0.2)
        wait_until(lambda: self.whole() and self.switch()["programmed"] == FLOWS, 60, f"{FLOWS} flows are in the switch", poll=0.1)
        self.since = self.serial()
        self.daemons = {"flowpin-eapi": self.beside.eapi, "flowpind": self.beside.d}

    def serial(self):
        return max(j["serial"] for j in self.lab.sim.journal())

    def switch(self):
        return next(s for s in self.beside.d.flowpin("switches")["switches"] if s["name"] == SWITCH)

    def whole(self):
        return self.lab.pinned(self.pool) and len(self.lab.programmed()) == FLOWS

    def writes(self):
        """What was written since the flows were placed, by us."""
        return [j["command"] for j in self.lab.sim.journal(self.since) if j["command"].startswith(("flow ", "no flow "))]

    def untouched(self, what):
        check(self.whole() and "theirs" in self.lab.sim.programmed(), f"{what}: all flows are in hardware, theirs too", lambda: len(self.lab.programmed()))
        equal(self.writes(), [], f"{what}: nothing was written or deleted")

    def recover(self):
        """Good again, and read at once: a refusal's wait may be long by now."""
        self.lab.sim.control("clear-faults")
        self.lab.sim.control("clear-replies")
        self.evil.good()
        self.beside.eapi.reload(self.config)
        wait_until(lambda: self.switch()["reachable"] and self.switch()["programmed"] == FLOWS, 60, poll=0.05)

    def attack(self, what, begin, wanted):
        """begin() makes it hostile. It is refused with a sentence, memory stays in bounds, nothing is written."""
        before = {n: rewind(d) for n, d in self.daemons.items()}
        said = self.evil.requests
        begin()
        wait_until(lambda: not self.switch()["reachable"] and wanted in self.switch()["sentence"], 60, f"{what}: refused, and why", poll=0.05)
        note(f"{self.switch()['sentence']} ({self.evil.requests - said} requests)")
        grew = {n: peak(d) - before[n] for n, d in self.daemons.items()}
        note({n: f"{before[n]} KiB, at most {before[n] + grew[n]}" for n in grew})
        check(tap.SAN or all(grew[n] <= PEAK_KB[n] for n in grew), f"{what}: in bounded memory", grew)
        self.untouched(what)
        self.recover()


def answers(world, make):
    """The hostile server answers itself: make(request) gives what is sent."""
    def begin():
        world.evil.answer = make
    return begin


def with_result(text):
    """A whole answer with this text in place of the result."""
    def make(request):
        return whole(b'{"jsonrpc":"2.0","id":"%s","result":%s}' % (request["id"].encode(), text))
    return make


def moved(url):
    return whole(b"<html>302 Found</html>", b"HTTP/1.1 302 Found\r\nContent-Type: text/html\r\nLocation: %s\r\n" % url.encode())


def listener(lab):
    """Counts who follows a redirect."""
    with lab.inside("gw"):
        s = socket.create_server(("127.0.0.1", 0))
    lab.closers.append(s.close)
    came = []

    def accept():
        try:
            while True:
                c, who = s.accept()
                came.append(who)
                c.close()
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{s.getsockname()[1]}/command-api", came


@case("answers that are too much")
def too_much():
    with SwitchLab(2, shared=True) as lab:
        w = World(lab)
        w.attack("100 MB of spaces, in chunks", answers(w, lambda r: endless(b" " * 65536, 100 * MB)), "larger than 4194304 bytes")
        check(w.evil.sent < 16 * MB, "of which few were taken", w.evil.sent)
        w.attack("a length of 100 MB", answers(w, lambda r: HEAD + b"Content-Length: 100000000\r\n\r\n" + b"[" * 5 * MB), "larger than 4194304 bytes")
        w.attack("headers without end", answers(w, lambda r: (b"HTTP/1.1 200 OK\r\n" if i == 0 else b"X-%d: %s\r\n" % (i, b"x" * 1000)
                                                              for i in range(100000))), "larger than")
        w.attack("10,000 deep, in lists", answers(w, with_result(b"[" * 10000 + b"]" * 10000)), "too deep")
        w.attack("10,000 deep, in objects", answers(w, with_result(b'{"a":' * 10000 + b"1" + b"}" * 10000)), "too deep")
        w.attack("1.3 million empty lists", answers(w, with_result(b"[" + b"[]," * 1300000 + b"[]]")), "too large")
        w.attack("two million numbers", answers(w, with_result(b"[" + b"1," * 2000000 + b"1]")), "too large")
        w.attack("900,000 numbers", answers(w, with_result(b"[" + b"1," * 900000 + b"1]")), "fewer or more")
        w.attack("a text of 4 million characters", answers(w, with_result(b'["' + b"x" * 4 * MB + b'",{}]')), "")
        url, came = listener(lab)
        w.attack("redirects", answers(w, lambda r: moved(url)), "redirects")
        w.attack("redirects to a file", answers(w, lambda r: moved("file:///etc/passwd")), "redirects")
        equal(came, [], "nobody followed")
        w.attack("wrong types throughout", answers(w, lambda r: whole(b'{"jsonrpc":2,"id":[],"result":{"0":[5,"x",null]}}')), "not one of eAPI")
        check(w.pool.exchange().all_held, "no connection broke", w.pool.result)


# What the table is replaced by. An answer that makes no sense is no empty table.
WRONG = [5, "x", None, [], {"flows": {}}, {"flows": "x"}, {"output": 5}, {"flows": [5, None, "x", [], {"name": 5}, {"name": []}]},
         {"flows": [], "details": 5}, {"flows": [], "details": {"status": []}}, {"flows": [], "details": {"status": {"a": 5, "b": {}}}}]
FIELDS = [5, "x", None, [], {}, True, 1e300, -1, "-1", "99999999999999999999", [1, [2, [3]]], {"a": {"b": {}}}, "\x1b[31m", "x" * 5000]


def mangled(model, rng):
    """The model with one member in twenty replaced."""
    if isinstance(model, dict):
        return {k: rng.choice(FIELDS) if rng.random() < 0.05 else mangled(v, rng) for k, v in model.items()}
    return [mangled(v, rng) for v in model] if isinstance(model, list) else model


def hands_out(world, change, rounds=1):
    """Until flowpin-eapi has read so many whole rounds of answers that were changed."""
    seen = collections.Counter()

    def changed(commands, results):
        if any(c.startswith(("flow ", "no flow ")) for c in commands):
            return results
        seen.update(commands)
        return [change(c, r) for c, r in zip(commands, results)]

    world.evil.change = changed
    wait_until(lambda: seen["show version"] >= rounds, 20, poll=0.005)
    return seen


@case("wrong types, command by command")
def wrong_types():
    with SwitchLab(2, shared=True) as lab:
        w = World(lab)
        before = {n: rewind(d) for n, d in w.daemons.items()}
        for wrong in WRONG:
            hands_out(w, lambda c, r, wrong=wrong: wrong if c == "show directflow detail" else r)
            w.recover()
        w.untouched(f"{len(WRONG)} things that are no table")
        rng = random.Random(11)
        note(f"{ROUNDS} rounds of members of wrong types")
        for _ in range(ROUNDS // 4):
            hands_out(w, lambda c, r: mangled(r, rng), rounds=4)
            w.recover()
        check(all(d.running() for d in w.daemons.values()), "nobody died")
        wait_until(lambda: w.whole() and w.switch()["programmed"] == FLOWS, 30, "then all flows are as they were", poll=0.2)
        check("theirs" in lab.sim.programmed() and not [c for c in w.writes() if "theirs" in c], "and theirs was left alone")
        grew = {n: peak(d) - before[n] for n, d in w.daemons.items()}
        check(tap.SAN or all(grew[n] <= PEAK_KB[n] for n in grew), "in bounded memory", grew)
        check(w.pool.exchange().all_held, "no connection broke", w.pool.result)


ODD = ["\x1b[31mred", "a\nb\r\nc", "x" * 10000, "\u202eleft", "caf\u00e9 \U0001f600", "", " ", "a\tb", "'; no directflow", "\"quoted\\\"", "%s%n%d",
       "no flow theirs", "{nexthop}", "\x7f\x01", "../../etc/passwd", "<script>"]


def printable(text):
    return all(32 <= ord(c) < 127 or c == "\n" for c in text)


def shown_well(w, flow, what):
    """Everything that a person or a log reads."""
    flow = (f"{flow.src}:{flow.sport}", "1.1.1.1:80")
    said = {}
    for words in (["switches"], ["switches", "--json"], ["show", "tcp", *flow], ["show", "tcp", *flow, "--json"], ["verify"], ["verify", "--json"],
                  ["flows"], ["status"]):
        r = w.beside.d.try_flowpin(*words)
        said[" ".join(words)] = r.out + r.err
        check(printable(r.out + r.err) and r.status in (0, 1, 2), f"{what}: flowpin {words[0]}{' --json' if '--json' in words else ''} is printable",
              repr([line for line in (r.out + r.err).splitlines() if not printable(line)][:3]))
    logs = {n: d.log() for n, d in w.daemons.items()}
    check(all(printable(text) for text in logs.values()), f"{what}: so are the logs",
          lambda: [repr(line) for text in logs.values() for line in text.splitlines() if not printable(line)][:3])
    return said


@case("odd names and texts")
def odd():
    with SwitchLab(2, shared=True) as lab:
        w = World(lab)
        prefix = next(n for n in lab.sim.programmed() if n.startswith("fp-")).split("tcp-")[0]
        with lab.inside("gw"):
            table = lab.sim.rpc("show directflow detail")["result"][0]
        model = dict(next(f for f in table["flows"] if f["name"].startswith(prefix)))
        ours = [prefix + n for n in ("", "tcp-", "tcp-1-2-3-4", "tcp-1_1_1_1-0-1_1_1_1-65536", "udp-12_12_12_1-1-1_1_1_1-80-x",
                                     "tcp-9_9_9_9-1-8_8_8_8-80", "tcp-12_12_12_1-007-1_1_1_1-80", *ODD)]
        names = ODD + ours

        def change(command, result):
            if command == "show directflow detail" and "flows" in result:
                result["flows"] += [dict(model, name=n, match={}) for n in names]
                result["details"]["status"].update({n: s for n, s in zip(names, ODD * 3)})
                for i, f in enumerate(table["flows"]):
                    if f["name"].startswith(prefix):  # ours, with a status that nobody understands
                        result["details"]["status"][f["name"]] = "Flow programmed " + ODD[i % len(ODD)][:60]
            elif command == "show directflow detail" and "output" in result:
                result["output"] += "".join(f"Flow {n}: (Flow programmed)\n  actions:\n    output nexthop: 34.34.34.4\n" for n in names)
            elif command == "show version":
                result.update(modelName=ODD[0] + "\n7050" + ODD[4], version="4.27\x1b]0;owned\x07.2F", serialNumber=ODD[2])
            elif command == "show interfaces status":
                result["interfaceStatuses"].update({n: {"linkStatus": n, "vlanInformation": {"vlanId": n}} for n in ODD})
            elif command == "show ip arp":
                result["vrfs"]["default"]["ipV4Neighbors"] += [{"address": n, "hwAddress": n, "interface": n} for n in ODD]
                for n in result["vrfs"]["default"]["ipV4Neighbors"]:
                    if n["address"] in (lab.address_of("s1"), lab.address_of("s2")):
                        n["interface"] = "Ethernet\x1b[5m" + n["interface"][8:]
            return result

        hands_out(w, change, rounds=3)
        wait_until(lambda: w.switch()["foreign"] > len(ODD), 40, "they are read: counted as foreign")
        wait_until(lambda: w.switch()["reachable"] and w.switch()["programmed"] == FLOWS, 40, "ours are told from them")
        said = shown_well(w, w.pool.flows[0], "odd names")
        check("?[31mred?7050" in said["switches"], "what is not printable is shown as a question mark", said["switches"][:400])
        w.untouched("odd names")
        w.recover()
        for text in ODD[:5]:
            lab.sim.control("fault", kind="fail", on="read", match="^show version$", at=1, count=-1, code=1002, text=text or "x")
            wait_until(lambda: not w.switch()["reachable"], 60, poll=0.05)
            lab.sim.control("clear-faults")
            w.beside.eapi.reload(w.config)
            wait_until(lambda: w.switch()["reachable"], 60, poll=0.05)
        shown_well(w, w.pool.flows[0], "odd errors of reading")
        text = "no way \x1b[31m\n\u202e" + "y" * 4000
        lab.sim.control("fault", kind="fail", on="write", at=-1, count=-1, code=1000, text=text)
        w.pool.open(3)
        wait_until(lambda: "no way" in w.switch().get("last_error", ""), 60, "a refusal with an odd text is shown", poll=0.1)
        shown_well(w, w.pool.flows[-1], "odd errors of writing")
        lab.sim.control("clear-faults")
        check(w.pool.exchange().all_held, "no connection broke", w.pool.result)


main()
