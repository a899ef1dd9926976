#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Switches that cannot be used, all at once beside one that can: each is one clear sentence in `flowpin switches` and a slow retry,
and nothing else is disturbed."""

import math
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "eos-sim"))
from eossim import Sim, certificate  # noqa: E402
from flowlab import *  # noqa
from switchlab import FAST, SERVICE, SWITCH, Beside, SwitchLab, section  # noqa: E402

LOCAL, RETRY_S = "127.0.0.1", 4
NO_PIN = "sha256//" + "A" * 43 + "="


class Listener:
    """Something that is no eAPI: says `banner` to whoever connects in the namespace, counts them, and hangs up. Without a banner
    it says nothing and keeps the connection."""

    def __init__(self, lab, ns, banner):
        self.banner, self.connections, self.kept = banner, 0, []
        with lab.inside(ns):
            self.sock = socket.create_server((LOCAL, 0))
        self.url = f"http://{LOCAL}:{self.sock.getsockname()[1]}/command-api"
        lab.closers.append(self.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            if self.banner:
                with c:
                    c.settimeout(5)
                    try:
                        c.recv(65536)
                        c.sendall(self.banner)
                    except OSError:
                        pass
            else:
                self.kept.append(c)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class BadLab(SwitchLab):
    """SwitchLab with a link between client and gateway, and simulators that only the gateway reaches: sims."""

    def __init__(self, **kwargs):
        super().__init__(2, shared=True, **kwargs)
        self.sims, self.listeners = {}, {}

    def simulator(self, name, https=None, knobs=None):
        os.makedirs(os.path.join(self.tmp, name), exist_ok=True)
        sim = Sim(netns=self.full("gw"), http=None if https else f"{LOCAL}:0", https=https, knobs=dict(FAST, **(knobs or {})),
                  tmp=os.path.join(self.tmp, name))
        self.closers.append(sim.stop)
        self.sims[name] = sim
        return sim

    def listen(self, name, banner):
        self.listeners[name] = Listener(self, "gw", banner)
        return self.listeners[name].url

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.tmp, name)
        with open(path, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text)
        os.chmod(path, mode)
        return path


def bad_section(lab, name, url, trust="allow-http = yes", password=None, more=""):
    password = password or os.path.join(lab.tmp, "password")
    return f"""switch {name} {{
    eapi = "{url}" {trust} username = admin password-file = "{password}" place = all poll-interval = 300ms
    connect-timeout = 1s  request-timeout = 1s  login-retry = {RETRY_S}s  {more}
}}
"""


def shown(beside):
    return {s["name"]: s for s in beside.d.flowpin("switches")["switches"]}


def kinds(lab):
    """{name of a switch: (its section, what its sentence must say)}."""
    https = lab.simulator("https", https=f"{LOCAL}:0")
    stranger, _ = certificate(lab.tmp, "stranger", ["10.9.9.9"])
    secure = f"https://{https.https}/command-api"
    with lab.inside("gw"), socket.create_server((LOCAL, 0)) as s:
        closed = s.getsockname()[1]
    web = lab.simulator("web")
    web.control("fault", kind="status", status=200, count=-1)
    nothing = lab.simulator("nothing")
    nothing.control("fault", kind="status", status=404, count=-1)
    other = lab.simulator("other")
    other.control("reply", command="^show version$", count=-1, model={"vendor": "somebody"})
    wrong = lab.simulator("wrong")
    lab.simulator("session", knobs={"password": "other"})
    ca = f'ca-file = "{https.cert}"'
    return {
        "login": (bad_section(lab, "login", wrong.url, password=lab.file("wrong-password", "wr0ng-w0rd\n")), "refuses the login of user 'admin'"),
        "session": (bad_section(lab, "session", lab.sims["session"].url, more="auth = session"), "refuses the login of user 'admin'"),
        "open-file": (bad_section(lab, "open-file", wrong.url, password=lab.file("open-password", "secret\n", 0o644)), "can be read by others"),
        "no-file": (bad_section(lab, "no-file", wrong.url, password=os.path.join(lab.tmp, "none")), "No such file"),
        "stranger": (bad_section(lab, "stranger", secure, f'ca-file = "{stranger}"'), "certificate is not accepted"),
        "key": (bad_section(lab, "key", secure, f'tls-pin = "{NO_PIN}"'), "not the one of tls-pin"),
        "both": (bad_section(lab, "both", secure, f'{ca} tls-pin = "{NO_PIN}"'), "not the one of tls-pin"),
        "host": (bad_section(lab, "host", secure.replace(LOCAL, "localhost"), ca), "certificate is not accepted"),
        "tls": (bad_section(lab, "tls", wrong.url.replace("http:", "https:"), ca), "TLS does not come about"),
        "closed": (bad_section(lab, "closed", f"http://{LOCAL}:{closed}/command-api"), "cannot be reached"),
        "no-route": (bad_section(lab, "no-route", "http://10.99.0.1/command-api"), "cannot be reached"),
        "no-name": (bad_section(lab, "no-name", "http://switch.invalid/command-api"), "name cannot be resolved"),
        "ssh": (bad_section(lab, "ssh", lab.listen("ssh", b"SSH-2.0-x\x1b[31mOpenSSH\r\n")), "does not speak HTTP"),
        "silent": (bad_section(lab, "silent", lab.listen("silent", None)), "did not answer in time"),
        "web": (bad_section(lab, "web", web.url), "not JSON"),
        "nothing": (bad_section(lab, "nothing", nothing.url), "no eAPI at this address (HTTP 404)"),
        "vendor": (bad_section(lab, "vendor", other.url), "no EOS switch"),
    }


def sentences(beside, bad):
    """Of the switches: those whose sentence is not there yet, or is none."""
    have, missing = shown(beside), {}
    for name, (_, wanted) in bad.items():
        s = have[name]
        if s["reachable"] or wanted not in s["sentence"]:
            missing[name] = s["sentence"]
    return missing


@case("all of them at once")
def together():
    with BadLab() as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.client_via("gw")
        lab.route(["s1", "s2"])
        bad = kinds(lab)
        begun = time.monotonic()
        beside = Beside(lab, SERVICE % "5m" + section(lab) + "".join(text for text, _ in bad.values()))
        wait_until(lambda: not sentences(beside, bad), 40, "each is not reachable, for the reason that it is", poll=0.1)
        for name, text in sentences(beside, bad).items():
            note(f"{name}: {text}")
        have = shown(beside)
        for name in bad:
            text = have[name]["sentence"]
            note(f"{name}: {text}")
            check("\n" not in text and text.isprintable() and len(text) < 250, f"{name}: in one printable line", repr(text))
        listed = beside.d.flowpin("switches", json_output=False).splitlines()
        for name, (_, wanted) in bad.items():
            row = next((line.split() for line in listed if line.split()[:1] == [name]), [])
            check(row[1:2] == ["no"] and listed.count(name) == 1 and wanted in listed[listed.index(name) + 1],
                  f"{name}: the table says no, and the line below its name says why", row)
        pool = TcpPool(lab, 100)
        pool.start(0.2)
        wait_until(lambda: lab.pinned(pool), 60, "the good switch is served: 100 flows of the gateway are in it", poll=0.1)
        lab.route(["s2"])
        check(pool.exchange().all_held and pool.on("s1"), "a server is withdrawn: none broke", pool.result)
        equal(set(pool.probe(20)), {"s2"}, "new ones keep off it")
        lab.route(["s1", "s2"])
        check(pool.exchange().all_held, "it returns: none broke", pool.result)
        good = shown(beside)[SWITCH]
        check(good["reachable"] and not good["sentence"] and good["lag_ms"] < 5000, "the good one is in good health", good)
        equal([s["desired"] for n, s in shown(beside).items() if n in bad and s["programmed"]], [], "nothing is said to be in the bad ones")
        wait_until(lambda: unread(beside) == {f"switch {n}" for n in bad}, 10,
                   "verify names each that could not be read, and not the good one", poll=0.2)
        slowly(lab, beside, bad, begun)
        lab.sims["wrong"].set(password="wr0ng-w0rd")
        wait_until(lambda: shown(beside)["login"]["reachable"], 60, "the password is right: it is reached by itself", poll=0.1)
        check(refused(lab) <= 4, "after few tries", lab.sims["wrong"].usage()["counters"])
        log = beside.eapi.log() + beside.d.log()
        check("wr0ng-w0rd" not in log and "secret" not in log, "no password is in the logs")


def unread(beside):
    """The planes that verify could not read."""
    r = beside.d.try_flowpin("verify", "--json")
    last = parse_json(r.out)
    last = last[-1] if isinstance(last, list) else last
    return set(last["unread"]) if r.status == 2 else None


def refused(lab):
    return lab.sims["wrong"].usage()["counters"]["logins_refused"]


def slowly(lab, beside, bad, begun):
    """Retries double their waits, so that their number is known from the time that has passed. Waits are shortened by up to half, at
    random; those after a refused login never."""
    def most(first_s):
        return math.log2((time.monotonic() - begun) / first_s + 1) + 1

    wait_until(lambda: refused(lab) >= 2, 60, "the login is tried again after its time")
    check(refused(lab) <= most(RETRY_S), f"and then after twice that ({refused(lab)} logins)", beside.eapi.log_lines("switch login"))
    check(beside.eapi.log_lines(f"switch login: .*next try in {RETRY_S}s"), "as the log says")
    for name, s in shown(beside).items():
        if name in bad:
            check(s["requests"] <= most(0.5), f"{name}: it is asked ever less often ({s['requests']} requests)", s)
    listeners = {n: x.connections for n, x in lab.listeners.items()}
    check(all(1 <= n <= most(0.5) for n in listeners.values()), "no more is on the wire than that", listeners)


@case("a switch that refuses its user later on")
def later():
    with BadLab() as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.client_via("gw")
        lab.route(["s1", "s2"])
        config = SERVICE % "5m" + section(lab, more="auth = session  login-retry = 2m")
        beside = Beside(lab, config)
        pool = TcpPool(lab, 100)
        pool.start(0.2)
        wait_until(lambda: lab.pinned(pool), 60, "100 flows are in it", poll=0.1)
        logins = lab.counters()["logins"]
        equal(logins, 2, "with one session for each of two connections")
        lab.sim.control("expire-sessions")
        pool.open(50)
        wait_until(lambda: lab.pinned(pool) and len(lab.programmed()) == 150, 60, "sessions expire: new flows get there all the same", poll=0.1)
        wait_until(lambda: lab.counters()["logins"] == logins + 2, 40, "by one login for each connection")
        equal((shown(beside)[SWITCH]["sentence"], beside.eapi.log_lines("not reachable|refuses")), ("", []), "which nobody is bothered with")

        lab.sim.set(password="changed")
        lab.sim.control("expire-sessions")
        pool.open(50)
        wait_until(lambda: "refuses the login of user 'admin'" in shown(beside)[SWITCH]["sentence"], 40, "its password is changed: that is said")
        lab.route(["s2"])
        check(pool.exchange().all_held and pool.on("s1"), "a server is withdrawn: none broke", pool.result)
        lab.route(["s1", "s2"])
        equal(len(lab.programmed()), 150, "what is in hardware stays")
        equal(len(beside.d.flows()), 200, "no flow is forgotten")
        asked = lab.counters()["logins_refused"]
        check(1 <= asked <= 2, f"each connection was refused once, at most ({asked})", asked)
        equal(beside.eapi.log_lines("next try in [^2]"), [], "a second connection's refusal makes the wait no longer", )
        lab.file("password", "changed\n")
        beside.eapi.reload(config)
        wait_until(lambda: lab.pinned(pool) and len(lab.programmed()) == 200, 60, "the file is changed, too, and read again: all are in it", poll=0.1)
        equal(lab.counters()["logins_refused"], asked, "without another refusal")
        wait_until(lambda: not shown(beside)[SWITCH]["sentence"], 20, "and nothing is complained of any more")


@case("nothing from the environment")
def environment():
    with BadLab() as lab:
        lab.resolve()
        lab.announce(["s1", "s2"])
        lab.client_via("gw")
        lab.route(["s1", "s2"])
        proxy = lab.listen("proxy", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").rsplit("/", 1)[0]
        lab.file(".netrc", "default login admin password secret\n")
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")
        env = dict({n: proxy for n in names}, HOME=lab.tmp, CURL_HOME=lab.tmp, NETRC=os.path.join(lab.tmp, ".netrc"))
        nobody = f'switch nobody {{ eapi = "{lab.simulator("nobody").url}" allow-http = yes place = all login-retry = 1m }}\n'
        beside = Beside(lab, SERVICE % "5m" + section(lab) + nobody, env=env)
        pool = TcpPool(lab, 20)
        wait_until(lambda: lab.pinned(pool), 60, "flows are in the switch")
        equal(lab.listeners["proxy"].connections, 0, "the proxy of the environment saw nothing")
        wait_until(lambda: "refuses the login" in shown(beside)["nobody"]["sentence"], 40, "without a user in the configuration there is no login, "
                   "whatever .netrc says")
        for name, d in (("flowpind", beside.d), ("flowpin-mirror", beside.mirror), ("flowpin-eapi", beside.eapi)):
            with open(f"/proc/{d.pid}/cmdline", "rb") as f, open(f"/proc/{d.pid}/environ", "rb") as g:
                check(b"secret" not in f.read() + g.read(), f"{name}: no password in the process list")
            check("secret" not in d.log(), f"{name}: nor in its log")


main()
